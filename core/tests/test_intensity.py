"""Agent intensity: vectors worked by hand, and properties of random histories."""

import os
import random

import pytest

from intendant.planning.intensity import (
    COMPONENTS,
    DESIGN,
    FACTORS,
    Design,
    Observation,
    band_of,
    combined_score,
    components_of,
    creation_score,
    execution_score,
    growth_of,
    intensity_of,
    measures_of,
    multiplier_of,
    normalise,
    values_of,
    weights,
)

HISTORIES = int(os.environ.get("INTENDANT_SAMPLE", "40")) * 5
"""200 by default; `INTENDANT_SAMPLE=2000` tries 10,000."""


def near(value: float):
    return pytest.approx(value, abs=1e-9)


# --- ranges: every one at its ends, beyond them, and in its middle ---

RANGES = [
    (f"{component}.{factor}", component, factor, weight, bounds)
    for component, factors in FACTORS.items()
    for factor, (weight, bounds) in factors.items()
]
BY_HAND = {
    # factor: value in the middle of its range, worked by hand: (low + high) / 2
    "tokens.volume": 2500,  # (0 + 5000) / 2
    "tokens.peak": 5000,  # (0 + 10000) / 2
    "tokens.output_ratio": 1.75,  # (0.5 + 3.0) / 2
    "execution.iterations": 5.5,  # (1 + 10) / 2
    "execution.seconds": 15,  # (0 + 30) / 2
    "execution.failure_rate": 0.25,  # (0 + 0.5) / 2
    "execution.retries": 1.5,  # (0 + 3) / 2
    "plugins.distinct": 5,  # (0 + 10) / 2
    "plugins.uses": 4,  # (0 + 8) / 2
    "plugins.overhead_ms": 2500,  # (0 + 5000) / 2
    "workflow.steps": 10,  # (0 + 20) / 2
    "workflow.branches": 5,  # (0 + 10) / 2
    "workflow.items": 25,  # (0 + 50) / 2
    "workflow.parallel": 2.5,  # (0 + 5) / 2
    "memory.share": 0.45,  # (0 + 0.9) / 2
    "memory.kinds": 1.5,  # (0 + 3) / 2
    "memory.entries": 10,  # (0 + 20) / 2
}


@pytest.mark.parametrize(
    ("key", "component", "factor", "weight", "bounds"), RANGES, ids=[row[0] for row in RANGES]
)
def test_each_range_at_its_ends_beyond_them_and_in_its_middle(key, component, factor, weight, bounds) -> None:
    """10·(value - low)/(high - low): low gives 0, high 10, the middle 5; beyond is clamped."""
    low, high = bounds
    for value, score in (
        (low - 1, 0.0),
        (low, 0.0),
        (BY_HAND[key], 5.0),
        (high, 10.0),
        (high * 2 + 1, 10.0),
    ):
        assert normalise(value, bounds) == near(score)
        values = {name: dict.fromkeys(factors) for name, factors in FACTORS.items()}
        values[component][factor] = value
        made = {one.name: one for one in components_of(values)}
        assert made[component].score == near(score), "the only factor with data is its component"
        assert made[component].part == near(score), "the only component with data is the execution score"
        assert [one.score for name, one in made.items() if name != component] == [None] * 4


def test_the_middle_of_everything_is_five() -> None:
    """Each factor 5, so each component Σ weight·5 / Σ weight = 5, and .30·5+.25·5+.20·5+.15·5+.10·5 = 5."""
    values = {name: {factor: BY_HAND[f"{name}.{factor}"] for factor in made} for name, made in FACTORS.items()}
    components = components_of(values)
    assert [component.score for component in components] == [near(5.0)] * 5
    assert [component.part for component in components] == [
        near(part) for part in (0.30 * 5, 0.25 * 5, 0.20 * 5, 0.15 * 5, 0.10 * 5)
    ]
    assert execution_score(components) == near(5.0)


def test_weights_are_those_of_the_reference_and_sum_to_one() -> None:
    assert sum(COMPONENTS.values()) == near(1.0)
    assert sum(weight for weight, _ in DESIGN.values()) == near(1.0)
    assert all(sum(weight for weight, _ in factors.values()) == near(1.0) for factors in FACTORS.values())


def test_a_range_without_extent_gives_a_number() -> None:
    assert [normalise(value, (3, 3)) for value in (2, 3, 4)] == [0.0, 0.0, 10.0]


# --- one run, worked through ---

RUN = Observation(
    succeeded=False, seconds=12, input_tokens=2000, output_tokens=1500, calls=6, executions=4, asking=4, retries=1, distinct=2,
    uses=4, overhead_ms=1000, steps=5, branches=2, items=10, parallel=3, remembers=True, memory_tokens=600,
    memory_kinds=2, memory_entries=4, saved_tokens=500, beyond=1, smooth=3,
    design=Design(steps=5, plugins=2, fields=4, trigger="scheduled"),
)  # fmt: skip
TOKENS = 0.5 * 7.0 + 0.3 * 3.5 + 0.2 * 1.0
"""volume 3500/5000 = 7.0; peak 3500/10000 = 3.5; ratio 1500/2000 = .75, (.75-.5)/2.5 = 1.0; Σ 4.75"""
EXECUTION = 0.35 * (0.5 / 9 * 10) + 0.30 * 4.0 + 0.20 * 10.0 + 0.15 * (1 / 3 * 10)
"""iterations 6/4 = 1.5, (1.5-1)/9; seconds 12/30 = 4; failures 1 of 1, over .5 = 10; retries 1/3"""
PLUGINS = 0.40 * 2.0 + 0.35 * 5.0 + 0.25 * 2.0
"""distinct 2/10; uses 4/8; overhead 1000/5000; Σ 3.05"""
WORKFLOW = 0.40 * 2.5 + 0.25 * 2.0 + 0.20 * 2.0 + 0.15 * 6.0
"""steps 5/20; branches 2/10; items 10/50; parallel 3/5; Σ 2.8"""
MEMORY = 0.5 * (0.3 / 0.9 * 10) + 0.3 * (2 / 3 * 10) + 0.2 * 2.0
"""share 600/2000 = .3, of .9; kinds 2/3; entries 4/20"""


def test_one_run_worked_by_hand() -> None:
    found = intensity_of([RUN])
    parts = [component.score for component in found.components]
    assert parts == [near(part) for part in (TOKENS, EXECUTION, PLUGINS, WORKFLOW, MEMORY)]
    assert near(4.75) == TOKENS
    assert near(3.05) == PLUGINS
    execution = 0.30 * TOKENS + 0.25 * EXECUTION + 0.20 * PLUGINS + 0.15 * WORKFLOW + 0.10 * MEMORY
    assert found.execution == near(execution)
    creation = 0.5 * (4 / 9 * 10) + 0.3 * (1 / 4 * 10) + 0.2 * (3 / 7 * 10) + 1
    assert found.creation == near(creation)
    assert found.combined == near(creation), "fewer than five runs: creation alone"
    assert intensity_of([RUN], runs=5).combined == near(0.3 * creation + 0.7 * execution)
    assert found.growth == (None, "none", 1.0, 0.0)


def test_what_was_never_observed_is_left_out_and_nothing_else_is() -> None:
    """Without a memory its .10 is shared out: Σ = (.30·T + .25·E + .20·P + .15·W) / .90."""
    found = intensity_of([RUN._replace(remembers=False)])
    assert found.components[4].score is None
    assert found.execution == near((0.30 * TOKENS + 0.25 * EXECUTION + 0.20 * PLUGINS + 0.15 * WORKFLOW) / 0.90)
    empty = intensity_of([RUN._replace(memory_tokens=0, memory_kinds=0, memory_entries=0)])
    assert empty.components[4].score == 0.0, "a memory that told nothing is data"


def test_an_agent_without_runs_says_no_data() -> None:
    found = intensity_of([])
    assert found[:6] == (0, None, None, None, "no data", None)
    assert [component.score for component in found.components] == [None] * 5
    assert found.measures == (None, None, None)


def test_a_success_rate_of_zero_is_no_missing_value() -> None:
    failed = values_of([RUN, RUN])["execution"]["failure_rate"]
    assert failed == near(1.0)
    assert values_of([RUN._replace(succeeded=True)])["execution"]["failure_rate"] == 0.0


# --- creation, combined, bands ---


@pytest.mark.parametrize(
    ("design", "score"),
    [
        (Design(0, 0, 0), 0.0),  # all below their ranges
        (Design(1, 1, 1), 0.0),  # all at their lower ends
        (Design(10, 5, 8), 10.0),  # 5 + 3 + 2
        (Design(30, 9, 20), 10.0),  # beyond
        (Design(10, 1, 1), 5.0),
        (Design(1, 5, 1), 3.0),
        (Design(1, 1, 8), 2.0),
        (Design(1, 3, 1), 1.5),  # .3 · (3-1)/4 · 10, the middle of plugins
        (Design(4, 1, 1), 0.5 * 3 / 9 * 10),
        (Design(1, 1, 1, "scheduled"), 1.0),
        (Design(1, 1, 1, "event"), 2.0),
        (Design(10, 5, 8, "event"), 10.0),  # 12, capped
        (Design(10, 5, 1, "event"), 10.0),  # 5 + 3 + 0 + 2, the cap exactly
    ],
)
def test_creation(design, score) -> None:
    assert creation_score(design) == near(score)


@pytest.mark.parametrize(
    ("creation", "execution", "runs", "combined"),
    [
        (4.0, 9.0, 0, 4.0),
        (4.0, 9.0, 4, 4.0),  # creation alone
        (4.0, 9.0, 5, 0.3 * 4 + 0.7 * 9),  # 7.5
        (0.0, 10.0, 5, 7.0),
        (10.0, 0.0, 99, 3.0),
        (10.0, 10.0, 5, 10.0),
        (4.0, None, 9, 4.0),
    ],
)
def test_combined(creation, execution, runs, combined) -> None:
    assert combined_score(creation, execution, runs) == near(combined)


@pytest.mark.parametrize(
    ("score", "band"),
    [(0, "low"), (1.5, "low"), (2.999, "low"), (3, "medium"), (4.5, "medium"), (5.999, "medium"), (6, "high"),
     (8, "high"), (10, "high")],
)  # fmt: skip
def test_bands(score, band) -> None:
    assert band_of(score) == band


def test_the_multiplier_goes_from_one_to_two() -> None:
    assert [multiplier_of(score) for score in (0, 5, 10)] == [1.0, 1.5, 2.0]


# --- decay ---


def test_a_run_counts_half_after_the_half_life() -> None:
    assert weights(3, half_life=1) == [1.0, 0.5, 0.25]
    assert weights(21)[10] == near(0.5)
    assert weights(21)[20] == near(0.25)


def test_means_and_peaks_fade() -> None:
    """Half-life 1: newest 100, then 400, then 800 tokens. Mean (100 + 400/2 + 800/4)/1.75; peak 200, not 800."""
    runs = [Observation(input_tokens=tokens) for tokens in (100, 400, 800)]
    tokens = values_of(runs, half_life=1)["tokens"]
    assert tokens["volume"] == near(500 / 1.75)
    assert tokens["peak"] == near(200)
    assert tokens["output_ratio"] == near(0.0)
    assert values_of([Observation()])["tokens"]["output_ratio"] is None


# --- growth ---


@pytest.mark.parametrize(
    ("now", "level", "adjustment"),
    [
        (0, "none", 0.0),  # -100 %
        (1000, "none", 0.0),
        (1249, "none", 0.0),  # +24.9 %
        (1250, "monitor", 0.2),  # the edge
        (1375, "monitor", 0.2),  # the middle
        (1499, "monitor", 0.2),
        (1500, "rescore", 0.75),
        (1750, "rescore", 0.75),
        (1999, "rescore", 0.75),
        (2000, "upgrade", 1.25),
        (9000, "upgrade", 1.25),
    ],
)
def test_growth_against_the_runs_before(now, level, adjustment) -> None:
    """The runs before wrote 1000 tokens each, so growth is now/1000 - 1; the newest is no part of its own mean."""
    runs = [Observation(output_tokens=now, steps=1), *[Observation(output_tokens=1000, steps=1)] * 3]
    found = growth_of(runs)
    assert (found.level, found.quality) == (level, 1.0)
    assert found.rate == near(now / 1000 - 1)
    assert found.adjustment == near(adjustment)


@pytest.mark.parametrize(
    ("failed", "retries", "quality"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),  # 4 of 5 succeeded: 80 % is not below 80 %
        (2, 0, 1.3),
        (0, 3, 1.0),  # 15 retries in 50 steps: 30 is not above 30
        (0, 4, 1.2),
        (5, 4, 1.5),
    ],
)
def test_growth_counts_more_where_quality_is_low(failed, retries, quality) -> None:
    """Equal weights (a half-life without end), five runs of ten steps; growth 100 %, so 1.25 · quality."""
    runs = [
        Observation(
            succeeded=number >= failed, output_tokens=2000 if number == 0 else 1000, steps=10, retries=retries
        )
        for number in range(5)
    ]
    found = growth_of(runs, half_life=float("inf"))
    assert found.quality == near(quality)
    assert found.adjustment == near(1.25 * quality)


def test_growth_is_added_to_the_tokens_component_and_to_no_other() -> None:
    before = intensity_of([RUN, RUN])
    grown = RUN._replace(output_tokens=3000, succeeded=True)
    after = intensity_of([grown, RUN])
    values = values_of([grown, RUN])
    assert after.growth.level == "upgrade"
    assert after.components[0].score == near(components_of(values)[0].score + after.growth.adjustment)
    assert [one.name for one in components_of(values, 1.0)] == [one.name for one in before.components]
    assert [a.score for a in components_of(values, 5.0)[1:]] == [b.score for b in components_of(values)[1:]]
    assert components_of(values, 50.0)[0].score == 10.0


# --- the three measures ---


def test_measures_worked_by_hand() -> None:
    """One run: 500 saved of 500 + 3500; 1 of 4 asking steps beyond its share; 3 of 4 smooth."""
    found = measures_of([RUN])
    assert found.orchestration_efficiency == near(500 / 4000)
    assert found.token_governance == near(0.75)
    assert found.handler_effectiveness == near(0.75)


def test_measures_decay_and_say_where_there_is_no_data() -> None:
    """Half-life 1: newest 0 of 2 beyond, before it 2 of 2: 1 - (0 + 2/2)/(2 + 2/2) = 2/3."""
    runs = [Observation(asking=2, beyond=0, smooth=1), Observation(asking=2, beyond=2, smooth=2)]
    found = measures_of(runs, half_life=1)
    assert found.token_governance == near(2 / 3)
    assert found.handler_effectiveness == near((1 + 1) / 3)
    assert found.orchestration_efficiency is None
    assert measures_of([Observation(saved_tokens=-50, input_tokens=10)]).orchestration_efficiency == 0.0


# --- random histories ---

MORE = ("seconds", "calls", "retries", "distinct", "uses", "overhead_ms", "steps", "branches", "items", "parallel",
        "memory_tokens", "memory_kinds", "memory_entries")  # fmt: skip
"""Fields of which more never means less intensity, all else equal. (More input lowers the ratio of output; steps
dilute nothing but the retries that weigh growth, so they are compared without growth.)
"""


def history(random_: random.Random) -> list[Observation]:
    def some(most: int) -> int:
        return random_.choice([0, 1, random_.randrange(most + 1), most * 50])

    return [
        Observation(
            succeeded=random_.random() < 0.7, seconds=random_.random() * some(60), input_tokens=some(9000),
            output_tokens=some(9000), calls=some(20), executions=some(8), asking=some(8), retries=some(4), distinct=some(12),
            uses=some(12), overhead_ms=float(some(9000)), steps=some(30), branches=some(12), items=some(60),
            parallel=some(8), remembers=random_.random() < 0.5, memory_tokens=some(800), memory_kinds=some(3),
            memory_entries=some(30), saved_tokens=some(900) - 100, beyond=some(8), smooth=some(8),
            design=Design(some(12), some(6), some(9), random_.choice(["on_demand", "scheduled", "event"])),
        )
        for _ in range(random_.randrange(1, 30))
    ]  # fmt: skip


def test_scores_of_random_histories_are_in_range_and_made_of_their_parts() -> None:
    random_ = random.Random(11)
    for _ in range(HISTORIES):
        found = intensity_of(history(random_))
        scores = [found.creation, found.execution, found.combined]
        scores += [component.score for component in found.components]
        scores += [factor.score for component in found.components for factor in component.factors]
        assert all(score is None or 0 <= score <= 10 for score in scores), found
        assert all(value is None or 0 <= value <= 1 for value in found.measures), found
        assert found.execution == near(min(10.0, sum(component.part for component in found.components)))
        assert 1 <= found.multiplier <= 2


def test_more_of_anything_never_lowers_the_score_of_a_random_history() -> None:
    """Growth aside, which compares two runs: more in one of them may be less growth in the next."""
    random_ = random.Random(12)
    for _ in range(HISTORIES):
        runs = history(random_)
        place, field = random_.randrange(len(runs)), random_.choice([*MORE, "succeeded"])
        changed = {field: False} if field == "succeeded" else {field: getattr(runs[place], field) * 2 + 1}
        more = [*runs]
        more[place] = runs[place]._replace(**changed)
        before, after = (execution_score(components_of(values_of(each))) for each in (runs, more))
        assert after >= before - 1e-9 or _gained_data(runs, more), (field, runs, place)


def _gained_data(runs, more) -> bool:
    """True if the change made a factor known that was not: it may score below the mean of the others."""
    before, after = values_of(runs), values_of(more)
    return any(
        before[name][factor] is None and after[name][factor] is not None
        for name, factors in FACTORS.items()
        for factor in factors
    )


def test_old_runs_fade_until_they_do_not_count() -> None:
    heavy, light = RUN._replace(seconds=90, steps=20, uses=9), RUN
    scores = [intensity_of([*[light] * count, heavy]).execution for count in (1, 20, 60, 99)]
    assert scores == sorted(scores, reverse=True)
    assert intensity_of([*[light] * 100, heavy])[1:] == intensity_of([light] * 100)[1:]
