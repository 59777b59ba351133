"""Answers without a language model: sentences are selected, templates filled, and every answer says so."""

from collections.abc import Mapping

from pydantic import Field

from intendant.plugin import (
    Hold,
    ModelReply,
    ModelRequest,
    Options,
    Provider,
    ProviderError,
    TokenCounting,
    Usage,
    estimate_tokens,
)
from intendant_provider_extractive import _asked
from intendant_provider_extractive._compose import Composed, filled, summary

__all__ = ["ExtractiveProvider", "ExtractiveSettings"]

TIERS = ("fast", "balanced", "powerful")
HINT = "set ANTHROPIC_API_KEY or OPENAI_API_KEY to have a model asked"


class ExtractiveSettings(Options):
    """Settings of the provider `extractive`."""

    tiers: tuple[str, ...] = Field(TIERS, min_length=1)
    """The tiers it stands in for."""


class ExtractiveProvider(Provider):
    """No model, no key, no network: summaries of selected sentences, and data written into a plain template.

    It ranks last, so that wherever a key is set a model is asked. It does `summarize` and `generate` on data, and
    refuses what needs language: free writing, and answers of a given JSON shape.
    """

    name = "extractive"
    rank = 100
    charges = False
    Settings = ExtractiveSettings

    def available(self) -> bool:
        """Always."""
        return True

    def models(self) -> Mapping[str, str]:
        """The name `extractive` for each tier."""
        settings: ExtractiveSettings = self.settings
        return dict.fromkeys(settings.tiers, self.name)

    def token_counting(self, model: str) -> TokenCounting:  # noqa: ARG002  # the same for each
        """By estimate, as its own usage: no tokenizer is worth loading where no model is asked."""
        return TokenCounting(estimate_tokens, exact=True)

    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        """Select sentences, or fill the template; nothing is sent anywhere.

        Raises:
            ProviderError: The request needs a language model.
        """
        import asyncio

        made = await asyncio.to_thread(self._compose, hold.max_output_tokens, request)
        given = [request.system, *(message.content for message in request.messages)]
        usage = Usage(
            input_tokens=min(sum(map(estimate_tokens, given)), max(0, hold.tokens - hold.max_output_tokens)),
            output_tokens=estimate_tokens(made.text),
        )
        return ModelReply(
            text=made.text,
            usage=usage,
            model=hold.model,
            provider=self.name,
            produced_by="extractive",
            stop_reason="length" if made.cut else "end",
            notes=made.notes,
        )

    def _compose(self, limit: int, request: ModelRequest) -> Composed:
        if request.json_schema is not None:
            raise _refusal("an answer of a given JSON shape needs a language model, and none can be used")
        if request.task == "summarize":
            return summary(_asked.material(request), _asked.read(request), limit)
        if request.task == "generate" and request.source not in (None, "", [], {}):
            return filled(request.source, limit)
        what = "free writing" if request.task == "generate" else f"'{request.task or 'this request'}'"
        raise _refusal(f"{what} needs a language model, and none can be used")


def _refusal(message: str) -> ProviderError:
    return ProviderError(message, hint=HINT, retryable=False, billed=False)
