from hypothesis import given
from hypothesis import strategies as st

from intendant import Allocation, BudgetLine, BudgetRequest
from intendant.testing import BudgetContract
from intendant_budget_adaptive import AdaptiveStrategy, expected_need

BASELINES = {
    "extract": 800,
    "summarize": 1500,
    "generate": 2500,
    "validate": 1000,
    "send": 500,
    "transform": 800,
    "conditional": 300,
    "aggregate": 1200,
    "filter": 600,
    "enrich": 1000,
}


class TestAdaptiveStrategy(BudgetContract):
    plugin = AdaptiveStrategy
    entry_point = "adaptive"


def allocate(total: int, *lines: BudgetLine, **more: object) -> Allocation:
    request = BudgetRequest(total=total, lines=lines, **{"strategy": "adaptive", **more})  # type: ignore[arg-type]
    answer = AdaptiveStrategy().allocate_budget(request)
    assert answer is not None
    return answer


def line(step_id: str, baseline: int = 1000, **more: object) -> BudgetLine:
    return BudgetLine(step_id=step_id, **{"intent": step_id, "baseline": baseline, **more})  # type: ignore[arg-type]


ALL_TEN = [line(intent, baseline) for intent, baseline in BASELINES.items()]
LINES = st.lists(
    st.builds(
        BudgetLine,
        step_id=st.uuids().map(str),
        intent=st.sampled_from([*BASELINES, "haiku"]),
        baseline=st.integers(0, 5000),
        critical=st.booleans(),
        confidence=st.floats(0, 1),
        cap=st.integers(0, 5000),
    ),
    max_size=12,
    unique_by=lambda line: line.step_id,
)
HISTORY = st.dictionaries(
    st.sampled_from([*BASELINES, "haiku"]), st.lists(st.integers(0, 50_000), max_size=30).map(tuple)
)


@given(st.integers(0, 60_000), LINES, HISTORY)
def test_uses_all_it_can_and_no_more(
    total: int, lines: list[BudgetLine], history: dict[str, tuple[int, ...]]
) -> None:
    """The shares sum to the total or to all caps, whichever is less; the rest is said to be unallocated."""
    answer = allocate(total, *lines, history=history)
    assert sum(answer.tokens.values()) == min(total, sum(line.cap for line in lines))
    assert all(0 <= answer.tokens[line.step_id] <= line.cap for line in lines)
    assert answer.unallocated == total - sum(answer.tokens.values())


@given(st.integers(0, 60_000), st.integers(0, 5000), LINES, HISTORY)
def test_a_larger_total_is_less_for_nobody(
    total: int, more: int, lines: list[BudgetLine], history: dict[str, tuple[int, ...]]
) -> None:
    less, greater = allocate(total, *lines, history=history), allocate(total + more, *lines, history=history)
    assert all(greater.tokens[step] >= less.tokens[step] - 1 for step in less.tokens)  # rounding moves one token


def test_a_step_without_a_model_takes_nothing_from_the_others() -> None:
    """Steps that ask no model hold no placeholder budget, which would dilute the others' shares."""
    answer = allocate(3000, line("a"), line("b", needs_tokens=False))
    assert answer.tokens == {"a": 3000}


def test_a_floor_is_kept_where_it_can_be() -> None:
    answer = allocate(1000, line("a", 5000), line("b", 1, floor=400))
    assert answer.tokens["b"] >= 400
    assert sum(answer.tokens.values()) == 1000


def test_strands_nothing_where_there_is_one_step_of_each_of_ten_intents() -> None:
    """Of 20,000 tokens with a cap of 4,000 a step, all are allocated (the reference stranded 907)."""
    answer = allocate(20_000, *ALL_TEN)
    assert sum(answer.tokens.values()) == 20_000
    assert answer.unallocated == 0
    assert max(answer.tokens.values()) <= 4000
    # Without a history the baselines count, as in the strategy `proportional`.
    rest = 16_000 / (sum(BASELINES.values()) - 2500)
    for intent, tokens in answer.tokens.items():
        assert abs(tokens - min(4000, BASELINES[intent] * rest)) < 1


def test_history_outweighs_the_baseline_as_it_grows() -> None:
    """Of two intents with one baseline, the one whose steps took four times as much gets ever more."""
    parts = []
    for steps in (0, 5, 10, 100):
        history = {"heavy": (4000,) * steps, "light": (1000,) * steps}
        parts.append(allocate(4000, line("heavy"), line("light"), history=history).tokens["heavy"])
    assert parts == sorted(parts)
    assert parts[0] == 2000
    assert len(set(parts)) == 4
    assert 3100 < parts[-1] < 3200  # the limit is 4/5 of 4,000


def test_formula() -> None:
    """Half trust where the history is worth as much as the baseline: (2000 + 1000) / 2."""
    assert expected_need([2000] * 10, 1000) == 1500
    assert expected_need([2000] * 30, 1000) == 0.75 * 2000 + 0.25 * 1000
    assert expected_need([2000] * 4, 1000) == 1000, "too few to trust"
    assert expected_need([], 700) == 700


def test_a_few_outliers_do_not_move_the_quantile() -> None:
    """One step in twenty that took a million tokens leaves the estimate as it was."""
    assert expected_need([1000] * 19 + [1_000_000], 1000) == 1000


def test_the_quantile_covers_its_share_of_the_past() -> None:
    past = list(range(1, 101))
    assert expected_need(past, 0, prior=0) == 90
    assert expected_need(past, 0, quantile=0.5, prior=0) == 50


def test_steps_that_asked_no_model_are_left_out() -> None:
    assert expected_need([0] * 100 + [500] * 10, 500) == 500


def test_only_the_newest_steps_count() -> None:
    made = AdaptiveStrategy({"window": 5, "prior": 0})
    history = {"a": (3000,) * 5 + (10,) * 500}
    request = BudgetRequest(total=4000, lines=(line("a"), line("b")), strategy="adaptive", history=history)
    assert made.allocate(request).tokens == {"a": 3000, "b": 1000}


def test_a_critical_step_counts_more() -> None:
    assert allocate(2500, line("a"), line("b", critical=True)).tokens == {"a": 1000, "b": 1500}
