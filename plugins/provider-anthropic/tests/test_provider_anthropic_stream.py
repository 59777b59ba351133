import asyncio
import json
from typing import Any

import pytest

from intendant.plugin import Hold, Message, ModelReply, ModelRequest, ProviderError, Usage
from intendant_provider_anthropic import AnthropicProvider

HANG, DROP = "hang", "drop"
HOLD = Hold("call-key", 1000, 500, 300, "claude-haiku-5-5", 5.0)
OLDER = Hold("call-key", 1000, 500, 300, "claude-haiku-4-5", 5.0)
"""Of a model that does not think unless asked."""
ASKED = ModelRequest(messages=(Message(content="Hello"),))


def sse(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def start(**usage: Any) -> bytes:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
    }
    return sse("message_start", message={**message, "usage": {"input_tokens": 100, "output_tokens": 1, **usage}})


def block(index: int, begun: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes]:
    pieces = [sse("content_block_delta", index=index, delta=delta) for delta in deltas]
    begin = sse("content_block_start", index=index, content_block=begun)
    return [begin, *pieces, sse("content_block_stop", index=index)]


def text(index: int, *pieces: str) -> list[bytes]:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def thinking(index: int) -> list[bytes]:
    deltas = ({"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "s"})
    return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas)


def tool(index: int, *pieces: str) -> list[bytes]:
    deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)
    return block(index, {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}, *deltas)


def end(reason: str = "end_turn", **usage: Any) -> list[bytes]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [sse("message_delta", delta=delta, usage={"output_tokens": 50, **usage}), sse("message_stop")]


WHOLE = [start(cache_read_input_tokens=64), sse("ping"), *thinking(0), *text(1, "Hi", " there"), *end()]


async def follow(meter: Any, hold: Hold = HOLD, asked: ModelRequest = ASKED) -> ModelReply:
    provider = AnthropicProvider()
    try:
        return await provider.stream(hold, asked, meter)
    finally:
        await provider.close()


async def test_the_meter_hears_of_each_piece(stub: Any, told: Any) -> None:
    stub.answer([start(cache_read_input_tokens=64), *text(0, "Hi", " there"), *end()], request_id="req_7")
    meter = told()
    reply = await follow(meter)
    assert meter.news == [
        ("used", Usage(input_tokens=164, output_tokens=1, cached_tokens=64)),
        ("text", "Hi"),
        ("text", " there"),
        ("used", Usage(input_tokens=164, output_tokens=50, cached_tokens=64)),
    ]
    assert (reply.text, reply.stop_reason, reply.request_id) == ("Hi there", "end", "req_7")
    assert reply.usage == Usage(input_tokens=164, output_tokens=50, cached_tokens=64)
    assert stub.asked()["stream"] is True
    assert stub.asked()["max_tokens"] == 300


async def test_a_streamed_reply_is_the_same_as_a_whole_one(stub: Any, told: Any) -> None:
    """Thinking, text and calls, and what has to be sent back with their results."""
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Hi there"},
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris"}},
    ]
    usage = {"input_tokens": 100, "output_tokens": 50, "output_tokens_details": {"thinking_tokens": 20}}
    message = {"id": "msg_1", "type": "message", "model": "m", "content": content, "usage": usage}
    message["stop_reason"] = "tool_use"
    stub.answer(message)
    whole = await AnthropicProvider().complete(HOLD, ASKED)
    pieces = [*thinking(0), *text(1, "Hi", " there"), *tool(2, '{"ci', 'ty": "Paris"}')]
    stub.answer([start(), *pieces, *end("tool_use", output_tokens_details={"thinking_tokens": 20})])
    meter = told()
    assert await follow(meter) == whole
    assert whole.usage.reasoning_tokens == 20
    assert meter.all("unseen") == ["hm", "weather", '{"ci', 'ty": "Paris"}']
    assert meter.hidden, "what is shown of thoughts is less than what is charged"


@pytest.mark.parametrize("pieces", [("",), ('{"city": ',), ("[1]",), ()])
async def test_arguments_that_are_no_object_are_none(stub: Any, told: Any, pieces: tuple[str, ...]) -> None:
    stub.answer([start(), *tool(0, *pieces), *end("tool_use")])
    reply = await follow(told())
    assert (reply.calls[0].arguments, reply.raw[0]["input"]) == ({}, {})
    assert reply.calls[0].malformed == "".join(pieces)


@pytest.mark.parametrize("cut", range(len(WHOLE)))
@pytest.mark.parametrize("how", ["ends", "drops"])
async def test_a_stream_that_ends_early_is_no_answer(stub: Any, told: Any, cut: int, how: str) -> None:
    """Wherever it ends, and whether or not the connection ends in order, which the SDK takes for an answer."""
    stub.answer(WHOLE[:cut] + ([DROP] if how == "drops" else []))
    with pytest.raises(ProviderError) as caught:
        await follow(told())
    assert (caught.value.billed, caught.value.retryable, caught.value.at_fault) == (True, True, True)


@pytest.mark.parametrize(
    ("pieces", "hold", "hidden"),
    [
        ([], OLDER, True),  # nothing is known
        ([start()], OLDER, False),
        ([start(), *text(0, "Hi")], OLDER, False),
        ([start()], HOLD, True),  # it may be thinking
        ([start(), *text(0, "Hi")[:2]], HOLD, False),  # the first block is text: it did not think
        ([start(), *text(0, "Hi")], HOLD, True),  # it may be thinking again
        ([start(), *thinking(0), *text(1, "Hi")], HOLD, True),
        ([start(), *text(0, "Hi"), end()[0]], HOLD, False),  # all of it was reported
        ([start(), *block(0, {"type": "redacted_thinking", "data": "x"})], OLDER, True),
    ],
)
async def test_more_may_be_charged_than_was_shown(
    stub: Any, told: Any, pieces: list[bytes], hold: Hold, hidden: bool
) -> None:
    stub.answer([*pieces, DROP])
    meter = told()
    with pytest.raises(ProviderError):
        await follow(meter, hold)
    assert meter.hidden is hidden


@pytest.mark.parametrize(
    "broken", [b"event: content_block_delta\ndata: {oops\n\n", sse("content_block_delta", index=7, delta={})]
)
async def test_a_broken_event_is_a_broken_answer(stub: Any, told: Any, broken: bytes) -> None:
    stub.answer([start(), *text(0, "Hi"), broken, *end()])
    with pytest.raises(ProviderError, match="cannot be read") as caught:
        await follow(told())
    assert (caught.value.billed, caught.value.retryable) == (True, True)


@pytest.mark.parametrize(
    ("kind", "retryable", "at_fault"),
    [
        ("overloaded_error", True, True),
        ("api_error", True, True),
        ("rate_limit_error", True, True),
        ("timeout_error", True, True),
        ("something_new", True, True),
        ("invalid_request_error", False, False),
        ("billing_error", False, True),
        ("permission_error", False, True),
    ],
)
async def test_an_error_in_the_stream_was_charged(
    stub: Any, told: Any, kind: str, retryable: bool, at_fault: bool
) -> None:
    error = {"type": kind, "message": "the reason"}
    stub.answer([start(), *text(0, "Hi"), sse("error", error=error)])
    with pytest.raises(ProviderError, match=f"{kind}: the reason") as caught:
        await follow(told())
    found = caught.value
    assert (found.billed, found.retryable, found.at_fault) == (True, retryable, at_fault)


async def test_a_refused_stream_was_not_charged(stub: Any, told: Any) -> None:
    stub.answer({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, 529)
    with pytest.raises(ProviderError, match="status 529: busy") as caught:
        await follow(told())
    assert (caught.value.billed, caught.value.retryable) == (False, True)
    assert len(stub.requests) == 1


class Stop(Exception):
    pass


@pytest.mark.parametrize("error", [Stop("enough"), TimeoutError("mine"), ProviderError("over", billed=True)])
async def test_what_the_meter_raises_goes_through_and_closes_the_connection(
    stub: Any, told: Any, error: Exception
) -> None:
    stub.answer([start(), *text(0, "Hi"), HANG])
    provider = AnthropicProvider()
    with pytest.raises(type(error)) as caught:
        await provider.stream(HOLD, ASKED, told(error))
    assert caught.value is error
    await asyncio.wait_for(stub.left.wait(), 5)
    await provider.close()


async def test_cancelling_closes_the_connection(stub: Any, told: Any) -> None:
    stub.answer([start(), *text(0, "Hi"), HANG])
    meter = told()
    provider = AnthropicProvider()
    task = asyncio.create_task(provider.stream(HOLD, ASKED, meter))
    while not meter.all("text"):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(stub.left.wait(), 5)
    await provider.close()


@pytest.mark.parametrize("pieces", [[], [start(), *text(0, "Hi")]])
async def test_a_stream_that_falls_silent_ends_with_the_call_s_time(
    stub: Any, told: Any, pieces: list[bytes]
) -> None:
    stub.answer([*pieces, HANG])
    with pytest.raises(ProviderError, match="in time") as caught:
        await follow(told(), Hold("k", 1000, 500, 300, "claude-haiku-5-5", 0.3))
    assert (caught.value.billed, caught.value.retryable) == (True, True)
    await asyncio.wait_for(stub.left.wait(), 5)


async def test_without_a_final_figure_all_that_was_held_is_charged(stub: Any, told: Any) -> None:
    """The figure at the start, one token, is no figure of the answer."""
    stub.answer([start(), *text(0, "Hi there"), *end(output_tokens=None)])
    reply = await follow(told())
    assert (reply.usage, reply.stop_reason) == (Usage(input_tokens=700, output_tokens=300), "end")


async def test_a_final_figure_that_cannot_be_is_an_error(stub: Any, told: Any) -> None:
    stub.answer([start(), *text(0, "Hi there"), *end(output_tokens=-5)])
    meter = told()
    with pytest.raises(ProviderError, match="-5 were reported") as caught:
        await follow(meter)
    assert caught.value.billed
    assert [usage.output_tokens for usage in meter.all("used")] == [1]


async def test_later_figures_replace_earlier_ones(stub: Any, told: Any) -> None:
    stub.answer([start(), *text(0, "Hi"), *end(input_tokens=90, cache_read_input_tokens=10)])
    assert (await follow(told())).usage == Usage(input_tokens=100, output_tokens=50, cached_tokens=10)


async def test_no_error_of_a_stream_names_the_key(stub: Any, told: Any) -> None:
    error = {"type": "api_error", "message": "no such key sk-ant-test-0123456789abcdef, nor sk-abc***xyz"}
    stub.answer([start(), sse("error", error=error)])
    with pytest.raises(ProviderError, match="no such key") as caught:
        await follow(told())
    assert "0123456789" not in f"{caught.value} {caught.value.__cause__}"
    assert "xyz" not in str(caught.value)


async def test_signs_of_life_do_not_make_a_call_last_longer(stub: Any, told: Any) -> None:
    """Each of them comes in time, as the SDK counts it."""
    stub.answer([start(), *[0.05, sse("ping")] * 40])
    with pytest.raises(ProviderError, match="in time"):
        await follow(told(), Hold("k", 1000, 500, 300, "claude-haiku-5-5", 0.3))


async def test_an_answer_that_drips_does_not_make_a_call_last_longer(stub: Any) -> None:
    stub.answer([b"{", *[0.05, b" "] * 40])
    provider = AnthropicProvider()
    with pytest.raises(ProviderError, match="in time") as caught:
        await provider.complete(Hold("k", 1000, 500, 300, "claude-haiku-5-5", 0.3), ASKED)
    assert (caught.value.billed, caught.value.retryable) == (True, True)
    await provider.close()
