"""Prompt caches: compressing on entry pays, rewriting history seldom does, and the break-even says when."""

import math
from collections.abc import Callable

import pytest

from intendant import CachePrices, rewriting_pays, turns_to_pay

ANTHROPIC = CachePrices(write=1.25, read=0.1)
OPENAI = CachePrices(write=1.0, read=0.1)
NONE = CachePrices(write=1.0, read=1.0)


@pytest.mark.parametrize(
    ("prices", "share", "turns"),
    [
        (ANTHROPIC, 0.3, 25.8),
        (ANTHROPIC, 0.5, 10.5),
        (ANTHROPIC, 0.7, 3.9),
        (ANTHROPIC, 0.9, 0.3),
        (OPENAI, 0.5, 8.0),
    ],
)
def test_the_break_even(prices: CachePrices, share: float, turns: float) -> None:
    """Figures computed by hand from the formula: the whole is written again, and each later turn reads less."""
    assert turns_to_pay(1000, int(1000 * share), prices) == pytest.approx(turns, abs=0.06)


def test_what_saves_nothing_never_pays_and_what_goes_wholly_pays_at_once() -> None:
    assert turns_to_pay(1000, 0, ANTHROPIC) == math.inf
    assert turns_to_pay(1000, 1000, ANTHROPIC) == 0
    assert not rewriting_pays(1000, 300, 25, ANTHROPIC)
    assert rewriting_pays(1000, 300, 26, ANTHROPIC)


Policy = Callable[[int, int, int], bool]
TURNS, RESULT, SAVED = 30, 2000, 0.4


def cost(prices: CachePrices, rewrites: Policy, *, on_entry: bool = False) -> float:
    """Input cost, in plain input tokens, of an agent of 30 turns, each with a result of 2,000 tokens.

    *rewrites* is asked each turn, with the tokens not compressed yet, what compressing them would save, and the
    turns that are left.
    """
    total, settled, loose = 0.0, 0.0, 0.0
    for turn in range(TURNS):
        fresh = RESULT * (1 - SAVED) if on_entry else RESULT
        if rewrites(int(loose), int(loose * SAVED), TURNS - turn):
            # The prefix before the first changed byte is still read, the rest is written again.
            total += settled * prices.read + loose * (1 - SAVED) * prices.write
            settled, loose = settled + loose * (1 - SAVED), 0.0
        else:
            total += (settled + loose) * prices.read
        total += fresh * prices.write
        settled, loose = (settled + fresh, loose) if on_entry else (settled, loose + fresh)
    return total


def never(after: int, saved: int, left: int) -> bool:
    return False


def each_turn(after: int, saved: int, left: int) -> bool:
    return saved > 0


def in_batches(size: int) -> Policy:
    return lambda after, saved, left: after >= size * RESULT


def test_compressing_on_entry_saves_and_rolling_does_not() -> None:
    plain = cost(ANTHROPIC, never)
    assert cost(ANTHROPIC, never, on_entry=True) == pytest.approx(0.6 * plain)
    assert cost(ANTHROPIC, each_turn) > cost(ANTHROPIC, never, on_entry=True)


@pytest.mark.parametrize("prices", [ANTHROPIC, OPENAI, NONE, CachePrices(write=2.0, read=0.1)])
def test_by_the_break_even_it_never_costs_more_than_leaving_history_alone(prices: CachePrices) -> None:
    chosen = cost(prices, lambda after, saved, left: rewriting_pays(after, saved, left, prices))
    assert chosen <= cost(prices, never) + 1e-9


def test_a_break_even_that_is_ignored_costs() -> None:
    """Rewriting near the end, when it can no longer pay, costs more than what the rule does."""

    def late(after: int, saved: int, left: int) -> bool:
        return left <= 3 and saved > 0

    assert cost(ANTHROPIC, late) > cost(ANTHROPIC, never)
    assert not rewriting_pays(27 * RESULT, int(27 * RESULT * SAVED), 3, ANTHROPIC)
