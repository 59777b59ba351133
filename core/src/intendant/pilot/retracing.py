"""Makes the frame in which a step was executed once more, from its address and from what the record keeps."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from intendant.model.errors import StepError
from intendant.model.placing import STATE
from intendant.model.results import StepOutcome
from intendant.model.workflow import ON_ERROR, Json, OnError, Step
from intendant.pilot.flows import part_of
from intendant.pilot.frames import Frame, Part, RunState
from intendant.pilot.items import keys_of
from intendant.pilot.resolving import resolve

MARK = re.compile(r"\[([^\]]*)\]")
"""What tells an item of a list, or a pass of a loop, in an address."""


class Within(NamedTuple):
    """The steps within a step."""

    steps: Sequence[Step]
    name: str = ""
    """What their addresses begin with after the step's own, such as a branch."""
    part: Part | None = None
    around: tuple[str, StepOutcome] | None = None


class Retracing:
    """The frames of a run.

    Args:
        run: Its state; `kept` says how its steps ended.
    """

    def __init__(self, run: RunState) -> None:
        self._run = run
        self._frames = {"": Frame(run, run.plan.workflow.steps, lenient=True)}

    def frame_of(self, address: str) -> Frame:
        """The frame in which the step at an address was executed; it has what that saw of items and states.

        Raises:
            StepError: It cannot be made again: the list of an item is not what it was, say.
            ReferenceFailed: The same.
        """
        parts = address.split("/")
        frame, at = self._frames[""], 0
        while at < len(parts) - 1:
            inner = self._inside(frame, parts[at], parts[at + 1])
            at += 2 if inner.name else 1
            frame = self._frame("/".join(parts[:at]), frame, parts[at - (2 if inner.name else 1)], inner)
        variables = self._variables(frame, parts[-1])
        if not variables:
            return frame
        return self._filled(
            Frame(self._run, tuple(frame.steps.values()), frame.address, outer=frame, variables=variables)
        )

    def _frame(self, address: str, outer: Frame, part: str, inner: Within) -> Frame:
        found = self._frames.get(address)
        if found is None:
            found = self._frames[address] = self._filled(
                Frame(
                    self._run,
                    inner.steps,
                    f"{address}/",
                    outer=outer,
                    variables=self._variables(outer, part),
                    lenient=True,
                    part=inner.part,
                    around=inner.around,
                )
            )
        return found

    def _filled(self, frame: Frame) -> Frame:
        """A frame with how its steps ended, whatever item they are about: the address says that."""
        ends = ((step, self._run.kept.get(f"{frame.address}{step}")) for step in frame.steps)
        frame.outcomes = {step: outcome for step, outcome in ends if outcome is not None and outcome.is_done}
        return frame

    def _inside(self, frame: Frame, part: str, after: str) -> Within:
        """The steps within a step of *frame* of which *after* is one, or which it names."""
        step_id = MARK.sub("", part)
        step = _step(frame, step_id)
        if step.flow is not None:
            flow = step.flow.workflow
            known = {inner.id for inner in flow.steps}
            steps = flow.steps if MARK.sub("", after) in known else flow.finally_
            scope = {**frame.scope(step), **self._variables(frame, part)}
            return Within(steps, part=part_of(step.flow, resolve(step.with_, scope)))
        if after == ON_ERROR and isinstance(step.on_error, OnError) and step.on_error.steps is not None:
            return Within(step.on_error.steps, after)
        if step.branches and after in step.branches and not step.is_composite:
            decided = self._run.kept.get(f"{frame.address}{part}")
            return Within(
                step.branches[after].steps, after, around=None if decided is None else (step_id, decided)
            )
        body = step.steps if step.loop is None else step.loop.steps
        return Within(body or ())

    def _variables(self, frame: Frame, part: str) -> dict[str, Json]:
        """The item and the state that the last part of an address tells."""
        step, marks = _step(frame, MARK.sub("", part)), MARK.findall(part)
        seen: dict[str, Json] = {}
        if step.is_map and marks:
            seen[step.item_name] = self._item(frame, step, marks[0])
        if step.loop is not None and len(marks) > step.is_map:
            number = int(marks[-1])
            first = resolve(step.loop.state, {**frame.scope(step), **seen})
            seen[STATE] = first if number == 1 else self._state(f"{frame.address}{part}", number)
        return seen

    def _item(self, frame: Frame, step: Step, key: str) -> Json:
        scope = frame.scope(step)
        items = resolve(step.for_each, scope)
        keys = keys_of(step, items, scope) if isinstance(items, list) else []
        if key not in keys:
            raise StepError(f"the list of step '{step.id}' has no item '{key}' any more")
        return items[keys.index(key)]

    def _state(self, address: str, number: int) -> Json:
        before = self._run.kept.get(f"{address.removesuffix(f'[{number}]')}[{number - 1}]")
        if before is None or not before.is_done:
            raise StepError(f"the pass before {address} is not kept")
        return before.output["state"]


def _step(frame: Frame, step_id: str) -> Step:
    step = frame.steps.get(step_id)
    if step is None:
        raise StepError(f"there is no step '{frame.address}{step_id}' in the run's workflow")
    return step
