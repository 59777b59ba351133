"""The figures of one run that dashboards, alerts and the guard of rollouts look at: a fold over its events."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from intendant import events

OVER = 1.10
"""A step that took more than this many times its allocation is over it: budget adherence is within 10 %."""
FAULTS = frozenset(
    {
        "plugin_failed",
        "plugin_unusable",
        "no_handler",
        "store_failed",
        "run_taken_over",
        "record_broken",
        "schema_mismatch",
    }
)
"""Codes of failures that are orchestration's own, and no step's."""


@dataclass(slots=True)
class StepFigures:
    """A step of a run, those of workflows only: items of lists are within theirs.

    Attributes:
        step: Its path in the graph.
        intent: Its intent; empty where no handler did it.
        status: `completed`, `failed`, `skipped`; empty while it has not ended.
        confidence: How sure its classification was.
        method: Which classifier told the intent.
        tier: The tier that it was routed to.
        model: The provider and model that it was routed to.
        allocated: Its share of the run's tokens; 0 where it had none.
        used: Tokens of its calls.
        calls: Its model calls.
        micro_usd: What they cost.
        before: Tokens of what was compressed, before that.
        after: The same, after.
        quality: The lowest share of facts that survived; None where nothing was compressed.
        compression_seconds: How long compressing took.
        seconds: How long the step took.
        handler_seconds: Of them, those of its handler.
        attempts: How often it was tried.
        code: Where it failed: the kind of error.
        repeats: The same call in a row, at most.
        begun: When it began, in seconds since 1970; None where it never did.
    """

    step: str
    intent: str = ""
    status: str = ""
    confidence: float | None = None
    method: str = ""
    tier: str = ""
    model: str = ""
    allocated: int = 0
    used: int = 0
    calls: int = 0
    micro_usd: int = 0
    before: int = 0
    after: int = 0
    quality: float | None = None
    compression_seconds: float = 0.0
    seconds: float = 0.0
    handler_seconds: float | None = None
    attempts: int = 0
    code: str = ""
    repeats: int = 0
    begun: float | None = None

    @property
    def saved(self) -> int:
        """Tokens that compression took away."""
        return self.before - self.after

    @property
    def overhead_ms(self) -> float | None:
        """Milliseconds that orchestration took: all but the handler's, and compression; None where a retry, whose
        pauses would count, or a failure hides it.
        """
        if self.handler_seconds is None or self.attempts > 1 or self.status != "completed":
            return None
        return 1000 * max(0.0, self.seconds - self.handler_seconds + self.compression_seconds)

    @property
    def is_over(self) -> bool | None:
        """True if it took more than 10 % beyond its allocation; None where it had none, or asked no model."""
        return self.used > OVER * self.allocated if self.allocated and self.used else None


@dataclass(slots=True)
class RunFigures:
    """What a run came to.

    Attributes:
        run_id: The run.
        workflow: Its workflow.
        agent: Its agent.
        status: How it ended; empty while it has not.
        at: When it ended or was last heard of: seconds since 1970 (UTC).
        seconds: How long it took.
        flags: Which flags were on.
        budget_tokens: What it might spend; None for no limit.
        planning_tokens: What telling intents took.
        planning_micro_usd: The same in micro-US$.
        refusals: Calls that a budget did not admit.
        watched: Calls that a watched limit would not have admitted.
        shadow_tokens: What compression would have saved, in shadow mode.
        shadow_micro_usd: What routing would have saved.
        steps: Its steps, in the order in which they were first heard of.
    """

    run_id: str = ""
    workflow: str = ""
    agent: str = ""
    status: str = ""
    at: float = 0.0
    seconds: float = 0.0
    flags: dict[str, bool] = field(default_factory=dict)
    budget_tokens: int | None = None
    planning_tokens: int = 0
    planning_micro_usd: int = 0
    refusals: int = 0
    watched: int = 0
    shadow_tokens: int = 0
    shadow_micro_usd: int = 0
    steps: list[StepFigures] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens of all its calls."""
        return self.planning_tokens + sum(step.used for step in self.steps)

    @property
    def micro_usd(self) -> int:
        """What they cost."""
        return self.planning_micro_usd + sum(step.micro_usd for step in self.steps)

    @property
    def saved(self) -> int:
        """Tokens that compression took away."""
        return sum(step.saved for step in self.steps)

    @property
    def is_down(self) -> bool:
        """True if orchestration itself failed."""
        return any(step.code in FAULTS for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """What is not as usual: short to store."""
        return {**_unusual(self, _USUAL), "steps": [_unusual(step, _USUAL_STEP) for step in self.steps]}

    @classmethod
    def of_json(cls, data: dict[str, Any]) -> "RunFigures":
        """The figures that `as_json` gave; unknown names of later versions are left out."""
        known = {name: value for name, value in data.items() if name in _USUAL and name != "steps"}
        steps = [
            StepFigures(**{name: value for name, value in step.items() if name in _USUAL_STEP})
            for step in data.get("steps", ())
        ]
        return cls(**known, steps=steps)


def _unusual(figures: RunFigures | StepFigures, usual: dict[str, Any]) -> dict[str, Any]:
    # Not by `asdict`, which copies every value: this is done at the end of each run.
    values = ((name, getattr(figures, name)) for name in usual)
    return {name: value for name, value in values if value != usual[name]}


_USUAL = {item.name: item.default for item in fields(RunFigures)}
_USUAL_STEP = {item.name: item.default for item in fields(StepFigures)}


class FiguresFold:
    """Adds events up to `RunFigures`, live or from the store."""

    def __init__(self) -> None:
        self._run = RunFigures()
        self._steps: dict[str, StepFigures] = {}
        self._doubtful: dict[str, tuple[StepFigures, int, int]] = {}
        self._last: dict[str, tuple[Any, int]] = {}

    @property
    def run(self) -> RunFigures:
        """The figures so far."""
        self._run.steps = list(self._steps.values())
        return self._run

    def add(self, event: events.Event) -> None:
        """Count *event* in."""
        fold = self._FOLDS.get(type(event))
        if fold is not None:
            self._run.at = event.at
            fold(self, event)

    def _step(self, event: events.Event) -> StepFigures:
        key = (event.step_id or "").partition("[")[0]
        found = self._steps.get(key)
        if found is None:
            found = self._steps[key] = StepFigures(key)
        return found

    def _initialized(self, event: events.Initialized) -> None:
        run = self._run
        run.run_id, run.workflow, run.agent = event.run_id, event.workflow, event.agent
        run.flags, run.budget_tokens = dict(event.flags), event.budget_tokens
        run.planning_tokens, run.planning_micro_usd = event.planning_tokens, event.planning_micro_usd

    def _classified(self, event: events.IntentClassified) -> None:
        step = self._step(event)
        step.intent, step.confidence, step.method = event.intent or "", event.confidence, event.method

    def _allocated(self, event: events.TokenBudgetAllocated) -> None:
        self._step(event).allocated = event.tokens

    def _routed(self, event: events.Routed) -> None:
        step = self._step(event)
        step.tier, step.model = event.tier, f"{event.provider}/{event.model}"

    def _decided(self, event: events.RouteDecided) -> None:
        step = self._step(event)
        step.tier, step.model = event.tier, event.ask[0]

    def _started(self, event: events.StepStarted | events.ItemsStarted) -> None:
        step = self._step(event)
        if step.begun is None:
            step.begun = event.at

    def _compressed(self, event: events.TokenCompressed) -> None:
        step = self._step(event)
        if event.saved:
            step.before += event.tokens_before
            step.after += event.tokens_before - event.saved
        if not event.lossless:
            step.quality = min(event.quality, 1.0 if step.quality is None else step.quality)
        step.compression_seconds += event.seconds

    def _expanded(self, event: events.ContentExpanded) -> None:
        self._step(event).after += event.tokens

    def _settled(self, event: events.TokensSettled) -> None:
        step = self._step(event)
        if (charged := self._doubtful.pop(event.call, None)) is not None:  # what it took is known now
            charged[0].used -= charged[1]
            charged[0].micro_usd -= charged[2]
        if event.outcome not in ("answered", "in_doubt", "cut_off"):
            return
        if event.outcome == "in_doubt":
            self._doubtful[event.call] = (step, event.usage.tokens, event.usage.micro_usd)
        step.micro_usd += event.usage.micro_usd
        if event.is_use:
            return
        step.calls += 1
        step.used += event.usage.tokens
        self._repeated(event, (event.model, event.usage.input_tokens, event.usage.output_tokens))

    def _tool(self, event: events.ToolCalled) -> None:
        self._repeated(event, event.tool if event.outcome == "repeated" else object(), same=1)

    def _repeated(self, event: events.Event, what: Any, same: int = 0) -> None:
        """Count the same in a row: of tools by their arguments, of model calls by model and tokens in and out."""
        key = f"{type(event).__name__}:{event.step_id}"
        last, count = self._last.get(key, (None, 0))
        count = count + 1 if last == what else 1 + same
        self._last[key] = (what, count)
        step = self._step(event)
        step.repeats = max(step.repeats, count)

    def _handled(self, event: events.HandlerExecuted) -> None:
        step = self._step(event)
        step.intent = event.intent
        step.handler_seconds = (step.handler_seconds or 0.0) + event.seconds

    def _executed(self, event: events.StepExecuted) -> None:
        self._ended(event, "completed", event.seconds, event.attempts)
        step = self._step(event)
        step.intent = event.intent
        if event.handler_seconds is not None:
            step.handler_seconds = (step.handler_seconds or 0.0) + event.handler_seconds

    def _failed(self, event: events.StepFailed) -> None:
        self._ended(event, "failed", event.seconds, event.attempts)
        self._step(event).code = event.failure.code

    def _skipped(self, event: events.StepSkipped) -> None:
        self._ended(event, "skipped", 0.0, 0)

    def _ended(self, event: events.Event, status: str, seconds: float, attempts: int) -> None:
        step = self._step(event)
        if "[" in (event.step_id or ""):
            return
        step.status, step.seconds, step.attempts, step.code = status, seconds, attempts, ""

    def _exceeded(self, _event: events.BudgetExceededEvent) -> None:
        self._run.refusals += 1

    def _watched(self, _event: events.LimitWatched) -> None:
        self._run.watched += 1

    def _shadowed(self, event: events.ShadowDecided) -> None:
        self._run.shadow_tokens += event.saved_tokens
        self._run.shadow_micro_usd += event.saved_micro_usd or 0

    def _completed(self, event: events.Completed) -> None:
        self._run.status, self._run.seconds = event.status.value, self._run.seconds + event.seconds

    _FOLDS: ClassVar[dict[type[events.Event], Callable[["FiguresFold", Any], None]]] = {
        events.Initialized: _initialized,
        events.IntentClassified: _classified,
        events.TokenBudgetAllocated: _allocated,
        events.Routed: _routed,
        events.RouteDecided: _decided,
        events.StepStarted: _started,
        events.ItemsStarted: _started,
        events.TokenCompressed: _compressed,
        events.ContentExpanded: _expanded,
        events.TokensSettled: _settled,
        events.ToolCalled: _tool,
        events.HandlerExecuted: _handled,
        events.StepExecuted: _executed,
        events.StepFailed: _failed,
        events.StepSkipped: _skipped,
        events.BudgetExceededEvent: _exceeded,
        events.LimitWatched: _watched,
        events.ShadowDecided: _shadowed,
        events.Completed: _completed,
    }


def figures_of(told: Iterable[events.Event]) -> RunFigures:
    """The figures of a run, from its events."""
    fold = FiguresFold()
    for event in told:
        fold.add(event)
    return fold.run


def counted(values: Iterable[str]) -> dict[str, int]:
    """How often each value occurs, the most frequent first."""
    found: defaultdict[str, int] = defaultdict(int)
    for value in values:
        found[value] += 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
