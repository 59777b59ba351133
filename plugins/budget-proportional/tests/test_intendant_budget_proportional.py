from intendant.plugin import Allocation, BudgetLine, BudgetRequest
from intendant.testing import BudgetContract
from intendant_budget_proportional import ProportionalStrategy

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


class TestProportionalStrategy(BudgetContract):
    plugin = ProportionalStrategy
    entry_point = "proportional"


def allocate(total: int, *lines: BudgetLine, **more: object) -> Allocation:
    request = BudgetRequest(total=total, lines=lines, **{"strategy": "proportional", **more})  # type: ignore[arg-type]
    answer = ProportionalStrategy().allocate(request)
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
    generate = answer.tokens.pop("generate")
    assert generate == 4000
    rest = 16_000 / (sum(BASELINES.values()) - 2500)
    assert all(abs(tokens - BASELINES[intent] * rest) < 1 for intent, tokens in answer.tokens.items())


def test_larger_baselines_get_more_as_far_as_caps_allow() -> None:
    """What `generate` cannot take because of its cap flows to the others, here to their caps as well."""
    three = [line("extract", 800), line("generate", 2500), line("send", 500)]
    assert allocate(3800, *three).tokens == {"extract": 800, "generate": 2500, "send": 500}
    assert allocate(20_000, *three).tokens == {"extract": 4000, "generate": 4000, "send": 4000}
    assert allocate(20_000, *three).unallocated == 8000


def test_a_critical_step_counts_more() -> None:
    """The critical factor shifts shares; it is not cancelled by scaling everything down again."""
    answer = allocate(2500, line("a"), line("b", critical=True))
    assert answer.tokens == {"a": 1000, "b": 1500}
    assert allocate(3000, line("a"), line("b", critical=True), critical_factor=2.0).tokens["b"] == 2000


def test_a_baseline_of_zero_is_not_starved_of_everything() -> None:
    assert allocate(1000, line("a", 0)).tokens == {"a": 1000}
