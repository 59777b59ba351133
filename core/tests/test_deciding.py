"""`in_doubt: hold`: the run waits, a person decides about the call, and the run goes on by that."""

import asyncio
import json

import pytest

from intendant import IntendantError, RunActive, Workflow
from intendant.pilot.deciding import decide
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelReply, ModelRequest, StepResult, Usage
from intendant.record.rows import BudgetRow, HoldRow, RunRow, whole_event
from intendant.record.store import Store, bookings, budgets, decisions, holds, integrity, runs
from intendant.testing import ScriptedProvider, engine

FLOW = Workflow.model_validate(
    {
        "name": "t",
        "budget": {"tokens": 5000},
        "steps": [
            {"id": "a", "intent": "ask", "prompt": "dear", "in_doubt": "hold"},
            {"id": "b", "intent": "ask", "prompt": "then {{ steps.a.output }}"},
            {"id": "c", "intent": "ask", "prompt": "apart"},
        ],
    }
)


class Ask(IntentHandler):
    """Asks the model."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(ask)).text)


def reply(text: str = "yes", tokens: int = 6) -> ModelReply:
    usage = Usage(input_tokens=4, output_tokens=tokens - 4)
    return ModelReply(text=text, usage=usage, model="scripted-1", provider="scripted")


class Dies(ScriptedProvider):
    """Gets the dear call, and never answers: its process is as good as dead."""

    async def complete(self, hold, request):
        if request.messages[0].content == "dear":
            self.calls.append((hold, request))
            await asyncio.sleep(3600)
        return await super().complete(hold, request)


@pytest.fixture
async def waiting(tmp_path):
    """A service whose newest run waits for a decision about the call of step `a`; its provider."""
    url = f"sqlite:///{tmp_path}/x.db"
    dead, provider = Dies(reply()), ScriptedProvider(reply())
    async with engine(Ask(), dead, db=url) as old, engine(Ask(), provider, db=url) as new:
        run = asyncio.create_task(old.run(FLOW))
        while len(dead.calls) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # step c has ended
        result = await new.resume("last", take_over=True)
        yield new, provider, result
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


async def the_doubt(service):
    (row,) = await service._engine.store.do(decisions.open_doubts("default"))
    return row


async def test_the_run_waits_and_what_does_not_depend_on_it_is_done(waiting) -> None:
    service, provider, result = waiting
    assert result.status == "waiting"
    assert result.steps["a"].status == "waiting"
    assert "intendant doubts" in result.steps["a"].reason
    assert result.steps["c"].status == "completed"
    assert "b" not in result.steps, "it is neither skipped nor failed"
    assert provider.calls == []
    row = await the_doubt(service)
    assert (row.waits, row.run_status, row.hold.step_key) == (True, "waiting", "a")
    again = await service.resume("last")
    assert (again.status, provider.calls) == ("waiting", []), "nothing was decided"
    assert (await service._engine.store.do(integrity.verify())).broken == []


@pytest.mark.parametrize("decision", ["retry", "drop", "settle", "answer"])
async def test_each_decision_is_followed_and_charged_as_it_says(waiting, decision) -> None:
    service, provider, result = waiting
    store = service._engine.store
    lost = (await the_doubt(service)).hold
    said = {"by": "ada"}
    if decision in ("settle", "answer"):
        said |= {"usage": Usage(input_tokens=5, output_tokens=3)}
    if decision == "answer":
        said |= {"answer": "by hand"}
    await decide(service._engine, lost.key[:8], "settle" if decision == "answer" else decision, **said)
    assert (await store.do(runs.find_run("last"))).status == "waiting", "deciding does not go on with it"
    assert await store.do(decisions.open_doubts("default", waiting=False)) == []
    with pytest.raises(IntendantError, match="no call in doubt"):
        await decide(service._engine, lost.key, "retry", by="bob")
    done = await service.resume("last")
    assert done.status == "completed", done.failures
    assert done.outputs["a"] == ("by hand" if decision == "answer" else "yes")
    assert len(provider.calls) == (1 if decision == "answer" else 2)
    first = {"retry": lost.tokens, "drop": 0, "settle": 8, "answer": 8}[decision]
    asked = 6 * (2 if decision == "answer" else 3)
    totals = await store.do(bookings.totals_of_run(result.run_id))
    assert (totals.tokens, totals.open_holds) == (first + asked, 0)
    assert done.metrics.tokens_used == totals.tokens
    assert done.metrics.micro_usd == totals.micro_usd
    assert (await store.do(integrity.verify())).broken == []
    events = await store.do(runs.events_of(result.run_id))
    (event,) = [json.loads(whole_event(row)) for row in events if row.type == "doubt_decided"]
    assert (event["by"], event["call"], event["step_id"]) == ("ada", lost.key, "a")


async def test_a_run_that_is_worked_on_is_left_alone(waiting) -> None:
    service, _, result = waiting
    store = service._engine.store
    key = (await the_doubt(service)).hold.key
    await store.do(runs.claim(result.run_id, "elsewhere:1"))
    with pytest.raises(RunActive):
        await decide(service._engine, key, "drop", by="ada")


async def test_a_call_of_another_tenant_is_not_there(waiting, tmp_path) -> None:
    service, _, _ = waiting
    key = (await the_doubt(service)).hold.key
    other = {"budget": {"tenant": "other"}}
    async with engine(Ask(), settings=other, db=f"sqlite:///{tmp_path}/x.db") as stranger:
        assert await stranger._engine.store.do(decisions.open_doubts("other", waiting=False)) == []
        with pytest.raises(IntendantError, match="no call in doubt"):
            await decide(stranger._engine, key, "drop", by="eve")


# --- what was never sent ---


async def test_what_was_queued_and_never_sent_is_released_at_take_over(tmp_path) -> None:
    """A hold that was marked as sent is in doubt; one that was not is given back at once."""
    store = Store(f"sqlite:///{tmp_path}/x.db")
    async with engine(Ask(), ScriptedProvider(reply()), db=store.url) as service:
        ask = service.orchestrator()
        await ask.initialize(FLOW)
        fence = ask._run.journal.fence
        scopes = (f"run:{fence.run_id}",)
        for key in ("queued", "sent"):
            row = HoldRow(
                key, fence.run_id, "a", 1, scopes[0], "scripted", "scripted-1", 50, 9, "v", 1e12, sending=0
            )
            await ask._run.journal.commit(holds.reserve(row, scopes))
        await ask._run.journal.commit(holds.mark_sending("sent"))
    async with engine(Ask(), ScriptedProvider(reply()), db=store.url) as service:
        result = await service.resume("last", take_over=True)
        found = {row.key: row.state for row in await service._engine.store.do(holds.holds_of_call("queued"))}
        found |= {row.key: row.state for row in await service._engine.store.do(holds.holds_of_call("sent"))}
        verified = await service._engine.store.do(integrity.verify())
    assert found == {"queued": "released", "sent": "held"}
    assert result.status == "completed"
    assert verified.broken == []
    await asyncio.to_thread(store.close)


async def test_a_hold_that_expires_unsent_is_given_back(tmp_path) -> None:
    store = Store(f"sqlite:///{tmp_path}/x.db")
    await store.do(runs.open_run(RunRow("r", "w", "a", "{}", 1, "{}", "running", 1.0)))
    await store.do(budgets.open_budgets([BudgetRow("run:r", None, 100, None)]))
    for key, sending in (("queued", 0), ("sent", 1)):
        row = HoldRow(key, "r", "s", 1, "run:r", "p", "m", 20, 3, "v", 5.0, sending=sending)
        await store.do(holds.reserve(row, ("run:r",)))
    assert await store.do(holds.expire(9.0)) == 2
    state = await store.do(budgets.find("run:r"))
    assert (state.spent_tokens, state.held_tokens) == (20, 0)
    assert (await store.do(integrity.verify())).broken == []
    await asyncio.to_thread(store.close)


# --- settled whatever follows ---


async def test_an_answer_that_cannot_be_stored_is_charged_by_its_figures(tmp_path) -> None:
    odd = reply().model_copy(update={"data": {1, 2, 3}.__iter__})
    async with engine(Ask(), ScriptedProvider(odd), db=f"sqlite:///{tmp_path}/x.db") as service:
        result = await service.run(FLOW)
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
    assert result.status == "failed"
    assert "cannot be stored" in result.failures["a"].message
    assert totals.open_holds == 0
    assert totals.tokens == result.metrics.tokens_used == 6 * result.metrics.calls


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, asyncio.CancelledError])
async def test_a_listener_that_raises_costs_no_call(tmp_path, error) -> None:
    def listener(event) -> None:
        raise error("not me")

    async with engine(Ask(), ScriptedProvider(reply()), db=f"sqlite:///{tmp_path}/x.db") as service:
        result = await service.run(FLOW, on_event=listener)
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
    assert result.status == "completed"
    assert (totals.tokens, totals.open_holds) == (18, 0)


# --- overruns ---


async def test_a_run_whose_provider_reports_more_than_was_held_ends_as_overrun(tmp_path) -> None:
    greedy = reply(tokens=400)
    async with engine(Ask(), ScriptedProvider(greedy), db=f"sqlite:///{tmp_path}/x.db") as service:
        result = await service.run(FLOW)
        verified = await service._engine.store.do(integrity.verify())
        again = await service.resume(result.run_id)
    assert result.status == again.status == "overrun"
    assert result.metrics.tokens_used == 1200
    assert verified.broken == []
