"""What plugin authors subclass to move runs between processes: a dispatcher brings runs to processes."""

import asyncio
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from intendant.hooks.bases import Plugin


class Runner(Protocol):
    """What a dispatcher may call, and nothing else."""

    async def run_segment(self, run_id: str) -> str:
        """Go on with a run until it ends or has to wait; returns its status then, or `elsewhere` if another
        process is at it. Calling it again does no harm: what was done is not done again. Does not raise for what
        is wrong with the run.
        """


class DispatcherHealth(NamedTuple):
    """How a dispatcher is."""

    ok: bool
    waiting: int
    """Runs that were submitted, and that no process is at yet, as far as this dispatcher knows."""
    busy: int
    """Runs that this process is at."""
    note: str = ""
    """Why it is not well."""


async def drained(tasks: Iterable["asyncio.Task[Any]"], drain: float) -> None:
    """Wait for *tasks*, cancel those that take longer than *drain* seconds, and wait until they have ended."""
    waiting = list(tasks)
    if not waiting:
        return
    _, left = await asyncio.wait(waiting, timeout=drain)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class Dispatcher(Plugin):
    """Brings runs to processes that go on with them.

    Only ids cross the border of a process: plans, inputs and results are rows of the database, and the epoch of a
    run refuses whatever a process writes that lost it. A dispatcher may therefore call `Runner.run_segment` more
    often than needed, and at several processes at once; it must call it at least once for each submission.
    """

    kind = "dispatcher"

    @abstractmethod
    async def start(self, runner: Runner, *, worker: str, concurrency: int) -> None:
        """Begin to go on with runs.

        Args:
            runner: Goes on with one.
            worker: The name of this process, unlike that of any other.
            concurrency: Runs that this process is at, at a time, at most.
        """

    @abstractmethod
    async def stop(self, drain: float) -> None:
        """Start no other run, wait *drain* seconds for those that this process is at, and cancel what is left.
        What was submitted and not begun stays submitted, or is found by a worker's next look.
        """

    @abstractmethod
    async def submit(
        self, run_id: str, *, queue: str = "default", priority: int = 0, not_before: float | None = None
    ) -> None:
        """See that some process goes on with a run. Submitting it twice is one submission, until it was begun.

        Args:
            run_id: The run.
            queue: Runs of one queue (an agent's, say) do not keep those of others waiting.
            priority: Higher ones first, within their queue.
            not_before: Seconds since 1970; None for now.
        """

    @abstractmethod
    async def cancel_hint(self, run_id: str) -> None:
        """A run was cancelled: it need not be begun. What counts is the run's row; this only saves work."""

    @abstractmethod
    async def reap(self, worker: str) -> int:
        """Submit again what a dead process was at; returns how many runs. 0 where the dispatcher does so itself,
        or where a worker's looks at the database find them.
        """

    @abstractmethod
    async def health(self) -> DispatcherHealth:
        """How it is. Does not raise."""
