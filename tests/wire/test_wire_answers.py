"""What models answer, on its way through the real SDK, the gateway and the handlers that users call."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from intendant.plugin import IntentHandler
from intendant.testing import OnlyTier, Sent, WireServer, run_steps
from intendant_intent_extract import ExtractHandler
from intendant_intent_generate import GenerateHandler
from intendant_intent_summarize import SummarizeHandler
from intendant_provider_openai import OpenaiProvider

SCHEMA = {
    "type": "object",
    "properties": {"who": {"type": "string"}, "sum": {"type": "number"}},
    "required": ["who", "sum"],
    "additionalProperties": False,
}
ROWS = {"type": "array", "items": SCHEMA}
RIGHT: Any = {"who": "Eva", "sum": 7}
HANDLERS: dict[str, Callable[[], IntentHandler]] = {
    "generate": GenerateHandler,
    "extract": ExtractHandler,
    "summarize": SummarizeHandler,
}
EACH = pytest.mark.parametrize("intent", HANDLERS)
PRICES = {"models": {"openai/m": {"input": 1.0, "output": 2.0}}}
KEY = "sk-test-0123456789abcdef"


class Fast(OnlyTier):
    """The tier `fast`."""

    name = "fast"


def completion(content: Any, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    choice = {"index": 0, "finish_reason": more.pop("finish", "stop"), "message": message}
    usage = {"prompt_tokens": 200, "completion_tokens": 40}
    return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage, **more}


Run = Callable[..., Any]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs one step against a server that gives these answers."""

    async def made(intent: str, *answers: Any, then: Any = None, settings: Any = None, **step: Any) -> Any:
        server = WireServer(then)
        for answer in answers:
            server.answer(*answer) if isinstance(answer, tuple) else server.answer(answer)
        async with server.running() as url:
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
            monkeypatch.setenv("NO_PROXY", "*")
            provider = OpenaiProvider({"models": {"fast": "m"}})
            asked = {"id": "a", "intent": intent, "prompt": "Who owes how much?", "input": "Eva owes 7.", **step}
            result = await run_steps(
                [asked], HANDLERS[intent](), provider, Fast(), prices=PRICES, **(settings or {})
            )
        return result.steps["a"], server

    monkeypatch.setattr("intendant.spending.gateway.RETRY_SECONDS", 0.01)
    return made


TEXT = json.dumps(RIGHT)
WRONG = json.dumps({"who": "Max", "sum": 1})


@EACH
@pytest.mark.parametrize(
    "content",
    [
        f"<think>Is it {WRONG}? No.</think>{TEXT}",
        f"It may be {WRONG}.\n</think>\n\n{TEXT}",
        f"```json\n{TEXT}\n```",
        f"Here it is:\n~~~\n{TEXT}\n~~~\nAnything else?",
        f"First {WRONG}. On second thought:\n{TEXT}",
        json.dumps(TEXT),
        [{"type": "thinking", "thinking": [{"type": "text", "text": WRONG}]}, {"type": "text", "text": TEXT}],
    ],
    ids=["think", "unopened", "fence", "tildes", "drafts", "encoded twice", "parts"],
)
async def test_the_answer_is_what_the_model_means(run: Run, intent: str, content: Any) -> None:
    outcome, server = await run(intent, completion(content), output=SCHEMA)
    assert outcome.output == RIGHT, outcome.failure
    assert len(server.requests) == 1
    assert outcome.usage.tokens == 240


@EACH
async def test_rows_are_asked_for_in_the_form_that_servers_admit(run: Run, intent: str) -> None:
    outcome, server = await run(intent, completion(json.dumps({"answer": [RIGHT]})), output=ROWS)
    assert outcome.output == [RIGHT], outcome.failure
    assert server.sent["response_format"]["json_schema"]["schema"]["type"] == "object"


@EACH
@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
async def test_what_is_no_number_is_said_to_be_none(run: Run, intent: str, constant: str) -> None:
    text = TEXT.replace("7", constant)
    outcome, _ = await run(intent, completion(text), completion(text), output=SCHEMA)
    assert outcome.failure is not None
    assert f"{constant} is no JSON number" in outcome.failure.message
    assert "Out of range" not in outcome.failure.message


@EACH
@pytest.mark.parametrize("finish", ["stop", "content_filter"])
async def test_a_refusal_is_never_an_output(run: Run, intent: str, finish: str) -> None:
    said = {"refusal": "I will not say."} if finish == "stop" else {"content": "Eva ow"}
    answer = completion(None, message=said, finish=finish)
    outcome, _ = await run(intent, answer, **({"output": SCHEMA} if intent == "extract" else {}))
    assert outcome.output is None
    assert outcome.failure is not None
    assert (outcome.failure.error, outcome.usage.tokens) == ("ModelRefused", 240)


@EACH
@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "busy upstream", "code": 429}},
        {"error": {"message": "busy upstream", "type": "rate_limit_exceeded"}},
        {"object": "error", "message": "busy upstream", "code": 503},
    ],
)
async def test_an_error_inside_of_a_200_is_tried_again_and_not_charged(run: Run, intent: str, error: Any) -> None:
    outcome, server = await run(intent, error, completion(TEXT), output=SCHEMA)
    assert outcome.output == RIGHT
    assert (len(server.requests), outcome.usage.tokens) == (2, 240)
    outcome, server = await run(intent, *[error] * 3, output=SCHEMA)
    assert "busy upstream" in outcome.failure.message
    assert (len(server.requests), outcome.usage.tokens) == (3, 0)


@EACH
async def test_half_a_character_is_replaced_and_paid(run: Run, intent: str) -> None:
    outcome, _ = await run(intent, completion('{"who": "Eva \ud83d", "sum": 7}'), output=SCHEMA)
    assert outcome.output == {"who": "Eva \ufffd", "sum": 7}
    assert outcome.usage.tokens == 240


def refusing(*fields: str) -> Callable[[Sent], Any]:
    """A server that knows none of these fields."""

    def answer(sent: Sent) -> Any:
        for field in fields:
            if field in sent.body:
                return 400, {"error": {"message": f"Unrecognized request argument supplied: {field}"}}, {}
        return 200, completion(TEXT), {}

    return answer


@EACH
@pytest.mark.parametrize("fields", [("max_tokens",), ("response_format",), ("max_tokens", "response_format")])
async def test_a_server_that_knows_less_is_asked_otherwise(run: Run, intent: str, fields: tuple[str, ...]) -> None:
    outcome, server = await run(intent, then=refusing(*fields), output=SCHEMA, settings={"calls": {"attempts": 1}})
    assert outcome.output == RIGHT, outcome.failure
    assert outcome.usage.tokens == 240
    assert not set(fields) & server.asked().keys()


async def test_a_prompt_that_no_tokenizer_is_known_of_is_never_charged_above_the_budget(run: Run) -> None:
    """The server takes a token for each byte, and answers as long as it may."""

    def answer(sent: Sent) -> Any:
        read = sum(len(turn["content"].encode()) for turn in sent.body["messages"])
        usage = {"prompt_tokens": read, "completion_tokens": sent.body["max_tokens"]}
        return 200, completion("ab " * 20, usage=usage), {}

    for text in ("123456789012345 " * 40, "\u092e\u094c\u0938\u092e " * 40, "-" * 700, "\ufdfa " * 30):
        settings = {"budget": {"tokens_per_workflow": 2400}}
        outcome, _ = await run("generate", then=answer, input=text, settings=settings)
        assert outcome.failure is None, outcome.failure
        assert 0 < outcome.usage.tokens <= 2400
