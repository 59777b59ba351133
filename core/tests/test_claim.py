"""Taking a run over: one transaction that claims it, changes its limits and reads what is needed to go on with it."""

import asyncio

import pytest

from intendant import BudgetExceeded, Fenced, Limits, RunActive, RunNotFound, Workflow, events
from intendant.plugin import IntentHandler, IntentSpec, StepError, StepResult
from intendant.record.journal import Journal, parse_events
from intendant.record.rows import BudgetRow, HoldRow, RunRow, Spent, StepRow
from intendant.record.store import Store, budgets, holds, runs
from intendant.testing import engine


@pytest.fixture
def store(tmp_path):
    made = Store(f"sqlite:///{tmp_path}/x.db")
    yield made
    made.close()


async def opened(store: Store, tokens: int | None = 100, spent: int = 0) -> Journal:
    """A run with a budget, of which *spent* tokens are spent."""
    journal = Journal(store, await store.do(runs.open_run(RunRow("r", "w", "a", "{}", 1, "[1]", "running", 1.0))))
    await store.do(budgets.open_budgets([BudgetRow("run:r", None, tokens, None)]))
    if spent:
        await store.do(
            holds.reserve(HoldRow("k", "r", "s", 1, "run:r", "p", "m", spent, 0, "v", 1e12), ("run:r",))
        )
        await store.do(holds.settle("k", Spent(0, spent, 0), None))
    return journal


async def test_a_claim_returns_the_run_its_steps_its_events_and_its_budget(store) -> None:
    journal = await opened(store, spent=30)
    await store.do(runs.save_step(journal.fence, StepRow("s", "completed", 1, '"x"', "{}", 2.0)))
    journal.step("s").record(events.StepStarted, attempt=3)
    found = await store.do(runs.claim("r", "heir"))
    assert found.fence == ("r", 2)
    assert (found.run.epoch, found.run.worker, found.run.inputs) == (1, None, "[1]")
    assert found.steps == [StepRow("s", "completed", 1, '"x"', "{}", 2.0)]
    (event,) = parse_events(found.events)
    assert (event.type, event.run_id, event.step_id, event.attempt) == ("step_started", "r", "s", 3)
    assert (found.budget.limit_tokens, found.budget.spent_tokens) == (100, 30)
    now = await store.do(runs.find_run("r"))
    assert (now.epoch, now.worker, now.status) == (2, "heir", "running")
    with pytest.raises(Fenced):
        await journal.commit(lambda connection: None)


@pytest.mark.parametrize(
    ("tokens", "micro", "limits"),
    [(None, None, (100, None)), (40, None, (40, None)), (500, 7, (500, 7)), (None, 9, (100, 9))],
)
async def test_limits_change_with_the_claim_and_what_is_not_given_stays(store, tokens, micro, limits) -> None:
    await opened(store, spent=30)
    found = await store.do(runs.claim("r", "heir", tokens=tokens, micro=micro))
    assert (found.budget.limit_tokens, found.budget.limit_micro) == limits
    assert await store.do(budgets.find("run:r")) == found.budget


async def test_a_limit_below_what_is_spent_leaves_the_run_with_its_owner(store) -> None:
    journal = await opened(store, spent=30)
    with pytest.raises(BudgetExceeded) as caught:
        await store.do(runs.claim("r", "heir", tokens=29, micro=500))
    assert (caught.value.scope, caught.value.asked, caught.value.left) == ("run:r", 30, 29)
    await journal.commit(lambda connection: None)
    row = await store.do(budgets.find("run:r"))
    assert (row.limit_tokens, row.limit_micro) == (100, None)
    assert (await store.do(runs.find_run("r"))).epoch == 1


async def test_of_two_that_have_looked_at_a_run_one_claims_it(store) -> None:
    await opened(store)
    seen = (await store.do(runs.find_run("r"))).epoch
    claims = [store.do(runs.claim("r", f"heir{n}", seen_epoch=seen, tokens=200 + n)) for n in range(2)]
    first, second = await asyncio.gather(*claims, return_exceptions=True)
    assert first.fence == ("r", 2)
    assert isinstance(second, RunActive)
    assert "heir0" in second.message
    assert (await store.do(budgets.find("run:r"))).limit_tokens == 200


async def test_a_run_that_died_before_it_had_a_budget_can_be_claimed_with_limits(store) -> None:
    await store.do(runs.open_run(RunRow("r", "w", "a", "{}", 1, "{}", "running", 1.0)))
    assert (await store.do(runs.claim("r", "heir", tokens=10))).budget is None
    with pytest.raises(RunNotFound):
        await store.do(runs.claim("r_2", "heir"))


async def test_a_run_is_ended_by_its_owner_only(store) -> None:
    journal = await opened(store)
    heir = (await store.do(runs.claim("r", "heir"))).fence
    with pytest.raises(Fenced):
        await store.do(runs.finish_run(journal.fence, "completed"))
    await store.do(runs.finish_run(heir, "failed"))
    assert (await store.do(runs.find_run("r"))).status == "failed"


async def test_the_whole_id_of_a_run_finds_it_whatever_begins_with_it(store) -> None:
    for number, name in enumerate(("r", "rr", "rrr", "rrrr")):
        await store.do(runs.open_run(RunRow(name, "w", "a", "{}", 1, "{}", "running", float(number))))
    assert [(await store.do(runs.find_run(name))).id for name in ("r", "rr", "last")] == ["r", "rr", "rrrr"]


class Fails(IntentHandler):
    """Fails as long as it is told to."""

    spec = IntentSpec(name="fails", summary="Fail", examples=("Fail",))
    failing = True

    async def handle(self, request):
        if self.failing:
            raise StepError("not today")
        return StepResult(output=1)


async def test_limits_of_an_earlier_resume_hold_at_the_next_one(store) -> None:
    handler = Fails()
    flow = {"name": "t", "steps": [{"id": "a", "intent": "fails"}], "budget": {"tokens": 1000}}
    async with engine(handler, db=store.url) as service:
        await service.run(Workflow.model_validate(flow))
        await service.resume("last", limits=Limits(tokens=5000))
        handler.failing = False
        seen = []
        result = await service.resume("last", on_event=seen.append)
    assert result.metrics.budget_tokens == seen[0].budget_tokens == 5000
