"""Originals: kept before anything is sent, marked where a model can ask, given back in parts, counted."""

import pytest

from intendant import IntendantError, Workflow
from intendant.cli.runs import read_original
from intendant.planning import receipts
from intendant.plugin import (
    Compression,
    CompressionPolicy,
    Compressor,
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    StepResult,
    ToolCall,
    Usage,
    estimate_tokens,
)
from intendant.record.journal import read_events
from intendant.testing import ScriptedProvider, engine

FACTS = "\n".join(f"fact {n}: the pump {n} has {n * 7} bars" for n in range(1, 301))


class Head(Compressor):
    """Keeps the beginning."""

    name = "head"

    def compress(self, request):
        text = request.text[: 3 * request.target_tokens]
        return Compression(
            text=text, tokens_before=request.tokens, tokens_after=request.count(text), strategy=self.name,
            lossless=False, dropped=("the end",),
        )  # fmt: skip


class Digest(IntentHandler):
    """Asks about its input, fitted."""

    spec = IntentSpec(
        name="digest",
        summary="Digest",
        examples=("Digest",),
        compression=CompressionPolicy(floor=0.0, expansions=2),
    )

    async def handle(self, request):
        fitted = await request.model.fit(request.input)
        reply = await request.model.complete(
            ModelRequest(messages=(Message(content=fitted.text),), max_output_tokens=50)
        )
        return StepResult(output={"answer": reply.text, "seen": fitted.text})


class WithoutTools(ScriptedProvider):
    """Answers from a script; its models cannot be offered tools."""

    tools = False


def call(part: str, handle: str = "", **more) -> ModelReply:
    arguments = {"handle": handle or receipts.handle_of(FACTS), "part": part, **more}
    calls = (ToolCall(id="c1", name="expand", arguments=arguments),)
    usage = Usage(input_tokens=100, output_tokens=10)
    return ModelReply(
        text="",
        usage=usage,
        model="scripted-1",
        provider="scripted",
        stop_reason="tool",
        calls=calls,
        raw={"own": 1},
    )


async def run(provider: ScriptedProvider, tokens: int = 6000):
    """A run of one step over the facts; the result, the run's events, and its original."""
    step = {"id": "a", "intent": "digest", "input": FACTS}
    service = engine(Digest(), Head(), provider, settings={"budget": {"tokens_per_workflow": tokens}})
    async with service:
        result = await service.run(Workflow.model_validate({"name": "w", "steps": [step]}))
        events = await read_events(service._engine.store, result.run_id)
        handle = next(event.original for event in events if event.type == "token_compressed")
        kept = await read_original(service._engine.store, result.run_id, handle)
        with pytest.raises(IntendantError, match="kept no original"):
            await read_original(service._engine.store, result.run_id, "123")
    assert result.status == "completed", result.failures
    return result, events, kept


async def test_a_model_without_tools_gets_no_mark_but_the_original_is_kept() -> None:
    provider = WithoutTools("done")
    result, _, kept = await run(provider, 3000)
    assert "[expand" not in result.steps["a"].output["seen"]
    assert not provider.calls[0][1].tools
    assert kept == FACTS


async def test_a_model_with_tools_reads_on_and_that_counts_against_the_savings() -> None:
    provider = ScriptedProvider(call("250-252"), "pump 251 has 1757 bars")
    result, events, _ = await run(provider)
    seen = result.steps["a"].output["seen"]
    assert seen.endswith(f"[expand {receipts.handle_of(FACTS)} for more]")
    assert result.steps["a"].output["answer"] == "pump 251 has 1757 bars"
    first, second = (asked for _, asked in provider.calls)
    assert [tool.name for tool in first.tools] == [tool.name for tool in second.tools] == ["expand"]
    assert second.messages[1] == Message(role="assistant", content="", calls=call("250-252").calls, raw={"own": 1})
    given = second.messages[2]
    assert (given.role, given.answers) == ("tool", "c1")
    assert given.content == "[lines 250-252 of 300]\n" + "\n".join(FACTS.split("\n")[249:252]) + "\n"
    saved = next(event for event in events if event.type == "token_compressed").saved
    asked = next(event for event in events if event.type == "content_expanded")
    assert asked.part == "250-252"
    assert 0 < asked.tokens < 100
    assert result.metrics.tokens_saved == result.steps["a"].tokens_saved == saved - asked.tokens


async def test_there_is_an_end_to_asking() -> None:
    """After as many expansions as the policy allows, the model may not ask again."""
    provider = ScriptedProvider(call("1"), call("2"), call("3"))
    result, _, _ = await run(provider)
    assert [asked.tool_choice for _, asked in provider.calls] == ["auto", "auto", "none"]
    assert result.steps["a"].output["answer"] == ""


async def test_nonsense_is_answered_and_not_charged() -> None:
    provider = ScriptedProvider(call("1", handle="999"), "so be it")
    _, events, _ = await run(provider)
    assert "there is no '999'" in provider.calls[1][1].messages[2].content
    assert all(event.type != "content_expanded" for event in events)


async def test_room_is_kept_for_what_may_be_asked() -> None:
    """With two expansions all three calls fit the budget, the text in each of them."""
    provider = ScriptedProvider(call("250-252"), call("10-12"), "done")
    await run(provider, 6000)
    holds = [hold.tokens for hold, _ in provider.calls]
    assert sum(holds) <= 6000
    assert len(holds) == 3


def count(text: str) -> int:
    return estimate_tokens(text)


@pytest.mark.parametrize(
    ("part", "first", "last"),
    [("7", 7, 7), ("7-9", 7, 9), (" 298 - 400 ", 298, 300), ("0-2", 1, 2), ("pump 78", 76, 80)],
)
def test_slices(part: str, first: int, last: int) -> None:
    lines = FACTS.splitlines(keepends=True)
    given = receipts.slice_of(FACTS, part, count, 120)
    head, _, body = given.partition("\n")
    assert head.startswith(f"[lines {first}-")
    assert "".join(lines[first - 1 : last]).startswith(body[: len("".join(lines[first - 1 : last]))])
    assert count(given) <= 120


def test_a_slice_is_never_more_than_asked_for() -> None:
    given = receipts.slice_of(FACTS, "", count, 100)
    assert given.startswith("[lines 1-")
    assert "; cut]" in given.split("\n")[0]
    assert 50 < count(given) <= 100
    assert receipts.slice_of(FACTS, "900-901", count) == "[nothing of that; the whole has 300 lines]"
    assert receipts.slice_of(FACTS, "zebra", count) == "[nothing of that; the whole has 300 lines]"
    assert receipts.slice_of("x" * 3000, "1", count, 20) == "[line 1 alone is more than asked for]"


def test_a_mark_takes_twelve_tokens_at_most() -> None:
    from intendant.planning.standalone import default_counter

    exact = default_counter()
    if not exact.exact:
        pytest.skip("no provider with a tokenizer is installed")
    marks = [receipts.mark_of(receipts.handle_of(str(number))) for number in range(200)]
    assert max(map(exact, marks)) <= receipts.MARK_TOKENS
    assert len(set(marks)) == 200


@pytest.mark.parametrize("arguments", [{}, {"handle": 3, "part": None, "max_tokens": "x"}, {"max_tokens": True}])
def test_arguments_of_any_sort_are_understood(arguments) -> None:
    handle, part, wanted = receipts.asked_of(arguments)
    assert isinstance(handle, str)
    assert isinstance(part, str)
    assert wanted == receipts.SLICE_TOKENS


class Twice(Digest):
    """Asks twice about the same."""

    spec = IntentSpec(name="twice", summary="Twice", examples=("Twice",), compression=CompressionPolicy(floor=0.0))

    async def handle(self, request):
        seen = []
        for share in (0.3, 0.6, 0.05):
            fitted = await request.model.fit(request.input, share=share)
            seen.append(fitted.text)
        return StepResult(output=seen)


async def test_the_same_content_is_sent_in_the_same_bytes() -> None:
    """With more room nothing is rewritten, as a prompt cache would be lost; with less it has to be."""
    step = {"id": "a", "intent": "twice", "input": FACTS}
    service = engine(Twice(), Head(), settings={"budget": {"tokens_per_workflow": 3000}})
    async with service:
        result = await service.run(Workflow.model_validate({"name": "w", "steps": [step]}))
    first, second, third = result.steps["a"].output
    assert first == second
    assert len(third) < len(first)


TWELVE = "".join(f"line {number}\n" for number in range(1, 13))
PUMPS = "".join(f"{'the pump' if number in (2, 11) else 'nothing'} {number}\n" for number in range(1, 13))


@pytest.mark.parametrize(
    ("text", "part", "room", "given"),
    [
        (TWELVE, "2-3", 400, "[lines 2-3 of 12]\nline 2\nline 3\n"),
        (TWELVE, "12", 400, "[lines 12-12 of 12]\nline 12\n"),
        (TWELVE, "0", 400, "[lines 1-1 of 12]\nline 1\n"),
        (TWELVE, "13", 400, "[nothing of that; the whole has 12 lines]"),
        (TWELVE, "5-4", 400, "[nothing of that; the whole has 12 lines]"),
        (TWELVE, "1-5", 39, "[lines 1-2 of 12; cut]\nline 1\nline 2\n"),
        (TWELVE, "1-5", 38, "[lines 1-1 of 12; cut]\nline 1\n"),
        (TWELVE, "3-5", 31, "[line 3 alone is more than asked for]"),
        (TWELVE, "3-5", 0, "[line 3 alone is more than asked for]"),
        (TWELVE, "Line 6", 400, "[lines 4-8 of 12]\n" + "".join(f"line {n}\n" for n in range(4, 9))),
        (TWELVE, "zebra", 400, "[nothing of that; the whole has 12 lines]"),
        (TWELVE, "", 4000, f"[lines 1-12 of 12]\n{TWELVE}"),
        (
            PUMPS,
            "pump",
            400,
            "[lines 1-12 of 12]\nnothing 1\nthe pump 2\nnothing 3\nnothing 4\n…\nnothing 9\nnothing 10\nthe pump 11\nnothing 12\n",
        ),
        (PUMPS, "pump 11", 400, "[lines 9-12 of 12]\nnothing 9\nnothing 10\nthe pump 11\nnothing 12\n"),
        (PUMPS, "pump", 80, "[lines 1-9 of 12; cut]\nnothing 1\nthe pump 2\nnothing 3\nnothing 4\n…\nnothing 9\n"),
        (PUMPS, "?!", 4000, f"[lines 1-12 of 12]\n{PUMPS}"),
    ],
)
def test_a_part_is_given_below_a_line_that_says_which_it_is(text, part, room, given) -> None:
    assert receipts.slice_of(text, part, len, room) == given


def test_a_part_takes_four_thousand_tokens_at_most() -> None:
    text = "123456789\n" * 1000
    assert 3980 <= len(receipts.slice_of(text, "", len, 100_000)) <= 4000
    assert len(receipts.slice_of(text, "1-999", len)) <= 400


def test_a_handle_is_the_end_of_the_digest_of_a_text() -> None:
    assert receipts.digest_of("abc").startswith("ba7816bf")
    assert receipts.handle_of("abc") == f"{int(receipts.digest_of('abc'), 16) % 1_000_000_000:09}"
    assert {len(receipts.handle_of(str(number))) for number in range(300)} == {9}
    assert receipts.digest_of("\ud800")
    assert receipts.asked_of({"handle": "h", "part": "1-2", "max_tokens": 7}) == ("h", "1-2", 7)
