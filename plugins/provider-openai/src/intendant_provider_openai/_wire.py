"""What the two APIs share."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from intendant.plugin import Hold, Image, Json, ModelReply, ModelRequest, StreamMeter, ToolCall, Usage
from intendant_provider_openai._ask import Ask

StopReason = Literal["end", "length", "tool", "refusal", "other"]
Lane = Literal["standard", "batch"]
News = Callable[[StreamMeter], None]
"""Something to tell the meter."""
DETAIL = "high"
"""How closely a picture is looked at. `auto` of newer models has no published bound."""


def clean(text: str) -> str:
    """Lone surrogates are no text and cannot be sent."""
    return text.encode("utf-8", "replace").decode()


def url_of(image: Image) -> str:
    """The picture as a URL that holds it."""
    return f"data:{image.media_type};base64,{image.data}"


def shape(request: ModelRequest) -> dict[str, Any] | None:
    """The schema as both APIs want it; None if there is none, or it is not one of an object, as they insist."""
    schema = request.json_schema
    if schema is None or schema.get("type") != "object":
        return None
    return {"name": "answer", "schema": schema, "strict": _is_strict(schema)}


def system(request: ModelRequest) -> str:
    """The system text, with the schema in it where it cannot be said otherwise."""
    if request.json_schema is None or shape(request) is not None:
        return clean(request.system)
    return clean(f"{request.system}\nAnswer with JSON of this schema: {json.dumps(request.json_schema)}".strip())


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


def figures_of(reported: Any) -> dict[str, Any]:
    """The figures of an SDK object, or of a map; none if this is neither."""
    if isinstance(reported, Mapping):
        return dict(reported)
    dump = getattr(reported, "model_dump", None)
    return dump(mode="json", exclude_none=True, warnings=False) if dump else {}


def usage_of(figures: Mapping[str, Any], given: str, written: str, *, wrote: bool) -> Usage | None:
    """What was used; None if the figures cannot be true: nothing read, or nothing written where something came.

    Args:
        figures: What the API reported. Cached and reasoning tokens are parts of what was read and written; servers
            that count reasoning apart are held to their total.
        given: What the API calls what was read, without `_tokens`.
        written: What it calls what was written.
        wrote: True if there is an answer.
    """
    read, made = (_count(figures.get(f"{name}_tokens")) for name in (given, written))
    if not read or made is None:
        return None
    made = max(made, (_count(figures.get("total_tokens")) or 0) - read)
    if wrote and not made:
        return None
    parts, thinking = (_details(figures, name) for name in (given, written))
    cached = min(_count(parts.get("cached_tokens")) or 0, read)
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


def arguments_of(written: Any) -> dict[str, Json]:
    """What a tool is called with; nothing where a model wrote no JSON object."""
    value = _data(written) if isinstance(written, str) else None
    return value if isinstance(value, dict) else {}


def reply(
    text: str,
    usage: Usage | None,
    stop: StopReason,
    hold: Hold,
    ask: Ask,
    calls: tuple[ToolCall, ...],
    **more: Any,
) -> ModelReply:
    """A reply. Without usage all that was held is charged, as less might be too little; it ends as `other`."""
    return ModelReply(
        text=text,
        usage=usage or _worst(hold, ask),
        model=hold.model,
        provider="openai",
        stop_reason=stop if usage else "other",
        data=_data(text) if ask.request.json_schema is not None else None,
        calls=calls,
        **more,
    )


def _worst(hold: Hold, ask: Ask) -> Usage:
    read = hold.tokens - hold.max_output_tokens
    return Usage(
        input_tokens=read,
        output_tokens=hold.max_output_tokens,
        cache_write_tokens=read if ask.pays_to_keep else 0,
    )


def dumped(part: Any) -> Json:
    """An SDK object as it came."""
    made: Json = part.model_dump(mode="json", exclude_none=True, warnings=False)
    return made


def _data(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def text_news(piece: Any) -> list[News]:
    """The next piece of the answer."""
    return [lambda meter: meter.text(piece)] if isinstance(piece, str) and piece else []


def unseen_news(piece: Any) -> list[News]:
    """The next piece of what is charged and is no answer."""
    return [lambda meter: meter.unseen(piece)] if isinstance(piece, str) and piece else []


def used_news(usage: Usage | None) -> list[News]:
    """What is reported so far."""
    return [lambda meter: meter.used(usage)] if usage else []
