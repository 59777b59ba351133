"""Money: nothing is sent without a hold, nothing is spent beyond a limit, nothing is paid twice."""

import asyncio

import pytest
from hypothesis import given, settings, strategies as st

from intendant import BudgetExceeded, Workflow, events
from intendant.plugin import (
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    ProviderError,
    StepResult,
    TokenCounting,
    Usage,
)
from intendant.record.journal import Journal
from intendant.record.rows import BudgetRow, HoldRow, RunRow, Spent
from intendant.record.store import Store, bookings, budgets, holds, integrity, limits, runs
from intendant.spending.ledger import RunLedger
from intendant.spending.standing import StandingBudgets
from intendant.testing import ScriptedProvider, engine, refusal


class Ask(IntentHandler):
    """Asks the model as often as its input says."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        count = request.input if isinstance(request.input, int) else 1
        replies = []
        for number in range(count):
            message = Message(content=f"{request.prompt} {number}")
            reply = await request.model.complete(ModelRequest(messages=(message,), max_output_tokens=50))
            replies.append(reply.text)
        return StepResult(output=replies)


def flow(*steps: dict, **more) -> Workflow:
    return Workflow.model_validate(
        {"name": "t", "steps": [{"intent": "ask", "prompt": "hi", **step} for step in steps], **more}
    )


def reply(input_tokens: int, output_tokens: int, text: str = "yes") -> ModelReply:
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    return ModelReply(text=text, usage=usage, model="scripted-1", provider="scripted")


async def budget_of(service, result, scope: str = "run") -> dict:
    name = f"run:{result.run_id}" if scope == "run" else f"step:{result.run_id}/{scope}"
    return await service._engine.store.do(budgets.find(name))


async def test_a_call_is_held_at_its_worst_and_settled_by_the_providers_figures() -> None:
    provider = ScriptedProvider(reply(7, 3))
    seen = []
    async with engine(Ask(), provider) as service:
        result = await service.run(flow({"id": "a"}), on_event=seen.append)
        state = await budget_of(service, result)
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
    ((hold, _),) = provider.calls
    kinds = [event.type for event in seen]
    assert kinds.index("tokens_reserved") < kinds.index("tokens_settled") < kinds.index("step_executed")
    reserved = next(event for event in seen if event.type == "tokens_reserved")
    assert reserved.tokens == hold.tokens
    assert hold.max_output_tokens == 50
    assert hold.tokens > 50
    assert (state.spent_tokens, state.held_tokens) == (10, 0)
    # 7 tokens at 1 and 3 at 2 US$ a million are 13 micro-US$.
    assert (state.spent_micro, result.metrics.micro_usd) == (13, 13)
    assert totals == (10, 13, 0)
    assert result.steps["a"].usage == Usage(input_tokens=7, output_tokens=3, micro_usd=13, calls=1)
    assert result.steps["a"].produced_by == "model:scripted/scripted-1"


async def test_the_answer_is_clamped_to_what_is_left() -> None:
    provider = ScriptedProvider(reply(5, 5))
    async with engine(Ask(), provider) as service:
        await service.run(flow({"id": "a"}, budget={"tokens": 60}))
    ((hold, _),) = provider.calls
    assert hold.tokens <= 60
    assert hold.max_output_tokens < 50


async def test_what_does_not_fit_is_refused_before_it_is_sent() -> None:
    provider = ScriptedProvider(reply(5, 5))
    async with engine(Ask(), provider) as service:
        result = await service.run(
            flow({"id": "a", "prompt": "word " * 500}, {"id": "b", "needs": ["a"]}, budget={"tokens": 100})
        )
        state = await budget_of(service, result)
    assert result.status == "refused"
    assert result.failures["a"].error == "BudgetExceeded"
    assert result.steps["b"].status == "skipped"
    assert provider.calls == []
    assert state.spent_tokens == state.held_tokens == 0


async def test_money_is_a_limit_of_its_own() -> None:
    provider = ScriptedProvider(reply(5, 50))
    async with engine(Ask(), provider) as service:
        result = await service.run(flow({"id": "a", "input": 10}, budget={"tokens": 10_000, "usd": 0.0005}))
        state = await budget_of(service, result)
    assert result.failures["a"].error == "BudgetExceeded"
    assert "$0.0" in result.failures["a"].message
    assert 0 < state.spent_micro <= 500
    holds = [hold for hold, _ in provider.calls]
    assert all(hold.micro_usd <= 500 for hold in holds)
    assert holds[-1].max_output_tokens < 50, "the last answer is shortened to what the money left pays for"


async def test_an_unknown_price_is_refused_and_not_zero() -> None:
    async with engine(Ask(), ScriptedProvider(reply(1, 1)), settings={"prices": {"models": {}}}) as service:
        service._engine.prices._by_hand = {}
        result = await service.run(flow({"id": "a"}))
    assert "price of scripted/scripted-1 is not known" in result.failures["a"].message


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 3000), st.lists(st.integers(1, 5), min_size=1, max_size=12), st.data())
def test_no_schedule_overspends(limit: int, counts: list[int], data) -> None:
    """Whatever runs at once and whatever fails, spent and held never pass the limit, and no hold is left."""
    answers = data.draw(
        st.lists(
            st.sampled_from([reply(9, 50), reply(1, 1), refusal(), refusal(billed=True), ConnectionError("cut")]),
            min_size=1,
            max_size=8,
        )
    )

    class Flaky(ScriptedProvider):
        async def complete(self, hold, request):
            await asyncio.sleep(0)
            answer = answers[len(self.calls) % len(answers)]
            self.calls.append((hold, request))
            if isinstance(answer, Exception):
                raise answer
            return reply(1, min(answer.usage.output_tokens, hold.max_output_tokens))

    async def main() -> None:
        steps = [{"id": f"s{n}", "input": count} for n, count in enumerate(counts)]
        async with engine(Ask(), Flaky()) as service:
            result = await service.run(flow(*steps, budget={"tokens": limit}))
            state = await budget_of(service, result)
            totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
        assert state.spent_tokens <= limit
        assert state.held_tokens == 0
        assert totals.open_holds == 0
        assert totals.tokens == state.spent_tokens == result.metrics.tokens_used

    asyncio.run(main())


async def test_a_refusal_gives_the_hold_back_and_a_break_is_charged_in_full() -> None:
    for error, spent in ((refusal(), 0), (refusal(billed=True), "all"), (ConnectionError("cut"), "all")):
        provider = ScriptedProvider(error)
        async with engine(Ask(), provider) as service:
            result = await service.run(flow({"id": "a"}))
            state = await budget_of(service, result)
        ((hold, _),) = provider.calls
        assert state.held_tokens == 0
        assert state.spent_tokens == (hold.tokens if spent == "all" else 0)
        assert result.metrics.tokens_used == state.spent_tokens


async def test_each_retry_of_a_call_has_a_hold_of_its_own() -> None:
    provider = ScriptedProvider(refusal(retryable=True), refusal(retryable=True, billed=True), reply(2, 2))
    async with engine(Ask(), provider) as service:
        result = await service.run(flow({"id": "a"}))
        state = await budget_of(service, result)
    assert result.status == "completed"
    assert len({hold.key for hold, _ in provider.calls}) == 3
    assert state.spent_tokens == provider.calls[1][0].tokens + 4


async def test_a_call_that_was_paid_is_not_paid_again_when_the_step_is_retried() -> None:
    """The handler fails after its first call was paid; its second attempt gets that answer from the journal."""

    class FailsOnce(Ask):
        tries = 0

        async def handle(self, request):
            result = await super().handle(request)
            FailsOnce.tries += 1
            if FailsOnce.tries == 1:
                raise RuntimeError("after paying")
            return result

    provider = ScriptedProvider(reply(2, 2, "first"), reply(2, 2, "second"), reply(2, 2, "third"))
    async with engine(FailsOnce(), provider) as service:
        step = {"id": "a", "input": 2, "retry": {"attempts": 2, "delay": 0, "jitter": 0, "on": "any"}}
        result = await service.run(flow(step))
    assert result.outputs["a"] == ["first", "second"]
    assert len(provider.calls) == 2
    assert result.metrics.tokens_used == 8
    assert result.steps["a"].attempts == 2


async def test_cancelling_settles_the_call_in_flight() -> None:
    started = asyncio.Event()

    class Slow(ScriptedProvider):
        async def complete(self, hold, request):
            self.calls.append((hold, request))
            started.set()
            await asyncio.sleep(60)

    provider = Slow()
    async with engine(Ask(), provider) as service:
        seen = []
        task = asyncio.create_task(service.run(flow({"id": "a"}), on_event=seen.append))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (run,) = await service._engine.store.do(runs.list_runs())
        state = await service._engine.store.do(budgets.find(f"run:{run.id}"))
    assert run.status == "cancelled"
    assert (state.held_tokens, state.spent_tokens) == (0, provider.calls[0][0].tokens)
    assert [event.type for event in seen[-2:]] == ["step_failed", "completed"]


async def test_tokens_that_a_step_leaves_go_to_the_next() -> None:
    """Two steps share 400; the first takes little, so the second may take more than its half."""
    provider = ScriptedProvider(reply(5, 5))
    async with engine(Ask(), provider, settings={"budget": {"tokens_per_step": 200}}) as service:
        steps = [{"id": "a"}, {"id": "b", "needs": ["a"], "prompt": "word " * 195}]
        result = await service.run(flow(*steps, budget={"tokens": 400}))
        assert result.status == "completed", result.failures
        assert (await budget_of(service, result, "b")).limit_tokens > 200
    async with engine(
        Ask(),
        ScriptedProvider(reply(5, 5)),
        settings={"budget": {"tokens_per_step": 200, "overage_allowed": False}},
    ) as service:
        result = await service.run(flow(*steps, budget={"tokens": 400}))
    assert result.failures["b"].error == "BudgetExceeded"


async def test_usage_beyond_the_hold_is_booked_as_overrun_and_never_breaks_a_limit() -> None:
    from sqlalchemy import select

    from intendant.record.store.tables import ledger

    provider = ScriptedProvider(reply(5000, 5000))
    seen = []
    async with engine(Ask(), provider) as service:
        result = await service.run(flow({"id": "a", "input": 2}, budget={"tokens": 300}), on_event=seen.append)
        state = await budget_of(service, result)
        rows = await service._engine.store.do(
            lambda connection: connection.execute(select(ledger).where(ledger.c.kind == "settle")).mappings().all()
        )
    assert state.spent_tokens == 300, "what went beyond the hold is charged as far as the limit admits"
    assert rows[0]["overrun_tokens"] == 10_000 - provider.calls[0][0].tokens
    assert len(provider.calls) == 1, "no later call passes"
    assert any(event.type == "budget_exceeded" and event.severity == "critical" for event in seen)


def test_the_error_says_which_limit_and_what_would_fit() -> None:
    error = BudgetExceeded("run:r_1", "tokens", 500, 120)
    assert "run:r_1" in str(error)
    assert "500" in str(error)
    assert "120 tokens are left" in error.message
    assert error.hint.startswith("raise the `budget` of the workflow, of the step")
    assert BudgetExceeded("agent:a/day:1", "tokens", 5, 1).hint.startswith("raise the limit, shorten the input")
    assert ProviderError("x").billed


async def test_strategies_that_ask_for_it_get_the_agents_past_usage() -> None:
    from intendant.testing import EqualShares

    class Learns(EqualShares):
        """Remembers what it was told."""

        uses_history = True
        told: list[dict] = []

        def allocate(self, request):
            self.told.append(dict(request.history))
            return super().allocate(request)

    learns = Learns()
    async with engine(Ask(), ScriptedProvider(reply(7, 3)), learns) as service:
        await service.run(flow({"id": "a", "input": 2}, agent="x"))
        await service.run(flow({"id": "a"}, agent="x"))
        await service.run(flow({"id": "a"}, agent="x"))
        await service.run(flow({"id": "a"}, agent="other"))
    assert learns.told == [{}, {"ask": (20,)}, {"ask": (10, 20)}, {}]


async def test_a_hold_is_given_back_call_by_call() -> None:
    """Thirty calls of 10 tokens fit into 400, though each holds more than 50 while it is out."""
    async with engine(Ask(), ScriptedProvider(reply(5, 5))) as service:
        result = await service.run(flow({"id": "a", "input": 30}, budget={"tokens": 400}))
        assert result.status == "completed", result.failures
        assert (await budget_of(service, result)).spent_tokens == 300


async def test_a_refusal_for_budget_is_not_tried_again() -> None:
    step = {"id": "a", "prompt": "word " * 500, "retry": {"attempts": 5, "delay": 0, "on": "any"}}
    async with engine(Ask(), ScriptedProvider(reply(5, 5))) as service:
        result = await service.run(flow(step, budget={"tokens": 100}))
    assert result.steps["a"].attempts == 1


def hold_row(key: str, tokens: int, micro: int = 0) -> HoldRow:
    return HoldRow(key, "r", "s", 1, "step", "p", "m", tokens, micro, "v", 1e12)


async def test_the_database_refuses_by_itself_and_holds_in_all_budgets_or_none(tmp_path) -> None:
    """Two processes' worth of holds race for one budget, with nothing in front of the database."""
    from intendant.record.store import Store

    url = f"sqlite:///{tmp_path}/x.db"
    stores = [Store(url), Store(url)]
    rows = [
        BudgetRow("top", None, 1000, None),
        BudgetRow("low", "top", 10_000, 700),
    ]
    await stores[0].do(budgets.open_budgets(rows))

    async def take(number: int) -> str:
        row = hold_row(f"k{number}", 7, 5)
        try:
            await stores[number % 2].do(holds.reserve(row, ("low", "top")))
        except BudgetExceeded as error:
            return error.scope
        return "held"

    outcomes = await asyncio.gather(*(take(number) for number in range(300)))
    assert outcomes.count("held") == 140, "700 micro-US$ at 5 each are the tighter limit"
    assert set(outcomes) == {"held", "low"}
    low, top = [await stores[0].do(budgets.find(name)) for name in ("low", "top")]
    assert (low.held_tokens, low.held_micro, top.held_tokens) == (980, 700, 980)
    with pytest.raises(BudgetExceeded) as caught:
        await stores[1].do(holds.reserve(hold_row("big", 21), ("low", "top")))
    assert (caught.value.scope, caught.value.asked, caught.value.left) == ("top", 21, 20)
    assert (await stores[0].do(budgets.find("low"))).held_tokens == 980, "half a chain was held"
    for store in stores:
        store.close()


async def test_settling_and_releasing_happen_once(tmp_path) -> None:
    from intendant.record.store import Store

    store = Store("none")
    await store.do(budgets.open_budgets([BudgetRow("b", None, 100, None)]))
    await store.do(holds.reserve(hold_row("k", 60), ("b",)))
    spent = Spent(10, 5, 0)
    assert await store.do(holds.settle("k", spent, "{}")) == "settled"
    assert await store.do(holds.settle("k", spent, "{}")) == "closed"
    await store.do(holds.release("k"))
    state = await store.do(budgets.find("b"))
    assert (state.spent_tokens, state.held_tokens) == (15, 0)
    store.close()


async def test_a_bad_answer_is_asked_for_anew_when_the_step_is_tried_again() -> None:
    """The first answer does not match the step's schema; paying for the same one again would not help."""
    provider = ScriptedProvider(reply(2, 2, "bad"), reply(2, 2, "good"))
    step = {
        "id": "a",
        "output": {"type": "array", "items": {"const": "good"}},
        "retry": {"attempts": 3, "delay": 0, "jitter": 0, "on": "any"},
    }
    async with engine(Ask(), provider) as service:
        result = await service.run(flow(step))
    assert result.outputs == {"a": ["good"]}
    assert len(provider.calls) == 2


async def test_a_hold_that_was_made_while_its_call_was_cancelled_is_given_back() -> None:
    for delay in (0.0, 0.0002, 0.0005, 0.001, 0.002, 0.004):
        provider = ScriptedProvider(reply(2, 2))
        async with engine(Ask(), provider) as service:
            task = asyncio.create_task(service.run(flow({"id": "a", "input": 50})))
            while not provider.calls:
                await asyncio.sleep(0)
            await asyncio.sleep(delay)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            (run,) = await service._engine.store.do(runs.list_runs())
            totals = await service._engine.store.do(bookings.totals_of_run(run.id))
            state = await service._engine.store.do(budgets.find(f"run:{run.id}"))
        assert totals.open_holds == 0
        assert state.held_tokens == 0
        assert state.spent_tokens == totals.tokens


async def test_calls_side_by_side_in_one_step_share_its_tokens() -> None:
    """Eight at once, of which the budget admits some: those are answered, the others refused, nothing is counted twice."""

    class Fan(Ask):
        async def handle(self, request):
            async def call(number):
                message = Message(content=f"{request.prompt} {number}")
                try:
                    await request.model.complete(ModelRequest(messages=(message,), max_output_tokens=50))
                except BudgetExceeded:
                    return 0
                return 1

            return StepResult(output=sum(await asyncio.gather(*(call(number) for number in range(8)))))

    async with engine(Fan(), ScriptedProvider(reply(5, 5))) as service:
        result = await service.run(flow({"id": "a"}, budget={"tokens": 200}))
        state = await budget_of(service, result)
    assert 3 <= result.outputs["a"] <= 8
    assert (state.spent_tokens, state.held_tokens) == (result.outputs["a"] * 10, 0)


class Rough(ScriptedProvider):
    """Its models' tokens can only be estimated."""

    def token_counting(self, model: str) -> TokenCounting:
        """None is at hand."""
        return TokenCounting(factor=1.5)


async def test_estimates_follow_what_the_provider_reports() -> None:
    """Where estimates are held, less is held once enough calls took less; never below what was seen."""
    words = "the pump in the hall of the old works " * 20

    def answer(request: ModelRequest) -> ModelReply:
        return reply(len(request.messages[0].content.split()), 5)

    provider = Rough(answer)
    settings = {"budget": {"tokens_per_workflow": 60_000}, "calls": {"token_bound": "likely"}}
    async with engine(Ask(), provider, settings=settings) as service:
        result = await service.run(flow({"id": "a", "input": 12, "prompt": words}))
    assert result.status == "completed", result.failures
    held = [hold.tokens - hold.max_output_tokens for hold, _ in provider.calls]
    assert len(set(held[:8])) == 1
    assert held[-1] < 0.8 * held[0]
    assert held[-1] >= 181, "what was charged each time"


async def test_calls_of_a_step_that_open_its_budget_at_once_do_not_collide(tmp_path) -> None:
    """The first of them is refused for what another process's lease keeps back, and is tried again later."""
    store = Store(f"sqlite:///{tmp_path}/x.db")
    await store.do(limits.set_limit("agent:a", "day", 400, None))
    assert await StandingBudgets(store, owner="other", seconds=60.0).lease("a", 10, 0) is not None
    journal = Journal(store, await store.do(runs.open_run(RunRow("r", "w", "a", "{}", 1, "{}", "running", 1.0))))
    made = RunLedger(journal, tokens=10_000, micro_usd=None, allocations={"s": 5000}, agent="a")
    await made.open()

    async def reserve(key: str, tokens: int) -> None:
        row = HoldRow(key, "r", "s", 1, made.chain("s")[-1], "p", "m", tokens, 0, "v", 1e12, agent="a")
        said = {"call": key, "provider": "p", "model": "m", "tokens": tokens, "micro_usd": 0}
        await made.reserve(row, journal.step("s").event(events.TokensReserved, **said))

    await asyncio.gather(reserve("large", 380), reserve("small", 10))
    assert (await store.do(budgets.find("run:r"))).held_tokens == 390
    assert (await store.do(integrity.verify())).broken == []
    await asyncio.to_thread(store.close)
