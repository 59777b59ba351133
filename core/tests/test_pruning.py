"""Runs whose time is over go as a whole; what they took of standing budgets stays, and the record is whole."""

from itertools import pairwise

import pytest
from sqlalchemy import create_engine, select, text

from intendant import Workflow
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepResult
from intendant.record.journal import Journal
from intendant.record.rows import BudgetRow, HoldRow, RunRow
from intendant.record.store import Store, budgets, database, holds, integrity, limits, pruning, runs, triggers
from intendant.record.store.tables import budget
from intendant.testing import engine

FLOW = Workflow.model_validate(
    {"name": "x", "agent": "mailer", "steps": [{"id": "a", "intent": "ask", "prompt": "hello"}]}
)


class Ask(IntentHandler):
    """Asks the model."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(ask)).text)


async def spent(store: Store) -> dict[str, int]:
    query = select(budget.c.id, budget.c.spent_tokens)
    rows = await store.do(lambda connection: connection.execute(query).all())
    return {row[0]: row[1] for row in rows if not row[0].startswith(("run:", "step:"))}


@pytest.mark.parametrize("lease", [0.0, 30.0])
async def test_what_runs_took_of_standing_budgets_stays(url, lease) -> None:
    settings = {"budget": {"lease_seconds": lease}}
    first = engine(Ask(), db=url, settings=settings)
    store = first._engine.store
    await store.do(limits.set_limit("agent:mailer", "day", 100_000, None))
    await store.do(limits.set_limit("tenant:default", "month", 100_000, 10**9))
    ids = [(await first.run(FLOW)).run_id for _ in range(3)]
    await first.aclose()  # gives leases back
    async with engine(Ask(), db=url, settings=settings) as service:
        store = service._engine.store
        before = await spent(store)
        assert all(before.values())
        assert await store.do(pruning.prune(ids[:1], "ann")) == ids[:1]
        assert (await store.do(integrity.verify())).broken == []
        assert await store.do(pruning.prune(ids[1:2], "ann")) == ids[1:2]
        assert await spent(store) == before
        verified = await store.do(integrity.verify())
        assert verified.broken == []
        assert verified.runs == 1
        assert "2 runs were pruned when their time was over" in verified.notes
        await service.run(FLOW)
        assert (await store.do(integrity.verify())).broken == []


async def test_a_run_with_an_open_call_and_one_that_may_go_on_stay(url) -> None:
    store = Store(url)
    for name, status in (("r_open", "failed"), ("r_waits", "waiting"), ("r_done", "completed")):
        row = RunRow(name, "t", "a", "{}", 1, "{}", "running", 1.0)
        journal = Journal(store, await store.do(runs.open_run(row)))
        await journal.commit(budgets.open_budgets([BudgetRow(f"run:{name}", None, 1000, None)]))
        if name == "r_open":
            made = HoldRow("k", name, "s", 1, f"run:{name}", "p", "m", 20, 3, "v", 9e12, agent="a")
            await journal.commit(holds.reserve(made, (f"run:{name}",)))
        await journal.commit(runs.finish_run(journal.fence, status))
    assert await store.do(pruning.prune(["r_open", "r_waits", "r_done", "r_none"], "ann")) == ["r_done"]
    assert (await store.do(integrity.verify())).broken == []
    store.close()


async def test_a_run_inside_a_run_that_stays_stays(url) -> None:
    store = Store(url)
    for name, around in (("r_outer", ()), ("r_inner", ("run:r_outer",))):
        row = RunRow(name, "t", "a", "{}", 1, "{}", "running", 1.0 if around else 0.5)
        journal = Journal(store, await store.do(runs.open_run(row)))
        await journal.commit(budgets.open_budgets([BudgetRow(f"run:{name}", None, 1000, None)]))
        made = HoldRow(f"k{name}", name, "s", 1, f"run:{name}", "p", "m", 20, 3, "v", 9e12, agent="a")
        await journal.commit(holds.reserve(made, (*around, f"run:{name}")))
        await journal.commit(holds.release(f"k{name}"))
        await journal.commit(runs.finish_run(journal.fence, "completed"))
    assert await store.do(pruning.prune(["r_inner"], "ann")) == []
    assert await store.do(pruning.prune(["r_inner", "r_outer"], "ann")) == ["r_outer", "r_inner"]
    assert (await store.do(integrity.verify())).broken == []
    store.close()


async def test_what_comes_back_of_a_pruned_run_is_found(url) -> None:
    store = Store(url)
    row = RunRow("r", "t", "a", "{}", 1, "{}", "running", 1.0)
    journal = Journal(store, await store.do(runs.open_run(row)))
    await journal.commit(runs.finish_run(journal.fence, "completed"))
    assert await store.do(pruning.prune(["r"], "ann")) == ["r"]
    await store.do(runs.open_run(row))
    broken = (await store.do(integrity.verify())).broken
    assert ("run", "r", "the run was pruned, and rows of it are there", "r") in broken
    store.close()


STATEMENTS = [
    "UPDATE event SET severity = 'x'",
    "DELETE FROM event",
    "UPDATE ledger SET micro = 0",
    "DELETE FROM ledger",
    "DELETE FROM budget_limit",
    "UPDATE budget_limit SET limit_tokens = 1",
]


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("made", ["new", "migrated"])
async def test_the_database_itself_refuses_changes(url, made, statement) -> None:
    if made == "migrated":
        empty = create_engine(url)
        database.upgrade(empty)
        empty.dispose()
    async with engine(Ask(), db=url) as service:
        store = service._engine.store
        await store.do(limits.set_limit("agent:mailer", "day", 100_000, None))
        await service.run(FLOW)
        with pytest.raises(Exception, match="append-only"):
            await store.do(lambda connection: connection.execute(text(statement)))
        await store.do(triggers.drop)
        await store.do(lambda connection: connection.execute(text(statement)))
        assert (await store.do(integrity.verify())).broken


async def test_storage_is_told_by_table(url) -> None:
    async with engine(Ask(), db=url) as service:
        await service.run(FLOW)
        rows = await service._engine.store.do(pruning.storage())
        assert {row.table for row in rows if row.rows} >= {"event", "run", "hold", "ledger", "run_figure"}
        assert all(row.bytes for row in rows if row.rows)


async def test_storage_grows_in_a_line(url) -> None:
    """Twice the runs are twice the rows, however many there were before; none is rewritten into a later one."""

    async def rows_of(store) -> int:
        return sum(row.rows for row in await store.do(pruning.storage()) if row.table in ("event", "step", "hold"))

    async with engine(Ask(), db=url) as service:
        store, counts = service._engine.store, []
        for _ in range(4):
            for _ in range(3):
                await service.run(FLOW)
            counts.append(await rows_of(store))
        grown = [later - before for before, later in pairwise(counts)]
        assert max(grown) <= 1.1 * min(grown), counts  # what is noted now and then is a row or two
