"""What the two APIs share."""

import json
from typing import Any, Literal

from intendant import Hold, Json, ModelReply, ModelRequest, Usage

StopReason = Literal["end", "length", "tool", "refusal", "other"]


def clean(text: str) -> str:
    """Lone surrogates are no text and cannot be sent."""
    return text.encode("utf-8", "replace").decode()


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


def usage_of(given: Any, written: Any, details: Any) -> Usage | None:
    """What was used; None if the reply does not say. Reasoning tokens are among those written."""
    if not isinstance(given, int) or not isinstance(written, int):
        return None
    cached = getattr(details, "cached_tokens", None)
    return Usage(input_tokens=given, output_tokens=written, cached_tokens=cached if isinstance(cached, int) else 0)


def arguments_of(written: Any) -> dict[str, Json]:
    """What a tool is called with; nothing where a model wrote no JSON object."""
    value = _data(written) if isinstance(written, str) else None
    return value if isinstance(value, dict) else {}


def reply(
    text: str,
    usage: Usage | None,
    stop: StopReason,
    hold: Hold,
    request: ModelRequest,
    request_id: str,
) -> ModelReply:
    """A reply. Without usage all that was held is charged, as less might be too little; it ends as `other`."""
    worst = Usage(input_tokens=hold.tokens - hold.max_output_tokens, output_tokens=hold.max_output_tokens)
    return ModelReply(
        text=text,
        usage=usage or worst,
        model=hold.model,
        provider="openai",
        stop_reason=stop if usage else "other",
        data=_data(text) if request.json_schema is not None else None,
        request_id=request_id,
    )


def _data(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
