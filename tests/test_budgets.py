"""What holds for every budget strategy that is installed, whatever its shares are."""

import pytest
from hypothesis import given, strategies as st

from intendant.hooks import discovery
from intendant.plugin import Allocation, BudgetLine, BudgetRequest

STRATEGIES = {record.name: cls for record, cls in discovery.load(discovery.list_plugins(kinds=["budget"]))[0]}
INTENTS = ("extract", "summarize", "generate", "filter", "haiku")
LINES = st.lists(
    st.builds(
        BudgetLine,
        step_id=st.uuids().map(str),
        intent=st.sampled_from(INTENTS),
        baseline=st.integers(0, 5000),
        critical=st.booleans(),
        confidence=st.floats(0, 1),
        cap=st.integers(0, 5000),
    ),
    max_size=12,
    unique_by=lambda line: line.step_id,
)
HISTORY = st.dictionaries(st.sampled_from(INTENTS), st.lists(st.integers(0, 50_000), max_size=30).map(tuple))
every = pytest.mark.parametrize("name", sorted(STRATEGIES))


def allocate(name: str, total: int, *lines: BudgetLine, **more: object) -> Allocation:
    request = BudgetRequest(total=total, lines=lines, strategy=name, **more)
    answer = STRATEGIES[name]().allocate(request)
    assert answer is not None
    return answer


def line(step_id: str, baseline: int = 1000, **more: object) -> BudgetLine:
    return BudgetLine(step_id=step_id, intent=step_id, baseline=baseline, **more)


def test_the_four_are_here() -> None:
    assert {"equal", "proportional", "priority", "adaptive"} <= set(STRATEGIES)


@every
@given(total=st.integers(0, 60_000), lines=LINES, history=HISTORY)
def test_uses_all_it_can_and_no_more(name, total, lines, history) -> None:
    """The shares sum to the total or to all caps, whichever is less; the rest is said to be unallocated."""
    answer = allocate(name, total, *lines, history=history)
    assert sum(answer.tokens.values()) == min(total, sum(line.cap for line in lines))
    assert all(0 <= answer.tokens[line.step_id] <= line.cap for line in lines)
    assert answer.unallocated == total - sum(answer.tokens.values())


@every
@given(total=st.integers(0, 60_000), more=st.integers(0, 5000), lines=LINES, history=HISTORY)
def test_a_larger_total_is_less_for_nobody(name, total, more, lines, history) -> None:
    less = allocate(name, total, *lines, history=history)
    greater = allocate(name, total + more, *lines, history=history)
    assert all(greater.tokens[step] >= less.tokens[step] - 1 for step in less.tokens)  # rounding moves one token
