"""The other end of a wire: an HTTP server that answers from a script, and a meter that remembers what it is
told.
"""

import asyncio
import inspect
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple

from intendant.model.results import Usage

CUT = "cut"
"""As an answer: close the connection without one. In a stream: close it here, in order."""
RESET = "reset"
"""As `CUT`, by a reset of the connection."""
HANG = "hang"
"""Send nothing more until the client leaves, or the server is stopped."""


class Sent(NamedTuple):
    """A request that the server received."""

    line: str
    """Its first line."""
    headers: dict[str, str]
    """By name in lower case."""
    body: Any
    """What its JSON holds; bytes where it is no JSON."""


class WireServer:
    """A small HTTP server on this machine that remembers requests and answers from a script, in order.

    For tests of what really goes over the wire: the real SDK on one side, this on the other.

    An answer is a body: an object that is sent as JSON, text or bytes that are sent as they are, or a list of
    the pieces of a stream. A piece is bytes, a number of seconds to pause, `CUT`, `RESET` or `HANG`. The last
    three may stand for a whole answer too. `then` is asked for an answer where the script has none; it may be an
    `async def`.

    Example:
        ```python
        server = WireServer()
        server.answer({"ok": True})
        async with server.running() as url:
            ...  # call url
        assert server.sent == {"question": 1}
        ```
    """

    def __init__(self, then: Callable[[Sent], Any] | None = None) -> None:
        self.script: list[Any] = []
        self.requests: list[Sent] = []
        self.left = asyncio.Event()
        """Set when a client left while the server hung."""
        self._then = then
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    def answer(self, body: Any, status: int = 200, **headers: str) -> None:
        """Add an answer to the script.

        Args:
            body: See the class.
            status: Its status.
            headers: More headers; `_` stands for `-`.
        """
        self.script.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    @property
    def sent(self) -> Any:
        """The body of the only request."""
        assert len(self.requests) == 1, "the SDK must not retry by itself"
        return self.requests[0].body

    def asked(self, number: int = -1) -> Any:
        """The body of a request, by default the last one."""
        return self.requests[number].body

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listens on a free port of this machine."""
        listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        finally:
            listening.close()
            self._over.set()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._respond(await self._read(reader), reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> Sent:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body: Any = await reader.readexactly(int(headers.get("content-length", 0)))
        with suppress(ValueError):
            body = json.loads(body)
        self.requests.append(Sent(lines[0], headers, body))
        return self.requests[-1]

    async def _respond(self, sent: Sent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = self.script.pop(0) if self.script or self._then is None else self._then(sent)
        if inspect.isawaitable(answer):
            answer = await answer
        status, body, more = answer if isinstance(answer, tuple) else (200, answer, {})
        if isinstance(body, str) and body in (CUT, RESET, HANG):
            await self._stop(body, reader, writer)
            return
        more = {"content-type": "application/json", **{name.lower(): value for name, value in more.items()}}
        if isinstance(body, list):
            more["content-type"] = "text/event-stream"
        named = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        writer.write(f"HTTP/1.1 {status} X\r\nconnection: close\r\n{named}".encode())
        if isinstance(body, list):
            await self._stream(body, reader, writer)
        else:
            data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else _json(body)
            writer.write(b"content-length: %d\r\n\r\n" % len(data) + data)
        await writer.drain()

    async def _stream(self, pieces: list[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"transfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            if isinstance(piece, str):
                await self._stop(piece, reader, writer)
                return
            if isinstance(piece, bytes):
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            else:
                await writer.drain()
                await asyncio.sleep(piece)
        writer.write(b"0\r\n\r\n")

    async def _stop(self, how: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if how == HANG:
            await writer.drain()
            leaving, over = asyncio.ensure_future(reader.read()), asyncio.ensure_future(self._over.wait())
            await asyncio.wait((leaving, over), return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                self.left.set()
            leaving.cancel()
            over.cancel()
        elif how == RESET:
            await writer.drain()
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


class MeterLog:
    """Implements `StreamMeter`: remembers what it is told.

    Args:
        error: Raised at the first piece of text.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.news: list[tuple[str, Any]] = []
        self._error = error

    def text(self, piece: str) -> None:
        """See `StreamMeter.text`."""
        self.news.append(("text", piece))
        if self._error is not None:
            raise self._error

    def unseen(self, piece: str) -> None:
        """See `StreamMeter.unseen`."""
        self.news.append(("unseen", piece))

    def hide(self) -> None:
        """See `StreamMeter.hide`."""
        self.news.append(("hide", None))

    def used(self, usage: Usage) -> None:
        """See `StreamMeter.used`."""
        self.news.append(("used", usage))

    @property
    def hidden(self) -> bool:
        """True if it was told that more is charged than is shown."""
        return ("hide", None) in self.news

    def all(self, kind: str) -> list[Any]:
        """What it was told of one kind: `text`, `unseen` or `used`."""
        return [value for name, value in self.news if name == kind]


@contextmanager
def nobody() -> Iterator[str]:
    """The URL of a port on this machine that refuses connections, and that no other process gets meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
