"""OpenAI's models, and those of compatible servers, through the official SDK, imported when first needed."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from intendant.plugin import (
    ContextOverflow,
    Hold,
    HttpProvider,
    HttpSettings,
    ModelReply,
    ModelRequest,
    ProviderError,
    RequestAdapted,
    StreamMeter,
    TokenCounting,
    patience,
)
from intendant_provider_openai import _chat, _counting, _responses
from intendant_provider_openai._ask import Ask
from intendant_provider_openai._batch import Batches
from intendant_provider_openai._compat import CompatSettings, Dialect, learned, stated
from intendant_provider_openai._ranks import Tokenizer, tokenizer
from intendant_provider_openai._stream import streamed_completion, streamed_response
from intendant_provider_openai._tokens import NEAREST, TokenizerName, counting
from intendant_provider_openai._vendor import ERRORS, VENDOR

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Request
    from openai import AsyncOpenAI

__all__ = ["CompatSettings", "OpenaiProvider", "OpenaiSettings"]

MODELS: Mapping[str, str] = {
    "fast": "gpt-6-luna",
    "balanced": "gpt-6.1-terra",
    "powerful": "gpt-6.1-sol",
}
THINKING = {"minimal": 256, "low": 1024, "medium": 4096, "high": 8192, "xhigh": 16_384, "max": 32_768}
"""Tokens that a model is given to reason, by effort, beside an answer whose length is asked for."""
MOST_BATCHED = 1000
"""Calls of a batch, whose replies come in one file."""
COUNT_SECONDS = 10.0
_NOT_THERE = (404, 405, 501)


class OpenaiSettings(HttpSettings):
    """Settings of the provider `openai`."""

    api: Literal["responses", "chat"] | None = None
    """By default `responses` at OpenAI, and `chat` at other servers, most of which speak Chat Completions only."""
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "unsent"] | None = None
    """How much models reason. Reasoning is paid out of the answer's tokens. By default `low` with the Responses
    API, and unsent with Chat Completions, whose servers may not know it. `unsent` is for models that refuse it."""
    implicit_cache: bool = False
    """Let OpenAI keep every long prompt. From gpt-5.6 on that costs a quarter of its input price, whether or not
    it is ever sent again; by default only what the gateway marks is kept."""
    tokenizers: dict[str, TokenizerName] = Field(default_factory=dict)
    """The tokenizer of a model, by its name, where that is known: a published vocabulary, or a class of
    tokenizers. By default that of OpenAI's own models at OpenAI, and `byte_bpe` elsewhere."""
    thinking_tokens: int = Field(default=0, ge=0)
    """Of each answer's tokens, those that are kept for thinking, with models whose thinking may exceed what is
    asked for as the most. With 0 such models are not asked."""
    count: Literal["auto", "llamacpp", "vllm", "none"] = "auto"
    """How another server counts tokens of a request. `auto`: find out by asking for its list of models."""
    compat: CompatSettings = CompatSettings()
    """How another server differs from OpenAI's."""


class OpenaiProvider(HttpProvider):
    """Asks OpenAI's models, or a compatible server's. The key comes from the environment: `OPENAI_API_KEY`.

    The SDK's own retries are off: each try has a hold of its own, which only the gateway can make.
    """

    name = "openai"
    setup = "set OPENAI_API_KEY"
    rank = 20
    tools = True
    images = True
    batches = True
    vendor = VENDOR
    default_models = MODELS
    Settings = OpenaiSettings

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._dialects: dict[tuple[str, str], list[Dialect]] = {}
        self._counters: dict[tuple[str, str], _counting.Counter] = {}

    def make_client(self, key: str, http_client: "AsyncClient") -> "AsyncOpenAI":
        """The SDK's client."""
        from openai import AsyncOpenAI

        settings: OpenaiSettings = self.settings
        return AsyncOpenAI(api_key=key, base_url=settings.base_url, max_retries=0, http_client=http_client)

    def touch(self, client: Any) -> None:
        """What calls and counts use."""
        _ = client.chat.completions.create, client.responses.create, client.responses.input_tokens

    async def warm(self) -> None:
        """Import the SDK, and load the tokenizer of OpenAI's models, in a thread."""
        await super().warm()
        if self.is_own:
            await asyncio.to_thread(tokenizer, NEAREST)

    def reply_limit(self, request: "Request") -> int:
        """A batch's replies come in one file."""
        limit = super().reply_limit(request)
        return limit * MOST_BATCHED if "/files/" in request.url.path else limit

    # --- counting ---

    def token_counting(self, model: str) -> TokenCounting:
        """Exact for OpenAI's models whose vocabulary is published, at OpenAI; else bounded by their bytes."""
        settings: OpenaiSettings = self.settings
        return counting(model, own=self.is_own, stated=settings.tokenizers.get(model))

    def tokenizer(self) -> Tokenizer | None:
        """OpenAI's current vocabulary, where its ranks are on this machine."""
        return tokenizer(NEAREST)

    def counts_tokens(self, model: str) -> bool | None:
        """True at OpenAI, and at servers of which it is known that they count; None if that is not known yet."""
        if self.is_own:
            return bool(self.api_key())
        kind = self._counter(model)
        return None if kind is None else kind != "none"

    def _counter(self, model: str) -> _counting.Counter | None:
        """How tokens are counted by the server; None if that is not known yet."""
        settings: OpenaiSettings = self.settings
        if self.is_own:
            return "openai"
        return self._counters.get((self.base_url, model)) if settings.count == "auto" else settings.count

    async def count_tokens(self, model: str, request: ModelRequest) -> int | None:
        """What the server counts; None if it has no count.

        Raises:
            ProviderError: It did not answer; nothing is charged.
        """
        if self.counts_tokens(model) is False:
            return None
        try:
            kind = self._counter(model) or await self._find_counter(model)
            if kind == "none":
                return None
            ask = self._asked(model, request)
            return await self.send(_counting.count(self.client(), kind, ask), COUNT_SECONDS)
        except ProviderError as error:
            error.billed = False
            raise

    async def _find_counter(self, model: str) -> _counting.Counter:
        place = (self.base_url, model)
        try:
            kind, window = await self.send(_counting.find(self.client(), model), COUNT_SECONDS)
        except ProviderError:
            kind, window = "none", None  # It has no list of models; calls tell what else is wrong with it.
        self.note_window(model, window)
        self._counters[place] = kind
        return kind

    def thinking_tokens(self, model: str, request: ModelRequest) -> int:
        """By how much the model is asked to reason, where it may."""
        ask = self._asked(model, request)
        if ask.thinks_unbounded:
            return ask.thinking_tokens
        return THINKING[ask.said_effort or "medium"] if ask.reasons else 0

    def cache_ttl(self, model: str, request: ModelRequest) -> Literal["", "5m", "1h"]:
        """OpenAI keeps what is marked for half an hour, and no other server says what it does."""
        return "5m" if self._asked(model, request).pays_to_keep else ""

    # --- calls ---

    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        """Send the call, once.

        Raises:
            RequestAdapted: The server refused its form, and another one is known now.
            ProviderError: It was refused or broke off; says whether anything may have been charged.
        """
        ask, client = self._asked(hold.model, request), self.client()
        sent = self._parameters(hold, ask)
        try:
            answer = await self.send(self._posted(client, sent, hold), hold.timeout)
            reply: ModelReply = self._words.reply_of(answer, hold, ask)
        except ProviderError as error:
            raise self._explained(error, ask, sent) from None
        except (AttributeError, TypeError, ValueError) as error:
            raise ERRORS.of(error) from None
        return reply

    def _posted(self, client: "AsyncOpenAI", sent: dict[str, Any], hold: Hold) -> Awaitable[Any]:
        """The SDK's request. It goes to the path itself: `create` walks through all of the messages to bring them
        into the form that they are in, which takes longer than everything else that is done to them here.
        """
        path, answer = self._words.endpoint()
        options: Any = {"timeout": patience(hold.timeout), "headers": self.headers(hold)}
        return client.post(path, cast_to=answer, body=sent, options=options)

    async def stream(self, hold: Hold, request: ModelRequest, meter: StreamMeter) -> ModelReply:
        """Send the call, once, and tell *meter* of the answer while it is written.

        Raises:
            RequestAdapted: The server refused its form, and another one is known now.
            ProviderError: It was refused, broke off, or ended before the answer did.
        """
        ask = self._asked(hold.model, request)
        sent = self._parameters(hold, ask)
        streamed = streamed_completion if self.api == "chat" else streamed_response
        timed = {**sent, "timeout": patience(hold.timeout), "extra_headers": self.headers(hold)}
        try:
            return await ERRORS.within(hold.timeout, streamed(self.client(), timed, hold, ask, meter))
        except ProviderError as error:
            options = {"stream_options": True} if ask.dialect.stream_usage else {}
            raise self._explained(error, ask, {**sent, **options}) from None

    def _parameters(self, hold: Hold, ask: Ask) -> dict[str, Any]:
        sent: dict[str, Any] = self._words.parameters(hold, ask)
        return sent

    def _explained(self, error: ProviderError, ask: Ask, sent: Mapping[str, Any]) -> ProviderError:
        """The error, or one that says more of the server at hand."""
        if isinstance(error, ContextOverflow):
            self.note_window(ask.model, error.window)
            return error
        if (new := learned(ask.dialect, error, sent, own=ask.own)) is not None and self._adapt(ask, new[0]):
            return RequestAdapted(f"{error.message} (the call is sent again with `{new[1]}` changed)")
        if not ask.own and error.status in _NOT_THERE and self.api == "responses":
            other = f"; else {error.hint}" if error.hint else ""
            error.hint = f'if this server knows no /responses, set {ERRORS.setting("api")} = "chat"{other}'
        return error

    def _adapt(self, ask: Ask, dialect: Dialect) -> bool:
        """Remember how a server wants calls; False if it has refused that too."""
        known = self._dialects.setdefault((self.base_url, ask.model), [ask.dialect])
        if dialect not in known:
            known.append(dialect)
            return True
        return known[-1] != ask.dialect  # A call beside this one has learned it meanwhile.

    @property
    def api(self) -> Literal["responses", "chat"]:
        """Which of the two APIs is spoken."""
        settings: OpenaiSettings = self.settings
        return settings.api or ("responses" if self.is_own else "chat")

    @property
    def _words(self) -> Any:
        """The module that speaks the API."""
        return _chat if self.api == "chat" else _responses

    def _asked(self, model: str, request: ModelRequest) -> Ask:
        settings: OpenaiSettings = self.settings
        own = self.is_own
        effort = settings.effort or ("unsent" if self.api == "chat" else "low")
        return Ask(
            model,
            request,
            None if effort == "unsent" else effort,
            own=own,
            implicit=settings.implicit_cache,
            dialect=self._dialects.get((self.base_url, model), [stated(settings.compat, own=own)])[-1],
            thinking_tokens=settings.thinking_tokens,
        )

    # --- batches ---

    async def submit_batch(self, calls: Sequence[tuple[Hold, ModelRequest]]) -> str:
        """Send calls that are answered within a day, for half the price.

        Raises:
            ProviderError: It was refused as a whole.
        """
        return await self.aside(self._batches().submit(self._all(calls)))

    async def batch_answers(
        self, batch: str, calls: Sequence[tuple[Hold, ModelRequest]]
    ) -> Mapping[str, ModelReply | ProviderError] | None:
        """What became of the calls; None while any of them is being worked on.

        Raises:
            ProviderError: The batch cannot be asked for now.
        """
        return await self.aside(self._batches().answers(batch, self._all(calls)))

    async def cancel_batch(self, batch: str) -> None:
        """Give a batch up.

        Raises:
            ProviderError: It cannot be asked now.
        """
        await self.aside(self.client().batches.cancel(batch))

    def _all(self, calls: Sequence[tuple[Hold, ModelRequest]]) -> list[tuple[Hold, Ask]]:
        return [(hold, self._asked(hold.model, request)) for hold, request in calls]

    def _batches(self) -> Batches:
        return Batches(self.client(), self.api)
