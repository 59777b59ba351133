"""Calls that may wait."""

import json
import re
from typing import Any

import pytest

from intendant.plugin import Hold, Message, ModelReply, ModelRequest, ProviderError
from intendant_provider_anthropic import AnthropicProvider

LONG = "0123456789abcdef" * 4 + "~1"
CALLS = [
    (Hold(key, 1000, 500, 300, "claude-haiku-5-5", 5.0), ModelRequest(messages=(Message(content=key),)))
    for key in ("a", LONG, "c", "d", "e")
]
URL = "http://127.0.0.1:1/never"


def batch(status: str = "in_progress", **more: Any) -> dict[str, Any]:
    counts = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0, **more.pop("counts", {})}
    day = "2026-11-20T00:00:00Z"
    made = {"id": "msgbatch_1", "type": "message_batch", "processing_status": status, "created_at": day}
    return {**made, "expires_at": day, "request_counts": counts, "results_url": None, **more}


def message() -> dict[str, Any]:
    usage = {"input_tokens": 100, "output_tokens": 50}
    content = [{"type": "text", "text": "Hi"}]
    return {"id": "m", "type": "message", "content": content, "stop_reason": "end_turn", "usage": usage}


def done(message: Any) -> dict[str, Any]:
    return {"type": "succeeded", "message": message}


async def look(stub: Any, results: list[tuple[str, dict[str, Any]]], **more: Any) -> Any:
    """Ask for the answers of a batch with these results."""
    found = batch("ended", results_url="/v1/messages/batches/msgbatch_1/results", **more)
    lines = "\n".join(json.dumps({"custom_id": name, "result": result}) for name, result in results)
    for answer in (found, found, lines.encode()):
        stub.answer(answer)
    provider = AnthropicProvider()
    try:
        return await provider.batch_answers("msgbatch_1", CALLS)
    finally:
        await provider.close()


async def test_calls_are_sent_as_they_would_be_at_once(stub: Any) -> None:
    stub.answer(batch())
    provider = AnthropicProvider()
    assert await provider.submit_batch(CALLS) == "msgbatch_1"
    assert stub.requests[0][0] == "POST /v1/messages/batches HTTP/1.1"
    sent = stub.asked()["requests"]
    assert sent[0] == {
        "custom_id": "a",
        "params": {
            "model": "claude-haiku-5-5",
            "max_tokens": 300,
            "messages": [{"role": "user", "content": "a"}],
            "output_config": {"effort": "low"},
        },
    }
    names = [call["custom_id"] for call in sent]
    assert len(set(names)) == len(CALLS)
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", name) for name in names)
    stub.answer(batch())
    await provider.submit_batch(CALLS)
    assert [call["custom_id"] for call in stub.asked()["requests"]] == names, "the same name each time"
    await provider.close()


@pytest.mark.parametrize("status", ["in_progress", "canceling"])
async def test_a_batch_that_is_worked_on_has_no_answers(stub: Any, status: str) -> None:
    stub.answer(batch(status))
    assert await AnthropicProvider().batch_answers("msgbatch_1", CALLS) is None


async def test_what_became_of_each_call(stub: Any) -> None:
    """Whichever way it went; only what was answered is charged."""
    stub.answer(batch())
    provider = AnthropicProvider()
    await provider.submit_batch(CALLS)
    long = stub.asked()["requests"][1]["custom_id"]
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    results = [
        (long, done(message())),
        ("c", {"type": "errored", "error": error}),
        ("d", {"type": "expired"}),
        ("e", {"type": "canceled"}),
        ("another", done(message())),
    ]
    found = await look(stub, results, counts={"succeeded": 2})
    assert found.keys() == {LONG, "c", "d", "e"}, "what is missing was not charged"
    reply = found[LONG]
    assert isinstance(reply, ModelReply)
    assert (reply.text, reply.lane, reply.usage.tokens) == ("Hi", "batch", 150)
    errors = [found[key] for key in "cde"]
    assert all(isinstance(error, ProviderError) and not error.billed for error in errors)
    assert [error.retryable for error in errors] == [True, True, True], "by themselves they may be answered"
    assert "busy" in errors[0].message
    await provider.close()


async def test_an_answer_that_cannot_be_read_may_be_charged(stub: Any) -> None:
    found = await look(stub, [("a", done({"type": "poem"}))], counts={"succeeded": 1})
    assert isinstance(found["a"], ProviderError)
    assert found["a"].billed is True


async def test_a_list_that_was_cut_is_not_taken_for_the_whole(stub: Any) -> None:
    with pytest.raises(ProviderError, match="1 of 2 answers") as caught:
        await look(stub, [("a", done(message()))], counts={"succeeded": 2})
    assert (caught.value.billed, caught.value.retryable) == (True, True)


async def test_answers_that_are_gone_are_said_to_be(stub: Any) -> None:
    stub.answer(batch("ended"))
    with pytest.raises(ProviderError, match="no longer"):
        await AnthropicProvider().batch_answers("msgbatch_1", CALLS)


async def test_a_batch_can_be_given_up(stub: Any) -> None:
    stub.answer(batch("canceling"))
    await AnthropicProvider().cancel_batch("msgbatch_1")
    assert stub.requests[0][0] == "POST /v1/messages/batches/msgbatch_1/cancel HTTP/1.1"


async def test_a_server_without_batches_charges_nothing(stub: Any) -> None:
    stub.answer({}, 405)
    with pytest.raises(ProviderError) as caught:
        await AnthropicProvider().submit_batch(CALLS)
    assert (caught.value.billed, caught.value.retryable, caught.value.at_fault) == (False, True, False)
    assert "no batches" in caught.value.hint


async def test_without_a_key_nothing_is_sent(stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(ProviderError, match="no key") as caught:
        await AnthropicProvider().submit_batch(CALLS)
    assert caught.value.billed is False
    assert not stub.requests
