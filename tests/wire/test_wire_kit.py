"""A third party's provider, as the docs show it, against a server of the wire; and the whole way of odd answers."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from intendant.plugin import Hold, Message, ModelRequest, Provider, ProviderError
from intendant.testing import CUT, HANG, RESET, MeterLog, WireServer
from intendant_provider_openai import OpenaiProvider

DOCS = Path(__file__).parent.parent.parent / "docs/writing-a-plugin.md"
HOLD = Hold("k", 1000, 500, 300, "acme-1", 0.5)
ASKED = ModelRequest(messages=(Message(content="Hello"),), json_schema={"type": "object"})
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "```\n{}\n```"}}
    ],
    "usage": {"prompt_tokens": 12, "completion_tokens": 5},
}


def acme() -> type[Provider]:
    """The provider of the page."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(next(block for block in blocks if "AcmeProvider" in block), names)  # our own page
    found: type[Provider] = names["AcmeProvider"]
    return found


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = WireServer()
    async with made.running() as url:
        monkeypatch.setenv("ACME_BASE_URL", url)
        monkeypatch.setenv("ACME_API_KEY", "acme-key-0123456789")
        monkeypatch.setenv("NO_PROXY", "*")
        yield made


async def test_the_provider_of_the_docs_works(server: WireServer) -> None:
    provider = acme()({"models": {"fast": "acme-1"}})
    server.answer(ANSWER)
    await provider.warm()
    reply = await provider.complete(HOLD, ASKED)
    assert (reply.data, reply.usage.tokens, reply.provider) == ({}, 17, "acme")
    assert server.requests[0].headers["authorization"] == "Bearer acme-key-0123456789"
    assert provider.available()
    await provider.close()


@pytest.mark.parametrize(
    ("answer", "status", "billed", "retryable"),
    [
        ({"error": {"message": "no such key acme-key-0123456789"}}, 401, False, False),
        ({}, 429, False, True),
        ({}, 503, False, True),
        ({}, 502, True, True),
        ({}, 504, True, True),
        (CUT, 200, True, True),
        (RESET, 200, True, True),
        (HANG, 200, True, True),
    ],
)
async def test_its_errors_are_those_of_the_kit(
    server: WireServer, answer: Any, status: int, billed: bool, retryable: bool
) -> None:
    provider = acme()({"models": {"fast": "acme-1"}})
    server.answer(answer, status)
    with pytest.raises(ProviderError) as caught:
        await provider.complete(HOLD, ASKED)
    assert (caught.value.billed, caught.value.retryable) == (billed, retryable)
    assert caught.value.message.startswith(("acme ", "the connection to acme "))
    assert "0123456789" not in str(caught.value)
    await provider.close()


@pytest.mark.parametrize("content", ["half \ud83d", "<think>Hm.</think>Yes.", [{"type": "text", "text": "Yes."}]])
@pytest.mark.parametrize("streams", [False, True])
async def test_odd_answers_are_paid_once_and_stored(
    ask: Any, monkeypatch: pytest.MonkeyPatch, content: Any, streams: bool
) -> None:
    """Whatever an answer holds, the call is settled with it, and no hold stays open; the fixture checks that."""
    odd = {**ANSWER, "model": "another"}
    odd["choices"] = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}]
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": "stop"}]}
    pieces = [f"data: {json.dumps(part)}\n\n".encode() for part in (chunk, {**odd, "choices": []})]
    server = WireServer()
    async with server.running() as url:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        server.answer([*pieces, b"data: [DONE]\n\n"] if streams else odd)
        told = await ask("chat, not thinking", streams=streams)
    assert told.text in ("half \ufffd", "Yes.")
    assert told.outcomes == ["answered"]
    assert told.tries[0].usage.tokens == 17
    assert told.tries[0].answered_by == "another"
    assert "".join(told.shown) == (told.text if streams else "")


async def test_a_stream_that_is_reset_is_charged(monkeypatch: pytest.MonkeyPatch, server: WireServer) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
    del server
    made = WireServer()
    async with made.running() as url:
        provider = OpenaiProvider({"base_url": f"{url}/v1"})
        piece = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
        made.answer([f"data: {json.dumps(piece)}\n\n".encode(), 0.05, RESET])
        meter = MeterLog()
        with pytest.raises(ProviderError) as caught:
            await provider.stream(Hold("k", 1000, 500, 300, "m", 5.0), ASKED, meter)
        assert (caught.value.billed, caught.value.retryable) == (True, True)
        assert meter.all("text") == ["Hi"]
        await provider.close()
