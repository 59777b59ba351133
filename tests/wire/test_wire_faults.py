"""Every fault that an independent emulator of the vendors plays, with its own verdict on how it was met.

The verdict is strict: it fails on warnings too. It cannot see what was charged; that is asserted here.
"""

from typing import Any

import pytest

ALL = ("messages", "messages, not thinking", "responses", "responses, not thinking", "chat", "chat, not thinking")
EACH = pytest.mark.parametrize("api", ["messages", "responses", "chat"])
EVERY = pytest.mark.parametrize("api", ALL)
STREAMED = pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
ANSWER = "One ring to rule them all, one ring to find them, one ring to bring them all"
AGAIN = {"retry": {"attempts": 2, "delay": 0.02, "jitter": 0}}
"""A step whose answer broke off after a part of it was shown is done again as a whole."""


def charged(told: Any, outcome: str) -> list[tuple[int, int]]:
    """Tokens and micro-US$ of the tries that ended so."""
    return [(event.usage.tokens, event.usage.micro_usd) for event in told.tries if event.outcome == outcome]


@EVERY
@STREAMED
async def test_an_answer_is_charged_as_it_was_reported(llmock: Any, ask: Any, api: str, streams: bool) -> None:
    llmock.reply(ANSWER)
    told = await ask(api, streams=streams)
    assert told.text == ANSWER
    assert told.outcomes == ["answered"]
    assert "".join(told.shown) == (ANSWER if streams else "")
    assert told.tries[0].usage.output_tokens < 60, "it is the server's own figure, not what was held"
    assert len(llmock.requests) == 1
    llmock.assert_resilient(strict=True)


@pytest.mark.sampled(10)
@EACH
@pytest.mark.parametrize(
    ("status", "streams"),
    [(429, True), (529, True), *((status, False) for status in (408, 409, 429, 500, 502, 503, 504, 529))],
)
async def test_what_may_pass_is_tried_again(llmock: Any, ask: Any, api: str, streams: bool, status: int) -> None:
    """What a gateway answers says nothing about the server behind it, which may have done the work, and charge it."""
    llmock.fail(status, retry_after=0.5 if status == 429 else 0.02).reply(ANSWER)
    told = await ask(api, streams=streams)
    uncertain = status in (502, 504)
    assert (told.text, told.outcomes) == (ANSWER, ["in_doubt" if uncertain else "refused", "answered"])
    assert told.tries[0].usage.tokens == (told.held[0] if uncertain else 0)
    assert len(llmock.requests) == 2
    llmock.assert_resilient(strict=True)


@EACH
@pytest.mark.parametrize(
    ("status", "streams"),
    [(400, True), (401, True), *((status, False) for status in (400, 401, 402, 403, 404, 413, 422))],
)
async def test_what_does_not_pass_is_not(llmock: Any, ask: Any, api: str, streams: bool, status: int) -> None:
    llmock.fail(status)
    told = await ask(api, streams=streams)
    assert told.result.failures["a"].error == "ProviderError"
    assert told.outcomes == ["refused"]
    assert told.result.metrics.tokens_used == 0
    assert len(llmock.requests) == 1
    llmock.assert_resilient(strict=True)


@EACH
async def test_an_outage_is_borne_with_a_few_tries_at_growing_distance(llmock: Any, ask: Any, api: str) -> None:
    llmock.add(_without_a_word(503))
    told = await ask(api)
    assert told.outcomes == ["refused"] * 3
    assert len(llmock.requests) == 3
    llmock.assert_resilient(strict=True)


def _without_a_word(status: int) -> Any:
    from llmock.scenarios import Fail

    return Fail(status, retry_after=0.0, times=None)


@EACH
async def test_a_quota_is_kept_by_waiting_as_long_as_it_says(llmock: Any, ask: Any, api: str) -> None:
    llmock.limits(rpm=120)
    state = llmock._server.state.limiter
    for _ in range(120):
        state.admit("anthropic" if api == "messages" else "openai", "Bearer llmock-test-key", 1)
    told = await ask(api)
    assert told.outcomes[-1] == "answered"
    llmock.assert_resilient(strict=True)


@EACH
@STREAMED
async def test_a_prompt_that_is_too_long_is_not_tried_again(
    llmock: Any, ask: Any, api: str, streams: bool
) -> None:
    llmock.context_overflow()
    told = await ask(api, streams=streams)
    assert "context length" in told.result.failures["a"].message
    assert told.outcomes == ["refused"]
    llmock.assert_resilient(strict=True)


@EACH
@STREAMED
async def test_a_slow_answer_is_waited_for(llmock: Any, ask: Any, api: str, streams: bool) -> None:
    llmock.delay(0.2).slow_first_token(0.2).reply(ANSWER)
    told = await ask(api, streams=streams)
    assert (told.text, told.outcomes) == (ANSWER, ["answered"])
    llmock.assert_resilient(strict=True)


@EACH
async def test_an_answer_that_does_not_come_in_time_may_have_been_charged(llmock: Any, ask: Any, api: str) -> None:
    """Charged with all that was held, and asked for once more."""
    llmock.delay(3.0).reply(ANSWER)
    told = await ask(api, run={"call_timeout": 1.5})
    assert told.outcomes == ["in_doubt", "answered"]
    assert charged(told, "in_doubt")[0][0] == told.held[0]
    assert charged(told, "in_doubt")[0][1] > 0
    llmock.assert_resilient(strict=True)


# --- streams that break ---

KNOWN = {"messages, not thinking": 1, "messages": 2, "chat, not thinking": 2, "responses, not thinking": 5}
"""After how many events it is known what was written. With models that think, Anthropic's show that they do not from
the first block of text on, and OpenAI's never."""


def check(told: Any, shown: str) -> None:
    """A broken stream is charged with what came, or with all that was held where more may have been written."""
    cut, held = charged(told, "cut_off"), charged(told, "in_doubt")
    assert len(cut) + len(held) == 1
    (tokens, micro) = (cut + held)[0]
    assert micro > 0
    assert tokens >= len(shown.split())
    if cut:
        assert tokens < told.held[0], "only what came"
    else:
        assert tokens == told.held[0]
    assert told.outcomes[-1] == "answered"
    assert told.result.metrics.tokens_used == tokens + told.tries[-1].usage.tokens


@pytest.mark.sampled(16)
@EVERY
@pytest.mark.parametrize(
    ("fault", "chunks"),
    [
        ("truncate", 0),
        ("truncate", 1),
        *((fault, chunks) for fault in ("disconnect", "truncate", "corrupt") for chunks in (3, 12)),
    ],
)
async def test_a_stream_that_breaks_is_charged_and_asked_for_again(
    llmock: Any, ask: Any, api: str, fault: str, chunks: int
) -> None:
    """The SDKs take a stream that ends early for an answer, and let a corrupt chunk through as it is.

    The chunk after two is left out: with Anthropic it is a `ping`, which nobody reads.
    """
    getattr(llmock, fault)(after_chunks=chunks).reply(ANSWER, times=2)
    if fault == "corrupt":  # else all of it may be sent before the client can leave
        llmock.pace(8)
    told = await ask(api, streams=True, step=AGAIN)
    assert told.text == ANSWER
    assert len(llmock.requests) == 2
    shown = "".join(told.shown)
    assert shown.endswith(ANSWER)
    check(told, shown.removesuffix(ANSWER))
    assert told.outcomes == ["cut_off" if chunks >= KNOWN.get(api, 99) else "in_doubt", "answered"]
    llmock.assert_resilient(strict=True)


@pytest.mark.sampled(4)
@EVERY
@pytest.mark.parametrize("chunks", [0, 6])
async def test_a_stream_that_falls_silent_is_ended(llmock: Any, ask: Any, api: str, chunks: int) -> None:
    llmock.stall(after_chunks=chunks, seconds=20).reply(ANSWER, times=2)
    told = await ask(api, streams=True, step=AGAIN, run={"call_timeout": 0.4})
    assert told.text == ANSWER
    check(told, "".join(told.shown).removesuffix(ANSWER))
    llmock.assert_resilient(strict=True)


@EACH
async def test_without_another_try_a_broken_stream_is_no_answer(llmock: Any, ask: Any, api: str) -> None:
    llmock.truncate(after_chunks=8).reply(ANSWER)
    told = await ask(api, streams=True)
    assert told.shown
    assert told.result.failures["a"].error == "ProviderError"
    assert told.result.metrics.tokens_used > 0


# --- tools ---

WEATHER = {
    "name": "weather",
    "description": "Today's weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@EACH
@STREAMED
async def test_a_tool_is_called(llmock: Any, ask: Any, api: str, streams: bool) -> None:
    llmock.call_tool("weather", {"city": "Paris"})
    told = await ask(api, streams=streams, more={"tools": (WEATHER,)})
    assert told.result.outputs["a"]["calls"] == ["weather"]
    assert told.outcomes == ["answered"]
    llmock.assert_resilient(strict=True)


@EACH
@STREAMED
@pytest.mark.parametrize("kind", ["malformed_arguments", "unknown_tool"])
async def test_a_broken_tool_call_breaks_nothing(
    llmock: Any, ask: Any, api: str, streams: bool, kind: str
) -> None:
    llmock.break_tool_call(kind)
    told = await ask(api, streams=streams, more={"tools": (WEATHER,)})
    assert told.outcomes == ["answered"]
    assert len(told.result.outputs["a"]["calls"]) == 1
    llmock.assert_resilient(strict=True)


@EACH
@pytest.mark.parametrize("fault", ["disconnect", "truncate", "corrupt"])
async def test_a_tool_call_that_breaks_off_is_charged(llmock: Any, ask: Any, api: str, fault: str) -> None:
    getattr(llmock.call_tool("weather", {"city": "Paris" * 20}, times=2), fault)(after_chunks=6).pace(8)
    told = await ask(f"{api}, not thinking", streams=True, more={"tools": (WEATHER,)})
    assert told.result.outputs["a"]["calls"] == ["weather"]
    check(told, "")
    llmock.assert_resilient(strict=True)
