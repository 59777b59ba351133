"""Servers that speak OpenAI's protocol with differences."""

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from intendant import SettingsError
from intendant.plugin import (
    ContextOverflow,
    Hold,
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    ProviderError,
    RequestAdapted,
    StepRequest,
    StepResult,
    Tool,
)
from intendant.testing import CUT, RESET, MeterLog, OnlyTier, ScriptedProvider, Sent, WireServer, run_steps
from intendant_provider_openai import OpenaiProvider
from intendant_provider_openai._compat import STOPS

HOLD = Hold("call-key", 1000, 500, 300, "m", 5.0)
ASKED = ModelRequest(messages=(Message(content="Hello"),), system="Be brief.")
SCHEMA: Any = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
SHAPED = ModelRequest(messages=ASKED.messages, json_schema=SCHEMA)
PRICE = {"models": {"openai/m": {"input": 1.0, "output": 2.0}}}


def completion(content: Any = "Hi there", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    choice = {"index": 0, "finish_reason": more.pop("finish", "stop"), "message": message}
    usage = {"prompt_tokens": 120, "completion_tokens": 50}
    return {"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage, **more}


def refusal(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


async def ask(asked: ModelRequest = ASKED, hold: Hold = HOLD, **settings: Any) -> ModelReply:
    provider = OpenaiProvider(settings)
    try:
        return await provider.complete(hold, asked)
    finally:
        await provider.close()


async def follow(
    pieces: list[dict[str, Any]], stub: WireServer, asked: ModelRequest = ASKED
) -> tuple[ModelReply, MeterLog]:
    stub.answer([*(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces), b"data: [DONE]\n\n"])
    meter, provider = MeterLog(), OpenaiProvider()
    try:
        return await provider.stream(HOLD, asked, meter), meter
    finally:
        await provider.close()


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "c1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


USED = {"id": "c1", "choices": [], "usage": {"prompt_tokens": 120, "completion_tokens": 50}}

# --- what is refused ---


class Tell(IntentHandler):
    """Answers with what the model says."""

    spec = IntentSpec(name="tell", summary="Tell", examples=("a",))
    wish = ASKED

    async def handle(self, request: StepRequest) -> StepResult:
        reply = await request.model.complete(self.wish)
        return StepResult(output=reply.data if self.wish.json_schema else reply.text)


class Shape(Tell):
    """Answers with data."""

    wish = SHAPED


class Only(OnlyTier):
    """The tier `fast`."""

    name = "fast"


Rule = tuple[Callable[[dict[str, Any]], bool], str]
RULES: dict[str, Rule] = {
    "max_tokens": (
        lambda body: "max_tokens" in body,
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    ),
    "max_completion_tokens": (
        lambda body: "max_completion_tokens" in body,
        "Unrecognized request argument supplied: max_completion_tokens",
    ),
    "any response_format": (
        lambda body: "response_format" in body,
        "This response_format type is unavailable now",
    ),
    "json_schema": (
        lambda body: body.get("response_format", {}).get("type") == "json_schema",
        "'response_format.type' : value is not one of the allowed values ['text','json_object']: invalid",
    ),
    "extra inputs": (
        lambda body: "response_format" in body,
        "[{'type': 'extra_forbidden', 'loc': ('body', 'response_format'), 'msg': 'Extra inputs are not permitted'}]",
    ),
    "temperature": (
        lambda body: "temperature" in body,
        "Unsupported value: 'temperature' does not support 0.3 with this model. Only the default (1) is supported.",
    ),
    "effort": (lambda body: "reasoning_effort" in body, "Unknown parameter: 'reasoning_effort'."),
    "system": (
        lambda body: any(turn["role"] == "system" for turn in body["messages"]),
        "System role not supported",
    ),
    "tool_choice": (lambda body: "tool_choice" in body, "tool_choice is not supported by this server"),
    "longest answer": (
        lambda body: max(body.get("max_tokens", 0), body.get("max_completion_tokens", 0)) > 64,
        "max_tokens is too large: 300. This model supports at most 64 completion tokens",
    ),
}


def refusing(*names: str, status: int = 400) -> Callable[[Sent], Any]:
    """A server that refuses what the rules say, and else answers."""

    def answer(sent: Sent) -> Any:
        for name in names:
            applies, message = RULES[name]
            if applies(sent.body):
                return status, refusal(message), {}
        return 200, completion('{"a": 1}'), {}

    return answer


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a server of one's own rules."""
    stack = []

    async def made(then: Callable[[Sent], Any]) -> WireServer:
        found = WireServer(then)
        running = found.running()
        url = await running.__aenter__()
        stack.append(running)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        monkeypatch.setenv("NO_PROXY", "*")
        return found

    yield made
    for running in stack:
        await running.__aexit__(None, None, None)


async def step(handler: IntentHandler, **settings: Any) -> Any:
    provider = OpenaiProvider({"models": {"fast": "m"}, **settings.pop("provider", {})})
    return await run_steps([{"id": "a", "intent": "tell"}], handler, provider, Only(), prices=PRICE, **settings)


@pytest.mark.parametrize(
    "names", [(name,) for name in RULES] + [("max_tokens", "any response_format", "temperature")]
)
@pytest.mark.parametrize("status", [400, 422])
async def test_a_refused_form_is_sent_otherwise_and_remembered(
    server: Any, names: tuple[str, ...], status: int
) -> None:
    made = await server(refusing(*names, status=status))
    tool = Tool(name="t", description="T", parameters={"type": "object"})
    asked = ModelRequest(
        messages=ASKED.messages,
        system="Be brief.",
        json_schema=SCHEMA,
        temperature=0.3,
        tools=(tool,) if "tool_choice" in names else (),
    )
    effort = "low" if "effort" in names else None
    compat = {"max_tokens": "max_completion_tokens"} if "max_completion_tokens" in names else {}
    provider = OpenaiProvider({"effort": effort, "compat": compat})
    adapted = 0
    for _ in range(8):
        try:
            reply = await provider.complete(HOLD, asked)
            break
        except RequestAdapted as error:
            adapted += 1
            assert (error.billed, error.retryable, error.at_fault) == (False, True, False)
    assert reply.data == {"a": 1}
    assert adapted >= len(names)
    assert len(made.requests) == adapted + 1, "each refusal is one request"
    assert (await provider.complete(HOLD, asked)).text == '{"a": 1}'
    assert len(made.requests) == adapted + 2, "what was learned is remembered"
    await provider.close()


async def test_a_refused_form_is_its_own_entry_of_the_journal(server: Any) -> None:
    """Each request has a hold, and a refusal is charged nothing, however few tries a call has."""
    made = await server(refusing("max_tokens", "any response_format", "system"))
    result = await step(Shape(), calls={"attempts": 1})
    assert result.outputs["a"] == {"a": 1}
    assert result.metrics.tokens_used == 170
    assert result.metrics.calls == 1
    assert len(made.requests) == 5, "a name, two forms of a schema, the system text, and then the answer"


async def test_many_calls_at_once_learn_together(server: Any) -> None:
    await server(refusing("max_tokens", "json_schema"))
    provider = OpenaiProvider({"models": {"fast": "m"}})
    steps = [{"id": f"s{at}", "intent": "tell"} for at in range(12)]
    result = await run_steps(steps, Shape(), provider, Only(), prices=PRICE, budget={"tokens_per_workflow": 10**6})
    assert not result.failures
    assert result.metrics.tokens_used == 12 * 170


async def test_a_server_that_refuses_both_forms_is_not_asked_for_ever(server: Any) -> None:
    made = await server(refusing("max_tokens", "max_completion_tokens"))
    result = await step(Tell())
    assert result.failures["a"].error == "ProviderError"
    assert "max_completion_tokens" in result.failures["a"].message
    assert len(made.requests) <= 3
    assert result.metrics.tokens_used == 0


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("scripted", 400),
        ("the tokens in max_tokens are fine", 400),
        ("Invalid schema for response_format", 500),
        ("Unsupported parameter: 'logprobs'", 400),
    ],
)
async def test_other_refusals_teach_nothing(stub: WireServer, message: str, status: int) -> None:
    stub.answer(refusal(message), status)
    with pytest.raises(ProviderError) as caught:
        await ask(SHAPED)
    assert not isinstance(caught.value, RequestAdapted)
    assert len(stub.requests) == 1


async def test_openai_s_own_word_on_a_schema_is_final(vendor: WireServer) -> None:
    vendor.answer(refusal("Invalid schema for response_format 'answer'", param="response_format"), 400)
    with pytest.raises(ProviderError, match="Invalid schema") as caught:
        await ask(SHAPED, api="chat")
    assert not isinstance(caught.value, RequestAdapted)


async def test_stream_options_that_are_refused_are_left_out(stub: WireServer) -> None:
    provider = OpenaiProvider()
    stub.answer(refusal("Unknown field: stream_options"), 400)
    with pytest.raises(RequestAdapted):
        await provider.stream(HOLD, ASKED, MeterLog())
    pieces = [chunk(content="Hi"), chunk("stop")]
    stub.answer([*(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces), b"data: [DONE]\n\n"])
    reply = await provider.stream(HOLD, ASKED, MeterLog())
    assert "stream_options" not in stub.asked()
    assert (reply.text, reply.usage.input_tokens) == ("Hi", 700)
    await provider.close()


@pytest.mark.parametrize(
    ("compat", "check"),
    [
        ({"max_tokens": "max_completion_tokens"}, lambda body: body["max_completion_tokens"] == 300),
        ({"schema_form": "json_object"}, lambda body: body["response_format"] == {"type": "json_object"}),
        ({"schema_form": "words"}, lambda body: "response_format" not in body and "JSON" in str(body["messages"])),
        ({"system_role": False}, lambda body: [turn["role"] for turn in body["messages"]] == ["user"]),
    ],
)
async def test_differences_can_be_stated(stub: WireServer, compat: Any, check: Any) -> None:
    stub.answer(completion('{"a": 1}'))
    asked = ModelRequest(messages=ASKED.messages, system="Be brief.", json_schema=SCHEMA)
    assert (await ask(asked, compat=compat)).data == {"a": 1}
    assert check(stub.asked())


async def test_an_array_in_words_stays_an_array(stub: WireServer) -> None:
    stub.answer(completion("[1]"))
    asked = ModelRequest(messages=ASKED.messages, json_schema={"type": "array"})
    assert (await ask(asked, compat={"schema_form": "words"})).data == [1]
    assert '{"type": "array"}' in str(stub.asked()["messages"])


async def test_other_servers_are_spoken_to_in_chat_completions(stub: WireServer) -> None:
    stub.answer(completion())
    await ask()
    assert stub.requests[0].line == "POST /v1/chat/completions HTTP/1.1"


@pytest.mark.parametrize(
    "body", [{"detail": "Not Found"}, {"error": {"message": "File Not Found", "code": 404}}, b"404"]
)
async def test_a_server_without_responses_is_told_from_an_unknown_model(stub: WireServer, body: Any) -> None:
    stub.answer(body, 404)
    with pytest.raises(ProviderError) as caught:
        await ask(api="responses")
    assert 'api = "chat"' in caught.value.hint


def test_models_must_be_named_at_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of OpenAI, and their prices, say nothing about it."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with pytest.raises(SettingsError, match="which models http://127.0.0.1:1/v1 has") as caught:
        OpenaiProvider().models()
    assert 'plugins.settings."provider:openai".models' in caught.value.hint
    assert OpenaiProvider({"models": {"fast": "m"}}).models() == {"fast": "m"}


async def test_a_step_that_needs_a_model_says_that_models_must_be_named(stub: WireServer) -> None:
    """No provider without a model stands in, and what needs no model is done."""

    class Free(ScriptedProvider):
        charges = False

    with pytest.raises(SettingsError, match="which models"):
        await run_steps([{"id": "a", "intent": "tell"}], Tell(), OpenaiProvider(), Free(), Only())
    assert not stub.requests


# --- what is said otherwise ---


@pytest.mark.parametrize("reason", [*STOPS, "STOP", "MAX_TOKENS", "eos", None, "new"])
async def test_why_an_answer_ended_is_said_in_many_words(stub: WireServer, reason: Any) -> None:
    stub.answer(completion(finish=reason))
    assert (await ask()).stop_reason == STOPS.get(str(reason).lower(), "other")


PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Hi there"}]


@pytest.mark.parametrize(
    ("content", "message", "reasoning"),
    [
        (PARTS, {}, "Hm."),
        ([{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}], {}, ""),
        (["Hi ", "there"], {}, ""),
        ("Hi there", {"reasoning_content": "Hm."}, "Hm."),
        ("Hi there", {"reasoning": "Hm."}, "Hm."),
        ("<think>Hm.</think>Hi there", {}, "Hm."),
        ("Hm.\n</think>\n\nHi there", {}, "Hm."),
    ],
)
async def test_answers_in_parts_and_with_reasoning(
    stub: WireServer, content: Any, message: Any, reasoning: str
) -> None:
    stub.answer(completion(content, message=message))
    reply = await ask()
    assert (reply.text, reply.reasoning) == ("Hi there", reasoning)


async def test_reasoning_is_not_shown_while_it_is_written(stub: WireServer) -> None:
    pieces = [chunk(content=piece) for piece in ("<th", "ink>Hm", ".</thi", "nk>\n", "Hi", " there")]
    reply, meter = await follow([*pieces, chunk("stop"), USED], stub)
    assert (reply.text, reply.reasoning) == ("Hi there", "Hm.")
    assert "".join(meter.all("text")) == "Hi there"
    assert "".join(meter.all("unseen")) == "Hm."


async def test_an_emoji_that_is_cut_in_two_pieces_is_whole(stub: WireServer) -> None:
    reply, meter = await follow(
        [chunk(content="a\ud83d"), chunk(content="\ude00b\ud83d"), chunk("stop"), USED], stub
    )
    assert reply.text == "a\U0001f600b\ufffd"
    assert "".join(meter.all("text")) == reply.text


@pytest.mark.parametrize("arguments", ['{"city": "Paris"}', {"city": "Paris"}])
async def test_tools_are_called_without_ids_and_with_objects(stub: WireServer, arguments: Any) -> None:
    calls = [{"function": {"name": "weather", "arguments": arguments}}]
    stub.answer(completion(None, message={"tool_calls": calls}, finish="tool_calls"))
    (call,) = (await ask()).calls
    assert (call.id, call.name, call.arguments) == ("call_0", "weather", {"city": "Paris"})


async def test_who_answered_and_what_was_sent_can_be_found_again(stub: WireServer) -> None:
    stub.answer(completion(model="another"), x_request_id="req_7")
    reply = await ask()
    assert (reply.answered_by, reply.response_id, reply.request_id) == ("another", "c1", "req_7")
    assert reply.model == "m", "what is charged is what was asked"


# --- errors inside of a 200 ---


@pytest.mark.parametrize(
    ("body", "billed", "retryable", "said"),
    [
        ({"error": {"message": "rate limited upstream", "code": 429}}, False, True, "rate limited upstream"),
        ({"error": {"message": "slow down", "type": "rate_limit_error"}}, False, True, "slow down"),
        ({"error": {"message": "bad key", "code": 401}}, False, False, "bad key"),
        ({"object": "error", "message": "no such model", "code": 404}, False, False, "no such model"),
        ({"error": {"message": "overloaded", "code": "503"}}, False, True, "overloaded"),
        ({"error": {"message": "gone", "code": 502}}, True, True, "gone"),
        ({"error": {"message": "too late", "code": 504}}, True, True, "too late"),
        ({"error": "something"}, True, True, "something"),
        ({"error": {"message": "odd", "code": "odd"}, "choices": []}, True, False, "odd"),
        ({"error": {"message": "empty", "code": "insufficient_quota"}}, False, False, "empty"),
    ],
)
async def test_an_error_that_comes_with_status_200_is_one(
    stub: WireServer, body: Any, billed: bool, retryable: bool, said: str
) -> None:
    stub.answer(body)
    with pytest.raises(ProviderError, match=said) as caught:
        await ask()
    assert (caught.value.billed, caught.value.retryable) == (billed, retryable)
    stub.answer([b"data: " + json.dumps(body).encode() + b"\n\n", b"data: [DONE]\n\n"])
    with pytest.raises(ProviderError, match=said) as caught:
        await OpenaiProvider().stream(HOLD, ASKED, MeterLog())
    assert (caught.value.billed, caught.value.retryable) == (billed, retryable)


@pytest.mark.parametrize("more", [{"finish": "error"}, {"finish": "insufficient_system_resource"}])
async def test_an_answer_that_the_server_gave_up_may_be_charged(stub: WireServer, more: Any) -> None:
    stub.answer(completion("Hi", **more))
    with pytest.raises(ProviderError, match="could not finish") as caught:
        await ask()
    assert caught.value.billed
    body = completion("Hi")
    body["choices"][0]["error"] = {"message": "upstream died", "code": 502}
    stub.answer(body)
    with pytest.raises(ProviderError, match="upstream died") as caught:
        await ask()
    assert (caught.value.billed, caught.value.retryable) == (True, True)


@pytest.mark.parametrize("finish", ["stop", "content_filter"])
async def test_a_refusal_is_typed(stub: WireServer, finish: str) -> None:
    stub.answer(completion(None, message={"refusal": "I will not."}, finish=finish))
    reply = await ask()
    assert (reply.stop_reason, reply.text) == ("refusal", "I will not.")


# --- context windows ---

OVERFLOWS = [
    (refusal("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"), 4096),
    (refusal("Input too long", code="context_length_exceeded"), None),
    (
        {
            "error": {
                "code": 400,
                "message": "request (12031 tokens) exceeds the available context size (2048 tokens)",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 12031,
                "n_ctx": 2048,
            }
        },
        2048,
    ),
    (
        refusal("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
        1_048_576,
    ),
    (
        {
            "object": "error",
            "message": "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
        },
        32768,
    ),
    (refusal("Your input exceeds the context window of this model."), None),
    (refusal("Please reduce the length of the messages or completion."), None),
]


@pytest.mark.parametrize(("body", "window"), OVERFLOWS)
async def test_a_call_that_is_too_long_for_the_model_says_so(
    stub: WireServer, body: Any, window: int | None
) -> None:
    stub.answer(body, 400)
    provider = OpenaiProvider()
    with pytest.raises(ContextOverflow) as caught:
        await provider.complete(HOLD, ASKED)
    assert (caught.value.window, caught.value.billed, caught.value.retryable) == (window, False, False)
    assert "windows" in caught.value.hint
    assert provider.context_window("m") == window, "it is remembered"
    await provider.close()


async def test_other_refusals_are_no_overflow(stub: WireServer) -> None:
    for message in ("the context is unclear", "Unknown model: long-context", "max_tokens must be positive"):
        stub.answer(refusal(message), 400)
        with pytest.raises(ProviderError) as caught:
            await ask()
        assert not isinstance(caught.value, ContextOverflow), message


def test_a_window_can_be_set() -> None:
    assert OpenaiProvider({"windows": {"m": 8192}}).context_window("m") == 8192
    assert OpenaiProvider().context_window("m") is None


# --- thinking that nothing bounds ---


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "google/gemini-2.5-flash-lite"])
async def test_thinking_is_switched_off_where_it_is_not_bounded(stub: WireServer, model: str) -> None:
    stub.answer(completion())
    await ask(hold=Hold("k", 1000, 500, 300, model, 5.0))
    assert stub.asked()["reasoning_effort"] == "none"
    assert stub.asked()["max_tokens"] == 300


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("gemini-2.5-pro", {}),
        ("google/gemini-3-pro-preview", {}),
        ("gemini-3.7-flash", {}),
        ("gemini-2.5-flash", {"effort": "low"}),
        ("gemini-2.5-pro", {"thinking_tokens": 290}),
    ],
)
async def test_a_model_whose_thinking_nothing_bounds_is_not_asked(
    stub: WireServer, model: str, settings: Any
) -> None:
    with pytest.raises(ProviderError) as caught:
        await ask(hold=Hold("k", 1000, 500, 300, model, 5.0), **settings)
    assert (caught.value.billed, caught.value.retryable) == (False, False)
    assert "thinking_tokens" in caught.value.hint
    assert not stub.requests


async def test_thinking_can_be_held_for(stub: WireServer) -> None:
    stub.answer(completion())
    await ask(hold=Hold("k", 3000, 500, 2000, "gemini-2.5-pro", 5.0), thinking_tokens=1500)
    assert stub.asked()["max_tokens"] == 500, "what is left for the answer"


async def test_other_models_are_told_all_that_is_held(stub: WireServer) -> None:
    for model in ("gemini-2.0-flash", "gemini-1.5-pro", "deepseek-r1", "qwen3-8b"):
        stub.answer(completion())
        await ask(hold=Hold("k", 1000, 500, 300, model, 5.0))
        assert stub.asked()["max_tokens"] == 300
        assert "reasoning_effort" not in stub.asked()


@pytest.mark.parametrize(
    ("model", "settings", "tokens"),
    [
        ("gpt-6-luna", {"base_url": "https://api.openai.com/v1"}, 1024),
        ("gpt-6-luna", {"base_url": "https://api.openai.com/v1", "effort": "high"}, 8192),
        ("gpt-6-luna", {"base_url": "https://api.openai.com/v1", "effort": "none"}, 0),
        ("gpt-4o", {"base_url": "https://api.openai.com/v1"}, 0),
        ("qwen3-8b", {}, 0),
        ("openai/o4-mini", {}, 4096),
        ("gemini-2.5-pro", {"thinking_tokens": 700}, 700),
        ("gemini-2.5-flash", {"thinking_tokens": 700}, 0),
    ],
)
def test_models_that_reason_are_given_tokens_for_it(model: str, settings: Any, tokens: int) -> None:
    """Beside an answer whose length is asked for, which reasoning would use up."""
    provider = OpenaiProvider({"base_url": "http://127.0.0.1:1/v1", **settings})
    assert provider.thinking_tokens(model, ASKED) == tokens


# --- counts of the server ---

LLAMA = {"object": "list", "data": [{"id": "/models/m.gguf", "owned_by": "llamacpp", "meta": {"n_ctx": 2048}}]}
VLLM = {"object": "list", "data": [{"id": "m", "owned_by": "vllm", "max_model_len": 4096}, {"id": "other"}]}


@pytest.mark.parametrize(
    ("listed", "counted", "path", "window"),
    [
        (
            LLAMA,
            {"object": "response.input_tokens", "input_tokens": 22},
            "/v1/chat/completions/input_tokens",
            2048,
        ),
        (VLLM, {"count": 22, "max_model_len": 4096, "tokens": []}, "/tokenize", 4096),
    ],
)
async def test_a_server_that_counts_is_asked_to(
    stub: WireServer, listed: Any, counted: Any, path: str, window: int
) -> None:
    provider = OpenaiProvider()
    assert provider.counts_tokens("m") is None, "not known yet"
    stub.answer(listed)
    stub.answer(counted)
    assert await provider.count_tokens("m", ASKED) == 22
    assert stub.requests[0].line == "GET /v1/models HTTP/1.1", "what is asked first costs nothing anywhere"
    assert stub.requests[1].line == f"POST {path} HTTP/1.1"
    assert [turn["role"] for turn in stub.asked()["messages"]] == ["system", "user"]
    assert (provider.counts_tokens("m"), provider.context_window("m")) == (True, window)
    stub.answer(counted)
    assert await provider.count_tokens("m", ASKED) == 22
    assert len(stub.requests) == 3, "it is remembered"
    await provider.close()


@pytest.mark.parametrize(
    ("listed", "status"),
    [({"data": [{"id": "m", "owned_by": "me"}]}, 200), ({}, 404), ("no", 200), ({"data": 3}, 200), (CUT, 200)],
)
async def test_a_server_that_does_not_count_is_left_alone(stub: WireServer, listed: Any, status: int) -> None:
    provider = OpenaiProvider()
    stub.answer(listed, status)
    assert await provider.count_tokens("m", ASKED) is None
    assert await provider.count_tokens("m", ASKED) is None
    assert len(stub.requests) == 1
    assert provider.counts_tokens("m") is False
    await provider.close()


@pytest.mark.parametrize(
    ("kind", "path"), [("llamacpp", "/v1/chat/completions/input_tokens"), ("vllm", "/tokenize")]
)
async def test_how_a_server_counts_can_be_stated(stub: WireServer, kind: str, path: str) -> None:
    provider = OpenaiProvider({"count": kind})
    stub.answer({"input_tokens": 7, "count": 7})
    assert await provider.count_tokens("m", ASKED) == 7
    assert stub.requests[0].line == f"POST {path} HTTP/1.1"
    assert OpenaiProvider({"count": "none"}).counts_tokens("m") is False
    await provider.close()


@pytest.mark.parametrize(
    "answer", [{}, {"input_tokens": 0}, {"input_tokens": "9"}, {"input_tokens": True}, "text"]
)
async def test_a_count_that_is_none_costs_nothing(stub: WireServer, answer: Any) -> None:
    provider = OpenaiProvider({"count": "llamacpp"})
    stub.answer(answer)
    with pytest.raises(ProviderError) as caught:
        await provider.count_tokens("m", ASKED)
    assert caught.value.billed is False
    await provider.close()


# --- the wire ---


@pytest.mark.parametrize(
    ("status", "billed"), [(500, False), (502, True), (503, False), (504, True), (524, True), (529, False)]
)
async def test_what_a_gateway_answers_is_uncertain(stub: WireServer, status: int, billed: bool) -> None:
    """The server behind it may have done the work."""
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


async def test_a_reply_that_is_too_long_is_given_up(stub: WireServer) -> None:
    stub.answer(completion("x" * 5000))
    with pytest.raises(ProviderError, match="larger than 2048 bytes") as caught:
        await ask(max_reply_bytes=2048)
    assert caught.value.billed
    assert "max_reply_bytes" in caught.value.hint
    stub.answer([b"data: " + json.dumps(chunk(content="y" * 900)).encode() + b"\n\n"] * 9)
    with pytest.raises(ProviderError, match="larger than 2048 bytes"):
        await OpenaiProvider({"max_reply_bytes": 2048}).stream(HOLD, ASKED, MeterLog())


async def test_a_reply_is_bounded_after_decompression(stub: WireServer) -> None:
    """A few bytes may stand for gigabytes."""
    stub.answer(gzip.compress(json.dumps(completion("x" * 10**7)).encode()), content_encoding="gzip")
    with pytest.raises(ProviderError, match="larger than 100000 bytes"):
        await ask(max_reply_bytes=100_000)
    stub.answer(gzip.compress(json.dumps(completion()).encode()), content_encoding="gzip")
    assert (await ask()).text == "Hi there"
    assert stub.requests[0].headers["accept-encoding"] == "gzip"
    stub.answer(b"\x00", content_encoding="br")
    with pytest.raises(ProviderError, match="not asked for"):
        await ask()


async def test_calls_do_not_follow_a_redirection(stub: WireServer) -> None:
    """Keys would be sent on."""
    stub.answer({}, 307, location="http://127.0.0.1:1/v1/chat/completions")
    with pytest.raises(ProviderError, match="sends calls on to http://127.0.0.1:1") as caught:
        await ask()
    assert (caught.value.billed, caught.value.retryable) == (False, False)
    assert "base_url" in caught.value.hint
    assert len(stub.requests) == 1


@pytest.mark.parametrize("key", ["a", "on", "sk-1234"])
async def test_a_short_key_does_not_eat_letters_of_messages(stub: WireServer, monkeypatch: Any, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    stub.answer(refusal("a banana on a salon table"), 403)
    with pytest.raises(ProviderError, match="a banana on a salon table"):
        await ask()


@pytest.mark.parametrize(
    "said",
    ["key my-own/key+0123 is wrong", "Authorization: Bearer my-own/key+0123", "try sk-abcdef123456 instead"],
)
async def test_no_message_holds_a_key(stub: WireServer, monkeypatch: Any, said: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "my-own/key+0123")
    stub.answer(refusal(said), 401)
    with pytest.raises(ProviderError) as caught:
        await ask()
    assert "0123" not in str(caught.value)
    assert "abcdef" not in str(caught.value)


async def test_warming_imports_and_opens_what_a_call_needs(stub: WireServer) -> None:
    """In a process of its own: here the SDK is imported already."""
    code = (
        "import asyncio, sys\n"
        "from intendant_provider_openai import OpenaiProvider\n"
        "async def main():\n"
        "    provider = OpenaiProvider()\n"
        "    assert 'openai' not in sys.modules\n"
        "    await provider.warm()\n"
        "    before = set(sys.modules)\n"
        "    client = provider.client()\n"
        "    client.chat.completions.create, client.responses.create\n"
        "    late = {name for name in set(sys.modules) - before if name.startswith('openai.')}\n"
        "    assert not late, late\n"
        "    await provider.warm()\n"
        "    assert provider.client() is client\n"
        "    await provider.close()\n"
        "asyncio.run(main())\n"
    )
    import sys

    done = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE)
    _, err = await done.communicate()
    assert done.returncode == 0, err.decode()
    assert not stub.requests, "nothing is sent"


async def test_a_call_s_key_is_sent_where_the_server_knows_calls_again_by_it(stub: WireServer) -> None:
    """The vendors do not; a gateway before them may."""
    stub.answer(completion())
    await ask()
    assert "idempotency-key" not in stub.requests[0].headers
    assert OpenaiProvider().knows_keys is False
    stub.answer(completion())
    await ask(idempotency_header="Idempotency-Key")
    assert stub.requests[1].headers["idempotency-key"] == "call-key"
    assert OpenaiProvider({"idempotency_header": "Idempotency-Key"}).knows_keys is True
