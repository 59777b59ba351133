"""Prompt caches: compressing on entry pays, rewriting history seldom does, and the break-even says when."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import NamedTuple

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import CacheMark, CachePrices, PromptReuse, Usage, rewriting_pays, turns_to_pay
from intendant.spending.caching import LONG, SHORT, marks_for
from intendant.spending.pricing import Prices, RateCard, Rates

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


# --- marks ---


class Kept(NamedTuple):
    """What a provider keeps of a prompt."""

    tokens: int
    ttl: str
    until: float


SECONDS = {"5m": 300.0, "1h": 3600.0}
Marking = Callable[[int], tuple[CacheMark, ...]]
GAPS = (5.0, 100.0, 250.0, 400.0, 2000.0, 5000.0)
CARDS = [
    Prices().card(*name)
    for name in (
        ("anthropic", "claude-haiku-5-5"),
        ("anthropic", "claude-opus-5-5"),
        ("openai", "gpt-6.1-terra"),
        ("openai", "gpt-4o-mini"),
    )
]


def agent(card: RateCard, gaps: Sequence[float], marking: Marking, prompt: int = 3000, turn: int = 1500) -> int:
    """Micro-US$ for the input of an agent whose prompt grows each turn, with a provider that keeps what is marked.

    As Anthropic's documentation has it: the longest beginning that is kept is read, which keeps it for as long
    again; what lies between it and the mark is written; the rest is plain.
    """
    total, now = 0, 0.0
    kept: list[Kept] = []
    for number, gap in enumerate([*gaps, math.inf]):
        size = prompt + number * turn
        alive = [entry for entry in kept if entry.until > now]
        longest = max(alive, default=Kept(0, "", 0.0))
        marks = marking(number)
        written = {mark.ttl: max(0, (size if mark.messages else prompt) - longest.tokens) for mark in marks}
        usage = Usage(
            input_tokens=size,
            cached_tokens=longest.tokens,
            cache_write_tokens=written.get("5m", 0),
            cache_write_1h_tokens=written.get("1h", 0),
        )
        total += card.price(usage).micro_usd
        kept = [entry._replace(until=now + SECONDS[entry.ttl]) if entry is longest else entry for entry in alive]
        kept += [Kept(size if mark.messages else prompt, mark.ttl, now + SECONDS[mark.ttl]) for mark in marks]
        now += gap
    return total


def always(messages: int, ttl: str) -> Marking:
    return lambda _number: (CacheMark(messages=messages, ttl=ttl),)


FIXED: dict[str, Marking] = {
    "never": lambda _number: (),
    "all for five minutes": always(1, "5m"),
    "all for an hour": always(1, "1h"),
    "the instructions for five minutes": always(0, "5m"),
    "the instructions for an hour": always(0, "1h"),
}


def by_price(card: RateCard, gaps: Sequence[float], turn: int = 1500) -> Marking:
    """What the gateway does for an agent that knows when it will call again."""

    def marking(number: int) -> tuple[CacheMark, ...]:
        later = list(gaps[number:])
        if not later:
            return ()
        reach = SHORT if later[0] < SHORT else LONG
        calls = len(list(takewhile(lambda gap: gap < reach, later))) or 1
        reuse = PromptReuse(messages=1 + number, calls=calls, seconds=later[0])
        return marks_for(reuse, card.at(3000 + number * turn))

    return marking


@pytest.mark.parametrize("card", CARDS, ids=["haiku", "opus", "terra", "4o-mini"])
@pytest.mark.parametrize("gap", GAPS)
def test_an_agent_of_thirty_turns_never_costs_more_than_the_best_fixed_way(card: RateCard, gap: float) -> None:
    gaps = [gap] * 29
    fixed = {name: agent(card, gaps, marking) for name, marking in FIXED.items()}
    assert agent(card, gaps, by_price(card, gaps)) <= min(fixed.values()), fixed


@given(st.lists(st.sampled_from(GAPS), min_size=29, max_size=29), st.sampled_from(CARDS))
def test_nor_where_its_turns_take_now_seconds_and_now_an_hour(gaps: list[float], card: RateCard) -> None:
    fixed = {name: agent(card, gaps, marking) for name, marking in FIXED.items()}
    assert agent(card, gaps, by_price(card, gaps)) <= min(fixed.values()), fixed


def test_marking_is_worth_it_where_turns_are_quick() -> None:
    """So that the two above do not pass because nothing is ever marked."""
    gaps, card = [5.0] * 29, CARDS[1]
    assert agent(card, gaps, by_price(card, gaps)) < 0.4 * agent(card, gaps, FIXED["never"])


RATES = Rates(above=-1, input=100, output=1, cache_read=10, cache_write=125, cache_write_1h=200, reasoning=1)


@pytest.mark.parametrize(
    ("seconds", "calls", "rates", "ttl"),
    [
        (0, 1, {}, "5m"),
        (269, 1, {}, "5m"),
        (270, 1, {}, None),
        (269.9, 3, {}, "5m"),
        (270, 3, {}, "1h"),
        (3419, 3, {}, "1h"),
        (3420, 3, {}, None),
        (0, 1, {"cache_write": 189}, "5m"),
        (0, 1, {"cache_write": 190, "cache_write_1h": 300}, None),
        (0, 2, {"cache_write": 279, "cache_write_1h": 300}, "5m"),
        (0, 2, {"cache_write": 280, "cache_write_1h": 300}, None),
        (0, 1, {"cache_write_1h": 125}, "5m"),
        (0, 1, {"cache_write_1h": 124}, "1h"),
        (0, 1, {"cache_read": 74}, "5m"),
        (0, 1, {"cache_read": 75}, None),
    ],
)
def test_a_prompt_is_kept_where_writing_and_reading_it_cost_less_than_sending_it(
    seconds, calls, rates, ttl
) -> None:
    """For as long as the next call is expected to take at most, a tenth and a twentieth left for the calls."""
    found = marks_for(PromptReuse(messages=3, calls=calls, seconds=seconds), replace(RATES, **rates))
    assert found == (() if ttl is None else (CacheMark(messages=3, ttl=ttl),))


def test_history_is_rewritten_from_the_turn_on_at_which_it_pays() -> None:
    """Half of a thousand tokens: 500 are written for 1.25, 1,000 no longer read for 0.1, and 500 saved for 0.1."""
    assert turns_to_pay(1000, 500, ANTHROPIC) == (500 * 1.25 - 1000 * 0.1) / (500 * 0.1)
    assert turns_to_pay(1000, 1, ANTHROPIC) == pytest.approx((999 * 1.25 - 100) / 0.1)
    assert turns_to_pay(1000, -1, ANTHROPIC) == math.inf
    assert turns_to_pay(1000, 920, ANTHROPIC) == 0.0
    assert turns_to_pay(1000, 500, CachePrices(write=1.25, read=0.0)) == math.inf
    assert turns_to_pay(1000, 500, CachePrices(write=0.2, read=0.1)) == 0.0
    exact = CachePrices(write=1.0, read=0.25)
    assert turns_to_pay(1000, 500, exact) == 2.0
    assert [rewriting_pays(1000, 500, turns, exact) for turns in (1, 2, 3)] == [False, True, True]
    assert (CachePrices().write, CachePrices().read) == (1.25, 0.1)
