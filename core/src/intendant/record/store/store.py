"""The store: runs, steps, events, budgets and deliveries in one database."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import time
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, delete, desc, insert, select, update  # noqa: TID253

from intendant.config.settings import default_db
from intendant.model.errors import Fenced, RunNotFound, SchemaMismatch, StoreError
from intendant.model.results import StepOutcome
from intendant.record.store import database, tables
from intendant.record.store.chain import Row
from intendant.record.store.database import Durability
from intendant.record.store.writer import Fence, Writer

ResultT = TypeVar("ResultT")


class Store:
    """One database. Opened when it is first used.

    Args:
        url: SQLAlchemy URL; `none` for memory only; None for a file in the user's data folder.
        durability: SQLite only; `normal` survives a crash of the process, `full` a power loss as well.
    """

    def __init__(self, url: str | None = None, durability: Durability = "normal") -> None:
        self.url = url or default_db()
        own_file = url is None
        engine = database.connect(self.url, durability)
        self._engine = engine
        self._late: BaseException | None = None
        self._writer = Writer(engine, _upgrade_own if own_file else database.prepare)

    async def do(
        self,
        work: Callable[[Connection], ResultT],
        fence: Fence | None = None,
        events: Sequence[Row] = (),
    ) -> ResultT:
        """Do *work*, and write *events*, in one transaction; returns after it is committed.

        Raises:
            Fenced: The run has another owner now.
            StoreError: The database cannot be used.
        """
        result: ResultT = await self.begin(work, fence, events)
        if self._late is not None:
            raise StoreError(f"earlier work could not be committed: {self._late}") from self._late
        return result

    def begin(
        self,
        work: Callable[[Connection], ResultT],
        fence: Fence | None = None,
        events: Sequence[Row] = (),
    ) -> "asyncio.Future[ResultT]":
        """The same, begun at once, in order with what else is written; the future is done when it is committed."""
        return self._writer.submit(work, fence, events)

    def do_later(
        self, work: Callable[[Connection], Any], fence: Fence | None = None, events: Sequence[Row] = ()
    ) -> None:
        """Do the same without waiting for it; what goes wrong shows at the next wait."""
        self._writer.submit_later(work, fence, events, self._note)

    def _note(self, error: BaseException) -> None:
        # Who was fenced off hears of it with its own next write; other runs have nothing to do with it.
        if self._late is None and not isinstance(error, Fenced):
            self._late = error

    def append_event(self, row: Row, fence: Fence | None = None) -> None:
        """Write an event, in order, without waiting for it."""
        self._writer.append(row, fence)

    async def flush(self) -> None:
        """Wait until everything submitted so far is committed."""
        await self.do(lambda _connection: None)

    def close(self) -> None:
        """Commit what is left and close."""
        self._writer.close()

    def upgrade(self) -> None:
        """Migrate an older database to this version."""
        database.upgrade(self._engine)

    # --- runs and steps ---

    async def open_run(self, row: Mapping[str, Any]) -> Fence:
        """Add a run, owned by this process under epoch 1."""
        await self.do(lambda connection: connection.execute(insert(tables.run), {**row, "epoch": 1}))
        return Fence(str(row["id"]), 1)

    async def claim_run(self, run_id: str, worker: str) -> Fence:
        """Take a run over: raises its epoch, so that its former owner is refused from now on.

        Raises:
            RunNotFound: There is no such run.
        """

        def work(connection: Connection) -> int | None:
            found = connection.execute(
                update(tables.run)
                .where(tables.run.c.id == run_id)
                .values(epoch=tables.run.c.epoch + 1, worker=worker, status="running", finished_at=None)
                .returning(tables.run.c.epoch)
            ).scalar()
            return None if found is None else int(found)

        epoch = await self.do(work)
        if epoch is None:
            raise _not_found(run_id)
        return Fence(run_id, epoch)

    async def finish_run(self, fence: Fence, status: str) -> None:
        """Note how a run ended, and what its last event was; returns when everything about it is committed."""
        event = tables.event
        last = (
            select(event.c.seq, event.c.hash)
            .where(event.c.run_id == fence.run_id)
            .order_by(desc(event.c.seq))
            .limit(1)
        )

        def work(connection: Connection) -> None:
            row = connection.execute(last).first()
            values = {"status": status, "finished_at": time(), "events": row.seq if row else 0}
            values["last_hash"] = row.hash if row else None
            connection.execute(update(tables.run).where(tables.run.c.id == fence.run_id).values(values))

        await self.do(work, fence)

    async def find_run(self, prefix: str) -> dict[str, Any]:
        """The run whose id is or begins with *prefix*; the newest for `last`.

        Raises:
            RunNotFound: There is none, or more than one.
        """
        query = select(tables.run).order_by(desc(tables.run.c.created_at)).limit(2)
        if prefix == "last":
            query = query.limit(1)
        else:
            query = query.where(tables.run.c.id.startswith(prefix, autoescape=True))
        rows = await self.do(lambda connection: [dict(row) for row in connection.execute(query).mappings()])
        exact = [row for row in rows if row["id"] == prefix] or rows
        if not exact:
            raise _not_found(prefix)
        if len(exact) > 1:
            raise RunNotFound(f"more than one run begins with '{prefix}'", hint="give more of its id")
        return exact[0]

    async def list_runs(self, limit: int = 20) -> list[dict[str, Any]]:
        """The newest runs first."""
        query = select(tables.run).order_by(desc(tables.run.c.created_at)).limit(limit)
        return await self.do(lambda connection: [dict(row) for row in connection.execute(query).mappings()])

    async def steps_of(self, run_id: str) -> list[dict[str, Any]]:
        """A run's steps that have ended."""
        query = select(tables.step).where(tables.step.c.run_id == run_id)
        return await self.do(lambda connection: [dict(row) for row in connection.execute(query).mappings()])

    async def usage_history(self, agent: str, limit: int = 2000) -> dict[str, tuple[int, ...]]:
        """Tokens that an agent's completed steps took, by intent, newest first; of the last *limit* steps."""
        query = (
            select(tables.step.c.outcome)
            .join(tables.run, tables.run.c.id == tables.step.c.run_id)
            .where(tables.run.c.agent == agent, tables.step.c.status == "completed")
            .order_by(desc(tables.step.c.finished_at))
            .limit(limit)
        )
        history: dict[str, list[int]] = {}
        for text in await self.do(lambda connection: list(connection.execute(query).scalars())):
            outcome = StepOutcome.model_validate_json(text)
            if outcome.intent and outcome.usage.tokens:
                history.setdefault(outcome.intent, []).append(outcome.usage.tokens)
        return {intent: tuple(tokens) for intent, tokens in history.items()}

    async def classifications(self, keys: Iterable[str]) -> dict[str, str]:
        """What is remembered under these keys."""
        table, wanted = tables.classification, sorted(set(keys))

        def work(connection: Connection) -> dict[str, str]:
            found: dict[str, str] = {}
            for start in range(0, len(wanted), 500):  # databases limit the parameters of a statement
                query = select(table.c.key, table.c.answer).where(table.c.key.in_(wanted[start : start + 500]))
                found |= {row.key: row.answer for row in connection.execute(query)}
            return found

        return await self.do(work)

    async def keep_classification(self, key: str, kind: str, answer: str) -> None:
        """Remember a classification, in place of what was remembered under its key."""
        table = tables.classification

        def work(connection: Connection) -> None:
            connection.execute(delete(table).where(table.c.key == key))
            connection.execute(insert(table), {"key": key, "kind": kind, "answer": answer, "at": time()})

        await self.do(work)

    async def events_of(self, run_id: str) -> list[dict[str, Any]]:
        """A run's events in order."""
        query = select(tables.event).where(tables.event.c.run_id == run_id).order_by(tables.event.c.seq)
        return await self.do(lambda connection: [dict(row) for row in connection.execute(query).mappings()])

    def save_step(self, fence: Fence, row: Mapping[str, Any], event: Row) -> None:
        """Write how a step ended, and the event that says so, in one transaction, without waiting."""
        table = tables.step

        def work(connection: Connection) -> None:
            key = (table.c.run_id == fence.run_id, table.c.key == row["key"])
            if connection.execute(update(table).where(*key).values({**row, "epoch": fence.epoch})).rowcount == 0:
                connection.execute(insert(table), {**row, "run_id": fence.run_id, "epoch": fence.epoch})

        self.do_later(work, fence, [event])

    async def outputs_of(self, run_id: str) -> dict[str, Any]:
        """A run's outputs by step id."""
        return {
            row["key"]: json.loads(row["output"])
            for row in await self.steps_of(run_id)
            if row["output"] is not None
        }


def _upgrade_own(engine: Engine) -> None:
    """Our own file in the user's data folder is migrated without asking; a copy of the old one is kept."""
    try:
        database.prepare(engine)
    except SchemaMismatch:
        import shutil

        path = Path(str(engine.url.database))
        shutil.copy2(path, path.with_suffix(".before-upgrade.db"))
        database.upgrade(engine)
        database.prepare(engine)


def _not_found(run_id: str) -> RunNotFound:
    return RunNotFound(f"there is no run '{run_id}'", hint="`intendant runs` lists them")
