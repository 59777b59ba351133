"""One run, step by step: for hosts with a workflow engine of their own, and for the pilot."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import time
from typing import Any
from uuid import uuid4

from intendant import events
from intendant.config.flags import is_on
from intendant.events import Event
from intendant.model.errors import IntendantError, ReferenceFailed
from intendant.model.requests import MemoryContext
from intendant.model.results import Metrics, RunResult, RunStatus, StepOutcome, StepStatus, Usage
from intendant.model.workflow import Json, Limits, Step, Workflow
from intendant.pilot.classification_support import ClassificationSupport
from intendant.pilot.client import Shared
from intendant.pilot.conditions import Expression, computes_names, step_names
from intendant.pilot.engine import Engine
from intendant.pilot.execution import RunContext, StepExecution, digest_of, failure_of, output_text
from intendant.pilot.graph import CONDITION_NAMES, Graph, check, check_classified
from intendant.pilot.resuming import PLAN_VERSION, completed_steps, find_resumable, with_limits
from intendant.pilot.sandbox import Bounds, bounded
from intendant.planning.compression import CompressionChain
from intendant.planning.planner import Plan, StepPlan
from intendant.record.journal import Journal, parse_events
from intendant.record.rows import RunRow
from intendant.record.store import runs
from intendant.spending.ledger import RunLedger

UNSET: Any = object()
"""Stands for an argument that the host has not given; null is a value."""


@dataclass(slots=True)
class _RunState:
    """The state of a run that has begun."""

    plan: Plan
    graph: Graph
    journal: Journal
    context: RunContext
    inputs: dict[str, Json]
    started: float
    outcomes: dict[str, StepOutcome] = field(default_factory=dict)


class WorkflowOrchestrator:
    """One run of a workflow, driven by the host.

    Example:
        ```python
        run = service.orchestrator()
        if await run.initialize(workflow, {"folder": "mails"}):
            outcome = await run.execute_step("fetch")
            result = await run.complete()
        ```

    Args:
        engine: What the run is made with.
        listeners: Called with each event; must be quick.
        on_text: Called with a step's id and the next piece of a model's answer.
    """

    def __init__(
        self,
        engine: Engine,
        listeners: Iterable[Callable[[Event], None]] = (),
        on_text: Callable[[str, str], object] | None = None,
    ) -> None:
        self._engine = engine
        observers = (extension.on_event for extension in engine.plugins.extensions.values())
        self._listeners = (*observers, *listeners)
        self._on_text = on_text
        self._run: _RunState | None = None
        self._last: _RunState | None = None
        self._busy: set[str] = set()

    def is_active(self) -> bool:
        """True between `initialize` and `complete`."""
        return self._run is not None

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
        run = self._run or self._last or self._active()
        return run.journal.metrics.result()

    def _active(self) -> _RunState:
        if self._run is None:
            raise IntendantError("no run is active", hint="call `initialize` first, and see that it returns True")
        return self._run

    async def initialize(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Json] | None = None,
        memory: MemoryContext | None = None,
        *,
        dry: bool = False,
    ) -> bool:
        """Check and plan the workflow, and open a run.

        Args:
            workflow: The workflow.
            inputs: Values for its inputs.
            memory: What is known before the run.
            dry: Nothing outside is changed; see `OrchestrationService.run`.

        Returns:
            False, without having done anything, if the flag `orchestration_enabled` is off.

        Raises:
            WorkflowError: The workflow or its inputs are wrong.
            IntendantError: A run is active already.
        """
        settings = self._engine.settings
        if not is_on(settings.flags.orchestration_enabled, workflow.agent):
            return False
        if self._run is not None:
            raise IntendantError("a run is active already", hint="call `complete` or `reset` first")
        graph = check(workflow, self._engine.plugins, inputs or {})
        plan = await plan_checked(self._engine, workflow, graph, ask_model=True, memory=memory is not None)
        plan = plan.model_copy(update={"dry": dry})
        values = {name: item.default for name, item in workflow.inputs.items() if not item.required}
        values |= dict(inputs or {})
        journal = await self._open(plan, values, memory)
        self._run = await self._begin(plan, graph, journal, values, memory)
        self._record_plan(self._run)
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
        if self._run is not None:
            raise IntendantError("a run is active already", hint="call `complete` or `reset` first")
        found = await find_resumable(self._engine, run, take_over=take_over)
        tokens = None if limits is None else limits.tokens
        micro = None if limits is None or limits.usd is None else round(limits.usd * 1_000_000)
        graph = check(found.plan.workflow, self._engine.plugins, found.inputs)
        store, worker = self._engine.store, self._engine.worker
        claimed = await store.do(
            runs.claim(found.run_id, worker, seen_epoch=found.epoch, tokens=tokens, micro=micro)
        )
        plan, outcomes = with_limits(found.plan, claimed.budget, tokens, micro), completed_steps(claimed.steps)
        journal = Journal(store, claimed.fence, self._listeners, parse_events(claimed.events))
        self._run = await self._begin(plan, graph, journal, found.inputs, found.memory, outcomes)
        journal.record(
            events.Resumed,
            worker=worker,
            epoch=claimed.fence.epoch,
            kept=len(outcomes),
            budget_tokens=plan.budget_tokens,
            budget_micro_usd=plan.budget_micro_usd,
        )

    async def _begin(
        self,
        plan: Plan,
        graph: Graph,
        journal: Journal,
        values: dict[str, Json],
        memory: MemoryContext | None,
        outcomes: Mapping[str, StepOutcome] | None = None,
    ) -> _RunState:
        settings, workflow = self._engine.settings, plan.workflow
        done = dict(outcomes or {})
        ledger = RunLedger(
            journal,
            tokens=plan.budget_tokens,
            micro_usd=plan.budget_micro_usd,
            spent=(plan.planning_tokens, plan.planning_micro_usd),
            allocations={step.step_id: step.tokens for step in plan.steps if step.needs_model},
            overage=settings.budget.overage_allowed,
            threshold=settings.budget.overage_threshold,
            agent=workflow.agent,
            standing=self._engine.standing,
        )
        await ledger.open(done)
        context = RunContext(
            plugins=self._engine.plugins,
            questions=self._engine.questions,
            settings=settings,
            gateway=self._engine.gateway,
            journal=journal,
            ledger=ledger,
            chain=self._chain(workflow.agent),
            shared=Shared(memory, workflow.description or workflow.name),
            bounds=Bounds(settings.run.compute_seconds, settings.run.compute_megabytes),
            on_text=self._on_text,
            secrets=self._engine.secrets,
            dry=plan.dry,
        )
        return _RunState(plan, graph, journal, context, values, time(), done)

    def _chain(self, agent: str) -> CompressionChain | None:
        """Compresses; None where compression is switched off for *agent*."""
        if not is_on(self._engine.settings.flags.compression_enabled, agent):
            return None
        return CompressionChain(self._engine.questions)

    async def _open(self, plan: Plan, inputs: Mapping[str, Json], memory: MemoryContext | None) -> Journal:
        import json

        run_id = f"r_{int(time() * 1000):012x}{uuid4().hex[:10]}"  # sorts by time
        store = self._engine.store
        row = RunRow(
            id=run_id,
            workflow=plan.workflow.name,
            agent=plan.workflow.agent,
            plan=plan.model_dump_json(by_alias=True),
            plan_version=PLAN_VERSION,
            inputs=json.dumps(inputs),
            memory=None if memory is None else memory.model_dump_json(),
            status=RunStatus.running.value,
            worker=self._engine.worker,
            created_at=time(),
            tenant=self._engine.tenant,
        )
        return Journal(store, await store.do(runs.open_run(row)), self._listeners)

    def _record_plan(self, run: _RunState) -> None:
        plan, journal = run.plan, run.journal
        journal.record(
            events.Initialized,
            workflow=plan.workflow.name,
            agent=plan.workflow.agent,
            steps=len(plan.steps),
            budget_tokens=plan.budget_tokens,
            budget_micro_usd=plan.budget_micro_usd,
            budget_strategy=plan.strategy,
            inputs=run.inputs,
            planning_tokens=plan.planning_tokens,
            planning_micro_usd=plan.planning_micro_usd,
            settings=dict(self._engine.settings.in_force),
        )
        for step in plan.steps:
            found, log = step.classification, journal.step(step.step_id)
            log.record(
                events.IntentClassified,
                intent=found.intent,
                confidence=found.confidence,
                method=found.method,
                second=found.second,
            )
            if not step.needs_model:
                continue
            log.record(events.TokenBudgetAllocated, tokens=step.tokens, strategy=plan.strategy)
            if step.route is not None:
                log.record(
                    events.Routed,
                    tier=step.route.tier,
                    provider=step.route.provider,
                    model=step.route.model,
                    reason=step.route.reason,
                    difficulty=step.difficulty,
                )

    async def execute_step(
        self,
        step_id: str,
        *,
        input: Json = UNSET,
        prompt: Json = UNSET,
        with_: Json = UNSET,
    ) -> StepOutcome | None:
        """Do one step. Its `when` is the host's business: see `should_run`.

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
        if self._run is None:
            return None
        run = self._run
        step = self._step_to_do(run, step_id)
        values = {"input": input, "prompt": prompt, "with": with_}
        given = {name: value for name, value in values.items() if value is not UNSET}
        self._busy.add(step_id)
        try:
            execution = StepExecution(run.context, step, self._plans[step_id], self._scope(run), given)
            outcome = await execution.run()
        finally:
            self._busy.discard(step_id)
        run.outcomes[step_id] = outcome
        return outcome

    def _step_to_do(self, run: _RunState, step_id: str) -> Step:
        """The step, if it was not done and is not being done.

        Raises:
            IntendantError: There is no such step, or it was done already, or is being done.
        """
        step = _known_step(run, step_id)
        done = run.outcomes.get(step_id)
        if done is not None and done.status is StepStatus.completed:
            raise IntendantError(f"step '{step_id}' was done already")
        if step_id in self._busy:
            raise IntendantError(f"step '{step_id}' is being done")
        return step

    @property
    def _plans(self) -> Mapping[str, StepPlan]:
        return self._active().plan.by_id

    def _scope(self, run: _RunState) -> dict[str, Json]:
        return {
            "steps": _StepsView(run.outcomes),
            "inputs": run.inputs,
            "run": {"id": run.journal.run_id, "workflow": run.plan.workflow.name},
        }

    def should_run(self, step_id: str) -> bool:
        """The value of the step's `when`; True where it has none.

        Raises:
            ExpressionFailed: The condition cannot be evaluated on the values there are.
            StepError: It takes too long or too much memory.
        """
        run = self._active()
        condition = _known_step(run, step_id).when
        if condition is None:
            return True
        scope = self._scope(run)
        names: Iterable[str] = step_names(condition)
        if computes_names(condition):  # then it may look at any step that is completed
            names = [key for key, item in run.outcomes.items() if item.status is StepStatus.completed]
        steps = {name: scope["steps"][name] for name in names}
        with bounded(run.context.bounds):
            return Expression(condition, CONDITION_NAMES).test(**{**scope, "steps": steps})

    def skip(self, step_id: str, reason: str) -> None:
        """Record that a step is not run."""
        run = self._active()
        step = _known_step(run, step_id)
        outcome = StepOutcome(
            step_id=step_id,
            name=step.title,
            status=StepStatus.skipped,
            intent=self._plans[step_id].intent,
            reason=reason,
        )
        run.outcomes[step_id] = outcome
        log = run.journal.step(step_id)
        log.save(outcome, None, log.event(events.StepSkipped, reason=reason))

    def fail(self, step_id: str, error: IntendantError) -> None:
        """Record that a step failed before it began."""
        run = self._active()
        failure = failure_of(error)
        step = _known_step(run, step_id)
        outcome = StepOutcome(
            step_id=step_id,
            name=step.title,
            status=StepStatus.failed,
            intent=self._plans[step_id].intent,
            failure=failure,
        )
        run.outcomes[step_id] = outcome
        log = run.journal.step(step_id)
        log.save(outcome, None, log.event(events.StepFailed, failure=failure, seconds=0.0, attempts=0))

    def record(self, step_id: str, output: Json, *, notes: Sequence[str] = ()) -> StepOutcome:
        """Record a step that the host did itself, with its output; later steps may refer to it.

        Args:
            step_id: The step.
            output: Its output: a JSON value.
            notes: What a reader should know of it.

        Raises:
            IntendantError: There is no such step, it was done already, or the output is not JSON.
        """
        run = self._active()
        step, intent = self._step_to_do(run, step_id), self._plans[step_id].intent
        text = output_text(output)
        outcome = StepOutcome(
            step_id=step_id,
            name=step.title,
            status=StepStatus.completed,
            intent=intent,
            output=output,
            notes=tuple(notes),
            produced_by="host",
        )
        log = run.journal.step(step_id)
        event = log.event(
            events.StepExecuted,
            intent=intent,
            seconds=0.0,
            attempts=0,
            produced_by="host",
            output_bytes=len(text),
            output_sha256=digest_of(text),
            notes=outcome.notes,
        )
        run.outcomes[step_id] = outcome
        log.save(outcome, text, event)
        return outcome

    async def complete(self, *, cancelled: bool = False, failed: bool = False) -> RunResult:
        """End the run; returns when everything about it is committed.

        Args:
            cancelled: The run was given up.
            failed: It failed, whatever became of its steps.

        Steps that were never executed are left out of the result.
        """
        run = self._active()
        status = _status(run.outcomes.values())
        if cancelled or failed:
            status = RunStatus.cancelled if cancelled else RunStatus.failed
        seconds = time() - run.started
        run.journal.record(events.Completed, status=status, seconds=seconds)
        await run.journal.commit(runs.finish_run(run.journal.fence, status.value))
        self._run, self._last = None, run
        order = run.plan.workflow.order
        return RunResult(
            run_id=run.journal.run_id,
            workflow=run.plan.workflow.name,
            status=status,
            steps=dict(sorted(run.outcomes.items(), key=lambda item: order[item[0]])),
            metrics=run.journal.metrics.result(),
            inputs=run.inputs,
        )

    async def reset(self) -> None:
        """Give the run up: it ends as cancelled, and another may be initialized."""
        if self._run is not None:
            await self.complete(cancelled=True)


async def plan_checked(
    engine: Engine, workflow: Workflow, graph: Graph, *, ask_model: bool, memory: bool = False
) -> Plan:
    """Decide everything about a workflow that was checked.

    Args:
        engine: What the run is made with.
        workflow: The workflow.
        graph: Its graph, from `check`.
        ask_model: Let classifiers ask a model.
        memory: Something is known before the run, and steps need tokens for it.

    Raises:
        WorkflowError: A step's intent cannot be told, or its handler finds it wrong.
    """
    strategy = engine.plugins.budgets.get(engine.settings.budget.strategy)
    history = {}
    if strategy is not None and strategy.uses_history:
        history = await engine.store.do(runs.usage_history(workflow.agent))
    if all(step.intent is not None for step in workflow.steps):
        return await engine.planner.plan(workflow, graph.needs, graph.references, history=history, memory=memory)
    support = ClassificationSupport(engine)
    client = support.client(workflow) if ask_model else None
    try:
        plan = await engine.planner.plan(
            workflow,
            graph.needs,
            graph.references,
            history=history,
            known=await support.known(workflow.steps),
            model=client,
            memory=memory,
            planning=lambda: client.usage if client is not None else Usage(),
        )
    except IntendantError:
        await support.close(client)
        raise
    await support.finish(client, plan)
    check_classified(workflow, engine.plugins, {step.step_id: step.intent for step in plan.steps})
    return plan


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


def _known_step(run: _RunState, step_id: str) -> Step:
    step = run.plan.workflow.by_id.get(step_id)
    if step is None:
        known = ", ".join(list(run.plan.workflow.by_id)[:20])
        raise IntendantError(f"the workflow has no step '{step_id}'", hint=f"its steps: {known}")
    return step


def _status(outcomes: Iterable[StepOutcome]) -> RunStatus:
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    if not failed:
        return RunStatus.completed
    budget = all(outcome.failure is not None and outcome.failure.code == "budget_exceeded" for outcome in failed)
    return RunStatus.refused if budget else RunStatus.failed
