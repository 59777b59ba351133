"""The three dashboards of the reference system, health, performance and cost: pure functions over figures of runs.

Amounts are tokens and micro-US$, times milliseconds, shares from 0 to 1.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from intendant.record.figures import OVER, RunFigures, StepFigures, counted

BINS = 10
"""Of the distribution of ratios, each a tenth wide."""


class Spread(NamedTuple):
    """How values are distributed: nearest-rank percentiles. All 0 where there are none."""

    samples: int
    mean: float
    p50: float
    p95: float
    p99: float
    most: float


class Adherence(NamedTuple):
    """How steps keep to their allocations."""

    steps: int
    """Those that had one and asked a model."""
    kept: int
    """They took at most 10 % more: this is what the target of the reference system, more than 90 %, is about."""
    close: int
    """They took between 90 and 110 %."""

    @property
    def share(self) -> float:
        """Of the steps, those that kept to it; 1 where there are none."""
        return self.kept / self.steps if self.steps else 1.0


@dataclass(frozen=True)
class Health:
    """Does it work?

    Attributes:
        runs: How many ended.
        statuses: How they ended.
        intents: Steps by intent.
        tiers: Steps by tier.
        tokens: What calls took.
        saved_tokens: What compression took away.
        saved_share: Of what would have been sent and received without it.
        adherence: How steps keep to their allocations.
        refusals: Calls that a budget did not admit.
        watched: Calls that a watched limit would not have admitted.
        shadow_tokens: What compression would have saved in shadow mode.
        shadow_micro_usd: What routing would have saved in shadow mode, as estimated.
        down: Runs in which orchestration itself failed.
    """

    runs: int
    statuses: Mapping[str, int]
    intents: Mapping[str, int]
    tiers: Mapping[str, int]
    tokens: int
    saved_tokens: int
    saved_share: float
    adherence: Adherence
    refusals: int
    watched: int
    shadow_tokens: int
    shadow_micro_usd: int
    down: int


class Handler(NamedTuple):
    """The steps of an intent."""

    steps: int
    failed: int
    milliseconds: Spread
    """Of its handler."""


class Told(NamedTuple):
    """How the intents of a workflow's steps were told."""

    steps: int
    methods: Mapping[str, int]
    confidence: float
    """The mean."""
    unsure: int
    """Below the threshold."""


@dataclass(frozen=True)
class Performance:
    """How fast is it?

    Attributes:
        overhead: Milliseconds of a step that orchestration takes: all but its handler, and compression.
        compression: Milliseconds of a step that compressing takes, where something was compressed.
        ratios: Of what was compressed, the share that is left, per step.
        classification: By workflow.
        handlers: By intent.
    """

    overhead: Spread
    compression: Spread
    ratios: Spread
    classification: Mapping[str, Told]
    handlers: Mapping[str, Handler]


class RunCost(NamedTuple):
    """What a run took, and would have taken without compression."""

    run_id: str
    workflow: str
    tokens_before: int
    tokens: int
    micro_usd: int


class Shares(NamedTuple):
    """What the steps of an intent were given, and took."""

    allocated: int
    used: int


@dataclass(frozen=True)
class Costs:
    """What does it cost?

    Attributes:
        micro_usd: All of it.
        runs: Each run, the newest last.
        days: Micro-US$ by day (UTC).
        ratios: How many steps were compressed to how many tenths of their content: from 0-10 % to 90-100 %.
        shares: Allocated and used, by intent.
        saved_micro_usd: What the saved tokens would have cost at the mean price of their run: an estimate, which
            `intendant cost` makes better.
        overhead_tokens: What telling intents took.
        overhead_micro_usd: The same in micro-US$.
    """

    micro_usd: int
    runs: Sequence[RunCost]
    days: Mapping[str, int]
    ratios: Sequence[int]
    shares: Mapping[str, Shares]
    saved_micro_usd: int
    overhead_tokens: int
    overhead_micro_usd: int


def health(runs: Sequence[RunFigures]) -> Health:
    """Does it work?"""
    steps = [step for run in runs for step in run.steps]
    tokens, saved = sum(run.tokens for run in runs), sum(run.saved for run in runs)
    return Health(
        runs=len(runs),
        statuses=counted(run.status for run in runs),
        intents=counted(step.intent for step in steps if step.intent),
        tiers=counted(step.tier for step in steps if step.tier),
        tokens=tokens,
        saved_tokens=saved,
        saved_share=saved / (tokens + saved) if tokens + saved else 0.0,
        adherence=adherence(steps),
        refusals=sum(run.refusals for run in runs),
        watched=sum(run.watched for run in runs),
        shadow_tokens=sum(run.shadow_tokens for run in runs),
        shadow_micro_usd=sum(run.shadow_micro_usd for run in runs),
        down=sum(run.is_down for run in runs),
    )


def adherence(steps: Iterable[StepFigures]) -> Adherence:
    """How steps keep to their allocations."""
    had = [step for step in steps if step.is_over is not None]
    close = sum((2 - OVER) * step.allocated <= step.used <= OVER * step.allocated for step in had)
    return Adherence(len(had), sum(not step.is_over for step in had), close)


def performance(runs: Sequence[RunFigures], threshold: float = 0.7) -> Performance:
    """How fast is it?

    Args:
        runs: The runs.
        threshold: Confidence below which a classification is unsure: `classification.threshold`.
    """
    steps = [step for run in runs for step in run.steps]
    return Performance(
        overhead=spread([step.overhead_ms for step in steps if step.overhead_ms is not None]),
        compression=spread([1000 * step.compression_seconds for step in steps if step.compression_seconds]),
        ratios=spread([step.after / step.before for step in steps if step.before]),
        classification=_told(runs, threshold),
        handlers=_handlers(steps),
    )


def _told(runs: Sequence[RunFigures], threshold: float) -> dict[str, Told]:
    found: defaultdict[str, list[StepFigures]] = defaultdict(list)
    for run in runs:
        found[run.workflow] += [step for step in run.steps if step.confidence is not None]
    told = {}
    for workflow, steps in found.items():
        sure = [step.confidence for step in steps if step.confidence is not None]
        if sure:
            methods = counted(step.method for step in steps)
            unsure = sum(each < threshold for each in sure)
            told[workflow] = Told(len(sure), methods, sum(sure) / len(sure), unsure)
    return told


def _handlers(steps: Iterable[StepFigures]) -> dict[str, Handler]:
    found: defaultdict[str, list[StepFigures]] = defaultdict(list)
    for step in steps:
        if step.intent and step.status in ("completed", "failed"):
            found[step.intent].append(step)
    return {
        intent: Handler(
            len(of),
            sum(step.status == "failed" for step in of),
            spread([1000 * step.handler_seconds for step in of if step.handler_seconds is not None]),
        )
        for intent, of in sorted(found.items())
    }


def costs(runs: Sequence[RunFigures]) -> Costs:
    """What does it cost?"""
    from datetime import UTC, datetime

    days: defaultdict[str, int] = defaultdict(int)
    shares: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    ratios = [0] * BINS
    for run in runs:
        days[datetime.fromtimestamp(run.at, UTC).strftime("%Y-%m-%d")] += run.micro_usd
        for step in run.steps:
            if step.allocated:
                shares[step.intent][0] += step.allocated
                shares[step.intent][1] += step.used
            if step.before:
                ratios[min(BINS - 1, max(0, int(BINS * step.after / step.before)))] += 1
    return Costs(
        micro_usd=sum(run.micro_usd for run in runs),
        runs=[
            RunCost(run.run_id, run.workflow, run.tokens + run.saved, run.tokens, run.micro_usd) for run in runs
        ],
        days=dict(sorted(days.items())),
        ratios=ratios,
        shares={intent: Shares(*pair) for intent, pair in sorted(shares.items())},
        saved_micro_usd=round(sum(run.saved * run.micro_usd / run.tokens for run in runs if run.tokens)),
        overhead_tokens=sum(run.planning_tokens for run in runs),
        overhead_micro_usd=sum(run.planning_micro_usd for run in runs),
    )


def spread(values: Sequence[float]) -> Spread:
    """How values are distributed."""
    if not values:
        return Spread(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    ordered = sorted(values)

    def rank(share: float) -> float:
        return ordered[max(0, ceil(share * len(ordered)) - 1)]

    mean = sum(ordered) / len(ordered)
    return Spread(len(ordered), mean, rank(0.50), rank(0.95), rank(0.99), ordered[-1])
