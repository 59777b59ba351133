"""The writer: one thread owns the connection and commits in groups. Jobs submitted during a commit form the next
transaction.

A *job* is work, events, or both. All jobs of a batch are executed in one transaction, in the order of submission.
A job on a run carries a fence: the epoch in which its process owns the run. If another process has claimed the run
since, the job is refused.

Batches are optimistic: jobs have no savepoints, because very few are refused. If one is, the transaction is rolled
back and the batch is executed again with a savepoint for each job. Work may therefore be executed more than once,
and must change nothing but the database.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine  # noqa: TID253

from intendant.model.errors import Fenced, IntendantError, StoreError
from intendant.record.rows import Fence, NewEvent
from intendant.record.store.chain import Chains
from intendant.record.store.checkpoints import Checkpointer
from intendant.record.store.clock import Clock
from intendant.record.store.database import short
from intendant.record.store.digests import EVERYTHING
from intendant.record.store.inbox import Inbox, Job, Waiter
from intendant.record.store.session import Session, savepoint, session_of

ResultT = TypeVar("ResultT")
COLLISIONS = 5
"""How often work is retried after a deadlock."""
CAREFUL_BATCHES = 20
"""Number of batches with savepoints after a refusal: refusals come in groups."""
LOCK_MILLISECONDS = 50
"""How long a batch waits for a row lock: PostgreSQL looks for deadlocks only after a second. A job that is retried
alone waits without a limit, because a single job cannot deadlock."""


_NEWEST_LIMIT = ", (SELECT max(id) FROM budget_limit)"
"""Column that tells if the cached standing limits are still current (PostgreSQL)."""


class _Refused(Exception):
    """A job of an optimistic batch failed; the batch must be executed again."""


class Writer:
    """Executes jobs on one database, in the order of submission.

    Args:
        engine: The database; disposed of when the writer is closed.
        prepare: Called before the first transaction, in the writer's thread.
        key: Signs each event; None for no signatures.

    Attributes:
        inbox: The queue of jobs.
        clock: The clock of the database.
    """

    def __init__(self, engine: Engine, prepare: Callable[[Engine], None], key: bytes | None = None) -> None:
        self._engine = engine
        self._prepare = prepare
        self._unusable: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="intendant-store", daemon=True)
        self._chains = Chains(key)
        self._checkpointer = Checkpointer(engine)
        self._careful = 0
        self._connection: Connection | None = None
        self.clock = Clock()
        self.inbox = Inbox(self._thread.start)

    def append(self, rows: Sequence[NewEvent], fence: Fence | None = None) -> None:
        """Queue events; they are committed soon, in order. Blocks while the queue is full.

        Raises:
            Fenced: Earlier work with this fence was refused.
            StoreError: Earlier events could not be committed, or the queue stayed full.
        """
        self.inbox.put(Job(None, fence, rows))

    def submit(
        self, do: Callable[[Connection], ResultT], fence: Fence | None = None, events: Sequence[NewEvent] = ()
    ) -> "asyncio.Future[ResultT]":
        """Execute work in a transaction; returns a future of the running loop, which is done after the commit.
        Blocks while the queue is full: await `inbox.has_room` first if possible.

        The *events* are written in the same transaction, and only if the work does not raise. Cancelling the
        future does not roll back the work.
        """
        loop = asyncio.get_running_loop()
        waiter = Waiter(loop, loop.create_future())
        self.inbox.put(Job(do, fence, events, waiter))
        return waiter.future

    def submit_later(
        self,
        do: Callable[[Connection], Any],
        fence: Fence | None,
        events: Sequence[NewEvent],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Queue work that no caller awaits; the callback *failed* is called in the writer's thread if it fails."""
        self.inbox.put(Job(do, fence, events, failed=failed))

    def close(self) -> None:
        """Commit the queue and end the thread."""
        self.inbox.close()
        if self._thread.ident is not None:
            self._thread.join()
        self._checkpointer.close()
        self._engine.dispose()

    # --- in the thread ---

    def _work(self) -> None:
        try:
            self._prepare(self._engine)
        except Exception as error:  # noqa: BLE001  # raised to every caller
            self._unusable = error
        while batch := self.inbox.take():
            try:
                if self._unusable is not None:
                    self._lose(batch, self._unusable)
                    continue
                self._commit(batch)
                self.inbox.announce(batch)
                self._checkpointer.note(sum(len(job.events) + (job.do is not None) for job in batch))
            except Exception as error:  # noqa: BLE001  # this thread must not end while a caller waits for it
                self._lose(batch, error)
                self._disconnect()  # the next batch gets a new connection: the lock or the outage may be over
        self._disconnect()

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
            session_of(self._connection).clock = self.clock
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _lose(self, batch: list[Job], error: Exception) -> None:
        """Fail a batch that was not committed: its callers get the error, and runs that lost events stop."""
        self._chains.clear()
        known = _ours(error)
        for job in batch:
            job.error = known
        self._settle(batch)
        self.inbox.announce(batch)

    def _settle(self, batch: Iterable[Job]) -> None:
        """Stop the runs that have lost work which no caller awaited."""
        for job in batch:
            if job.error is not None and job.waiter is None and job.fence is not None:
                self.inbox.refused[job.fence] = _ours(job.error)

    def _commit(self, batch: list[Job], tries: int = COLLISIONS, *, reconnect: bool = True) -> None:
        """Execute a batch in one transaction; afterwards each job has its result or its error."""
        connection = self._connected()
        try:
            if len(batch) == 1 or self._careful or not self._optimistic(connection, batch):
                self._careful = max(0, self._careful - 1)
                self._pessimistic(connection, batch, patient=tries < COLLISIONS)
        except Exception as error:
            if reconnect and session_of(connection).was_lost:
                # The server has restarted, or closed an idle connection. It has committed nothing of this batch.
                self._chains.clear()
                self._disconnect()
                self._commit(batch, tries, reconnect=False)
                return
            if not tries or not _collided(error):
                raise
            # Another process has locked rows of this batch, and may be waiting for others of it. Work locks in a
            # fixed order, so transactions with a single job cannot deadlock.
            self._chains.clear()
            for job in batch:
                self._commit([job], tries - 1)

    def _optimistic(self, connection: Connection, batch: list[Job]) -> bool:
        """Execute a batch without savepoints; returns False, with nothing done, if a job fails."""
        session = session_of(connection)
        session.begin(connection)
        try:
            session.wait_for_locks(LOCK_MILLISECONDS)
            self._read_fences(session, batch)
            for job in batch:
                if self._owned(session, job):
                    self._do(connection, session, job)
            self._flush(session)
        except BaseException as error:
            session.undo(connection)
            if not isinstance(error, _Refused):
                raise
            self._chains.clear()
            self._careful = CAREFUL_BATCHES
            return False
        session.commit(connection)
        return True

    def _do(self, connection: Connection, session: Session, job: Job) -> None:
        try:
            self._execute(connection, session, job)
        except Exception as error:
            if session.was_lost or _collided(error):
                raise
            raise _Refused from error

    def _execute(self, connection: Connection, session: Session, job: Job) -> None:
        if job.do is not None:
            session.chain = EVERYTHING if job.fence is None else job.fence.run_id
            buffered = getattr(job.do, "buffered", False)
            if not buffered:
                # The work may read the last event of a run, so earlier jobs must have written theirs. Without a
                # fence, the run is unknown.
                self._chains.commit_runs(session, job.fence)
                session.flush()
            job.result = job.do(connection)
            if not buffered:
                session.owned.clear()  # the work may have claimed a run
        self._chains.add(session, job.events)

    def _flush(self, session: Session) -> None:
        try:
            self._chains.commit(session)
            session.flush()
        except Exception as error:
            if session.was_lost or _collided(error):
                raise
            raise _Refused from error

    def _pessimistic(self, connection: Connection, batch: list[Job], *, patient: bool) -> None:
        """Execute a batch in which a failing job undoes only itself; a *patient* one waits for locks."""
        session = session_of(connection)
        session.begin(connection)
        try:
            session.wait_for_locks(0 if patient else LOCK_MILLISECONDS)
            if len(batch) == 1:
                if self._owned(session, batch[0]) and not self._try(connection, session, batch[0]):
                    session.undo(connection)
            else:
                self._one_by_one(connection, session, batch)
        except BaseException:
            session.undo(connection)
            raise
        session.commit(connection)

    def _one_by_one(self, connection: Connection, session: Session, batch: list[Job]) -> None:
        for job in batch:
            if not self._owned(session, job):
                continue
            savepoint(session, "SAVEPOINT")
            if not self._try(connection, session, job):
                if job.error is not None and session.was_undone:
                    raise job.error  # the whole batch is undone
                savepoint(session, "ROLLBACK TO SAVEPOINT")
            savepoint(session, "RELEASE SAVEPOINT")

    def _try(self, connection: Connection, session: Session, job: Job) -> bool:
        """Execute a job; returns False if it failed, and sets its error."""
        try:
            self._execute(connection, session, job)
            self._chains.commit(session)
            session.flush()
        except Exception as error:
            if session.was_lost or _collided(error):
                raise
            session.forget()
            self._chains.forget(job.events, None if job.fence is None else job.fence.run_id)
            job.error = error
            self._settle((job,))
            return False
        return True

    def _owned(self, session: Session, job: Job) -> bool:
        """True if the fence of a job is current; otherwise sets the error of the job."""
        job.error = None
        fence = job.fence
        if fence is None:
            return True
        owned = session.owned.get(fence)
        if owned is None:
            self._read_fences(session, (job,))
            owned = session.owned[fence]
        if not owned:
            job.error = self.inbox.refused[fence] = fenced(fence)
        return owned

    @staticmethod
    def _read_fences(session: Session, batch: Iterable[Job]) -> None:
        """Read the epochs of the runs of a batch with one statement."""
        fences = {job.fence for job in batch if job.fence is not None and job.fence not in session.owned}
        if not fences:
            return
        ids = sorted({fence.run_id for fence in fences})
        more, locked = ("", "") if session.sqlite else (_NEWEST_LIMIT, " ORDER BY id FOR UPDATE")
        query = f"SELECT id, epoch{more} FROM run WHERE id IN ({', '.join('?' * len(ids))}){locked}"  # noqa: S608
        rows = session.execute(query, ids).fetchall()
        if rows and not session.sqlite:
            session.see_limits(rows[0][2])
        epochs = {row[0]: row[1] for row in rows}
        for fence in fences:
            # A run without a row (not yet, or no longer) cannot have another owner.
            session.owned[fence] = epochs.get(fence.run_id, fence.epoch) == fence.epoch


def _ours(error: BaseException) -> BaseException:
    """Wrap an error of the database in one that callers know; return others unchanged."""
    if isinstance(error, IntendantError) or not isinstance(error, Exception):
        return error
    return StoreError(f"the database cannot be used: {short(error)}")


def _collided(error: Exception) -> bool:
    """True if PostgreSQL reported a deadlock, a serialisation failure or a lock timeout."""
    return getattr(getattr(error, "orig", error), "sqlstate", None) in ("40P01", "40001", "55P03")


def fenced(fence: Fence) -> Fenced:
    """The error of a process that no longer owns its run."""
    return Fenced(f"run {fence.run_id} was taken over by another process; epoch {fence.epoch} is over")
