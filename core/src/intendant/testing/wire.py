"""The other end of a wire: an HTTP server that answers from a script."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any


class WireServer:
    """A small HTTP server on this machine that remembers requests and answers from a script, in order.

    For tests of what really goes over the wire: the real SDK on one side, this on the other.

    Example:
        ```python
        server = WireServer()
        server.answer({"ok": True})
        async with server.running() as url:
            ...  # call url
        assert server.sent == {"question": 1}
        ```
    """

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    def answer(self, body: Any, status: int = 200, **headers: str) -> None:
        """Script an answer; `script` also takes "cut" (close without a word) and "hang"."""
        self.script.append((status, body, headers))

    @property
    def sent(self) -> dict[str, Any]:
        """The body of the only request."""
        assert len(self.requests) == 1, "the SDK must not retry by itself"
        return self.requests[0][2]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listens on a free port of this machine."""
        listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        finally:
            listening.close()
            self._over.set()
            await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._respond(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append((lines[0], headers, json.loads(body)))
        answer = self.script.pop(0)
        if answer == "hang":
            await self._over.wait()
        elif answer != "cut":
            status, content, extra = answer
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in extra.items())
            head = (
                f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n{named}"
            )
            writer.write(f"{head}connection: close\r\n\r\n".encode() + data)
            await writer.drain()


@contextmanager
def nobody() -> Iterator[str]:
    """The URL of a port on this machine that refuses connections, and that nobody else gets meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
