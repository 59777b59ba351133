"""What connectors may reach: public addresses and what a setting allows, whatever way leads elsewhere."""

import gzip
import socket
import time

import pytest

from intendant.plugin import (
    Addresses,
    AddressRefused,
    ConnectorCall,
    ConnectorError,
    HttpAsk,
    Json,
    NetworkConnector,
    Options,
    operation,
)

PRIVATE = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "localhost",
    "LOCALHOST.",
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "169.254.169.254",
    "2852039166",
    "100.64.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "fc00::1",
    "fd12::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "64:ff9b:1::1",
    "2001::7f00:1",
    "100::1",
]


class Where(Options):
    url: str


class Place(NetworkConnector):
    """Reads an address."""

    name = "place"

    @operation(side_effects=False)
    async def get(self, parameters: Where, call: ConnectorCall) -> Json:
        """What is there."""
        return (await self.http(HttpAsk(url=parameters.url))).body.decode()


@pytest.fixture(autouse=True)
async def _closed():
    yield
    for place in MADE:
        await place.close()
    MADE.clear()


MADE: list[Place] = []


def place(resolver=None, **settings):
    MADE.append(Place(settings, resolver=resolver))
    return MADE[-1]


async def read(connector, url):
    return await connector.do("get", {"url": url}, ConnectorCall(None, "k", "r", "s"))


@pytest.mark.parametrize("host", PRIVATE)
async def test_no_notation_of_a_private_address_is_reached(host):
    url = f"http://[{host}]/" if ":" in host else f"http://{host}/"
    with pytest.raises(AddressRefused, match="may not be reached") as caught:
        await read(place(), url)
    assert "plugins.settings.connector:place.allow" in caught.value.hint
    assert caught.value.delivered is False


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_public_addresses_are_admitted(address):
    assert Addresses().admits(address, 443)


@pytest.mark.parametrize(
    ("entry", "yes", "no"),
    [
        ("10.0.0.0/8", ("10.2.3.4", 80, ""), ("11.0.0.1", 80, "") and ("192.168.0.1", 80, "")),
        ("127.0.0.1:8080", ("127.0.0.1", 8080, ""), ("127.0.0.1", 8081, "")),
        ("[::1]:80", ("::1", 80, ""), ("::1", 81, "")),
        ("127.0.0.1", ("::ffff:127.0.0.1", 80, ""), ("::1", 80, "")),
        ("*.internal", ("10.0.0.1", 80, "db.internal"), ("10.0.0.1", 80, "internal.evil")),
        ("db.internal:5432", ("10.0.0.1", 5432, "DB.internal."), ("10.0.0.1", 80, "db.internal")),
    ],
)
def test_a_setting_allows_exactly_what_it_names(entry, yes, no):
    addresses = Addresses([entry])
    assert addresses.admits(*yes)
    assert not addresses.admits(*no)


@pytest.mark.parametrize("entry", ["", "a b", "http://x/", "10.0.0.0/99", "*"])
def test_an_entry_that_allows_nothing_is_a_mistake(entry):
    from intendant.model.errors import SettingsError

    with pytest.raises(SettingsError, match="allow"):
        Place({"allow": [entry]})


async def test_a_name_that_changes_its_address_is_checked_where_it_is_connected_to(httpserver):
    """DNS rebinding: the name is looked up once for each connection, and what was found is what is connected to."""
    httpserver.expect_request("/").respond_with_data("inside")
    asked = []

    async def rebinding(host, port):
        asked.append(host)
        return ["8.8.8.8"] if len(asked) > 1 else ["127.0.0.1"]

    with pytest.raises(AddressRefused, match=r"'sweet.example' \(127.0.0.1\) is this machine"):
        await read(place(rebinding), f"http://sweet.example:{httpserver.port}/")
    assert len(asked) == 1
    assert not httpserver.log

    async def both(host, port):
        return ["127.0.0.1", "192.0.2.1"]  # neither is public

    with pytest.raises(AddressRefused):
        await read(place(both), f"http://sweet.example:{httpserver.port}/")
    assert not httpserver.log


async def test_the_address_that_was_checked_is_the_one_that_is_used(httpserver):
    """Nothing looks the name up a second time: it exists for our resolver only."""
    httpserver.expect_request("/").respond_with_handler(lambda request: _text(request.host))

    async def ours(host, port):
        return ["127.0.0.1"]

    url = f"http://only-here.invalid:{httpserver.port}/"
    assert await read(place(ours, allow=["127.0.0.1"]), url) == f"only-here.invalid:{httpserver.port}"


def _text(text, **more):
    from werkzeug import Response

    return Response(text, **more)


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:1/", "http://169.254.169.254/latest", "http://[::1]/", "//0/"]
)
async def test_a_redirection_leads_nowhere_that_may_not_be_reached(httpserver, target):
    httpserver.expect_request("/").respond_with_data("", status=302, headers={"Location": target})
    with pytest.raises(AddressRefused):
        await read(place(allow=[f"localhost:{httpserver.port}"]), httpserver.url_for("/"))


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.org/", "gopher://x/", "javascript:1"])
async def test_a_redirection_keeps_to_http(httpserver, target):
    httpserver.expect_request("/").respond_with_data("", status=302, headers={"Location": target})
    with pytest.raises(ConnectorError, match="no URL of http"):
        await read(place(allow=["localhost"]), httpserver.url_for("/"))


async def test_redirections_end(httpserver):
    httpserver.expect_request("/").respond_with_data("", status=302, headers={"Location": "/"})
    with pytest.raises(ConnectorError, match="more than 5 redirections") as caught:
        await read(place(allow=["localhost"]), httpserver.url_for("/"))
    assert "connector:place.redirects" in caught.value.hint


async def test_headers_are_not_sent_on_to_another_server(httpserver):
    """`localhost` and `127.0.0.1` are two servers to a client."""
    httpserver.expect_request("/to").respond_with_handler(lambda request: _text(str("X-Key" in request.headers)))
    for host, sent in (("127.0.0.1", "False"), ("localhost", "True")):
        target = f"http://{host}:{httpserver.port}/to"
        httpserver.expect_oneshot_request("/from").respond_with_data("", status=302, headers={"Location": target})
        connector = place(allow=["localhost", "127.0.0.1"])
        answer = await connector.http(HttpAsk(url=httpserver.url_for("/from"), headers={"X-Key": "secret"}))
        assert answer.body.decode() == sent


async def test_what_is_posted_is_not_sent_on_to_another_server(httpserver):
    target = f"http://127.0.0.1:{httpserver.port}/to"
    httpserver.expect_request("/from").respond_with_data("", status=307, headers={"Location": target})
    connector = place(allow=["localhost", "127.0.0.1"])
    with pytest.raises(ConnectorError, match="POST is not sent on"):
        await connector.http(HttpAsk(url=httpserver.url_for("/from"), method="POST", content=b"x"))


async def test_a_proxy_of_the_environment_is_not_used(httpserver, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, httpserver.url_for("/"))
    with pytest.raises(AddressRefused):
        await read(place(), "http://127.0.0.1:1/")
    assert not httpserver.log


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
async def test_an_answer_has_its_limit_after_decompression(httpserver, headers):
    data = b"0" * 30_000_000
    body = gzip.compress(data) if headers else data[:200_000]
    httpserver.expect_request("/").respond_with_data(body, headers=headers)
    with pytest.raises(ConnectorError, match="larger than 100000 bytes") as caught:
        await read(place(allow=["localhost"], max_bytes=100_000), httpserver.url_for("/"))
    assert "connector:place.max_bytes" in caught.value.hint


async def test_a_slow_server_has_its_limit():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connector = place(allow=["127.0.0.1"], seconds=0.2, attempts=1)
        with pytest.raises(ConnectorError, match=r"did not answer within 0\.2 s") as caught:
            await read(connector, f"http://127.0.0.1:{port}/")
    assert caught.value.retryable
    assert caught.value.delivered is None  # it was sent


async def test_a_busy_server_is_asked_again_when_it_says(httpserver):
    httpserver.expect_ordered_request("/").respond_with_data("", status=429, headers={"Retry-After": "1"})
    httpserver.expect_ordered_request("/").respond_with_data("done")
    before = time.monotonic()
    assert await read(place(allow=["localhost"]), httpserver.url_for("/")) == "done"
    assert time.monotonic() - before >= 1


async def test_a_server_that_asks_to_wait_longer_than_admitted_fails_the_step(httpserver):
    httpserver.expect_request("/").respond_with_data("", status=503, headers={"Retry-After": "3600"})
    with pytest.raises(ConnectorError, match="was answered with 503") as caught:
        await read(place(allow=["localhost"]), httpserver.url_for("/"))
    assert "come back in 3600 s" in caught.value.hint
    assert len(httpserver.log) == 1


async def test_an_error_shows_no_query_and_no_password():
    for url in ("http://127.0.0.1:1/x?key=s3cret", "http://user:s3cret@example.org/"):
        with pytest.raises(ConnectorError) as caught:
            await read(place(), url)
        assert "s3cret" not in str(caught.value)


async def test_requests_beyond_the_rate_wait(monkeypatch):
    connector = place(per_minute=2)
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        connector._sent["h"].clear()

    monkeypatch.setattr("intendant.hooks.network.asyncio.sleep", sleep)
    for _ in range(3):
        await connector.turn("h")
    assert len(slept) == 1
    assert 59 < slept[0] <= 60
