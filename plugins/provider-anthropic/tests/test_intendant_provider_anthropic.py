import asyncio
import math
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from intendant.plugin import (
    Hold,
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    ProviderError,
    StepRequest,
    StepResult,
    Tool,
    ToolCall,
)
from intendant.testing import HANG, OnlyTier, Peer, ProviderContract, Scenario, WireServer, nobody, run_steps
from intendant_provider_anthropic import MODELS, AnthropicProvider

KEY = "sk-ant-test-0123456789abcdef"
HOLD = Hold("call-key", 1000, 500, 300, "claude-haiku-5-5", 5.0)
ASKED = ModelRequest(messages=(Message(content="Hello"),))
OBJECT = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}


HERE = {"models": {"fast": "claude-haiku-5-5"}}
"""What a server has that is not Anthropic's own."""


class TestAnthropicProvider(ProviderContract):
    plugin = AnthropicProvider
    entry_point = "anthropic"

    @asynccontextmanager
    async def peer(self, scenario: Scenario) -> AsyncIterator[Peer]:
        server = WireServer()
        counted = {"input_tokens": scenario.input_tokens, "output_tokens": scenario.output_tokens}
        server.answer(HANG if scenario.hangs else message(scenario.text, usage=counted), scenario.status)
        async with server.running() as url:
            made = AnthropicProvider({"base_url": url, "api_key": KEY, "models": {"fast": scenario.model}})
            yield Peer(made, lambda: server.asked()["max_tokens"])


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WireServer]:
    made = WireServer()
    async with made.running() as url:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
        monkeypatch.setenv("NO_PROXY", "*")
        yield made


async def ask(asked: ModelRequest = ASKED, hold: Hold = HOLD, **settings: Any) -> ModelReply:
    provider = AnthropicProvider(settings)
    try:
        return await provider.complete(hold, asked)
    finally:
        await provider.close()


def message(text: str = "Hi there", **more: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": text},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 100,
            "cache_creation_input_tokens": 20,
            "cache_read_input_tokens": 64,
            "output_tokens": 50,
        },
        **more,
    }


# --- what is sent ---


async def test_sends_the_model_the_clamp_and_the_words(server: WireServer) -> None:
    server.answer(message())
    turns = (Message(content="A"), Message(role="assistant", content="B"), Message(content="C"))
    await ask(ModelRequest(messages=turns, system="Be brief."))
    assert server.sent == {
        "model": "claude-haiku-5-5",
        "max_tokens": 300,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "A"},
            {"role": "assistant", "content": "B"},
            {"role": "user", "content": "C"},
        ],
        "output_config": {"effort": "low"},
    }
    line, headers, _ = server.requests[0]
    assert line == "POST /v1/messages HTTP/1.1"
    assert headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(("effort", "config"), [("high", {"effort": "high"}), (None, None)])
async def test_effort_can_be_set_and_left_unsent(server: WireServer, effort: str | None, config: Any) -> None:
    server.answer(message())
    await ask(effort=effort)
    assert server.sent.get("output_config") == config
    assert "system" not in server.sent


async def test_no_temperature_is_sent_and_that_is_said_once(
    server: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The API refuses any temperature, so that sending one would fail the call."""
    caplog.set_level("WARNING")
    provider = AnthropicProvider()
    for _ in range(2):
        server.answer(message())
        await provider.complete(HOLD, ModelRequest(messages=ASKED.messages, temperature=0.2))
    await provider.close()
    assert all("temperature" not in body for _, _, body in server.requests)
    assert [record.getMessage()[:23] for record in caplog.records] == ["temperature is not sent"]


async def test_a_schema_is_asked_for_as_the_api_wants_it(server: WireServer) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}
    server.answer(message('{"a": 1}'))
    reply = await ask(ModelRequest(messages=ASKED.messages, json_schema=schema))
    sent = server.sent["output_config"]["format"]
    assert sent["type"] == "json_schema"
    assert sent["schema"]["additionalProperties"] is False
    assert "minimum" not in sent["schema"]["properties"]["a"], "keywords that the API refuses become words"
    assert reply.data == {"a": 1}
    assert schema["properties"] == {"a": {"type": "integer", "minimum": 1}}, "the step's schema is left as it is"


async def test_a_schema_that_the_api_cannot_say_is_said_in_words(server: WireServer) -> None:
    server.answer(message("[1]"))
    reply = await ask(ModelRequest(messages=ASKED.messages, json_schema={"minItems": 1}))
    assert "format" not in server.sent["output_config"]
    assert '{"minItems": 1}' in server.sent["system"]
    assert reply.data == [1]


async def test_an_answer_that_is_no_json_has_no_data(server: WireServer) -> None:
    server.answer(message("Sorry."))
    reply = await ask(ModelRequest(messages=ASKED.messages, json_schema=OBJECT))
    assert (reply.text, reply.data) == ("Sorry.", None)


async def test_lone_surrogates_are_sent_as_replacement_characters(server: WireServer) -> None:
    server.answer(message())
    await ask(ModelRequest(messages=(Message(content="a\ud800b"),), system="\udfff"))
    assert (server.sent["messages"][0]["content"], server.sent["system"]) == ("a\ufffdb", "\ufffd")


# --- what comes back ---


async def test_usage_is_the_provider_s_own_with_all_that_was_read(server: WireServer) -> None:
    """Tokens written to and read from the cache are input tokens too, though the API counts them apart."""
    server.answer(message(), request_id="req_7")
    reply = await ask()
    assert (reply.text, reply.stop_reason, reply.produced_by) == ("Hi there", "end", "model")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (184, 50, 64)
    assert (reply.provider, reply.model, reply.request_id) == ("anthropic", "claude-haiku-5-5", "req_7")


async def test_usage_without_a_cache(server: WireServer) -> None:
    server.answer(message(usage={"input_tokens": 7, "output_tokens": 3}))
    usage = (await ask()).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (7, 3, 0)


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": 5}, {"input_tokens": None, "output_tokens": 5}])
async def test_without_usage_all_that_was_held_is_charged(server: WireServer, usage: Any) -> None:
    server.answer(message(usage=usage))
    reply = await ask()
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (700, 300)
    assert (reply.text, reply.stop_reason) == ("Hi there", "end")


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("stop_sequence", "end"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool"),
        ("refusal", "refusal"),
        ("pause_turn", "other"),
        ("something_new", "other"),
    ],
)
async def test_why_a_message_ended(server: WireServer, reason: str, stop: str) -> None:
    server.answer(message(stop_reason=reason))
    assert (await ask()).stop_reason == stop


# --- what goes wrong ---


def error(text: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "x_error", "message": text}}


@pytest.mark.parametrize(
    ("status", "retryable", "hint"),
    [
        (400, False, ""),
        (401, False, "ANTHROPIC_API_KEY"),
        (402, False, "credit"),
        (403, False, "ANTHROPIC_API_KEY"),
        (404, False, "models"),
        (413, False, "send less"),
        (429, True, "rate limit"),
        (500, True, ""),
        (529, True, ""),
    ],
)
async def test_a_refused_call_is_not_charged(server: WireServer, status: int, retryable: bool, hint: str) -> None:
    """An error that the server answered with is certain: nothing is charged, and nothing is sent a second time."""
    server.answer(error("the reason"), status)
    with pytest.raises(ProviderError, match=f"status {status}: the reason") as caught:
        await ask()
    assert (caught.value.billed, caught.value.retryable) == (False, retryable)
    assert hint in caught.value.hint
    assert len(server.requests) == 1


async def test_says_how_long_the_server_asks_to_wait(server: WireServer) -> None:
    server.answer(error("slow down"), 429, retry_after="7")
    with pytest.raises(ProviderError, match="wait 7 s"):
        await ask()
    assert len(server.requests) == 1


@pytest.mark.parametrize("answer", ["cut", "hang"])
async def test_a_call_that_broke_off_is_in_doubt(server: WireServer, answer: str) -> None:
    """It was sent, so that it may be charged, whatever became of the answer."""
    server.script.append(answer)
    with pytest.raises(ProviderError) as caught:
        await ask(hold=Hold("k", 1000, 500, 300, "claude-haiku-5-5", 0.5))
    assert (caught.value.billed, caught.value.retryable) == (True, True)
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", ["<html>", '{"type": "mess', '"text"', "{}", "[]", "null", '{"type": "message"}'])
async def test_an_answer_that_cannot_be_read_is_in_doubt(server: WireServer, body: str) -> None:
    server.answer(body)
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert (caught.value.billed, caught.value.retryable) == (True, False)


async def test_a_server_that_is_not_there_charged_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with nobody() as url, pytest.raises(ProviderError, match="cannot be reached") as caught:
        await ask(base_url=url)
    assert (caught.value.billed, caught.value.retryable) == (False, True)


async def test_no_message_names_the_key(server: WireServer, caplog: pytest.LogCaptureFixture) -> None:
    server.answer(error(f"invalid key {KEY}, or sk-ant-abc***xyz"), 401)
    with caplog.at_level("DEBUG", logger="intendant"), pytest.raises(ProviderError) as caught:
        await ask()
    shown = f"{caught.value} {caught.value.__cause__} {[record.getMessage() for record in caplog.records]}"
    assert KEY not in shown
    assert "xyz" not in shown
    assert "invalid key" in shown


async def test_no_message_names_a_key_of_another_form(server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "my:own/key")
    server.answer(error("no such user my:own/key"), 403)
    with pytest.raises(ProviderError, match="no such user …"):
        await ask()


# --- without a server ---


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_can_be_used_with_a_key(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for known in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(known, raising=False)
    assert not AnthropicProvider({"base_url": "http://127.0.0.1:1"}).available()
    monkeypatch.setenv(name, "")
    assert not AnthropicProvider().available()
    monkeypatch.setenv(name, KEY)
    assert AnthropicProvider().available()


async def test_without_a_key_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(known, raising=False)
    with pytest.raises(ProviderError, match="no key") as caught:
        await ask()
    assert caught.value.billed is False


def test_models_can_be_set_tier_by_tier() -> None:
    assert AnthropicProvider({"models": {"fast": "mine"}}).models() == {**MODELS, "fast": "mine"}


def test_default_models_are_known_to_the_sdk_and_to_the_price_list() -> None:
    from typing import get_args

    from anthropic.types.model import Model
    from genai_prices import Usage, calc_price

    known = {name for part in get_args(Model) for name in get_args(part)}
    used = Usage(input_tokens=1000, output_tokens=1000)
    costs = [calc_price(used, name, provider_id="anthropic").total_price for name in MODELS.values()]
    assert set(MODELS.values()) <= known
    assert costs == sorted(costs), "a stronger tier costs more"


def test_importing_it_does_not_import_the_sdk() -> None:
    code = (
        "import sys, intendant_provider_anthropic as p; p.AnthropicProvider().models(); "
        "sys.exit('anthropic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_works_in_one_event_loop_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client belongs to the loop that it was made in; the provider makes one for each."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "*")
    provider = AnthropicProvider()

    async def once() -> str:
        server = WireServer()
        server.answer(message())
        async with server.running() as url:
            monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
            reply = await provider.complete(HOLD, ASKED)
            await provider.close()
            return reply.text

    assert [asyncio.run(once()) for _ in range(2)] == ["Hi there", "Hi there"]


# --- in the engine ---


class Tell(IntentHandler):
    """Answers with what the model says."""

    spec = IntentSpec(name="tell", summary="Tell", examples=("a", "b", "c", "d", "e"))

    async def handle(self, request: StepRequest) -> StepResult:
        wish = ModelRequest(messages=(Message(content=request.prompt),), task="generate")
        return StepResult(output=(await request.model.complete(wish)).text)


class Fast(OnlyTier):
    """The tier `fast`."""

    name = "fast"


async def test_a_step_is_charged_what_the_provider_reported_at_the_list_price(server: WireServer) -> None:
    from genai_prices import Usage, calc_price

    server.answer(message())
    result = await run_steps(
        [{"id": "a", "intent": "tell", "prompt": "Say hello"}], Tell(), AnthropicProvider(HERE), Fast()
    )
    outcome = result.steps["a"]
    assert (outcome.output, outcome.produced_by) == ("Hi there", "model:anthropic/claude-haiku-5-5")
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens, outcome.usage.calls) == (184, 50, 1)
    used = Usage(input_tokens=184, output_tokens=50, cache_read_tokens=64, cache_write_tokens=20)
    price = calc_price(used, "claude-haiku-5-5", provider_id="anthropic").total_price
    assert outcome.usage.micro_usd == math.ceil(price * 1_000_000)
    assert server.sent["max_tokens"] <= 2048


async def test_a_refused_call_leaves_the_budget_untouched(server: WireServer) -> None:
    server.answer(error("bad key"), 401)
    result = await run_steps(
        [{"id": "a", "intent": "tell", "prompt": "Say hello"}], Tell(), AnthropicProvider(HERE), Fast()
    )
    failure = result.steps["a"].failure
    assert failure is not None
    assert (failure.error, result.metrics.tokens_used, result.metrics.micro_usd) == ("ProviderError", 0, 0)
    assert "ANTHROPIC_API_KEY" in failure.hint


WEATHER = Tool(
    name="weather",
    description="Today's weather",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


async def test_tools_are_offered_called_and_answered(server: WireServer) -> None:
    """The call comes back as it was, thinking and signature too, before its results, which are one turn."""
    calling = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris"}},
        {"type": "tool_use", "id": "t2", "name": "weather", "input": {"city": "Rome"}},
    ]
    server.answer(message(content=calling, stop_reason="tool_use"))
    server.answer(message("Sunny"))
    asked = ModelRequest(messages=ASKED.messages, tools=(WEATHER,))
    reply = await ask(asked)
    assert [(call.id, call.name, call.arguments) for call in reply.calls] == [
        ("t1", "weather", {"city": "Paris"}),
        ("t2", "weather", {"city": "Rome"}),
    ]
    assert (reply.stop_reason, reply.text) == ("tool", "")
    said = Message(role="assistant", content=reply.text, calls=reply.calls, raw=reply.raw)
    results = [
        Message(role="tool", content=city, answers=call.id) for call, city in zip(reply.calls, "ab", strict=True)
    ]
    more = ModelRequest(messages=(*ASKED.messages, said, *results), tools=(WEATHER,), tool_choice="none")
    assert (await ask(more)).text == "Sunny"
    first, second = (body for _, _, body in server.requests)
    assert first["tools"] == [
        {"name": "weather", "description": "Today's weather", "input_schema": WEATHER.parameters}
    ]
    assert (first["tool_choice"], second["tool_choice"]) == ({"type": "auto"}, {"type": "none"})
    assert second["messages"][1] == {"role": "assistant", "content": calling}
    assert second["messages"][2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "a"},
            {"type": "tool_result", "tool_use_id": "t2", "content": "b"},
        ],
    }
    assert len(second["messages"]) == 3


async def test_calls_that_another_provider_made_are_written_anew(server: WireServer) -> None:
    call = ToolCall(id="c1", name="weather", arguments={"city": "Paris"})
    result = Message(role="tool", content="18", answers="c1")
    for text, raw in (("I look.", None), ("", {"role": "assistant"})):
        said = Message(role="assistant", content=text, calls=(call,), raw=raw)
        server.answer(message())
        await ask(ModelRequest(messages=(*ASKED.messages, said, result), tools=(WEATHER,)))
    made = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Paris"}}
    assert [body["messages"][1]["content"] for _, _, body in server.requests] == [
        [{"type": "text", "text": "I look."}, made],
        [made],
    ]


async def test_calls_of_an_answer_that_was_cut_are_told_of(server: WireServer) -> None:
    calling = [{"type": "tool_use", "id": "t1", "name": "weather", "input": {}}]
    server.answer(message(content=calling, stop_reason="max_tokens"))
    reply = await ask(ModelRequest(messages=ASKED.messages, tools=(WEATHER,)))
    assert (reply.stop_reason, len(reply.calls)) == ("length", 1)


async def test_without_tools_none_are_sent(server: WireServer) -> None:
    server.answer(message())
    assert not (await ask()).calls
    assert not {"tools", "tool_choice"} & server.sent.keys()


async def test_a_key_of_the_settings_is_sent(server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    server.answer(message())
    await ask(api_key="sk-of-the-settings")
    assert "sk-of-the-settings" in str(server.requests[0].headers)
