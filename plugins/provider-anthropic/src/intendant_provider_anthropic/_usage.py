"""What a call took, from what the API reports: the whole, and the parts that have prices of their own."""

from collections.abc import Mapping
from typing import Any

from intendant.plugin import Hold, ModelRequest, Usage, reported_tokens

Figures = Mapping[str, Any]
"""The API's own figures by name; what it left out, or said to be null, is not there."""


def figures_of(reported: Any) -> dict[str, Any]:
    """The figures of an SDK object; none if this is no such object."""
    dump = getattr(reported, "model_dump", None)
    return dump(mode="json", exclude_none=True, warnings=False) if dump else {}


def usage_of(figures: Figures, request: ModelRequest, model: str) -> Usage | None:
    """What was used; None if it was not reported.

    The API counts tokens that were read from and written to the cache apart from the input; here they are parts
    of it.

    Args:
        figures: What was reported.
        request: What was asked; where the API does not say for how long tokens are kept, the dearest time that was
            asked for counts.
        model: The model, for errors.

    Raises:
        ProviderError: A figure is no number of tokens.
    """
    found = [figures.get(name) for name in ("input_tokens", "output_tokens")]
    if None in found:
        return None
    given, written = (
        reported_tokens(value, f"{name} tokens", f"anthropic/{model}")
        for name, value in zip(("input", "output"), found, strict=True)
    )
    cached = _count(figures.get("cache_read_input_tokens")) or 0
    short, long = _kept(figures, request)
    read = given + cached + short + long
    details = figures.get("output_tokens_details")
    thought = _count(details.get("thinking_tokens")) if isinstance(details, dict) else None
    return Usage(
        input_tokens=read,
        output_tokens=written,
        cached_tokens=cached,
        cache_write_tokens=short,
        cache_write_1h_tokens=long,
        reasoning_tokens=min(thought or 0, written),
    )


def worst_of(hold: Hold, request: ModelRequest) -> Usage:
    """What is charged for a reply without usage: all that was held. Less might be too little."""
    read = hold.tokens - hold.max_output_tokens
    return Usage(
        input_tokens=read,
        output_tokens=hold.max_output_tokens,
        cache_write_tokens=read if request.cache_marks and not for_an_hour(request) else 0,
        cache_write_1h_tokens=read if for_an_hour(request) else 0,
    )


def for_an_hour(request: ModelRequest) -> bool:
    """True if anything is to be kept for an hour."""
    return any(mark.ttl == "1h" for mark in request.cache_marks)


def _kept(figures: Figures, request: ModelRequest) -> tuple[int, int]:
    """Tokens that were written to the cache, for minutes and for an hour."""
    parts = figures.get("cache_creation")
    parts = parts if isinstance(parts, dict) else {}
    short = _count(parts.get("ephemeral_5m_input_tokens")) or 0
    long = _count(parts.get("ephemeral_1h_input_tokens")) or 0
    rest = max(0, (_count(figures.get("cache_creation_input_tokens")) or 0) - short - long)
    return (short, long + rest) if for_an_hour(request) else (short + rest, long)


def _count(value: Any) -> int | None:
    """*value* if it is a number of tokens."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
