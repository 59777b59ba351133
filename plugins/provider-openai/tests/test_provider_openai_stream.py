import asyncio
import json
from typing import Any

import pytest

from intendant.plugin import Hold, Message, ModelReply, ModelRequest, ProviderError, Usage
from intendant_provider_openai import OpenaiProvider

HANG, DROP = "hang", "drop"
HOLD = Hold("call-key", 1000, 500, 300, "gpt-6-luna", 5.0)
PLAIN = Hold("call-key", 1000, 500, 300, "gpt-4o", 5.0)
"""Of a model that does not reason."""
ASKED = ModelRequest(messages=(Message(content="Hello"),))
KEPT = Usage(input_tokens=700, output_tokens=300, cache_write_tokens=700)
"""All that is held: another server may have kept the input, at the price of that."""


async def follow(meter: Any, hold: Hold = HOLD, asked: ModelRequest = ASKED, **settings: Any) -> ModelReply:
    provider = OpenaiProvider({"api": "responses", **settings})
    try:
        return await provider.stream(hold, asked, meter)
    finally:
        await provider.close()


# --- responses ---

TEXT = {"type": "output_text", "text": "Hi there", "annotations": []}
OUTPUT = [
    {"id": "rs_1", "type": "reasoning", "summary": []},
    {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [TEXT]},
    {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Paris"}'},
]


def response(**more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 120, "output_tokens": 50, "output_tokens_details": {"reasoning_tokens": 30}}
    made = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": OUTPUT[:2]}
    return {**made, "usage": usage, **more}


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def delta(kind: str, piece: str) -> bytes:
    return event(f"response.{kind}.delta", item_id="i", output_index=0, content_index=0, delta=piece)


def ended(kind: str = "completed", **more: Any) -> bytes:
    return event(f"response.{kind}", response=response(status=kind, **more))


BEGUN = event("response.created", response=response(status="in_progress", output=[], usage=None))
SAID = [delta("output_text", "Hi"), delta("output_text", " there")]
RESPONSE = [BEGUN, event("response.output_item.added", output_index=0, item=OUTPUT[0]), *SAID, ended()]

# --- completions ---


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return f"data: {json.dumps({'id': 'chat_1', 'choices': choices, **more})}\n\n".encode()


FIGURES = {"prompt_tokens": 120, "completion_tokens": 50, "total_tokens": 170}
STOP, COUNT, DONE = chunk({}, "stop"), chunk(usage=FIGURES), b"data: [DONE]\n\n"
WORDS = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hi"}), chunk({"content": " there"})]
COMPLETION = [*WORDS, STOP, COUNT, DONE]

BOTH = pytest.mark.parametrize(("api", "pieces"), [("responses", RESPONSE), ("chat", COMPLETION)])


@BOTH
async def test_the_meter_hears_of_each_piece(stub: Any, told: Any, api: str, pieces: list[bytes]) -> None:
    stub.answer(pieces, x_request_id="req_7")
    meter = told()
    reply = await follow(meter, PLAIN, api=api, effort="unsent")
    assert [(kind, what) for kind, what in meter.news if kind != "used"] == [("text", "Hi"), ("text", " there")]
    assert meter.all("used")[-1] == reply.usage
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (120, 50)
    assert (reply.text, reply.stop_reason, reply.request_id) == ("Hi there", "end", "req_7")
    assert stub.asked()["stream"] is True


async def test_a_streamed_response_is_the_same_as_a_whole_one(stub: Any, told: Any) -> None:
    stub.answer(response(output=OUTPUT))
    whole = await OpenaiProvider({"api": "responses"}).complete(HOLD, ASKED)
    added = [event("response.output_item.added", output_index=at, item=item) for at, item in enumerate(OUTPUT)]
    arguments = [delta("function_call_arguments", piece) for piece in ('{"city":', ' "Paris"}')]
    thoughts = [delta("reasoning_summary_text", "hm")]
    stub.answer([BEGUN, added[0], *thoughts, added[1], *SAID, added[2], *arguments, ended(output=OUTPUT)])
    meter = told()
    assert await follow(meter) == whole
    assert (whole.stop_reason, whole.calls[0].arguments) == ("tool", {"city": "Paris"})
    assert meter.all("unseen") == ["hm", "weather", '{"city":', ' "Paris"}']


async def test_a_streamed_completion_is_the_same_as_a_whole_one(stub: Any, told: Any) -> None:
    calls = [
        {"id": f"c{at}", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
        for at in range(2)
    ]
    message = {"role": "assistant", "content": "Hi there", "tool_calls": calls}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    stub.answer({"id": "chat_1", "object": "chat.completion", "choices": [choice], "usage": FIGURES})
    whole = await OpenaiProvider({"api": "chat"}).complete(HOLD, ASKED)
    pieces = list(WORDS)
    for at in range(2):
        begun = {"index": at, "id": f"c{at}", "type": "function", "function": {"name": "weather", "arguments": ""}}
        pieces.append(chunk({"tool_calls": [begun]}))
        for piece in ('{"city":', ' "Paris"}'):
            pieces.append(chunk({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}))  # noqa: PERF401
    stub.answer([*pieces, chunk({}, "tool_calls"), COUNT, DONE])
    meter = told()
    assert await follow(meter, api="chat") == whole
    assert [call.id for call in whole.calls] == ["c0", "c1"]
    assert meter.all("unseen") == ["weather", '{"city":', ' "Paris"}'] * 2
    assert stub.asked()["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_thoughts_that_are_shown_are_counted(stub: Any, told: Any, name: str) -> None:
    stub.answer([chunk({name: "hm"}), *COMPLETION])
    meter = told()
    await follow(meter, Hold("k", 1000, 500, 300, "qwen3-8b", 5.0), api="chat")
    assert (meter.all("unseen"), meter.hidden) == (["hm"], False)


@pytest.mark.parametrize(
    ("api", "pieces", "whole"),
    [("responses", RESPONSE, len(RESPONSE)), ("chat", COMPLETION, 5)],
    ids=["responses", "chat"],
)
@pytest.mark.parametrize("how", ["ends", "drops"])
async def test_a_stream_that_ends_early_is_no_answer(
    stub: Any, told: Any, api: str, pieces: list[bytes], whole: int, how: str
) -> None:
    """Wherever it ends, and whether or not the connection ends in order, which the SDK takes for an answer."""
    for cut in range(whole):
        stub.answer(pieces[:cut] + ([DROP] if how == "drops" else []))
        with pytest.raises(ProviderError) as caught:
            await follow(told(), api=api)
        assert (caught.value.billed, caught.value.retryable, caught.value.at_fault) == (True, True, True), cut


async def test_a_stream_that_is_cut_within_an_event_is_no_answer(stub: Any, told: Any) -> None:
    stub.answer([*WORDS, STOP[:-9]])
    with pytest.raises(ProviderError, match="cannot be read") as caught:
        await follow(told(), api="chat")
    assert (caught.value.billed, caught.value.retryable) == (True, True)


async def test_all_forms_of_events_are_read(stub: Any, told: Any) -> None:
    """Comments, other ends of lines, pieces that end anywhere, and ends of lines that Unicode alone knows."""
    words = json.dumps({"choices": [{"delta": {"content": "a\u2028b\x85ç"}}]}, ensure_ascii=False).encode()
    whole = b": keep alive\r\n\r\ndata:" + words + b"\r\n\r\n" + STOP + b"event: x\n\n" + COUNT + DONE.strip()
    stub.answer([whole[at : at + 1] for at in range(len(whole))])
    assert (await follow(told(), api="chat")).text == "a\u2028b\x85ç"


@pytest.mark.parametrize("pieces", [[*WORDS, STOP, DONE], [*WORDS, STOP, chunk(usage={}), DONE]])
async def test_a_server_that_reports_no_usage_is_charged_what_was_held(
    stub: Any, told: Any, pieces: list[bytes]
) -> None:
    stub.answer(pieces)
    reply = await follow(told(), api="chat")
    assert (reply.usage, reply.stop_reason, reply.text) == (KEPT, "end", "Hi there")


@pytest.mark.parametrize("usage", [None, {}])
async def test_a_response_without_usage_is_charged_what_was_held(stub: Any, told: Any, usage: Any) -> None:
    stub.answer([BEGUN, *SAID, ended(usage=usage)])
    assert (await follow(told())).usage == KEPT


async def test_an_answer_that_was_cut_short_is_one(stub: Any, told: Any) -> None:
    stub.answer([BEGUN, *SAID, ended("incomplete", incomplete_details={"reason": "max_output_tokens"})])
    assert (await follow(told())).stop_reason == "length"


@pytest.mark.sampled(10)
@pytest.mark.parametrize(
    ("code", "retryable", "at_fault"),
    [
        ("server_error", True, True),
        ("rate_limit_exceeded", True, True),
        (None, True, True),
        ("invalid_prompt", False, False),
        ("image_too_large", False, False),
        ("insufficient_quota", False, True),
    ],
)
@pytest.mark.parametrize("form", ["failed", "flat", "nested", "chat"])
async def test_an_error_in_the_stream_was_charged(
    stub: Any, told: Any, form: str, code: str | None, retryable: bool, at_fault: bool
) -> None:
    error = {"code": code, "message": "the reason"}
    last = {
        "failed": ended("failed", error=error),
        "flat": event("error", **error),
        "nested": event("error", error=error),
        "chat": b"data: " + json.dumps({"error": error}).encode() + b"\n\n",
    }[form]
    api = "chat" if form == "chat" else "responses"
    stub.answer([*(WORDS if api == "chat" else [BEGUN, *SAID]), last])
    with pytest.raises(ProviderError, match="the reason") as caught:
        await follow(told(), api=api)
    found = caught.value
    assert (found.billed, found.retryable, found.at_fault) == (True, retryable, at_fault)


@pytest.mark.parametrize(("code", "retryable"), [(502, True), (400, False)])
async def test_an_error_may_be_named_by_a_status(stub: Any, told: Any, code: int, retryable: bool) -> None:
    stub.answer([*WORDS, b"data: " + json.dumps({"error": {"code": code, "message": "x"}}).encode() + b"\n\n"])
    with pytest.raises(ProviderError) as caught:
        await follow(told(), api="chat")
    assert (caught.value.billed, caught.value.retryable) == (True, retryable)


@pytest.mark.parametrize("broken", [b"data: {oops\n\n", b"data: [1]\n\n", b'data: {"choices": 7}\n\n'])
@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_a_broken_event_is_a_broken_answer(stub: Any, told: Any, broken: bytes, api: str) -> None:
    stub.answer([*(WORDS if api == "chat" else [BEGUN, *SAID]), broken])
    with pytest.raises(ProviderError) as caught:
        await follow(told(), api=api)
    assert (caught.value.billed, caught.value.retryable) == (True, True)


@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_a_refused_stream_was_not_charged(stub: Any, told: Any, api: str) -> None:
    stub.answer({"error": {"message": "busy", "code": None}}, 503)
    with pytest.raises(ProviderError, match="status 503: busy") as caught:
        await follow(told(), api=api)
    assert (caught.value.billed, caught.value.retryable) == (False, True)
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    ("model", "api", "effort", "hidden"),
    [
        ("gpt-6-luna", "responses", None, True),
        ("gpt-6-luna", "responses", "none", False),
        ("gpt-6-luna", "responses", "minimal", True),
        ("gpt-6-luna", "chat", None, True),
        ("openai/o4-mini", "chat", None, True),
        ("gpt-4o", "responses", "unsent", False),
        ("openai/gpt-4.1", "chat", None, False),
        ("qwen3-8b", "chat", None, False),
        ("qwen3-8b", "chat", "low", True),
    ],
)
async def test_reasoning_is_charged_and_not_shown(
    stub: Any, told: Any, model: str, api: str, effort: str | None, hidden: bool
) -> None:
    pieces = WORDS if api == "chat" else [BEGUN, *SAID]
    stub.answer([*pieces, DROP])
    meter = told()
    with pytest.raises(ProviderError):
        await follow(meter, Hold("k", 1000, 500, 300, model, 5.0), api=api, effort=effort)
    assert meter.hidden is hidden
    assert meter.news[0] == ("hide", None) or not hidden, "before anything else"


@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_where_nothing_was_shown_all_may_be_charged(stub: Any, told: Any, api: str) -> None:
    stub.answer([DROP])
    meter = told()
    with pytest.raises(ProviderError):
        await follow(meter, PLAIN, api=api, effort="none")
    assert meter.hidden


class Stop(Exception):
    pass


@BOTH
@pytest.mark.parametrize("error", [Stop("enough"), TimeoutError("mine"), ProviderError("over", billed=True)])
async def test_what_the_meter_raises_goes_through_and_closes_the_connection(
    stub: Any, told: Any, api: str, pieces: list[bytes], error: Exception
) -> None:
    stub.answer([*pieces[:3], HANG])
    provider = OpenaiProvider({"api": api})
    with pytest.raises(type(error)) as caught:
        await provider.stream(HOLD, ASKED, told(error))
    assert caught.value is error
    await asyncio.wait_for(stub.left.wait(), 5)
    await provider.close()


@BOTH
async def test_cancelling_closes_the_connection(stub: Any, told: Any, api: str, pieces: list[bytes]) -> None:
    stub.answer([*pieces[:3], HANG])
    meter = told()
    provider = OpenaiProvider({"api": api})
    task = asyncio.create_task(provider.stream(HOLD, ASKED, meter))
    while not meter.all("text"):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(stub.left.wait(), 5)
    await provider.close()


@BOTH
@pytest.mark.parametrize("shown", [0, 3])
async def test_a_stream_that_falls_silent_ends_with_the_call_s_time(
    stub: Any, told: Any, api: str, pieces: list[bytes], shown: int
) -> None:
    stub.answer([*pieces[:shown], HANG])
    with pytest.raises(ProviderError, match="in time") as caught:
        await follow(told(), Hold("k", 1000, 500, 300, "gpt-6-luna", 0.3), api=api)
    assert (caught.value.billed, caught.value.retryable) == (True, True)
    await asyncio.wait_for(stub.left.wait(), 5)


@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_no_error_of_a_stream_names_the_key(stub: Any, told: Any, api: str) -> None:
    error = {"code": "server_error", "message": "no such key sk-test-0123456789abcdef, nor sk-abc***xyz"}
    last = b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
    stub.answer([*(WORDS if api == "chat" else [BEGUN]), last])
    with pytest.raises(ProviderError, match="no such key") as caught:
        await follow(told(), api=api)
    assert "0123456789" not in f"{caught.value} {caught.value.__cause__}"
    assert "xyz" not in str(caught.value)


@BOTH
async def test_signs_of_life_do_not_make_a_call_last_longer(
    stub: Any, told: Any, api: str, pieces: list[bytes]
) -> None:
    """Each of them comes in time, as the SDK counts it."""
    stub.answer([pieces[0], *[0.05, b": ping\n\n"] * 40])
    with pytest.raises(ProviderError, match="in time"):
        await follow(told(), Hold("k", 1000, 500, 300, "gpt-6-luna", 0.3), api=api)


async def test_an_answer_that_drips_does_not_make_a_call_last_longer(stub: Any) -> None:
    stub.answer([b"{", *[0.05, b" "] * 40])
    provider = OpenaiProvider()
    with pytest.raises(ProviderError, match="in time") as caught:
        await provider.complete(Hold("k", 1000, 500, 300, "gpt-6-luna", 0.3), ASKED)
    assert (caught.value.billed, caught.value.retryable) == (True, True)
    await provider.close()
