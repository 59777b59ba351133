"""The pilot: executes a whole graph, as far as it goes without waiting for a person."""

import asyncio
import heapq
from collections import deque

from intendant.model.errors import IntendantError
from intendant.model.results import StepStatus
from intendant.pilot.orchestrator import WorkflowOrchestrator


async def run_segment(orchestrator: WorkflowOrchestrator, max_parallel: int) -> None:
    """Execute every step whose needs are met, until none is left.

    Steps that do not depend on each other run at the same time; of those that are ready the one of the highest
    priority starts first, then the one that comes first in the file. A step whose condition is false is skipped,
    and so is what depends on it; what depends on a failed step is skipped too, and everything else goes on.

    Args:
        orchestrator: An initialized run.
        max_parallel: Steps at the same time.

    Raises:
        asyncio.CancelledError: The run was cancelled; its steps were cancelled and have ended.
        Fenced: Another process owns the run.
    """
    await _Segment(orchestrator, max_parallel).run()


class _Segment:
    def __init__(self, orchestrator: WorkflowOrchestrator, max_parallel: int) -> None:
        self.orchestrator = orchestrator
        self.max_parallel = max_parallel
        self.steps = orchestrator.plan.workflow.by_id
        self.order = orchestrator.plan.workflow.order
        self.graph = orchestrator.graph
        self.outcomes = orchestrator.outcomes
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
            while self.ready or self.running:
                while self.ready and len(self.running) < self.max_parallel:
                    self.start(heapq.heappop(self.ready)[2])
                if self.running:
                    await self.end(await self.ended.get())
        finally:
            await self.stop()

    def push(self, step: str) -> None:
        heapq.heappush(self.ready, (-self.steps[step].priority, self.order[step], step))

    def start(self, step: str) -> None:
        try:
            wanted = self.orchestrator.should_run(step)
        except IntendantError as error:
            self.orchestrator.fail(step, error)
            self.skip_dependants(step)
            return
        if not wanted:
            self.orchestrator.skip(step, f"its condition is false: {self.steps[step].when}")
            self.skip_dependants(step)
            return
        self.running[step] = asyncio.create_task(self.execute(step), name=f"intendant:{step}")

    async def execute(self, step: str) -> None:
        try:
            await self.orchestrator.execute_step(step)
        finally:
            self.ended.put_nowait(step)

    async def end(self, step: str) -> None:
        await self.running.pop(step)
        outcome = self.outcomes[step]
        if outcome.status is StepStatus.waiting:
            return  # what depends on it waits too
        if outcome.status is not StepStatus.completed:
            self.skip_dependants(step)
            return
        for dependant in self.graph.dependants[step]:
            self.left[dependant] -= 1
            if self.left[dependant] == 0 and dependant not in self.outcomes:
                self.push(dependant)

    def skip_dependants(self, step: str) -> None:
        reached = deque([step])
        while reached:
            cause = reached.popleft()
            status = self.outcomes[cause].status.value
            for dependant in self.graph.dependants[cause]:
                if dependant not in self.outcomes:
                    self.orchestrator.skip(dependant, f"step '{cause}', which it needs, was {status}")
                    reached.append(dependant)

    async def stop(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        for task in self.running.values():
            task.cancel()
        await asyncio.gather(*self.running.values(), return_exceptions=True)
