"""Figures of a run, as a fold over its events."""

from intendant import events
from intendant.model.results import Metrics


class MetricsFold:
    """Adds events up to `Metrics`. The same whether fed live or from the store."""

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}
        self._steps: dict[str | None, str] = {}
        self._started: float | None = None
        self._budget: int | None = None

    def add(self, event: events.Event) -> None:
        """Count *event* in."""
        match event:
            case events.Initialized():
                self._started = event.at if self._started is None else self._started
                self._budget = event.budget_tokens
                self._count(tokens_used=event.planning_tokens, micro_usd=event.planning_micro_usd)
            case events.Resumed():
                self._budget = event.budget_tokens
            case events.StepExecuted():
                self._ended(event, "steps_completed", event.seconds)
            case events.StepFailed():
                self._ended(event, "steps_failed", event.seconds)
            case events.StepSkipped():
                self._ended(event, "steps_skipped", 0.0)
            case events.TokensSettled(outcome="answered" | "in_doubt" | "cut_off"):
                self._count(tokens_used=event.usage.tokens, calls=1, micro_usd=event.usage.micro_usd)
            case events.TokensSettled(outcome="cached"):
                self._count(calls_cached=1, tokens_cached=event.usage.tokens)
            case events.TokenCompressed():
                self._count(tokens_saved=event.saved, compression_seconds=event.seconds)
            case events.ContentExpanded():
                self._count(tokens_saved=-event.tokens)
            case events.Completed():
                self._count(seconds=event.seconds)
            case _:
                pass

    def _ended(self, event: events.Event, how: str, seconds: float) -> None:
        """A step ended; in a run that was resumed it may have ended before, otherwise."""
        if (before := self._steps.get(event.step_id)) is not None:
            self._totals[before] -= 1
        self._steps[event.step_id] = how
        self._count(**{how: 1, "step_seconds": seconds})

    def _count(self, **figures: float) -> None:
        for name, value in figures.items():
            self._totals[name] = self._totals.get(name, 0) + value

    def result(self) -> Metrics:
        """The figures so far."""
        return Metrics.model_validate({**self._totals, "budget_tokens": self._budget})
