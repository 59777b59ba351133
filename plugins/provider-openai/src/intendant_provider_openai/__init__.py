"""OpenAI's models, and those of compatible servers, through the official SDK, imported when first needed."""

import asyncio
import os
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from pydantic import Field

from intendant.plugin import (
    Hold,
    ModelReply,
    ModelRequest,
    Options,
    Provider,
    ProviderError,
    StreamMeter,
    TokenCounting,
)
from intendant_provider_openai import _chat, _responses
from intendant_provider_openai._ask import Ask
from intendant_provider_openai._batch import Batches
from intendant_provider_openai._errors import translated, within
from intendant_provider_openai._stream import streamed_completion, streamed_response
from intendant_provider_openai._tokens import counting

if TYPE_CHECKING:
    from httpx2 import Timeout
    from openai import AsyncOpenAI

__all__ = ["OpenaiProvider", "OpenaiSettings"]

KEY = "OPENAI_API_KEY"
"""The SDK's own name."""
MODELS: Mapping[str, str] = {
    "fast": "gpt-6-luna",
    "balanced": "gpt-6.1-terra",
    "powerful": "gpt-6.1-sol",
}
CONNECT_SECONDS = 10.0
ASIDE_SECONDS = 60.0
"""For what is no call: counting, and looking after batches."""
_T = TypeVar("_T")


class OpenaiSettings(Options):
    """Settings of the provider `openai`."""

    models: dict[str, str] = Field(default_factory=dict)
    """Model by tier, laid over the defaults."""
    base_url: str | None = None
    """By default `OPENAI_BASE_URL`, else OpenAI's own."""
    api: Literal["responses", "chat"] = "responses"
    """`chat` for servers that speak Chat Completions only."""
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "unsent"] | None = None
    """How much models reason. Reasoning is paid out of the answer's tokens. By default `low` with the Responses
    API, and unsent with Chat Completions, whose servers may not know it. `unsent` is for models that refuse it."""
    implicit_cache: bool = False
    """Let OpenAI keep every long prompt. From gpt-5.6 on that costs a quarter of its input price, whether or not
    it is ever sent again; by default only what the gateway marks is kept."""


class OpenaiProvider(Provider):
    """Asks OpenAI's models, or a compatible server's. The key comes from the environment: `OPENAI_API_KEY`.

    The SDK's own retries are off: each try has a hold of its own, which only the gateway can make.
    """

    name = "openai"
    rank = 20
    setup = "set OPENAI_API_KEY"
    tools = True
    images = True
    batches = True
    Settings = OpenaiSettings

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncOpenAI] = WeakKeyDictionary()

    def available(self) -> bool:
        """True if there is a key, or a server of one's own, which may need none."""
        return bool(os.environ.get(KEY) or self._url())

    def models(self) -> Mapping[str, str]:
        """The model for each tier."""
        settings: OpenaiSettings = self.settings
        return {**MODELS, **settings.models}

    def token_counting(self, model: str) -> TokenCounting:
        """Exact where the model's encoding is known; from above for newer models and those of other makers."""
        return counting(model, own=self._is_own())

    def cache_ttl(self, model: str, request: ModelRequest) -> Literal["", "5m", "1h"]:
        """OpenAI keeps what is marked for half an hour, and no other server says what it does."""
        return "5m" if self._asked(model, request).pays_to_keep else ""

    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        """Send the call, once.

        Raises:
            ProviderError: It was refused or broke off; says whether anything may have been charged.
        """
        ask, client = self._asked(hold.model, request), self._client()
        sent: dict[str, Any] = {**self._words.parameters(hold, ask), "timeout": _patience(hold.timeout)}
        create: Any = client.chat.completions.create if self._words is _chat else client.responses.create
        answer = await _done(create(**sent), hold.timeout)
        try:
            reply: ModelReply = self._words.reply_of(answer, hold, ask)
        except (AttributeError, TypeError, ValueError) as error:
            raise translated(error) from None
        return reply

    async def stream(self, hold: Hold, request: ModelRequest, meter: StreamMeter) -> ModelReply:
        """Send the call, once, and tell *meter* of the answer while it is written.

        Raises:
            ProviderError: It was refused, broke off, or ended before the answer did.
        """
        ask = self._asked(hold.model, request)
        sent = {**self._words.parameters(hold, ask), "timeout": _patience(hold.timeout)}
        streamed = streamed_completion if self._words is _chat else streamed_response
        return await within(hold.timeout, streamed(self._client(), sent, hold, ask, meter))

    async def count_tokens(self, model: str, request: ModelRequest) -> int | None:
        """What the Responses API counts; None with Chat Completions and at another server, which have no count.

        Raises:
            ProviderError: It did not answer; nothing is charged.
        """
        if self._words is _chat or not self._is_own() or not os.environ.get(KEY):
            return None
        sent = _responses.prompt(self._asked(model, request))
        try:
            counted = await _done(self._client().responses.input_tokens.count(**sent), ASIDE_SECONDS)
        except ProviderError as error:
            error.billed = False
            raise
        if not isinstance(counted.input_tokens, int) or counted.input_tokens <= 0:
            raise ProviderError("openai counted no tokens", billed=False)
        return counted.input_tokens

    async def submit_batch(self, calls: Sequence[tuple[Hold, ModelRequest]]) -> str:
        """Send calls that are answered within a day, for half the price.

        Raises:
            ProviderError: It was refused as a whole.
        """
        return await self._aside(self._batches().submit(self._all(calls)))

    async def batch_answers(
        self, batch: str, calls: Sequence[tuple[Hold, ModelRequest]]
    ) -> Mapping[str, ModelReply | ProviderError] | None:
        """What became of the calls; None while any of them is being worked on.

        Raises:
            ProviderError: The batch cannot be asked for now.
        """
        return await self._aside(self._batches().answers(batch, self._all(calls)))

    async def cancel_batch(self, batch: str) -> None:
        """Give a batch up.

        Raises:
            ProviderError: It cannot be asked now.
        """
        await self._aside(self._client().batches.cancel(batch))

    async def close(self) -> None:
        """Close the connections of the running loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    @property
    def _words(self) -> Any:
        """The module that speaks the API that is set."""
        return _chat if self.settings.api == "chat" else _responses

    def _asked(self, model: str, request: ModelRequest) -> Ask:
        settings: OpenaiSettings = self.settings
        effort = settings.effort or ("unsent" if settings.api == "chat" else "low")
        said = None if effort == "unsent" else effort
        return Ask(model, request, said, own=self._is_own(), implicit=settings.implicit_cache)

    def _all(self, calls: Sequence[tuple[Hold, ModelRequest]]) -> list[tuple[Hold, Ask]]:
        return [(hold, self._asked(hold.model, request)) for hold, request in calls]

    def _batches(self) -> Batches:
        return Batches(self._client(), self.settings.api)

    async def _aside(self, work: Awaitable[_T]) -> _T:
        """Look after a batch. Where there are none the calls can still be sent by themselves."""
        try:
            return await _done(work, ASIDE_SECONDS)
        except ProviderError as error:
            if self._is_own() or error.billed:
                raise
            hint = "servers other than OpenAI's own may take no batches"
            raise ProviderError(error.message, hint=hint, retryable=True, billed=False, at_fault=False) from None

    def _url(self) -> str | None:
        """Where calls are sent, unless it is OpenAI itself."""
        settings: OpenaiSettings = self.settings
        return settings.base_url or os.environ.get("OPENAI_BASE_URL") or None

    def _is_own(self) -> bool:
        """True if calls are sent to OpenAI itself."""
        url = self._url()
        return url is None or f".{urlsplit(url).hostname}".endswith(".openai.com")

    def _client(self) -> "AsyncOpenAI":
        if not self.available():
            raise ProviderError("openai: there is no key", hint=f"set {KEY}", billed=False)
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            from openai import AsyncOpenAI

            settings: OpenaiSettings = self.settings
            # The SDK insists on a key, also for a server that needs none.
            key = os.environ.get(KEY) or "none"
            self._clients[loop] = AsyncOpenAI(api_key=key, base_url=settings.base_url, max_retries=0)
        return self._clients[loop]


async def _done(work: Awaitable[_T], seconds: float) -> _T:
    try:
        return await within(seconds, work)
    except ProviderError:
        raise
    except Exception as error:  # noqa: BLE001  # the SDK lets errors of its HTTP library and of parsing through
        raise translated(error) from None


def _patience(seconds: float) -> "Timeout":
    """A server that cannot be reached is given up early: then it is certain that nothing was sent."""
    from httpx2 import Timeout

    return Timeout(seconds, connect=min(seconds / 2, CONNECT_SECONDS))
