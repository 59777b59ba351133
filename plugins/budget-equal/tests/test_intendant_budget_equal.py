from intendant.plugin import Allocation, BudgetLine, BudgetRequest
from intendant.testing import BudgetContract
from intendant_budget_equal import EqualStrategy

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


class TestEqualStrategy(BudgetContract):
    plugin = EqualStrategy
    entry_point = "equal"


def allocate(total: int, *lines: BudgetLine, **more: object) -> Allocation:
    request = BudgetRequest(total=total, lines=lines, **{"strategy": "equal", **more})  # type: ignore[arg-type]
    answer = EqualStrategy().allocate(request)
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
    assert set(answer.tokens.values()) == {2000}


def test_a_single_step_gets_its_cap_and_the_rest_is_open() -> None:
    """The cap and the share agree, so that a first call is not refused for want of what was never granted."""
    answer = allocate(20_000, line("a"))
    assert (answer.tokens, answer.unallocated) == ({"a": 4000}, 16_000)


def test_neither_baseline_nor_criticality_counts() -> None:
    answer = allocate(3000, line("a", 10), line("b", 4000), line("c", critical=True))
    assert answer.tokens == {"a": 1000, "b": 1000, "c": 1000}
