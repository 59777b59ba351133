"""Claude models through the official SDK, which is imported when the first call is made."""

import asyncio
import logging
import os
import re
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
from intendant_provider_anthropic import _batch
from intendant_provider_anthropic._errors import translated, within
from intendant_provider_anthropic._stream import streamed
from intendant_provider_anthropic._wire import parameters, prompt, reply_of

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from httpx2 import Timeout

__all__ = ["AnthropicProvider", "AnthropicSettings"]

log = logging.getLogger("intendant.providers.anthropic")

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
"""The SDK's own names."""
MODELS: Mapping[str, str] = {
    "fast": "claude-haiku-5-5",
    "balanced": "claude-sonnet-5-5",
    "powerful": "claude-opus-5-5",
}
IMAGE, SMALLER_IMAGE = 4800, 1600
"""A picture takes a token for each 28 by 28 pixels, and is made smaller until that is at most 4784, with older
models 1568: https://platform.claude.com/docs/en/build-with-claude/vision. The rest is for what frames it."""
_OLDER = re.compile(r"claude-(\d|haiku-4|(sonnet|opus)-4-(\d{8}|[0156]\b))")
CONNECT_SECONDS = 10.0
ASIDE_SECONDS = 60.0
"""For what is no call: counting, and looking after batches."""
_T = TypeVar("_T")


class AnthropicSettings(Options):
    """Settings of the provider `anthropic`."""

    models: dict[str, str] = Field(default_factory=dict)
    """Model by tier, laid over the defaults."""
    base_url: str | None = None
    """By default `ANTHROPIC_BASE_URL`, else Anthropic's own."""
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = "low"
    """How much models think. Thinking is written, and paid, out of the answer's tokens. None is for models that
    know no effort."""


class AnthropicProvider(Provider):
    """Asks Claude models. The key comes from the environment: `ANTHROPIC_API_KEY` or `ANTHROPIC_AUTH_TOKEN`.

    The SDK's own retries are off: each try has a hold of its own, which only the gateway can make.
    """

    name = "anthropic"
    rank = 10
    setup = "set ANTHROPIC_API_KEY"
    tools = True
    images = True
    batches = True
    Settings = AnthropicSettings

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncAnthropic] = WeakKeyDictionary()
        self._told = False

    def available(self) -> bool:
        """True if there is a key."""
        return any(os.environ.get(name) for name in KEYS)

    def models(self) -> Mapping[str, str]:
        """The model for each tier."""
        settings: AnthropicSettings = self.settings
        return {**MODELS, **settings.models}

    def token_counting(self, model: str) -> TokenCounting:
        """o200k's count times 1.5. Claude's tokenizer is not published; users report 1.15 to 1.45 times that. With
        tools Anthropic adds a text of its own, of at most 530 tokens by its published figures.
        """
        image = SMALLER_IMAGE if _OLDER.match(model) else IMAGE
        return TokenCounting("o200k_base", factor=1.5, tools=600, image=image)

    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        """Send the call, once.

        Raises:
            ProviderError: It was refused or broke off; says whether anything may have been charged.
        """
        sent = self._sent(hold, request)
        message = await _done(self._client().messages.create(**sent), hold.timeout)
        try:
            return reply_of(message, hold, request)
        except (AttributeError, TypeError, ValueError) as error:
            raise translated(error) from None

    async def stream(self, hold: Hold, request: ModelRequest, meter: StreamMeter) -> ModelReply:
        """Send the call, once, and tell *meter* of the answer while it is written.

        Raises:
            ProviderError: It was refused, broke off, or ended before the answer did.
        """
        sent = self._sent(hold, request)
        return await within(hold.timeout, streamed(self._client(), sent, hold, request, meter))

    async def count_tokens(self, model: str, request: ModelRequest) -> int | None:
        """What Anthropic's own endpoint counts; None at another server, which may have none.

        Raises:
            ProviderError: It did not answer; nothing is charged.
        """
        if not self.available() or not self._is_own():
            return None
        sent = prompt(model, request, self.settings.effort)
        try:
            counted = await _done(self._client().messages.count_tokens(**sent), ASIDE_SECONDS)
        except ProviderError as error:
            error.billed = False
            raise
        if not isinstance(counted.input_tokens, int) or counted.input_tokens <= 0:
            raise ProviderError("anthropic counted no tokens", billed=False)
        return counted.input_tokens

    async def submit_batch(self, calls: Sequence[tuple[Hold, ModelRequest]]) -> str:
        """Send calls that are answered within a day, for half the price.

        Raises:
            ProviderError: It was refused as a whole.
        """
        for _, request in calls:
            self._tell_of_temperature(request)
        return await self._aside(_batch.submit(self._client(), calls, self.settings.effort))

    async def batch_answers(
        self, batch: str, calls: Sequence[tuple[Hold, ModelRequest]]
    ) -> Mapping[str, ModelReply | ProviderError] | None:
        """What became of the calls; None while any of them is being worked on.

        Raises:
            ProviderError: The batch cannot be asked for now, or its answers are gone.
        """
        return await self._aside(_batch.answers(self._client(), batch, calls))

    async def cancel_batch(self, batch: str) -> None:
        """Give a batch up.

        Raises:
            ProviderError: It cannot be asked now.
        """
        await self._aside(self._client().messages.batches.cancel(batch))

    async def close(self) -> None:
        """Close the connections of the running loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    def _sent(self, hold: Hold, request: ModelRequest) -> dict[str, Any]:
        """The keyword arguments of a call."""
        self._tell_of_temperature(request)
        return {**parameters(hold, request, self.settings.effort), "timeout": _patience(hold.timeout)}

    async def _aside(self, work: Awaitable[_T]) -> _T:
        """Look after a batch. Where there are none the calls can still be sent by themselves."""
        try:
            return await _done(work, ASIDE_SECONDS)
        except ProviderError as error:
            if self._is_own() or error.billed:
                raise
            hint = "servers other than Anthropic's own may take no batches"
            raise ProviderError(error.message, hint=hint, retryable=True, billed=False, at_fault=False) from None

    def _is_own(self) -> bool:
        """True if calls are sent to Anthropic itself."""
        url = self.settings.base_url or os.environ.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com"
        return f".{urlsplit(url).hostname}".endswith(".anthropic.com")

    def _client(self) -> "AsyncAnthropic":
        if not self.available():
            raise ProviderError("anthropic: there is no key", hint="set ANTHROPIC_API_KEY", billed=False)
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            from anthropic import AsyncAnthropic

            settings: AnthropicSettings = self.settings
            self._clients[loop] = AsyncAnthropic(base_url=settings.base_url, max_retries=0)
        return self._clients[loop]

    def _tell_of_temperature(self, request: ModelRequest) -> None:
        if request.temperature is not None and not self._told:
            self._told = True
            log.warning("temperature is not sent: Anthropic's API of 2026-10-21 refuses it for every model")


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
