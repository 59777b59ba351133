"""What is asked of which model, and what is known of both."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from intendant.plugin import Json, ModelRequest, wrapped_schema

_THINKS_IF_ASKED = re.compile(r"claude-(\d|v\d|instant|(haiku|sonnet|opus)-4)")
"""Models that think only where a request says so, and ours do not. From the fifth generation on they decide
themselves, and show at most a summary of it."""


@dataclass(frozen=True)
class Ask:
    """A request on its way to a model."""

    model: str
    request: ModelRequest
    effort: str | None
    """How much it is to think; None if that is not said."""
    thinks_between_tools: bool = False
    """True if it may think between calls of tools."""

    @property
    def decides_to_think(self) -> bool:
        """True if the model thinks without being asked to."""
        return _THINKS_IF_ASKED.match(self.model) is None

    @property
    def thinks(self) -> bool:
        """True if it may think, which is charged, in this call."""
        return self.decides_to_think and not self.thinking

    @property
    def thinking(self) -> dict[str, Any] | None:
        """What is said of thinking. Between calls of tools it may exceed `max_tokens`, so that no hold would be an
        upper bound: https://platform.claude.com/docs/en/build-with-claude/thinking.
        """
        if self.request.tools and self.decides_to_think and not self.thinks_between_tools:
            return {"type": "disabled"}
        return None

    @cached_property
    def wrapped(self) -> dict[str, Json] | None:
        """The schema inside of an object's, where the request has one that is not of an object."""
        return None if self.request.json_schema is None else wrapped_schema(self.request.json_schema)

    @cached_property
    def shape(self) -> dict[str, Any] | None:
        """The schema as the API wants it, by the SDK's own rules; None if there is none, or it cannot be said
        so.
        """
        schema = self.request.json_schema
        if schema is not None and schema.get("type") != "object":
            schema = self.wrapped
        if schema is None:
            return None
        from anthropic import transform_schema

        try:
            return transform_schema(schema)
        except (ValueError, TypeError, AttributeError, AssertionError, KeyError):
            return None

    @property
    def is_wrapped(self) -> bool:
        """True if the answer's value stands inside of an object."""
        return self.wrapped is not None and self.shape is not None
