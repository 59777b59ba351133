"""What a call took, how long to wait, and what is kept for later calls."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import (
    CacheMark,
    Hold,
    Image,
    Message,
    ModelReply,
    ModelRequest,
    ProviderError,
    Tool,
    ToolCall,
    Usage,
)
from intendant_provider_anthropic import AnthropicProvider
from intendant_provider_anthropic._usage import usage_of

HOLD = Hold("call-key", 1000, 500, 300, "claude-haiku-5-5", 5.0)
ASKED = ModelRequest(messages=(Message(content="Hello"),))
MINUTES = ASKED.model_copy(update={"cache_marks": (CacheMark(messages=1),)})
HOUR = ASKED.model_copy(update={"cache_marks": (CacheMark(messages=1, ttl="1h"),)})
TOOL = Tool(name="weather", description="Today's", parameters={"type": "object"})


def message(**more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 100, "output_tokens": 50}
    made = {"id": "m", "type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    return {**made, "usage": usage, **more}


async def ask(asked: ModelRequest = ASKED, **settings: Any) -> ModelReply:
    provider = AnthropicProvider(settings)
    try:
        return await provider.complete(HOLD, asked)
    finally:
        await provider.close()


# --- usage ---


@pytest.mark.parametrize(
    ("asked", "reported", "expected"),
    [
        (ASKED, {}, {}),
        (ASKED, {"cache_read_input_tokens": 64}, {"cached_tokens": 64}),
        (MINUTES, {"cache_creation_input_tokens": 20}, {"cache_write_tokens": 20}),
        (HOUR, {"cache_creation_input_tokens": 20}, {"cache_write_1h_tokens": 20}),
        (
            MINUTES,
            {
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            },
            {"cache_write_tokens": 10, "cache_write_1h_tokens": 20},
        ),
        (
            HOUR,
            {
                "cache_creation_input_tokens": 50,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            },
            {"cache_write_tokens": 10, "cache_write_1h_tokens": 40},
        ),
        (
            ASKED,
            {"cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": None}},
            {"cache_write_tokens": 10},
        ),
        (ASKED, {"output_tokens_details": {"thinking_tokens": 30}}, {"reasoning_tokens": 30}),
        (ASKED, {"output_tokens_details": {"thinking_tokens": 900}}, {"reasoning_tokens": 50}),
        (ASKED, {"cache_read_input_tokens": -64, "cache_creation_input_tokens": "many"}, {}),
    ],
)
async def test_usage_in_all_its_parts(
    stub: Any, asked: ModelRequest, reported: dict[str, Any], expected: dict[str, int]
) -> None:
    stub.answer(message(usage={"input_tokens": 100, "output_tokens": 50, **reported}))
    apart = sum(expected.values()) - expected.get("reasoning_tokens", 0)
    assert (await ask(asked)).usage == Usage(input_tokens=100 + apart, output_tokens=50, **expected)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [(ASKED, {}), (MINUTES, {"cache_write_tokens": 700}), (HOUR, {"cache_write_1h_tokens": 700})],
)
@pytest.mark.parametrize("usage", [None, "free", {"output_tokens": 50}])
async def test_without_usage_all_that_was_held_is_charged(
    stub: Any, asked: ModelRequest, kept: dict[str, int], usage: Any
) -> None:
    """At the dearest price that the input may have had."""
    stub.answer(message(usage=usage))
    reply = await ask(asked)
    assert reply.usage == Usage(input_tokens=700, output_tokens=300, **kept)
    assert reply.stop_reason == "end"


@pytest.mark.parametrize("usage", [(0, 0), (100, 0), (0, 50)])
async def test_too_low_figures_are_passed_on(stub: Any, usage: tuple[int, int]) -> None:
    """The gateway charges by a count of its own where they cannot be."""
    stub.answer(message(usage={"input_tokens": usage[0], "output_tokens": usage[1]}))
    assert (await ask()).usage == Usage(input_tokens=usage[0], output_tokens=usage[1])


@pytest.mark.parametrize("figure", [-1, 2.5, "12"])
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens"])
async def test_figures_that_are_no_numbers_of_tokens_are_an_error(stub: Any, name: str, figure: Any) -> None:
    stub.answer(message(usage={"input_tokens": 5, "output_tokens": 5, name: figure}))
    with pytest.raises(ProviderError, match="cannot be charged by what it reports") as caught:
        await ask()
    assert caught.value.billed
    assert caught.value.message.startswith("anthropic/claude")


anything = st.none() | st.integers(-5, 10**6) | st.booleans() | st.text(max_size=3) | st.floats()
parts = st.dictionaries(
    st.sampled_from(["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "thinking_tokens"]), anything
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"]
        ),
        anything,
    ),
    parts | anything,
    parts | anything,
    st.sampled_from([ASKED, MINUTES, HOUR]),
)
def test_parts_never_exceed_the_whole(
    figures: dict[str, Any], creation: Any, details: Any, asked: ModelRequest
) -> None:
    reported = {**figures, "cache_creation": creation, "output_tokens_details": details}
    try:
        usage = usage_of(reported, asked, "m")
    except ProviderError as error:
        assert "anthropic/m cannot be charged" in error.message
        return
    if usage is not None:
        read = usage.cached_tokens + usage.cache_write_tokens + usage.cache_write_1h_tokens
        assert 0 <= read <= usage.input_tokens
        assert 0 <= usage.reasoning_tokens <= usage.output_tokens
        assert min(usage.input_tokens, usage.output_tokens) >= 0


# --- when to come again ---


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "-3"}, 0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({"retry_after_ms": "x", "retry_after": "7"}, 7),
        ({}, None),
    ],
)
async def test_how_long_to_wait(stub: Any, headers: dict[str, str], seconds: float | None) -> None:
    stub.answer({}, 429, **headers)
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(("ahead", "least", "most"), [(60, 50, 60), (-60, 0, 0)])
async def test_how_long_to_wait_by_a_date(stub: Any, ahead: int, least: float, most: float) -> None:
    until = datetime.now(UTC) + timedelta(seconds=ahead)
    stub.answer({}, 503, retry_after=format_datetime(until, usegmt=True))
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert caught.value.retry_after is not None
    assert least <= caught.value.retry_after <= most


@pytest.mark.parametrize(
    ("status", "at_fault"),
    [
        *((status, False) for status in (400, 409, 413, 422)),
        *((status, True) for status in (401, 402, 403, 404, 408, 429, 500, 529)),
    ],
)
async def test_whose_fault_it_is(stub: Any, status: int, at_fault: bool) -> None:
    """A call that is wrong says nothing of the next; an account or a server that is out of order does."""
    stub.answer({}, status)
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert (caught.value.at_fault, caught.value.billed) == (at_fault, False)


@pytest.mark.parametrize(
    ("status", "word", "retryable"), [(400, "true", True), (529, "false", False), (529, "maybe", True)]
)
async def test_the_server_says_whether_to_try_again(stub: Any, status: int, word: str, retryable: bool) -> None:
    stub.answer({}, status, x_should_retry=word)
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert caught.value.retryable is retryable


@pytest.mark.parametrize("headers", [{}, {"x_should_retry": "true"}])
async def test_an_empty_account_does_not_fill_up_by_asking_again(stub: Any, headers: dict[str, str]) -> None:
    said = "Your credit balance is too low to access the Anthropic API."
    stub.answer({"type": "error", "error": {"type": "invalid_request_error", "message": said}}, 400, **headers)
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert (caught.value.retryable, caught.value.at_fault) == (False, True)
    assert caught.value.hint == "check the account's credit"


# --- what is kept ---

TURNS = (
    Message(content="A"),
    Message(content="", role="assistant", raw=[
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {}},
    ], calls=(ToolCall(id="t1", name="weather", arguments={}),)),
    Message(content="18", role="tool", answers="t1"),
    Message(content="B"),
)  # fmt: skip


async def kept(stub: Any, *marks: tuple[int, str], **more: Any) -> dict[str, Any]:
    stub.answer(message())
    made = tuple(CacheMark(messages=number, ttl=ttl) for number, ttl in marks)  # type: ignore[arg-type]
    asked = {"messages": TURNS, "system": "Be brief.", "tools": (TOOL,), **more}
    await ask(ModelRequest(cache_marks=made, **asked))
    return stub.asked()


def ttls(sent: dict[str, Any]) -> list[tuple[str, str]]:
    """Where marks stand, in the order in which the model reads, and for how long."""
    found = [("tools", part) for part in sent.get("tools", ())]
    found += [("system", part) for part in sent.get("system", ()) if isinstance(part, dict)]
    for number, turn in enumerate(sent["messages"], 1):
        found += [(f"turn {number}", part) for part in turn["content"] if isinstance(part, dict)]
    return [(name, part["cache_control"]["ttl"]) for name, part in found if "cache_control" in part]


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([], []),
        ([(0, "5m")], [("system", "5m")]),
        ([(0, "1h"), (4, "5m")], [("system", "1h"), ("turn 4", "5m")]),
        ([(1, "5m"), (1, "1h")], [("turn 1", "1h")]),
        ([(0, "5m"), (4, "1h")], [("system", "1h"), ("turn 4", "1h")]),
        ([(2, "5m")], [("turn 2", "5m")]),
        ([(3, "5m")], [("turn 3", "5m")]),
        ([(99, "5m"), (4, "5m")], [("turn 4", "5m")]),
        (
            [(0, "5m"), (1, "5m"), (3, "5m"), (4, "5m")],
            [("system", "5m")] + [(f"turn {n}", "5m") for n in (1, 3, 4)],
        ),
    ],
)
async def test_marks_stand_where_the_kept_part_ends(
    stub: Any, marks: list[tuple[int, str]], expected: list[tuple[str, str]]
) -> None:
    """One for each place, and none for an hour after one for five minutes, which the API refuses."""
    sent = await kept(stub, *marks)
    assert ttls(sent) == expected
    provider = AnthropicProvider()
    asked = ModelRequest(messages=TURNS, cache_marks=tuple(CacheMark(messages=n, ttl=ttl) for n, ttl in marks))  # type: ignore[arg-type]
    assert provider.cache_ttl("claude-sonnet-5-5", asked) == max(
        (ttl for _, ttl in expected), key="5m 1h".index, default=""
    )


async def test_a_mark_stands_on_the_call_and_not_on_the_thinking(stub: Any) -> None:
    sent = await kept(stub, (2, "5m"))
    assert [part.get("cache_control") for part in sent["messages"][1]["content"]] == [
        None,
        {"type": "ephemeral", "ttl": "5m"},
    ]
    assert "cache_control" not in str(TURNS), "what was given is left as it is"


async def test_thinking_carries_no_mark(stub: Any) -> None:
    """The API refuses that, too; what stands before it carries the mark."""
    said = [{"type": "text", "text": "Hm"}, {"type": "redacted_thinking", "data": "x"}]
    await kept(stub, (1, "5m"), messages=(Message(content="Hm", role="assistant", raw=said), *TURNS[3:]))
    first, second = stub.asked()["messages"][0]["content"]
    assert ("cache_control" in first, "cache_control" in second) == (True, False)


async def test_without_a_system_text_the_tools_are_kept(stub: Any) -> None:
    assert ttls(await kept(stub, (0, "5m"), system="")) == [("tools", "5m")]
    assert ttls(await kept(stub, (0, "5m"), system="", tools=())) == []


async def test_an_empty_text_carries_no_mark(stub: Any) -> None:
    """The API refuses that."""
    assert ttls(await kept(stub, (1, "5m"), messages=(Message(content=""),))) == []


# --- pictures ---


async def test_pictures_stand_before_the_text(stub: Any) -> None:
    stub.answer(message())
    stub.answer(message())
    picture = Image(media_type="image/png", data="aGk=")
    block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    await ask(ModelRequest(messages=(Message(content="What is it?", images=(picture, picture)),)))
    assert stub.asked()["messages"][0]["content"] == [block, block, {"type": "text", "text": "What is it?"}]
    marked = (CacheMark(messages=1),)
    await ask(ModelRequest(messages=(Message(content="", images=(picture,)),), cache_marks=marked))
    assert stub.asked()["messages"][0]["content"] == [
        {**block, "cache_control": {"type": "ephemeral", "ttl": "5m"}}
    ]


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-haiku-5-5", 4800),
        ("claude-opus-4-7", 4800),
        ("claude-new", 4800),
        ("claude-haiku-4-5", 1600),
        ("claude-opus-4-6", 1600),
        ("claude-opus-4-20250514", 1600),
        ("claude-3-5-haiku-latest", 1600),
    ],
)
def test_a_picture_is_counted_from_above(model: str, tokens: int) -> None:
    provider = AnthropicProvider()
    assert (provider.token_counting(model).image, provider.images) == (tokens, True)


# --- counting ---


async def test_anthropic_counts_for_nothing(vendor: Any) -> None:
    """All that is input, marks and shape included, and nothing that is not."""
    vendor.answer({"input_tokens": 321})
    provider = AnthropicProvider()
    asked = ModelRequest(
        messages=ASKED.messages, system="Be brief.", tools=(TOOL,), json_schema={"type": "object"}
    )
    assert await provider.count_tokens("claude-haiku-5-5", asked) == 321
    assert vendor.requests[0][0] == "POST http://api.anthropic.com/v1/messages/count_tokens HTTP/1.1"
    said = {"model", "messages", "system", "tools", "tool_choice", "output_config", "thinking"}
    assert vendor.asked().keys() == said
    await provider.close()


@pytest.mark.parametrize(("body", "status"), [({}, 200), ({"input_tokens": 0}, 200), ({}, 529), (b"<html>", 200)])
async def test_a_failed_count_costs_nothing(vendor: Any, body: Any, status: int) -> None:
    vendor.answer(body, status)
    provider = AnthropicProvider()
    with pytest.raises(ProviderError) as caught:
        await provider.count_tokens("claude-haiku-5-5", ASKED)
    assert caught.value.billed is False
    await provider.close()


async def test_another_server_is_not_asked_to_count(stub: Any) -> None:
    assert await AnthropicProvider().count_tokens("claude-haiku-5-5", ASKED) is None
    assert not stub.requests
