"""Standing limits of agents and tenants: kept in the store, for all processes, per day and month; leases of them."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from intendant import BudgetExceeded, Workflow
from intendant.model.errors import StoreError
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelReply, ModelRequest, StepResult, Usage
from intendant.record.rows import BudgetRow, HoldRow, Spent
from intendant.record.store import Store, bookings, budgets, holds, leases, limits, windows
from intendant.record.store.limits import set_limit
from intendant.record.store.tables import budget, hold, ledger
from intendant.spending.standing import StandingBudgets
from intendant.testing import ScriptedProvider, engine

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


@pytest.fixture
def store(url):
    made = Store(url)
    yield made
    made.close()


def row(key: str, tokens: int = 10, micro: int = 0, **more) -> HoldRow:
    values = {"agent": "a", "tenant": "t", "created_at": NOON, "expires_at": NOON + 3600, **more}
    return HoldRow(key, "r", "s", 1, "step:r/s", "p", "m", tokens, micro, "v", **values)


async def state(store: Store, scope: str) -> tuple[int, int, int]:
    """Limit, spent and held tokens of a budget."""
    found = await store.do(budgets.find(scope))
    return (found.limit_tokens, found.spent_tokens, found.held_tokens)


TODAY = "agent:a/day:2026-11-21"


# --- the chain ---


async def test_a_call_counts_in_every_limit_of_its_agent_and_tenant(store) -> None:
    await store.do(set_limit("agent:a", "day", 100, None, NOON))
    await store.do(set_limit("agent:a", "month", 1000, None, NOON))
    await store.do(set_limit("tenant:t", "month", 5000, 9_000, NOON))
    await store.do(set_limit("agent:other", "day", 1, None, NOON))
    await store.do(holds.reserve(row("k", 60, 7), ()))
    assert await state(store, TODAY) == (100, 0, 60)
    assert await state(store, "agent:a/month:2026-11") == (1000, 0, 60)
    assert await state(store, "tenant:t/month:2026-11") == (5000, 0, 60)
    await store.do(holds.settle("k", Spent(20, 5, 3), "{}"))
    for scope, limit in ((TODAY, 100), ("agent:a/month:2026-11", 1000), ("tenant:t/month:2026-11", 5000)):
        assert await state(store, scope) == (limit, 25, 0)
    assert (await store.do(budgets.find("tenant:t/month:2026-11"))).spent_micro == 3


async def test_the_refusal_names_the_limit_that_admits_least(store) -> None:
    await store.do(set_limit("agent:a", "day", 50, None, NOON))
    await store.do(set_limit("tenant:t", "day", 30, 1_000_000, NOON))
    with pytest.raises(BudgetExceeded) as caught:
        await store.do(holds.reserve(row("k", 60), ()))
    assert (caught.value.scope, caught.value.asked, caught.value.left) == ("tenant:t/day:2026-11-21", 60, 30)
    assert caught.value.scope.startswith("tenant:t/day:")
    assert "30 tokens are left" in caught.value.message
    assert await state(store, TODAY) == (50, 0, 0), "half a chain was held"
    with pytest.raises(BudgetExceeded) as caught:
        await store.do(holds.reserve(row("k", 10, 2_000_000), ()))
    assert (caught.value.unit, caught.value.asked, caught.value.left) == ("micro_usd", 2_000_000, 1_000_000)


async def test_the_next_day_has_a_budget_of_its_own_and_the_month_goes_on(store) -> None:
    await store.do(set_limit("agent:a", "day", 100, None, NOON))
    await store.do(set_limit("agent:a", "month", 150, None, NOON))
    await store.do(holds.reserve(row("k1", 100), ()))
    with pytest.raises(BudgetExceeded):
        await store.do(holds.reserve(row("k2", 1), ()))
    await store.do(holds.reserve(row("k3", 40, created_at=NOON + DAY), ()))
    with pytest.raises(BudgetExceeded) as caught:
        await store.do(holds.reserve(row("k4", 40, created_at=NOON + DAY), ()))
    assert caught.value.scope == "agent:a/month:2026-11"
    with pytest.raises(BudgetExceeded):  # a clock that jumps back finds the day as it was
        await store.do(holds.reserve(row("k5", 1), ()))
    await store.do(holds.settle("k1", Spent(0, 100, 0), None))
    assert await state(store, TODAY) == (100, 100, 0)
    assert await state(store, "agent:a/day:2026-11-22") == (100, 0, 40)


async def test_the_database_itself_refuses_more_than_the_limit(store) -> None:
    await store.do(set_limit("agent:a", "day", 100, None, NOON))
    too_much = ({"held_tokens": 101}, {"spent_tokens": 101}, {"held_tokens": 51, "spent_tokens": 50})
    for values in (*too_much, {"spent_tokens": -1}, {"spent_micro": -1}, {"held_tokens": -1}):
        with pytest.raises(StoreError, match="(?i)check constraint"):
            await store.do(
                lambda connection, values=values: connection.execute(
                    update(budget).where(budget.c.id == TODAY).values(values)
                )
            )


# --- setting ---


async def test_a_limit_that_is_set_at_noon_counts_the_morning(store) -> None:
    """What was spent today is spent, and calls that are out are held; yesterday's and others' are not."""
    await store.do(holds.reserve(row("spent", 60, 6), ()))
    await store.do(holds.settle("spent", Spent(10, 20, 3), "{}"))
    await store.do(holds.reserve(row("out", 25, 2), ()))
    await store.do(holds.reserve(row("yesterday", 7, created_at=NOON - DAY), ()))
    await store.do(holds.reserve(row("other", 9, agent="b"), ()))
    assert await store.do(set_limit("agent:a", "day", 100, None, NOON)) == (100, None)
    assert await state(store, TODAY) == (100, 30, 25)
    await store.do(set_limit("tenant:t", "month", 1000, None, NOON))
    assert await state(store, "tenant:t/month:2026-11") == (1000, 30, 25 + 7 + 9)
    await store.do(holds.settle("out", Spent(1, 1, 0), "{}"))
    assert await state(store, TODAY) == (100, 32, 0)
    assert await state(store, "tenant:t/month:2026-11") == (1000, 32, 16)


async def test_a_limit_below_what_is_out_follows_down_as_calls_end(store) -> None:
    await store.do(set_limit("agent:a", "day", 1000, None, NOON))
    for key in ("k1", "k2"):
        await store.do(holds.reserve(row(key, 400), ()))
    assert await store.do(set_limit("agent:a", "day", 100, None, NOON)) == (800, None)
    with pytest.raises(BudgetExceeded):
        await store.do(holds.reserve(row("more", 1), ()))
    await store.do(holds.settle("k1", Spent(0, 30, 0), "{}"))
    assert await state(store, TODAY) == (430, 30, 400)
    await store.do(holds.settle("k2", Spent(0, 20, 0), "{}"))
    assert await state(store, TODAY) == (100, 50, 0), "the limit is what it was set to"
    await store.do(holds.reserve(row("fits", 50), ()))
    with pytest.raises(BudgetExceeded):
        await store.do(holds.reserve(row("does not", 1), ()))


async def test_a_limit_can_be_taken_away_and_set_again_and_nothing_is_forgotten(store) -> None:
    await store.do(set_limit("agent:a", "day", 100, None, NOON))
    await store.do(holds.reserve(row("k1", 90), ()))
    await store.do(set_limit("agent:a", "day", None, None, NOON + 1))
    await store.do(holds.reserve(row("k2", 90), ()))
    assert await store.do(limits.current(NOON)) == []
    await store.do(set_limit("agent:a", "day", 200, None, NOON + 2))
    assert await state(store, TODAY) == (200, 0, 180)
    kept = await store.do(limits.history())
    assert [(item.limit_tokens, item.per) for item in kept] == [(200, "day"), (None, "day"), (100, "day")]
    (now,) = await store.do(limits.current(NOON))
    assert (now.scope, now.period, now.limit_tokens, now.held_tokens) == (
        "agent:a",
        "2026-11-21",
        200,
        180,
    )


# --- holds that nobody closed ---


async def test_an_expired_hold_is_charged_in_full_and_credited_when_its_call_ends(store) -> None:
    await store.do(set_limit("agent:a", "day", 100, 100, NOON))
    await store.do(holds.reserve(row("k", 80, 70), ()))
    assert await store.do(holds.expire(NOON + 3599)) == 0
    assert await store.do(holds.expire(NOON + 3601)) == 1
    assert await store.do(holds.expire(NOON + 3601)) == 0
    assert await state(store, TODAY) == (100, 80, 0)
    assert await store.do(holds.settle("k", Spent(5, 10, 9), '{"a":1}')) == "credited"
    assert await store.do(holds.settle("k", Spent(5, 10, 9), '{"a":1}')) == "closed"
    assert await state(store, TODAY) == (100, 15, 0)
    rows = await store.do(
        lambda connection: connection.execute(select(ledger).order_by(ledger.c.id)).mappings().all()
    )
    booked = [(item["kind"], item["input_tokens"], item["output_tokens"], item["micro"]) for item in rows]
    assert booked == [("expire", 0, 80, 70), ("credit", 5, -70, -61)]
    assert await store.do(bookings.totals_of_run("r")) == (15, 9, 0)
    (found,) = await store.do(holds.holds_of_call("k"))
    assert (found.state, found.reply) == ("settled", '{"a":1}')


async def test_what_turns_out_not_to_have_been_charged_is_credited_in_full(store) -> None:
    await store.do(set_limit("agent:a", "day", 100, None, NOON))
    await store.do(holds.reserve(row("k", 80), ()))
    assert await store.do(holds.charge("k")) == "settled"
    assert await store.do(holds.charge("k")) == "closed"
    assert await store.do(holds.release("k")) == "credited"
    assert await store.do(holds.release("k")) == "closed"
    assert await state(store, TODAY) == (100, 0, 0)


# --- leases ---


async def lease(store: Store, asked: int = 10, owner: str = "p1", old: str | None = None) -> leases.Slice | None:
    return await store.do(leases.renew(old, owner, "a", "t", asked, 0, NOON, 30.0))


async def test_a_lease_is_a_part_of_what_is_left_and_none_near_the_limit(store) -> None:
    assert await lease(store) is None, "without a limit there is nothing to lease"
    await store.do(set_limit("agent:a", "day", 1000, None, NOON))
    first = await lease(store)
    assert first.tokens == 1000 // 8
    second = await lease(store, owner="p2")
    assert second.tokens == (1000 - 125) // 8
    assert await lease(store, asked=110) is None
    assert await state(store, TODAY) == (1000, 0, 125 + 109)
    assert (await lease(store, old=first.id)).tokens == (1000 - 109) // 8
    await store.do(set_limit("agent:a", "month", 10**9, None, NOON))
    assert (await lease(store, asked=0, owner="p3")).tokens == 0


async def test_a_big_limit_is_not_leased_away(store) -> None:
    await store.do(set_limit("agent:a", "day", 10**9, None, NOON))
    assert (await lease(store)).tokens == 10 * leases.CALLS


async def test_a_leased_hold_has_a_row_of_its_own_and_dissolving_accounts_for_it(store) -> None:
    await store.do(set_limit("agent:a", "day", 8000, None, NOON))
    taken = await lease(store, asked=100)
    for number in range(4):
        await store.do(holds.reserve(row(f"k{number}", 100), (), taken.id))
    assert await state(store, TODAY) == (8000, 0, 1000), "a leased hold changes nothing in the budget"
    assert await store.do(holds.settle("k0", Spent(1, 2, 0), "{}")) == "settled"
    await store.do(holds.charge("k1"))
    await store.do(holds.release("k2"))
    assert await state(store, TODAY) == (8000, 0, 1000)
    assert await store.do(leases.recall("a", "t")) == 1
    assert await store.do(leases.recall("a", "t")) == 0
    assert await state(store, TODAY) == (8000, 103, 100), "3 settled, 100 charged in full, 100 still out"
    assert await store.do(holds.settle("k3", Spent(1, 0, 0), "{}")) == "settled"
    assert await state(store, TODAY) == (8000, 104, 0)
    assert await store.do(holds.settle("k1", Spent(0, 30, 0), "{}")) == "credited"
    assert await state(store, TODAY) == (8000, 34, 0)


async def test_a_credit_before_a_lease_ends_is_counted_once(store) -> None:
    await store.do(set_limit("agent:a", "day", 8000, None, NOON))
    taken = await lease(store, asked=100)
    await store.do(holds.reserve(row("k", 100), (), taken.id))
    await store.do(holds.charge("k"))
    await store.do(holds.settle("k", Spent(0, 30, 0), "{}"))
    await store.do(leases.recall("a", "t"))
    assert await state(store, TODAY) == (8000, 30, 0)


async def test_a_process_that_comes_back_cannot_use_a_lease_that_was_closed(store) -> None:
    await store.do(set_limit("agent:a", "day", 8000, None, NOON))
    taken = await lease(store, asked=100)
    assert await store.do(leases.expire(NOON + 29)) == 0
    assert await store.do(leases.expire(NOON + 31)) == 1
    with pytest.raises(holds.LeaseLost):
        await store.do(holds.reserve(row("k", 100), (), taken.id))
    assert await state(store, TODAY) == (8000, 0, 0)
    assert await store.do(holds.holds_of_call("k")) == []


async def test_the_next_run_closes_what_a_dead_process_left_open() -> None:
    async with engine(Ask(), ScriptedProvider(reply(5, 5))) as service:
        store = service._engine.store
        await store.do(set_limit("agent:mailer", "day", 100_000, None))
        now = datetime.now(UTC).timestamp()
        dead = await store.do(leases.renew(None, "dead", "mailer", "t", 100, 0, now - 60, 30.0))
        held = {"agent": "mailer", "created_at": now - 60, "expires_at": now - 1}
        await store.do(holds.reserve(row("lost", 100, **held), (), dead.id))
        await service.run(flow(0))
        (shown,) = await store.do(limits.current())
        (lost,) = await store.do(holds.holds_of_call("lost"))
    assert lost.state == "in_doubt"
    assert (shown.spent_tokens, shown.held_tokens) == (100, 0)


async def test_setting_a_limit_takes_leases_back(store) -> None:
    """A limit that is new to a lease's agent holds for calls in that lease, too."""
    await store.do(set_limit("tenant:t", "day", 8000, None, NOON))
    taken = await lease(store, asked=100)
    await store.do(holds.reserve(row("k", 100), (), taken.id))
    await store.do(set_limit("agent:a", "day", 150, None, NOON))
    assert await state(store, TODAY) == (150, 0, 100)
    assert await state(store, "tenant:t/day:2026-11-21") == (8000, 0, 100)
    await store.do(holds.settle("k", Spent(0, 60, 0), "{}"))
    assert await state(store, TODAY) == (150, 60, 0)
    assert await state(store, "tenant:t/day:2026-11-21") == (8000, 60, 0)


async def test_usage_beyond_a_leased_hold_counts_in_the_standing_budgets(store) -> None:
    await store.do(set_limit("agent:a", "day", 8000, None, NOON))
    taken = await lease(store, asked=100)
    await store.do(holds.reserve(row("k", 100), (), taken.id))
    await store.do(holds.settle("k", Spent(0, 140, 0), "{}"))
    await store.do(leases.recall("a", "t"))
    assert await state(store, TODAY) == (8000, 140, 0)


async def test_a_lease_is_refused_in_process_when_it_is_used_up_or_over(store, monkeypatch) -> None:
    await store.do(set_limit("agent:a", "day", 10**6, None))
    standing = StandingBudgets(store, "t", "p", 30.0)
    held = await standing.lease("a", 100, 0)
    for _ in range(leases.CALLS - 1):
        assert held.take(100, 0)
    assert not held.take(1, 0)
    held.give(40, 0)
    assert held.take(40, 0)
    assert not held.take(0, 1)
    other = await standing.lease("a", 100, 0)
    assert other.id != held.id
    monkeypatch.setattr("intendant.spending.standing.monotonic", lambda: 1e12)
    assert not other.take(1, 0)


# --- in runs ---


class Ask(IntentHandler):
    """Asks the model as often as its input says, all at once."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        async def call(number):
            message = Message(content=f"{request.prompt} {number}")
            try:
                return await request.model.complete(ModelRequest(messages=(message,), max_output_tokens=50))
            except BudgetExceeded as error:
                return error

        found = await asyncio.gather(*(call(number) for number in range(request.input)))
        return StepResult(output=[item.text if isinstance(item, ModelReply) else str(item) for item in found])


def flow(calls: int, **more) -> Workflow:
    steps = [{"id": "a", "intent": "ask", "prompt": "hi", "input": calls}]
    return Workflow.model_validate({"name": "t", "steps": steps, "agent": "mailer", **more})


def reply(input_tokens: int, output_tokens: int) -> ModelReply:
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    return ModelReply(text="yes", usage=usage, model="scripted-1", provider="scripted")


@pytest.mark.parametrize("lease_seconds", [0, 30])
async def test_runs_of_two_engines_share_an_agents_limit_and_use_it_up(url, lease_seconds) -> None:
    settings = {"budget": {"lease_seconds": lease_seconds, "tokens_per_workflow": 10**6, "tokens_per_step": 10**6}}

    def answer(request):
        return reply(5, 5)

    engines = [engine(Ask(), ScriptedProvider(answer), db=url, settings=settings) for _ in range(2)]
    await engines[0]._engine.store.do(set_limit("agent:mailer", "day", 3000, None))
    results = await asyncio.gather(*(service.run(flow(250)) for service in engines for _ in range(2)))
    assert not any(result.failures for result in results), [result.failures for result in results]
    answered = sum(result.outputs["a"].count("yes") for result in results)
    scope = windows.window_of("agent:mailer", "day", datetime.now(UTC).timestamp())
    for service in engines:
        await service.aclose()
    store = Store(url)
    limit, spent, held = await state(store, scope)
    open_leases = await store.do(leases.give_back("nobody"))
    store.close()
    assert (limit, held, open_leases) == (3000, 0, 0)
    assert spent == answered * 10
    assert spent >= 3000 * 0.99
    assert answered < 1000


async def test_a_call_is_shortened_to_what_the_agent_has_left(tmp_path) -> None:
    provider = ScriptedProvider(reply(3, 3))
    async with engine(Ask(), provider) as service:
        await service._engine.store.do(set_limit("agent:mailer", "day", 40, None))
        result = await service.run(flow(1))
    ((held, _),) = provider.calls
    assert result.outputs["a"] == ["yes"]
    assert held.tokens == 40
    assert held.max_output_tokens < 50


async def test_a_call_is_shortened_to_the_money_the_tenant_has_left() -> None:
    provider = ScriptedProvider(reply(3, 3))
    async with engine(Ask(), provider) as service:
        await service._engine.store.do(set_limit("tenant:default", "month", None, 70))
        await service.run(flow(1))
    ((held, _),) = provider.calls
    assert 60 < held.micro_usd <= 70
    assert held.max_output_tokens < 50


async def test_what_the_agent_cannot_pay_is_refused_before_it_is_sent() -> None:
    provider = ScriptedProvider(reply(3, 3))
    async with engine(Ask(), provider) as service:
        await service._engine.store.do(set_limit("agent:mailer", "day", 12, None))
        result = await service.run(flow(1))
    assert provider.calls == []
    assert "agent:mailer/day:" in result.outputs["a"][0]
    assert "12 tokens are left" in result.outputs["a"][0]


async def test_a_call_waits_for_one_that_will_take_less_than_it_holds() -> None:
    """And is not cut short for what will be free in a moment."""
    may_end, out = asyncio.Event(), asyncio.Event()

    class Slow(ScriptedProvider):
        async def complete(self, hold, request):
            answer = await super().complete(hold, request)
            out.set()
            if len(self.calls) == 1:
                await may_end.wait()
            return answer

    provider = Slow(reply(5, 5))
    async with engine(Ask(), provider, settings={"budget": {"lease_seconds": 0}}) as service:
        await service._engine.store.do(set_limit("agent:mailer", "day", 100, None))
        first = asyncio.create_task(service.run(flow(1)))
        await out.wait()
        second = asyncio.create_task(service.run(flow(1)))
        for _ in range(20):
            await service._engine.store.flush()
        assert len(provider.calls) == 1, "there is no room for its worst case yet"
        may_end.set()
        results = await asyncio.gather(first, second)
    assert [result.outputs["a"] for result in results] == [["yes"], ["yes"]]
    assert provider.calls[1][0].max_output_tokens == 50


async def test_what_another_process_leased_and_does_not_use_is_called_back(url) -> None:
    async with engine(Ask(), ScriptedProvider(reply(5, 5)), db=url) as service:
        await service._engine.store.do(set_limit("agent:mailer", "day", 800, None))
        now = datetime.now(UTC).timestamp()
        await service._engine.store.do(leases.renew(None, "other", "mailer", "t", 10, 0, now, 3600.0))
        spent = row("k", 690, agent="mailer", created_at=now, expires_at=now + 3600)
        await service._engine.store.do(holds.reserve(spent, ()))
        result = await service.run(flow(1))
        (shown,) = await service._engine.store.do(limits.current())
    assert result.outputs["a"] == ["yes"]
    assert (shown.spent_tokens, shown.held_tokens) == (10, 690)


async def test_classifying_counts_for_the_agent_as_well() -> None:
    """The door to a model that classifiers get has the agent's limits behind it."""
    from intendant.plugin import Classification, Classifier

    class AskWhat(Classifier):
        """Asks a model."""

        name = "ask-what"
        asks_model = True

        def classify(self, request):
            return None if request.model is None else self.ask(request)

        async def ask(self, request):
            await request.model.complete(ModelRequest(messages=(Message(content="what?"),), max_output_tokens=50))
            return Classification(intent="ask", confidence=1.0, method=self.name)

    unnamed = Workflow.model_validate(
        {"name": "t", "agent": "mailer", "steps": [{"id": "a", "prompt": "hi", "input": 0}]}
    )
    async with engine(Ask(), AskWhat(), ScriptedProvider(reply(4, 4))) as service:
        await service._engine.store.do(set_limit("agent:mailer", "day", 1000, None))
        await service.run(unnamed)
        (now,) = await service._engine.store.do(limits.current())
        rows = await service._engine.store.do(lambda connection: connection.execute(select(hold)).mappings().all())
    assert now.spent_tokens == 8
    assert [(item["agent"], item["tenant"]) for item in rows] == [("mailer", "default")]


# --- overage ---


async def test_what_a_step_draws_beyond_its_share_is_limited_and_on_record() -> None:
    """Two steps share 400; the first leaves most of its half, of which the second may draw a fifth of its own."""
    steps = [
        {"id": "a", "intent": "ask", "prompt": "hi", "input": 1},
        {"id": "b", "intent": "ask", "prompt": "word " * 190, "input": 1, "needs": ["a"]},
    ]
    drawing = Workflow.model_validate({"name": "t", "steps": steps, "budget": {"tokens": 400}})
    for threshold, answered, least in ((1.2, "yes", 40), (1.0, None, 0), (None, "yes", 41)):
        seen = []
        settings = {"budget": {"tokens_per_step": 200, "overage_threshold": threshold}}
        provider = ScriptedProvider(reply(5, 5))
        async with engine(Ask(), provider, settings=settings) as service:
            result = await service.run(drawing, on_event=seen.append)
            limit = await service._engine.store.do(budgets.find(f"step:{result.run_id}/b"))
        assert (result.outputs["b"] == ["yes"]) is (answered == "yes"), result.outputs
        events = [event for event in seen if event.type == "overage_drawn"]
        # How much it wants beyond a fifth depends on who counts its words.
        drawn = provider.calls[-1][0].tokens - 200 if answered else 0
        assert drawn >= least
        assert drawn == 40 or threshold != 1.2
        assert [(e.step_id, e.tokens, e.extra) for e in events] == [("b", drawn, drawn)] * bool(drawn)
        if drawn:
            assert limit.limit_tokens == events[0].limit == 200 + drawn


# --- databases ---


async def test_work_that_gave_way_to_another_process_is_done_again(url) -> None:
    """Two processes lock two rows in opposite order, over and over: PostgreSQL undoes one of them each time."""
    stores = [Store(url), Store(url)]
    rows = [BudgetRow(name, None, None, None) for name in "ab"]
    await stores[0].do(budgets.open_budgets(rows))

    def add(name: str):
        statement = update(budget).where(budget.c.id == name).values(spent_tokens=budget.c.spent_tokens + 1)
        return lambda connection: connection.execute(statement) and None

    async def many(store: Store, names: str) -> None:
        for _ in range(40):
            await asyncio.gather(*(store.do(add(name)) for name in names))

    await asyncio.gather(many(stores[0], "ab" * 5), many(stores[1], "ba" * 5))
    for name in "ab":
        assert (await stores[0].do(budgets.find(name))).spent_tokens == 2 * 40 * 5
    for store in stores:
        store.close()


async def test_a_database_of_the_version_before_is_brought_up_with_its_open_holds(tmp_path) -> None:
    from alembic import command
    from alembic.config import Config

    from intendant.record.store import database

    engine_of = database.connect(f"sqlite:///{tmp_path}/old.db")
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine_of.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(
            text(
                "INSERT INTO run (id, workflow, agent, plan, plan_version, inputs, status, epoch, created_at) "
                "VALUES ('r1', 'w', 'mailer', '{}', 1, '{}', 'running', 1, 1.0)"
            )
        )
        for scope in ("run:r1", "step:r1/a"):
            connection.execute(
                text(
                    "INSERT INTO budget (id, limit_tokens, held_tokens, spent_tokens, held_micro, spent_micro) "
                    "VALUES (:id, 100, 30, 20, 2, 2)"
                ),
                {"id": scope},
            )
        for key, state_of in (("open", "held"), ("lost", "in_doubt")):
            connection.execute(
                text(
                    "INSERT INTO hold (key, run_id, step_key, epoch, scope, provider, model, tokens, micro, "
                    "price_version, state, created_at, expires_at) VALUES (:key, 'r1', 'a', 1, 'step:r1/a', 'p', "
                    "'m', :tokens, 2, 'v', :state, 1.0, 2.0)"
                ),
                {"key": key, "state": state_of, "tokens": 30 if key == "open" else 20},
            )
    engine_of.dispose()
    old = Store(f"sqlite:///{tmp_path}/old.db")
    old.upgrade()
    assert await old.do(holds.settle("open", Spent(3, 4, 1), "{}")) == "settled"
    assert await old.do(holds.settle("lost", Spent(2, 3, 1), "{}")) == "credited"
    for scope in ("run:r1", "step:r1/a"):
        assert await state(old, scope) == (100, 20 + 7 - 15, 0)
    (found,) = await old.do(holds.holds_of_call("open"))
    assert (found.agent, found.tenant, found.spent_tokens) == ("mailer", "default", 7)
    old.close()


# --- what a connection remembers ---


async def test_a_limit_that_another_connection_sets_holds_for_the_next_call(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    one, two = Store(url), Store(url)
    for number in range(3):
        await one.do(holds.reserve(row(f"k{number}"), ()))
    await two.do(set_limit("agent:a", "day", 35, None, NOON))
    with pytest.raises(BudgetExceeded, match="5 tokens are left"):
        await one.do(holds.reserve(row("k3"), ()))
    await two.do(set_limit("agent:a", "day", 45, None, NOON))
    await one.do(holds.reserve(row("k4"), ()))
    assert await state(two, TODAY) == (45, 0, 40)
    one.close()
    two.close()


async def test_a_limit_that_was_not_set_after_all_does_not_hold() -> None:
    store = Store("none")

    def fails(connection) -> None:
        set_limit("agent:a", "day", 5, None, NOON)(connection)
        with pytest.raises(BudgetExceeded):
            holds.reserve(row("k0"), ())(connection)
        raise ValueError("undone")

    await store.do(holds.reserve(row("k1"), ()))
    with pytest.raises(ValueError, match="undone"):
        await store.do(fails)
    await store.do(holds.reserve(row("k2"), ()))
    store.close()


async def test_holds_that_have_expired_are_looked_for_now_and_then(tmp_path) -> None:
    store = Store(f"sqlite:///{tmp_path}/x.db")
    await store.do(budgets.open_budgets([BudgetRow("run:r", None, 1000, 9000)]))
    standing = StandingBudgets(store)

    async def swept(key: str) -> bool:
        await store.do(holds.reserve(HoldRow(key, "r", "s", 1, "run:r", "p", "m", 10, 10, "v", 1.0), ("run:r",)))
        standing.sweep_later()
        await store.flush()
        (row,) = await store.do(holds.holds_of_call(key))
        return row.state != "held"

    assert await swept("first")
    assert not await swept("second"), "it was looked for a moment ago"
    standing = StandingBudgets(store)
    assert await swept("third")
    store.close()
