"""Many HTTP requests at once, spread over connection pools that stay small.

A pool of httpx looks at each of its connections when a request begins and when its answer has ended, and asks the
operating system about each that is idle. With fifty requests at once that takes a quarter of the whole time.

Import this where it is used: it imports httpx.
"""

import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import cast
from urllib.request import getproxies

from httpx2 import (  # noqa: TID253  # see above
    AsyncBaseTransport,
    AsyncByteStream,
    AsyncHTTPTransport,
    Request,
    Response,
    create_ssl_context,
)

CONNECTIONS = 6
"""Requests that one pool has in hand at most. Fewer would keep more pools; more make each look longer."""
IDLE_SECONDS = 10.0
"""After which the pools of a burst are closed; one stays."""
KEEPALIVE_SECONDS = 60
"""Of silence, after which the operating system asks whether the other side of a connection is still there."""


class Lanes(AsyncBaseTransport):
    """Sends each request through the first pool with room for it, so that few requests at once need few
    connections.

    Args:
        make: Makes a transport with a pool of its own.
        connections: Requests that a pool has in hand at most.
    """

    def __init__(self, make: Callable[[], AsyncBaseTransport], connections: int = CONNECTIONS) -> None:
        self._make = make
        self._connections = connections
        self._lanes: list[_Lane] = []

    async def handle_async_request(self, request: Request) -> Response:
        """Send a request; its place is free again when the answer is closed."""
        lane = self._free()
        lane.busy += 1
        try:
            await self._close_idle()
            answer = await lane.transport.handle_async_request(request)
        except BaseException:
            lane.leave()
            raise
        answer.stream = _Leaving(cast("AsyncByteStream", answer.stream), lane)
        return answer

    def _free(self) -> "_Lane":
        for lane in self._lanes:
            if lane.busy < self._connections:
                return lane
        self._lanes.append(_Lane(self._make()))
        return self._lanes[-1]

    async def _close_idle(self) -> None:
        """Close the last pools, which a burst has left: a pool drops old connections only when it is used."""
        while len(self._lanes) > 1 and self._lanes[-1].idle_for() > IDLE_SECONDS:
            await self._lanes.pop().transport.aclose()

    async def aclose(self) -> None:
        """Close the connections of all pools."""
        lanes, self._lanes = self._lanes, []
        for lane in lanes:
            await lane.transport.aclose()


class _Lane:
    def __init__(self, transport: AsyncBaseTransport) -> None:
        self.transport = transport
        self.busy = 0
        self._left = monotonic()

    def leave(self) -> None:
        """A request is through."""
        self.busy -= 1
        self._left = monotonic()

    def idle_for(self) -> float:
        """Seconds since its last request; 0 while it has one."""
        return 0.0 if self.busy else monotonic() - self._left


class _Leaving(AsyncByteStream):
    """The body of an answer; its connection is in use until it is closed."""

    def __init__(self, stream: AsyncByteStream, lane: _Lane) -> None:
        self._stream = stream
        self._lane: _Lane | None = lane

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            if self._lane is not None:
                self._lane.leave()
                self._lane = None


def sdk_transport() -> AsyncBaseTransport | None:
    """A transport for the HTTP client of a vendor's SDK; None where the environment names proxies, which the
    client itself knows how to go through.
    """
    if getproxies().keys() - {"no"}:  # hosts that no proxy is used for are none
        return None
    context, options = trusted(), _keepalive()
    return Lanes(lambda: AsyncHTTPTransport(verify=context, socket_options=options))


def trusted(*, from_environment: bool = True) -> ssl.SSLContext:
    """What connections trust, for all clients alike. The certificates are read again when a file of them has
    changed: reading them takes longer than all else that opening a client takes.

    Args:
        from_environment: Trust what `SSL_CERT_FILE` or `SSL_CERT_DIR` name instead of the system's certificates.
    """
    named = [os.environ.get(name) or "" for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if from_environment]
    usual = ssl.get_default_verify_paths()
    places = (*named, usual.openssl_cafile, usual.openssl_capath)
    return _trusted(from_environment, tuple((place, _changed(place)) for place in places))


@lru_cache(maxsize=4)
def _trusted(from_environment: bool, _places: tuple[tuple[str, int], ...]) -> ssl.SSLContext:
    return create_ssl_context(trust_env=from_environment)


def _changed(place: str) -> int:
    try:
        return Path(place).stat().st_mtime_ns if place else 0
    except OSError:
        return 0


def _keepalive() -> list[tuple[int, int, int]]:
    """Socket options by which a connection that died in silence is noticed; not every system has all of them."""
    wanted = {"TCP_KEEPIDLE": KEEPALIVE_SECONDS, "TCP_KEEPINTVL": KEEPALIVE_SECONDS, "TCP_KEEPCNT": 5}
    told = [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in wanted.items()
        if hasattr(socket, name)
    ]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *told]
