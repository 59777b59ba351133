"""OpenAI's models, and those of compatible servers, through the official SDK, imported when first needed."""

import asyncio
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from pydantic import Field

from intendant import Hold, ModelReply, ModelRequest, Options, Provider, ProviderError, TokenCounting
from intendant_provider_openai import _chat, _responses
from intendant_provider_openai._errors import translated

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["OpenaiProvider", "OpenaiSettings"]

KEY = "OPENAI_API_KEY"
"""The SDK's own name."""
MODELS: Mapping[str, str] = {
    "fast": "gpt-6-luna",
    "balanced": "gpt-6.1-terra",
    "powerful": "gpt-6.1-sol",
}


_O200K = re.compile(r"gpt-(4o|4\.1|4\.5|5)|o\d|chatgpt-4o")
_CL100K = re.compile(r"gpt-(4-|4$|3\.5)")
"""Models whose encoding tiktoken's own table names."""
_NEWER = re.compile(r"gpt-\d")
NEWER_FACTOR = 1.2
"""For models that tiktoken's table does not name yet; o200k has been OpenAI's encoding since 2024."""


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


class OpenaiProvider(Provider):
    """Asks OpenAI's models, or a compatible server's. The key comes from the environment: `OPENAI_API_KEY`.

    The SDK's own retries are off: each try has a hold of its own, which only the gateway can make.
    """

    name = "openai"
    rank = 20
    tools = True
    Settings = OpenaiSettings

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncOpenAI] = WeakKeyDictionary()

    def available(self) -> bool:
        """True if there is a key, or a server of one's own, which may need none."""
        settings: OpenaiSettings = self.settings
        return bool(os.environ.get(KEY) or settings.base_url or os.environ.get("OPENAI_BASE_URL"))

    def models(self) -> Mapping[str, str]:
        """The model for each tier."""
        settings: OpenaiSettings = self.settings
        return {**MODELS, **settings.models}

    def token_counting(self, model: str) -> TokenCounting:
        """Exact where the model's encoding is known; from above for newer models and those of other makers."""
        if _O200K.match(model):
            return TokenCounting("o200k_base", factor=1.0, exact=True)
        if _CL100K.match(model):
            return TokenCounting("cl100k_base", factor=1.0, exact=True)
        return TokenCounting(factor=NEWER_FACTOR) if _NEWER.match(model) else super().token_counting(model)

    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        """Send the call, once.

        Raises:
            ProviderError: It was refused or broke off; says whether anything may have been charged.
        """
        if not self.available():
            raise ProviderError("openai: there is no key", hint=f"set {KEY}", billed=False)
        try:
            return await self._ask(self._client(), hold, request)
        except ProviderError:
            raise
        except Exception as error:  # noqa: BLE001  # the SDK lets errors of its HTTP library and of parsing through
            raise translated(error) from None

    async def _ask(self, client: "AsyncOpenAI", hold: Hold, request: ModelRequest) -> ModelReply:
        settings: OpenaiSettings = self.settings
        if settings.api == "chat":
            sent = _chat.parameters(hold, request, self._effort("unsent"))
            return _chat.reply_of(
                await client.chat.completions.create(**sent, timeout=hold.timeout), hold, request
            )
        sent = _responses.parameters(hold, request, self._effort("low"))
        response = await client.responses.create(**sent, timeout=hold.timeout)
        return _responses.reply_of(response, hold, request)

    def _effort(self, default: str) -> str | None:
        settings: OpenaiSettings = self.settings
        effort = settings.effort or default
        return None if effort == "unsent" else effort

    async def close(self) -> None:
        """Close the connections of the running loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    def _client(self) -> "AsyncOpenAI":
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            from openai import AsyncOpenAI

            settings: OpenaiSettings = self.settings
            # The SDK insists on a key, also for a server that needs none.
            key = os.environ.get(KEY) or "none"
            self._clients[loop] = AsyncOpenAI(api_key=key, base_url=settings.base_url, max_retries=0)
        return self._clients[loop]
