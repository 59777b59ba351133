"""What goes over the wire otherwise than usual: errors inside of a 200, gateways, bounds, thinking, other servers."""

import gzip
import json
from typing import Any

import pytest

from intendant import SettingsError
from intendant.plugin import ContextOverflow, Hold, Message, ModelReply, ModelRequest, ProviderError, Tool
from intendant.testing import CUT, RESET, MeterLog, WireServer
from intendant_provider_anthropic import AnthropicProvider

HOLD = Hold("call-key", 1000, 500, 300, "claude-haiku-5-5", 5.0)
ASKED = ModelRequest(messages=(Message(content="Hello"),))
TOOL = Tool(name="weather", description="Today's", parameters={"type": "object"})


def message(*content: dict[str, Any], **more: Any) -> dict[str, Any]:
    made = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-5-5"}
    blocks = list(content) or [{"type": "text", "text": "Hi there"}]
    usage = {"input_tokens": 100, "output_tokens": 50}
    return {**made, "content": blocks, "stop_reason": "end_turn", "usage": usage, **more}


async def ask(asked: ModelRequest = ASKED, hold: Hold = HOLD, **settings: Any) -> ModelReply:
    provider = AnthropicProvider(settings)
    try:
        return await provider.complete(hold, asked)
    finally:
        await provider.close()


def error(kind: str, said: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": said}}


ERRORS = [
    ("overloaded_error", "busy", False, True),
    ("rate_limit_error", "slow down", False, True),
    ("authentication_error", "bad key", False, False),
    ("timeout_error", "too late", True, True),
    ("api_error", "broke", False, True),
]


@pytest.mark.parametrize(("kind", "said", "billed", "retryable"), ERRORS)
async def test_an_error_that_comes_with_status_200_is_one(
    stub: WireServer, kind: str, said: str, billed: bool, retryable: bool
) -> None:
    stub.answer(error(kind, said))
    with pytest.raises(ProviderError, match=said) as caught:
        await ask()
    assert (caught.value.billed, caught.value.retryable) == (billed, retryable)


@pytest.mark.parametrize(("kind", "said", "billed", "retryable"), ERRORS)
async def test_an_error_before_the_answer_began_was_not_charged(
    stub: WireServer, kind: str, said: str, billed: bool, retryable: bool
) -> None:
    stub.answer([f"event: error\ndata: {json.dumps(error(kind, said))}\n\n".encode()])
    provider = AnthropicProvider()
    with pytest.raises(ProviderError, match=said) as caught:
        await provider.stream(HOLD, ASKED, MeterLog())
    assert (caught.value.billed, caught.value.retryable) == (billed, retryable)
    await provider.close()


@pytest.mark.parametrize(
    ("status", "billed"), [(500, False), (502, True), (503, False), (504, True), (529, False)]
)
async def test_what_a_gateway_answers_is_uncertain(stub: WireServer, status: int, billed: bool) -> None:
    stub.answer("<html>bad gateway</html>", status)
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert (caught.value.billed, caught.value.retryable, caught.value.status) == (billed, True, status)


@pytest.mark.parametrize("how", [CUT, RESET])
async def test_a_connection_that_breaks_after_the_call_was_sent_is_uncertain(stub: WireServer, how: str) -> None:
    stub.answer(how)
    with pytest.raises(ProviderError, match="broke off") as caught:
        await ask()
    assert (caught.value.billed, caught.value.retryable) == (True, True)


@pytest.mark.parametrize(
    ("said", "window"),
    [
        ("prompt is too long: 208310 tokens > 200000 maximum", 200_000),
        ("input length and `max_tokens` exceed context limit: 199000 + 20000 > 200000, decrease input", 200_000),
        ("input is too long for requested model", None),
    ],
)
async def test_a_call_that_is_too_long_for_the_model_says_so(
    stub: WireServer, said: str, window: int | None
) -> None:
    provider = AnthropicProvider()
    stub.answer(error("invalid_request_error", said), 400)
    with pytest.raises(ContextOverflow) as caught:
        await provider.complete(HOLD, ASKED)
    assert (caught.value.window, caught.value.billed) == (window, False)
    assert provider.context_window("claude-haiku-5-5") == window
    await provider.close()
    assert AnthropicProvider({"windows": {"claude-haiku-5-5": 5}}).context_window("claude-haiku-5-5") == 5


async def test_replies_are_bounded_and_redirections_not_followed(stub: WireServer) -> None:
    stub.answer(
        gzip.compress(json.dumps(message({"type": "text", "text": "x" * 10**7})).encode()), content_encoding="gzip"
    )
    with pytest.raises(ProviderError, match="larger than 100000 bytes") as caught:
        await ask(max_reply_bytes=100_000)
    assert 'provider:anthropic".max_reply_bytes' in caught.value.hint
    stub.answer({}, 308, location="http://127.0.0.1:1/")
    with pytest.raises(ProviderError, match="keys are not sent on"):
        await ask()
    assert len(stub.requests) == 2


@pytest.mark.parametrize("key", ["a", "er"])
async def test_a_short_key_does_not_eat_letters_of_messages(stub: WireServer, monkeypatch: Any, key: str) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    stub.answer(error("permission_error", "a banana never errs"), 403)
    with pytest.raises(ProviderError, match="a banana never errs"):
        await ask()


# --- thinking ---


@pytest.mark.parametrize(
    ("model", "tools", "settings", "sent"),
    [
        ("claude-haiku-5-5", (TOOL,), {}, {"type": "disabled"}),
        ("claude-haiku-5-5", (), {}, None),
        ("claude-opus-4-1", (TOOL,), {}, None),
        ("claude-haiku-5-5", (TOOL,), {"thinking_between_tools": True}, None),
    ],
)
async def test_thinking_that_may_exceed_the_answer_s_length_is_switched_off(
    stub: WireServer, model: str, tools: Any, settings: Any, sent: Any
) -> None:
    """Between calls of tools models may think for longer than `max_tokens`; otherwise that bounds it."""
    stub.answer(message())
    await ask(
        ModelRequest(messages=ASKED.messages, tools=tools), Hold("k", 1000, 500, 300, model, 5.0), **settings
    )
    assert stub.asked().get("thinking") == sent
    assert stub.asked()["max_tokens"] == 300


def test_thinking_that_is_allowed_makes_a_hold_a_likely_one() -> None:
    how = AnthropicProvider({"thinking_between_tools": True}).token_counting("claude-haiku-5-5")
    assert how.tokenizer == "unknown"
    assert AnthropicProvider().token_counting("claude-haiku-5-5").tokenizer == "byte_bpe"


@pytest.mark.parametrize(
    ("model", "settings", "tools", "tokens"),
    [
        ("claude-haiku-5-5", {}, (), 1024),
        ("claude-haiku-5-5", {"effort": "high"}, (), 8192),
        ("claude-haiku-5-5", {"effort": None}, (), 4096),
        ("claude-haiku-5-5", {}, (TOOL,), 0),
        ("claude-opus-4-1", {}, (), 0),
    ],
)
def test_models_that_think_are_given_tokens_for_it(model: str, settings: Any, tools: Any, tokens: int) -> None:
    """Beside an answer whose length is asked for, which thinking would use up."""
    asked = ModelRequest(messages=ASKED.messages, tools=tools)
    assert AnthropicProvider(settings).thinking_tokens(model, asked) == tokens


async def test_what_is_shown_of_thinking_is_no_part_of_the_answer(stub: WireServer) -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    stub.answer(message(thought, {"type": "text", "text": "Yes."}), request_id="req_7")
    reply = await ask()
    assert (reply.text, reply.reasoning) == ("Yes.", "Hm.")
    assert (reply.answered_by, reply.response_id, reply.request_id) == ("claude-haiku-5-5", "msg_1", "req_7")


# --- answers of a given shape ---


@pytest.mark.parametrize("text", ['{"answer": [1]}', "[1]"])
async def test_an_array_is_asked_for_inside_of_an_object(stub: WireServer, text: str) -> None:
    stub.answer(message({"type": "text", "text": text}))
    schema: Any = {"type": "array", "items": {"type": "integer"}}
    reply = await ask(ModelRequest(messages=ASKED.messages, json_schema=schema))
    form = stub.asked()["output_config"]["format"]
    assert form["schema"]["properties"].keys() == {"answer"}
    assert (reply.data, reply.text) == ([1], "[1]")


@pytest.mark.parametrize("text", ['{"a": "half \ud83d"}', '```json\n{"a": "half \ud83d"}\n```'])
async def test_broken_characters_and_fences_do_not_hide_the_data(stub: WireServer, text: str) -> None:
    stub.answer(message({"type": "text", "text": text}))
    reply = await ask(ModelRequest(messages=ASKED.messages, json_schema={"type": "object"}))
    assert reply.data == {"a": "half \ufffd"}
    reply.model_dump_json()


# --- other servers ---


def test_models_must_be_named_at_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    with pytest.raises(SettingsError, match="which models http://127.0.0.1:1 has"):
        AnthropicProvider().models()
    assert AnthropicProvider({"models": {"fast": "m"}}).models() == {"fast": "m"}


async def test_a_token_goes_where_the_sdk_sends_it(stub: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "my-own-token-0123")
    stub.answer(message())
    await ask()
    assert stub.requests[0].headers["authorization"] == "Bearer my-own-token-0123"
    assert "x-api-key" not in stub.requests[0].headers


async def test_a_call_s_key_is_sent_where_the_server_knows_calls_again_by_it(stub: WireServer) -> None:
    """The vendors do not; a gateway before them may."""
    stub.answer(message())
    await ask()
    assert "idempotency-key" not in stub.requests[0].headers
    assert AnthropicProvider().knows_keys is False
    stub.answer(message())
    await ask(idempotency_header="Idempotency-Key")
    assert stub.requests[1].headers["idempotency-key"] == "call-key"
    assert AnthropicProvider({"idempotency_header": "Idempotency-Key"}).knows_keys is True
