"""The dispatcher that needs nothing: runs are executed by the process that submits them."""

import asyncio
import heapq
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from time import time
from typing import Any

from intendant.config.logs import get_logger
from intendant.hooks.dispatchers import Dispatcher, DispatcherHealth, Runner, drained

log = get_logger("intendant.worker")
LONGEST_NAP = 1.0
"""Seconds after which what is to come later is looked at again: clocks may be set."""


class EmbeddedDispatcher(Dispatcher):
    """Executes runs in this process: some at a time, one queue after the other, higher priorities first."""

    name = "embedded"

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._runner: Runner | None = None
        self._concurrency = 0
        self._queues: OrderedDict[str, list[tuple[int, int, str]]] = OrderedDict()
        self._later: list[tuple[float, int, str, str, int]] = []
        self._submitted: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._number = count()
        self._changed = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def start(self, runner: Runner, *, worker: str, concurrency: int) -> None:  # noqa: ARG002
        """Begin to go on with runs."""
        self._runner, self._concurrency = runner, concurrency
        self._changed = asyncio.Event()
        self._changed.set()
        self._loop = asyncio.create_task(self._dispatch(), name="intendant:dispatcher")

    async def stop(self, drain: float) -> None:
        """Start no other run, and wait for those that are being executed."""
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop
            self._loop = None
        await drained(self._tasks.values(), drain)
        self._runner = None

    async def submit(
        self, run_id: str, *, queue: str = "default", priority: int = 0, not_before: float | None = None
    ) -> None:
        """Execute a run when its turn comes."""
        if run_id in self._submitted:
            return
        self._submitted.add(run_id)
        if not_before is not None and not_before > time():
            heapq.heappush(self._later, (not_before, next(self._number), run_id, queue, priority))
        else:
            self._enqueue(run_id, queue, priority)
        self._changed.set()

    async def cancel_hint(self, run_id: str) -> None:
        """Forget a run that was not begun."""
        self._submitted.discard(run_id)

    async def reap(self, worker: str) -> int:  # noqa: ARG002  # it knows no other
        """Nothing: a worker's looks at the database find what dead processes were at."""
        return 0

    async def health(self) -> DispatcherHealth:
        """How many runs wait, and how many are being executed."""
        alive = self._loop is not None and not self._loop.done()
        return DispatcherHealth(
            alive, len(self._submitted), len(self._tasks), "" if alive else "it is not started"
        )

    # --- turns ---

    def _enqueue(self, run_id: str, queue: str, priority: int) -> None:
        heapq.heappush(self._queues.setdefault(queue, []), (-priority, next(self._number), run_id))

    async def _dispatch(self) -> None:
        while True:
            await self._wait()
            while self._later and self._later[0][0] <= time():
                _, _, run_id, queue, priority = heapq.heappop(self._later)
                self._enqueue(run_id, queue, priority)
            while len(self._tasks) < self._concurrency and (found := self._next()) is not None:
                self._begin(found)

    async def _wait(self) -> None:
        """Wait for a change, or until what is to come later has come."""
        nap = min(LONGEST_NAP, max(0.0, self._later[0][0] - time())) if self._later else None
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), nap)
        self._changed.clear()

    def _next(self) -> str | None:
        """The run whose turn it is: the first of the queue that has waited longest for one."""
        for queue in list(self._queues):
            waiting = self._queues[queue]
            while waiting:
                _, _, run_id = heapq.heappop(waiting)
                if run_id not in self._submitted or run_id in self._tasks:
                    continue  # cancelled, or submitted again while it is executed: a worker's look finds it later
                self._queues.move_to_end(queue)
                return run_id
            del self._queues[queue]
        return None

    def _begin(self, run_id: str) -> None:
        self._submitted.discard(run_id)
        self._tasks[run_id] = asyncio.create_task(self._execute(run_id), name=f"intendant:{run_id}")

    async def _execute(self, run_id: str) -> None:
        runner = self._runner
        try:
            if runner is not None:
                await runner.run_segment(run_id)
        except Exception:
            log.exception("run_segment_raised", run_id=run_id)
        finally:
            del self._tasks[run_id]
            self._changed.set()
