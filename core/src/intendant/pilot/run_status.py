"""What a run came to."""

from collections.abc import Iterable

from intendant.model.errors import IntendantError
from intendant.model.results import Failure, RunStatus, StepOutcome, StepStatus
from intendant.model.workflow import Json
from intendant.pilot.execution import failure_of
from intendant.pilot.frames import Frame, RunState
from intendant.pilot.resolving import resolve


def status_of(frame: Frame) -> RunStatus:
    """How a run stands whose steps have ended as far as they can."""
    if frame.waiting:
        return RunStatus.waiting
    failed = [
        outcome for outcome in frame.outcomes.values() if outcome.failure is not None and not outcome.handled
    ]
    if not failed:
        return RunStatus.completed
    budget = all(outcome.failure is not None and outcome.failure.code == "budget_exceeded" for outcome in failed)
    return RunStatus.refused if budget else RunStatus.failed


def returned_by(run: RunState, frame: Frame) -> tuple[Json, Failure | None]:
    """What the workflow's `returns` says, or why that is not there."""
    try:
        returned = resolve(run.plan.workflow.returns, frame.scope(lenient=True))
    except IntendantError as error:
        failure = failure_of(error)
        return None, failure.model_copy(update={"message": f"returns: {failure.message}"})
    return returned, None


def due_of(run: RunState, outcomes: Iterable[StepOutcome]) -> float | None:
    """When to go on with a run that waits, in seconds since 1970; None for not before something is decided."""
    if run.handed_over:
        return run.journal.store.now() if run.due is None else run.due
    waiting = (outcome for outcome in outcomes if outcome.status is StepStatus.waiting)
    return min((outcome.due for outcome in waiting if outcome.due is not None), default=None)
