"""What a call took, how long to wait, and what is kept for later calls."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import CacheMark, Hold, Image, Message, ModelReply, ModelRequest, ProviderError, Tool, Usage
from intendant_provider_openai import OpenaiProvider
from intendant_provider_openai._wire import usage_of

NEW, OLD = "gpt-6-luna", "gpt-5.5"
ASKED = ModelRequest(messages=(Message(content="Hello"),))
TOOL = Tool(name="weather", description="Today's", parameters={"type": "object"})
POINT = {"mode": "explicit"}


def response(**more: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": "Hi", "annotations": []}]
    made = {"id": "r", "object": "response", "status": "completed", "model": "m"}
    usage = {"input_tokens": 100, "output_tokens": 50}
    return {**made, "output": [{"id": "m", "type": "message", "content": content}], "usage": usage, **more}


def completion(**more: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}
    usage = {"prompt_tokens": 100, "completion_tokens": 50}
    return {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage, **more}


async def ask(asked: ModelRequest = ASKED, model: str = NEW, **settings: Any) -> ModelReply:
    provider = OpenaiProvider({"api": "responses", **settings})
    try:
        return await provider.complete(Hold("call-key", 1000, 500, 300, model, 5.0), asked)
    finally:
        await provider.close()


# --- usage ---

PARTS = [
    ({}, {}, {}),
    ({"cached_tokens": 64}, {}, {"cached_tokens": 64}),
    ({"cached_tokens": 64, "cache_write_tokens": 20}, {}, {"cached_tokens": 64, "cache_write_tokens": 20}),
    (
        {"cache_write_tokens": 30, "cache_write_tokens_details": {"ttl_30m_tokens": 10, "ttl_12h_tokens": 20}},
        {},
        {"cache_write_tokens": 10, "cache_write_1h_tokens": 20},
    ),
    ({}, {"reasoning_tokens": 30}, {"reasoning_tokens": 30}),
    ({}, {"reasoning_tokens": 900}, {"reasoning_tokens": 50}),
    (
        {"cached_tokens": 90, "cache_write_tokens": 90},
        {"reasoning_tokens": -1},
        {"cached_tokens": 90, "cache_write_tokens": 10},
    ),
    ({"cached_tokens": "x", "cache_write_tokens": None}, {}, {}),
]


@pytest.mark.parametrize(("read", "written", "expected"), PARTS)
async def test_usage_in_all_its_parts(stub: Any, read: Any, written: Any, expected: dict[str, int]) -> None:
    whole = Usage(input_tokens=100, output_tokens=50, **expected)
    figures = {"input_tokens": 100, "input_tokens_details": read, "output_tokens": 50}
    stub.answer(response(usage={**figures, "output_tokens_details": written}))
    assert (await ask()).usage == whole
    figures = {"prompt_tokens": 100, "prompt_tokens_details": read, "completion_tokens": 50}
    stub.answer(completion(usage={**figures, "completion_tokens_details": written}))
    assert (await ask(api="chat")).usage == whole


async def test_reasoning_that_is_counted_apart_is_written_too(stub: Any) -> None:
    """Some servers leave it out of what was written, but not out of the total."""
    details = {"reasoning_tokens": 400}
    usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 550}
    stub.answer(completion(usage={**usage, "completion_tokens_details": details}))
    found = (await ask(api="chat")).usage
    assert (found.output_tokens, found.reasoning_tokens) == (450, 400)


@pytest.mark.parametrize(
    "usage", [{"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 9, "output_tokens": 0}]
)
async def test_too_low_figures_are_passed_on(vendor: Any, usage: Any) -> None:
    """The gateway charges by a count of its own where they cannot be."""
    vendor.answer(response(usage=usage))
    assert (await ask()).usage == Usage(**usage)


async def test_without_usage_the_dearest_is_charged_that_the_input_may_have_cost(vendor: Any) -> None:
    vendor.answer(response(usage=None))
    vendor.answer(response(usage=None))
    assert (await ask()).usage == Usage(input_tokens=700, output_tokens=300)
    marked = ASKED.model_copy(update={"cache_marks": (CacheMark(messages=1),)})
    assert (await ask(marked)).usage == Usage(input_tokens=700, output_tokens=300, cache_write_tokens=700)


@pytest.mark.parametrize(
    "more",
    [
        {"prompt_tokens_details": {"cached_tokens": 64}},
        {"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
        {"cached_tokens": 64},
        {"cache_read_input_tokens": 64},
        {"prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 64},
    ],
)
async def test_cache_hits_are_found_where_servers_report_them(stub: Any, more: Any) -> None:
    stub.answer(completion(usage={"prompt_tokens": 100, "completion_tokens": 50, **more}))
    assert (await ask(api="chat")).usage == Usage(input_tokens=100, output_tokens=50, cached_tokens=64)


anything = st.none() | st.integers(-5, 10**6) | st.booleans() | st.text(max_size=3) | st.floats()
names = ["cached_tokens", "cache_write_tokens", "reasoning_tokens", "cache_write_tokens_details"]
parts = st.dictionaries(st.sampled_from(names), anything | st.dictionaries(st.just("ttl_12h_tokens"), anything))


@given(
    st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "total_tokens"]), anything),
    parts | anything,
    parts | anything,
)
def test_parts_never_exceed_the_whole(figures: dict[str, Any], read: Any, written: Any) -> None:
    reported = {**figures, "input_tokens_details": read, "output_tokens_details": written}
    try:
        usage = usage_of(reported, "input", "output", "m")
    except ProviderError as error:
        assert "openai/m cannot be charged" in error.message
        return
    if usage is not None:
        kept = usage.cached_tokens + usage.cache_write_tokens + usage.cache_write_1h_tokens
        assert 0 <= kept <= usage.input_tokens
        assert 0 <= usage.reasoning_tokens <= usage.output_tokens
        assert min(usage.input_tokens, usage.output_tokens) >= 0


# --- when to come again ---


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "-3"}, 0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({}, None),
    ],
)
async def test_how_long_to_wait(stub: Any, headers: dict[str, str], seconds: float | None) -> None:
    stub.answer({}, 429, **headers)
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert caught.value.retry_after == seconds


async def test_how_long_to_wait_by_a_date(stub: Any) -> None:
    until = datetime.now(UTC) + timedelta(seconds=60)
    stub.answer({}, 503, retry_after=format_datetime(until, usegmt=True))
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert caught.value.retry_after is not None
    assert 50 <= caught.value.retry_after <= 60


@pytest.mark.parametrize(
    ("status", "at_fault"),
    [
        *((status, False) for status in (400, 409, 413, 422)),
        *((status, True) for status in (401, 402, 403, 404, 408, 429, 500, 503)),
    ],
)
async def test_whose_fault_it_is(stub: Any, status: int, at_fault: bool) -> None:
    stub.answer({}, status)
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert (caught.value.at_fault, caught.value.billed) == (at_fault, False)


@pytest.mark.parametrize("word", ["true", None])
async def test_an_empty_account_does_not_fill_up_by_asking_again(stub: Any, word: str | None) -> None:
    headers = {"x_should_retry": word} if word else {}
    stub.answer({"error": {"message": "no", "code": "insufficient_quota"}}, 429, **headers)
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert (caught.value.retryable, caught.value.at_fault) == (False, True)


@pytest.mark.parametrize(("status", "word", "retryable"), [(400, "true", True), (503, "false", False)])
async def test_the_server_says_whether_to_try_again(stub: Any, status: int, word: str, retryable: bool) -> None:
    stub.answer({}, status, x_should_retry=word)
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert caught.value.retryable is retryable


# --- what is kept ---

TURNS = (
    Message(content="A"),
    Message(content="B", role="assistant"),
    Message(content="18", role="tool", answers="t1"),
    Message(content="C"),
)


def marked(*numbers: int, **more: Any) -> ModelRequest:
    marks = tuple(CacheMark(messages=number) for number in numbers)
    return ModelRequest(**{"messages": TURNS, "system": "Be brief.", "cache_marks": marks, **more})


def points(sent: dict[str, Any]) -> list[int]:
    """Which of the turns carry a breakpoint, the system text being the first."""
    found = []
    for number, turn in enumerate(sent.get("input", sent.get("messages"))):
        blocks = turn.get("content", turn.get("output"))
        if isinstance(blocks, list) and any(part.get("prompt_cache_breakpoint") == POINT for part in blocks):
            found.append(number)
    return found


@pytest.mark.parametrize(("api", "body"), [("responses", response()), ("chat", completion())])
@pytest.mark.parametrize(
    ("marks", "expected"), [((), []), ((1,), [1]), ((2,), [1]), ((3,), [3]), ((4, 3), [3, 4]), ((99,), [4])]
)
async def test_breakpoints_stand_where_the_kept_part_ends(
    vendor: Any, api: str, body: Any, marks: tuple[int, ...], expected: list[int]
) -> None:
    """A model's own turn can carry none. What is not marked is not kept, as that costs."""
    vendor.answer(body)
    await ask(marked(*marks), api=api)
    sent = vendor.asked()
    found = points(sent)
    assert (found if api == "chat" else [number + 1 for number in found]) == expected
    assert sent["prompt_cache_options"] == {"mode": "explicit"}
    assert ("prompt_cache_key" in sent) is bool(marks)
    assert sent["service_tier"] == "default"


async def test_the_system_text_is_kept_as_a_turn(vendor: Any) -> None:
    vendor.answer(response())
    await ask(marked(0, 4))
    sent = vendor.asked()
    part = {"type": "input_text", "text": "Be brief.", "prompt_cache_breakpoint": POINT}
    assert sent["input"][0] == {"role": "developer", "content": [part]}
    assert "instructions" not in sent
    assert points(sent) == [0, 4]
    vendor.answer(completion())
    await ask(marked(0), api="chat")
    assert points(vendor.asked()) == [0]
    vendor.answer(response())
    await ask(marked(0, system=""))
    assert points(vendor.asked()) == []


async def test_calls_that_begin_alike_have_one_key(vendor: Any) -> None:
    async def key(asked: ModelRequest) -> str:
        vendor.answer(response())
        await ask(asked)
        found: str = vendor.asked()["prompt_cache_key"]
        return found

    first = await key(marked(0, 1))
    assert first == await key(marked(0, 4)), "the conversation has gone on"
    assert len(first) <= 64
    others = [marked(0, 1, system="Be long."), marked(0, 1, messages=TURNS[3:]), marked(0, 1, tools=(TOOL,))]
    assert len({first, *[await key(asked) for asked in others]}) == 4
    assert await key(marked(0, system="S")) == await key(marked(0, system="S", messages=TURNS[3:]))


async def test_older_models_are_told_nothing_but_the_key(vendor: Any) -> None:
    """They refuse the rest."""
    vendor.answer(response())
    await ask(marked(0, 4), OLD)
    sent = vendor.asked()
    assert points(sent) == []
    assert "prompt_cache_options" not in sent
    assert "prompt_cache_key" in sent


@pytest.mark.parametrize(("api", "body"), [("responses", response()), ("chat", completion())])
async def test_other_makers_servers_are_told_nothing(stub: Any, api: str, body: Any) -> None:
    stub.answer(body)
    await ask(marked(0, 4), api=api)
    assert points(stub.asked()) == []
    assert not {"prompt_cache_options", "prompt_cache_key", "service_tier"} & stub.asked().keys()


async def test_openai_may_be_left_to_keep_what_it_likes(vendor: Any) -> None:
    vendor.answer(response())
    await ask(marked(4), implicit_cache=True)
    assert "prompt_cache_options" not in vendor.asked()
    assert points(vendor.asked()) == [3]


def test_what_is_kept_is_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert OpenaiProvider().cache_ttl("gpt-6.1-terra", ASKED) == ""
    assert OpenaiProvider().cache_ttl("gpt-6.1-terra", marked(1)) == "5m"
    assert OpenaiProvider({"implicit_cache": True}).cache_ttl("gpt-6.1-terra", ASKED) == "5m"
    assert OpenaiProvider({"base_url": "https://eu.api.openai.com/v1"}).cache_ttl("gpt-6.1-terra", ASKED) == ""
    for url in ("http://127.0.0.1:1/v1", "https://notopenai.com/v1", "https://openai.com.example.org/v1"):
        assert OpenaiProvider({"base_url": url}).cache_ttl("gpt-6.1-terra", ASKED) == "5m", "nobody knows"


@pytest.mark.parametrize("model", ["gpt-5.6-sol", "gpt-5.10", "gpt-6-luna", "gpt-6.1-terra", "gpt-10"])
async def test_newer_models_keep_only_what_is_marked(vendor: Any, model: str) -> None:
    vendor.answer(response())
    await ask(ASKED, model)
    assert vendor.asked()["prompt_cache_options"] == {"mode": "explicit"}


async def test_openai_itself_is_told_the_clamp_by_its_newer_name(vendor: Any) -> None:
    vendor.answer(completion())
    await ask(api="chat")
    assert vendor.asked()["max_completion_tokens"] == 300
    assert "max_tokens" not in vendor.asked()


# --- pictures ---


@pytest.mark.parametrize("text", ["What is it?", ""])
async def test_pictures_stand_before_the_text(vendor: Any, text: str) -> None:
    picture = Image(media_type="image/png", data="aGk=")
    asked = marked(1, messages=(Message(content=text, images=(picture,)),))
    point = {"prompt_cache_breakpoint": POINT}
    url = "data:image/png;base64,aGk="
    vendor.answer(response())
    await ask(asked)
    shown: dict[str, Any] = {"type": "input_image", "image_url": url, "detail": "high"}
    said = [shown, {"type": "input_text", "text": text, **point}] if text else [{**shown, **point}]
    assert vendor.asked()["input"][0]["content"] == said
    vendor.answer(completion())
    await ask(asked, api="chat")
    shown = {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
    said = [shown, {"type": "text", "text": text, **point}] if text else [{**shown, **point}]
    assert vendor.asked()["messages"][1]["content"] == said


async def test_pictures_for_other_makers_servers(stub: Any) -> None:
    stub.answer(completion())
    picture = Image(media_type="image/png", data="aGk=")
    await ask(ModelRequest(messages=(Message(content="", images=(picture,)),)), api="chat")
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    assert stub.asked()["messages"][0]["content"] == [shown]


def test_a_picture_is_counted_from_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    provider = OpenaiProvider()
    models = ("gpt-6-luna", "gpt-5.6-sol", "gpt-4o", "gpt-5-nano", "gpt-4o-mini")
    assert [provider.token_counting(name).image for name in models] == [3000, 3000, 6150, 6150, 48169]
    assert OpenaiProvider({"base_url": "http://127.0.0.1:1/v1"}).token_counting("qwen3-vl").image == 16384
    assert provider.images


# --- counting ---


async def test_openai_counts_for_nothing(vendor: Any) -> None:
    """All that is input, and nothing that is not."""
    vendor.answer({"object": "response.input_tokens", "input_tokens": 321})
    provider = OpenaiProvider()
    asked = ModelRequest(
        messages=ASKED.messages, system="Be brief.", tools=(TOOL,), json_schema={"type": "object"}
    )
    assert await provider.count_tokens(NEW, asked) == 321
    assert vendor.requests[0][0] == "POST http://api.openai.com/v1/responses/input_tokens HTTP/1.1"
    assert vendor.asked().keys() == {"model", "input", "instructions", "tools", "tool_choice", "reasoning", "text"}
    await provider.close()


@pytest.mark.parametrize(("body", "status"), [({}, 200), ({"input_tokens": 0}, 200), ({}, 503), (b"<html>", 200)])
async def test_a_failed_count_costs_nothing(vendor: Any, body: Any, status: int) -> None:
    vendor.answer(body, status)
    provider = OpenaiProvider()
    with pytest.raises(ProviderError) as caught:
        await provider.count_tokens(NEW, ASKED)
    assert caught.value.billed is False
    await provider.close()


async def test_chat_completions_are_counted_too(vendor: Any) -> None:
    """By the same endpoint: the tokens are those of the same texts."""
    vendor.answer({"object": "response.input_tokens", "input_tokens": 42})
    provider = OpenaiProvider({"api": "chat"})
    assert provider.counts_tokens(NEW) is True
    assert await provider.count_tokens(NEW, ASKED) == 42
    assert vendor.requests[0].line == "POST http://api.openai.com/v1/responses/input_tokens HTTP/1.1"
    await provider.close()
