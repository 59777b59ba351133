"""The life of a hold in the database: closed once, charged within what was held, and what is beyond in the budgets."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select

from intendant.model.errors import BudgetExceeded, StoreError
from intendant.record.rows import BudgetRow, HoldRow, Spent
from intendant.record.store import Store, budgets, holds
from intendant.record.store.tables import ledger

RUN = "run:r"


@pytest.fixture
def do(tmp_path) -> Iterator[Callable[[Any], Any]]:
    store = Store(f"sqlite:///{tmp_path}/x.db")
    asyncio.run(store.do(budgets.open_budgets([BudgetRow(RUN, None, 1000, 9000)])))
    yield lambda work: asyncio.run(store.do(work))
    store.close()


def reserve(key: str, tokens: int = 100, micro: int = 500, **more: Any) -> Any:
    row = HoldRow(key, "r", "s", 1, RUN, "p", "m", tokens, micro, "v", **{"expires_at": 50.0, **more})
    return holds.reserve(row, (RUN,))


def held(do, key: str) -> tuple[Any, ...]:
    """State of a hold, what is charged for it, and its reply."""
    (row,) = [row for row in do(holds.holds_of_call(key)) if row.key == key]
    return row.state, row.spent_tokens, row.spent_micro, row.reply


def budget(do) -> tuple[int, ...]:
    """Tokens spent and held, micro-US$ spent and held."""
    row = do(budgets.find(RUN))
    return row.spent_tokens, row.held_tokens, row.spent_micro, row.held_micro


def booked(do) -> list[tuple[Any, ...]]:
    names = ("kind", "input_tokens", "output_tokens", "micro", "overrun_tokens", "beyond")
    query = select(*(ledger.c[name] for name in names)).order_by(ledger.c.id)
    return [tuple(row) for row in do(lambda connection: connection.execute(query).all())]


@pytest.mark.parametrize(
    ("spent", "charged", "in_budget", "overrun", "beyond"),
    [
        ((30, 20, 200), (50, 200), (50, 0, 200, 0), 0, None),
        ((0, 0, 0), (0, 0), (0, 0, 0, 0), 0, None),
        ((60, 40, 500), (100, 500), (100, 0, 500, 0), 0, None),
        ((60, 41, 500), (100, 500), (101, 0, 500, 0), 1, f'{{"{RUN}": [1, 0]}}'),
        ((60, 40, 501), (100, 500), (100, 0, 501, 0), 0, f'{{"{RUN}": [0, 1]}}'),
        ((90, 60, 400), (100, 400), (150, 0, 400, 0), 50, f'{{"{RUN}": [50, 0]}}'),
        ((10, 10, 700), (20, 500), (20, 0, 700, 0), 0, f'{{"{RUN}": [0, 200]}}'),
        ((1000, 500, 500), (100, 500), (1000, 0, 500, 0), 1400, f'{{"{RUN}": [900, 0]}}'),
    ],
)
def test_what_a_call_took_is_charged_and_what_is_beyond_its_hold_as_far_as_the_limits_admit(
    do, spent, charged, in_budget, overrun, beyond
) -> None:
    do(reserve("k"))
    assert budget(do) == (0, 100, 0, 500)
    assert do(holds.settle("k", Spent(*spent), "reply")) == "settled"
    assert held(do, "k") == ("settled", *charged, "reply")
    assert budget(do) == in_budget
    assert booked(do) == [("settle", *spent, overrun, beyond)]
    for again in (holds.settle("k", Spent(1, 1, 1), None), holds.release("k"), holds.charge("k")):
        assert do(again) == "closed"
    assert (budget(do), len(booked(do))) == (in_budget, 1)


def test_a_call_in_doubt_is_charged_in_full_and_credited_when_it_is_known(do) -> None:
    do(reserve("k"))
    assert do(holds.charge("k")) == "settled"
    assert (held(do, "k"), budget(do)) == (("in_doubt", 100, 500, None), (100, 0, 500, 0))
    assert do(holds.charge("k")) == "closed"
    assert do(holds.settle("k", Spent(30, 20, 200), "reply")) == "credited"
    assert (held(do, "k"), budget(do)) == (("settled", 50, 200, "reply"), (50, 0, 200, 0))
    assert booked(do) == [("in_doubt", 0, 100, 500, 0, None), ("credit", 30, -80, -300, 0, None)]
    assert do(holds.settle("k", Spent(1, 1, 1), None)) == "closed"


def test_a_call_in_doubt_that_took_more_is_charged_the_rest(do) -> None:
    do(reserve("k"))
    do(holds.charge("k", "expire"))
    assert do(holds.settle("k", Spent(100, 20, 600), None)) == "credited"
    assert (held(do, "k")[:3], budget(do)) == (("settled", 100, 500), (120, 0, 600, 0))
    assert booked(do) == [
        ("expire", 0, 100, 500, 0, None),
        ("credit", 100, -80, 100, 20, f'{{"{RUN}": [20, 100]}}'),
    ]


def test_a_hold_that_is_given_back_costs_nothing_also_after_it_was_charged(do) -> None:
    do(reserve("one"))
    do(reserve("two"))
    assert do(holds.release("one")) == "settled"
    assert (held(do, "one"), budget(do), booked(do)) == (("released", 0, 0, None), (0, 100, 0, 500), [])
    do(holds.charge("two"))
    assert do(holds.release("two")) == "credited"
    assert (held(do, "two"), budget(do)) == (("released", 0, 0, None), (0, 0, 0, 0))
    assert booked(do)[-1] == ("credit", 0, -100, -500, 0, None)
    assert [do(holds.release(key)) for key in ("one", "two", "three")] == ["closed"] * 3


def test_holds_that_have_expired_are_charged_if_they_were_sent_the_oldest_first(do) -> None:
    for key, expires, sending in (("sent", 10.0, 1), ("queued", 11.0, 0), ("late", 12.0, 1), ("open", 20.0, 1)):
        do(reserve(key, expires_at=expires, sending=sending))
    do(reserve("closed", expires_at=1.0))
    do(holds.settle("closed", Spent(0, 0, 0), None))
    assert do(holds.expire(10.0)) == 0, "not in the second in which it ends"
    assert do(holds.expire(20.0, 2)) == 2
    assert [held(do, key)[0] for key in ("sent", "queued", "late", "open")] == [
        "in_doubt",
        "released",
        "held",
        "held",
    ]
    assert do(holds.expire(20.0)) == 1
    assert (held(do, "late")[0], held(do, "open")[0], held(do, "closed")[0]) == ("in_doubt", "held", "settled")
    assert budget(do) == (200, 100, 1000, 500)
    assert [row[0] for row in booked(do)] == ["settle", "expire", "expire"]


def test_a_queued_call_that_is_sent_is_marked_while_its_hold_is_open(do) -> None:
    do(reserve("k", sending=0))
    do(reserve("j", sending=0))
    do(holds.mark_sending("k"))
    assert [row.sending for key in ("k", "j") for row in do(holds.holds_of_call(key))] == [1, 0]
    do(holds.release("j"))
    for key in ("j", "nothing"):
        with pytest.raises(StoreError, match=f"the hold {key} was closed before its call was sent"):
            do(holds.mark_sending(key))


@pytest.mark.parametrize("number", [0, 1, 7, 8, 9, 17])
def test_the_tries_of_a_call_are_found_in_their_order(do, number) -> None:
    for place in range(number):
        do(reserve(f"k~{place}" if place else "k", tokens=1, micro=1))
    do(reserve("k2", tokens=1, micro=1))
    do(reserve("j", tokens=1, micro=1))
    expected = [f"k~{place}" if place else "k" for place in range(number)]
    assert [row.key for row in do(holds.holds_of_call("k"))] == expected


def test_a_hold_is_in_no_lease_from_when_it_is_moved_on(do) -> None:
    do(reserve("k"))
    do(reserve("j"))
    do(lambda connection: holds.move_to(connection, "k", ("run:r", "agent:x")))
    rows = {key: row for key in ("k", "j") for row in do(holds.holds_of_call(key))}
    assert {key: row.scopes for key, row in rows.items()} == {"k": ("run:r", "agent:x"), "j": ("run:r",)}


def test_what_no_budget_admits_is_not_held(do) -> None:
    with pytest.raises(BudgetExceeded):
        do(reserve("k", tokens=1001))
    with pytest.raises(holds.LeaseLost):
        do(holds.reserve(HoldRow("k", "r", "s", 1, RUN, "p", "m", 1, 1, "v", 50.0), (RUN,), "no-lease"))
    assert (do(holds.holds_of_call("k")), budget(do)) == ([], (0, 0, 0, 0))
