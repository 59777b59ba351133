"""Executes the steps of a loop again and again, each time with the state that the time before has left."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from intendant import events
from intendant.model.errors import Fenced, IntendantError, StepError
from intendant.model.placing import STATE
from intendant.model.results import Failure, StepOutcome
from intendant.model.workflow import Json, Loop, Step
from intendant.pilot.execution import failure_of, output_text
from intendant.pilot.frames import Frame, totals
from intendant.pilot.recording import ItemRecorder, Recorder, StepRecorder
from intendant.pilot.resolving import resolve
from intendant.pilot.steps import Place, begun_at, body, ended, waits, within
from intendant.text.hashing import digest_of


async def run_loop(frame: Frame, step: Step, place: Place) -> StepOutcome:
    """Execute a step's loop; its output is the state after the last pass.

    The passes that were finished before are kept, where the state before them is the same.

    Raises:
        StepError: The step has no loop.
        ReferenceFailed: `state` names something that is not there.
    """
    if step.loop is None:
        raise StepError("it has no loop")
    return await _Passes(frame, step, step.loop, place).run()


class _Failed(Exception):
    """A pass failed for good."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class _Waiting(Exception):
    """A step of a pass waits."""

    def __init__(self, inner: Frame) -> None:
        super().__init__()
        self.inner = inner


class _Passed(NamedTuple):
    state: Json
    """The new state."""
    again: bool
    """What `while` says of it."""


@dataclass(slots=True)
class _Passes:
    """One loop, while it is executed."""

    frame: Frame
    step: Step
    loop: Loop
    place: Place
    took: list[StepOutcome] = field(default_factory=list)
    """What the passes took."""

    async def run(self) -> StepOutcome:
        started, frame, step, place = monotonic(), self.frame, self.step, self.place
        state = resolve(self.loop.state, {**frame.scope(step), **place.variables})
        number, notes = 0, list[str]()
        try:
            for number in range(1, self.loop.max + 1):
                state, again = await self._pass(number, state)
                if not again:
                    break
            else:
                notes.append("it ended at `max`: `while` still held")
        except _Waiting as waiting:
            return waits(frame, step, place, waiting.inner)
        except _Failed as failed:
            failure = failed.failure.model_copy(update={"message": f"pass {number}, {failed.failure.message}"})
            return self._ended(started, failure=failure)
        passes = f"{number} pass{'es' if number > 1 else ''}"
        return self._ended(started, output=state, notes=(passes, *notes))

    def _ended(self, started: float, **facts: Any) -> StepOutcome:
        begun = begun_at(self.frame, self.step, self.place, started)
        return ended(self.frame, self.place, begun, **totals(self.took), **facts)

    async def _pass(self, number: int, state: Json) -> _Passed:
        """Execute the steps once; what they come to is written before the next pass begins.

        Raises:
            _Failed: One of them failed, or what they leave cannot be used.
            _Waiting: One of them waits.
        """
        address, started = f"{self.place.address}[{number}]", monotonic()
        recorder = self._recorder(number, state)
        before = self.frame.run.kept.get(address)
        if before is not None and before.is_done and before.input_sha256 == recorder.digest:
            self.took.append(before.model_copy(update={"output": None}))
            return _Passed(before.output["state"], before.output["again"])
        place = Place(address, recorder, {**self.place.variables, STATE: state})
        inner = await body(self.frame, self.loop.steps, f"{address}/", place)
        if inner.waiting:
            raise _Waiting(inner)
        took = inner.totals()
        outcome = begun_at(self.frame, self.step, place, started).model_copy(update=took)
        self.took.append(outcome)
        if (failed := inner.failure) is not None:
            raise _Failed(within(failed))
        passed = self._next(inner)
        self._save(outcome.model_copy(update={"output": passed._asdict()}), recorder, number, again=passed.again)
        return passed

    def _recorder(self, number: int, state: Json) -> Recorder:
        """Writes the steps of a pass. They are done again where the state before it is another one."""
        outer, origin = self.place.recorder, self.frame.run.origin  # forks may keep passes
        digest = digest_of(f"{origin}\n{outer.digest}\n{self.place.address}\n{number}\n{output_text(state)}")
        return StepRecorder(digest) if outer.batch is None else ItemRecorder(outer.batch, digest)

    def _next(self, inner: Frame) -> _Passed:
        """The new state, and whether there is another pass."""
        where = "next"
        try:
            state = resolve(self.loop.next, inner.scope(lenient=True))
            output_text(state)
            where = "while"
            return _Passed(state, inner.holds(self.loop.while_, {STATE: state}))
        except Fenced:
            raise
        except IntendantError as error:
            failure = failure_of(error)
            message = f"`{where}`: {failure.message}"
            raise _Failed(failure.model_copy(update={"message": message})) from None

    def _save(self, outcome: StepOutcome, recorder: Recorder, number: int, *, again: bool) -> None:
        log = self.frame.run.journal.step(self.place.address)
        said: Mapping[str, Any] = {"number": number, "most": self.loop.max, "again": again}
        event = partial(log.event, events.LoopPassed, **said)
        recorder.save(log, outcome, output_text(outcome.output), event)
