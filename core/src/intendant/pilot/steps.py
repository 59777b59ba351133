"""Executes one step of a frame, whatever it is: work, a group, a map over items, a branch, a wait, a question to
people; and what the workflow says where it fails.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from intendant import events
from intendant.model.errors import Fenced, IntendantError, StepError
from intendant.model.results import Failure, StepOutcome, StepStatus
from intendant.model.workflow import ON_ERROR, Json, OnError, Step
from intendant.pilot.awaiting import await_event
from intendant.pilot.execution import StepExecution, failure_of, output_text
from intendant.pilot.frames import Frame
from intendant.pilot.recording import Deferred, Recorder
from intendant.pilot.resolving import resolve
from intendant.pilot.waiting import Answer, ask_people, let_time_pass

DECISION = "~decision"
"""Stands behind the address of a step under which a fork that begins within a branch keeps which one was taken."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step is executed: its address, the item that it works on, and how its end is written."""

    address: str
    recorder: Recorder
    variables: Mapping[str, Json]


async def execute(frame: Frame, step_id: str, given: Mapping[str, Json] | None = None) -> StepOutcome:
    """Execute a step whose needs are met; the outcome is in the frame as well.

    Args:
        frame: The steps that it is one of.
        step_id: The step.
        given: Values of `input`, `prompt` or `with` that the host has resolved itself.

    Raises:
        Fenced: Another process owns the run.
        asyncio.CancelledError: The run was cancelled.
    """
    step = frame.steps[step_id]
    try:
        outcome = await _execute(frame, step, given)
    except Fenced:
        raise
    except IntendantError as error:
        outcome = frame.fail(step_id, error)
    frame.outcomes[step_id] = outcome
    if outcome.status is StepStatus.failed and step.on_error is not None:
        outcome = frame.outcomes[step_id] = await _handled(frame, step, outcome)
    if not frame.recorder.repeats and outcome.status is not StepStatus.waiting:
        # Not before: its branches, and the steps of its `on_error`, have shares of their own.
        frame.run.context.ledger.finish(f"{frame.address}{step_id}")
    return outcome


async def _execute(frame: Frame, step: Step, given: Mapping[str, Json] | None) -> StepOutcome:
    answer = Answer()
    if step.wait is not None and step.wait.event is not None:
        return await await_event(frame, step, step.wait)
    if step.wait is not None and (waits := await let_time_pass(frame, step)) is not None:
        return waits
    if step.approve is not None:
        answer = await ask_people(frame, step)
        if answer.outcome is not None:
            return answer.outcome
    return await _done(frame, step, given, answer)


async def _done(frame: Frame, step: Step, given: Mapping[str, Json] | None, answer: Answer) -> StepOutcome:
    """Execute a step that need not wait, and may go on."""
    from intendant.pilot.items import run_items

    if step.is_map:
        return await run_items(frame, step)
    place = Place(f"{frame.address}{step.id}", frame.recorder, {})
    if step.is_composite:
        return await composite(frame, step, place)
    if not step.is_work:
        passed = resolve(step.input, frame.scope(step)) if "input" in step.model_fields_set else answer.decision
        return frame.complete(step.id, passed)
    return await work(frame, step, place, frame.scope(step), given)


# --- work ---


async def work(
    frame: Frame,
    step: Step,
    place: Place,
    scope: Mapping[str, Json],
    given: Mapping[str, Json] | None = None,
) -> StepOutcome:
    """Let a handler do a step; then the steps of the branch that it took, if it has any."""
    if step.branches and (decided := _decided(frame, place)) is not None:
        return await _branch(frame, step, place, decided)
    recorder = Deferred(place.recorder) if step.branches else place.recorder
    execution = StepExecution(
        frame.run.context,
        step,
        frame.plan_of(step.id),
        {**scope, **place.variables} if place.variables else scope,
        given,
        address=place.address,
        recorder=recorder,
    )
    outcome = await execution.run()
    if not step.branches or outcome.status is not StepStatus.completed:
        return outcome
    return await _branch(frame, step, place, outcome)


def _decided(frame: Frame, place: Place) -> StepOutcome | None:
    """The decision that a fork has taken over; None if there is none."""
    found = frame.run.kept.get(f"{place.address}{DECISION}") if frame.run.kept else None
    if found is None or found.input_sha256 != place.recorder.digest:
        return None
    return found.model_copy(update={"step_id": place.address})


async def _branch(frame: Frame, step: Step, place: Place, decided: StepOutcome) -> StepOutcome:
    """Execute the branch that was taken; the step's output gains its `result`."""
    output, branches = decided.output, step.branches or {}
    taken = output.get("branch") if isinstance(output, dict) else None
    if not isinstance(taken, str):
        error = StepError(
            f"`branches` needs an output with the `branch` that was taken, not {type(output).__name__}",
            hint="decide with intent: conditional",
        )
        return ended(frame, place, decided, failure=failure_of(error))
    branch = branches.get(taken)
    if branch is None:
        note = f"there are no steps for the branch '{taken}'"
        return ended(frame, place, decided, output={**output, "result": None}, notes=(*decided.notes, note))
    inner = await body(frame, branch.steps, f"{place.address}/{taken}/", place, (step.id, decided))
    if inner.waiting:
        return waits(frame, step, place, inner)
    took = _sum(decided, inner)
    if (failed := inner.failure) is not None:
        return ended(frame, place, decided, failure=within(failed, f"branch '{taken}', "), **took)
    result = result_of(inner, branch.steps, branch.returns, given="returns" in branch.model_fields_set)
    return ended(frame, place, decided, output={**output, "result": result}, **took)


# --- groups ---


async def composite(frame: Frame, step: Step, place: Place) -> StepOutcome:
    """Execute a step that others do the work of."""
    from intendant.pilot.flows import run_flow
    from intendant.pilot.loops import run_loop

    if step.flow is not None:
        return await run_flow(frame, step, place)
    return await (group(frame, step, place) if step.loop is None else run_loop(frame, step, place))


async def group(frame: Frame, step: Step, place: Place) -> StepOutcome:
    """Execute the steps of a group; its output is that of the last of them, or what `returns` says."""
    started, steps = monotonic(), step.steps or ()
    inner = await body(frame, steps, f"{place.address}/", place)
    if inner.waiting:
        return waits(frame, step, place, inner)
    begun = begun_at(frame, step, place, started)
    took = inner.totals()
    if (failed := inner.failure) is not None:
        return ended(frame, place, begun, failure=within(failed), **took)
    output = result_of(inner, steps, step.returns, given="returns" in step.model_fields_set)
    return ended(frame, place, begun, output=output, **took)


def begun_at(frame: Frame, step: Step, place: Place, started: float) -> StepOutcome:
    """The outcome of a composite step as far as it is the same however it ends."""
    return StepOutcome(
        step_id=place.address,
        name=step.title,
        status=StepStatus.completed,
        intent=frame.plan_of(step.id).intent,
        attempts=1,
        seconds=monotonic() - started,
        input_sha256=place.recorder.digest,
    )


async def body(
    frame: Frame,
    steps: Sequence[Step],
    address: str,
    place: Place,
    around: tuple[str, StepOutcome] | None = None,
) -> Frame:
    """Execute steps within a step."""
    from intendant.pilot.segments import run_segment

    inner = Frame(
        frame.run,
        steps,
        address,
        outer=frame,
        variables=place.variables,
        recorder=place.recorder,
        around=around,
    )
    await run_segment(inner)
    return inner


def result_of(inner: Frame, steps: Sequence[Step], returns: Json, *, given: bool) -> Json:
    """What a group comes to; null where the step that gives it was skipped."""
    if given:
        return resolve(returns, inner.scope(lenient=True))
    last = inner.outcomes.get(steps[-1].id)
    return None if last is None else last.output


def _sum(decided: StepOutcome, inner: Frame) -> dict[str, Any]:
    took = inner.totals()
    took["usage"] += decided.usage
    took["tokens_saved"] += decided.tokens_saved
    if decided.produced_by != "deterministic":
        took["produced_by"] = decided.produced_by
    return took


def within(failed: tuple[str, Failure], where: str = "") -> Failure:
    """The failure of a step within others, as theirs."""
    step_id, failure = failed
    return failure.model_copy(update={"message": f"{where}step '{step_id}': {failure.message}"})


def waits(frame: Frame, step: Step, place: Place, inner: Frame) -> StepOutcome:
    """That a step waits because of those within it."""
    waiting = inner.waiting
    due = [outcome.due for outcome in waiting if outcome.due is not None]
    reason = "; ".join(f"{outcome.step_id}: {outcome.reason}" for outcome in waiting[:3])
    outcome = frame.wait(step.id, reason, min(due) if due else None)
    return outcome.model_copy(update={"step_id": place.address})


def ended(frame: Frame, place: Place, begun: StepOutcome, **facts: Any) -> StepOutcome:
    """Record how a step ended that is made of others.

    Raises:
        OutputInvalid: The output is not JSON.
    """
    from intendant.pilot.recording import executed_event, failed_event

    log = frame.run.journal.step(place.address)
    failure = facts.get("failure")
    if failure is not None:
        facts |= {"status": StepStatus.failed, "output": None}
    outcome = begun.model_copy(update=facts)
    if failure is not None:
        place.recorder.save(log, outcome, None, partial(failed_event, log, outcome))
        return outcome
    text = output_text(outcome.output)
    place.recorder.save(log, outcome, text, partial(executed_event, log, outcome, text))
    return outcome


# --- where a step fails ---


async def _handled(frame: Frame, step: Step, failed: StepOutcome) -> StepOutcome:
    """What becomes of a step that failed for good, as its `on_error` says."""
    failure = failed.failure
    if failure is None:
        return failed
    address = f"{frame.address}{step.id}"
    how, output = "continue", None
    try:
        if isinstance(step.on_error, OnError) and step.on_error.steps is not None:
            how, place = "steps", Place(address, frame.recorder, {})
            inner = await body(frame, step.on_error.steps, f"{address}/{ON_ERROR}/", place)
            if inner.waiting:
                return waits(frame, step, place, inner)
            if (again := inner.failure) is not None:
                both = f"{failure.message}; then {within(again, 'on_error, ').message}"
                return frame.fail(step.id, failure.model_copy(update={"message": both}))
            output = result_of(inner, step.on_error.steps, None, given=False)
        elif isinstance(step.on_error, OnError):
            how, output = "output", resolve(step.on_error.output, frame.scope(step, lenient=True))
        text = output_text(output)
    except Fenced:
        raise
    except IntendantError as error:
        both = f"{failure.message}; then on_error: {error.message}"
        return frame.fail(step.id, failure.model_copy(update={"message": both}))
    outcome = failed.model_copy(update={"handled": True, "output": output})
    log = frame.run.journal.step(address)
    event = partial(log.event, events.ErrorHandled, how=how, failure=failure)
    frame.recorder.save(log, outcome, text, event)
    return outcome
