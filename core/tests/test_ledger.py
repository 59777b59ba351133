"""What the budgets of a run, its steps and groups leave, worked out by hand; and that the database says the same."""

import pytest
from sqlalchemy import update

from intendant import BudgetExceeded, events
from intendant.model.graph_keys import Limits
from intendant.record.journal import Journal
from intendant.record.rows import BudgetRow, HoldRow, RunRow, Spent
from intendant.record.store import Store, budgets, runs, tables
from intendant.record.store.budgets import UNITS
from intendant.spending.ledger import RunLedger
from intendant.spending.nesting import OuterStep


def cap(tokens: int | None, micro: int | None) -> Limits:
    return Limits(tokens=tokens, usd=None if micro is None else micro / 1_000_000)


class Opened:
    """A ledger, with calls that are held, settled and released by their names."""

    def __init__(self, store: Store, journal: Journal, made: RunLedger) -> None:
        self.store, self.journal, self.ledger = store, journal, made
        self.rows: dict[str, HoldRow] = {}

    async def hold(self, step: str, tokens: int, micro: int = 0) -> HoldRow:
        key = f"{step}{len(self.rows)}"
        row = HoldRow(
            key, "r", step, 1, self.ledger.chain(step)[-1], "p", "m", tokens, micro, "v", 1e12, agent="a"
        )
        said = {"call": key, "provider": "p", "model": "m", "tokens": tokens, "micro_usd": micro}
        await self.ledger.reserve(row, self.journal.step(step).event(events.TokensReserved, **said))
        self.rows[key] = row
        return row

    def settled(self, row: HoldRow, outcome: str = "answered"):
        said = {"call": row.key, "provider": "p", "model": "m", "outcome": outcome, "usage": {}}
        return self.journal.step(row.step_key).event(events.TokensSettled, **said)

    def settle(self, row: HoldRow, tokens: int, micro: int = 0) -> None:
        self.ledger.settle(row, Spent(0, tokens, micro), None, self.settled(row))

    async def stored(self) -> dict[str, tuple[int, int, int | None]]:
        """By budget: tokens spent and held, and the limit."""
        await self.store.flush()
        found = await self.store.do(budgets.budgets_of_run("r"))
        return {name: (row.spent_tokens, row.held_tokens, row.limit_tokens) for name, row in found.items()}


@pytest.fixture
async def opened(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/x.db")

    async def make(**more) -> Opened:
        journal = Journal(
            store, await store.do(runs.open_run(RunRow("r", "w", "a", "{}", 1, "{}", "running", 1.0)))
        )
        told = {"tokens": 1000, "micro_usd": None, "allocations": {"a": 300, "b": 200}, "agent": "a", **more}
        ledger = RunLedger(journal, **told)
        await ledger.open()
        return Opened(store, journal, ledger)

    yield make
    store.close()


async def test_a_step_has_its_share_and_the_pool_less_what_it_holds_and_spent(opened) -> None:
    run = await opened()
    assert [run.ledger.left(step) for step in ("a", "b", "c")] == [800, 700, 500]
    first = await run.hold("a", 120)
    assert (run.ledger.left("a"), run.ledger.total("a"), run.ledger.left("b")) == (680, 800, 700)
    run.settle(first, 50)
    assert (run.ledger.left("a"), run.ledger.total("a")) == (750, 800)
    run.ledger.release(await run.hold("a", 100), run.settled(first, "refused"))
    assert run.ledger.left("a") == 750
    run.ledger.charge(await run.hold("a", 100), run.settled(first, "in_doubt"))
    assert run.ledger.left("a") == 650
    cut = await run.hold("b", 80)
    run.ledger.cut_off(cut, Spent(0, 30, 0), run.settled(cut))
    assert run.ledger.left("b") == 670
    assert await run.stored() == {
        "run:r": (180, 0, 1000),
        "step:r/a": (150, 0, 300),
        "step:r/b": (30, 0, 200),
    }


async def test_a_step_that_runs_short_draws_on_the_pool_and_others_cannot_have_that(opened) -> None:
    run = await opened()
    await run.hold("a", 450)
    assert [run.ledger.left(step) for step in ("a", "b", "c")] == [350, 550, 350]
    await run.hold("c", 350)
    assert [run.ledger.left(step) for step in ("a", "b", "c")] == [0, 200, 0]
    with pytest.raises(BudgetExceeded) as refused:
        await run.hold("b", 201)
    assert (refused.value.scope, refused.value.unit, refused.value.asked, refused.value.left) == (
        "step:r/b", "tokens", 201, 200,
    )  # fmt: skip
    await run.hold("b", 200)
    assert (await run.stored())["step:r/a"] == (0, 450, 450)


async def test_without_overage_a_step_keeps_to_its_share(opened) -> None:
    run = await opened(overage=False)
    assert [run.ledger.left(step) for step in ("a", "c")] == [300, 0]
    await run.hold("a", 300)
    with pytest.raises(BudgetExceeded):
        await run.hold("a", 1)


async def test_a_step_draws_up_to_a_multiple_of_its_share(opened) -> None:
    run = await opened(threshold=1.1)
    assert [run.ledger.left(step) for step in ("a", "b", "c")] == [330, 220, 0]
    await run.hold("a", 320)
    assert run.ledger.left("a") == 10
    await run.hold("a", 10)
    assert run.ledger.left("a") == 0
    with pytest.raises(BudgetExceeded):
        await run.hold("a", 1)


async def test_what_a_finished_step_leaves_goes_to_the_pool(opened) -> None:
    run = await opened(allocations={"a": 300, "a/x": 100, "a/x/rollback/1": 50, "b": 200})
    run.settle(await run.hold("a", 120), 100)
    assert run.ledger.left("b") == 200 + 350
    run.ledger.finish("a")
    assert run.ledger.left("a") == run.ledger.left("c") == 350 + 200 + 100 + (1000 - 350 - 650)
    assert run.ledger.total("a") == run.ledger.left("a") + 100


async def test_a_call_that_took_more_than_was_held_is_paid_by_the_pool(opened) -> None:
    run = await opened()
    run.settle(await run.hold("a", 300), 340)
    assert run.ledger.overrun
    assert [run.ledger.left(step) for step in ("a", "b")] == [460, 660]
    (said,) = [row for row in await run.store.do(runs.events_of("r")) if row.type == "budget_exceeded"]
    assert '"unit":"tokens","asked":340,"left":300' in said.data
    run = run.ledger
    assert run.total("a") == 460 + 340


async def test_what_a_call_took_beyond_its_hold_is_paid_by_its_step_before_the_pool(opened) -> None:
    run = await opened()
    run.settle(await run.hold("a", 100), 140)
    assert run.ledger.overrun
    assert [run.ledger.left(step) for step in ("a", "b", "c")] == [660, 700, 500]


async def test_a_call_that_cost_more_than_was_held_says_so_in_money(opened) -> None:
    run = await opened(micro_usd=1000)
    run.settle(await run.hold("a", 300, 200), 100, 250)
    assert run.ledger.overrun
    assert run.ledger.micro_left("a") == 750
    (said,) = [row for row in await run.store.do(runs.events_of("r")) if row.type == "budget_exceeded"]
    assert '"unit":"micro_usd","asked":250,"left":200' in said.data


async def test_as_much_as_was_held_is_no_overrun(opened) -> None:
    run = await opened(micro_usd=1000)
    run.settle(await run.hold("a", 300, 200), 300, 200)
    assert not run.ledger.overrun


async def test_a_group_has_a_budget_for_all_its_steps(opened) -> None:
    caps = {"g": cap(250, 90), "g/x": cap(180, 50)}
    run = await opened(allocations={"g/x": 100, "g/y": 100}, caps=caps, micro_usd=1000)
    assert [run.ledger.left(step) for step in ("g/x", "g/y", "z")] == [180, 250, 800]
    assert [run.ledger.micro_left(step) for step in ("g/x", "g/y", "z")] == [50, 90, 1000]
    row = await run.hold("g/x", 120, 30)
    assert [run.ledger.left(step) for step in ("g/x", "g/y")] == [60, 130]
    assert [run.ledger.micro_left(step) for step in ("g/x", "g/y", "z")] == [20, 60, 970]
    run.settle(row, 100, 20)
    assert [run.ledger.left(step) for step in ("g/x", "g/y")] == [80, 150]
    assert [run.ledger.micro_left(step) for step in ("g/x", "g/y", "z")] == [30, 70, 980]
    assert run.ledger.chain("g/x") == ("run:r", "step:r/g", "step:r/g/x")
    assert (await run.stored())["step:r/g"] == (100, 0, 250)


async def test_without_a_limit_of_the_run_only_those_of_steps_and_groups_hold(opened) -> None:
    run = await opened(tokens=None, caps={"a": cap(250, None), "b": cap(None, 40)})
    assert [run.ledger.left(step) for step in ("a", "b", "c")] == [250, None, None]
    assert [run.ledger.micro_left(step) for step in ("a", "b")] == [None, 40]
    run.settle(await run.hold("a", 100), 70)
    await run.hold("a", 20)
    assert (run.ledger.left("a"), run.ledger.total("a"), run.ledger.total("b")) == (160, 250, None)
    await run.hold("b", 5, 40)
    assert run.ledger.micro_left("b") == 0


async def test_what_planning_took_is_part_of_the_limits(opened) -> None:
    run = await opened(spent=(100, 40), micro_usd=500)
    assert [run.ledger.left(step) for step in ("a", "c")] == [700, 400]
    assert run.ledger.micro_left("a") == 460
    assert (await run.stored())["run:r"] == (100, 0, 1000)


async def test_a_run_inside_a_step_takes_from_the_step_and_then_from_the_pool(opened) -> None:
    run = await opened(micro_usd=1000, caps={"a": cap(900, 600)})
    outer = OuterStep(run.ledger, "a")
    assert (outer.left, outer.micro_left, list(outer.chain)) == (800, 600, ["run:r"])
    outer.claim(100, 10)
    assert (run.ledger.left("a"), run.ledger.left("b"), run.ledger.micro_left("a")) == (700, 700, 590)
    outer.claim(250, 20)
    assert (run.ledger.left("a"), run.ledger.left("b"), run.ledger.micro_left("b")) == (450, 650, 970)
    outer.claim(-350, -30)
    outer.spend(Spent(10, 190, 25))
    assert (run.ledger.left("a"), run.ledger.left("b")) == (600, 650)
    assert (run.ledger.micro_left("a"), run.ledger.micro_left("b")) == (575, 975)


async def test_an_inner_run_has_no_more_than_the_step_around_it(opened) -> None:
    run = await opened(micro_usd=400)
    inner = RunLedger(
        run.journal, tokens=5000, micro_usd=None, allocations={"i": 5000}, outer=OuterStep(run.ledger, "b")
    )
    assert (inner.left("i"), inner.micro_left("i")) == (700, 400)
    assert inner.chain("i") == ("run:r", "run:r", "step:r/i")


async def test_another_process_finds_what_was_spent_held_and_drawn(opened) -> None:
    run = await opened(micro_usd=1000, caps={"g": cap(500, None)}, allocations={"a": 300, "b": 200, "g/x": 100})
    run.settle(await run.hold("a", 350, 30), 320, 20)
    await run.hold("b", 50, 5)
    run.settle(await run.hold("g/x", 40, 3), 30, 2)
    await run.store.flush()
    claimed = await run.store.do(runs.claim("r", "other:1"))
    again = RunLedger(
        Journal(run.store, claimed.fence),
        tokens=1000,
        micro_usd=1000,
        agent="a",
        caps={"g": cap(500, None)},
        allocations={"a": 300, "b": 200, "g/x": 100},
    )
    await again.open(finished=["g/x"])
    pool = 1000 - 350 - 200 - 30
    assert [again.left(step) for step in ("a", "b", "c")] == [30 + pool, 150 + pool, pool]
    assert again.left("g/x") == min(pool, 470)
    assert again.micro_left("a") == 1000 - 20 - 5 - 2


@pytest.mark.parametrize(
    ("wanted", "limits"),
    [
        (900, [900, 900, 900]),  # above what is spent and held: it holds at once
        (700, [800, 700, 700]),
        (500, [800, 700, 650]),
        (None, [None, None, None]),
    ],
)
async def test_a_lowered_limit_follows_what_is_spent_and_held_down_to_what_was_wanted(
    tmp_path, wanted, limits
) -> None:
    """Of 1000, 600 are spent and 200 held; of these, 100 are given back, and of the rest 50 are spent."""
    store = Store(f"sqlite:///{tmp_path}/x.db")
    opened = BudgetRow(
        "agent:a/day:d", None, 1000, 1000, held_tokens=200, held_micro=200, spent_tokens=600, spent_micro=600
    )
    await store.do(lambda connection: budgets.add_window(connection, opened))

    async def now() -> tuple[int | None, int | None]:
        row = await store.do(budgets.find(opened.id))
        assert row is not None
        return row.limit_tokens, row.limit_micro

    lowered = None if wanted is None else max(800, wanted)
    columns = {
        f"{name}_{unit}": value for name, value in (("limit", lowered), ("wanted", wanted)) for unit in UNITS
    }
    await store.do(lambda connection: connection.execute(update(tables.budget).values(columns)).rowcount)
    found = [await now()]
    for off, on in ((100, 0), (100, 50)):
        await store.do(lambda connection, off=off, on=on: budgets.move(connection, [opened.id], off, off, on, on))
        found.append(await now())
    assert found == [(limit, limit) for limit in limits]
    store.close()
