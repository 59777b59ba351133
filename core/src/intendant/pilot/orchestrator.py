"""One run, step by step: for hosts with a workflow engine of their own, and for the pilot."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import time
from typing import Any
from uuid import uuid4

from intendant import events
from intendant.config.flags import is_on
from intendant.events import Event
from intendant.model.errors import IntendantError
from intendant.model.requests import MemoryContext
from intendant.model.results import Failure, Metrics, RunResult, RunStatus, StepOutcome
from intendant.model.workflow import Json, Limits, Workflow
from intendant.pilot.checking import check
from intendant.pilot.client import Shared
from intendant.pilot.correcting import corrected
from intendant.pilot.engine import Engine
from intendant.pilot.execution import RunContext, failure_of
from intendant.pilot.flows import failures_of
from intendant.pilot.frames import Frame, RunState
from intendant.pilot.graph import Graph
from intendant.pilot.plans import plan_checked, record_plan
from intendant.pilot.references import resolve
from intendant.pilot.resuming import PLAN_VERSION, file_of, find_resumable, outcomes_of, with_limits
from intendant.pilot.rollback import is_begun, restore, roll_back
from intendant.pilot.sandbox import Bounds
from intendant.pilot.segments import run_segment
from intendant.pilot.steps import execute
from intendant.planning.compression import CompressionChain
from intendant.planning.decided import Plan
from intendant.record.journal import Journal, parse_events
from intendant.record.rows import Fence, RunRow
from intendant.record.store import runs
from intendant.spending.ledger import RunLedger
from intendant.spending.nesting import outer_step

UNSET: Any = object()
"""Stands for an argument that the host has not given; null is a value."""


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
        self._run: RunState | None = None
        self._root: Frame | None = None
        self._last: RunState | None = None
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
        return self.frame.graph

    @property
    def outcomes(self) -> Mapping[str, StepOutcome]:
        """The steps that have ended."""
        return self.frame.outcomes

    @property
    def is_rolling_back(self) -> bool:
        """True if the run had failed, and is resumed only to undo what it has done, which `complete` does."""
        return is_begun(self.frame)

    @property
    def frame(self) -> Frame:
        """The workflow's steps, for the pilot."""
        self._active()
        if self._root is None:
            raise IntendantError("no run is active")
        return self._root

    def metadata(self) -> Metrics:
        """The figures of the run so far, or of the one that was completed last."""
        run = self._run or self._last or self._active()
        return run.journal.metrics.result()

    def _active(self) -> RunState:
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
        check(workflow, self._engine.plugins, inputs or {})
        plan = await plan_checked(self._engine, workflow, ask_model=True, memory=memory is not None, inputs=inputs)
        plan = plan.model_copy(update={"dry": dry})
        values = {name: item.default for name, item in workflow.inputs.items() if not item.required}
        values |= dict(inputs or {})
        run_id = f"r_{int(time() * 1000):012x}{uuid4().hex[:10]}"  # sorts by time
        try:
            journal = await self._open(run_id, plan, values, memory)
            await self._begin(plan, journal, values, memory)
        except asyncio.CancelledError:
            self._withdraw(Fence(run_id, 1))
            raise
        record_plan(plan, journal, values, self._engine.settings.in_force)
        return True

    async def resume(
        self,
        run: str,
        *,
        take_over: bool = False,
        limits: Limits | None = None,
        workflow: Workflow | None = None,
    ) -> None:
        """Go on with a run that was broken off, or that did not succeed: what was done is not done again, and what
        was paid for is not paid again. It goes by the plan that it had.

        Args:
            run: Its id, or the beginning of that; `last` for the newest.
            take_over: Also where another process may still be at it; that one is refused from then on.
            limits: What the run may spend in all from now on, where that is to change.
            workflow: A corrected workflow to go on with. The steps that are finished must be in it as they were.

        Raises:
            RunNotFound: There is no such run.
            RecordBroken: What is kept of it was changed by something else than Intendant.
            IntendantError: It is completed, or another process may be at it, or a run is active already.
            WorkflowError: Its workflow cannot be run with what is installed now, or the corrected one changes what
                is finished.
            BudgetExceeded: More is spent already than *limits* admit.
        """
        if self._run is not None:
            raise IntendantError("a run is active already", hint="call `complete` or `reset` first")
        found = await find_resumable(self._engine, run, take_over=take_over)
        if workflow is not None:
            found, limits = await corrected(self._engine, found, workflow, limits)
        tokens = None if limits is None else limits.tokens
        micro = None if limits is None or limits.usd is None else round(limits.usd * 1_000_000)
        check(found.plan.workflow, self._engine.plugins, found.inputs)
        store, worker = self._engine.store, self._engine.worker
        claimed = await store.do(
            runs.claim(found.run_id, worker, seen_epoch=found.epoch, tokens=tokens, micro=micro, other=found.other)
        )
        plan = with_limits(found.plan, claimed.budget, tokens, micro)
        journal = Journal(store, claimed.fence, self._listeners, parse_events(claimed.events))
        try:
            await self._begin(plan, journal, found.inputs, found.memory, outcomes_of(claimed.steps))
        except asyncio.CancelledError:
            self._withdraw(claimed.fence)
            raise
        journal.record(
            events.Resumed,
            worker=worker,
            epoch=claimed.fence.epoch,
            kept=len(self.outcomes),
            budget_tokens=plan.budget_tokens,
            budget_micro_usd=plan.budget_micro_usd,
            file_changed=found.changed_file,
            corrected=workflow is not None,
        )

    async def _begin(
        self,
        plan: Plan,
        journal: Journal,
        values: dict[str, Json],
        memory: MemoryContext | None,
        kept: Mapping[str, StepOutcome] | None = None,
    ) -> None:
        settings, workflow = self._engine.settings, plan.workflow
        done = {key for key, outcome in (kept or {}).items() if outcome.is_done and "[" not in key}
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
            caps={item.key: item.limits for item in workflow.placed if item.limits is not None},
            outer=outer_step(journal.store),
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
            folder=plan.folder,
        )
        run = RunState(plan, journal, context, values, settings.run.max_parallel, kept=dict(kept or {}))
        self._run, self._root = run, Frame(run, workflow.steps)
        if is_begun(self._root):
            restore(self._root)

    def _chain(self, agent: str) -> CompressionChain | None:
        """Compresses; None where compression is switched off for *agent*."""
        if not is_on(self._engine.settings.flags.compression_enabled, agent):
            return None
        return CompressionChain(self._engine.questions)

    def _withdraw(self, fence: Fence) -> None:
        """Close a run that was cancelled while it was opened: what was submitted is committed all the same."""
        self._engine.store.do_later(runs.withdraw(fence))

    async def _open(
        self, run_id: str, plan: Plan, inputs: Mapping[str, Json], memory: MemoryContext | None
    ) -> Journal:
        import json

        store = self._engine.store
        row = RunRow(
            id=run_id,
            workflow=plan.workflow.name,
            agent=plan.workflow.agent,
            plan=plan.model_dump_json(by_alias=True, exclude_unset=True),
            plan_version=PLAN_VERSION,
            inputs=json.dumps(inputs),
            memory=None if memory is None else memory.model_dump_json(),
            status=RunStatus.running.value,
            worker=self._engine.worker,
            created_at=time(),
            tenant=self._engine.tenant,
            file=file_of(plan.workflow),
        )
        return Journal(store, await store.do(runs.open_run(row)), self._listeners)

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
        self._refuse_done(step_id)
        values = {"input": input, "prompt": prompt, "with": with_}
        given = {name: value for name, value in values.items() if value is not UNSET}
        self._busy.add(step_id)
        try:
            return await execute(self.frame, step_id, given)
        finally:
            self._busy.discard(step_id)

    def _refuse_done(self, step_id: str) -> None:
        """Raises:
        IntendantError: There is no such step, or it was done already, or is being done.
        """
        _known_step(self.frame, step_id)
        if self.is_rolling_back:
            raise IntendantError("the run failed and is being rolled back", hint="call `complete`")
        done = self.outcomes.get(step_id)
        if done is not None and done.is_done:
            raise IntendantError(f"step '{step_id}' was done already")
        if step_id in self._busy:
            raise IntendantError(f"step '{step_id}' is being done")

    def should_run(self, step_id: str) -> bool:
        """The value of the step's `when`; True where it has none.

        Raises:
            ExpressionFailed: The condition cannot be evaluated on the values there are.
            StepError: It takes too long or too much memory.
        """
        _known_step(self.frame, step_id)
        return self.frame.should_run(step_id)

    def skip(self, step_id: str, reason: str) -> None:
        """Record that a step is not run."""
        _known_step(self.frame, step_id)
        self.frame.skip(step_id, reason)

    def fail(self, step_id: str, error: IntendantError) -> None:
        """Record that a step failed before it began."""
        _known_step(self.frame, step_id)
        self.frame.fail(step_id, error)

    def record(self, step_id: str, output: Json, *, notes: Sequence[str] = ()) -> StepOutcome:
        """Record a step that the host did itself, with its output; later steps may refer to it.

        Args:
            step_id: The step.
            output: Its output: a JSON value.
            notes: What a reader should know of it.

        Raises:
            IntendantError: There is no such step, it was done already, or the output is not JSON.
        """
        self._refuse_done(step_id)
        return self.frame.complete(step_id, output, notes=tuple(notes), produced_by="host")

    async def reload(self) -> None:
        """Look again at what steps that wait are waiting for; those that are done stay done."""
        run = self._active()
        run.kept = outcomes_of(await run.journal.store.do(runs.steps_of(self.run_id), run.journal.fence))
        self._root = Frame(run, run.plan.workflow.steps)

    async def complete(self, *, cancelled: bool = False, failed: bool = False) -> RunResult:
        """End the run; returns when everything about it is committed.

        Args:
            cancelled: The run was given up.
            failed: It failed, whatever became of its steps.

        Steps that were never executed are left out of the result.
        """
        run, frame = self._active(), self.frame
        status = _status(frame)
        if cancelled or failed:
            status = RunStatus.cancelled if cancelled else RunStatus.failed
        if status is RunStatus.waiting:
            waits = tuple(outcome.step_id for outcome in frame.waiting)
            run.journal.record(events.Suspended, waits=waits, seconds=time() - run.started)
            return await self._end(run, status, frame.outcomes)
        undone = {} if cancelled or failed else await roll_back(frame, run.plan.workflow.on_failure)
        last = await self._finally(run, frame, status)
        if status is RunStatus.completed and last.failure is not None:
            status = RunStatus.failed
        returned, failure = (None, None) if status is not RunStatus.completed else _returned(run, frame)
        if failure is not None:
            status = RunStatus.failed
        if run.context.ledger.overrun and not (cancelled or failed):
            status = RunStatus.overrun
        run.journal.record(events.Completed, status=status, seconds=time() - run.started)
        outcomes = {**frame.outcomes, **last.outcomes}
        return await self._end(run, status, outcomes, returned=returned, failure=failure, rolled_back=undone)

    async def _finally(self, run: RunState, frame: Frame, status: RunStatus) -> Frame:
        """Execute the steps that run whatever happened."""
        run.result = {"status": status.value, "failures": failures_of(frame)}
        last = Frame(run, run.plan.workflow.finally_, outer=frame, lenient=True)
        # What an earlier process did at its end is done again: the run has another end now.
        last.outcomes.clear()
        await run_segment(last)
        return last

    async def _end(
        self, run: RunState, status: RunStatus, outcomes: Mapping[str, StepOutcome], **facts: Any
    ) -> RunResult:
        await run.journal.commit(runs.finish_run(run.journal.fence, status.value))
        self._run, self._root, self._last = None, None, run
        order = run.plan.workflow.order
        return RunResult(
            run_id=run.journal.run_id,
            workflow=run.plan.workflow.name,
            status=status,
            steps=dict(sorted(outcomes.items(), key=lambda item: order[item[0]])),
            metrics=run.journal.metrics.result(),
            inputs=run.inputs,
            **facts,
        )

    async def reset(self) -> None:
        """Give the run up: it ends as cancelled, and another may be initialized."""
        if self._run is not None:
            await self.complete(cancelled=True)


def _known_step(frame: Frame, step_id: str) -> None:
    if step_id not in frame.steps:
        known = ", ".join(list(frame.steps)[:20])
        raise IntendantError(f"the workflow has no step '{step_id}'", hint=f"its steps: {known}")


def _status(frame: Frame) -> RunStatus:
    if frame.waiting:
        return RunStatus.waiting
    failed = [
        outcome for outcome in frame.outcomes.values() if outcome.failure is not None and not outcome.handled
    ]
    if not failed:
        return RunStatus.completed
    budget = all(outcome.failure is not None and outcome.failure.code == "budget_exceeded" for outcome in failed)
    return RunStatus.refused if budget else RunStatus.failed


def _returned(run: RunState, frame: Frame) -> tuple[Json, Failure | None]:
    """What the workflow's `returns` says, or why that is not there."""
    try:
        returned = resolve(run.plan.workflow.returns, frame.scope(lenient=True))
    except IntendantError as error:
        failure = failure_of(error)
        return None, failure.model_copy(update={"message": f"returns: {failure.message}"})
    return returned, None
