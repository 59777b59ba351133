"""Claude models through the official SDK, which is imported when the first call is made."""

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from pydantic import Field

from intendant import Hold, ModelReply, ModelRequest, Options, Provider, ProviderError, TokenCounting
from intendant_provider_anthropic._errors import translated
from intendant_provider_anthropic._wire import parameters, reply_of

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

__all__ = ["AnthropicProvider", "AnthropicSettings"]

log = logging.getLogger("intendant.providers.anthropic")

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
"""The SDK's own names."""
MODELS: Mapping[str, str] = {
    "fast": "claude-haiku-5-5",
    "balanced": "claude-sonnet-5-5",
    "powerful": "claude-opus-5-5",
}


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
    tools = True
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

    def token_counting(self, model: str) -> TokenCounting:  # noqa: ARG002  # the same for each
        """o200k's count times 1.5. Claude's tokenizer is not published; users report 1.15 to 1.45 times that. With
        tools Anthropic adds a text of its own, of at most 530 tokens by its published figures.
        """
        return TokenCounting("o200k_base", factor=1.5, tools=600)

    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        """Send the call, once.

        Raises:
            ProviderError: It was refused or broke off; says whether anything may have been charged.
        """
        if not self.available():
            raise ProviderError("anthropic: there is no key", hint="set ANTHROPIC_API_KEY", billed=False)
        self._tell_of_temperature(request)
        settings: AnthropicSettings = self.settings
        sent = parameters(hold, request, settings.effort)
        try:
            message = await self._client().messages.create(**sent, timeout=hold.timeout)
            return reply_of(message, hold, request)
        except ProviderError:
            raise
        except Exception as error:  # noqa: BLE001  # the SDK lets errors of its HTTP library and of parsing through
            raise translated(error) from None

    async def close(self) -> None:
        """Close the connections of the running loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    def _client(self) -> "AsyncAnthropic":
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
