"""Alerts: the rules of the reference system over figures of runs, with windows, hysteresis and silence; how fast
standing budgets burn; loops. Pure functions: the same figures give the same alerts.

A rule is looked at whenever a run ended. It is raised where its figure, over the window before, passes its
threshold and rests on enough samples; it ends where the figure is well within the threshold again, or the window
is empty.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from intendant.config.settings import Settings
from intendant.record.figures import RunFigures
from intendant.record.periods import elapsed_share
from intendant.record.rows import LimitState

AGENT = "intendant alerts"
"""Runs of this agent deliver alerts; they are no part of any figure."""
LOOKBACK = 12
"""So many windows before now are looked at, to know since when an alert is raised."""
BEST = 5.0
LEAST_ELAPSED = 1 / 24
"""A standing budget is not projected from less of its period: an hour of a day, some 30 hours of a month."""


class Rated(NamedTuple):
    """A rating."""

    at: float
    rating: float


class RuleState(NamedTuple):
    """How a rule stands."""

    rule: str
    subject: str
    """What it is about: a budget, or a run and its step; empty for all runs."""
    raised: bool
    since: float | None
    """Since when it is raised, as far as the lookback goes."""
    figure: float
    threshold: float
    samples: int
    text: str
    silent_until: float | None = None
    """It is not delivered before."""

    @property
    def key(self) -> str:
        """The rule and what it is about."""
        return f"{self.rule} {self.subject}".strip()


class Rule(NamedTuple):
    """A rule about all runs."""

    name: str
    text: str
    """In words, with `{figure}` and `{threshold}`."""
    threshold: Callable[[Settings], float]
    values: Callable[[RunFigures, Settings], Iterable[float]]
    """The samples of a run; the figure is their mean."""
    percent: bool = True


def _failures(run: RunFigures, _settings: Settings) -> Iterator[float]:
    return (float(step.status == "failed") for step in run.steps if step.status in ("completed", "failed"))


def _overage(run: RunFigures, _settings: Settings) -> Iterator[float]:
    return (float(step.is_over) for step in run.steps if step.is_over is not None)


def _overhead(run: RunFigures, _settings: Settings) -> Iterator[float]:
    return (step.overhead_ms for step in run.steps if step.overhead_ms is not None)


def _unsure(run: RunFigures, settings: Settings) -> Iterator[float]:
    threshold = settings.classification.threshold
    return (float(step.confidence < threshold) for step in run.steps if step.confidence is not None)


def _down(run: RunFigures, _settings: Settings) -> Iterator[float]:
    yield float(run.is_down)


RULES = (
    Rule(
        "handler_failures",
        "{figure} of the steps fail (more than {threshold})",
        lambda settings: settings.alerts.failure_share,
        _failures,
    ),
    Rule(
        "overage",
        "{figure} of the steps take more than 10 % beyond their allocation (more than {threshold})",
        lambda settings: settings.alerts.overage_share,
        _overage,
    ),
    Rule(
        "overhead",
        "orchestration takes {figure} ms of a step (more than {threshold} ms)",
        lambda settings: settings.alerts.overhead_ms,
        _overhead,
        percent=False,
    ),
    Rule(
        "classification",
        "the intents of {figure} of the steps are not told for sure (more than {threshold})",
        lambda settings: settings.alerts.classification_share,
        _unsure,
    ),
    Rule(
        "orchestration_down",
        "orchestration itself fails in {figure} of the runs (more than {threshold}): let hosts do steps their own "
        "way, `intendant flags set orchestration_enabled off`",
        lambda settings: settings.alerts.down_share,
        _down,
    ),
)
QUALITY = "quality"
NAMES = (*(rule.name for rule in RULES), QUALITY, "burn_rate", "loop")
"""All rules, as silence names them."""


def evaluate(
    settings: Settings,
    runs: Sequence[RunFigures],
    now: float,
    *,
    ratings: Sequence[Rated] = (),
    limits: Iterable[LimitState] = (),
) -> list[RuleState]:
    """How each rule stands at *now*; those that are raised first.

    Args:
        settings: `alerts` has the thresholds.
        runs: Figures of runs that ended within `LOOKBACK` windows, oldest first.
        now: Seconds since 1970.
        ratings: What people said of runs and steps, oldest first.
        limits: Standing budgets with what is spent of them.
    """
    counted = [run for run in runs if run.agent != AGENT]
    found = [_of_rule(rule, settings, counted, now) for rule in RULES]
    found.append(_quality(settings, counted, ratings, now))
    found += _burning(settings, limits, now)
    found += _loops(settings, counted, now)
    silent = settings.alerts.silence
    states = [state._replace(silent_until=_still(silent.get(state.rule), now)) for state in found]
    return sorted(states, key=lambda state: (not state.raised, NAMES.index(state.rule), state.subject))


def _still(until: float | None, now: float) -> float | None:
    return until if until is not None and until > now else None


def _of_rule(rule: Rule, settings: Settings, runs: Sequence[RunFigures], now: float) -> RuleState:
    threshold = rule.threshold(settings)
    samples = [(run.at, value) for run in runs for value in rule.values(run, settings)]
    since, figure, count = raised_since(samples, now, settings, lambda mean: mean > threshold, threshold)
    show = _percent if rule.percent else _plain
    text = rule.text.format(figure=show(figure), threshold=show(threshold))
    return RuleState(rule.name, "", since is not None, since, figure, threshold, count, text)


def _quality(settings: Settings, runs: Sequence[RunFigures], ratings: Sequence[Rated], now: float) -> RuleState:
    """Ratings, where there are enough of them; else what survived compression, as if it had been rated."""
    least, minimum = settings.alerts.least, settings.alerts.quality_minimum
    within = [rated for rated in ratings if now - settings.alerts.window_seconds < rated.at <= now]
    if len(within) >= least:
        samples, what = [(rated.at, float(rated.rating)) for rated in ratings], "ratings are"
    else:
        qualities = ((run.at, step.quality) for run in runs for step in run.steps)
        samples = [(at, BEST * quality) for at, quality in qualities if quality is not None]
        what = "compressed texts keep facts worth"
    clear = minimum + (1 - settings.alerts.clear_factor) * (BEST - minimum)
    since, figure, count = raised_since(samples, now, settings, lambda mean: mean < minimum, clear, below=True)
    text = f"{what} {figure:.2f} of 5 on average (less than {minimum:g})"
    return RuleState(QUALITY, "", since is not None, since, figure, minimum, count, text)


def raised_since(
    samples: Sequence[tuple[float, float]],
    now: float,
    settings: Settings,
    beyond: Callable[[float], bool],
    clear: float,
    *,
    below: bool = False,
) -> tuple[float | None, float, int]:
    """Since when a figure, the mean over a window that moves, is beyond its threshold.

    Args:
        samples: Times and values, oldest first.
        now: When it is looked at last.
        settings: `alerts` has the window, the least number of samples, and the hysteresis.
        beyond: True where a mean raises the alert.
        clear: The threshold; for *below* the mean from which the alert ends.
        below: The alert is raised where the mean is too low.

    Returns:
        Since when it is raised, None if it is not; the mean now; and the samples that it rests on.
    """
    alerts = settings.alerts
    window: deque[tuple[float, float]] = deque()
    total, since, mean = 0.0, None, 0.0
    times = sorted({at for at, _ in samples if at <= now} | {now})
    coming = deque(samples)
    for at in times:
        while window and window[0][0] <= at - alerts.window_seconds:
            total -= window.popleft()[1]
        if not window:  # then it was empty before these samples came
            since = None
        while coming and coming[0][0] <= at:
            window.append(coming.popleft())
            total += window[-1][1]
        mean = total / len(window) if window else 0.0
        if since is None:
            since = at if len(window) >= alerts.least and beyond(mean) else None
        elif (mean >= clear) if below else (mean < alerts.clear_factor * clear):
            since = None
    return since, mean, len(window)


def _burning(settings: Settings, limits: Iterable[LimitState], now: float) -> Iterator[RuleState]:
    """Standing budgets that are spent much faster than evenly."""
    threshold = settings.alerts.burn_rate
    for state in limits:
        elapsed = max(elapsed_share(state.per, now), LEAST_ELAPSED)
        pairs = (
            (state.spent_tokens + state.held_tokens, state.limit_tokens),
            (state.spent_micro + state.held_micro, state.limit_micro),
        )
        shares = [used / limit for used, limit in pairs if limit]
        if not shares:
            continue
        burn = max(shares) / elapsed
        raised = burn > threshold or max(shares) >= 1
        text = f"{max(shares):.0%} of the budget is spent or held after {elapsed:.0%} of the {state.per}"
        yield RuleState(
            "burn_rate", f"{state.scope}/{state.per}:{state.period}", raised, None, burn, threshold, 1, text
        )


def _loops(settings: Settings, runs: Iterable[RunFigures], now: float) -> Iterator[RuleState]:
    """Runs in which a step made the same call again and again."""
    threshold = settings.alerts.loop_repeats
    for run in runs:
        if run.at <= now - settings.alerts.window_seconds:
            continue
        for step in run.steps:
            if step.repeats >= threshold:
                text = f"step {step.step} made the same call {step.repeats} times in a row"
                subject = f"{run.run_id}/{step.step}"
                yield RuleState("loop", subject, True, run.at, step.repeats, threshold, 1, text)


def raised(states: Iterable[RuleState]) -> list[RuleState]:
    """Those that are raised, silent ones too."""
    return [state for state in states if state.raised]


def as_json(state: RuleState) -> Mapping[str, object]:
    """A rule's state, for machines."""
    since = None if state.since is None else datetime.fromtimestamp(state.since, UTC).isoformat(timespec="seconds")
    return {**state._asdict(), "since": since}


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _plain(value: float) -> str:
    return f"{value:.0f}"
