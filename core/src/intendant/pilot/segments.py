"""The pilot: executes a frame's graph, as far as it goes without waiting for a person or a time."""

import asyncio
import heapq
from collections import deque

from intendant.model.errors import ExpressionFailed, IntendantError
from intendant.model.results import PAUSED, StepStatus
from intendant.model.workflow import Step
from intendant.pilot.frames import Frame
from intendant.pilot.steps import execute


async def run_segment(frame: Frame) -> None:
    """Execute every step whose needs are met, until none is left, or the run is to pause.

    Steps that do not depend on each other run at the same time; of those that are ready the one of the highest
    priority starts first, then the one that comes first in the file. A step whose condition is false is skipped,
    and so is what depends on it, unless its `join` says otherwise; the same where a step failed.

    Args:
        frame: The steps.

    Raises:
        asyncio.CancelledError: The run was cancelled; its steps were cancelled and have ended.
        Fenced: Another process owns the run.
    """
    await _Segment(frame).run()


class _Segment:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.max_parallel = frame.run.max_parallel
        self.steps = frame.steps
        self.order = frame.order
        self.graph = frame.graph
        self.outcomes = frame.outcomes
        self.left = {step: len(needs) for step, needs in self.graph.needs.items()}
        self.ready: list[tuple[int, int, str]] = []
        self.running: dict[str, asyncio.Task[None]] = {}
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    async def run(self) -> None:
        for step in self.outcomes:  # those of a run that is resumed
            for dependant in self.graph.dependants[step]:
                self.left[dependant] -= 1
        for step, count in self.left.items():
            if count == 0 and step not in self.outcomes:
                self.push(step)
        try:
            while self.may_start or self.running:
                while self.may_start and len(self.running) < self.max_parallel:
                    self.start(heapq.heappop(self.ready)[2])
                if self.running:
                    await self.end(await self.ended.get())
        finally:
            await self.stop()
        for _, _, step in self.ready:
            self.frame.wait(step, PAUSED)

    @property
    def may_start(self) -> bool:
        """Whether there is a step to start."""
        return bool(self.ready) and not self.frame.run.paused

    def push(self, step: str) -> None:
        heapq.heappush(self.ready, (-self.steps[step].priority, self.order[step], step))

    def start(self, step: str) -> None:
        try:
            wanted = self.frame.should_run(step)
        except IntendantError as error:
            if isinstance(error, ExpressionFailed) and self.frame.sees_withheld(step):
                self.frame.skip(step, f"its condition needs the answer to a delivery, and the run is dry: {error}")
            else:
                self.frame.fail(step, error)
            self.release(step)
            return
        if not wanted:
            self.frame.skip(step, f"its condition is false: {self.steps[step].when}")
            self.release(step)
            return
        self.running[step] = asyncio.create_task(self.execute(step), name=f"intendant:{self.frame.address}{step}")

    async def execute(self, step: str) -> None:
        try:
            await execute(self.frame, step)
        finally:
            self.ended.put_nowait(step)

    async def end(self, step: str) -> None:
        await self.running.pop(step)
        self.release(step)

    def release(self, step: str) -> None:
        """A step has ended: what is left of those that need it is ready, or is skipped."""
        ended = deque([step])
        while ended:
            need = ended.popleft()
            if self.outcomes[need].status is StepStatus.waiting:
                continue  # what needs it waits as well
            for name in self.graph.dependants[need]:
                if name in self.outcomes:
                    continue
                self.left[name] -= 1
                if (reason := self.why_not(self.steps[name], need)) is not None:
                    self.frame.skip(name, reason)
                    ended.append(name)
                elif self.left[name] == 0:
                    self.push(name)

    def why_not(self, step: Step, need: str) -> str | None:
        """Why a step is skipped now that *need* has ended; None if it is not."""
        outcome = self.outcomes[need]
        if step.join == "all":
            if outcome.is_done or need in self.graph.asked[step.id]:
                return None
            return f"step '{need}', which it needs, was {outcome.status.value}"
        if step.join == "any" and self.left[step.id] == 0:
            needs = self.graph.needs[step.id]
            if not any(self.outcomes[name].is_done for name in needs):
                return f"none of the steps that it joins was completed: {', '.join(needs)}"
        return None

    async def stop(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        for task in self.running.values():
            task.cancel()
        await asyncio.gather(*self.running.values(), return_exceptions=True)
