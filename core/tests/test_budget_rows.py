"""The rows of budgets: all of a call's hold or none, limits that follow, and only the budgets that are named."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from intendant.model.errors import BudgetExceeded, StoreError
from intendant.record.rows import BudgetRow
from intendant.record.store import Store, budgets

RUN, STEP = "run:r_5", "step:r_5/b"
NEIGHBOURS = ("run:r_4", "run:r_6", "step:r_5/a", "step:r_5/c", "step:r_4/b", "step:r_50/b")


@pytest.fixture
def do(tmp_path) -> Iterator[Callable[[Any], Any]]:
    store = Store(f"sqlite:///{tmp_path}/x.db")
    yield lambda work: asyncio.run(store.do(work))
    store.close()


@pytest.fixture
def opened(do) -> Callable[..., None]:
    """Opens a run's and a step's budget among those of others; says how much each has, and its rest."""

    def open_them(**said: Any) -> None:
        for scope in (RUN, STEP, *NEIGHBOURS):
            do(
                budgets.open_budgets(
                    [BudgetRow(scope, None, **{"limit_tokens": 100, "limit_micro": 1000, **said})]
                )
            )

    return open_them


def amounts(do, scope: str) -> tuple[Any, ...]:
    """Tokens spent, held and their limit; the same in micro-US$."""
    row = do(budgets.find(scope))
    return (row.spent_tokens, row.held_tokens, row.limit_tokens, row.spent_micro, row.held_micro, row.limit_micro)


def untouched(do) -> bool:
    return {amounts(do, scope) for scope in NEIGHBOURS} == {(0, 0, 100, 0, 0, 1000)}


def take(*scopes: str, tokens: int = 0, micro: int = 0) -> Any:
    return lambda connection: budgets.take(connection, scopes, tokens, micro)


def move(*scopes: str, off: tuple[int, int] = (0, 0), on: tuple[int, int] = (0, 0)) -> Any:
    return lambda connection: budgets.move(connection, scopes, *off, *on)


def test_a_hold_is_in_all_of_its_budgets_or_in_none(do, opened) -> None:
    opened()
    do(take(RUN, STEP, tokens=60, micro=600))
    assert amounts(do, RUN) == amounts(do, STEP) == (0, 60, 100, 0, 600, 1000)
    do(take(RUN, tokens=40, micro=400))
    assert amounts(do, RUN) == (0, 100, 100, 0, 1000, 1000), "just as much as there is"
    for tokens, micro, unit, left in ((1, 0, "tokens", 0), (0, 1, "micro_usd", 0)):
        with pytest.raises(BudgetExceeded) as caught:
            do(take(STEP, RUN, tokens=tokens, micro=micro))
        assert (caught.value.scope, caught.value.unit, caught.value.left) == (RUN, unit, left)
    assert amounts(do, STEP) == (0, 60, 100, 0, 600, 1000)
    assert untouched(do)
    do(take(tokens=10**9))


def test_the_budget_that_admits_least_is_named(do, opened) -> None:
    opened()
    do(take(RUN, tokens=90, micro=100))
    do(take(STEP, tokens=80, micro=950))
    for tokens, micro, scope, unit, left in (
        (50, 0, RUN, "tokens", 10),
        (15, 0, RUN, "tokens", 10),
        (25, 100, RUN, "tokens", 10),
        (0, 51, STEP, "micro_usd", 50),
        (50, 900, STEP, "micro_usd", 50),
    ):
        with pytest.raises(BudgetExceeded) as caught:
            do(take(RUN, STEP, tokens=tokens, micro=micro))
        assert (caught.value.scope, caught.value.unit, caught.value.left) == (scope, unit, left)
    with pytest.raises(StoreError, match="there are no budgets run:nothing"):
        do(take(RUN, "run:nothing", tokens=1))


def test_a_budget_without_a_limit_admits_everything(do, opened) -> None:
    opened(limit_tokens=None, limit_micro=None)
    do(take(RUN, tokens=2**40, micro=2**40))
    assert amounts(do, RUN) == (0, 2**40, None, 0, 2**40, None)
    do(move(RUN, off=(2**40, 2**40), on=(7, 9)))
    assert amounts(do, RUN) == (7, 0, None, 9, 0, None)


def test_what_was_held_becomes_what_was_spent(do, opened) -> None:
    opened()
    do(take(RUN, STEP, tokens=60, micro=600))
    do(move(RUN, STEP, off=(50, 400), on=(30, 70)))
    assert amounts(do, RUN) == amounts(do, STEP) == (30, 10, 100, 70, 200, 1000)
    do(move())
    assert untouched(do)


@pytest.mark.parametrize(
    ("used", "off", "on", "limit"),
    [
        (90, 10, 0, 80),
        (90, 10, 5, 85),
        (90, 60, 0, 50),
        (90, 30, 0, 60),
        (90, 20, 20, 90),
    ],
)
def test_a_limit_that_was_lowered_below_what_is_used_follows_that_down(do, used, off, on, limit) -> None:
    """To what it was set to, 50; and never up again."""
    row = BudgetRow(RUN, None, used, used, 50, 50, held_tokens=used, held_micro=used)
    do(budgets.open_budgets([row]))
    do(move(RUN, off=(off, off), on=(on, on)))
    total = used - off + on
    assert amounts(do, RUN) == (on, used - off, limit, on, used - off, limit), total


def test_a_limit_that_was_not_lowered_stays(do) -> None:
    do(budgets.open_budgets([BudgetRow(RUN, None, 50, 50, 50, 50, held_tokens=40, held_micro=40)]))
    do(move(RUN, off=(30, 30), on=(10, 10)))
    assert amounts(do, RUN) == (10, 10, 50, 10, 10, 50)


@pytest.mark.parametrize(
    ("given", "limits"),
    [((None, None), (100, 1000)), ((70, None), (70, 1000)), ((None, 700), (100, 700)), ((60, 600), (60, 600))],
)
def test_limits_are_set_down_to_what_is_spent_and_held(do, opened, given, limits) -> None:
    opened()
    do(take(RUN, tokens=60, micro=600))
    do(move(RUN, off=(10, 100), on=(10, 100)))
    row = do(budgets.find(RUN))
    made = do(lambda connection: budgets.set_limits(connection, row, *given))
    assert (made.limit_tokens, made.limit_micro) == limits
    assert amounts(do, RUN) == (10, 50, limits[0], 100, 500, limits[1])
    for tokens, micro, unit in ((59, None, "tokens"), (None, 599, "micro_usd"), (59, 599, "tokens")):
        with pytest.raises(BudgetExceeded) as caught:
            do(lambda connection, asked=(tokens, micro): budgets.set_limits(connection, row, *asked))
        assert (caught.value.unit, caught.value.asked) == (unit, 60 if unit == "tokens" else 600)
    assert untouched(do)


def test_a_budget_that_is_there_is_raised_and_not_lowered(do, opened) -> None:
    opened()
    for limit, expected in ((99, 100), (100, 100), (101, 101), (None, 101)):
        do(budgets.open_with_limit(BudgetRow(RUN, None, limit, 5)))
        assert amounts(do, RUN) == (0, 0, expected, 0, 0, 1000)
    do(budgets.open_with_limit(BudgetRow("run:new", None, 7, 8)))
    assert amounts(do, "run:new") == (0, 0, 7, 0, 0, 8)
    assert untouched(do)


def test_the_budgets_of_a_run_are_its_own_and_those_of_its_steps(do, opened) -> None:
    opened()
    assert set(do(budgets.budgets_of_run("r_5"))) == {RUN, STEP, "step:r_5/a", "step:r_5/c"}
    assert do(budgets.find("run:nothing")) is None
    assert [budgets.run_of(scope) for scope in (RUN, STEP, "agent:r_5", "run:r/x/y")] == ["r_5", "r_5", "", "r"]


def test_what_is_left_is_the_limit_without_what_is_spent_and_held() -> None:
    row = BudgetRow(RUN, None, 100, 1000, spent_tokens=7, held_tokens=11, spent_micro=130, held_micro=170)
    assert [budgets.used_of(row, unit) for unit in ("tokens", "micro")] == [18, 300]
    assert [budgets.left_in(row, unit) for unit in ("tokens", "micro")] == [82, 700]
    free = row._replace(limit_tokens=None, limit_micro=None)
    assert [budgets.left_in(free, unit) for unit in ("tokens", "micro")] == [None, None]
