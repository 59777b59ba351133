import pytest

from intendant import SettingsError
from intendant.plugin import Allocation, BudgetLine, BudgetRequest
from intendant.testing import BudgetContract
from intendant_budget_priority import PriorityStrategy

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


class TestPriorityStrategy(BudgetContract):
    plugin = PriorityStrategy
    entry_point = "priority"


def allocate(total: int, *lines: BudgetLine, **more: object) -> Allocation:
    request = BudgetRequest(total=total, lines=lines, **{"strategy": "priority", **more})  # type: ignore[arg-type]
    answer = PriorityStrategy().allocate(request)
    assert answer is not None
    return answer


def line(step_id: str, baseline: int = 1000, **more: object) -> BudgetLine:
    return BudgetLine(step_id=step_id, **{"intent": step_id, "baseline": baseline, **more})  # type: ignore[arg-type]


ALL_TEN = [line(intent, baseline) for intent, baseline in BASELINES.items()]


def test_strands_nothing_where_there_is_one_step_of_each_of_ten_intents() -> None:
    """Of 20,000 tokens with a cap of 4,000 a step, all are allocated (the reference stranded 907)."""
    answer = allocate(20_000, *ALL_TEN)
    assert sum(answer.tokens.values()) == 20_000
    assert answer.unallocated == 0
    assert max(answer.tokens.values()) <= 4000
    by_weight = {"generate": 1.5, "validate": 1.3, "extract": 1.2, "conditional": 0.5, "filter": 0.5}
    for intent, tokens in answer.tokens.items():
        assert tokens == 2000 * by_weight.get(intent, 1.0)


def test_a_guessed_intent_gets_less_than_a_sure_one() -> None:
    answer = allocate(3000, line("a", confidence=1.0), line("b", confidence=0.5))
    assert answer.tokens == {"a": 2000, "b": 1000}


def test_even_an_intent_known_with_no_confidence_gets_something() -> None:
    answer = allocate(4200, line("a", confidence=1.0), line("b", confidence=0.0))
    assert answer.tokens == {"a": 4000, "b": 200}


def test_a_critical_step_counts_more() -> None:
    assert allocate(2500, line("a"), line("b", critical=True)).tokens == {"a": 1000, "b": 1500}


def test_weights_can_be_set_for_any_intent() -> None:
    made = PriorityStrategy({"weights": {"haiku": 3.0}})
    request = BudgetRequest(total=4000, lines=(line("haiku"), line("other")), strategy="priority")
    assert made.allocate(request).tokens == {"haiku": 3000, "other": 1000}


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), "much"])
def test_refuses_weights_that_are_no_positive_numbers(wrong: object) -> None:
    with pytest.raises(SettingsError, match="weights"):
        PriorityStrategy({"weights": {"haiku": wrong}})
