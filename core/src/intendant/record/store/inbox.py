"""The bounded queue between the producers of jobs and the writer's thread.

Some callers await the commit of their job. While several do, a batch begins when their event loop has run all
tasks that are ready: those that submit too share the commit, and the writer does not compete with them for the
interpreter's lock. A job that no caller awaits goes with the next awaited one, or after `GATHER_SECONDS`: it costs
no commit of its own.

Awaiting producers wait for room without blocking their event loop. Synchronous ones block, for `BLOCK_SECONDS` at
most: the alternatives are to lose an event or to exhaust the memory.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection  # noqa: TID253

from intendant.model.errors import StoreError
from intendant.record.rows import Fence, NewEvent

ItemT = TypeVar("ItemT")
MAX_ROWS = 1000
"""Events and work of one batch: more would delay the callers of the first of them."""
MAX_QUEUED = 2000
"""Jobs that may wait for their batch."""
BLOCK_SECONDS = 5.0
"""How long a synchronous write blocks for room in the queue, before it fails."""
GATHER_SECONDS = 0.004
"""How long a job that no caller awaits waits for others."""
LOOP_SECONDS = 0.012
"""How long a batch waits for an event loop to run the tasks that may submit more."""


class Waiter(NamedTuple):
    """The future that a caller awaits, and its event loop."""

    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


class Job:
    """Work, events, or both, for one transaction."""

    __slots__ = ("do", "error", "events", "failed", "fence", "result", "waiter")

    def __init__(
        self,
        do: Callable[[Connection], Any] | None,
        fence: Fence | None,
        events: Sequence[NewEvent],
        waiter: Waiter | None = None,
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.do, self.fence, self.events, self.waiter, self.failed = do, fence, events, waiter, failed
        self.result: Any = None
        self.error: BaseException | None = None


class Inbox:
    """Holds jobs in the order in which they came.

    Args:
        start: Called before the first job is added.

    Attributes:
        closed: True if no job is accepted any more.
        refused: Why jobs under these fences are refused.
    """

    def __init__(self, start: Callable[[], None]) -> None:
        self.closed = False
        self.refused: dict[Fence, BaseException] = {}
        self._start = start
        self._started = False
        self._starting = threading.Lock()
        self._jobs: deque[Job] = deque()
        self._signals: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._asleep = False
        self._cut = False
        self._crowded = False
        self._running: set[asyncio.AbstractEventLoop] = set()
        self._room = threading.Condition()
        self._blocked = 0
        self._awaiting_room: deque[Waiter] = deque()

    # --- for producers ---

    def put(self, job: Job) -> None:
        """Add a job; blocks while there is no room.

        Raises:
            Fenced: Earlier work under its fence was refused.
            StoreError: Events under its fence were lost, there was no room for `BLOCK_SECONDS`, or the inbox is
                closed.
        """
        if not self._started or self.closed:
            self._open()
        if self.refused and job.fence in self.refused:
            raise self.refused[job.fence]
        if len(self._jobs) >= MAX_QUEUED:
            self._block()
        self._jobs.append(job)
        if job.waiter is None:
            # The thread puts itself to sleep before it looks for jobs, so that one of the two sees the other.
            if self._asleep:
                self._asleep = False
                self._signals.put(False)
        elif not self._crowded:
            self._signals.put(True)
        elif job.waiter.loop not in self._running:
            self._running.add(job.waiter.loop)
            job.waiter.loop.call_soon(self._has_run, job.waiter.loop)

    @property
    def full(self) -> bool:
        """True if there is no room."""
        return len(self._jobs) >= MAX_QUEUED

    async def has_room(self) -> None:
        """Wait until there is room; callers get it in the order in which they came."""
        loop = asyncio.get_running_loop()
        while self.full and not self.closed:
            waiter = Waiter(loop, loop.create_future())
            self._awaiting_room.append(waiter)
            self.make_room()  # the thread may have taken a batch before it could see this waiter
            await waiter.future

    def close(self) -> None:
        """End the waiting of the thread."""
        self.closed = True
        self._signals.put(True)

    def _open(self) -> None:
        if self.closed:
            raise StoreError("the store is closed", hint="the service was closed before its run had ended")
        with self._starting:
            if not self._started:
                self._started = True
                self._start()

    def _has_run(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the loop: the tasks that were ready have run."""
        self._running.discard(loop)
        self._signals.put(True)

    def _block(self) -> None:
        self._signals.put(True)
        with self._room:
            self._blocked += 1
            try:
                free = self._room.wait_for(lambda: not self.full, BLOCK_SECONDS)
            finally:
                self._blocked -= 1
        if not free:
            raise StoreError(
                f"the database is too slow: {MAX_QUEUED} writes have waited for {BLOCK_SECONDS:g} s",
                hint="see whether another program locks it, or whether its disk is overloaded",
            )

    # --- for the thread ---

    def take(self) -> list[Job]:
        """Wait for the next batch; none when the inbox is closed and empty."""
        if not self._cut:  # else the last batch has left some that need not wait any longer
            self._wait()
        while not self._jobs and not self.closed:
            self._wait()
        batch: list[Job] = []
        rows = waiters = 0
        while self._jobs and rows < MAX_ROWS:
            job = self._jobs.popleft()
            batch.append(job)
            rows += len(job.events) + (job.do is not None)
            waiters += job.waiter is not None
        self._cut = rows >= MAX_ROWS
        self._crowded = waiters > 1
        self.make_room()
        return batch

    def _wait(self) -> None:
        """Wait until a caller waits, or until jobs have waited for `GATHER_SECONDS`; in either case also until
        event loops have run the callers that may submit more, for `LOOP_SECONDS` at most.
        """
        until = monotonic() + LOOP_SECONDS
        while not self.closed:
            try:
                awaited = self._signals.get(timeout=GATHER_SECONDS)
            except queue.Empty:
                awaited = bool(self._jobs)
                if not awaited and not self._running:
                    self._sleep()
                    until = monotonic() + LOOP_SECONDS
            if awaited and not self._loops_run(until):
                return

    def _sleep(self) -> None:
        """Wait for a signal, which a job that no caller awaits gives only now."""
        self._asleep = True
        if not self._jobs and not self.closed and self._signals.get():
            self._signals.put(True)
        self._asleep = False

    def _loops_run(self, until: float) -> bool:
        if self._running and monotonic() < until:
            return True
        self._running.clear()  # a loop that takes longer, or has ended, delays nothing
        return False

    def announce(self, batch: Iterable[Job]) -> None:
        """Resolve the futures of a batch, with one `call_soon_threadsafe` per event loop."""
        for job in batch:
            if job.error is not None and job.failed is not None:
                job.failed(job.error)
        by_loop = _by_loop((job.waiter, job) for job in batch if job.waiter is not None)
        for loop, jobs in by_loop.items():
            if self._crowded:
                self._running.add(loop)
            try:
                loop.call_soon_threadsafe(self._resolve, loop, jobs)
            except RuntimeError:  # the loop was closed: its callers are gone
                self._running.discard(loop)

    def _resolve(self, loop: asyncio.AbstractEventLoop, jobs: Iterable[Job]) -> None:
        """In the loop: hand out results and errors, and see that the callers run before the next batch begins."""
        for job in jobs:
            if job.waiter is None or job.waiter.future.done():
                continue
            if job.error is not None:
                job.waiter.future.set_exception(job.error)
            else:
                job.waiter.future.set_result(job.result)
        if loop in self._running:
            loop.call_soon(self._has_run, loop)

    def make_room(self) -> None:
        """Let producers go on that wait for room."""
        if self._blocked:
            with self._room:
                self._room.notify_all()
        if self._awaiting_room:
            free = len(self._awaiting_room) if self.closed else MAX_QUEUED - len(self._jobs)
            waiters: list[Waiter] = []
            with suppress(IndexError):  # another thread may take them as well
                while len(waiters) < free:
                    waiters.append(self._awaiting_room.popleft())
            for loop, of_loop in _by_loop((waiter, waiter) for waiter in waiters).items():
                with suppress(RuntimeError):  # the loop was closed: its callers are gone
                    loop.call_soon_threadsafe(_release, of_loop)


def _release(waiters: Iterable[Waiter]) -> None:
    for waiter in waiters:
        if not waiter.future.done():
            waiter.future.set_result(None)


def _by_loop(items: Iterable[tuple[Waiter, ItemT]]) -> dict[asyncio.AbstractEventLoop, list[ItemT]]:
    found: dict[asyncio.AbstractEventLoop, list[ItemT]] = {}
    for waiter, item in items:
        found.setdefault(waiter.loop, []).append(item)
    return found
