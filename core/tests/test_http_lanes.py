"""Requests spread over small connection pools: real connections to a server that counts them."""

import asyncio
import os
from contextlib import asynccontextmanager

import httpx2
import pytest

from intendant.hooks import http_lanes
from intendant.hooks.http_lanes import Lanes, sdk_transport, trusted


class Counting:
    """A server that answers each request after a while, and counts its connections.

    Args:
        seconds: Before it answers.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.connections = 0
        self.asked = 0
        self.together = 0
        self._now = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")) and b"/broken" not in head:
                self.asked += 1
                self._now += 1
                self.together = max(self.together, self._now)
                await asyncio.sleep(self.seconds)
                self._now -= 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has closed the connection
        finally:
            writer.close()

    @asynccontextmanager
    async def client(self, connections: int = 3):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.made = []

        def make() -> httpx2.AsyncHTTPTransport:
            self.made.append(httpx2.AsyncHTTPTransport())
            return self.made[-1]

        async with server, httpx2.AsyncClient(transport=Lanes(make, connections), base_url=url) as client:
            yield client


async def test_requests_one_after_the_other_share_one_connection() -> None:
    server = Counting()
    async with server.client() as client:
        for _ in range(5):
            assert (await client.get("/")).text == "ok"
    assert (server.asked, server.connections, len(server.made)) == (5, 1, 1)


async def test_requests_at_once_are_spread_and_all_sent_at_once() -> None:
    server = Counting(0.1)
    async with server.client(connections=3) as client:
        for _ in range(2):
            await asyncio.gather(*(client.get("/") for _ in range(8)))
    assert server.together == 8, "no request waits for another one"
    assert (server.connections, len(server.made)) == (8, 3), "the second eight reuse connections"


async def test_a_place_is_free_again_whatever_became_of_its_request() -> None:
    server = Counting(0.02)
    async with server.client(connections=1) as client:
        for _ in range(3):
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.get("/broken")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.005):
                    await client.get("/")
            async with client.stream("GET", "/") as unread:
                assert unread.status_code == 200
        await client.get("/")
    assert len(server.made) == 1


async def test_pools_of_a_burst_are_closed_when_they_have_been_idle(monkeypatch) -> None:
    server = Counting(0.02)
    async with server.client(connections=1) as client:
        await asyncio.gather(*(client.get("/") for _ in range(4)))
        await client.get("/")
        assert len([made for made in server.made if made._pool.connections]) == 4, "another burst may come at once"
        monkeypatch.setattr(http_lanes, "IDLE_SECONDS", 0.05)
        await asyncio.sleep(0.1)
        await client.get("/")
        assert [bool(made._pool.connections) for made in server.made] == [True, False, False, False]
        await asyncio.gather(*(client.get("/") for _ in range(2)))
    assert server.asked == 8


async def test_closing_closes_the_connections_of_all_pools() -> None:
    server = Counting(0.02)
    async with server.client(connections=1) as client:
        await asyncio.gather(*(client.get("/") for _ in range(4)))
        assert len(server.made) == 4
    assert [transport._pool.connections for transport in server.made] == [[], [], [], []]


def test_proxies_of_the_environment_are_left_to_the_client(monkeypatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert sdk_transport() is None
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.setattr(http_lanes, "getproxies", dict)
    assert sdk_transport() is not None


def test_hosts_without_a_proxy_are_no_proxy(monkeypatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "internal.example")
    assert isinstance(sdk_transport(), Lanes)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert sdk_transport() is None


def test_certificates_are_read_once_and_again_when_they_have_changed(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    before = trusted()
    assert trusted() is before
    assert trusted(from_environment=False) is not before, "a connector does not trust what the environment names"
    os.utime(tmp_path, (1, 1))
    assert trusted() is not before
