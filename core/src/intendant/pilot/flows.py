"""Executes a workflow that is a step of another one."""

from collections.abc import Mapping
from time import monotonic
from typing import Any

from intendant.model.errors import StepError
from intendant.model.results import Failure, RunStatus, StepOutcome
from intendant.model.workflow import Flow, Json, Step, Workflow
from intendant.pilot.frames import Frame, Part, totals
from intendant.pilot.graph_checks import fault_of
from intendant.pilot.resolving import resolve
from intendant.pilot.steps import Place, begun_at, ended, result_of, waits, within


async def run_flow(frame: Frame, step: Step, place: Place) -> StepOutcome:
    """Execute the sub-workflow of a step; its output is what that `returns`, else the output of its last step.

    Its steps see their own inputs and each other, and nothing of what is around them.

    Raises:
        StepError: The step has no sub-workflow, or an input has not the declared type.
        ReferenceFailed: `with` or `returns` names something that is not there.
    """
    from intendant.pilot import rollback
    from intendant.pilot.segments import run_segment

    if step.flow is None:
        raise StepError("it has no sub-workflow")
    started, flow = monotonic(), step.flow.workflow
    part = part_of(step.flow, resolve(step.with_, {**frame.scope(step), **place.variables}))
    inner = Frame(frame.run, flow.steps, f"{place.address}/", outer=frame, recorder=place.recorder, part=part)
    if rollback.is_begun(inner):
        rollback.restore(inner)
    else:
        await run_segment(inner)
    if inner.waiting:
        return waits(frame, step, place, inner)
    failed = inner.failure
    undone = await rollback.roll_back(inner, flow.on_failure)
    last = await _finally(inner, flow, part)
    begun = begun_at(frame, step, place, started).model_copy(update={"notes": _told(undone)})
    took = totals([*inner.outcomes.values(), *last.outcomes.values()])
    if (failed := failed or last.failure) is not None:
        return ended(frame, place, begun, failure=within(failed), **took)
    given = flow.returns is not None
    return ended(frame, place, begun, output=result_of(inner, flow.steps, flow.returns, given=given), **took)


async def _finally(inner: Frame, flow: Workflow, part: Part) -> Frame:
    """Execute the steps that run whatever happened to the others."""
    from intendant.pilot.segments import run_segment

    status = RunStatus.completed if inner.failure is None else RunStatus.failed
    part.result = {"status": status.value, "failures": failures_of(inner)}
    last = Frame(inner.run, flow.finally_, inner.address, outer=inner, recorder=inner.recorder, lenient=True)
    last.outcomes.clear()  # what was done at an earlier end is done again: it has another end now
    await run_segment(last)
    return last


def failures_of(frame: Frame) -> dict[str, Json]:
    """Why steps of a frame failed, as steps of `finally` see it."""
    found: dict[str, Failure] = {
        key: outcome.failure for key, outcome in frame.outcomes.items() if outcome.failure is not None
    }
    return {key: {"code": failure.code, "message": failure.message} for key, failure in found.items()}


def _told(undone: Mapping[str, Failure | None]) -> tuple[str, ...]:
    """What is to be known of a rollback."""
    if not undone:
        return ()
    failed = [address for address, failure in undone.items() if failure is not None]
    more = f", which failed for {', '.join(failed)}" if failed else ""
    return (f"rolled back: {', '.join(undone)}{more}",)


def part_of(flow: Flow, given: Mapping[str, Any]) -> Part:
    """A sub-workflow with its inputs.

    Raises:
        StepError: One has not the declared type.
    """
    return Part(flow.workflow.name, _inputs(flow, given))


def _inputs(flow: Flow, given: Mapping[str, Any]) -> dict[str, Json]:
    """The values of a sub-workflow's inputs.

    Raises:
        StepError: One has not the declared type.
    """
    declared = flow.workflow.inputs
    values = {name: item.default for name, item in declared.items() if not item.required} | dict(given)
    for name, value in given.items():
        if fault := fault_of(name, declared[name], value):
            raise StepError(f"{fault} ('{flow.file}')")
    return values
