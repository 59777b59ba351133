"""What is known before a run: in a budget line of its own, the profile and the newest runs kept."""

from typing import ClassVar

import pytest

from intendant import MemoryContext, Workflow
from intendant.hooks.questions import Questions
from intendant.hooks.registry import Plugins
from intendant.planning.compression import CompressionChain
from intendant.planning.memory import fit_memory
from intendant.plugin import (
    Compression,
    Compressor,
    IntentHandler,
    IntentSpec,
    Message,
    ModelRequest,
    StepResult,
    estimate_tokens,
)
from intendant.testing import ScriptedProvider, engine

RUNS = tuple(
    f"Run {number}: sent {number * 3} mails to the office of Ada in town {number}." for number in range(9, 0, -1)
)
MEMORY = MemoryContext(profile="Ada likes short answers.", runs=RUNS, notes=("The office is shut on Monday.",))


class Head(Compressor):
    """Keeps the beginning."""

    name = "head"

    def compress(self, request):
        text = request.text[: 2 * request.target_tokens]
        return Compression(
            text=text, tokens_before=request.tokens, tokens_after=request.count(text), strategy=self.name,
            lossless=False,
        )  # fmt: skip


class Chatty(IntentHandler):
    """Asks a model."""

    spec = IntentSpec(name="chat", summary="Chat", examples=("Chat",), tokens=500, memory=True)

    async def handle(self, request):
        asked = ModelRequest(system="Be kind.", messages=(Message(content="Hello"),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(asked)).text)


class Deaf(Chatty):
    """Asks a model, and is not told."""

    spec: ClassVar[IntentSpec] = IntentSpec(name="deaf", summary="Deaf", examples=("Deaf",), tokens=500)


async def fitted(room: int, memory: MemoryContext = MEMORY, chain: bool = True) -> Compression:
    made = CompressionChain(Questions(Plugins([Head()], discover=False).manager)) if chain else None
    return await fit_memory(made, memory, room, estimate_tokens, query="mails")


async def test_what_fits_stands_as_it_is() -> None:
    found = await fitted(2000)
    assert (found.strategy, found.lossless) == ("none", True)
    assert all(text in found.text for text in (MEMORY.profile, *MEMORY.runs, *MEMORY.notes))
    assert (
        found.text.index("Run 9")
        < found.text.index("Run 8")
        < found.text.index("Known")
        < found.text.index("Run 7")
    )


@pytest.mark.parametrize("room", [100, 140, 200])
async def test_profile_and_newest_runs_are_kept(room: int) -> None:
    found = await fitted(room)
    assert found.tokens_after <= room
    assert all(text in found.text for text in (MEMORY.profile, RUNS[0], RUNS[1]))
    assert RUNS[-1] not in found.text
    assert found.dropped


async def test_where_not_even_those_fit_they_are_compressed_and_without_a_compressor_left_out() -> None:
    small = await fitted(30)
    assert 0 < small.tokens_after <= 30
    assert small.text.startswith("# Profile\nAda")
    assert (await fitted(30, chain=False)).text == ""
    assert RUNS[1] in (await fitted(100, chain=False)).text


async def run(memory: MemoryContext | None, *intents: str, tokens: int = 4000):
    provider = ScriptedProvider("Hi")
    steps = [{"id": f"s{number}", "intent": intent} for number, intent in enumerate(intents)]
    flow = Workflow.model_validate({"name": "w", "description": "mails", "steps": steps})
    settings = {"budget": {"tokens_per_workflow": tokens, "memory_tokens": 150}}
    service = engine(Chatty(), Deaf(), Head(), provider, settings=settings)
    async with service:
        result = await service.run(flow, memory=memory)
        plan = await service.plan(flow)
    assert result.status == "completed", result.failures
    return provider, result, plan


async def test_steps_that_want_it_are_told_and_the_others_are_not() -> None:
    provider, result, _ = await run(MEMORY, "chat", "deaf", "chat")
    told = [asked.system for _, asked in provider.calls if "Ada likes" in asked.system]
    assert len(told) == 2
    assert len(set(told)) == 1, "the same bytes, for the cache"
    assert told[0].endswith("Be kind.")
    assert {asked.system for _, asked in provider.calls} == {told[0], "Be kind."}
    assert result.metrics.tokens_saved > 0


async def test_without_memory_nothing_is_reserved_or_said() -> None:
    provider, _, plan = await run(None, "chat")
    assert provider.calls[0][1].system == "Be kind."
    assert [step.memory_tokens for step in plan.steps] == [0]


async def test_its_line_comes_first_and_never_takes_more_than_a_third() -> None:
    from intendant.testing import engine as made

    flow = Workflow.model_validate({"name": "w", "steps": [{"id": name, "intent": "chat"} for name in "ab"]})
    for total, line in ((4000, 150), (600, 100)):
        settings = {"budget": {"tokens_per_workflow": total, "memory_tokens": 150}}
        async with made(Chatty(), settings=settings) as service:
            flight = service.orchestrator()
            assert await flight.initialize(flow, memory=MEMORY)
            steps = flight.plan.steps
            await flight.complete(cancelled=True)
        assert [step.memory_tokens for step in steps] == [line, line]
        assert sum(step.tokens for step in steps) <= total
        assert all(step.tokens > line for step in steps)


@pytest.mark.parametrize(("memory", "recorded"), [(MEMORY, 1), (MemoryContext(profile="Ada."), 0)])
async def test_what_was_left_out_of_memory_is_on_record_once_for_all_steps_that_are_told(memory, recorded) -> None:
    seen: list[object] = []
    flow = Workflow.model_validate({"name": "w", "steps": [{"id": name, "intent": "chat"} for name in "abc"]})
    settings = {"budget": {"tokens_per_workflow": 9000, "memory_tokens": 120}}
    provider = ScriptedProvider("yes")
    async with engine(Chatty(), Head(), provider, settings=settings) as service:
        await service.run(flow, memory=memory, on_event=seen.append)
    assert all("Ada" in asked.system for _, asked in provider.calls)
    assert len(provider.calls) == 3
    compressed = [event for event in seen if event.type == "token_compressed"]
    assert len(compressed) == recorded
    assert all((event.original, event.seconds) == ("", 0.0) for event in compressed)
