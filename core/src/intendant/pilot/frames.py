"""A frame: the steps that are executed together, and what they see of each other.

The steps of a workflow are one frame, those of `finally` another. A group has a frame of its own, one for each
item where it is executed for items: its ids are private, and what is outside can be seen from inside.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import time
from typing import Any

from intendant import events
from intendant.model.errors import IntendantError, ReferenceFailed
from intendant.model.results import Failure, ItemCounts, StepOutcome, StepStatus, Usage
from intendant.model.workflow import Json, Step
from intendant.pilot.conditions import Expression, computes_names, step_names
from intendant.pilot.execution import RunContext, failure_of, output_text
from intendant.pilot.graph import CONDITION_NAMES
from intendant.pilot.prepared import Prepared
from intendant.pilot.recording import Recorder, StepRecorder, executed_event, failed_event
from intendant.pilot.resolving import holds_withheld, with_withheld
from intendant.pilot.sandbox import bounded
from intendant.planning.decided import Plan, StepPlan
from intendant.record.journal import Journal
from intendant.spending.step_budgets import budget_key

APPROVAL = "~approval"
"""Stands behind the address of a step under which is kept what people decided about it."""


@dataclass(slots=True)
class RunState:
    """The state of a run that has begun."""

    plan: Plan
    prepared: Prepared
    """What follows from the plan's workflow."""
    journal: Journal
    context: RunContext
    inputs: dict[str, Json]
    max_parallel: int
    started: float = field(default_factory=time)
    kept: dict[str, StepOutcome] = field(default_factory=dict)
    """How steps ended in another process, or before this one waited, by their addresses."""
    result: dict[str, Json] = field(default_factory=dict)
    """What steps of `finally` may know of the run."""
    paused: bool = False
    """True once no other step is to be started."""
    ending: bool = False
    """True once the run ends: what runs whatever happened, and what undoes steps, is not paused any more."""
    handed_over: bool = False
    """True if another process is to go on with the run."""
    due: float | None = None
    """When, in seconds since 1970; None for at once."""

    def pause(self) -> None:
        """Start no other step, unless the run is ending already."""
        self.paused = self.paused or not self.ending

    @property
    def origin(self) -> str:
        """The run of which the items have the same digests: itself, or the one that it was forked from."""
        return self.plan.origin or self.journal.run_id


@dataclass(slots=True)
class Part:
    """A sub-workflow, while it is executed: its steps see nothing of what is around it."""

    name: str
    inputs: Mapping[str, Json]
    result: dict[str, Json] = field(default_factory=dict)
    """What steps of its `finally` may know of it."""


class Frame:
    """Steps that are executed together.

    Args:
        run: The run.
        steps: The steps.
        address: What their addresses begin with, such as `label[17]/`.
        outer: The frame around it.
        variables: Items that they may refer to, by name.
        recorder: Writes how they end.
        lenient: Whether the output of a step that was not executed reads as null.
        around: The step that it is a branch of, as far as that has come.
        part: The sub-workflow whose steps they are; None for that of the frame around it, if that has one.
    """

    def __init__(
        self,
        run: RunState,
        steps: Sequence[Step],
        address: str = "",
        *,
        outer: "Frame | None" = None,
        variables: Mapping[str, Json] | None = None,
        recorder: Recorder | None = None,
        lenient: bool = False,
        around: tuple[str, StepOutcome] | None = None,
        part: Part | None = None,
    ) -> None:
        self.run = run
        self.around = around
        self.address = address
        self.outer = None if part is not None else outer
        self.part: Part | None = part or (outer.part if outer else None)
        shape = run.prepared.shape(steps)
        self.steps, self.order, self.graph = shape.steps, shape.order, shape.graph
        inherited: Recorder = StepRecorder() if outer is None else outer.recorder
        self.recorder: Recorder = inherited if recorder is None else recorder
        around_it = self.outer
        self.variables: Mapping[str, Json] = {**(around_it.variables if around_it else {}), **(variables or {})}
        self.lenient: bool = lenient or (around_it is not None and around_it.lenient)
        self.outcomes: dict[str, StepOutcome] = {}
        if run.kept:
            found = ((step, self.before(step)) for step in self.steps)
            self.outcomes = {step: outcome for step, outcome in found if outcome is not None and outcome.is_done}

    def plan_of(self, step_id: str) -> StepPlan:
        """What was decided about a step."""
        return self.run.plan.by_id[budget_key(f"{self.address}{step_id}")]

    def require(self, step_id: str) -> None:
        """Pass if there is a step of this id.

        Raises:
            IntendantError: There is none; names those that there are.
        """
        if step_id not in self.steps:
            known = ", ".join(list(self.steps)[:20])
            raise IntendantError(f"the workflow has no step '{step_id}'", hint=f"its steps: {known}")

    def before(self, step_id: str) -> StepOutcome | None:
        """How the step stood when another process left it, done or not; None if it is about another item."""
        found = self.run.kept.get(f"{self.address}{step_id}")
        return found if found is not None and found.input_sha256 == self.recorder.digest else None

    # --- what steps see ---

    def scope(self, step: Step | None = None, *, lenient: bool = False) -> dict[str, Json]:
        """What references of a step may name."""
        lenient = lenient or self.lenient or (step is not None and step.join != "all")
        run, part = self.run, self.part
        name, result = (run.plan.workflow.name, run.result) if part is None else (part.name, part.result)
        about = {"id": run.journal.run_id, "workflow": name, "started": run.journal.began, **result}
        places: dict[str, Json] = {"inputs": run.inputs if part is None else part.inputs, "run": about}
        return {**self.variables, "steps": StepsView(self, lenient=lenient), **places}

    def find(self, step_id: str) -> StepOutcome | None:
        """The outcome of a step of this frame, or of one around it."""
        if step_id in self.steps:
            return self.outcomes.get(step_id)
        if self.around is not None and self.around[0] == step_id:
            return self.around[1]
        return self.outer.find(step_id) if self.outer is not None else None

    def names(self) -> Iterator[str]:
        """The steps that have ended, here and around."""
        yield from self.outcomes
        if self.outer is not None:
            yield from (name for name in self.outer.names() if name not in self.steps)

    def should_run(self, step_id: str) -> bool:
        """The value of the step's `when`; True where it has none.

        Raises:
            ExpressionFailed: The condition cannot be evaluated on the values there are.
            StepError: It takes too long or too much memory.
        """
        condition = self.steps[step_id].when
        return condition is None or self.holds(condition)

    def holds(self, condition: str, more: Mapping[str, Json] | None = None) -> bool:
        """The value of a condition.

        Args:
            condition: In CEL.
            more: Variables besides those of the frame, or in their place.

        Raises:
            ExpressionFailed: It cannot be evaluated on the values there are.
            StepError: It takes too long or too much memory.
        """
        more = more or {}
        names: Iterable[str] = step_names(condition)
        if computes_names(condition):  # then it may look at any step that has ended
            names = list(self.names())
        found = ((name, self.find(name)) for name in names)
        steps = {name: _plain(self.run, outcome) for name, outcome in found if outcome is not None}
        with bounded(self.run.context.bounds):
            variables = tuple(dict.fromkeys((*CONDITION_NAMES, *self.variables, *more)))
            return Expression(condition, variables).test(**{**self.scope(), **more, "steps": steps})

    def sees_withheld(self, step_id: str) -> bool:
        """True if the step's `when` looks at a delivery that this dry run did not make."""
        if not self.run.context.dry:
            return False
        found = (self.find(name) for name in step_names(self.steps[step_id].when or ""))
        return any(holds_withheld(with_withheld(outcome.output)) for outcome in found if outcome is not None)

    # --- how steps end, without a handler ---

    def skip(self, step_id: str, reason: str) -> StepOutcome:
        """Record that a step is not run."""
        outcome = self._outcome(step_id, StepStatus.skipped, reason=reason)
        self.outcomes[step_id] = outcome
        before = self.before(step_id)
        if before is None or (before.status, before.reason) != (outcome.status, reason):
            log = self.run.journal.step(outcome.step_id)
            self.recorder.save(log, outcome, None, partial(log.event, events.StepSkipped, reason=reason))
        return outcome

    def fail(self, step_id: str, error: IntendantError | Failure, **facts: Any) -> StepOutcome:
        """Record that a step failed without its handler, or before that began."""
        failure = error if isinstance(error, Failure) else failure_of(error)
        outcome = self._outcome(step_id, StepStatus.failed, failure=failure, **facts)
        self.outcomes[step_id] = outcome
        log = self.run.journal.step(outcome.step_id)
        self.recorder.save(log, outcome, None, partial(failed_event, log, outcome))
        return outcome

    def complete(self, step_id: str, output: Json, **facts: Any) -> StepOutcome:
        """Record that a step was completed.

        Raises:
            OutputInvalid: The output is not JSON.
        """
        return self.write(step_id, self._outcome(step_id, StepStatus.completed, output=output, **facts))

    def write(self, step_id: str, outcome: StepOutcome) -> StepOutcome:
        """Record how a completed step ended.

        Raises:
            OutputInvalid: The output is not JSON.
        """
        text = output_text(outcome.output)
        self.outcomes[step_id] = outcome
        log = self.run.journal.step(outcome.step_id)
        self.recorder.save(log, outcome, text, partial(executed_event, log, outcome, text))
        return outcome

    def wait(self, step_id: str, reason: str, due: float | None = None) -> StepOutcome:
        """Note that a step waits; the caller records for what."""
        outcome = self._outcome(step_id, StepStatus.waiting, reason=reason, due=due)
        self.outcomes[step_id] = outcome
        return outcome

    def _outcome(self, step_id: str, status: StepStatus, **facts: Any) -> StepOutcome:
        return StepOutcome(
            step_id=f"{self.address}{step_id}",
            name=self.steps[step_id].title,
            status=status,
            intent=self.plan_of(step_id).intent,
            input_sha256=self.recorder.digest,
            **facts,
        )

    # --- what it came to ---

    @property
    def failure(self) -> tuple[str, Failure] | None:
        """The first step, in the order of the file, that failed and was not handled, and why."""
        for step_id in self.steps:
            outcome = self.outcomes.get(step_id)
            if outcome is not None and outcome.failure is not None and not outcome.handled:
                return step_id, outcome.failure
        return None

    @property
    def waiting(self) -> list[StepOutcome]:
        """The steps that wait."""
        return [outcome for outcome in self.outcomes.values() if outcome.status is StepStatus.waiting]

    def totals(self) -> dict[str, Any]:
        """What its steps took together, as fields of the outcome of the step that it is part of."""
        return totals(self.outcomes.values())


def totals(outcomes: Iterable[StepOutcome]) -> dict[str, Any]:
    """What several steps took together."""
    usage, saved, produced = Usage(), 0, "deterministic"
    for outcome in outcomes:
        if outcome.usage.calls:
            usage += outcome.usage
        saved += outcome.tokens_saved
        if produced == "deterministic":
            produced = outcome.produced_by
    return {"usage": usage, "tokens_saved": saved, "produced_by": produced}


class StepsView(Mapping[str, Json]):
    """The outcomes as references see them: made when looked at, not copied for every step."""

    def __init__(self, frame: Frame, *, lenient: bool) -> None:
        self._frame = frame
        self._lenient = lenient

    def __getitem__(self, step_id: str) -> Json:
        outcome = self._frame.find(step_id)
        if outcome is None:
            if self._lenient:
                return {"output": None, "status": StepStatus.pending.value, **_NOTHING}
            raise KeyError(step_id)
        if not (outcome.is_done or self._lenient):
            return _WithoutOutput(self._frame.run, outcome)
        seen = _plain(self._frame.run, outcome, absent=True)
        return {**seen, "output": with_withheld(seen["output"])} if self._frame.run.context.dry else seen

    def __iter__(self) -> Iterator[str]:
        return self._frame.names()

    def __len__(self) -> int:
        return sum(1 for _ in self._frame.names())


_NOTHING: Mapping[str, Json] = {"notes": [], "error": None, "approval": None}


def _plain(run: RunState, outcome: StepOutcome, *, absent: bool = False) -> dict[str, Json]:
    """A step as references and conditions see it; without an `output` where it has none, unless *absent*."""
    failure = outcome.failure
    error = None if failure is None else {"code": failure.code, "message": failure.message}
    kept = run.kept.get(f"{outcome.step_id}{APPROVAL}") if run.kept else None
    approval = None if kept is None else kept.output
    seen: dict[str, Json] = {"status": outcome.status.value, "notes": list(outcome.notes), "error": error}
    seen["approval"] = approval
    if outcome.is_done or absent:
        seen["output"] = outcome.output
    return seen


class _WithoutOutput(dict[str, Json]):
    """A step that has no output, for a reference that needs one."""

    def __init__(self, run: RunState, outcome: StepOutcome) -> None:
        super().__init__(_plain(run, outcome))
        self._text = f"step '{outcome.step_id}' was {outcome.status.value} and has no output"

    def __contains__(self, key: object) -> bool:
        if key == "output":
            raise ReferenceFailed(
                self._text, hint="skip what depends on it, or write join: any and default(steps.…, …)"
            )
        return super().__contains__(key)


def counts_of(outcomes: Iterable[StepStatus], total: int) -> ItemCounts:
    """What became of the items of a list."""
    listed = list(outcomes)
    return ItemCounts(
        total=total,
        completed=listed.count(StepStatus.completed),
        failed=listed.count(StepStatus.failed),
        skipped=listed.count(StepStatus.skipped),
    )
