"""One thread owns the connection; what arrives while it commits goes into the next transaction (group commit).

Two kinds of work: *appends*, which nobody waits for, and *jobs*, whose caller waits until they are committed.
Work on a run names the epoch under which its process owns the run; if another process has claimed it since,
the work is refused.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, bindparam, select  # noqa: TID253

from intendant.model.errors import Fenced, StoreError
from intendant.record.rows import Fence, NewEvent
from intendant.record.store.chain import Chains
from intendant.record.store.statements import Statement, savepoint, transaction, undo
from intendant.record.store.tables import run

ResultT = TypeVar("ResultT")
MAX_BATCH = 1000
GATHER_SECONDS = 0.004
"""How long what nobody waits for waits for more, so that it costs no commit of its own."""
COLLISIONS = 5
"""How often work is done again that was given up because of a deadlock."""
LOCK_MILLISECONDS = 50
"""How long a batch of several waits for a row that another process has locked."""
_EPOCH = Statement(select(run.c.epoch).where(run.c.id == bindparam("id")).with_for_update())


@dataclass(slots=True)
class _Append:
    row: NewEvent
    fence: Fence | None


class _Waiter(NamedTuple):
    """Who waits for a job, and where."""

    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


@dataclass(slots=True)
class _Job:
    do: Callable[[Connection], Any]
    fence: Fence | None
    events: Sequence[NewEvent]
    waiter: _Waiter | None = None
    failed: Callable[[BaseException], None] | None = None
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Executes work on one database, in the order in which it was submitted."""

    def __init__(self, engine: Engine, prepare: Callable[[Engine], None]) -> None:
        self._engine = engine
        self._prepare = prepare
        self._queue: queue.SimpleQueue[_Append | _Job | None] = queue.SimpleQueue()
        self._unusable: Exception | None = None
        self._lost: dict[Fence, StoreError] = {}
        self._closed = False
        self._fenced: set[Fence] = set()
        self._thread = threading.Thread(target=self._work, name="intendant-store", daemon=True)
        self._chains = Chains()
        self._starting = threading.Lock()
        self._running = False

    def append(self, row: NewEvent, fence: Fence | None = None) -> None:
        """Write an event; committed soon, in order, without waiting.

        Raises:
            Fenced: Earlier work under this fence was refused.
            StoreError: Earlier work could not be committed.
        """
        self._put(_Append(row, fence))

    def submit(
        self, do: Callable[[Connection], ResultT], fence: Fence | None = None, events: Sequence[NewEvent] = ()
    ) -> "asyncio.Future[ResultT]":
        """Do something in a transaction; the future, of the running loop, is done when it is committed.

        The *events* are written in the same transaction, and only if *do* raises nothing. Who gives up waiting
        undoes nothing.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop, loop.create_future())
        self._put(_Job(do, fence, events, waiter))
        return waiter.future

    def submit_later(
        self,
        do: Callable[[Connection], Any],
        fence: Fence | None,
        events: Sequence[NewEvent],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Do the same where nobody waits for it; *failed* is called, in the writer's thread, if it goes wrong."""
        self._put(_Job(do, fence, events, failed=failed))

    def _put(self, item: "_Append | _Job") -> None:
        if self._closed:
            raise StoreError("the store is closed", hint="the service was closed before its run had ended")
        if item.fence is not None and item.fence in self._lost:
            raise self._lost[item.fence]
        if item.fence is not None and item.fence in self._fenced:
            raise fenced(item.fence)
        if not self._running:
            with self._starting:
                if not self._running:
                    self._running = True
                    self._thread.start()
        self._queue.put(item)

    def close(self) -> None:
        """Commit what is left and end the thread."""
        self._closed = True
        if self._running:
            self._queue.put(None)
            self._thread.join()
        self._engine.dispose()

    # --- in the thread ---

    def _work(self) -> None:
        try:
            self._prepare(self._engine)
        except Exception as error:  # noqa: BLE001  # told to every caller
            self._unusable = error
        connection: Connection | None = None
        more = True
        while more:
            batch, more = self._next_batch()
            try:
                if self._unusable is not None:
                    self._lose(batch, self._unusable)
                    continue
                connection = connection or self._engine.connect()
                self._commit(connection, batch)
            except Exception as error:  # noqa: BLE001  # nothing may end this thread while somebody waits for it
                self._lose(batch, error)
                if connection is not None:
                    connection.close()
                connection = None  # the next batch gets a new one: a lock or a lost server may have passed
        if connection is not None:
            connection.close()

    def _next_batch(self) -> tuple[list[_Append | _Job], bool]:
        batch: list[_Append | _Job] = []
        item = self._queue.get()
        until, hurry = monotonic() + GATHER_SECONDS, False
        while item is not None:
            batch.append(item)
            hurry = hurry or (isinstance(item, _Job) and item.waiter is not None)
            if len(batch) >= MAX_BATCH:
                return batch, True
            try:
                item = self._queue.get(timeout=0 if hurry else max(0.0, until - monotonic()))
            except queue.Empty:
                return batch, True
        return batch, False

    def _lose(self, batch: list[_Append | _Job], error: Exception) -> None:
        """The batch was not committed: tell those who wait, and stop the runs whose events are lost."""
        self._chains.clear()
        known = error if isinstance(error, StoreError) else StoreError(f"the database cannot be used: {error}")
        for item in batch:
            if isinstance(item, _Job):
                item.error = known
            elif item.fence is not None:
                self._lost[item.fence] = known
        _announce(batch)

    def _commit(self, connection: Connection, batch: list[_Append | _Job], tries: int = COLLISIONS) -> None:
        try:
            with transaction(connection):
                _wait_briefly(connection, batch)
                self._execute(connection, batch)
        except Exception as error:
            if not tries or not _collided(error):
                raise
            # Another process has rows of this batch, and may be waiting for others of it. Each piece of work locks
            # in a fixed order, so that one by one nobody waits in a circle.
            self._chains.clear()
            for item in batch:
                self._commit(connection, [item], tries - 1)
            return
        _announce(batch)

    def _execute(self, connection: Connection, batch: list[_Append | _Job]) -> None:
        owned: dict[Fence, bool] = {}
        pending: list[NewEvent] = []
        for item in batch:
            if item.fence is not None and not self._owned(connection, item.fence, owned):
                if isinstance(item, _Job):
                    item.error = fenced(item.fence)
            elif isinstance(item, _Append):
                pending.append(item.row)
            else:
                self._chains.insert(connection, pending)
                pending.clear()
                self._do(connection, item, alone=len(batch) == 1)
        self._chains.insert(connection, pending)

    def _owned(self, connection: Connection, fence: Fence, owned: dict[Fence, bool]) -> bool:
        if fence not in owned:
            row = _EPOCH(connection, id=fence.run_id).fetchone()
            owned[fence] = row is None or row[0] == fence.epoch
            if not owned[fence]:
                self._fenced.add(fence)
        return owned[fence]

    def _do(self, connection: Connection, job: _Job, *, alone: bool) -> None:
        """Do a job; one that is refused is undone, and nothing else is."""
        if alone:
            self._try(connection, job)
            if job.error is not None:
                undo(connection)
            return
        savepoint(connection, "SAVEPOINT")
        self._try(connection, job)
        if job.error is not None:
            savepoint(connection, "ROLLBACK TO SAVEPOINT")
        savepoint(connection, "RELEASE SAVEPOINT")

    def _try(self, connection: Connection, job: _Job) -> None:
        job.error = None
        try:
            job.result = job.do(connection)
            self._chains.insert(connection, job.events)
        except Exception as error:
            if _collided(error):
                raise
            self._chains.forget(job.events)
            job.error = error  # handed to the caller


def _wait_briefly(connection: Connection, batch: Sequence[object]) -> None:
    """Let a batch give way soon: PostgreSQL looks for a deadlock only after a second."""
    if len(batch) > 1 and connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")


def _collided(error: Exception) -> bool:
    """True if PostgreSQL broke a deadlock, could not serialise, or did not get a lock in time."""
    return getattr(getattr(error, "orig", error), "sqlstate", None) in ("40P01", "40001", "55P03")


def _announce(batch: Iterable["_Append | _Job"]) -> None:
    """Tell what became of jobs: each loop once, whoever waits there."""
    waiting: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in batch:
        if isinstance(job, _Append):
            continue
        if job.waiter is not None:
            waiting.setdefault(job.waiter.loop, []).append(job)
        elif job.error is not None and job.failed is not None:
            job.failed(job.error)
    for loop, jobs in waiting.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, jobs)


def _resolve(jobs: Iterable[_Job]) -> None:
    """In the loop: end the waiting."""
    for job in jobs:
        if job.waiter is None or job.waiter.future.done():
            continue
        if job.error is not None:
            job.waiter.future.set_exception(job.error)
        else:
            job.waiter.future.set_result(job.result)


def fenced(fence: Fence) -> Fenced:
    """The error of a process that no longer owns its run."""
    return Fenced(f"run {fence.run_id} was taken over by another process; epoch {fence.epoch} is over")
