"""The store: one database, opened, written through one queue, and closed."""

from asyncio import Future
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine  # noqa: TID253
from sqlalchemy.exc import SQLAlchemyError  # noqa: TID253

from intendant.config.settings import default_db
from intendant.model.errors import SchemaMismatch, StoreError
from intendant.record.rows import Fence, NewEvent
from intendant.record.store import database
from intendant.record.store.database import Durability
from intendant.record.store.keys import read_keys
from intendant.record.store.known_chain import KnownChain
from intendant.record.store.statements import Work
from intendant.record.store.writer import Writer

if TYPE_CHECKING:
    from intendant.record.store.verification import Verified

ResultT = TypeVar("ResultT")


class Store:
    """One database. Opened when it is first used.

    Everything that is read or written is a *work function*: it takes a SQLAlchemy connection and is executed in a
    transaction. The modules beside this one return them, such as `runs.find_run("last")`.

    Args:
        url: SQLAlchemy URL; `none` for memory only; None for a file in the user's data folder.
        durability: SQLite only; `normal` survives a crash of the process, `full` a power loss as well.
        key_file: A file of keys; the first signs what is written. None for no signatures.

    Attributes:
        url: The database's URL.
        keys: The keys of the key file.
        now: Seconds since 1970, by the clock of the database.

    Raises:
        SettingsError: The key file cannot be used.
        StoreError: The URL is wrong, or its driver is not installed.
    """

    def __init__(
        self, url: str | None = None, durability: Durability = "normal", key_file: str | None = None
    ) -> None:
        self.url = url or default_db()
        self.keys = read_keys(key_file)
        self._known = KnownChain(self.keys)
        own_file = url is None
        engine = database.connect(self.url, durability)
        self._engine = engine
        self._late: BaseException | None = None
        self._key = self.keys[0] if self.keys else None
        prepare = partial(_upgrade_own, key=self._key) if own_file else database.prepare
        self._writer = Writer(engine, prepare, self._key)
        self.append_events = self._writer.append
        self.now = self._writer.clock.now

    async def do(
        self, work: Work[ResultT], fence: Fence | None = None, events: Sequence[NewEvent] = ()
    ) -> ResultT:
        """Do *work*, and write *events*, in one transaction; returns after it is committed.

        Raises:
            Fenced: The run has another owner now.
            StoreError: The database cannot be used, or earlier work that was not awaited failed.
        """
        writer = self._writer
        if writer.inbox.full:
            await writer.inbox.has_room()
        try:
            result = await self.begin(work, fence, events)
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error) as error:
            raise StoreError(f"the database cannot be used: {database.short(error)}") from error
        if (late := self._late) is not None:
            self._late = None
            raise StoreError(f"earlier work could not be committed: {late}") from late
        return result

    def begin(
        self, work: Work[ResultT], fence: Fence | None = None, events: Sequence[NewEvent] = ()
    ) -> "Future[ResultT]":
        """Queue *work* at once, in order with what else is written; the future is done when it is committed.

        Raises:
            StoreError: The queue stayed full for `writer.BLOCK_SECONDS`, during which this blocks.
        """
        return self._writer.submit(work, fence, events)

    def do_later(self, work: Work[Any], fence: Fence | None = None, events: Sequence[NewEvent] = ()) -> None:
        """Queue *work* without waiting for it. If it fails, all later work under its fence is refused; without a
        fence the next `do` raises its error, once. Blocks while the queue is full.
        """
        self._writer.submit_later(work, fence, events, self._note if fence is None else _told_by_fence)

    def _note(self, error: BaseException) -> None:
        if self._late is None:
            self._late = error

    async def verified(self, run_id: str) -> "Verified":
        """Verify the record of a run: its events, its rows, and what the chain of everything says of it.

        Raises:
            StoreError: The database cannot be used.
        """
        from intendant.record.store.integrity import verify_run

        while (found := await self.do(verify_run(run_id, self._known))) is None:
            pass
        return found

    async def verify_shared(self) -> None:
        """Verify the chain that all runs share, so that verifying a run takes less time. Its faults are reported
        with the runs.

        Raises:
            StoreError: The database cannot be used.
        """
        from intendant.record.store.integrity import learn

        while await self.do(learn(self._known)) is None:
            pass

    async def flush(self) -> None:
        """Wait until everything queued so far is committed."""
        await self.do(lambda _connection: None)

    def close(self) -> None:
        """Commit what is queued and close."""
        self._writer.close()

    def upgrade(self) -> None:
        """Migrate an older database to this version."""
        database.upgrade(self._engine, self._key)


def _told_by_fence(_error: BaseException) -> None:
    """Nothing: all work under its fence is refused from now on; other runs of the store are not concerned."""


def _upgrade_own(engine: Engine, key: bytes | None = None) -> None:
    """Our own file in the user's data folder is migrated without asking; a copy of the old one is kept."""
    try:
        database.prepare(engine)
    except SchemaMismatch:
        import shutil

        path = Path(str(engine.url.database))
        shutil.copy2(path, path.with_suffix(".before-upgrade.db"))
        database.upgrade(engine, key)
        database.prepare(engine)
