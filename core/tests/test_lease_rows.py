"""Leases of standing budgets: how large a slice is, whose are dissolved, and what goes back where."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from intendant.record.rows import BudgetRow, HoldRow, Spent
from intendant.record.store import Store, budgets, holds, leases, limits

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
AGENT, TENANT = "agent:m/day:2026-11-21", "tenant:t/day:2026-11-21"


@pytest.fixture
def do(tmp_path) -> Iterator[Callable[[Any], Any]]:
    store = Store(f"sqlite:///{tmp_path}/x.db")
    yield lambda work: asyncio.run(store.do(work))
    store.close()


def limited(do, tokens: int | None, micro: int | None, tenant: int | None = None) -> None:
    do(limits.set_limit("agent:m", "day", tokens, micro, at=NOON))
    if tenant is not None:
        do(limits.set_limit("tenant:t", "day", tenant, None, at=NOON))


def taken(do, tokens: int = 10, micro: int = 20, agent: str = "m", tenant: str = "t", **more: Any) -> Any:
    said = {"old": None, "owner": "p1", "now": NOON, "seconds": 60.0, **more}
    return do(leases.renew(said["old"], said["owner"], agent, tenant, tokens, micro, said["now"], said["seconds"]))


def held(do, window: str = AGENT) -> tuple[int, ...]:
    """Tokens spent and held of a day, and micro-US$."""
    row = do(budgets.find(window))
    return row.spent_tokens, row.held_tokens, row.spent_micro, row.held_micro


@pytest.mark.parametrize(
    ("tokens", "micro", "tenant", "size"),
    [
        (10**9, 10**9, None, (10 * 256, 20 * 256)),
        (10**9, None, None, (10 * 256, 20 * 256)),
        (15 * 8, 10**9, None, (15, 20 * 256)),
        (15 * 8 + 8 - 1, 10**9, None, (15, 20 * 256)),
        (10**9, 25 * 8, None, (10 * 256, 25)),
        (10**9, 10**9, 12 * 8, (12, 20 * 256)),
        (10 * 8, 20 * 8, None, (10, 20)),
        (10 * 8 - 1, 10**9, None, None),
        (10**9, 20 * 8 - 1, None, None),
    ],
)
def test_a_lease_holds_a_slice_in_every_standing_budget(do, tokens, micro, tenant, size) -> None:
    """For 256 calls like the next one, or an eighth of what is left, where that is enough for one."""
    limited(do, tokens, micro, tenant)
    found = taken(do)
    assert (None if found is None else tuple(found)[1:]) == size
    assert held(do) == ((0, 0, 0, 0) if size is None else (0, size[0], 0, size[1]))
    if tenant is not None:
        assert held(do, TENANT) == held(do)


def test_without_a_standing_limit_there_is_no_lease(do) -> None:
    assert taken(do) is None
    limited(do, 10**9, 10**9)
    assert taken(do, agent="a", tenant="a") is None
    assert taken(do) is not None


def test_a_new_lease_takes_the_place_of_the_one_before(do) -> None:
    limited(do, 10**9, 10**9)
    first = taken(do)
    second = taken(do, 30, 40, old=first.id)
    assert second.id != first.id
    assert held(do) == (0, 30 * 256, 0, 40 * 256)
    third = taken(do, 30, 40, old=first.id)
    assert held(do) == (0, 60 * 256, 0, 80 * 256), "one that was dissolved gives nothing back again"
    assert third is not None


def test_a_lease_that_is_dissolved_leaves_what_its_calls_took_and_hold(do) -> None:
    """A call that is in flight holds in the budgets themselves from then on."""
    limited(do, 10**9, 10**9)
    lease = taken(do, 100, 1000)
    do(budgets.open_budgets([BudgetRow("run:r", None, 10**6, 10**6)]))
    for key, tokens, micro in (("done", 50, 600), ("open", 30, 400), ("doubt", 20, 300), ("given", 9, 9)):
        row = HoldRow(key, "r", "s", 1, "run:r", "p", "m", tokens, micro, "v", NOON + 9, agent="m", tenant="t")
        do(holds.reserve(row, ("run:r",), lease.id))
    do(holds.settle("done", Spent(20, 5, 70), None))
    do(holds.charge("doubt"))
    do(holds.release("given"))
    assert held(do) == (0, 100 * 256, 0, 1000 * 256), "the lease holds it all"
    assert do(leases.give_back("p1")) == 1
    assert held(do) == (25 + 20, 30, 70 + 300, 400)
    (row,) = do(holds.holds_of_call("open"))
    assert (row.lease, row.scopes) == (None, ("run:r", AGENT))
    do(holds.settle("open", Spent(10, 5, 100), None))
    assert held(do) == (60, 0, 470, 0)
    do(holds.release("doubt"))
    assert held(do) == (40, 0, 170, 0), "what was charged for a call that proved free is credited there too"


def test_leases_are_dissolved_by_owner_time_agent_and_tenant(do) -> None:
    for agent in "maz":
        do(limits.set_limit(f"agent:{agent}", "day", 10**9, 10**9, at=NOON))

    def all_of_them() -> None:
        for agent, tenant, owner, seconds in (
            ("m", "t", "p5", 10.0),
            ("a", "t", "p1", 20.0),
            ("z", "u", "p9", 30.0),
        ):
            assert taken(do, agent=agent, tenant=tenant, owner=owner, seconds=seconds) is not None

    def left() -> list[str]:
        return [agent for agent in "maz" if held(do, f"agent:{agent}/day:2026-11-21")[1]]

    for dissolve, number, rest in (
        (leases.give_back("p5"), 1, ["a", "z"]),
        (leases.expire(NOON + 20.0), 1, ["a", "z"]),
        (leases.expire(NOON + 20.5), 2, ["z"]),
        (leases.recall("m", "x"), 1, ["a", "z"]),
        (leases.recall("x", "t"), 2, ["z"]),
        (leases.recall("z", "t"), 3, []),
        (leases.recall("x", "x"), 0, ["m", "a", "z"]),
        (lambda connection: leases.dissolve_all_of(connection, "agent:m"), None, ["a", "z"]),
        (lambda connection: leases.dissolve_all_of(connection, "tenant:t"), None, ["z"]),
        (lambda connection: leases.dissolve_all_of(connection, "tenant:m"), None, ["m", "a", "z"]),
    ):
        all_of_them()
        assert do(dissolve) == number
        assert left() == rest
        do(leases.expire(NOON + 10**6))
        assert left() == []
