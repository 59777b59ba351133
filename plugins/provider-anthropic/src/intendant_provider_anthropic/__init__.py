"""Claude models through the official SDK, which is imported when it is first needed."""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from intendant.plugin import (
    ContextOverflow,
    Hold,
    HttpErrors,
    HttpProvider,
    HttpSettings,
    ModelReply,
    ModelRequest,
    ProviderError,
    StreamMeter,
    TokenCounting,
    patience,
)
from intendant_provider_anthropic import _batch
from intendant_provider_anthropic._ask import Ask
from intendant_provider_anthropic._stream import streamed
from intendant_provider_anthropic._vendor import ERRORS, VENDOR
from intendant_provider_anthropic._wire import parameters, prompt, reply_of

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from httpx2 import AsyncClient, Request

__all__ = ["AnthropicProvider", "AnthropicSettings"]

log = logging.getLogger("intendant.providers.anthropic")

MODELS: Mapping[str, str] = {
    "fast": "claude-haiku-5-5",
    "balanced": "claude-sonnet-5-5",
    "powerful": "claude-opus-5-5",
}
IMAGE, SMALLER_IMAGE = 4800, 1600
"""A picture takes a token for each 28 by 28 pixels, and is made smaller until that is at most 4784, with older
models 1568: https://platform.claude.com/docs/en/build-with-claude/vision. The rest is for what frames it."""
_OLDER = re.compile(r"claude-(\d|haiku-4|(sonnet|opus)-4-(\d{8}|[0156]\b))")
TOOLS, FOREIGN_TOOLS = 600, 1_024
"""What is added where tools are offered: Anthropic publishes 530 tokens at most; others are allowed for twice
that."""
REQUEST, FOREIGN_REQUEST, SCHEMA = 32, 256, 384
"""What is added to a request at most, and for an answer of a given shape, which is explained in a system text."""
MESSAGE = 16
THINKING = {"low": 1024, "medium": 4096, "high": 8192, "xhigh": 16_384, "max": 32_768}
"""Tokens that a model is given to think, by effort, beside an answer whose length is asked for."""
MOST_BATCHED = 1000
"""Calls of a batch, whose replies come in one stream."""
COUNT_SECONDS = 10.0


class AnthropicSettings(HttpSettings):
    """Settings of the provider `anthropic`."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = "low"
    """How much models think. Thinking is written, and paid, out of the answer's tokens. None is for models that
    know no effort."""
    thinking_between_tools: bool = False
    """Let models think between calls of tools. That may exceed the length of the answer, so that holds say
    `likely`; by default thinking is switched off where tools are offered."""


class AnthropicProvider(HttpProvider):
    """Asks Claude models. The key comes from the environment: `ANTHROPIC_API_KEY` or `ANTHROPIC_AUTH_TOKEN`.

    The SDK's own retries are off: each try has a hold of its own, which only the gateway can make.
    """

    name = "anthropic"
    setup = "set ANTHROPIC_API_KEY"
    rank = 10
    tools = True
    images = True
    batches = True
    vendor = VENDOR
    default_models = MODELS
    Settings = AnthropicSettings

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._told = False

    @property
    def errors(self) -> HttpErrors:
        """Makes this provider's errors."""
        return ERRORS

    def available(self) -> bool:
        """True if there is a key."""
        return bool(self.api_key())

    def make_client(self, key: str, http_client: "AsyncClient") -> "AsyncAnthropic":  # noqa: ARG002
        """The SDK's client; without a key in the settings it finds one, or a token, in the environment."""
        from anthropic import AsyncAnthropic

        settings: AnthropicSettings = self.settings
        return AsyncAnthropic(
            api_key=settings.api_key or None, base_url=settings.base_url, max_retries=0, http_client=http_client
        )

    def touch(self, client: Any) -> None:
        """What calls and counts use."""
        _ = client.messages.create, client.messages.count_tokens

    def reply_limit(self, request: "Request") -> int:
        """A batch's replies come in one stream."""
        limit = super().reply_limit(request)
        return limit * MOST_BATCHED if "/batches/" in request.url.path else limit

    # --- counting ---

    def token_counting(self, model: str) -> TokenCounting:
        """Bounded by the bytes of the text: Claude's tokenizer is not published. The one of Claude 2 was
        byte-level with NFKC, and users report 1.15 to 1.45 of o200k's tokens for the newer ones.
        """
        settings: AnthropicSettings = self.settings
        own = self.is_own
        return TokenCounting(
            factor=1.5,
            tokenizer="unknown" if settings.thinking_between_tools else "byte_bpe",
            tools=TOOLS if own else FOREIGN_TOOLS,
            image=SMALLER_IMAGE if _OLDER.match(model) else IMAGE,
            message=MESSAGE,
            request=REQUEST if own else FOREIGN_REQUEST,
            schema=SCHEMA,
        )

    def counts_tokens(self, model: str) -> bool:  # noqa: ARG002  # the same for each
        """True at Anthropic, whose count is free; other servers may have none."""
        return self.is_own and bool(self.api_key())

    async def count_tokens(self, model: str, request: ModelRequest) -> int | None:
        """What Anthropic's own endpoint counts; None at another server.

        Raises:
            ProviderError: It did not answer; nothing is charged.
        """
        if not self.counts_tokens(model):
            return None
        try:
            counting = self.client().messages.count_tokens(**prompt(self._asked(model, request)))
            counted = (await self.send(counting, COUNT_SECONDS)).input_tokens
        except ProviderError as error:
            error.billed = False
            raise
        if not isinstance(counted, int) or counted <= 0:
            raise ProviderError("anthropic counted no tokens", billed=False)
        return counted

    def thinking_tokens(self, model: str, request: ModelRequest) -> int:
        """By how much the model is asked to think, where it does by itself."""
        ask = self._asked(model, request)
        return THINKING[ask.effort or "medium"] if ask.thinks else 0

    # --- calls ---

    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        """Send the call, once.

        Raises:
            ProviderError: It was refused or broke off; says whether anything may have been charged.
        """
        ask = self._asked(hold.model, request)
        sent = self._sent(hold, ask)
        try:
            message = await self.send(self.client().messages.create(**sent), hold.timeout)
            return reply_of(message, hold, ask)
        except ContextOverflow as error:
            self.note_window(hold.model, error.window)
            raise
        except (AttributeError, TypeError, ValueError) as error:
            raise ERRORS.of(error) from None

    async def stream(self, hold: Hold, request: ModelRequest, meter: StreamMeter) -> ModelReply:
        """Send the call, once, and tell *meter* of the answer while it is written.

        Raises:
            ProviderError: It was refused, broke off, or ended before the answer did.
        """
        ask = self._asked(hold.model, request)
        sent = self._sent(hold, ask)
        try:
            return await ERRORS.within(hold.timeout, streamed(self.client(), sent, hold, ask, meter))
        except ContextOverflow as error:
            self.note_window(hold.model, error.window)
            raise

    def _sent(self, hold: Hold, ask: Ask) -> dict[str, Any]:
        """The keyword arguments of a call."""
        around = {"timeout": patience(hold.timeout), "extra_headers": self.headers(hold)}
        return {**parameters(hold, ask), **around}

    def _asked(self, model: str, request: ModelRequest) -> Ask:
        settings: AnthropicSettings = self.settings
        if request.temperature is not None and not self._told:
            self._told = True
            log.warning("temperature is not sent: Anthropic's API of 2026-10-21 refuses it for every model")
        return Ask(model, request, settings.effort, settings.thinking_between_tools)

    # --- batches ---

    async def submit_batch(self, calls: Sequence[tuple[Hold, ModelRequest]]) -> str:
        """Send calls that are answered within a day, for half the price.

        Raises:
            ProviderError: It was refused as a whole.
        """
        return await self.aside(_batch.submit(self.client(), self._all(calls)))

    async def batch_answers(
        self, batch: str, calls: Sequence[tuple[Hold, ModelRequest]]
    ) -> Mapping[str, ModelReply | ProviderError] | None:
        """What became of the calls; None while any of them is being worked on.

        Raises:
            ProviderError: The batch cannot be asked for now, or its answers are gone.
        """
        return await self.aside(_batch.answers(self.client(), batch, self._all(calls)))

    async def cancel_batch(self, batch: str) -> None:
        """Give a batch up.

        Raises:
            ProviderError: It cannot be asked now.
        """
        await self.aside(self.client().messages.batches.cancel(batch))

    def _all(self, calls: Sequence[tuple[Hold, ModelRequest]]) -> list[tuple[Hold, Ask]]:
        return [(hold, self._asked(hold.model, request)) for hold, request in calls]
