"""A server that streams, cuts and keeps silent, and a meter that remembers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from intendant.plugin import Usage

HANG, DROP = "hang", "drop"


class Stub:
    """Answers each request with the next of `script`: a body, or a list of pieces of a stream.

    Of the pieces, `HANG` sends nothing more until the client leaves, `DROP` closes the connection, and a number
    is a pause in seconds.
    """

    def __init__(self) -> None:
        self.script: list[tuple[int, Any, dict[str, str]]] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.left = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, body: Any, status: int = 200, **headers: str) -> None:
        self.script.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    def sent(self, number: int = -1) -> Any:
        return json.loads(self.requests[number][2])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        finally:
            listening.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError):
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append((lines[0], headers, body))
                status, answer, more = self.script.pop(0)
                named = "".join(f"{name}: {value}\r\n" for name, value in more.items())
                writer.write(f"HTTP/1.1 {status} X\r\nconnection: close\r\n{named}".encode())
                if isinstance(answer, list):
                    await self._stream(reader, writer, answer)
                else:
                    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                    writer.write(
                        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data
                    )
                await writer.drain()
        finally:
            writer.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: list[Any]) -> None:
        writer.write(b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            if piece == DROP:
                return
            if piece == HANG:
                await writer.drain()
                await reader.read()
                self.left.set()
                return
            if isinstance(piece, float):
                await writer.drain()
                await asyncio.sleep(piece)
                continue
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")


class Told:
    """A meter that remembers what it was told, and raises *error* at the first text."""

    def __init__(self, error: Exception | None = None) -> None:
        self.news: list[tuple[str, Any]] = []
        self._error = error

    def text(self, piece: str) -> None:
        self.news.append(("text", piece))
        if self._error is not None:
            raise self._error

    def unseen(self, piece: str) -> None:
        self.news.append(("unseen", piece))

    def hide(self) -> None:
        self.news.append(("hide", None))

    def used(self, usage: Usage) -> None:
        self.news.append(("used", usage))

    @property
    def hidden(self) -> bool:
        return ("hide", None) in self.news

    def all(self, kind: str) -> list[Any]:
        return [value for name, value in self.news if name == kind]


@pytest.fixture
async def stub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stub]:
    """A server that the provider takes for another maker's."""
    made = Stub()
    async with made.running() as url:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-0123456789abcdef")
        monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
        monkeypatch.setenv("NO_PROXY", "*")
        yield made


@pytest.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stub]:
    """A server that stands, as a proxy, where Anthropic's own is."""
    made = Stub()
    async with made.running() as url:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-0123456789abcdef")
        monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://api.anthropic.com")
        for name in ("NO_PROXY", "no_proxy", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", url)
        yield made


@pytest.fixture
def told() -> type[Told]:
    return Told
