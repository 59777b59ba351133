"""What plugin authors subclass to reach the outside: models of a vendor, and places that are read and written."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
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
    bound: "Bound" = "likely"
    """What `tokens` is."""


Bound = Literal["exact", "proven", "likely"]
"""What a number of tokens held for a call is: `exact`, counted by the model's own tokenizer, here or at its
provider; `proven`, an upper bound for every tokenizer of the stated class; `likely`, an estimate that a call may
exceed."""


@dataclass(frozen=True, slots=True)
class TokenCounting:
    """How a model's tokens are counted, and bounded, before a call is sent.

    Without a `count` that is exact, a text is held with its UTF-8 bytes, the upper bound for a byte-level
    tokenizer; with the setting `calls.token_bound: likely`, with an estimate.
    """

    count: Callable[[str], int] | None = None
    """Counts tokens of a text on this machine, without a network: by the model's own tokenizer, or by one that
    comes near it; None if there is none."""
    factor: float = 1.5
    """Tokens of the model for each token that `count`, or another model's tokenizer, finds; for estimates only."""
    exact: bool = False
    """True if `count` is the model's own tokenizer."""
    tokenizer: Literal["byte_bpe", "sentencepiece", "unknown"] = "byte_bpe"
    """The class of the model's tokenizer. `byte_bpe`: tokens are made of whole bytes of the text, after NFC or
    NFKC at most. `sentencepiece`: the same with byte fallback, and one token more for each text. `unknown`: its
    bytes are no bound, and holds say `likely`."""
    tools: int = 0
    """Tokens that the provider or its template adds where tools are offered."""
    image: int = 0
    """The most tokens that one picture takes."""
    message: int = 8
    """The most tokens that a message's role and separators take."""
    request: int = 0
    """The most tokens that a template adds to each request, such as a default system text."""
    schema: int = 0
    """The most tokens that the provider adds where an answer of a given shape is asked for."""
    margin: float = 1.02
    """What `Provider.count_tokens` is multiplied by: above 1 where the provider calls its own count an
    estimate."""


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

    knows_keys: bool = False
    """True if a call sent again under the same `Hold.key` is answered, and charged, only once."""

    async def warm(self) -> None:
        """Import the SDK and open the client, so that the first call does not spend its time on that. The gateway
        calls it before it holds anything; calling it again does nothing.

        Raises:
            ProviderError: The provider cannot be used.
        """

    def tokenizer(self) -> Callable[[str], int] | None:
        """A tokenizer that counts on this machine, for estimates of models that have none, and for texts outside
        of any call; by default None. Must not use the network.
        """
        return None

    def context_window(self, model: str) -> int | None:  # noqa: ARG002  # for subclasses
        """Tokens that *model* reads and writes at most in one call; None if that is not known."""
        return None

    def thinking_tokens(self, model: str, request: ModelRequest) -> int:  # noqa: ARG002  # for subclasses
        """Tokens that *model* is given to think, beside an answer of the length that *request* asks for."""
        return 0

    @abstractmethod
    def available(self) -> bool:
        """True if it can be used now: its key is in the environment, for one. Must not use the network."""

    @abstractmethod
    def models(self) -> Mapping[str, str]:
        """Its model for each tier, by tier name. Must not use the network nor import an SDK."""

    def catalogue(self) -> Sequence[str]:
        """All models that it can be asked for, by default those of the tiers. Must not use the network."""
        return tuple(dict.fromkeys(self.models().values()))

    def surcharge(self) -> str:
        """Why calls may cost more than the published prices, such as a regional address; empty if nothing is known
        of that. Must not use the network.
        """
        return ""

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

    def counts_tokens(self, model: str) -> bool | None:  # noqa: ARG002  # for subclasses
        """True if `count_tokens` answers for *model*, False if it does not; None if that shows when it is asked.
        Must not use the network.
        """
        return type(self).count_tokens is not Provider.count_tokens

    async def count_tokens(self, model: str, request: ModelRequest) -> int | None:  # noqa: ARG002
        """Input tokens of *request* as the provider itself counts them, free of charge; None if it offers no
        count.

        Asked where the upper bound would refuse a call, or hold much more than it needs.

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
