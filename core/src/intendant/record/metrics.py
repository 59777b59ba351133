"""Figures of a run, as a fold over its events."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, ClassVar

from intendant import events
from intendant.model.results import Metrics, Usage

REUSED = ("replayed", "cached")
"""Outcomes of calls that were not sent."""


class MetricsFold:
    """Adds events up to `Metrics`; the result is the same whether it is fed live or from the store."""

    def __init__(self) -> None:
        self._totals: defaultdict[str, float] = defaultdict(int)
        self._steps: dict[str | None, str] = {}
        self._doubtful: dict[str, Usage] = {}
        self._budget: int | None = None

    def add(self, event: events.Event) -> None:
        """Count *event* in."""
        fold = self._FOLDS.get(type(event))
        if fold is not None:
            fold(self, event)

    def result(self) -> Metrics:
        """The figures so far."""
        return Metrics.model_validate({**self._totals, "budget_tokens": self._budget})

    def _initialized(self, event: events.Initialized) -> None:
        self._budget = event.budget_tokens
        self._totals["tokens_used"] += event.planning_tokens
        self._totals["micro_usd"] += event.planning_micro_usd

    def _resumed(self, event: events.Resumed) -> None:
        self._budget = event.budget_tokens

    def _executed(self, event: events.StepExecuted) -> None:
        self._ended(event, "steps_completed", event.seconds)

    def _failed(self, event: events.StepFailed) -> None:
        self._ended(event, "steps_failed", event.seconds)

    def _skipped(self, event: events.StepSkipped) -> None:
        self._ended(event, "steps_skipped", 0.0)

    def _ended(self, event: events.Event, how: str, seconds: float) -> None:
        """A step ended; in a run that was resumed it may have ended before, in another way."""
        if (before := self._steps.get(event.step_id)) is not None:
            self._totals[before] -= 1
        self._steps[event.step_id] = how
        self._totals[how] += 1
        self._totals["step_seconds"] += seconds

    def _settled(self, event: events.TokensSettled) -> None:
        if event.outcome in REUSED:
            pass
        elif (charged := self._doubtful.pop(event.call, None)) is not None:  # what it took is known now
            self._totals["tokens_used"] -= charged.tokens
            self._totals["calls"] -= not event.is_use
            self._totals["micro_usd"] -= charged.micro_usd
        if event.outcome == "in_doubt":
            self._doubtful[event.call] = event.usage
        if event.outcome in ("answered", "in_doubt", "cut_off"):
            self._totals["tokens_used"] += event.usage.tokens
            self._totals["calls"] += not event.is_use
            self._totals["micro_usd"] += event.usage.micro_usd
        elif event.outcome == "cached":
            self._totals["calls_cached"] += 1
            self._totals["tokens_cached"] += event.usage.tokens

    def _compressed(self, event: events.TokenCompressed) -> None:
        self._totals["tokens_saved"] += event.saved
        self._totals["compression_seconds"] += event.seconds

    def _expanded(self, event: events.ContentExpanded) -> None:
        self._totals["tokens_saved"] -= event.tokens

    def _completed(self, event: events.Completed) -> None:
        self._totals["seconds"] += event.seconds

    _FOLDS: ClassVar[dict[type[events.Event], Callable[["MetricsFold", Any], None]]] = {
        events.Initialized: _initialized,
        events.Resumed: _resumed,
        events.StepExecuted: _executed,
        events.StepFailed: _failed,
        events.StepSkipped: _skipped,
        events.TokensSettled: _settled,
        events.TokenCompressed: _compressed,
        events.ContentExpanded: _expanded,
        events.Completed: _completed,
    }
