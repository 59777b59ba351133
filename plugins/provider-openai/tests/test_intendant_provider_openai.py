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
from intendant_provider_openai import MODELS, OpenaiProvider
from intendant_provider_openai._ranks import tokenizer

KEY = "sk-test-0123456789abcdef"
HOLD = Hold("call-key", 1000, 500, 300, "gpt-6-luna", 5.0)
ASKED = ModelRequest(messages=(Message(content="Hello"),))
OBJECT = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}


class TestOpenaiProvider(ProviderContract):
    plugin = OpenaiProvider
    entry_point = "openai"

    @asynccontextmanager
    async def peer(self, scenario: Scenario) -> AsyncIterator[Peer]:
        server = WireServer()
        counted = {"prompt_tokens": scenario.input_tokens, "completion_tokens": scenario.output_tokens}
        body = completion(scenario.text, usage={**counted, "total_tokens": sum(counted.values())})
        server.answer(HANG if scenario.hangs else body, scenario.status)
        async with server.running() as url:
            made = OpenaiProvider({"base_url": f"{url}/v1", "api_key": KEY, "models": {"fast": scenario.model}})
            yield Peer(made, lambda: server.asked().get("max_completion_tokens") or server.asked()["max_tokens"])


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WireServer]:
    made = WireServer()
    async with made.running() as url:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        monkeypatch.setenv("NO_PROXY", "*")
        yield made


async def ask(asked: ModelRequest = ASKED, hold: Hold = HOLD, **settings: Any) -> ModelReply:
    provider = OpenaiProvider({"api": "responses", **settings})
    try:
        return await provider.complete(hold, asked)
    finally:
        await provider.close()


def response(text: str = "Hi there", **more: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "gpt-6-luna",
        "output": [
            {"id": "rs_1", "type": "reasoning", "summary": []},
            {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content},
        ],
        "usage": {
            "input_tokens": 120,
            "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
            "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 30},
            "total_tokens": 170,
        },
        **more,
    }


def completion(content: str | None = "Hi there", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": None}
    return {
        "id": "chat_1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-6-luna",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message, "logprobs": None}],
        "usage": {
            "prompt_tokens": 120,
            "completion_tokens": 50,
            "total_tokens": 170,
            "prompt_tokens_details": {"cached_tokens": 64},
        },
        **more,
    }


# --- what is sent ---


async def test_sends_the_model_the_clamp_and_the_words(server: WireServer) -> None:
    server.answer(response())
    asked = ModelRequest(
        messages=(Message(content="A"), Message(role="assistant", content="B"), Message(content="C")),
        system="Be brief.",
    )
    await ask(asked)
    assert server.sent == {
        "model": "gpt-6-luna",
        "max_output_tokens": 300,
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": "A"},
            {"role": "assistant", "content": "B"},
            {"role": "user", "content": "C"},
        ],
        "store": False,
        "reasoning": {"effort": "low"},
    }
    line, headers, _ = server.requests[0]
    assert line == "POST /v1/responses HTTP/1.1"
    assert headers["authorization"] == f"Bearer {KEY}"


async def test_sends_the_clamp_to_compatible_servers_by_the_name_they_know(server: WireServer) -> None:
    server.answer(completion())
    reply = await ask(ModelRequest(messages=ASKED.messages, system="Be brief.", temperature=0.3), api="chat")
    assert server.sent == {
        "model": "gpt-6-luna",
        "max_tokens": 300,
        "temperature": 0.3,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
    }
    assert server.requests[0][0] == "POST /v1/chat/completions HTTP/1.1"
    assert (reply.text, reply.stop_reason, reply.request_id) == ("Hi there", "end", "chat_1")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (120, 50, 64)


async def test_a_temperature_is_sent_only_if_given(server: WireServer) -> None:
    server.answer(response())
    await ask(ModelRequest(messages=ASKED.messages, temperature=0.0))
    assert server.sent["temperature"] == 0.0


@pytest.mark.parametrize(("api", "field"), [("responses", "reasoning"), ("chat", "reasoning_effort")])
async def test_effort_can_be_set_and_left_unsent(server: WireServer, api: str, field: str) -> None:
    body = response() if api == "responses" else completion()
    for effort, expected in (("high", {"responses": {"effort": "high"}, "chat": "high"}[api]), ("unsent", None)):
        server.requests.clear()
        server.answer(body)
        await ask(api=api, effort=effort)
        assert server.sent.get(field) == expected


@pytest.mark.parametrize(("closed", "strict"), [(True, True), (False, False)])
async def test_a_schema_is_asked_for_strictly_if_it_can_be(server: WireServer, closed: bool, strict: bool) -> None:
    schema = OBJECT if closed else {"type": "object", "properties": {"a": {"type": "object"}}}
    server.answer(response('{"a": 1}'))
    reply = await ask(ModelRequest(messages=ASKED.messages, json_schema=schema))
    assert server.sent["text"]["format"] == {
        "type": "json_schema",
        "name": "answer",
        "schema": schema,
        "strict": strict,
    }
    assert reply.data == {"a": 1}


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("text", ['{"answer": [1]}', "[1]"])
async def test_an_array_is_asked_for_inside_of_an_object(server: WireServer, api: str, text: str) -> None:
    server.answer(response(text) if api == "responses" else completion(text))
    schema: Any = {"type": "array", "items": {"type": "integer"}}
    reply = await ask(ModelRequest(messages=ASKED.messages, json_schema=schema), api=api)
    form = server.sent["text"]["format"] if api == "responses" else server.sent["response_format"]["json_schema"]
    assert form["schema"]["properties"] == {"answer": schema}
    assert form["strict"] is True
    assert (reply.data, reply.text) == ([1], "[1]")


async def test_a_schema_that_cannot_be_moved_is_said_in_words(server: WireServer) -> None:
    server.answer(response("[[]]"))
    schema: Any = {"type": "array", "items": {"$ref": "#"}}
    reply = await ask(ModelRequest(messages=ASKED.messages, json_schema=schema))
    assert "text" not in server.sent
    assert '{"$ref": "#"}' in server.sent["instructions"]
    assert reply.data == [[]]


async def test_an_answer_that_is_no_json_has_no_data(server: WireServer) -> None:
    server.answer(completion("Sorry."))
    reply = await ask(ModelRequest(messages=ASKED.messages, json_schema=OBJECT), api="chat")
    assert server.sent["response_format"]["json_schema"]["strict"] is True
    assert (reply.text, reply.data) == ("Sorry.", None)


async def test_lone_surrogates_are_sent_as_replacement_characters(server: WireServer) -> None:
    server.answer(response())
    await ask(ModelRequest(messages=(Message(content="a\ud800b"),), system="\udfff"))
    assert (server.sent["input"][0]["content"], server.sent["instructions"]) == ("a\ufffdb", "\ufffd")


# --- what comes back ---


async def test_usage_is_the_provider_s_own(server: WireServer) -> None:
    """Cached tokens are among those read, reasoning tokens among those written."""
    server.answer(response(), x_request_id="req_7")
    reply = await ask()
    assert (reply.text, reply.stop_reason, reply.produced_by) == ("Hi there", "end", "model")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cached_tokens) == (120, 50, 64)
    assert (reply.provider, reply.model, reply.request_id) == ("openai", "gpt-6-luna", "req_7")


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": 5}, {"prompt_tokens": None}])
async def test_without_usage_all_that_was_held_is_charged(server: WireServer, api: str, usage: Any) -> None:
    """Of a model that may have thought in private; else the answer's bytes, which it cannot have exceeded."""
    for effort, output in (("low", 300), ("none", len("Hi there") + 32)):
        server.answer(response(usage=usage) if api == "responses" else completion(usage=usage))
        reply = await ask(api=api, effort=effort)
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (700, output)
        assert (reply.text, reply.stop_reason) == ("Hi there", "end")


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("figure", [-1, 1.5, "12", [1]])
async def test_figures_that_are_no_numbers_of_tokens_are_an_error(
    server: WireServer, api: str, figure: Any
) -> None:
    names = ("input_tokens", "output_tokens") if api == "responses" else ("prompt_tokens", "completion_tokens")
    for usage in ({names[0]: figure, names[1]: 5}, {names[0]: 5, names[1]: figure}):
        server.answer(response(usage=usage) if api == "responses" else completion(usage=usage))
        with pytest.raises(ProviderError, match="openai/gpt-6-luna cannot be charged") as caught:
            await ask(api=api)
        assert caught.value.billed


async def test_whole_figures_may_be_written_as_fractions(server: WireServer) -> None:
    server.answer(completion(usage={"prompt_tokens": 120.0, "completion_tokens": 50.0}))
    assert (await ask(api="chat")).usage.tokens == 170


@pytest.mark.parametrize(
    ("reason", "stop"), [("max_output_tokens", "length"), ("content_filter", "refusal"), ("steered", "other")]
)
async def test_why_a_response_ended(server: WireServer, reason: str, stop: str) -> None:
    server.answer(response(status="incomplete", incomplete_details={"reason": reason}))
    assert (await ask()).stop_reason == stop


@pytest.mark.parametrize(
    ("reason", "stop"),
    [("length", "length"), ("content_filter", "refusal"), ("tool_calls", "tool"), ("new", "other")],
)
async def test_why_a_completion_ended(server: WireServer, reason: str, stop: str) -> None:
    body = completion()
    body["choices"][0]["finish_reason"] = reason
    server.answer(body)
    assert (await ask(api="chat")).stop_reason == stop


async def test_a_refusal_is_told(server: WireServer) -> None:
    body = response()
    body["output"][1]["content"] = [{"type": "refusal", "refusal": "I will not."}]
    server.answer(body)
    reply = await ask()
    assert (reply.text, reply.stop_reason) == ("I will not.", "refusal")


# --- what goes wrong ---


def error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "x", "code": code, "param": None}}


@pytest.mark.parametrize(
    ("status", "retryable", "hint"),
    [
        (400, False, ""),
        (401, False, "OPENAI_API_KEY"),
        (403, False, "OPENAI_API_KEY"),
        (404, False, "models"),
        (409, True, ""),
        (429, True, "rate limit"),
        (500, True, ""),
        (503, True, ""),
    ],
)
@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_a_refused_call_is_not_charged(
    server: WireServer, status: int, retryable: bool, hint: str, api: str
) -> None:
    """An error that the server answered with is certain: nothing is charged, and nothing is sent a second time."""
    server.answer(error("the reason"), status)
    with pytest.raises(ProviderError, match=f"status {status}: the reason") as caught:
        await ask(api=api)
    assert (caught.value.billed, caught.value.retryable) == (False, retryable)
    assert hint in caught.value.hint
    assert len(server.requests) == 1


async def test_says_how_long_the_server_asks_to_wait(server: WireServer) -> None:
    server.answer(error("slow down"), 429, retry_after="7")
    with pytest.raises(ProviderError, match="wait 7 s"):
        await ask()
    assert len(server.requests) == 1


async def test_an_empty_account_is_not_asked_again(server: WireServer) -> None:
    server.answer(error("You exceeded your quota", "insufficient_quota"), 429)
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert (caught.value.retryable, caught.value.hint) == (False, "check the account's credit")


@pytest.mark.parametrize("answer", ["cut", "hang"])
async def test_a_call_that_broke_off_is_in_doubt(server: WireServer, answer: str) -> None:
    """It was sent, so that it may be charged, whatever became of the answer."""
    server.script.append(answer)
    with pytest.raises(ProviderError) as caught:
        await ask(hold=Hold("k", 1000, 500, 300, "gpt-6-luna", 0.5))
    assert (caught.value.billed, caught.value.retryable) == (True, True)
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", ["<html>", '{"object": "respon', '"text"', "{}", "[]", "null"])
@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_an_answer_that_cannot_be_read_is_in_doubt(server: WireServer, body: str, api: str) -> None:
    server.answer(body)
    with pytest.raises(ProviderError) as caught:
        await ask(api=api)
    assert (caught.value.billed, caught.value.retryable) == (True, False)


async def test_a_response_that_failed_may_be_charged(server: WireServer) -> None:
    server.answer(response(status="failed", error={"code": "server_error", "message": "it broke"}))
    with pytest.raises(ProviderError, match="it broke") as caught:
        await ask()
    assert (caught.value.billed, caught.value.retryable) == (True, True)


async def test_a_server_that_is_not_there_charged_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with nobody() as url, pytest.raises(ProviderError, match="cannot be reached") as caught:
        await ask(base_url=url)
    assert (caught.value.billed, caught.value.retryable) == (False, True)


async def test_no_message_names_the_key(server: WireServer, caplog: pytest.LogCaptureFixture) -> None:
    server.answer(error(f"Incorrect API key provided: {KEY}, or sk-abc**********xyz"), 401)
    with caplog.at_level("DEBUG", logger="intendant"), pytest.raises(ProviderError) as caught:
        await ask()
    shown = f"{caught.value} {caught.value.__cause__} {[record.getMessage() for record in caplog.records]}"
    assert KEY not in shown
    assert "xyz" not in shown
    assert "Incorrect API key" in shown


async def test_no_message_names_a_key_of_another_form(server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "my:own/key")
    server.answer(error("no such user my:own/key"), 403)
    with pytest.raises(ProviderError, match="no such user …"):
        await ask()


# --- without a server ---


def test_can_be_used_with_a_key_or_with_a_server_of_one_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert not OpenaiProvider().available()
    assert OpenaiProvider({"base_url": "http://127.0.0.1:1/v1"}).available()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert OpenaiProvider().available()
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert OpenaiProvider().available()


async def test_without_a_key_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ProviderError, match="no key") as caught:
        await ask()
    assert caught.value.billed is False


def test_models_can_be_set_tier_by_tier() -> None:
    assert OpenaiProvider({"models": {"fast": "mine"}}).models() == {**MODELS, "fast": "mine"}


def test_default_models_are_known_to_the_sdk_and_to_the_price_list() -> None:
    from typing import get_args

    from genai_prices import Usage, calc_price
    from openai.types.shared.chat_model import ChatModel

    costs = [
        calc_price(Usage(input_tokens=1000, output_tokens=1000), name, provider_id="openai").total_price
        for name in MODELS.values()
    ]
    assert set(MODELS.values()) <= set(get_args(ChatModel))
    assert costs == sorted(costs), "a stronger tier costs more"


def test_importing_it_does_not_import_the_sdk() -> None:
    code = "import sys, intendant_provider_openai as p; p.OpenaiProvider().models(); sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_works_in_one_event_loop_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client belongs to the loop that it was made in; the provider makes one for each."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "*")
    provider = OpenaiProvider({"api": "responses"})

    async def once() -> str:
        server = WireServer()
        server.answer(response())
        async with server.running() as url:
            monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
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

    server.answer(response())
    provider = OpenaiProvider({"api": "responses", "models": {"fast": "gpt-6-luna"}})
    result = await run_steps([{"id": "a", "intent": "tell", "prompt": "Say hello"}], Tell(), provider, Fast())
    outcome = result.steps["a"]
    assert (outcome.output, outcome.produced_by) == ("Hi there", "model:openai/gpt-6-luna")
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens, outcome.usage.calls) == (120, 50, 1)
    used = Usage(input_tokens=120, output_tokens=50, cache_read_tokens=64)
    price = calc_price(used, "gpt-6-luna", provider_id="openai").total_price
    assert outcome.usage.micro_usd == math.ceil(price * 1_000_000)
    assert server.sent["max_output_tokens"] <= 2048


async def test_a_refused_call_leaves_the_budget_untouched(server: WireServer) -> None:
    server.answer(error("bad key"), 401)
    provider = OpenaiProvider({"api": "responses", "models": {"fast": "gpt-6-luna"}})
    result = await run_steps([{"id": "a", "intent": "tell", "prompt": "Say hello"}], Tell(), provider, Fast())
    failure = result.steps["a"].failure
    assert failure is not None
    assert (failure.error, result.metrics.tokens_used, result.metrics.micro_usd) == ("ProviderError", 0, 0)
    assert "OPENAI_API_KEY" in failure.hint


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("gpt-5-mini", "o200k_base"),
        ("gpt-4o", "o200k_base"),
        ("o4-mini", "o200k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-6.1-sol", None),
        ("llama-4", None),
    ],
)
def test_tokens_are_exact_only_where_the_vocabulary_is_known(
    model: str, vocabulary: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only at OpenAI: a familiar name at another server proves nothing."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    how = OpenaiProvider().token_counting(model)
    assert how.exact == (vocabulary is not None and tokenizer(vocabulary) is not None)
    if how.exact:
        assert how.count is not None
        assert how.count("Hello world") == 2
        assert how.count.name == vocabulary  # type: ignore[attr-defined]
    for url in ("http://127.0.0.1:1/v1", "https://notopenai.com/v1"):
        how = OpenaiProvider({"base_url": url}).token_counting(model)
        assert (how.exact, how.count, how.tokenizer) == (False, None, "byte_bpe")
        assert how.request > 0, "a template of its own"


@pytest.mark.parametrize(
    ("stated", "exact", "kind"),
    [
        ("o200k_base", True, "byte_bpe"),
        ("byte_bpe", False, "byte_bpe"),
        ("sentencepiece", False, "sentencepiece"),
        ("unknown", False, "unknown"),
    ],
)
def test_a_tokenizer_can_be_stated(stated: str, exact: bool, kind: str) -> None:
    settings = {"base_url": "http://127.0.0.1:1/v1", "tokenizers": {"m": stated}}
    how = OpenaiProvider(settings).token_counting("m")
    assert (how.exact, how.tokenizer) == (exact and tokenizer(stated) is not None, kind)


WEATHER = Tool(
    name="weather",
    description="Today's weather",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


ROUND = ModelRequest(messages=ASKED.messages, tools=(WEATHER,))


def answered(reply: ModelReply) -> ModelRequest:
    """The request that goes on after *reply*'s calls."""
    said = Message(role="assistant", content=reply.text, calls=reply.calls, raw=reply.raw)
    results = tuple(Message(role="tool", content="18 degrees", answers=call.id) for call in reply.calls)
    messages = (*ASKED.messages, said, *results)
    return ModelRequest(messages=messages, tools=(WEATHER,), tool_choice="none")


async def test_tools_are_offered_called_and_answered(server: WireServer) -> None:
    """What was reasoned is not stored at OpenAI, so it comes back, encrypted, with the call and its result."""
    output = [
        {"type": "reasoning", "id": "r1", "summary": [], "encrypted_content": "xyz"},
        {
            "type": "function_call", "id": "f1", "call_id": "c1", "name": "weather",
            "arguments": '{"city": "Paris"}', "status": "completed",
        },
    ]  # fmt: skip
    server.answer(response(output=output))
    server.answer(response("Sunny"))
    reply = await ask(ROUND)
    assert [(call.id, call.name, call.arguments) for call in reply.calls] == [("c1", "weather", {"city": "Paris"})]
    assert reply.stop_reason == "tool"
    assert (await ask(answered(reply))).text == "Sunny"
    first, second = (body for _, _, body in server.requests)
    assert first["tools"] == [{"type": "function", "strict": False, **WEATHER.model_dump()}]
    assert first["include"] == ["reasoning.encrypted_content"]
    assert (first["tool_choice"], second["tool_choice"]) == ("auto", "none")
    assert second["input"][1:3] == output
    assert second["input"][3:] == [{"type": "function_call_output", "call_id": "c1", "output": "18 degrees"}]


async def test_tools_of_compatible_servers(server: WireServer) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "no JSON"}}]
    said = {"role": "assistant", "content": None, "tool_calls": calls}
    server.answer(completion(choices=[{"index": 0, "message": said, "finish_reason": "tool_calls"}]))
    server.answer(completion("Sunny"))
    reply = await ask(ROUND, api="chat")
    assert [(call.id, call.name, call.arguments) for call in reply.calls] == [("c1", "weather", {})]
    assert (await ask(answered(reply), api="chat")).text == "Sunny"
    first, second = (body for _, _, body in server.requests)
    assert first["tools"] == [{"type": "function", "function": WEATHER.model_dump()}]
    assert second["messages"][1]["tool_calls"] == calls
    assert second["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "18 degrees"}


async def test_arguments_that_are_no_json_object_are_told_of(server: WireServer) -> None:
    calls = [
        {"id": f"c{number}", "type": "function", "function": {"name": "weather", "arguments": written}}
        for number, written in enumerate(['{"city": "Par', "[1]", "", '{"city": "Rome"}'])
    ]
    said = {"role": "assistant", "content": None, "tool_calls": calls}
    server.answer(completion(choices=[{"index": 0, "message": said, "finish_reason": "tool_calls"}]))
    reply = await ask(ROUND, api="chat")
    assert [call.malformed for call in reply.calls] == ['{"city": "Par', "[1]", "", ""]
    assert [call.arguments for call in reply.calls] == [{}, {}, {}, {"city": "Rome"}]


async def test_calls_of_an_answer_that_was_cut_are_not_called(server: WireServer) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
    said = {"role": "assistant", "content": None, "tool_calls": calls}
    server.answer(completion(choices=[{"index": 0, "message": said, "finish_reason": "length"}]))
    assert (await ask(ROUND, api="chat")).stop_reason == "length"
    call = {"type": "function_call", "id": "f1", "call_id": "c1", "name": "weather", "arguments": "{}"}
    server.answer(response(output=[call], status="incomplete", incomplete_details={"reason": "max_output_tokens"}))
    reply = await ask(ROUND)
    assert (reply.stop_reason, len(reply.calls)) == ("length", 1)


async def test_calls_that_another_provider_made_are_written_anew(server: WireServer) -> None:
    """What a provider wrote in its own form is left out where another one goes on."""
    call = ToolCall(id="c1", name="weather", arguments={"city": "Paris"})
    said = Message(role="assistant", content="I look.", calls=(call,), raw=None)
    asked = ModelRequest(
        messages=(*ASKED.messages, said, Message(role="tool", content="18", answers="c1")), tools=(WEATHER,)
    )
    server.answer(completion("Sunny"))
    server.answer(response("Sunny"))
    await ask(asked, api="chat")
    await ask(asked)
    chat, responses = (body for _, _, body in server.requests)
    function = {"name": "weather", "arguments": '{"city": "Paris"}'}
    assert chat["messages"][1] == {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }
    assert responses["input"][1:] == [
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "c1", **function},
        {"type": "function_call_output", "call_id": "c1", "output": "18"},
    ]


async def test_without_tools_none_are_sent(server: WireServer) -> None:
    server.answer(response())
    assert not (await ask()).calls
    assert not {"tools", "tool_choice", "include"} & server.sent.keys()
