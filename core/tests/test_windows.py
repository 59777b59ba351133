"""Days and months as budgets: which count at a time, and what they admit, beside those of others."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from intendant.record.store import Store, budgets, limits, windows
from intendant.record.store.windows import Room, label_of, start_of, window_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


@pytest.fixture
def do(tmp_path) -> Iterator[Callable[[Any], Any]]:
    store = Store(f"sqlite:///{tmp_path}/x.db")
    yield lambda work: asyncio.run(store.do(work))
    store.close()


@pytest.mark.parametrize(
    ("at", "day", "month"),
    [
        (NOON, "2026-11-21", "2026-11"),
        (NOON + 12 * 3600 - 1, "2026-11-21", "2026-11"),
        (NOON + 12 * 3600, "2026-11-22", "2026-11"),
        (NOON - 12 * 3600 - 0.5, "2026-11-20", "2026-11"),
        (NOON + 10 * DAY, "2026-12-01", "2026-12"),
        (0.0, "1970-01-01", "1970-01"),
    ],
)
def test_days_and_months_are_those_of_utc(at, day, month) -> None:
    assert (label_of("day", at), label_of("month", at)) == (day, month)
    assert window_of("agent:a", "day", at) == f"agent:a/day:{day}"
    assert datetime.fromtimestamp(start_of("day", at), UTC) == datetime.fromisoformat(f"{day}T00:00:00+00:00")
    assert datetime.fromtimestamp(start_of("month", at), UTC) == datetime.fromisoformat(
        f"{month}-01T00:00:00+00:00"
    )


def opened(do, agent: str = "m", tenant: str = "t", at: float = NOON) -> tuple[str, ...]:
    return do(lambda connection: windows.open_windows(connection, agent, tenant, at))


def test_the_budgets_of_an_agent_and_its_tenant_count_and_no_others(do) -> None:
    for scope in ("agent:a", "agent:m", "agent:z", "tenant:a", "tenant:t", "tenant:z"):
        do(limits.set_limit(scope, "day", 100, None))
    do(limits.set_limit("tenant:t", "month", None, 900))
    day = ("agent:m/day:2026-11-21", "tenant:t/day:2026-11-21", "tenant:t/month:2026-11")
    assert opened(do) == opened(do) == day
    assert opened(do, at=NOON + DAY) == tuple(name.replace("11-21", "11-22") for name in day)
    assert opened(do) == day
    assert opened(do, "other", "other") == ()
    row = do(budgets.find(day[0]))
    assert (row.parent, row.limit_tokens, row.limit_micro, row.wanted_tokens) == ("agent:m", 100, None, 100)
    row = do(budgets.find(day[2]))
    assert (row.limit_tokens, row.limit_micro, row.wanted_micro) == (None, 900, 900)
    assert do(budgets.find("agent:z/day:2026-11-21")) is None, "they are made where they are needed"


def test_the_tightest_budget_says_what_is_admitted_and_what_were_if_nothing_was_held(do) -> None:
    assert do(windows.room_of("m", "t", NOON)) == (Room(None, None), Room(None, None))
    do(limits.set_limit("agent:m", "day", 100, None))
    do(limits.set_limit("tenant:t", "day", 500, 70))
    agent, tenant = opened(do)
    do(lambda connection: budgets.take(connection, (agent, tenant), 40, 9))
    do(lambda connection: budgets.move(connection, (agent, tenant), 10, 2, 10, 2))
    assert do(windows.room_of("m", "t", NOON)) == (Room(60, 61), Room(90, 68))
    assert do(windows.room_of("m", "z", NOON)) == (Room(60, None), Room(90, None))
    assert do(windows.room_of("m", "t", NOON + DAY)) == (Room(100, 70), Room(100, 70)), "a day anew"


def test_a_limit_that_is_set_anew_or_taken_back_is_what_counts(do) -> None:
    for tokens in (100, 200):
        do(limits.set_limit("agent:m", "day", tokens, None, at=NOON))
    assert do(windows.room_of("m", "t", NOON))[0] == Room(200, None)
    do(limits.set_limit("agent:m", "month", 50, None, at=NOON))
    assert do(windows.room_of("m", "t", NOON))[0] == Room(50, None)
    do(limits.set_limit("agent:m", "month", None, None, at=NOON + DAY))
    assert do(windows.room_of("m", "t", NOON + DAY))[0] == Room(200, None)
    assert [(row.per, row.limit_tokens) for row in do(limits.history(3))] == [
        ("month", None),
        ("month", 50),
        ("day", 200),
    ]
