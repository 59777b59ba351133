"""What plugin authors subclass to reach the outside: models of a vendor, and places that are read and written."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from intendant.hooks.bases import Plugin
from intendant.model.errors import ProviderError
from intendant.model.requests import ModelRequest
from intendant.model.results import ModelReply, Usage


@dataclass(frozen=True, slots=True)
class Hold:
    """Tokens and money set aside for one model call. Only the gateway makes these: no hold, no call."""

    key: str
    """Idempotency key of the call."""
    tokens: int
    micro_usd: int
    max_output_tokens: int
    """What the provider must clamp the answer to."""
    model: str
    timeout: float
    """Seconds the call may take."""


@dataclass(frozen=True, slots=True)
class TokenCounting:
    """How a model's tokens are counted without asking its provider."""

    encoding: str | None = "o200k_base"
    """`o200k_base` or `cl100k_base`: the byte pair encoding that is its own, or comes nearest; None: count by
    `estimate_tokens`, which loads nothing."""
    factor: float = 1.5
    """Tokens of the model for each token of that encoding; above 1 errs on the safe side."""
    exact: bool = False
    """True if the encoding is the model's own."""
    tools: int = 0
    """Tokens that the provider adds of its own where tools are offered."""
    image: int = 0
    """The most tokens that one picture takes."""


class StreamMeter(Protocol):
    """Told of an answer while it is written, so that a stream that breaks off is charged by what came."""

    def text(self, piece: str) -> None:
        """The next piece of the answer.

        Raises:
            ProviderError: More came than was held for; close the stream and let this through.
        """

    def unseen(self, piece: str) -> None:
        """The next piece of what is charged as written and is no text of the answer: thoughts, a tool's
        arguments.

        Raises:
            ProviderError: As for `text`.
        """

    def hide(self) -> None:
        """More is being written, and charged, than the stream shows: if it breaks off, all that is held is
        charged.
        """

    def used(self, usage: Usage) -> None:
        """What the provider reports so far; replaces what it reported before."""


BatchAnswers = Mapping[str, ModelReply | ProviderError]
"""What became of the calls of a batch, by `Hold.key`."""


class Provider(Plugin):
    """Asks one vendor's models."""

    kind = "provider"
    charges: ClassVar[bool] = True
    """False if it computes its answers without a language model: calls then take no tokens and no money, and its
    answers do not stand in for those of a model."""
    setup: ClassVar[str] = ""
    """What to do so that it can be used, as a hint to users, such as "set EXAMPLE_API_KEY"."""
    rank: ClassVar[float] = 50
    """Where several can be used, the one of the lowest rank is preferred."""

    tools: ClassVar[bool] = False
    """True if its models can be offered tools (`ModelRequest.tools`)."""

    images: ClassVar[bool] = False
    """True if its models can be shown pictures (`Message.images`)."""

    batches: ClassVar[bool] = False
    """True if it takes calls that may wait, for less money."""

    knows_keys: ClassVar[bool] = False
    """True if a call sent again under the same `Hold.key` is answered, and charged, only once."""

    @abstractmethod
    def available(self) -> bool:
        """True if it can be used now: its key is in the environment, for one. Must not use the network."""

    @abstractmethod
    def models(self) -> Mapping[str, str]:
        """Its model for each tier, by tier name. Must not use the network nor import an SDK."""

    def token_counting(self, model: str) -> TokenCounting:  # noqa: ARG002  # for subclasses
        """How tokens of *model* are counted; by default as for a model whose tokenizer is not known."""
        return TokenCounting()

    @abstractmethod
    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        """Send the call that *hold* pays for.

        Raises:
            ProviderError: It was refused or broke off; says whether anything may have been charged.
        """

    async def stream(self, hold: Hold, request: ModelRequest, meter: StreamMeter) -> ModelReply:
        """Send the call, and tell *meter* of the answer while it is written; by default when all of it is there.

        Raises:
            ProviderError: As for `complete`. One that breaks off after it began says `billed=True`.
        """
        reply = await self.complete(hold, request)
        meter.used(reply.usage)
        meter.text(reply.text)
        return reply

    def cache_ttl(self, model: str, request: ModelRequest) -> Literal["", "5m", "1h"]:  # noqa: ARG002
        """How long the input of *request* to *model* may be kept in a prompt cache at a price of its own; by
        default as long as its marks ask. A provider that keeps prompts without being asked says so here.
        """
        return max((mark.ttl for mark in request.cache_marks), key="5m 1h".index, default="")

    async def count_tokens(self, model: str, request: ModelRequest) -> int | None:  # noqa: ARG002
        """Input tokens of *request* as the provider itself counts them, for nothing; None if it offers no count.

        Asked only where a call would be refused by the count from above.

        Raises:
            ProviderError: It did not answer; nothing is charged.
        """
        return None

    async def submit_batch(self, calls: Sequence[tuple[Hold, ModelRequest]]) -> str:  # noqa: ARG002
        """Send calls that may wait; returns the batch's id at the provider. Only where `batches` is True.

        Raises:
            ProviderError: It was refused as a whole; says whether anything may have been charged.
        """
        raise self._no_batches()

    async def batch_answers(
        self,
        batch: str,  # noqa: ARG002
        calls: Sequence[tuple[Hold, ModelRequest]],  # noqa: ARG002
    ) -> BatchAnswers | None:
        """What became of the calls of a batch; None while it is being worked on. A call that is missing in what is
        returned was not charged.

        Raises:
            ProviderError: It cannot be asked now.
        """
        raise self._no_batches()

    async def cancel_batch(self, batch: str) -> None:  # noqa: ARG002
        """Give a batch up; what was answered until then is charged and can still be had.

        Raises:
            ProviderError: It cannot be asked now.
        """
        raise self._no_batches()

    def _no_batches(self) -> ProviderError:
        """Where there are no batches, calls are sent by themselves."""
        return ProviderError(f"{self.name} takes no batches", billed=False)

    async def close(self) -> None:  # most have nothing to close
        """Give connections back."""
