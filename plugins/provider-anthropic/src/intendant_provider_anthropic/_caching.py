"""Where `cache_control` stands: what later calls will send again is kept, and read for a tenth of the price."""

from collections.abc import Mapping
from typing import Any, Literal

from intendant.plugin import ModelRequest

Ttl = Literal["5m", "1h"]
_UNMARKABLE = ("thinking", "redacted_thinking")


def places_of(request: ModelRequest) -> Mapping[int, Ttl]:
    """How long to keep the prompt up to each marked place: 0 for system and tools, n for the n-th turn.

    Marks of one place are one. The API refuses a mark for an hour after one for five minutes, so that the earlier
    is for an hour too; `Provider.cache_ttl` says an hour for either.
    """
    places: dict[int, Ttl] = {}
    longest: Ttl = "5m"
    for mark in sorted(request.cache_marks, key=lambda mark: -mark.messages):
        longest = "1h" if "1h" in (mark.ttl, longest) else "5m"
        places[min(mark.messages, len(request.messages))] = longest
    return places


def mark(blocks: list[dict[str, Any]], ttl: Ttl) -> list[dict[str, Any]]:
    """*blocks*, the last of them that can be one as the end of what is kept; the given ones are left alone."""
    for at in range(len(blocks) - 1, -1, -1):
        block = blocks[at]
        if block.get("type") not in _UNMARKABLE and block.get("text") != "":
            kept = {**block, "cache_control": {"type": "ephemeral", "ttl": ttl}}
            return [*blocks[:at], kept, *blocks[at + 1 :]]
    return blocks
