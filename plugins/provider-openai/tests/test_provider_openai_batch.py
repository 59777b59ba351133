"""Calls that may wait."""

import json
import re
from typing import Any

import pytest

from intendant.plugin import Hold, Message, ModelReply, ModelRequest, ProviderError
from intendant_provider_openai import OpenaiProvider

LONG = "0123456789abcdef" * 4 + "~1"
CALLS = [
    (Hold(key, 1000, 500, 300, "gpt-6-luna", 5.0), ModelRequest(messages=(Message(content=key),)))
    for key in ("a", LONG, "c", "d", "e")
]
APIS = pytest.mark.parametrize("api", ["responses", "chat"])


def batch(status: str = "in_progress", **more: Any) -> dict[str, Any]:
    made = {"id": "batch_1", "object": "batch", "status": status, "endpoint": "/v1/responses", "created_at": 1}
    return {**made, "completion_window": "24h", "input_file_id": "file_1", **more}


def body(api: str) -> dict[str, Any]:
    if api == "chat":
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}
        return {"id": "c", "choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 50}}
    content = [{"type": "output_text", "text": "Hi", "annotations": []}]
    output = [{"id": "m", "type": "message", "content": content}]
    usage = {"input_tokens": 100, "output_tokens": 50}
    return {"id": "r", "object": "response", "status": "completed", "output": output, "usage": usage}


def line(name: str, answer: Any = None, status: int = 200, error: Any = None) -> str:
    response = None if answer is None else {"status_code": status, "request_id": "req_9", "body": answer}
    return json.dumps({"id": "x", "custom_id": name, "response": response, "error": error})


async def submitted(server: Any, api: str) -> list[dict[str, Any]]:
    """The lines of the file of a batch that is sent."""
    server.answer({"id": "file_1", "object": "file"})
    server.answer(batch("validating"))
    provider = OpenaiProvider({"api": api})
    assert await provider.submit_batch(CALLS) == "batch_1"
    await provider.close()
    uploaded: bytes = server.requests[-2][2]
    return [json.loads(part) for part in uploaded.splitlines() if part.startswith(b"{")]


async def look(server: Any, api: str, found: dict[str, Any], *files: list[str]) -> Any:
    server.answer(found)
    for lines in files:
        server.answer("\n".join(lines).encode())
    provider = OpenaiProvider({"api": api})
    try:
        return await provider.batch_answers("batch_1", CALLS)
    finally:
        await provider.close()


@APIS
async def test_calls_are_sent_as_they_would_be_at_once(vendor: Any, api: str) -> None:
    lines = await submitted(vendor, api)
    path = "/v1/chat/completions" if api == "chat" else "/v1/responses"
    assert vendor.asked()["endpoint"] == path
    assert vendor.asked()["input_file_id"] == "file_1"
    assert [(made["method"], made["url"], made["body"]["model"]) for made in lines] == [
        ("POST", path, "gpt-6-luna")
    ] * 5
    assert "stream" not in lines[0]["body"]
    assert "service_tier" not in lines[0]["body"]
    assert lines[0]["body"]["max_completion_tokens" if api == "chat" else "max_output_tokens"] == 300
    names = [made["custom_id"] for made in lines]
    assert len(set(names)) == len(CALLS)
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", name) for name in names)
    assert [made["custom_id"] for made in await submitted(vendor, api)] == names, "the same name each time"
    uploaded = vendor.requests[0][2]
    assert b'name="purpose"\r\n\r\nbatch' in uploaded
    assert b"259200" in uploaded, "prompts are not kept at OpenAI for ever"
    assert vendor.asked()["output_expires_after"]["seconds"] == 259200


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling"])
async def test_a_batch_that_is_worked_on_has_no_answers(vendor: Any, status: str) -> None:
    assert await look(vendor, "responses", batch(status)) is None


@APIS
@pytest.mark.parametrize("status", ["completed", "expired", "cancelled"])
async def test_what_became_of_each_call(vendor: Any, api: str, status: str) -> None:
    """Whichever way it went; only what was answered is charged."""
    long = (await submitted(vendor, api))[1]["custom_id"]
    refused = {"error": {"message": "too long", "code": "context_length_exceeded"}}
    expired = {"code": "batch_expired", "message": "not in time"}
    counts = {"completed": 2, "failed": 3, "total": 5}
    found = batch(status, output_file_id="file_2", error_file_id="file_3", request_counts=counts)
    good = [line(long, body(api)), line("another", body(api))]
    bad = [line("c", refused, 400), line("d", error=expired), line("e", {}, 503)]
    made = await look(vendor, api, found, good, bad)
    assert made.keys() == {LONG, "c", "d", "e"}, "what is missing was not charged"
    reply = made[LONG]
    assert isinstance(reply, ModelReply)
    assert (reply.text, reply.lane, reply.usage.tokens, reply.request_id) == ("Hi", "batch", 150, "req_9")
    errors = [made[key] for key in "cde"]
    assert all(isinstance(error, ProviderError) and not error.billed for error in errors)
    assert [error.retryable for error in errors] == [False, True, True]
    assert "too long" in errors[0].message


@APIS
async def test_an_answer_that_cannot_be_read_may_be_charged(vendor: Any, api: str) -> None:
    made = await look(vendor, api, batch("completed", output_file_id="file_2"), [line("a", {"id": "poem"})])
    assert isinstance(made["a"], ProviderError)
    assert made["a"].billed is True


async def test_a_refused_batch_was_not_charged(vendor: Any) -> None:
    errors = {"object": "list", "data": [{"code": "x", "message": "line 1 is wrong", "line": 1}]}
    made = await look(vendor, "responses", batch("failed", errors=errors))
    assert made.keys() == {hold.key for hold, _ in CALLS}
    assert all(error.billed is False and "line 1 is wrong" in error.message for error in made.values())


async def test_a_list_that_was_cut_is_not_taken_for_the_whole(vendor: Any) -> None:
    counts = {"completed": 2, "failed": 0, "total": 2}
    found = batch("completed", output_file_id="file_2", request_counts=counts)
    with pytest.raises(ProviderError, match="1 of 2 answers") as caught:
        await look(vendor, "responses", found, [line("a", body("responses"))])
    assert (caught.value.billed, caught.value.retryable) == (True, True)


async def test_a_batch_can_be_given_up(vendor: Any) -> None:
    vendor.answer(batch("cancelling"))
    await OpenaiProvider().cancel_batch("batch_1")
    assert vendor.requests[0][0] == "POST http://api.openai.com/v1/batches/batch_1/cancel HTTP/1.1"


async def test_a_server_without_batches_charges_nothing(stub: Any) -> None:
    stub.answer({}, 404)
    with pytest.raises(ProviderError) as caught:
        await OpenaiProvider().submit_batch(CALLS)
    assert (caught.value.billed, caught.value.retryable, caught.value.at_fault) == (False, True, False)
    assert "no batches" in caught.value.hint
