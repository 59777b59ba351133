"""What planning needs for classification besides the plugins: remembered answers, and a model client."""

from collections.abc import Iterable

from intendant.model.results import Classification
from intendant.model.workflow import Step, Workflow
from intendant.pilot.classifier_client import STEP, ClassifierModelClient
from intendant.pilot.engine import Engine
from intendant.pilot.small_runs import close_small_run, open_small_run
from intendant.planning.classification import ClassificationMemory
from intendant.planning.decided import Plan
from intendant.record.journal import Journal

DIFFICULTY = 1.0
"""Of telling an intent, 0 to 10: the cheapest tier is enough."""


class ClassificationSupport:
    """Serves the classifiers of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def known(self, steps: Iterable[Step]) -> dict[str, Classification]:
        """What is remembered of the steps that name no intent, by step id; nothing where there is no database."""
        asked = [step for step in steps if step.intent is None]
        if not asked or not self._engine.store_exists:
            return {}
        return await ClassificationMemory(self._engine.store).known(asked, self._engine.plugins.specs)

    def client(self, workflow: Workflow) -> ClassifierModelClient | None:
        """A model client, for at most the tokens that the run has; None where no model may be asked, or none can
        be.

        What it takes is recorded in a run of its own, and charged to the run that is planned.
        """
        engine, settings = self._engine, self._engine.settings.classification
        wanted = any(step.intent is None for step in workflow.steps)
        asking = any(classifier.asks_model for classifier in engine.plugins.classifiers.values())
        if not (wanted and asking and settings.use_model and settings.tokens):
            return None
        tokens = min(settings.tokens, engine.planner.total(workflow))
        route = engine.planner.router(workflow).route(STEP, STEP, DIFFICULTY, {}, tokens)
        if route is None or not engine.plugins.providers[route.provider].charges:
            return None
        return ClassifierModelClient(
            engine.gateway,
            route,
            tokens,
            engine.planner.total_micro_usd(workflow),
            workflow.agent,
            lambda: engine.standing,
            lambda: self._open_run(workflow, tokens),
        )

    async def _open_run(self, workflow: Workflow, tokens: int) -> Journal:
        name = f"classification of {workflow.name}"
        return await open_small_run(self._engine, name, workflow.agent, "classification", tokens=tokens)

    async def finish(self, client: ClassifierModelClient | None, plan: Plan) -> None:
        """Remember the answers that were paid for, and end the run that recorded the calls."""
        if client is None or client.journal is None:
            return
        paid = {name for name, item in self._engine.plugins.classifiers.items() if item.asks_model}
        memory = ClassificationMemory(self._engine.store)
        for step in plan.steps:
            if step.classification.method in paid:
                asked = plan.workflow.by_id[step.step_id]
                await memory.keep(asked, self._engine.plugins.specs, step.classification)
        await self.close(client)

    async def close(self, client: ClassifierModelClient | None) -> None:
        """End the run that recorded the client's calls, if there were any."""
        journal = client.journal if client is not None else None
        if journal is None:
            return
        await close_small_run(journal)
