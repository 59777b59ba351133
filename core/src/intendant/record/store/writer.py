"""One thread owns the connection; what arrives while it commits goes into the next transaction (group commit).

A *job* is work, events, or both, executed in one transaction with the other jobs of its batch. Some callers await
the commit: their batch begins when their event loop has run all tasks that are ready, so that those that submit
work too share the commit, and so that the writer does not compete with them for the interpreter's lock. Work that
nobody waits for goes with the next awaited work, or after `GATHER_SECONDS`: it costs no commit of its own. Jobs
are executed in the order in which they were submitted.

A job on a run names its fence: the epoch under which its process owns the run. If another process has claimed the
run since, the job is refused.

Batches are optimistic: no job has a savepoint, since nearly none is refused. When one is, the transaction is
undone and the batch is executed again, each job in a savepoint of its own. Work must therefore change nothing but
the database; it may be executed more than once.

The queue is bounded. Awaiting producers wait for room without blocking their event loop; synchronous ones block,
for `BLOCK_SECONDS` at most, since the alternative is to lose the event or to exhaust the memory.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine  # noqa: TID253

from intendant.model.errors import Fenced, StoreError
from intendant.record.rows import Fence, NewEvent
from intendant.record.store.chain import Chains
from intendant.record.store.session import Session, savepoint, transaction, undo

ResultT = TypeVar("ResultT")
MAX_ROWS = 1000
"""Events and work of one batch: more would delay those who wait for the first of them."""
MAX_QUEUED = 2000
"""Jobs that may wait for their batch."""
BLOCK_SECONDS = 5.0
"""How long a synchronous write blocks for room in the queue, before it fails."""
GATHER_SECONDS = 0.004
"""How long work that nobody waits for waits for more."""
COLLISIONS = 5
"""How often work is executed again after a deadlock."""
CAREFUL_BATCHES = 20
"""Batches with savepoints after one whose work was refused: refusals come in groups."""
LOCK_MILLISECONDS = 50
"""How long a batch of several jobs waits for a row that another process has locked."""


class _Waiter(NamedTuple):
    """The future that a caller awaits, and its event loop."""

    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


class _Job:
    """Work, events, or both, for one transaction."""

    __slots__ = ("do", "error", "events", "failed", "fence", "result", "waiter")

    def __init__(
        self,
        do: Callable[[Connection], Any] | None,
        fence: Fence | None,
        events: Sequence[NewEvent],
        waiter: _Waiter | None = None,
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.do, self.fence, self.events, self.waiter, self.failed = do, fence, events, waiter, failed
        self.result: Any = None
        self.error: BaseException | None = None


class _Refused(Exception):
    """A job of an optimistic batch failed: the batch has to be executed again."""


class Writer:
    """Executes jobs on one database, in the order in which they were submitted."""

    def __init__(self, engine: Engine, prepare: Callable[[Engine], None]) -> None:
        self._engine = engine
        self._prepare = prepare
        self._jobs: deque[_Job] = deque()
        self._signals: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._awake = False
        self._more = False
        self._kicking: set[asyncio.AbstractEventLoop] = set()
        self._unusable: Exception | None = None
        self._refused: dict[Fence, BaseException] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="intendant-store", daemon=True)
        self._chains = Chains()
        self._careful = 0
        self._starting = threading.Lock()
        self._running = False
        self._room = threading.Condition()
        self._blocked = 0
        self._awaiting_room: deque[_Waiter] = deque()

    # --- for producers ---

    def append(self, row: NewEvent, fence: Fence | None = None) -> None:
        """Write an event; committed soon, in order, without waiting. Blocks while the queue is full.

        Raises:
            Fenced: Earlier work under this fence was refused.
            StoreError: Earlier events could not be committed, or the queue stayed full.
        """
        self._put(_Job(None, fence, (row,)))
        self._wake()

    def submit(
        self, do: Callable[[Connection], ResultT], fence: Fence | None = None, events: Sequence[NewEvent] = ()
    ) -> "asyncio.Future[ResultT]":
        """Execute work in a transaction; the future, of the running loop, is done when it is committed. Blocks
        while the queue is full: await `has_room` first where that is possible.

        The *events* are written in the same transaction, and only if the work raises nothing. Cancelling the
        future does not roll back.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop, loop.create_future())
        self._put(_Job(do, fence, events, waiter))
        if loop not in self._kicking:
            self._kicking.add(loop)
            loop.call_soon(self._kick, loop)
        return waiter.future

    def submit_later(
        self,
        do: Callable[[Connection], Any],
        fence: Fence | None,
        events: Sequence[NewEvent],
        failed: Callable[[BaseException], None],
    ) -> None:
        """The same where no caller waits; *failed* is called, in the writer's thread, if the work fails."""
        self._put(_Job(do, fence, events, failed=failed))
        self._wake()

    def full(self) -> bool:
        """True if the queue has no room."""
        return len(self._jobs) >= MAX_QUEUED

    async def has_room(self) -> None:
        """Wait until the queue has room; callers get it in the order in which they came."""
        loop = asyncio.get_running_loop()
        while self.full() and not self._closed:
            waiter = _Waiter(loop, loop.create_future())
            self._awaiting_room.append(waiter)
            self._make_room()  # the writer may have taken a batch before it could see this waiter
            await waiter.future

    def _put(self, job: _Job) -> None:
        if self._closed:
            raise StoreError("the store is closed", hint="the service was closed before its run had ended")
        if self._refused and job.fence in self._refused:
            raise self._refused[job.fence]
        if not self._running:
            self._start()
        if len(self._jobs) >= MAX_QUEUED:
            self._block()
        self._jobs.append(job)

    def _wake(self) -> None:
        """Tell the thread that there is work, which may wait for more."""
        if not self._awake:
            self._awake = True
            self._signals.put(False)

    def _kick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a batch: the tasks of this loop that were ready have run."""
        self._kicking.discard(loop)
        self._signals.put(True)

    def _start(self) -> None:
        with self._starting:
            if not self._running:
                self._running = True
                self._thread.start()

    def _block(self) -> None:
        with self._room:
            self._blocked += 1
            try:
                free = self._room.wait_for(lambda: not self.full(), BLOCK_SECONDS)
            finally:
                self._blocked -= 1
        if not free:
            raise StoreError(
                f"the database is too slow: {MAX_QUEUED} writes have waited for {BLOCK_SECONDS:g} s",
                hint="see whether another program locks it, or whether its disk is overloaded",
            )

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        self._closed = True
        if self._running:
            self._signals.put(True)
            self._thread.join()
        self._engine.dispose()

    # --- in the thread ---

    def _work(self) -> None:
        try:
            self._prepare(self._engine)
        except Exception as error:  # noqa: BLE001  # every caller gets it
            self._unusable = error
        connection: Connection | None = None
        while batch := self._next_batch():
            self._make_room()
            try:
                if self._unusable is not None:
                    self._lose(batch, self._unusable)
                    continue
                connection = connection or self._engine.connect()
                self._commit(connection, batch)
                _announce(batch)
            except Exception as error:  # noqa: BLE001  # this thread must not end while a caller waits for it
                self._lose(batch, error)
                if connection is not None:
                    connection.close()
                connection = None  # the next batch gets a new one: a lock or a lost server may have passed
        if connection is not None:
            connection.close()
        self._make_room()

    def _next_batch(self) -> list[_Job]:
        """The next jobs; none at the end."""
        if not self._more:
            self._wait()
        while not self._jobs and not self._closed:
            self._wait()
        batch: list[_Job] = []
        rows = 0
        while self._jobs and rows < MAX_ROWS:
            job = self._jobs.popleft()
            batch.append(job)
            rows += len(job.events) + (job.do is not None)
        self._more = rows >= MAX_ROWS
        return batch

    def _wait(self) -> None:
        """Wait for work, and then for more, until a caller waits for it."""
        self._awake = False
        # A producer puts its job before it looks whether to signal: one of the two sees the other.
        kicked = self._signals.get() if not self._jobs and not self._closed else False
        self._awake = True
        until = monotonic() + GATHER_SECONDS
        while not kicked and not self._closed and len(self._jobs) < MAX_ROWS:
            try:
                kicked = self._signals.get(timeout=max(0.0, until - monotonic()))
            except queue.Empty:
                return

    def _make_room(self) -> None:
        """Let producers go on that wait for room."""
        if self._blocked:
            with self._room:
                self._room.notify_all()
        if self._awaiting_room:
            free = len(self._awaiting_room) if self._closed else MAX_QUEUED - len(self._jobs)
            waiters: list[_Waiter] = []
            with suppress(IndexError):  # another thread may take them as well
                while len(waiters) < free:
                    waiters.append(self._awaiting_room.popleft())
            _by_loop(waiters, _release)

    def _lose(self, batch: list[_Job], error: Exception) -> None:
        """The batch was not committed: its callers get the error, and runs whose events are lost stop."""
        self._chains.clear()
        known = error if isinstance(error, StoreError) else StoreError(f"the database cannot be used: {error}")
        for job in batch:
            job.error = known
        self._settle(batch)
        _announce(batch)

    def _settle(self, batch: Iterable[_Job]) -> None:
        """A run cannot go on after events of it were lost that nobody waited for."""
        for job in batch:
            if job.error is not None and job.do is None and job.fence is not None:
                self._refused[job.fence] = job.error

    def _commit(self, connection: Connection, batch: list[_Job], tries: int = COLLISIONS) -> None:
        """Execute a batch in one transaction; each job has its result or its error afterwards."""
        try:
            if len(batch) == 1 or self._careful or not self._optimistic(connection, batch):
                self._careful = max(0, self._careful - 1)
                self._pessimistic(connection, batch)
        except Exception as error:
            if not tries or not _collided(error):
                raise
            # Another process has rows of this batch, and may wait for others of it. Each piece of work locks in a
            # fixed order, so that transactions of one job each cannot wait for each other.
            self._chains.clear()
            for job in batch:
                self._commit(connection, [job], tries - 1)

    def _optimistic(self, connection: Connection, batch: list[_Job]) -> bool:
        """Execute a batch without savepoints; False, and nothing done, if a job fails."""
        try:
            with transaction(connection) as session:
                _wait_briefly(session)
                self._read_fences(session, batch)
                for job in batch:
                    if self._owned(session, job):
                        self._do(connection, session, job)
                _flush(session)
        except _Refused:
            self._chains.clear()
            self._careful = CAREFUL_BATCHES
            return False
        return True

    def _do(self, connection: Connection, session: Session, job: _Job) -> None:
        try:
            if job.do is not None:
                if not getattr(job.do, "buffered", False):
                    session.flush()
                job.result = job.do(connection)
            self._chains.add(session, job.events)
        except Exception as error:
            if _collided(error):
                raise
            raise _Refused from error

    def _pessimistic(self, connection: Connection, batch: list[_Job]) -> None:
        """Execute a batch so that jobs that fail undo themselves only."""
        with transaction(connection) as session:
            if len(batch) == 1:
                if self._owned(session, batch[0]) and not self._try(connection, session, batch[0]):
                    undo(connection)
                return
            _wait_briefly(session)
            for job in batch:
                if not self._owned(session, job):
                    continue
                savepoint(session, "SAVEPOINT")
                if not self._try(connection, session, job):
                    savepoint(session, "ROLLBACK TO SAVEPOINT")
                savepoint(session, "RELEASE SAVEPOINT")

    def _try(self, connection: Connection, session: Session, job: _Job) -> bool:
        """Execute a job; False if it failed, and then it has its error."""
        try:
            if job.do is not None:
                job.result = job.do(connection)
            self._chains.add(session, job.events)
            session.flush()
        except Exception as error:
            if _collided(error):
                raise
            session.forget()
            self._chains.forget(job.events)
            job.error = error
            self._settle((job,))
            return False
        return True

    def _owned(self, session: Session, job: _Job) -> bool:
        """True if the job's run is owned under its fence; otherwise the job has its error."""
        job.error = None
        fence = job.fence
        if fence is None:
            return True
        owned = session.owned.get(fence)
        if owned is None:
            self._read_fences(session, (job,))
            owned = session.owned[fence]
        if not owned:
            job.error = self._refused[fence] = fenced(fence)
        return owned

    @staticmethod
    def _read_fences(session: Session, batch: Iterable[_Job]) -> None:
        """Read the epochs of the runs of a batch with one statement."""
        fences = {job.fence for job in batch if job.fence is not None}
        if not fences:
            return
        ids = sorted({fence.run_id for fence in fences})
        mark, locked = ("?", "") if session.sqlite else ("%s", " ORDER BY id FOR UPDATE")
        query = f"SELECT id, epoch FROM run WHERE id IN ({', '.join([mark] * len(ids))}){locked}"  # noqa: S608
        epochs = dict(session.driver.execute(query, ids).fetchall())
        for fence in fences:
            # Events may be written of a run that is no row yet, or no row any more: nobody else can own it.
            session.owned[fence] = epochs.get(fence.run_id, fence.epoch) == fence.epoch


def _flush(session: Session) -> None:
    try:
        session.flush()
    except Exception as error:
        if _collided(error):
            raise
        raise _Refused from error


def _wait_briefly(session: Session) -> None:
    """Let a batch of several jobs give way soon: PostgreSQL looks for a deadlock only after a second."""
    if not session.sqlite:
        session.driver.execute(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")


def _collided(error: Exception) -> bool:
    """True if PostgreSQL broke a deadlock, could not serialise, or did not get a lock in time."""
    return getattr(getattr(error, "orig", error), "sqlstate", None) in ("40P01", "40001", "55P03")


def _announce(batch: Iterable[_Job]) -> None:
    """Resolve the futures of a batch, with one `call_soon_threadsafe` per event loop."""
    jobs: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in batch:
        if job.waiter is not None:
            jobs.setdefault(job.waiter.loop, []).append(job)
        elif job.error is not None and job.failed is not None:
            job.failed(job.error)
    for loop, waiting in jobs.items():
        with suppress(RuntimeError):  # the loop was closed: its callers are gone
            loop.call_soon_threadsafe(_resolve, waiting)


def _resolve(jobs: Iterable[_Job]) -> None:
    """In the loop: hand out results and errors."""
    for job in jobs:
        if job.waiter is None or job.waiter.future.done():
            continue
        if job.error is not None:
            job.waiter.future.set_exception(job.error)
        else:
            job.waiter.future.set_result(job.result)


def _by_loop(waiters: Iterable[_Waiter], then: Callable[[list[_Waiter]], None]) -> None:
    found: dict[asyncio.AbstractEventLoop, list[_Waiter]] = {}
    for waiter in waiters:
        found.setdefault(waiter.loop, []).append(waiter)
    for loop, of_loop in found.items():
        with suppress(RuntimeError):  # the loop was closed: its callers are gone
            loop.call_soon_threadsafe(then, of_loop)


def _release(waiters: Iterable[_Waiter]) -> None:
    for waiter in waiters:
        if not waiter.future.done():
            waiter.future.set_result(None)


def fenced(fence: Fence) -> Fenced:
    """The error of a process that no longer owns its run."""
    return Fenced(f"run {fence.run_id} was taken over by another process; epoch {fence.epoch} is over")
