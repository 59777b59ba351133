"""Alerts at their thresholds: what a window holds, when a rule is raised and ends, and what is said of it."""

import pytest

from intendant import Settings
from intendant.record import alerts
from intendant.record.alerts import RULES, Rated, evaluate, raised_since
from intendant.record.figures import RunFigures, StepFigures
from intendant.record.periods import elapsed_share
from intendant.record.rows import LimitState

NOON = 1_700_049_600.0  # 2023-11-15 12:00 UTC


def settings(**said) -> Settings:
    return Settings.load({"alerts": {"window_seconds": 100, "least": 4, **said}}, env={}, file=None)


def run(at: float, *steps: StepFigures, agent: str = "", status: str = "completed") -> RunFigures:
    return RunFigures(f"r_{at:g}", "w", agent, status, at=at, steps=list(steps))


def state(rule: str, runs=(), now: float = 1000.0, **more):
    said = more.pop("settings", settings())
    (found,) = [each for each in evaluate(said, runs, now, **more) if each.rule == rule]
    return found


@pytest.mark.parametrize(
    ("samples", "now", "told"),
    [
        ([], 1000, (None, 0.0, 0)),
        ([(910, 1), (920, 1), (930, 1), (940, 1)], 1000, (940, 1.0, 4)),
        ([(910, 1), (920, 1), (930, 1)], 1000, (None, 1.0, 3)),
        ([(910, 1), (920, 1), (930, 1), (940, 1), (950, 1)], 1000, (940, 1.0, 5)),
        ([(900, 1), (920, 1), (930, 1), (940, 1)], 1000, (940, 1.0, 3)),
        ([(900, 1), (920, 1), (930, 1), (940, 1)], 999, (940, 1.0, 4)),
        ([(910, 0.5)] * 4, 1000, (None, 0.5, 4)),
        ([(910, 0.6)] * 4, 1000, (910, 0.6, 4)),
        ([(910, 1)] * 4, 1010, (None, 0.0, 0)),
        ([(910, 1)] * 4 + [(2000, 1)] * 3, 1009, (910, 1.0, 4)),
        ([(910, 1)] * 4 + [(920, 0)] * 6, 1000, (910, 0.4, 10)),
        ([(910, 1)] * 4 + [(920, 0)] * 7, 1000, (None, 4 / 11, 11)),
        ([(910, 1)] * 4 + [(920, 0)] * 7 + [(930, 1)] * 6, 1000, (930, 10 / 17, 17)),
        ([(10, 1)] * 4 + [(950, 1)] * 4, 1000, (950, 1.0, 4)),
        ([(910, 1)] * 4 + [(950, 1)] * 4, 1000, (910, 1.0, 8)),
        ([(860, 1)] * 4 + [(950, 0)] * 4 + [(990, 1)], 1000, (None, 0.2, 5)),
    ],
)
def test_a_figure_is_raised_from_enough_samples_beyond_its_threshold_until_it_is_well_within(
    samples, now, told
) -> None:
    """Above 0.5 and until below 0.4, over the 100 seconds before; the first of which is not in it."""
    said = settings(clear_factor=0.8)
    assert raised_since(samples, now, said, lambda mean: mean > 0.5, 0.5) == told


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ([(910, 3)] * 4, (910, 3.0, 4)),
        ([(910, 3)] * 4 + [(920, 5)] * 4, (910, 4.0, 8)),
        ([(910, 3)] * 4 + [(920, 5)] * 6, (None, 4.2, 10)),
        ([(910, 3)] * 4 + [(920, 5)] * 5, (910, 37 / 9, 9)),
        ([(910, 4)] * 4, (None, 4.0, 4)),
    ],
)
def test_a_figure_that_is_too_low_is_raised_until_it_is_well_above(samples, told) -> None:
    said = settings()
    found = raised_since(samples, 1000, said, lambda mean: mean < 4, 4.2, below=True)
    assert found == pytest.approx(told)


STEPS = {
    "handler_failures": (
        StepFigures("a", status="failed"),
        StepFigures("a", status="completed"),
        StepFigures("a", status="skipped"),
    ),
    "overage": (
        StepFigures("a", allocated=100, used=111),
        StepFigures("a", allocated=100, used=110),
        StepFigures("a", allocated=100),
    ),
    "classification": (
        StepFigures("a", confidence=0.1),
        StepFigures("a", confidence=0.99),
        StepFigures("a"),
    ),
}


@pytest.mark.parametrize(("rule", "steps"), STEPS.items())
def test_a_rule_tells_the_share_of_the_steps_that_it_says_something_of(rule, steps) -> None:
    found = state(rule, [run(950, *steps), run(960, *steps)])
    assert (found.raised, found.since, found.figure, found.samples) == (True, 960, 0.5, 4)
    assert "50.0% of the steps" in found.text
    own = [run(950, *steps, agent=alerts.AGENT), run(960, *steps, agent=alerts.AGENT)]
    assert state(rule, own).samples == 0, "runs that deliver alerts are no part of it"


def test_the_confidence_at_the_threshold_is_sure_enough() -> None:
    said = settings()
    sure = StepFigures("a", confidence=said.classification.threshold)
    assert state("classification", [run(950, *[sure] * 4)], settings=said).figure == 0.0


def test_overhead_is_told_in_milliseconds() -> None:
    step = StepFigures("a", status="completed", seconds=1.0604, handler_seconds=1.0, attempts=1)
    found = state("overhead", [run(950, *[step] * 4)])
    assert (found.raised, found.text) == (True, "orchestration takes 60 ms of a step (more than 50 ms)")


def test_quality_is_that_of_ratings_where_there_are_enough_and_of_compressed_texts_else() -> None:
    kept = [run(950, *[StepFigures("a", quality=0.7)] * 5, StepFigures("b"))]
    found = state("quality", kept)
    assert (found.raised, found.figure, found.samples, found.threshold) == (True, 3.5, 5, 4.0)
    assert found.text == "compressed texts keep facts worth 3.50 of 5 on average (less than 4)"
    ratings = [Rated(900.0, 1), *[Rated(901.0 + n, 5) for n in range(3)]]
    assert state("quality", kept, ratings=ratings).figure == 3.5, "three within the window"
    assert state("quality", kept, ratings=[*ratings, Rated(1001.0, 5)]).figure == 3.5, "later ones do not count"
    found = state("quality", kept, ratings=[*ratings, Rated(1000.0, 4)])
    assert (found.raised, found.figure, found.samples) == (False, 4.75, 4)
    assert found.text == "ratings are 4.75 of 5 on average (less than 4)"


@pytest.mark.parametrize(("after", "since"), [(4, 990.0), (5, None)])
def test_a_low_quality_ends_a_fifth_of_the_way_from_its_minimum_to_the_best(after, since) -> None:
    """At 4.2, of 5, for a minimum of 4."""
    ratings = [Rated(990.0, 3)] * 4 + [Rated(995.0, 5)] * after + [Rated(996.0, 5.0)] * (after - 4)
    assert state("quality", ratings=ratings).since == since


def limit(**said) -> LimitState:
    empty = {"limit_tokens": None, "limit_micro": None, "spent_tokens": 0, "held_tokens": 0, "spent_micro": 0}
    where = {"id": 1, "scope": "agent:t/a", "per": "day", "at": 0.0, "changed_by": None, "period": "2023-11-15"}
    return LimitState(**{**where, **empty, "held_micro": 0, **said})


@pytest.mark.parametrize(
    ("said", "burn", "raised"),
    [
        ({"limit_tokens": 1000, "spent_tokens": 300, "held_tokens": 200}, 1.0, False),
        ({"limit_tokens": 1000, "spent_tokens": 900, "held_tokens": 99}, 1.998, False),
        ({"limit_tokens": 1000, "spent_tokens": 900, "held_tokens": 100}, 2.0, True),
        ({"limit_micro": 1000, "spent_micro": 100, "held_micro": 30}, 0.26, False),
        ({"limit_tokens": 1000, "spent_tokens": 100, "limit_micro": 10, "spent_micro": 4}, 0.8, False),
        ({"limit_tokens": 0, "spent_tokens": 100, "limit_micro": 10, "spent_micro": 4}, 0.8, False),
    ],
)
def test_a_standing_budget_burns_by_what_is_spent_and_held_of_the_half_of_its_day(said, burn, raised) -> None:
    found = state("burn_rate", now=NOON, limits=[limit(**said)])
    assert (found.figure, found.raised) == (pytest.approx(burn), raised)
    assert (found.subject, found.threshold, found.samples) == ("agent:t/a/day:2023-11-15", 2.0, 1)
    assert found.text == f"{burn / 2:.0%} of the budget is spent or held after 50% of the day"


def test_a_standing_budget_is_projected_from_an_hour_of_its_day_at_least() -> None:
    early = NOON - 12 * 3600 + 60
    used = limit(limit_tokens=2400, spent_tokens=200)
    assert state("burn_rate", now=early, limits=[used]).figure == pytest.approx(2.0)
    assert not state("burn_rate", now=early, limits=[used]).raised
    assert state("burn_rate", now=early, limits=[used._replace(spent_tokens=201)]).raised
    later = state("burn_rate", now=NOON - 10 * 3600, limits=[used])
    assert later.figure == pytest.approx(1.0)
    assert evaluate(settings(), [], NOON, limits=[limit()])[-1].rule != "burn_rate", (
        "without a limit, nothing burns"
    )


def test_how_much_of_a_day_or_a_month_is_over() -> None:
    assert elapsed_share("day", NOON + 3600 + 60 + 1) == pytest.approx((13 * 3600 + 61) / 86_400)
    assert elapsed_share("month", NOON) == pytest.approx(14.5 / 30)
    assert elapsed_share("month", NOON + 31 * 86_400) == pytest.approx(15.5 / 31)


def test_a_loop_is_five_equal_calls_in_a_row_within_the_window() -> None:
    steps = [StepFigures("a", repeats=4), StepFigures("b", repeats=5), StepFigures("c", repeats=9)]
    found = [
        each
        for each in evaluate(settings(), [run(900.0, *steps), run(901.0, *steps)], 1000.0)
        if each.rule == "loop"
    ]
    assert [(each.subject, each.since, each.figure, each.samples) for each in found] == [
        ("r_901/b", 901.0, 5, 1),
        ("r_901/c", 901.0, 9, 1),
    ]
    assert found[0].text == "step b made the same call 5 times in a row"
    assert found[0].key == "loop r_901/b"


def test_rules_that_are_raised_come_first_and_silent_ones_say_until_when() -> None:
    failed = run(950, *[StepFigures("a", status="failed")] * 4)
    said = settings(silence={"overhead": 1001.0, "overage": 1000.0})
    found = evaluate(said, [failed], 1000.0, limits=[limit(limit_tokens=1)])
    assert [each.rule for each in found] == [
        "handler_failures",
        *(name for name in alerts.NAMES if name not in ("handler_failures", "loop")),
    ]
    assert {each.rule: each.silent_until for each in found if each.silent_until} == {"overhead": 1001.0}
    assert [each.key for each in alerts.raised(found)] == ["handler_failures"]
    assert alerts.as_json(found[0])["since"] == "1970-01-01T00:15:50+00:00"
    assert alerts.as_json(found[1])["since"] is None
    assert {rule.name for rule in RULES} < set(alerts.NAMES)
