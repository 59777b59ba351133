"""What planning needs besides the plugins: what is remembered of classifications, and a door to a model."""

from collections.abc import Iterable
from pathlib import Path
from time import time
from typing import TYPE_CHECKING
from uuid import uuid4

from intendant.model import events
from intendant.model.results import Classification, RunStatus
from intendant.model.workflow import Step, Workflow
from intendant.pilot.doors import STEP, ClassificationDoor
from intendant.planning.classification import ClassificationMemory
from intendant.planning.planner import Plan
from intendant.record.journal import Journal
from intendant.record.rows import RunRow
from intendant.record.store import runs

if TYPE_CHECKING:
    from intendant.pilot.service import OrchestrationService

DIFFICULTY = 1.0
"""Telling an intent is easy: the cheapest tier does it."""


class ClassificationDesk:
    """Serves the classifiers of one engine."""

    def __init__(self, service: "OrchestrationService") -> None:
        self._service = service

    async def known(self, steps: Iterable[Step]) -> dict[str, Classification]:
        """What is remembered of the steps that name no intent; nothing where no database exists yet."""
        asked = [step for step in steps if step.intent is None]
        if not asked or not self.has_store():
            return {}
        memory = ClassificationMemory(self._service.store)
        return await memory.known(asked, self._service.plugins.specs)

    def has_store(self) -> bool:
        """True if looking into the store does not create one: planning changes nothing."""
        if "store" in self._service.__dict__:
            return True
        url = self._service.store_url
        if url == "none":
            return False
        path = url.removeprefix("sqlite:///")
        return path == url or Path(path).is_file()

    def door(self, workflow: Workflow) -> ClassificationDoor | None:
        """A door to a model with a budget of its own; None where no model may or can be asked."""
        settings = self._service.settings.classification
        wanted = any(step.intent is None for step in workflow.steps)
        asking = any(classifier.asks_model for classifier in self._service.plugins.classifiers.values())
        if not (wanted and asking and settings.use_model and settings.tokens):
            return None
        route = self._service.planner.router(workflow).route(STEP, STEP, DIFFICULTY, {}, settings.tokens)
        if route is None or self._service.plugins.providers[route.provider].produced_by != "model":
            return None
        return ClassificationDoor(
            self._service.gateway,
            route,
            settings.tokens,
            self._service.planner.total_micro_usd(workflow),
            workflow.agent,
            lambda: self._service.standing,
            lambda: self._open(workflow, settings.tokens),
        )

    async def _open(self, workflow: Workflow, tokens: int) -> Journal:
        run_id = f"c_{int(time() * 1000):012x}{uuid4().hex[:10]}"
        row = RunRow(
            id=run_id,
            workflow=f"classification of {workflow.name}",
            agent=workflow.agent,
            plan="{}",
            plan_version=0,
            inputs="{}",
            status=RunStatus.running.value,
            worker=self._service.worker,
            created_at=time(),
        )
        store = self._service.store
        journal = Journal(store, await store.do(runs.open_run(row)))
        journal.record(
            events.Initialized,
            workflow=row.workflow,
            agent=workflow.agent,
            steps=1,
            budget_tokens=tokens,
            budget_micro_usd=None,
            budget_strategy="classification",
        )
        return journal

    async def finish(self, door: ClassificationDoor | None, plan: Plan) -> None:
        """Remember the answers that were paid for, and end the run that they are recorded in."""
        journal = door.journal if door is not None else None
        if journal is None:
            return
        paid = {name for name, item in self._service.plugins.classifiers.items() if item.asks_model}
        memory = ClassificationMemory(self._service.store)
        for step in plan.steps:
            if step.classification.method in paid:
                asked = plan.workflow.by_id[step.step_id]
                await memory.keep(asked, self._service.plugins.specs, step.classification)
        await self.close(door)

    async def close(self, door: ClassificationDoor | None) -> None:
        """End the run that the door's calls are recorded in, if there were any."""
        journal = door.journal if door is not None else None
        if journal is None:
            return
        journal.record(events.Completed, status=RunStatus.completed, seconds=0.0)
        await journal.commit(runs.finish_run(journal.fence, RunStatus.completed.value))
