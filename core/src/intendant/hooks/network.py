"""What connectors that reach other machines share: which addresses are allowed, an HTTP client that enforces this,
limits on what is read, rate limits, redirects, and `Retry-After`.
"""

import asyncio
import zlib
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urljoin, urlsplit, urlunsplit

from pydantic import BaseModel, Field, field_validator

from intendant.config.addresses import Addresses, Resolver
from intendant.hooks.connectors import Connector
from intendant.hooks.http_provider import bound_body, unpacked
from intendant.model.errors import ConnectorError
from intendant.model.requests import Options
from intendant.model.workflow import Json

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
REPEATABLE = SAFE | {"PUT", "DELETE"}
"""Idempotent methods (RFC 9110, 9.2.2)."""
BUSY = (429, 503)
"""Statuses with which a server asks for a later retry."""
REDIRECTIONS = (301, 302, 303, 307, 308)
_PIECE = 65_536
_SHOWN = 300
_BODILESS = frozenset({"content-type", "content-length"})


class NetworkSettings(Options):
    """Settings of connectors that reach other machines."""

    allow: tuple[str, ...] = ()
    """Allowed destinations besides public addresses: names (`db.internal`, `*.internal`), addresses, networks
    (`10.0.0.0/8`), each with a port (`127.0.0.1:8080`) if only that port is allowed."""
    seconds: float = Field(default=60.0, gt=0)
    """Time limit in seconds for one exchange with a server."""
    max_bytes: int = Field(default=20_000_000, ge=1)
    """Maximum size of one response in bytes, decompressed."""
    redirects: int = Field(default=5, ge=0)
    """Maximum number of redirects to follow."""
    attempts: int = Field(default=3, ge=1, le=10)
    """Attempts at a request that is safe to repeat, if the server is busy or unreachable."""
    max_wait: float = Field(default=60.0, ge=0)
    """Longest wait in seconds if a server asks for a later retry (`Retry-After`); if it asks for a longer one, the
    step fails."""
    per_minute: int | None = Field(default=None, ge=1)
    """Rate limit: requests per minute to one host; further ones wait. Each process counts its own."""

    @field_validator("allow")
    @classmethod
    def _allow_is_readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Addresses(value)
        return value


@dataclass(frozen=True, slots=True)
class Fetched:
    """A server's response."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)
    url: str
    """Where it came from, after redirects."""

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The charset of the content type; None if it names none."""
        for part in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = part.strip().partition("=")
            if name.lower() == "charset":
                return value.strip("'\" ").lower() or None
        return None


@dataclass(frozen=True, kw_only=True)
class HttpAsk:
    """A request to a server."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, Any] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)
    repeatable: bool | None = None
    """True if doing it twice is safe; None: what the method says."""
    any_status: bool = False
    """Return the response whatever its status, instead of raising an error."""

    @property
    def is_repeatable(self) -> bool:
        """True if it may be sent again when it is unknown whether it arrived."""
        return self.method in REPEATABLE if self.repeatable is None else self.repeatable


class NetworkConnector(Connector):
    """Base of connectors that reach other machines. It reaches public addresses and those that its setting `allow`
    names.

    Args:
        settings: Its settings.
        resolver: Finds the addresses of a host; by default the system's.

    Example:
        ```python
        class Ask(Options):
            city: str

        class WeatherConnector(NetworkConnector):
            \"\"\"Tells the weather.\"\"\"

            name = "weather"

            @operation(side_effects=False)
            async def today(self, parameters: Ask, call: ConnectorCall) -> Json:
                \"\"\"Today's weather in a city.\"\"\"
                answer = await self.http(HttpAsk(url="https://weather.example/v1", query={"q": parameters.city}))
                return json.loads(answer.body)
        ```
    """

    Settings: ClassVar[type[BaseModel]] = NetworkSettings

    def __init__(self, settings: Mapping[str, Json] | None = None, *, resolver: Resolver | None = None) -> None:
        super().__init__(settings)
        self._resolver = resolver
        self._clients: dict[asyncio.AbstractEventLoop, AsyncClient] = {}
        self._sent: dict[str, deque[float]] = defaultdict(deque)

    @cached_property
    def addresses(self) -> Addresses:
        """What may be reached."""
        return Addresses(self.settings.allow, setting=self.setting("allow"), resolver=self._resolver)

    def doubts(self, name: str, given: Mapping[str, Json]) -> Iterable[str]:  # noqa: ARG002  # the same for all
        """Addresses in `url` that may not be reached, as far as that shows without looking names up."""
        urls = given.get("url")
        for url in urls if isinstance(urls, list) else [urls]:
            if isinstance(url, str) and (refused := self.addresses.refused(url)) is not None:
                yield f"{refused.message}; {refused.hint}"

    def setting(self, name: str) -> str:
        """How users call a setting of this connector."""
        return f"plugins.settings.{self.key}.{name}"

    async def close(self) -> None:
        """Close the connections of the running loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def turn(self, host: str) -> None:
        """Wait until the setting `per_minute` admits another request to *host*."""
        most = self.settings.per_minute
        if most is None:
            return
        sent = self._sent[host]
        while True:
            now = monotonic()
            while sent and sent[0] <= now - 60:
                sent.popleft()
            if len(sent) < most:
                sent.append(now)
                return
            await asyncio.sleep(sent[0] + 60 - now)

    async def http(self, ask: HttpAsk) -> Fetched:
        """Send a request and read the answer.

        Redirections are followed as far as that is safe: headers are not sent on to another server. A busy server
        is asked again when it says so, and one that cannot be reached a moment later, where repeating is safe.

        Raises:
            AddressRefused: The server's address, or that of a redirection, may not be reached.
            ConnectorError: It cannot be reached, answers with an error, too slowly or too much. `delivered` is
                False where certainly nothing was changed.
        """
        for attempt in range(1, self.settings.attempts + 1):
            last = attempt == self.settings.attempts
            try:
                found = await self._followed(ask)
            except ConnectorError as error:
                again = error.retryable and (error.delivered is False or ask.is_repeatable)
                if last or not again:
                    raise
                await asyncio.sleep(min(0.2 * 2**attempt, self.settings.max_wait))
                continue
            wait = retry_after(found.headers) if found.status in BUSY else None
            may = wait is not None and (found.status == BUSY[0] or ask.is_repeatable)
            if last or wait is None or not may or wait > self.settings.max_wait:
                return found if ask.any_status else self.judged(ask, found)
            await asyncio.sleep(wait)
        raise AssertionError  # the last attempt returns or raises

    def judged(self, ask: HttpAsk, found: Fetched) -> Fetched:
        """The answer, if its status is no error.

        Raises:
            ConnectorError: It is one.
        """
        if found.status < 400:  # noqa: PLR2004  # where errors begin
            return found
        wait = retry_after(found.headers)
        if found.status in BUSY and wait is not None:
            hint = f"it asks to come back in {wait:.0f} s; see {self.setting('max_wait')}"
        elif found.status == 404 and "%2f" in ask.url.partition("?")[0].lower():  # noqa: PLR2004
            hint = _SLASH
        else:
            hint = _HINTS.get(found.status, "")
        text = " ".join(found.body[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN]
        raise ConnectorError(
            f"{ask.method} {shown(found.url)} was answered with {found.status}{f': {text}' if text else ''}",
            hint=hint,
            retryable=found.status in (408, 425, 429) or found.status >= 500,  # noqa: PLR2004
            delivered=False if 400 <= found.status < 500 and found.status not in (408, 409) else None,  # noqa: PLR2004
            absent=found.status in (404, 410),
        )

    async def _followed(self, ask: HttpAsk) -> Fetched:
        """The answer after redirections."""
        url, method, headers, content = _with_query(ask.url, ask.query), ask.method, dict(ask.headers), ask.content
        for _ in range(self.settings.redirects + 1):
            found = await self._exchange(url, method, headers, content)
            where = found.headers.get("location")
            if found.status not in REDIRECTIONS or not where:
                return found
            target = urljoin(url, where)
            if _origin(target) != _origin(url):
                _check_departure(url, target, method)
                headers = {}
            if found.status == 303 or (method not in SAFE and found.status in (301, 302)):  # noqa: PLR2004
                method, content = "GET", None
                headers = {name: value for name, value in headers.items() if name.lower() not in _BODILESS}
            url = target
        raise ConnectorError(
            f"{shown(ask.url)} leads to more than {self.settings.redirects} redirections",
            hint=f"see {self.setting('redirects')}",
        )

    async def _exchange(self, url: str, method: str, headers: Mapping[str, str], content: bytes | None) -> Fetched:
        """One request and its answer."""
        import httpx2

        host = check_url(url)
        await self.turn(host)
        seconds, client = self.settings.seconds, self._client()
        all_headers = {"accept-encoding": "gzip", "user-agent": "intendant", **headers}
        timeout = httpx2.Timeout(seconds, connect=min(seconds, 10.0))
        try:
            async with asyncio.timeout(seconds):
                async with client.stream(
                    method, url, headers=all_headers, content=content, timeout=timeout
                ) as answer:
                    body = await self._body(answer, url)
                    names = {name.lower(): value for name, value in answer.headers.items()}
                    return Fetched(answer.status_code, names, body, url)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            reason = str(error) or "no answer"
            raise ConnectorError(
                f"{shown(url)} cannot be reached: {reason}", retryable=True, delivered=False
            ) from None
        except (TimeoutError, httpx2.TimeoutException):
            raise ConnectorError(
                f"{shown(url)} did not answer within {seconds:g} s",
                hint=f"see {self.setting('seconds')}",
                retryable=True,
            ) from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, ValueError) as error:
            raise ConnectorError(f"{shown(url)} cannot be asked: {error}", delivered=False) from None
        except httpx2.HTTPError as error:
            raise ConnectorError(f"{shown(url)} broke off: {error}", retryable=True) from None

    async def _body(self, answer: "Response", url: str) -> bytes:
        """The body, decompressed, if it is not too large."""
        encoding = answer.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise ConnectorError(
                f"the answer of {shown(url)} is encoded as {encoding!r:.20}, which was not asked for"
            )
        gzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in encoding else None
        most, parts, size = self.settings.max_bytes, [], 0
        async for piece in answer.aiter_raw():
            for part in unpacked(piece, gzip):
                size += len(part)
                if size > most:
                    raise ConnectorError(
                        f"the answer of {shown(url)} is larger than {most} bytes",
                        hint=f"see {self.setting('max_bytes')}",
                    )
                parts.append(part)
        return b"".join(parts)

    def _client(self) -> "AsyncClient":
        loop = asyncio.get_running_loop()
        for known in [known for known in self._clients if known.is_closed()]:
            del self._clients[known]
        if loop not in self._clients:
            self._clients[loop] = guarded_client(self.addresses)
        return self._clients[loop]

    @asynccontextmanager
    async def within(self, what: str) -> AsyncIterator[None]:
        """Bound an exchange of another protocol by the setting `seconds`.

        Raises:
            ConnectorError: It took longer.
        """
        try:
            async with asyncio.timeout(self.settings.seconds):
                yield
        except TimeoutError:
            raise ConnectorError(
                f"{what} took longer than {self.settings.seconds:g} s",
                hint=f"see {self.setting('seconds')}",
                retryable=True,
            ) from None


_SLASH = "%2F is a / within a value; if it is to separate parts, give the address, or its beginning, as one value"
_HINTS = {
    401: "it wants credentials: give `auth` with {{ secrets.NAME }}",
    403: "the credentials do not admit this",
    404: "nothing is there; look at the address",
}


def guarded_client(
    addresses: Addresses, *, headers: Mapping[str, str] | None = None, max_bytes: int | None = None
) -> "AsyncClient":
    """An HTTP client that connects to nothing but what *addresses* admit. It follows no redirections, and goes
    through no proxy, which would look names up itself.

    Args:
        addresses: What may be reached.
        headers: Sent with each request.
        max_bytes: Bytes of one answer at most, decompressed; None where the caller bounds it.
    """
    import httpx2
    from httpcore2 import AnyIOBackend, AsyncConnectionPool, AsyncNetworkBackend, AsyncNetworkStream, ConnectError

    from intendant.hooks.http_lanes import Lanes, trusted

    class Guard(AsyncNetworkBackend):
        """Below the connection pool: whatever is asked for, this connects."""

        def __init__(self) -> None:
            self._inner = AnyIOBackend()

        async def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> AsyncNetworkStream:
            failure: Exception = ConnectError(f"{host} has no address")
            for address in await addresses.find(host, port):
                try:
                    return await self._inner.connect_tcp(address, port, *args, **options)
                except ConnectError as error:
                    failure = error
            raise failure

        async def connect_unix_socket(self, path: str, *_args: Any, **_options: Any) -> AsyncNetworkStream:
            raise ConnectorError(f"the socket {path} may not be reached", delivered=False)

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    context = trusted(from_environment=False)

    def guarded() -> httpx2.AsyncHTTPTransport:
        transport = httpx2.AsyncHTTPTransport(verify=context, trust_env=False)
        if not isinstance(getattr(transport, "_pool", None), AsyncConnectionPool):  # a version made otherwise
            raise ConnectorError("this version of httpx2 cannot be guarded", hint="install an older one")
        transport._pool = AsyncConnectionPool(  # noqa: SLF001  # the library has no public place for it
            ssl_context=context, network_backend=Guard(), keepalive_expiry=5.0
        )
        return transport

    async def bounded(answer: "Response") -> None:
        if max_bytes is not None:
            bound_body(answer, max_bytes)

    return httpx2.AsyncClient(
        transport=Lanes(guarded),
        trust_env=False,
        follow_redirects=False,
        headers={**(headers or {}), "accept-encoding": "gzip"},
        event_hooks={"response": [bounded]},
    )


def check_url(url: str) -> str:
    """The host of a URL that connectors may ask.

    Raises:
        ConnectorError: It is no URL of HTTP, or holds a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConnectorError(f"{shown(url)} is no URL: {error}", delivered=False) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConnectorError(
            f"{shown(url)!r} is no URL of http or https", hint="such as https://example.org/", delivered=False
        )
    if parts.username or parts.password:
        raise ConnectorError(
            f"{shown(url)} holds a user's name or password", hint="give it as `auth`", delivered=False
        )
    return parts.hostname


def shown(url: str) -> str:
    """A URL as errors show it: without user, password, query and fragment, where secrets stand."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))[:_SHOWN]
    except ValueError:
        return "the address"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait (`Retry-After`, RFC 9110); None if it does not say."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(min(int(text[:9]), 10**8))
    with suppress(ValueError, TypeError):
        when = parsedate_to_datetime(text)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    return None


def _with_query(url: str, query: Mapping[str, Any]) -> str:
    from urllib.parse import urlencode

    pairs = [
        (name, str(item).lower() if isinstance(item, bool) else str(item))
        for name, value in query.items()
        for item in (value if isinstance(value, list) else [value])
        if item is not None
    ]
    if not pairs:
        return url
    parts = urlsplit(url)
    text = "&".join(filter(None, (parts.query, urlencode(pairs))))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, text, ""))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return parts.scheme, parts.hostname, None


def _check_departure(url: str, target: str, method: str) -> None:
    """Refuse redirections to another server that would weaken a request or send its content on."""
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise ConnectorError(f"{shown(url)} redirects to {shown(target)}, which is not encrypted")
    if method not in SAFE:
        raise ConnectorError(
            f"{shown(url)} redirects to another server, {shown(target)}, and {method} is not sent on",
            hint="give that address, if it is right",
        )
