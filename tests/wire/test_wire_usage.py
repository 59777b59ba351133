"""What the vendors may report of a call, and what the ledger makes of it, at prices that are all different."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

PRICES = {"input": 2.0, "output": 7.0, "cache_read": 0.3, "cache_write": 3.1, "cache_write_1h": 5.3}
"""US$ per million tokens."""
MODELS = {"messages": "anthropic/claude-haiku-4-5", "responses": "openai/gpt-4.1", "chat": "openai/gpt-4.1"}
APIS = pytest.mark.parametrize("api", MODELS)
STREAMED = pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])

PLAIN = {"messages": (100, {}, 50, {}), "responses": (100, {}, 50, {}), "chat": (100, {}, 50, {})}
"""By API: what was read, its parts, what was written, its parts; each as the API says it."""
READ = {
    "messages": (36, {"cache_read_input_tokens": 64}, 50, {}),
    "responses": (100, {"cached_tokens": 64}, 50, {}),
    "chat": (100, {"cached_tokens": 64}, 50, {}),
}
KEPT = {
    "messages": (16, {"cache_read_input_tokens": 64, "cache_creation_input_tokens": 20}, 50, {}),
    "responses": (100, {"cached_tokens": 64, "cache_write_tokens": 20}, 50, {}),
    "chat": (100, {"cached_tokens": 64, "cache_write_tokens": 20}, 50, {}),
}
_BOTH = {"cache_write_tokens": 30, "cache_write_tokens_details": {"ttl_30m_tokens": 10, "ttl_12h_tokens": 20}}
LONG = {
    "messages": (
        70,
        {
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        },
        50,
        {},
    ),
    "responses": (100, _BOTH, 50, {}),
    "chat": (100, _BOTH, 50, {}),
}
THOUGHT = {
    "messages": (100, {}, 50, {"thinking_tokens": 30}),
    "responses": (100, {}, 50, {"reasoning_tokens": 30}),
    "chat": (100, {}, 50, {"reasoning_tokens": 30}),
}


def reported(api: str, shape: Any) -> dict[str, Any]:
    read, parts, written, thoughts = shape[api]
    if api == "messages":
        return {"input_tokens": read, **parts, "output_tokens": written, "output_tokens_details": thoughts or None}
    given, made = ("input", "output") if api == "responses" else ("prompt", "completion")
    total = {"total_tokens": read + written}
    details = {f"{given}_tokens_details": parts, f"{made}_tokens_details": thoughts}
    return {f"{given}_tokens": read, f"{made}_tokens": written, **details, **total}


class Vendor:
    """Answers any call, whole or streamed, with one text and the given usage."""

    def __init__(self, usage: Any) -> None:
        self.usage = usage
        self.calls = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        size = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length"))
        asked = json.loads(await reader.readexactly(size))
        self.calls += 1
        api = lines[0].split()[1].rpartition("/v1/")[2].partition("/")[0]
        made = getattr(self, f"_{api}")(stream=asked.get("stream", False))
        data = made.encode() if isinstance(made, str) else json.dumps(made).encode()
        kind = b"text/event-stream" if isinstance(made, str) else b"application/json"
        head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % (kind, len(data)) + data)
        await writer.drain()
        writer.close()

    def _messages(self, *, stream: bool) -> Any:
        message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
        text = {"type": "text", "text": "Hi there"}
        if not stream:
            return {**message, "content": [text], "usage": self.usage}
        known = dict(self.usage or {})
        last = {name: known.pop(name) for name in ("output_tokens", "output_tokens_details") if name in known}
        start = {**message, "content": [], "usage": {**known, "output_tokens": 1} if known else None}
        delta = {"type": "text_delta", "text": "Hi there"}
        return _events(
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last or None},
            {"type": "message_stop"},
        )

    def _responses(self, *, stream: bool) -> Any:
        content = [{"type": "output_text", "text": "Hi there", "annotations": []}]
        output = [{"id": "o", "type": "message", "role": "assistant", "content": content}]
        response = {"id": "r", "object": "response", "status": "completed", "output": output, "usage": self.usage}
        if not stream:
            return response
        delta = {"type": "response.output_text.delta", "item_id": "o", "delta": "Hi there"}
        return _events(delta, {"type": "response.completed", "response": response})

    def _chat(self, *, stream: bool) -> Any:
        said = {"role": "assistant", "content": "Hi there"}
        if not stream:
            choice = {"index": 0, "finish_reason": "stop", "message": said}
            return {"id": "c", "object": "chat.completion", "choices": [choice], "usage": self.usage}
        chunks = [{"id": "c", "choices": [{"index": 0, "delta": said, "finish_reason": "stop"}]}]
        chunks += [{"id": "c", "choices": [], "usage": self.usage}] if self.usage is not None else []
        return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def _events(*events: dict[str, Any]) -> str:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


async def charged(
    ask: Any, monkeypatch: pytest.MonkeyPatch, api: str, usage: Any, *, streams: bool, more: Any = None
) -> tuple[Any, int]:
    """What the ledger was charged for a call with this usage, and what was held for it, in tokens."""
    vendor = Vendor(usage)
    async with vendor.running() as url:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        prices = {"models": {MODELS[api]: PRICES}}
        told = await ask(f"{api}, not thinking", streams=streams, more=more, prices=prices)
    assert (told.text, told.outcomes, vendor.calls) == ("Hi there", ["answered"], 1)
    return told.tries[0].usage, told.held[0]


@pytest.mark.sampled(12)
@APIS
@STREAMED
@pytest.mark.parametrize(
    ("shape", "parts", "dollars"),
    [
        (PLAIN, (0, 0, 0, 0), 100 * 2 + 50 * 7),
        (READ, (64, 0, 0, 0), 36 * 2 + 64 * 0.3 + 50 * 7),
        (KEPT, (64, 20, 0, 0), 16 * 2 + 64 * 0.3 + 20 * 3.1 + 50 * 7),
        (LONG, (0, 10, 20, 0), 70 * 2 + 10 * 3.1 + 20 * 5.3 + 50 * 7),
        (THOUGHT, (0, 0, 0, 30), 100 * 2 + 50 * 7),
    ],
    ids=["plain", "cached", "written", "written for longer", "thought"],
)
async def test_each_part_has_its_price(
    ask: Any, monkeypatch: Any, api: str, streams: bool, shape: Any, parts: Any, dollars: float
) -> None:
    usage, _ = await charged(ask, monkeypatch, api, reported(api, shape), streams=streams)
    assert (usage.input_tokens, usage.output_tokens) == (100, 50)
    found = (usage.cached_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens, usage.reasoning_tokens)
    assert found == parts
    assert usage.micro_usd == -int(-dollars // 1)


@APIS
@STREAMED
@pytest.mark.parametrize("usage", ["missing", "half"])
async def test_no_usage_is_no_present(ask: Any, monkeypatch: Any, api: str, streams: bool, usage: str) -> None:
    """The input is charged as held, and the answer with its bytes, which it cannot have exceeded; or as held, where
    the API is known to report, so that something is wrong.
    """
    half = {name: value for name, value in reported(api, PLAIN).items() if "output" not in name}
    half = {name: value for name, value in half.items() if "completion" not in name and "total" not in name}
    found, held = await charged(ask, monkeypatch, api, {"missing": None, "half": half}[usage], streams=streams)
    output = 200 if api == "messages" else len("Hi there") + 32
    assert found.output_tokens == output
    assert found.tokens == held - 200 + output
    assert found.micro_usd >= 2 * found.input_tokens + 7 * output


@APIS
@STREAMED
async def test_nothing_is_charged_as_it_was_held(ask: Any, monkeypatch: Any, api: str, streams: bool) -> None:
    """No answer took no tokens."""
    found, held = await charged(ask, monkeypatch, api, reported(api, {api: (0, {}, 0, {})}), streams=streams)
    assert found.tokens == held
    assert found.micro_usd > 0
