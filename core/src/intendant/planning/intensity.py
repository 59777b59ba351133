"""Agent intensity: how much an agent does, from 0 to 10, by its design and by what its runs took.

Pure arithmetic, and the only implementation. A run is an `Observation`; the figures of an agent are statistics of
its newest runs, in which the newest counts most (`weights`). Nothing is kept but observations, so that the
figures are the same whenever they are computed, and in whatever order runs ended.

Sources: weights, ranges and bands are those of the reference system (AIS, sections 8.1 to 8.3). Where they cannot
be taken over as they are, the docstring says what was changed and why.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter, mul
from typing import Literal, NamedTuple

WINDOW = 100
"""Runs that are looked at. With the default half-life the oldest of them counts 1/1000 of the newest."""
HALF_LIFE = 10.0
"""Runs after which a run counts half as much."""
ENOUGH_RUNS = 5
"""Below so many runs, the combined score is that of the design alone."""
CREATION_SHARE = 0.3
"""Of the combined score; the rest is execution."""
UNCHANGED = 0.01
"""Scores that differ by no more are the same."""

Range = tuple[float, float]
Trigger = Literal["on_demand", "scheduled", "event"]

DESIGN: Mapping[str, tuple[float, Range]] = {
    "steps": (0.5, (1, 10)),
    "plugins": (0.3, (1, 5)),
    "fields": (0.2, (1, 8)),
}
"""Weight and range of each part of the creation score (8.1)."""
TRIGGERS: Mapping[str, float] = {"on_demand": 0.0, "scheduled": 1.0, "event": 2.0}
"""Added to the creation score (8.1)."""
COMPONENTS: Mapping[str, float] = {
    "tokens": 0.30,
    "execution": 0.25,
    "plugins": 0.20,
    "workflow": 0.15,
    "memory": 0.10,
}
"""Weight of each component in the execution score (8.1)."""
FACTORS: Mapping[str, Mapping[str, tuple[float, Range]]] = {
    "tokens": {"volume": (0.5, (0, 5000)), "peak": (0.3, (0, 10_000)), "output_ratio": (0.2, (0.5, 3.0))},
    "execution": {
        "iterations": (0.35, (1, 10)),
        "seconds": (0.30, (0, 30)),
        "failure_rate": (0.20, (0, 0.5)),
        "retries": (0.15, (0, 3)),
    },
    "plugins": {"distinct": (0.40, (0, 10)), "uses": (0.35, (0, 8)), "overhead_ms": (0.25, (0, 5000))},
    "workflow": {
        "steps": (0.40, (0, 20)),
        "branches": (0.25, (0, 10)),
        "items": (0.20, (0, 50)),
        "parallel": (0.15, (0, 5)),
    },
    "memory": {"share": (0.5, (0, 0.9)), "kinds": (0.3, (0, 3)), "entries": (0.2, (0, 20))},
}
"""Weight within its component, and range, of each factor (8.2)."""
GROWTH: Sequence[tuple[float, str, float]] = (
    (1.0, "upgrade", 1.25),
    (0.5, "rescore", 0.75),
    (0.25, "monitor", 0.2),
    (float("-inf"), "none", 0.0),
)
"""Growth from which a level holds, the level, and what it adds to the tokens component (8.3)."""
BANDS: Sequence[tuple[float, str]] = ((6.0, "high"), (3.0, "medium"), (float("-inf"), "low"))
"""Score from which a band holds (8.1)."""


class Design(NamedTuple):
    """What a workflow is made of."""

    steps: int = 0
    plugins: int = 0
    """Distinct connectors that its steps and their tools use."""
    fields: int = 0
    """Inputs, and what it returns."""
    trigger: Trigger = "on_demand"


class Observation(NamedTuple):
    """What one run took and did."""

    succeeded: bool = True
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0
    """Model calls."""
    executions: int = 0
    """Executions of steps that asked a model: those for items, each item once."""
    asking: int = 0
    """Steps that asked a model: those for items, once for all of them."""
    retries: int = 0
    """Attempts at steps after their first."""
    distinct: int = 0
    """Connectors that were used."""
    uses: int = 0
    """How often their operations were called."""
    overhead_ms: float = 0.0
    """Milliseconds that these calls took."""
    steps: int = 0
    """Steps that were executed; of those for items, each once."""
    branches: int = 0
    """Decisions among branches, and steps with a condition."""
    items: int = 0
    """Items that steps were executed for."""
    parallel: int = 0
    """Steps that could run at the same time."""
    remembers: bool = False
    """True if the agent has a memory; otherwise nothing is known of how it uses one."""
    memory_tokens: int = 0
    """Of the input tokens, those that told of what was known before the run."""
    memory_kinds: int = 0
    """Of profile, earlier runs and what was learned: how many were told."""
    memory_entries: int = 0
    saved_tokens: int = 0
    """Tokens that were not sent or not paid again, by compression and by answers that were used again."""
    beyond: int = 0
    """Of the steps that asked, those that went beyond their share of the budget, or were refused."""
    smooth: int = 0
    """Of the steps that asked, those that the planned model did at the first attempt."""
    design: Design = Design()


class Factor(NamedTuple):
    """One measured quantity and its score."""

    name: str
    value: float | None
    """None where no run says anything of it."""
    low: float
    high: float
    weight: float
    """Within its component; the weights of factors without data are shared out among the others."""
    score: float | None


class Component(NamedTuple):
    """One part of the execution score."""

    name: str
    weight: float
    """In the execution score; the weights of components without data are shared out among the others."""
    score: float | None
    """None where there is no data."""
    part: float
    """What it contributes to the execution score: its weight among the components with data, times its score."""
    factors: tuple[Factor, ...]


class Growth(NamedTuple):
    """How the output of the newest run compares with those before it."""

    rate: float | None
    """0.5 for half as much again; None without earlier output."""
    level: str
    quality: float
    """What the level's adjustment is multiplied by."""
    adjustment: float
    """What is added to the tokens component."""


class Measures(NamedTuple):
    """How well the agent is run, each from 0 to 1; None where there is no data."""

    orchestration_efficiency: float | None
    token_governance: float | None
    handler_effectiveness: float | None


class Intensity(NamedTuple):
    """An agent's scores and all they are made of."""

    runs: int
    creation: float | None
    """None where there is no run."""
    execution: float | None
    combined: float | None
    band: str
    """`low`, `medium`, `high`, or `no data`."""
    multiplier: float | None
    components: tuple[Component, ...]
    growth: Growth
    measures: Measures


def normalise(value: float, bounds: Range) -> float:
    """A value from 0 to 10: clamped to its range and linear within it (8.2).

    In the reference a range without extent gives no number; here what is above it scores 10 and all else 0.
    """
    low, high = bounds
    if high <= low:
        return 10.0 if value > low else 0.0
    return 10.0 * (min(max(value, low), high) - low) / (high - low)


def creation_score(design: Design) -> float:
    """norm(steps, 1-10)·0.5 + norm(plugins, 1-5)·0.3 + norm(fields, 1-8)·0.2, and what the trigger adds: nothing
    on demand, 1 on a schedule, 2 on events; at most 10 (8.1).
    """
    score = sum(weight * normalise(getattr(design, name), bounds) for name, (weight, bounds) in DESIGN.items())
    return min(10.0, score + TRIGGERS[design.trigger])


def combined_score(creation: float, execution: float | None, runs: int) -> float:
    """0.3·creation + 0.7·execution; below 5 runs the creation score alone (8.1)."""
    if runs < ENOUGH_RUNS or execution is None:
        return creation
    return CREATION_SHARE * creation + (1 - CREATION_SHARE) * execution


def multiplier_of(combined: float) -> float:
    """1 + combined/10: from 1 to 2 (8.1)."""
    return 1 + combined / 10


def band_of(score: float) -> str:
    """`low` below 3, `medium` below 6, else `high` (8.1)."""
    return next(name for edge, name in BANDS if score >= edge)


def weights(count: int, half_life: float = HALF_LIFE) -> list[float]:
    """What each of *count* runs counts, the newest first: 2^(-age/half-life), the age in runs.

    The reference adds up all runs alike, and its maxima never fall (its defect D-34); this takes their place.
    """
    return [2 ** (-age / half_life) for age in range(count)]


def growth_of(observed: Sequence[Observation], half_life: float = HALF_LIFE) -> Growth:
    """Growth of output tokens: the newest run against the decayed mean of those before it (8.3).

    Below 25 % nothing is added, from 25 % 0.2, from 50 % 0.75, from 100 % 1.25; times 1, and 0.3 more if fewer
    than 80 % of the runs succeeded, and 0.2 more if there were more than 30 retries in 100 steps. In the
    reference the mean includes the newest run itself; here it does not.
    """
    before = observed[1:]
    usual = _mean((run.output_tokens for run in before), weights(len(before), half_life))
    if not usual:
        return Growth(None, "none", 1.0, 0.0)
    rate = observed[0].output_tokens / usual - 1
    level, added = next((level, added) for edge, level, added in GROWTH if rate >= edge)
    shares = weights(len(observed), half_life)
    success = _mean((float(run.succeeded) for run in observed), shares) or 0.0
    retried = _ratio(observed, "retries", "steps", shares) or 0.0
    quality = 1.0 + (0.3 if success < 0.8 else 0.0) + (0.2 if retried > 0.3 else 0.0)  # noqa: PLR2004  # 8.3
    return Growth(rate, level, quality, added * quality)


def values_of(observed: Sequence[Observation], half_life: float = HALF_LIFE) -> dict[str, dict[str, float | None]]:
    """The value of each factor, by component: decayed means of the runs, the newest first.

    `peak` is the largest run, which fades with its age. Ratios are those of decayed sums, so that small runs do
    not swing them. The memory counts runs that had one. None where no run says anything.
    """
    shares = weights(len(observed), half_life)
    told = [(run, share) for run, share in zip(observed, shares, strict=True) if run.remembers]
    with_memory, memory_shares = [run for run, _ in told], [share for _, share in told]
    volumes = [run.input_tokens + run.output_tokens for run in observed]
    used = _mean(map(attrgetter("uses"), observed), shares)
    return {
        "tokens": {
            "volume": _mean(volumes, shares),
            "peak": max((volume * share for volume, share in zip(volumes, shares, strict=True)), default=None),
            "output_ratio": _ratio(observed, "output_tokens", "input_tokens", shares),
        },
        "execution": {
            "iterations": _ratio(observed, "calls", "executions", shares),
            "seconds": _mean(map(attrgetter("seconds"), observed), shares),
            "failure_rate": _mean((float(not run.succeeded) for run in observed), shares),
            "retries": _mean(map(attrgetter("retries"), observed), shares),
        },
        "plugins": {
            "distinct": _mean(map(attrgetter("distinct"), observed), shares),
            "uses": used,
            "overhead_ms": _mean(map(attrgetter("overhead_ms"), observed), shares) if used else None,
        },
        "workflow": {name: _mean(map(attrgetter(name), observed), shares) for name in FACTORS["workflow"]},
        "memory": {
            "share": _ratio(with_memory, "memory_tokens", "input_tokens", memory_shares),
            "kinds": _mean((run.memory_kinds for run in with_memory), memory_shares),
            "entries": _mean((run.memory_entries for run in with_memory), memory_shares),
        },
    }


def components_of(
    values: Mapping[str, Mapping[str, float | None]],
    added: float = 0.0,
    ranges: Mapping[str, Range] | None = None,
) -> tuple[Component, ...]:
    """Each component's score: the weighted mean of its factors' scores, those without data left out (8.2).

    Args:
        values: The value of each factor, by component.
        added: The adjustment for growth, which the tokens component gets: Σ + adjustment, from 0 to 10. The
            reference has two formulas for it; this is the older one with the newer one's adjustment. The newer
            one's "efficiency" is left out: it rates an agent the higher the less it writes, against its own
            growth.
        ranges: In place of those of the reference, by `component.factor`.
    """
    scored = []
    for name, factors in FACTORS.items():
        made = tuple(
            _factor(factor, values[name][factor], weight, (ranges or {}).get(f"{name}.{factor}", bounds))
            for factor, (weight, bounds) in factors.items()
        )
        score = _weighted((factor.score, factor.weight) for factor in made)
        if score is not None:
            score = min(10.0, score + (added if name == "tokens" else 0.0))
        scored.append((name, COMPONENTS[name], score, made))
    whole = sum(weight for _, weight, score, _ in scored if score is not None)
    return tuple(
        Component(name, weight, score, 0.0 if score is None else weight / whole * score, made)
        for name, weight, score, made in scored
    )


def execution_score(components: Iterable[Component]) -> float | None:
    """Tokens 0.30, execution 0.25, plugins 0.20, workflow 0.15, memory 0.10 (8.1), those without data left out,
    and their weights shared out among the others. None without data; the reference has 5.0 there, which made two
    of its three tiers unreachable (its defect D-15).
    """
    known = [component.part for component in components if component.score is not None]
    return min(10.0, sum(known)) if known else None


def measures_of(observed: Sequence[Observation], half_life: float = HALF_LIFE) -> Measures:
    """How well the agent is run. The reference names these three and never built them; the formulas are ours.

    Orchestration efficiency: saved / (saved + used), of the tokens of all runs. Token governance: of the steps
    that asked a model, the share that kept to its part of the budget. Handler effectiveness: of the same steps,
    the share that the planned model did at the first attempt. All of decayed sums.
    """
    shares = weights(len(observed), half_life)
    saved = _sum((max(0, run.saved_tokens) for run in observed), shares)
    used = _sum((run.input_tokens + run.output_tokens for run in observed), shares)
    beyond = _ratio(observed, "beyond", "asking", shares)
    smooth = _ratio(observed, "smooth", "asking", shares)
    return Measures(
        saved / (saved + used) if saved + used else None,
        None if beyond is None else max(0.0, 1 - beyond),
        None if smooth is None else min(1.0, smooth),
    )


def intensity_of(
    observed: Sequence[Observation],
    runs: int | None = None,
    *,
    half_life: float = HALF_LIFE,
    ranges: Mapping[str, Range] | None = None,
) -> Intensity:
    """An agent's scores.

    Args:
        observed: Its runs, the newest first; those beyond `WINDOW` are not looked at. The creation score is that
            of the newest run's workflow.
        runs: How many runs there were in all; by default those given.
        half_life: Runs after which a run counts half as much.
        ranges: In place of those of the reference, by `component.factor`.
    """
    total, observed = len(observed) if runs is None else runs, observed[:WINDOW]
    growth = growth_of(observed, half_life)
    components = components_of(values_of(observed, half_life), growth.adjustment, ranges)
    measures = measures_of(observed, half_life)
    if not observed:
        return Intensity(0, None, None, None, "no data", None, components, growth, measures)
    creation, execution = creation_score(observed[0].design), execution_score(components)
    combined = combined_score(creation, execution, total)
    band, multiplier = band_of(combined), multiplier_of(combined)
    return Intensity(total, creation, execution, combined, band, multiplier, components, growth, measures)


def _factor(name: str, value: float | None, weight: float, bounds: Range) -> Factor:
    low, high = bounds
    return Factor(name, value, low, high, weight, None if value is None else normalise(value, bounds))


def _sum(values: Iterable[float], shares: Sequence[float]) -> float:
    total: float = sum(map(mul, values, shares))  # not a generator: this runs in the transaction that ends a run
    return total


def _mean(values: Iterable[float], shares: Sequence[float]) -> float | None:
    return _sum(values, shares) / sum(shares) if shares else None


def _ratio(observed: Sequence[Observation], above: str, below: str, shares: Sequence[float]) -> float | None:
    """The ratio of two decayed sums; None where the lower one is nothing."""
    whole = _sum(map(attrgetter(below), observed), shares)
    return _sum(map(attrgetter(above), observed), shares) / whole if whole else None


def _weighted(scores: Iterable[tuple[float | None, float]]) -> float | None:
    known = [(score, weight) for score, weight in scores if score is not None]
    whole = sum(weight for _, weight in known)
    return sum(score * weight for score, weight in known) / whole if known else None
