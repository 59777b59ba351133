"""Rate limits and circuit breakers, by a clock of their own."""

import asyncio

import pytest
from hypothesis import given, strategies as st

from intendant.config.settings import CallSettings, RateLimit
from intendant.plugin import ProviderError
from intendant.spending.traffic import WINDOW, Breaker, RateGate, Traffic


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("intendant.spending.traffic.sleep", made.sleep)
    return made


async def times(gate: RateGate, clock: Clock, tokens: list[int]) -> list[float]:
    """When each call was sent."""
    sent = []
    for amount in tokens:
        async with gate.passing(amount):
            sent.append(clock.now)
    return sent


@given(
    st.lists(st.integers(1, 400), max_size=60),
    st.integers(1, 10),
    st.integers(50, 1000),
)
def test_no_minute_holds_more_than_the_limits(amounts, requests, tokens) -> None:
    clock = Clock()
    gate = RateGate(RateLimit(requests_per_minute=requests, tokens_per_minute=tokens), clock)
    sent = []
    for amount in amounts:
        clock.now += gate.delay(amount)
        assert gate.delay(amount) == 0
        gate._sent.append((clock.now, amount))
        gate._tokens += amount
        sent.append((clock.now, amount))
    for at, _ in sent:
        window = [amount for other, amount in sent if at <= other < at + WINDOW]
        assert len(window) <= requests
        assert sum(window) <= tokens or len(window) == 1, "only a call that fits into no minute goes beyond, alone"


async def test_calls_wait_for_their_turn_and_no_longer(clock) -> None:
    gate = RateGate(RateLimit(requests_per_minute=2), clock)
    assert await times(gate, clock, [1, 1, 1, 1, 1]) == [1000, 1000, 1060, 1060, 1120]


async def test_without_limits_nobody_waits(clock) -> None:
    assert await times(RateGate(RateLimit(), clock), clock, [10**9] * 3) == [1000, 1000, 1000]


async def test_a_provider_that_asks_to_wait_is_not_asked_by_anybody(clock) -> None:
    traffic = Traffic(CallSettings(), clock)
    traffic.note("p", "m", ProviderError("slow down", retryable=True, retry_after=7.0))
    assert await times(traffic.gate("p"), clock, [1]) == [1007]
    assert await times(traffic.gate("other"), clock, [1]) == [1007]


async def test_so_many_calls_are_out_at_once_and_no_more() -> None:
    gate, out, most = RateGate(RateLimit(concurrent=3)), 0, 0

    async def call() -> None:
        nonlocal out, most
        async with gate.passing(1):
            out += 1
            most = max(most, out)
            await asyncio.sleep(0)
            out -= 1

    await asyncio.gather(*(call() for _ in range(20)))
    assert most == 3


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_try() -> None:
    clock = Clock()
    breaker = Breaker(3, 30.0, clock)
    for _ in range(2):
        breaker.failed()
    breaker.worked()
    for _ in range(3):
        assert breaker.admit()
        breaker.failed()
    assert not breaker.admit()
    clock.now += 30
    assert breaker.admit(), "one may try"
    assert not breaker.admit(), "the others wait for what comes of it"
    breaker.failed()
    clock.now += 29
    assert not breaker.admit(), "it failed again: closed for as long again"
    clock.now += 1
    assert breaker.admit()
    breaker.worked()
    assert all(breaker.admit() for _ in range(5))


def test_what_is_wrong_in_itself_does_not_count_against_a_model() -> None:
    traffic = Traffic(CallSettings(breaker_failures=1))
    traffic.note("p", "m", ProviderError("your schema is wrong", billed=False))
    traffic.admit("p", "m")
    traffic.note("p", "m", ProviderError("overloaded", retryable=True))
    with pytest.raises(ProviderError, match=r"p/m failed 1 times in a row") as caught:
        traffic.admit("p", "m")
    assert not caught.value.billed
    traffic.admit("p", "another")
