"""One run, step by step: for hosts that have an engine of their own, and for the pilot."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from time import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from intendant.config.flags import is_on
from intendant.model import events
from intendant.model.errors import IntendantError, ReferenceFailed
from intendant.model.events import Event
from intendant.model.requests import MemoryContext
from intendant.model.results import Failure, Metrics, RunResult, RunStatus, StepOutcome, StepStatus
from intendant.model.workflow import Json, Limits, Workflow
from intendant.pilot.conditions import Expression, computes_names, step_names
from intendant.pilot.graph import CONDITION_NAMES, Graph, check
from intendant.pilot.resuming import PLAN_VERSION, find_resumable
from intendant.pilot.sandbox import bounded
from intendant.pilot.steps import StepRunner
from intendant.planning.planner import Plan, StepPlan
from intendant.record.journal import Journal, read_events
from intendant.record.store import budgets
from intendant.spending.ledger import RunLedger

if TYPE_CHECKING:
    from intendant.pilot.service import OrchestrationService

GIVEN: Any = object()
"""Stands for what the host has not given; null is a value."""


@dataclass(slots=True)
class _Flight:
    """A run that has begun."""

    plan: Plan
    graph: Graph
    journal: Journal
    runner: StepRunner
    inputs: dict[str, Json]
    started: float
    outcomes: dict[str, StepOutcome] = field(default_factory=dict)


class WorkflowOrchestrator:
    """One run of a workflow, driven by the host.

    Example:
        ```python
        flight = service.orchestrator()
        if await flight.initialize(workflow, {"folder": "mails"}):
            outcome = await flight.execute_step("fetch")
            result = await flight.complete()
        ```

    Args:
        service: The engine.
        listeners: Called with each event; must be quick.
    """

    def __init__(
        self,
        service: "OrchestrationService",
        listeners: Iterable[Callable[[Event], None]] = (),
        on_text: Callable[[str, str], object] | None = None,
    ) -> None:
        self._service = service
        self._listeners = tuple(listeners)
        self._on_text = on_text
        self._flight: _Flight | None = None
        self._last: _Flight | None = None
        self._busy: set[str] = set()

    def is_active(self) -> bool:
        """True between `initialize` and `complete`."""
        return self._flight is not None

    @property
    def run_id(self) -> str:
        """The run's id.

        Raises:
            IntendantError: No run is active.
        """
        return self._active().journal.run_id

    @property
    def plan(self) -> Plan:
        """What was decided."""
        return self._active().plan

    @property
    def graph(self) -> Graph:
        """Which steps come before which."""
        return self._active().graph

    @property
    def outcomes(self) -> Mapping[str, StepOutcome]:
        """The steps that have ended."""
        return self._active().outcomes

    def metadata(self) -> Metrics:
        """The figures of the run so far, or of the one that was completed last."""
        flight = self._flight or self._last or self._active()
        return flight.journal.metrics.result()

    def _active(self) -> _Flight:
        if self._flight is None:
            raise IntendantError("no run is active", hint="call `initialize` first, and see that it returns True")
        return self._flight

    async def initialize(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Json] | None = None,
        memory: MemoryContext | None = None,
    ) -> bool:
        """Check and plan the workflow, and open a run.

        Args:
            workflow: The workflow.
            inputs: Values for its inputs.
            memory: What is known before the run.

        Returns:
            False, without having done anything, if the flag `orchestration_enabled` is off.

        Raises:
            WorkflowError: The workflow or its inputs are wrong.
            IntendantError: A run is active already.
        """
        settings = self._service.settings
        if not is_on(settings.flags.orchestration_enabled, workflow.agent):
            return False
        if self._flight is not None:
            raise IntendantError("a run is active already", hint="call `complete` or `reset` first")
        graph = check(workflow, self._service.plugins, inputs or {})
        plan = await self._service.plan_graph(workflow, graph, ask_model=True, memory=memory is not None)
        values = {name: item.default for name, item in workflow.inputs.items() if not item.required}
        values |= dict(inputs or {})
        journal = await self._open(plan, values, memory)
        self._flight = await self._flight_of(plan, graph, journal, values, memory)
        self._record_plan(self._flight)
        return True

    async def resume(self, run: str, *, take_over: bool = False, limits: Limits | None = None) -> None:
        """Go on with a run that was broken off, or that did not succeed: what was done is not done again, and what
        was paid for is not paid again. It goes by the plan that it had.

        Args:
            run: Its id, or the beginning of that; `last` for the newest.
            take_over: Also where another process may still be at it; that one is refused from then on.
            limits: What the run may spend in all from now on, where that is to change.

        Raises:
            RunNotFound: There is no such run.
            IntendantError: It is completed, or another process may be at it, or a run is active already.
            WorkflowError: Its workflow cannot be run with what is installed now.
            BudgetExceeded: More is spent already than *limits* admit.
        """
        if self._flight is not None:
            raise IntendantError("a run is active already", hint="call `complete` or `reset` first")
        found = await find_resumable(self._service.store, run, take_over=take_over)
        tokens = None if limits is None else limits.tokens
        micro = None if limits is None or limits.usd is None else round(limits.usd * 1_000_000)
        changed = {"budget_tokens": tokens, "budget_micro_usd": micro}
        plan = found.plan.model_copy(update={name: limit for name, limit in changed.items() if limit is not None})
        graph = check(plan.workflow, self._service.plugins, found.inputs)
        store = self._service.store
        await store.do(budgets.set_limits(f"run:{found.run_id}", tokens, micro))
        fence = await store.claim_run(found.run_id, self._service.worker)
        journal = Journal(store, fence, self._listeners, await read_events(store, found.run_id))
        self._flight = await self._flight_of(plan, graph, journal, found.inputs, found.memory, found.outcomes)
        journal.record(
            events.Resumed(
                run_id=found.run_id,
                worker=self._service.worker,
                epoch=fence.epoch,
                kept=len(found.outcomes),
                budget_tokens=plan.budget_tokens,
                budget_micro_usd=plan.budget_micro_usd,
            )
        )

    async def _flight_of(
        self,
        plan: Plan,
        graph: Graph,
        journal: Journal,
        values: dict[str, Json],
        memory: MemoryContext | None,
        outcomes: Mapping[str, StepOutcome] | None = None,
    ) -> _Flight:
        settings, workflow = self._service.settings, plan.workflow
        done = dict(outcomes or {})
        ledger = RunLedger(
            journal,
            tokens=plan.budget_tokens,
            micro_usd=plan.budget_micro_usd,
            allocations={step.step_id: step.tokens for step in plan.steps if step.needs_model},
            overage=settings.budget.overage_allowed,
            threshold=settings.budget.overage_threshold,
            agent=workflow.agent,
            standing=self._service.standing,
        )
        await ledger.open(done)
        runner = StepRunner(
            self._service.plugins,
            settings,
            self._service.gateway,
            journal,
            ledger,
            compress=is_on(settings.flags.compression_enabled, workflow.agent),
            memory=memory,
            goal=workflow.description or workflow.name,
            on_text=self._on_text,
        )
        return _Flight(plan, graph, journal, runner, values, time(), done)

    async def _open(self, plan: Plan, inputs: Mapping[str, Json], memory: MemoryContext | None) -> Journal:
        import json

        run_id = f"r_{int(time() * 1000):012x}{uuid4().hex[:10]}"  # sorts by time
        store = self._service.store
        fence = await store.open_run(
            {
                "id": run_id,
                "workflow": plan.workflow.name,
                "agent": plan.workflow.agent,
                "plan": plan.model_dump_json(by_alias=True),
                "plan_version": PLAN_VERSION,
                "inputs": json.dumps(inputs),
                "memory": None if memory is None else memory.model_dump_json(),
                "status": RunStatus.running.value,
                "worker": self._service.worker,
                "created_at": time(),
            }
        )
        return Journal(store, fence, self._listeners)

    def _record_plan(self, flight: _Flight) -> None:
        plan, journal = flight.plan, flight.journal
        journal.record(
            events.Initialized(
                run_id=journal.run_id,
                workflow=plan.workflow.name,
                agent=plan.workflow.agent,
                steps=len(plan.steps),
                budget_tokens=plan.budget_tokens,
                budget_micro_usd=plan.budget_micro_usd,
                budget_strategy=plan.strategy,
                inputs=flight.inputs,
            )
        )
        for step in plan.steps:
            found = step.classification
            journal.record(
                events.IntentClassified(
                    run_id=journal.run_id,
                    step_id=step.step_id,
                    intent=found.intent,
                    confidence=found.confidence,
                    method=found.method,
                    second=found.second,
                )
            )
            if not step.needs_model:
                continue
            journal.record(
                events.TokenBudgetAllocated(
                    run_id=journal.run_id, step_id=step.step_id, tokens=step.tokens, strategy=plan.strategy
                )
            )
            if step.route is not None:
                journal.record(
                    events.Routed(
                        run_id=journal.run_id,
                        step_id=step.step_id,
                        tier=step.route.tier,
                        provider=step.route.provider,
                        model=step.route.model,
                        reason=step.route.reason,
                        difficulty=step.difficulty,
                    )
                )

    async def execute_step(
        self,
        step_id: str,
        *,
        input: Json = GIVEN,
        prompt: Json = GIVEN,
        with_: Json = GIVEN,
    ) -> StepOutcome | None:
        """Do one step. Its `when` is the host's business: see `wants`.

        Args:
            step_id: The step.
            input: What the step works on, where the host has resolved it itself; otherwise, as for the others, it
                is resolved from the workflow and the steps done so far.
            prompt: What a model is asked to do.
            with_: Parameters.

        Returns:
            The outcome, failed ones included; None if no run is active (the flag is off, say), so that the host
            can do the step its own way.

        Raises:
            IntendantError: There is no such step, or it was done already, or is being done.
        """
        if self._flight is None:
            return None
        flight = self._flight
        step = flight.plan.workflow.by_id.get(step_id)
        if step is None:
            raise IntendantError(f"the workflow has no step '{step_id}'")
        done = flight.outcomes.get(step_id)
        if done is not None and done.status is StepStatus.completed:
            raise IntendantError(f"step '{step_id}' was done already")
        if step_id in self._busy:
            raise IntendantError(f"step '{step_id}' is being done")
        values = {"input": input, "prompt": prompt, "with": with_}
        given = {name: value for name, value in values.items() if value is not GIVEN}
        self._busy.add(step_id)
        try:
            outcome = await flight.runner.run(step, self._plans[step_id], self._scope(flight), given)
        finally:
            self._busy.discard(step_id)
        flight.outcomes[step_id] = outcome
        return outcome

    @property
    def _plans(self) -> Mapping[str, StepPlan]:
        return self._active().plan.by_id

    def _scope(self, flight: _Flight) -> dict[str, Json]:
        return {
            "steps": _StepsView(flight.outcomes),
            "inputs": flight.inputs,
            "run": {"id": flight.journal.run_id, "workflow": flight.plan.workflow.name},
        }

    def wants(self, step_id: str) -> bool:
        """The value of the step's `when`; True where it has none.

        Raises:
            ExpressionFailed: The condition cannot be evaluated on the values there are.
            StepError: It takes too long or too much memory.
        """
        flight = self._active()
        condition = flight.plan.workflow.by_id[step_id].when
        if condition is None:
            return True
        scope = self._scope(flight)
        names: Iterable[str] = step_names(condition)
        if computes_names(condition):  # then it may look at any step that is completed
            names = [key for key, item in flight.outcomes.items() if item.status is StepStatus.completed]
        steps = {name: scope["steps"][name] for name in names}
        with bounded(flight.runner.bounds):
            return Expression(condition, CONDITION_NAMES).test(**{**scope, "steps": steps})

    def skip(self, step_id: str, reason: str) -> None:
        """Record that a step is not run."""
        flight = self._active()
        step = flight.plan.workflow.by_id[step_id]
        outcome = StepOutcome(
            step_id=step_id,
            name=step.title,
            status=StepStatus.skipped,
            intent=self._plans[step_id].intent,
            reason=reason,
        )
        flight.outcomes[step_id] = outcome
        event = events.StepSkipped(run_id=flight.journal.run_id, step_id=step_id, reason=reason)
        flight.journal.save_step(outcome, None, event)

    def fail(self, step_id: str, error: IntendantError) -> None:
        """Record that a step failed before it began."""
        flight = self._active()
        failure = Failure(error=type(error).__name__, message=error.message, hint=error.hint)
        step = flight.plan.workflow.by_id[step_id]
        outcome = StepOutcome(
            step_id=step_id,
            name=step.title,
            status=StepStatus.failed,
            intent=self._plans[step_id].intent,
            failure=failure,
        )
        flight.outcomes[step_id] = outcome
        event = events.StepFailed(
            run_id=flight.journal.run_id, step_id=step_id, failure=failure, seconds=0.0, attempts=0
        )
        flight.journal.save_step(outcome, None, event)

    async def complete(self, *, cancelled: bool = False, failed: bool = False) -> RunResult:
        """End the run; returns when everything about it is committed.

        Args:
            cancelled: The run was given up.
            failed: It failed, whatever became of its steps.

        Steps that were never executed are left out of the result.
        """
        flight = self._active()
        status = _status(flight.outcomes.values())
        if cancelled or failed:
            status = RunStatus.cancelled if cancelled else RunStatus.failed
        seconds = time() - flight.started
        flight.journal.record(events.Completed(run_id=flight.journal.run_id, status=status, seconds=seconds))
        await flight.journal.store.finish_run(flight.journal.fence, status.value)
        self._flight, self._last = None, flight
        order = flight.plan.workflow.order
        return RunResult(
            run_id=flight.journal.run_id,
            workflow=flight.plan.workflow.name,
            status=status,
            steps=dict(sorted(flight.outcomes.items(), key=lambda item: order[item[0]])),
            metrics=flight.journal.metrics.result(),
            inputs=flight.inputs,
        )

    async def reset(self) -> None:
        """Give the run up: it ends as cancelled, and another may be initialized."""
        if self._flight is not None:
            await self.complete(cancelled=True)


class _StepsView(Mapping[str, Json]):
    """The outcomes as references see them: made when looked at, not copied for every step."""

    def __init__(self, outcomes: Mapping[str, StepOutcome]) -> None:
        self._outcomes = outcomes

    def __getitem__(self, step_id: str) -> Json:
        outcome = self._outcomes[step_id]
        if outcome.status is not StepStatus.completed:
            raise ReferenceFailed(
                f"step '{step_id}' was {outcome.status.value} and has no output", hint="skip what depends on it"
            )
        return {"output": outcome.output, "status": outcome.status.value, "notes": list(outcome.notes)}

    def __iter__(self) -> Iterator[str]:
        return iter(self._outcomes)

    def __len__(self) -> int:
        return len(self._outcomes)


def _status(outcomes: Iterable[StepOutcome]) -> RunStatus:
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    if not failed:
        return RunStatus.completed
    budget = all(outcome.failure is not None and outcome.failure.error == "BudgetExceeded" for outcome in failed)
    return RunStatus.refused if budget else RunStatus.failed
