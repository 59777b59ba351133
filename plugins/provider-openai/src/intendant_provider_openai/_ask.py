"""What is asked of which model, and what is known of both."""

import re
from dataclasses import dataclass, field
from functools import cached_property

from intendant.plugin import Json, ModelRequest, ProviderError, wrapped_schema
from intendant_provider_openai._compat import Dialect
from intendant_provider_openai._vendor import ERRORS

_NEVER_REASONS = re.compile(r"(gpt-4|gpt-3|chatgpt-4)")
_REASONS = re.compile(r"(o\d|gpt-[5-9]|gpt-\d\d|codex)")
_MARKABLE = re.compile(r"gpt-(5\.([6-9]|\d\d)|[6-9]|\d\d)")
"""From gpt-5.6 on, what is kept can be said, and writing it costs a quarter more than reading it once. Older
models refuse to be told, keep what they like, and charge nothing for that:
https://developers.openai.com/api/docs/guides/prompt-caching."""
_GEMINI = re.compile(r"gemini-(?P<version>\d+(?:\.\d+)?)-?(?P<kind>[a-z]*)")
"""Google documents that these models' thinking is not bounded by the length of the answer:
https://ai.google.dev/gemini-api/docs/thinking."""
LEAST_ANSWER = 16
"""Tokens that must be left for an answer beside what is kept for thinking."""


@dataclass(frozen=True)
class Ask:
    """A request on its way to a model."""

    model: str
    request: ModelRequest
    effort: str | None
    """How much it is to reason; None if that is not said."""
    own: bool
    """True if it goes to OpenAI itself."""
    implicit: bool = False
    """True if OpenAI may keep prompts that it was not asked to keep."""
    dialect: Dialect = field(default_factory=Dialect)
    thinking_tokens: int = 0
    """Of the answer's tokens, those that are kept for thinking which the server does not bound."""

    @property
    def family(self) -> str:
        """The model's name without that of its maker, which some servers put before it."""
        return self.model.rpartition("/")[2]

    @property
    def reasons(self) -> bool:
        """True if the model may think in private, which is charged."""
        if self.said_effort == "none" or _NEVER_REASONS.match(self.family):
            return False
        return self.own or self.effort is not None or bool(_REASONS.match(self.family)) or self.thinks_unbounded

    @property
    def markable(self) -> bool:
        """True if it can be said what is to be kept. Other makers' servers may refuse that."""
        return self.own and bool(_MARKABLE.match(self.family))

    @property
    def pays_to_keep(self) -> bool:
        """True if the input may be kept at a price of its own."""
        return not self.own or self.implicit or bool(self.request.cache_marks)

    @cached_property
    def wrapped(self) -> dict[str, Json] | None:
        """The schema inside of an object's, where the request has one that is not of an object."""
        return None if self.request.json_schema is None else wrapped_schema(self.request.json_schema)

    # --- thinking that the length of the answer does not bound ---

    @property
    def said_effort(self) -> str | None:
        """The effort that is sent: thinking is switched off where it would not be bounded."""
        if self.effort is None and self._may_stop_thinking:
            return "none"
        return self.effort

    @property
    def thinks_unbounded(self) -> bool:
        """True if the model may think for longer than its answer may be."""
        found = _GEMINI.match(self.family)
        if self.own or found is None or float(found["version"]) < 2.5:  # noqa: PLR2004
            return False
        return self.said_effort != "none" or not self.dialect.effort

    @property
    def _may_stop_thinking(self) -> bool:
        found = _GEMINI.match(self.family)
        return not self.own and found is not None and found["version"] == "2.5" and found["kind"] == "flash"

    def output(self, held: int) -> int:
        """Tokens that the server is told as the most for an answer, of those that are held for it.

        Raises:
            ProviderError: The model's thinking is not bounded, and nothing, or too little, is held for it.
        """
        most = held if self.dialect.most_output is None else min(held, self.dialect.most_output)
        if not self.thinks_unbounded:
            return most
        if not self.thinking_tokens or not self.dialect.effort:
            raise ProviderError(
                f"{self.model} may think for longer than its answer may be, which no budget would bound",
                hint=f"keep tokens of each answer for that ({ERRORS.setting('thinking_tokens')}), or use a model "
                "whose thinking can be switched off",
                billed=False,
                at_fault=False,
            )
        if held - self.thinking_tokens < LEAST_ANSWER:
            raise ProviderError(
                f"of the {held} tokens for {self.model}'s answer, {self.thinking_tokens} are kept for thinking",
                hint=f"raise max_output_tokens of the tier, or lower {ERRORS.setting('thinking_tokens')}",
                billed=False,
                at_fault=False,
            )
        return min(most, held - self.thinking_tokens)
