"""What is asked of which model, and what is known of both."""

import re
from dataclasses import dataclass

from intendant.plugin import ModelRequest

_NEVER_REASONS = re.compile(r"(gpt-4|gpt-3|chatgpt-4)")
_REASONS = re.compile(r"(o\d|gpt-[5-9]|gpt-\d\d|codex)")
_MARKABLE = re.compile(r"gpt-(5\.([6-9]|\d\d)|[6-9]|\d\d)")
"""From gpt-5.6 on, what is kept can be said, and writing it costs a quarter more than reading it once. Older
models refuse to be told, keep what they like, and charge nothing for that:
https://developers.openai.com/api/docs/guides/prompt-caching."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request on its way to a model."""

    model: str
    request: ModelRequest
    effort: str | None
    """How much it is to reason; None if that is not said."""
    own: bool
    """True if it goes to OpenAI itself."""
    implicit: bool = False
    """True if OpenAI may keep prompts that nobody asked it to keep."""

    @property
    def family(self) -> str:
        """The model's name without that of its maker, which some servers put before it."""
        return self.model.rpartition("/")[2]

    @property
    def reasons(self) -> bool:
        """True if the model may think in private, which is charged."""
        if self.effort == "none" or _NEVER_REASONS.match(self.family):
            return False
        return self.own or self.effort is not None or bool(_REASONS.match(self.family))

    @property
    def markable(self) -> bool:
        """True if it can be said what is to be kept. Other makers' servers may refuse that."""
        return self.own and bool(_MARKABLE.match(self.family))

    @property
    def pays_to_keep(self) -> bool:
        """True if the input may be kept at a price of its own."""
        return not self.own or self.implicit or bool(self.request.cache_marks)
