"""Rolls a run back that failed: what completed steps have done is undone, the last one first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from time import time

from intendant import events
from intendant.model.errors import Fenced, IntendantError, StepError
from intendant.model.results import Failure, StepOutcome, StepStatus
from intendant.model.workflow import ROLLBACK, OnFailure, Step, Workflow
from intendant.pilot.execution import failure_of, output_text
from intendant.pilot.frames import Frame, RunState
from intendant.pilot.recording import StepRecorder
from intendant.pilot.resuming import outcomes_of
from intendant.pilot.retracing import MARK, Retracing
from intendant.pilot.segments import run_segment
from intendant.pilot.steps import within
from intendant.record.journal import row_of
from intendant.record.rows import StepRow
from intendant.spending.step_budgets import budget_key

STATE_KEY = f"~{ROLLBACK}"
"""Stands behind the address of the steps that are rolled back; under it the state of that is kept."""


def is_begun(frame: Frame) -> bool:
    """True if a process before this one began to roll a frame back: none of its steps is executed again."""
    return frame.run.kept.get(f"{frame.address}{STATE_KEY}") is not None


def restore(frame: Frame) -> None:
    """Give a frame that is being rolled back the ends of its steps, failures as well."""
    found = ((step, frame.before(step)) for step in frame.steps)
    frame.outcomes |= {step: outcome for step, outcome in found if outcome is not None}


async def roll_back(frame: Frame, on_failure: OnFailure) -> dict[str, Failure | None]:
    """Undo what the completed steps of a frame have done, if that is wanted and one of them failed.

    Their `rollback` steps, and those of steps within them, run one after the other, the last completed one first.
    One that fails is reported, and the others run all the same. What was undone before is not undone again.

    Returns:
        Why undoing failed, or None where it did not, by the addresses of the steps.

    Raises:
        Fenced: Another process owns the run.
    """
    if on_failure != "rollback" or frame.failure is None:
        return {}
    before = frame.run.kept.get(f"{frame.address}{STATE_KEY}")
    if frame.recorder.batch is not None:
        frame.recorder.batch.flush()
    run, rows = await _state_of(frame)
    targets = list(_targets(run.plan.workflow, frame.address, rows))
    if before is None:
        _note(frame, StepStatus.running, len(targets))
    undone: dict[str, Failure | None] = {}
    retracing = Retracing(run)
    for address, step in targets:
        if (known := run.kept.get(f"{address}/{ROLLBACK}")) is not None and known.is_done:
            undone[address] = None
            continue
        undone[address] = await _undo(retracing, run, address, step)
    if before is None or not before.is_done:
        _note(frame, StepStatus.completed, len(targets))
    return undone


async def _state_of(frame: Frame) -> tuple[RunState, Sequence[StepRow]]:
    """The run with how all its steps stand now, and their rows."""
    from intendant.record.store import runs

    journal = frame.run.journal
    rows = await journal.store.do(runs.steps_of(journal.run_id), journal.fence)
    return replace(frame.run, kept=outcomes_of(rows)), rows


def _targets(workflow: Workflow, prefix: str, rows: Sequence[StepRow]) -> Iterator[tuple[str, Step]]:
    """The completed steps that say how they are undone, the last one first. Of a list, each item is one."""
    for row in sorted(rows, key=lambda row: (row.finished_at, row.key), reverse=True):
        placed = workflow.by_key.get(budget_key(row.key))
        if row.status != StepStatus.completed.value or placed is None or not row.key.startswith(prefix):
            continue
        marks = len(MARK.findall(row.key.rpartition("/")[2]))
        if placed.step.rollback is not None and not placed.last and marks == placed.step.is_map:
            yield row.key, placed.step


async def _undo(retracing: Retracing, run: RunState, address: str, step: Step) -> Failure | None:
    """Run the rollback of one step; why it failed."""
    failure: Failure | None = None
    try:
        failure = await _steps(retracing, run, address, step)
    except Fenced:
        raise
    except IntendantError as error:
        failure = failure_of(error)
    log = run.journal.step(address)
    status = StepStatus.completed if failure is None else StepStatus.failed
    outcome = StepOutcome(step_id=f"{address}/{ROLLBACK}", name=step.title, status=status, failure=failure)
    log.save(outcome, "null" if failure is None else None, log.event(events.StepRolledBack, failure=failure))
    return failure


async def _steps(retracing: Retracing, run: RunState, address: str, step: Step) -> Failure | None:
    if step.rollback is None:
        return None
    inner = Frame(
        run,
        step.rollback.steps,
        f"{address}/{ROLLBACK}/",
        outer=retracing.frame_of(address),
        recorder=StepRecorder(),
        lenient=True,
        around=(step.id, run.kept[address]),
    )
    await run_segment(inner)
    if inner.waiting:
        return failure_of(StepError(f"it waits, which no rollback can: {inner.waiting[0].reason}"))
    return None if inner.failure is None else within(inner.failure)


def _note(frame: Frame, status: StepStatus, steps: int) -> None:
    """Write how far the rollback has come."""
    from intendant.record.store import runs

    journal, key = frame.run.journal, f"{frame.address}{STATE_KEY}"
    output: Mapping[str, int] = {"steps": steps}
    outcome = StepOutcome(step_id=key, name="", status=status, output=output, input_sha256=frame.recorder.digest)
    row = row_of(outcome, output_text(output), time())
    log = journal.step(frame.address.rstrip("/"))
    said = [log.event(events.RollbackStarted, steps=steps)] if status is StepStatus.running else []
    journal.commit_later(runs.save_step(journal.fence, row), *said)
