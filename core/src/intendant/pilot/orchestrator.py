"""One run, step by step: for hosts with a workflow engine of their own, and for the pilot."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from time import time
from typing import Any

from intendant import events
from intendant.config.flags import Subject, is_on
from intendant.events import Event
from intendant.model.errors import IntendantError
from intendant.model.requests import MemoryContext
from intendant.model.results import Metrics, RunResult, RunStatus, StepOutcome
from intendant.model.workflow import Json, Limits, Workflow
from intendant.pilot import rollout_guard
from intendant.pilot.agent_rating import counts, ending, is_rated
from intendant.pilot.agent_view import agent_of, refuse_beyond
from intendant.pilot.checking import check
from intendant.pilot.correcting import corrected
from intendant.pilot.engine import Engine
from intendant.pilot.execution import output_text
from intendant.pilot.flows import failures_of
from intendant.pilot.forking import fork_of
from intendant.pilot.frames import Frame, RunState
from intendant.pilot.graph import Graph
from intendant.pilot.heartbeats import lease_until
from intendant.pilot.opening import context_of, ledger_of, new_row, switched_off
from intendant.pilot.plans import plan_checked, record_plan
from intendant.pilot.remembering import facts_of, learn, remembered
from intendant.pilot.resuming import amounts_of, find_resumable, outcomes_of, record_resumed, with_limits
from intendant.pilot.rollback import is_begun, restore, roll_back
from intendant.pilot.run_ids import new_run_id, run_id_of
from intendant.pilot.run_status import due_of, returned_by, status_of
from intendant.pilot.segments import run_segment
from intendant.pilot.steps import execute
from intendant.planning.decided import Plan
from intendant.planning.run_facts import ObservationFold
from intendant.record.journal import Journal, parse_events, row_of
from intendant.record.rows import Fence
from intendant.record.store import run_figures, runs

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
        beats: The caller sends heartbeats of the run (`heartbeats.beating`); others may take it over without them.
        priority: Of a run that it opens, for workers: higher ones first.
    """

    def __init__(
        self,
        engine: Engine,
        listeners: Iterable[Callable[[Event], object]] = (),
        on_text: Callable[[str, str], object] | None = None,
        *,
        beats: bool = False,
        priority: int = 0,
    ) -> None:
        self._engine = engine
        self._priority = priority
        self._beats = beats
        self._listeners = (*engine.observers, *listeners)
        self._on_text = on_text
        self._run: RunState | None = None
        self._root: Frame | None = None
        self._last: RunState | None = None
        self._learns = True  # False where the agent has no memory, as known when the run was opened
        self._busy: set[str] = set()
        self._fold: ObservationFold | None = None  # of the run that is active, where its agent is rated

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

    @property
    def state(self) -> RunState:
        """The run's state, for the pilot."""
        return self._active()

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
        key: str | None = None,
        user: str | None = None,
    ) -> bool:
        """Check and plan the workflow, and open a run.

        Args:
            workflow: The workflow.
            inputs: Values for its inputs.
            memory: What is known before the run.
            dry: Nothing outside is changed; see `OrchestrationService.run`.
            key: An idempotency key: of several runs that are asked for with the same key, one is opened.
            user: Whose run it is, for rollouts by user.

        Returns:
            False, without having done anything, if the flag `orchestration_enabled` is off.

        Raises:
            WorkflowError: The workflow or its inputs are wrong.
            RunExists: There is a run of this key.
            IntendantError: A run is active already.
        """
        settings = await self._engine.steering.refresh()
        whose = Subject(workflow.agent, user, self._engine.tenant)
        if not is_on(settings.flags.orchestration_enabled, whose):
            return False
        if self._run is not None:
            raise IntendantError("a run is active already", hint="call `complete` or `reset` first")
        run_id = new_run_id() if key is None else run_id_of(key, self._engine.tenant)
        if key is not None:  # before planning, which may ask a model
            await self._engine.store.do(runs.refuse_existing(run_id))
        check(self._engine.prepared.of(workflow), self._engine.plugins, inputs or {})
        view = await agent_of(self._engine, workflow.agent, workflow.folder)
        memory = memory or await remembered(self._engine, view, workflow, inputs)
        told: dict[str, Any] = {"inputs": inputs, "user": user, "agent": view}
        plan = await plan_checked(self._engine, workflow, ask_model=True, memory=memory is not None, **told)
        plan = plan.model_copy(update={"dry": dry})
        values = {name: item.default for name, item in workflow.inputs.items() if not item.required}
        values |= dict(inputs or {})
        self._learns = bool(view.allowance.memory)
        journal = await self._opened(run_id, plan, values, memory)
        if memory is not None or view.allowance.memory:
            journal.record(events.MemoryRecalled, **facts_of(memory or MemoryContext()))
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
            IntendantError: It is completed, another process may be at it, a run is active, or *limits* are more
                than its agent may get.
            WorkflowError: Its workflow cannot be run with what is installed now, or the corrected one changes what
                is finished.
            BudgetExceeded: More is spent already than *limits* admit.
        """
        if self._run is not None:
            raise IntendantError("a run is active already", hint="call `complete` or `reset` first")
        await self._engine.steering.refresh()
        found = await find_resumable(self._engine, run, take_over=take_over)
        if workflow is not None:
            found, limits = await corrected(self._engine, found, workflow, limits)
        tokens, micro = amounts_of(limits)
        check(self._engine.prepared.of(found.plan.workflow), self._engine.plugins, found.inputs)
        await refuse_beyond(self._engine, found.plan, limits)
        store, worker = self._engine.store, self._engine.worker
        other = {**found.other, **runs.WOKEN, "lease_until": lease_until(store.now(), beats=self._beats)}
        claimed = await store.do(
            runs.claim(found.run_id, worker, seen_epoch=found.epoch, tokens=tokens, micro=micro, other=other)
        )
        plan = with_limits(found.plan, claimed.budget, tokens, micro)
        earlier = parse_events(claimed.events)
        journal = self._journal(plan, claimed.fence, earlier)
        try:
            await self._begin(plan, journal, found.inputs, found.memory, outcomes_of(claimed.steps))
        except asyncio.CancelledError:
            self._withdraw(claimed.fence)
            raise
        record_resumed(
            self._engine,
            journal,
            plan,
            found,
            earlier,
            kept=len(self.outcomes),
            corrected=workflow is not None,
        )

    async def fork(
        self,
        run: str,
        start: str,
        *,
        inputs: Mapping[str, Json] | None = None,
        workflow: Workflow | None = None,
        limits: Limits | None = None,
        dry: bool = False,
    ) -> None:
        """Open a run that takes over what another one has done, but for a step and what depends on it.

        For the arguments see `OrchestrationService.fork`; it raises the same.
        """
        if self._run is not None:
            raise IntendantError("a run is active already", hint="call `complete` or `reset` first")
        settings = await self._engine.steering.refresh()
        found = await fork_of(self._engine, run, start, inputs, workflow)
        whose = Subject(found.plan.workflow.agent, None, self._engine.tenant)
        if not is_on(settings.flags.orchestration_enabled, whose):
            raise switched_off()
        check(self._engine.prepared.of(found.plan.workflow), self._engine.plugins, found.inputs)
        await refuse_beyond(self._engine, found.plan, limits)
        plan = with_limits(found.plan, None, *amounts_of(limits)).model_copy(update={"dry": dry})
        await self._opened(new_run_id(), plan, found.inputs, found.memory, found.kept)

    async def _opened(
        self,
        run_id: str,
        plan: Plan,
        values: dict[str, Json],
        memory: MemoryContext | None,
        kept: Mapping[str, StepOutcome] | None = None,
    ) -> Journal:
        """Open a run, with steps of another one that are *kept*, and record its plan."""
        lease = lease_until(self._engine.store.now(), beats=self._beats)
        row = new_row(self._engine, run_id, plan, values, memory)._replace(
            lease_until=lease, priority=self._priority
        )
        try:
            journal = self._journal(plan, await self._engine.store.do(runs.open_run(row)))
            await self._begin(plan, journal, values, memory, kept)
            record_plan(plan, journal, values, self._engine.settings)
            if kept:
                now = time()
                rows = [row_of(outcome, output_text(outcome.output), now) for outcome in kept.values()]
                await journal.commit(runs.save_steps(journal.fence, rows))
        except asyncio.CancelledError:
            self._withdraw(Fence(run_id, 1))
            raise
        return journal

    async def _begin(
        self,
        plan: Plan,
        journal: Journal,
        values: dict[str, Json],
        memory: MemoryContext | None,
        kept: Mapping[str, StepOutcome] | None = None,
    ) -> None:
        done = {key for key, outcome in (kept or {}).items() if outcome.is_done and "[" not in key}
        ledger = ledger_of(self._engine, plan, journal)
        await ledger.open(done)
        context = replace(context_of(self._engine, plan, journal, ledger, memory), on_text=self._on_text)
        max_parallel = self._engine.settings.run.max_parallel
        prepared = self._engine.prepared.of(plan.workflow)
        run = RunState(plan, prepared, journal, context, values, max_parallel, kept=dict(kept or {}))
        self._run, self._root = run, Frame(run, plan.workflow.steps)
        if is_begun(self._root):
            restore(self._root)

    def _withdraw(self, fence: Fence) -> None:
        """Close a run that was cancelled while it was opened: what was submitted is committed all the same."""
        self._engine.store.do_later(runs.withdraw(fence))

    def _journal(self, plan: Plan, fence: Fence, earlier: Sequence[Event] = ()) -> Journal:
        """The run's journal, which is watched for what the run is like."""
        self._fold = ObservationFold(plan, earlier) if is_rated(plan) else None
        watching = () if self._fold is None else (self._fold.add,)
        return Journal(self._engine.store, fence, (*watching, *self._listeners), earlier)

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
        self.frame.require(step_id)
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
        self.frame.require(step_id)
        return self.frame.should_run(step_id)

    def skip(self, step_id: str, reason: str) -> None:
        """Record that a step is not run."""
        self.frame.require(step_id)
        self.frame.skip(step_id, reason)

    def fail(self, step_id: str, error: IntendantError) -> None:
        """Record that a step failed before it began."""
        self.frame.require(step_id)
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
        status = status_of(frame)
        if cancelled or failed:
            status = RunStatus.cancelled if cancelled else RunStatus.failed
        if status is RunStatus.waiting:
            waits = tuple(outcome.step_id for outcome in frame.waiting)
            seconds, paused = time() - run.started, run.paused
            run.journal.record(events.Suspended, waits=waits, seconds=seconds, paused=paused)
            return await self._end(run, status, frame.outcomes)
        run.ending, run.paused = True, False
        undone = {} if cancelled or failed else await roll_back(frame, run.plan.workflow.on_failure)
        last = await self._finally(run, frame, status)
        if status is RunStatus.completed and last.failure is not None:
            status = RunStatus.failed
        returned, failure = (None, None) if status is not RunStatus.completed else returned_by(run, frame)
        if failure is not None:
            status = RunStatus.failed
        if run.context.ledger.overrun and not (cancelled or failed):
            status = RunStatus.overrun
        run.journal.record(events.Completed, status=status, seconds=time() - run.started)
        if not (run.plan.dry or cancelled):
            await rollout_guard.count(self._engine, run.journal, dict(run.plan.flags), run.started)
        outcomes = {**frame.outcomes, **last.outcomes}
        return await self._end(run, status, outcomes, returned=returned, failure=failure, rolled_back=undone)

    async def _finally(self, run: RunState, frame: Frame, status: RunStatus) -> Frame:
        """Execute the steps that run whatever happened."""
        run.result = {"status": status.value, "failures": failures_of(frame)}
        last = Frame(run, run.plan.workflow.finally_, outer=frame, lenient=True)
        # What an earlier process did at its end is done again: the run has another end now.
        last.outcomes.clear()
        if last.steps:
            await run_segment(last)
        return last

    async def _end(
        self, run: RunState, status: RunStatus, outcomes: Mapping[str, StepOutcome], **facts: Any
    ) -> RunResult:
        due = due_of(run, outcomes.values()) if status is RunStatus.waiting else None
        finished = ending(self._engine, run.plan, run.journal.fence, status, self._fold, due)
        if status is not RunStatus.waiting:
            finished = run_figures.with_figures(finished, run.journal.figures.run, self._engine.tenant)
        await run.journal.commit(finished)
        self._run, self._root, self._last = None, None, run
        order = run.plan.workflow.order
        result = RunResult(
            run_id=run.journal.run_id,
            workflow=run.plan.workflow.name,
            status=status,
            steps=dict(sorted(outcomes.items(), key=lambda item: order[item[0]])),
            metrics=run.journal.metrics.result(),
            inputs=run.inputs,
            **facts,
        )
        if self._learns and counts(run.plan, status):
            self._engine.later(learn(self._engine, run.plan, result))
        return result

    async def reset(self) -> None:
        """Give the run up: it ends as cancelled, and another may be initialized."""
        if self._run is not None:
            await self.complete(cancelled=True)
