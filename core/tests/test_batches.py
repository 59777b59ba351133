"""The batch lane: calls that may wait go together, cost less, and are sent by themselves when their time is over."""

import asyncio
from time import time

import pytest
from sqlalchemy import select

from intendant import Fenced, Workflow
from intendant.plugin import (
    Hold,
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    ProviderError,
    StepResult,
    Usage,
)
from intendant.record.store import bookings, budgets, tables
from intendant.spending.batching import BatchLanes
from intendant.testing import ScriptedProvider, engine

HALF = {"prices": {"models": {"scripted/scripted-1": {"input": 100.0, "output": 200.0, "batch": 0.5}}}}


class Ask(IntentHandler):
    """Asks the model once."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=50)
        return StepResult(output=(await request.model.complete(ask)).text)


class Batching(ScriptedProvider):
    """Answers batches when they were asked after some times."""

    batches = True

    def __init__(self, questions: int = 2, *, missing: str = "", failing: bool = False) -> None:
        super().__init__("alone")
        self.questions, self.missing, self.failing = questions, missing, failing
        self.sent: list[list[str]] = []
        self.cancelled: list[str] = []
        self.down = 0

    async def submit_batch(self, calls):
        if self.failing:
            raise ProviderError("no batches today", billed=False)
        self.sent.append([request.messages[0].content for _, request in calls])
        return f"b{len(self.sent)}"

    async def batch_answers(self, batch, calls):
        self.questions -= 1
        if self.down:
            self.down -= 1
            raise ProviderError("cannot be asked now", retryable=True, billed=False)
        if self.questions > 0:
            return None
        return {hold.key: self._answer(request) for hold, request in calls if self._answer(request)}

    def _answer(self, request):
        text = request.messages[0].content
        if text == self.missing:
            return None
        if text == "bad":
            return ProviderError("invalid", billed=False)
        usage = Usage(input_tokens=4, output_tokens=2)
        return ModelReply(
            text=f"batched {text}", usage=usage, model="scripted-1", provider="scripted", lane="batch"
        )

    async def cancel_batch(self, batch):
        self.cancelled.append(batch)
        self.questions = min(self.questions, 1)


def flow(*prompts: str, **more) -> Workflow:
    steps = [
        {"id": f"s{number}", "intent": "ask", "prompt": text, "slack": 3600, **more}
        for number, text in enumerate(prompts)
    ]
    return Workflow.model_validate({"name": "t", "steps": steps})


async def done(workflow, provider, lanes: BatchLanes | None = None, settings=HALF):
    async with engine(Ask(), provider, settings=settings) as service:
        service._engine.gateway._batches = lanes or BatchLanes(0.01, (0.001, 0.002))
        result = await service.run(workflow)
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
        rows = await service._engine.store.do(budgets.find(f"run:{result.run_id}"))
    assert totals.open_holds == rows.held_tokens == 0
    return result, totals


async def test_calls_that_may_wait_go_together_at_half_the_price() -> None:
    provider = Batching()
    result, totals = await done(flow("one", "two", "three"), provider)
    assert list(result.outputs.values()) == ["batched one", "batched two", "batched three"]
    assert [sorted(batch) for batch in provider.sent] == [["one", "three", "two"]]
    assert totals == (18, 3 * (4 * 100 + 2 * 200) // 2, 0)
    assert provider.calls == []


async def test_what_is_held_for_a_batch_does_not_expire_before_its_time() -> None:
    provider, now = Batching(), time()
    async with engine(Ask(), provider, settings=HALF) as service:
        service._engine.gateway._batches = BatchLanes(0.01, (0.001, 0.002))
        await service.run(flow("one", slack=86_000))
        rows = await service._engine.store.do(
            lambda c: c.execute(select(tables.hold.c.expires_at)).scalars().all()
        )
    assert [row > now + 86_000 for row in rows] == [True]


async def test_a_step_in_a_hurry_is_not_batched() -> None:
    provider = Batching()
    result, _ = await done(flow("one", slack=30), provider)
    assert provider.sent == []
    assert result.outputs["s0"] == "alone"


async def test_what_a_batch_left_out_is_sent_by_itself() -> None:
    provider = Batching(missing="two")
    result, _ = await done(flow("one", "two"), provider)
    assert (result.outputs["s0"], result.outputs["s1"]) == ("batched one", "alone")


async def test_the_time_that_a_batch_takes_is_not_that_of_its_calls_deadline() -> None:
    provider = Batching(missing="one")
    hurried = {**HALF, "calls": {"deadline": 0.01}}
    result, _ = await done(flow("one"), provider, BatchLanes(0.01, (0.02, 0.02)), hurried)
    assert result.outputs["s0"] == "alone"


async def test_what_was_refused_in_a_batch_fails_its_step_only() -> None:
    result, _ = await done(flow("one", "bad"), Batching())
    assert result.outputs["s0"] == "batched one"
    assert result.failures["s1"].message == "invalid"


async def test_a_provider_that_cannot_be_asked_for_a_while_is_asked_again() -> None:
    provider = Batching()
    provider.down = 3
    result, _ = await done(flow("one"), provider)
    assert result.outputs["s0"] == "batched one"


async def test_a_batch_that_takes_too_long_is_given_up_and_what_it_answered_is_used() -> None:
    provider = Batching(questions=10**9)
    lanes = BatchLanes(0.0, (0.001, 0.002))
    answer = asyncio.create_task(lanes.answer(provider, hold("k", 0.05), ask("one"), noted))
    assert (await answer).text == "batched one"
    assert provider.cancelled == ["b1"]


async def test_a_batch_that_never_ends_is_charged_until_the_truth_is_known() -> None:
    class Silent(Batching):
        """Does not even say that a batch was given up."""

        async def cancel_batch(self, batch):
            raise ProviderError("cannot be asked now")

    lanes = BatchLanes(0.0, (0.001, 0.002))
    with pytest.raises(ProviderError, match="did not end in time") as caught:
        await lanes.answer(Silent(questions=10**9), hold("k", 0.05), ask("one"), noted)
    assert caught.value.billed


async def test_where_a_batch_is_refused_as_a_whole_its_calls_are_sent_by_themselves() -> None:
    provider = Batching(failing=True)
    result, _ = await done(flow("one", "two"), provider)
    assert set(result.outputs.values()) == {"alone"}
    assert len(provider.calls) == 2


async def test_who_gives_up_while_a_batch_is_gathered_is_not_sent() -> None:
    provider, lanes = Batching(), BatchLanes(0.02, (0.001, 0.002))
    first, second = (
        asyncio.create_task(lanes.answer(provider, hold(key, 60.0), ask(key), noted)) for key in ("one", "two")
    )
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).text == "batched two"
    assert provider.sent == [["two"]]


async def test_each_call_is_noted_as_sent_before_the_batch_is_handed_in() -> None:
    """One that cannot be noted, because its run has another owner, say, is not sent."""
    provider, lanes = Batching(), BatchLanes(0.0, (0.001, 0.002))
    seen: list[list[list[str]]] = []

    async def note() -> None:
        seen.append(list(provider.sent))

    async def refuse() -> None:
        raise Fenced("it was taken over")

    calls = [
        lanes.answer(provider, hold(text, 60.0), ask(text), how) for text, how in (("a", note), ("b", refuse))
    ]
    answered, refused = await asyncio.gather(*calls, return_exceptions=True)
    assert answered.text == "batched a"
    assert isinstance(refused, Fenced)
    assert (seen, provider.sent) == ([[]], [["a"]])


async def test_a_call_that_is_cancelled_while_it_queues_is_not_charged(tmp_path) -> None:
    gateway_lanes = BatchLanes(3600.0)
    async with engine(Ask(), Batching(), settings=HALF, db=f"sqlite:///{tmp_path}/x.db") as service:
        service._engine.gateway._batches = gateway_lanes
        run = asyncio.create_task(service.run(flow("one")))
        while not gateway_lanes._gathered:
            await asyncio.sleep(0.01)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        store = service._engine.store
        (row,) = await store.do(lambda c: c.execute(select(tables.hold)).all())
    assert (row.state, row.sending, row.spent_tokens) == ("released", 0, 0)


async def noted() -> None:
    """A call is sent."""


def hold(key: str, seconds: float) -> Hold:
    return Hold(key, 100, 100, 50, "scripted-1", seconds)


def ask(text: str) -> ModelRequest:
    return ModelRequest(messages=(Message(content=text),))
