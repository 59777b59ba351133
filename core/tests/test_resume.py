"""Going on with a run: what was done is not done again, what was paid is not paid again, what was spent counts."""

import asyncio
import signal
import subprocess
import sys
import textwrap
from datetime import datetime
from pathlib import Path

import pytest

from intendant import BudgetExceeded, IntendantError, Limits, MemoryContext, RunNotFound, Workflow
from intendant.plugin import (
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    StepError,
    StepResult,
    Usage,
)
from intendant.record.store import bookings, budgets, integrity
from intendant.testing import ScriptedProvider, engine


class Ask(IntentHandler):
    """Asks the model as often as its input says; then fails as long as it is told to."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",), memory=True)

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.failing: set[str] = set()

    async def handle(self, request):
        texts = []
        for number in range(request.input or 1):
            ask = ModelRequest(messages=(Message(content=f"{request.prompt} {number}"),), max_output_tokens=20)
            texts.append((await request.model.complete(ask)).text)
        if request.step.id in self.failing:
            raise StepError("not today")
        self.done.append(request.step.id)
        return StepResult(output=texts)


def reply(text: str = "yes") -> ModelReply:
    usage = Usage(input_tokens=4, output_tokens=2)
    return ModelReply(text=text, usage=usage, model="scripted-1", provider="scripted")


def flow(tokens: int = 1000, *, asks: int = 2, steps: int = 4) -> Workflow:
    made = [
        {"id": "a", "intent": "ask", "prompt": "first"},
        {"id": "b", "intent": "ask", "prompt": "second", "needs": ["a"], "input": asks},
        {"id": "c", "intent": "ask", "prompt": "{{ steps.b.output[0] }}"},
        {"id": "d", "intent": "ask", "prompt": "never", "when": "steps.a.output.size() > 5"},
    ]
    return Workflow.model_validate({"name": "t", "steps": made[:steps], "budget": {"tokens": tokens}})


FLOW = flow()


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


async def test_steps_that_are_done_are_kept_and_the_others_are_done_now(url) -> None:
    ask, provider = Ask(), ScriptedProvider(reply())
    ask.failing = {"b"}
    async with engine(ask, provider, db=url) as service:
        first = await service.run(FLOW)
    assert (first.status, ask.done) == ("failed", ["a"])
    ask.failing = set()
    seen = []
    async with engine(ask, provider, db=url) as service:
        second = await service.resume(first.run_id, on_event=seen.append)
        totals = await service._engine.store.do(bookings.totals_of_run(first.run_id))
    assert second.status == "completed"
    assert second.run_id == first.run_id
    assert ask.done == ["a", "b", "c"]
    assert second.outputs == {"a": ["yes"], "b": ["yes", "yes"], "c": ["yes"]}
    assert second.steps["d"].status == "skipped"
    # b's two answers were paid for when it failed: they are not asked for again.
    assert len(provider.calls) == 4
    assert [event.outcome for event in seen if event.type == "tokens_settled"] == ["replayed"] * 2 + ["answered"]
    assert seen[0].type == "resumed"
    assert seen[0].kept == 1
    metrics = second.metrics
    assert (metrics.steps_completed, metrics.steps_failed, metrics.steps_skipped) == (3, 0, 1)
    assert totals.tokens == metrics.tokens_used == 24


async def test_a_run_began_when_it_began_whatever_process_goes_on_with_it(url) -> None:
    steps = [
        {"id": "a", "intent": "ask", "prompt": "{{ run.started }}"},
        {"id": "b", "intent": "ask", "prompt": "{{ run.started }}", "needs": ["a"]},
    ]
    workflow = Workflow.model_validate({"name": "t", "steps": steps, "budget": {"tokens": 1000}})
    ask, provider = Ask(), ScriptedProvider(reply())
    ask.failing = {"b"}
    async with engine(ask, provider, db=url) as service:
        run = (await service.run(workflow)).run_id
        created = (await service.operations.run(run)).created_at
    other = ScriptedProvider(reply())
    async with engine(Ask(), other, db=url) as service:
        assert (await service.resume(run)).status == "completed"
        shown = await service.operations.step(run, "b")
    asked = provider.calls + other.calls
    (began,) = {request.messages[-1].content.split()[0] for _, request in asked}
    assert abs(datetime.fromisoformat(began).timestamp() - created) < 5
    assert shown["given"]["prompt"] == began


async def test_a_completed_run_cannot_be_resumed_nor_one_that_is_not_there(url) -> None:
    async with engine(Ask(), ScriptedProvider(reply()), db=url) as service:
        result = await service.run(FLOW)
        with pytest.raises(IntendantError, match="is completed"):
            await service.resume(result.run_id)
        with pytest.raises(RunNotFound):
            await service.resume("r_nothing")


async def test_a_run_that_was_refused_goes_on_with_more(url) -> None:
    ask, provider = Ask(), ScriptedProvider(reply())
    async with engine(ask, provider, db=url) as service:
        first = await service.run(flow(112, asks=20))
        spent = first.metrics.tokens_used
        assert first.status == "refused"
        assert spent > 0
        with pytest.raises(BudgetExceeded):
            await service.resume("last", limits=Limits(tokens=spent - 1))
        second = await service.resume("last", limits=Limits(tokens=500))
        state = await service._engine.store.do(budgets.find(f"run:{first.run_id}"))
    assert second.status == "completed"
    assert second.metrics.budget_tokens == state.limit_tokens == 500
    assert state.spent_tokens == second.metrics.tokens_used == 6 * len(provider.calls)


async def test_what_was_spent_before_counts(url) -> None:
    """Over and over resumed, a run never spends more than its limit."""
    ask, provider = Ask(), ScriptedProvider(reply())
    ask.failing = {"b"}
    async with engine(ask, provider, db=url) as service:
        result = await service.run(flow(130, steps=2))
        for number in range(12):
            flight = service.orchestrator()
            await flight.resume(result.run_id)
            # Another question each time, so that nothing can be replayed.
            await flight.execute_step("b", prompt=f"question {number}")
            await flight.complete()
        state = await service._engine.store.do(budgets.find(f"run:{result.run_id}"))
    assert state.held_tokens == 0
    assert 90 < state.spent_tokens <= 130


async def test_what_was_known_before_the_run_is_known_again(url) -> None:
    """Else its calls would be other calls, and paid again."""
    ask, provider = Ask(), ScriptedProvider(reply())
    ask.failing = {"b"}
    async with engine(ask, provider, db=url) as service:
        first = await service.run(FLOW, memory=MemoryContext(profile="Ada likes short answers."))
        ask.failing = set()
        await service.resume(first.run_id)
    systems = [request.system for _, request in provider.calls]
    assert len(systems) == 4
    assert all("Ada likes short answers." in system for system in systems)


CHILD = """
    import asyncio, sys
    sys.path.insert(0, {folder!r})
    from test_resume import FLOW, Ask, reply
    from intendant.testing import ScriptedProvider, engine, sync_engine

    class Stuck(ScriptedProvider):
        "Never answers its third call."
        async def complete(self, hold, request):
            if len(self.calls) == 2:
                print("out", flush=True)
                await asyncio.sleep(3600)
            return await super().complete(hold, request)

    with sync_engine(Ask(), Stuck(reply()), db={url!r}) as service:
        service.run(FLOW)
"""


@pytest.fixture
def killed(url):
    """A run whose process was killed while a call was out."""
    code = textwrap.dedent(CHILD.format(folder=str(Path(__file__).parent), url=url))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "out\n"
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()
    process.stdout.close()


async def test_a_killed_run_goes_on_and_the_lost_call_stays_charged(url, killed) -> None:
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    ask, provider, seen = Ask(), ScriptedProvider(reply()), []
    async with engine(ask, provider, db=url) as service:
        assert (await service._engine.store.do(integrity.verify())).broken == []
        result = await service.resume("last", on_event=seen.append)
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
        assert (await service._engine.store.do(integrity.verify())).broken == []
    assert result.status == "completed"
    assert ask.done == ["b", "c"], "a was done before"
    # b's first answer was paid for, its second call was lost: it is charged in full, and sent again.
    assert len(provider.calls) == 2
    outcomes = [event.outcome for event in seen if event.type == "tokens_settled"]
    assert outcomes == ["replayed", "in_doubt", "answered", "answered"]
    lost = next(event.usage.tokens for event in seen if getattr(event, "outcome", "") == "in_doubt")
    assert lost > 20
    assert (totals.tokens, totals.open_holds) == (24 + lost, 0)
    assert result.metrics.tokens_used == totals.tokens


async def test_a_run_that_may_live_is_left_alone_unless_it_is_taken_over(url, killed) -> None:
    async with engine(Ask(), ScriptedProvider(reply()), db=url) as service:
        with pytest.raises(IntendantError, match=f"worked on, by .*:{killed.pid}") as caught:
            await service.resume("last")
        assert caught.value.code == "run_active"
        result = await service.resume("last", take_over=True)
    assert result.status == "completed"


async def test_whose_run_was_taken_over_is_refused(url) -> None:
    out, may_answer = asyncio.Event(), asyncio.Event()

    class Slow(ScriptedProvider):
        """Answers when it may."""

        async def complete(self, hold, request):
            out.set()
            await may_answer.wait()
            return await super().complete(hold, request)

    async with (
        engine(Ask(), Slow(reply()), db=url) as old,
        engine(Ask(), ScriptedProvider(reply()), db=url) as new,
    ):
        run = asyncio.create_task(old.run(FLOW))
        await out.wait()
        result = await new.resume("last", take_over=True)
        may_answer.set()
        with pytest.raises(IntendantError, match="taken over"):
            await run
        totals = await new._engine.store.do(bookings.totals_of_run(result.run_id))
    assert result.status == "completed"
    assert totals.open_holds == 0
