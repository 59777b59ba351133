"""What the two APIs share."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from intendant.plugin import (
    Hold,
    Image,
    Json,
    ModelReply,
    ProviderError,
    StreamMeter,
    ToolCall,
    Usage,
    answer_of,
    reported_tokens,
    sendable,
)
from intendant_provider_openai._ask import Ask
from intendant_provider_openai._compat import CACHED, StopReason

Lane = Literal["standard", "batch"]
News = Callable[[StreamMeter], None]
"""Something to tell the meter."""
DETAIL = "high"
"""How closely a picture is looked at. `auto` of newer models has no published bound."""
FRAME = 32
"""Tokens around an answer's parts that are charged and not shown."""


def url_of(image: Image) -> str:
    """The picture as a URL that holds it."""
    return f"data:{image.media_type};base64,{image.data}"


def shape(ask: Ask) -> dict[str, Any] | None:
    """The schema as both APIs want it; None if there is none, it cannot be said, or the server refuses it."""
    schema = _object(ask)
    if schema is None or ask.dialect.schema != "json_schema":
        return None
    return {"name": "answer", "schema": schema, "strict": _is_strict(schema)}


def _object(ask: Ask) -> dict[str, Json] | None:
    """The schema, as one of an object, which both APIs insist on; None if it cannot be one."""
    schema = ask.request.json_schema
    return schema if schema is None or schema.get("type") == "object" else ask.wrapped


def is_wrapped(ask: Ask) -> bool:
    """True if the answer's value stands inside of an object."""
    return ask.wrapped is not None and ask.dialect.schema != "words"


def system(ask: Ask) -> str:
    """The system text, with the schema in it where it cannot be said otherwise."""
    request = ask.request
    if request.json_schema is None or shape(ask) is not None:
        return sendable(request.system)
    schema = ask.wrapped if is_wrapped(ask) else request.json_schema
    return sendable(f"{request.system}\nAnswer with JSON of this schema: {json.dumps(schema)}".strip())


def _is_strict(schema: Json) -> bool:
    """True if each object lists all its properties as required and admits no others: what `strict` asks for."""
    if isinstance(schema, list):
        return all(_is_strict(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        closed = schema.get("additionalProperties") is False
        if not closed or set(schema.get("required", ())) != set(properties):
            return False
        return all(_is_strict(value) for value in properties.values()) and _is_strict(schema.get("$defs", {}))
    return all(_is_strict(value) for value in schema.values())


# --- usage ---


def figures_of(reported: Any) -> dict[str, Any]:
    """The figures of an SDK object, or of a map; none if this is neither."""
    if isinstance(reported, Mapping):
        return dict(reported)
    dump = getattr(reported, "model_dump", None)
    return dump(mode="json", exclude_none=True, warnings=False) if dump else {}


def usage_of(figures: Mapping[str, Any], given: str, written: str, model: str) -> Usage | None:
    """What was used; None if it was not reported.

    Args:
        figures: What the API reported. Cached and reasoning tokens are parts of what was read and written; servers
            that count reasoning apart are held to their total.
        given: What the API calls what was read, without `_tokens`.
        written: What it calls what was written.
        model: The model, for errors.

    Raises:
        ProviderError: A figure is no number of tokens.
    """
    found = [figures.get(f"{name}_tokens") for name in (given, written)]
    if None in found:
        return None
    read, made = (
        reported_tokens(value, f"{name} tokens", f"openai/{model}")
        for name, value in zip(("input", "output"), found, strict=True)
    )
    made = max(made, (_count(figures.get("total_tokens")) or 0) - read)
    parts, thinking = (_details(figures, name) for name in (given, written))
    cached = max(_count(place.get(name)) or 0 for place in (parts, figures) for name in CACHED)
    cached = min(cached, read)
    kept = min(_count(parts.get("cache_write_tokens")) or 0, read - cached)
    times = parts.get("cache_write_tokens_details")
    long = _count(times.get("ttl_12h_tokens")) if isinstance(times, dict) else None
    long = min(long or 0, kept)
    return Usage(
        input_tokens=read,
        output_tokens=made,
        cached_tokens=cached,
        cache_write_tokens=kept - long,
        cache_write_1h_tokens=long,
        reasoning_tokens=min(_count(thinking.get("reasoning_tokens")) or 0, made),
    )


def _details(figures: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = figures.get(f"{name}_tokens_details")
    return found if isinstance(found, dict) else {}


def _count(value: Any) -> int | None:
    """*value* if it is a number of tokens."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _unreported(hold: Hold, ask: Ask, written: str) -> Usage:
    """What is charged where nothing was reported: for the input what was held; for the answer its bytes, an upper
    bound, unless the model may have thought in private.
    """
    read, most = hold.tokens - hold.max_output_tokens, hold.max_output_tokens
    made = most if ask.reasons else min(most, len(written.encode("utf-8", "replace")) + FRAME)
    return Usage(input_tokens=read, output_tokens=made, cache_write_tokens=read if ask.pays_to_keep else 0)


# --- the reply ---


def call_of(identity: str, name: Any, written: Any) -> ToolCall:
    """A call of a tool; it says so where a model wrote no JSON object for its arguments."""
    try:
        value = json.loads(written) if isinstance(written, str) and written.strip() else written
    except (ValueError, RecursionError):
        value = written
    name = name if isinstance(name, str) else ""
    if isinstance(value, dict):
        return ToolCall(id=identity, name=name, arguments=value)
    return ToolCall(id=identity, name=name, arguments={}, malformed=str(value or "").strip())


def written_arguments(call: ToolCall) -> str:
    """What a tool was called with, as both APIs write it."""
    return json.dumps(call.arguments, ensure_ascii=False)


def reply(
    text: str,
    usage: Usage | None,
    stop: StopReason,
    hold: Hold,
    ask: Ask,
    calls: tuple[ToolCall, ...],
    *,
    reasoning: str = "",
    **more: Any,
) -> ModelReply:
    """A reply, from what both APIs say of it."""
    answer = answer_of(text, ask.request, reasoning=reasoning, wrapped=is_wrapped(ask))
    text = answer.text
    if is_wrapped(ask) and answer.data is not None:
        text = json.dumps(answer.data, ensure_ascii=False)
    if usage is None:
        usage = _unreported(
            hold, ask, "".join((text, reasoning, answer.reasoning, *(str(call) for call in calls)))
        )
    return ModelReply(
        text=text,
        usage=usage,
        model=hold.model,
        provider="openai",
        stop_reason=stop,
        data=answer.data,
        reasoning=answer.reasoning,
        calls=calls,
        **more,
    )


def dumped(part: Any) -> Json:
    """An SDK object as it came."""
    made: Json = part.model_dump(mode="json", exclude_none=True, warnings=False)
    return made


# --- what the meter is told ---


def text_news(piece: Any) -> list[News]:
    """The next piece of the answer."""
    return [lambda meter: meter.text(piece)] if isinstance(piece, str) and piece else []


def unseen_news(piece: Any) -> list[News]:
    """The next piece of what is charged and is no answer."""
    return [lambda meter: meter.unseen(piece)] if isinstance(piece, str) and piece else []


def used_news(figures: Mapping[str, Any], given: str, written: str, model: str) -> list[News]:
    """What is reported so far; nothing if that cannot be true, which the whole reply will say."""
    try:
        usage = usage_of(figures, given, written, model)
    except ProviderError:
        return []
    return [lambda meter: meter.used(usage)] if usage is not None and usage.input_tokens else []
