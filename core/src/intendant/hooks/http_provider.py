"""What providers that reach a vendor over HTTP share: key and address, one client for each event loop, errors,
bounds of what is read, and how an answer is made of a text.

Example:
    ```python
    VENDOR = Vendor(
        name="acme",
        sdk="acme_sdk",
        domain="acme.example",
        url="https://api.acme.example/v1",
        url_variable="ACME_BASE_URL",
        keys=("ACME_API_KEY",),
    )


    class AcmeProvider(HttpProvider):
        \"\"\"Asks Acme's models.\"\"\"

        name = "acme"
        vendor = VENDOR

        def make_client(self, key, http_client):
            from acme_sdk import AsyncAcme

            return AsyncAcme(api_key=key, base_url=self.base_url, max_retries=0, http_client=http_client)

        async def complete(self, hold, request):
            sent = {"model": hold.model, "max_tokens": hold.max_output_tokens, "messages": …} answer = await
            self.send(self.client().chat.create(**sent, timeout=patience(hold.timeout)), hold.timeout) made =
            answer_of(answer.text, request) usage = Usage(input_tokens=answer.read, output_tokens=answer.written)
            return ModelReply(text=made.text, data=made.data, usage=usage, model=hold.model, provider=self.name)
    ```
"""

import asyncio
import os
import re
import zlib
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from pydantic import Field

from intendant.hooks.http_errors import HttpErrors, ReplyTooLarge, T, Vendor
from intendant.hooks.providers import Hold, Provider
from intendant.hooks.reply_text import json_in, repaired, repaired_json, split_thoughts
from intendant.hooks.wrapping import unwrapped_value
from intendant.model.errors import ProviderError, SettingsError
from intendant.model.requests import ModelRequest, Options
from intendant.model.workflow import Json

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Request, Response, Timeout

CONNECT_SECONDS = 10.0
ASIDE_SECONDS = 60.0
"""For looking after batches."""
COUNT_SECONDS = 10.0
"""For counting tokens, which must not delay a call for long."""
_PIECE = 65_536
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class HttpSettings(Options):
    """Settings of providers that reach a vendor over HTTP."""

    models: dict[str, str] = Field(default_factory=dict)
    """Models by tier; they override the defaults. Required for a server that is not the vendor's own."""
    api_key: str = Field(default="", repr=False)
    """The API key, as `"{{ secrets.NAME }}"`; by default the value of the vendor's environment variable."""
    base_url: str | None = None
    """The URL to which calls are sent; by default the value of the vendor's environment variable, else the
    vendor's own server."""
    windows: dict[str, int] = Field(default_factory=dict)
    """Context windows by model: the most tokens, input and output together, in one call."""
    max_reply_bytes: int = Field(default=16_777_216, ge=1024)
    """A reply with more bytes is abandoned."""
    idempotency_header: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")
    """The header for a call's idempotency key, if the server answers a repeated key without charging it again;
    empty: it does not."""


class HttpProvider(Provider):
    """Base of providers that ask a vendor's models over HTTP, through its SDK. The key comes from the environment.

    The SDK's own retries must be off: each attempt needs its own hold, which only the gateway can make.
    """

    vendor: ClassVar[Vendor]
    default_models: ClassVar[Mapping[str, str]] = {}
    """Model by tier at the vendor's own server."""
    Settings = HttpSettings

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        options: HttpSettings = self.settings
        self.knows_keys = bool(options.idempotency_header)
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()
        self._seen_windows: dict[tuple[str, str], int] = {}

    @abstractmethod
    def make_client(self, key: str, http_client: "AsyncClient") -> Any:
        """The SDK's asynchronous client, with its own retries switched off.

        Args:
            key: From the environment; `none` for a server that needs none.
            http_client: Bounds what is read, and follows no redirection.
        """

    @property
    def errors(self) -> HttpErrors:
        """Makes this provider's errors."""
        return HttpErrors(self.vendor)

    # --- where, and with what ---

    @property
    def base_url(self) -> str:
        """Where calls are sent."""
        settings: HttpSettings = self.settings
        return settings.base_url or os.environ.get(self.vendor.url_variable) or self.vendor.url

    @property
    def is_own(self) -> bool:
        """True if calls are sent to the vendor itself. What is known of its models holds there only: a server
        elsewhere may call any model by their names.
        """
        host = urlsplit(self.base_url).hostname
        return f".{host}".endswith(f".{self.vendor.domain}")

    def surcharge(self) -> str:
        """Another address of the vendor's, which may be regional."""
        host, usual = (urlsplit(url).hostname for url in (self.base_url, self.vendor.url))
        return f"{host} is not {usual}" if self.is_own and host != usual else ""

    def api_key(self) -> str:
        """The key; empty if there is none."""
        settings: HttpSettings = self.settings
        return settings.api_key or next((key for name in self.vendor.keys if (key := os.environ.get(name))), "")

    def available(self) -> bool:
        """True if there is a key, or a server of one's own, which may need none."""
        return bool(self.api_key()) or not self.is_own

    def models(self) -> Mapping[str, str]:
        """The model for each tier.

        Raises:
            SettingsError: Calls go to a server that is not the vendor's own, and no models are set.
        """
        settings: HttpSettings = self.settings
        if self.is_own:
            return {**self.default_models, **settings.models}
        if not settings.models:
            mistaken = (
                f"remove {self.errors.setting('base_url')}"
                if settings.base_url
                else f"unset {self.vendor.url_variable}"
            )
            raise SettingsError(
                f"which models {self.base_url} has is not known",
                hint=f'set {self.errors.setting("models")}, such as {{ balanced = "…" }}, or {mistaken}',
            )
        return settings.models

    def context_window(self, model: str) -> int | None:
        """What the settings say, else what the server said when a call was too long."""
        settings: HttpSettings = self.settings
        return settings.windows.get(model) or self._seen_windows.get((self.base_url, model))

    def note_window(self, model: str, window: int | None) -> None:
        """Remember how long a model's context window is."""
        if window:
            self._seen_windows[self.base_url, model] = window

    def headers(self, hold: Hold) -> dict[str, str]:
        """What is sent beside a call: its key, where the server knows calls again by it."""
        settings: HttpSettings = self.settings
        return {settings.idempotency_header: hold.key} if settings.idempotency_header else {}

    # --- the client ---

    def client(self) -> Any:
        """The SDK's client of the running event loop.

        Raises:
            ProviderError: There is no key.
        """
        if not self.available():
            first = self.vendor.keys[0]
            raise ProviderError(f"{self.name}: there is no key", hint=f"set {first}", billed=False, at_fault=True)
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = self.make_client(self.api_key() or "none", self._http_client())
        return self._clients[loop]

    async def warm(self) -> None:
        """Import the SDK, in a thread, and open the client of the running loop."""
        if asyncio.get_running_loop() not in self._clients:
            await asyncio.to_thread(import_module, self.vendor.sdk)
            await asyncio.to_thread(self.touch, self.client())

    def touch(self, client: Any) -> None:
        """Look at the methods of *client* that calls use: SDKs import what is behind them at first sight."""

    async def close(self) -> None:
        """Close the connections of the running loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    def reply_limit(self, request: "Request") -> int:  # noqa: ARG002  # for subclasses
        """Bytes of the reply to *request* that are read at most."""
        settings: HttpSettings = self.settings
        return settings.max_reply_bytes

    def _http_client(self) -> "AsyncClient":
        from intendant.hooks.http_lanes import sdk_transport, trusted

        sdk = import_module(self.vendor.sdk)

        async def bound(response: "Response") -> None:
            bound_body(response, self.reply_limit(response.request))

        transport = sdk_transport()
        made: AsyncClient = sdk.DefaultAsyncHttpxClient(
            follow_redirects=False,  # Keys in headers of their own would be sent on.
            headers={"accept-encoding": "gzip"},
            event_hooks={"response": [bound]},
            **({"verify": trusted()} if transport is None else {"transport": transport}),
        )
        return made

    # --- sending ---

    async def send(self, work: Awaitable[T], seconds: float) -> T:
        """*work*, which may take this long in all.

        Raises:
            ProviderError: Whatever went wrong.
        """
        try:
            return await self.errors.within(seconds, work)
        except Exception as error:  # noqa: BLE001  # the SDK lets errors of its HTTP library and of parsing through
            raise self.errors.of(error) from None

    async def aside(self, work: Awaitable[T], seconds: float = ASIDE_SECONDS) -> T:
        """Look after a batch. Where there are none the calls can still be sent by themselves.

        Raises:
            ProviderError: It cannot be done now.
        """
        try:
            return await self.send(work, seconds)
        except ProviderError as error:
            if self.is_own or error.billed:
                raise
            hint = f"servers other than {self.vendor.domain} may take no batches"
            raise ProviderError(error.message, hint=hint, retryable=True, billed=False, at_fault=False) from None

    def unreadable(self, error: Exception) -> ProviderError:
        """A reply that cannot be read; it may have been charged."""
        return self.errors.of(error)


class Answer(NamedTuple):
    """What a model's text comes to."""

    text: str
    """Without reasoning."""
    reasoning: str
    data: Json
    """The value, where a schema was asked for; None if there is none."""


def answer_of(text: str, request: ModelRequest, *, reasoning: str = "", wrapped: bool = False) -> Answer:
    """What a model's text comes to: reasoning taken out, broken characters replaced, JSON read.

    Args:
        text: What the model wrote.
        request: What it was asked.
        reasoning: What the API shows of its reasoning besides the text.
        wrapped: True if the schema that was sent is a `wrapped_schema`.
    """
    said, thoughts = split_thoughts(repaired(text))
    reasoning = "\n".join(part for part in (repaired(reasoning), thoughts) if part)
    if request.json_schema is None:
        return Answer(said, reasoning, None)
    if wrapped:
        return Answer(said, reasoning, repaired_json(unwrapped_value(json_in(said))))
    return Answer(said, reasoning, repaired_json(json_in(said, request.json_schema)))


def sendable(text: str) -> str:
    """*text* without halves of surrogate pairs, which cannot be sent."""
    return repaired(text)


def batch_id_of(key: str) -> str:
    """The name of a call within a batch: the same each time, and of a form that vendors admit."""
    return key if _ID.fullmatch(key) else sha256(key.encode()).hexdigest()


def patience(seconds: float) -> "Timeout":
    """A server that cannot be reached is given up early: then it is certain that nothing was sent."""
    from httpx2 import Timeout

    return Timeout(seconds, connect=min(seconds / 2, CONNECT_SECONDS))


# --- bounded replies ---


def bound_body(response: "Response", limit: int) -> None:
    """Let no more than *limit* bytes of *response* be read, after decompression."""
    encoding = response.headers.pop("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        from httpx2 import DecodingError

        raise DecodingError(f"the reply is encoded as {encoding!r:.20}, which was not asked for")
    gzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in encoding else None
    response.stream = _bounded_stream()(response.stream, limit, gzip)


@lru_cache(maxsize=1)
def _bounded_stream() -> Callable[..., Any]:
    from httpx2 import AsyncByteStream

    class Bounded(AsyncByteStream):
        def __init__(self, stream: AsyncByteStream, limit: int, gzip: Any) -> None:
            self._stream, self._limit, self._gzip = stream, limit, gzip

        async def __aiter__(self) -> AsyncIterator[bytes]:
            read = 0
            async for piece in self._stream:
                for part in unpacked(piece, self._gzip):
                    read += len(part)
                    if read > self._limit:
                        raise ReplyTooLarge(self._limit)
                    yield part

        async def aclose(self) -> None:
            await self._stream.aclose()

    return Bounded


def unpacked(piece: bytes, gzip: Any) -> Iterator[bytes]:
    """*piece*, decompressed in parts of bounded size: a few bytes may stand for gigabytes."""
    if gzip is None:
        yield piece
        return
    try:
        while part := gzip.decompress(piece, _PIECE):
            yield part
            piece = gzip.unconsumed_tail
    except zlib.error as error:
        from httpx2 import DecodingError

        raise DecodingError(f"the reply is no gzip: {error}") from None
