"""Requests and replies in the words of Anthropic's Messages API."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from intendant import Hold, Json, ModelReply, ModelRequest, ProviderError, ToolCall, Usage

StopReason = Literal["end", "length", "tool", "refusal", "other"]
_STOPS: Mapping[str | None, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool",
    "refusal": "refusal",
}


def parameters(hold: Hold, request: ModelRequest, effort: str | None) -> dict[str, Any]:
    """The keyword arguments of `messages.create`."""
    sent: dict[str, Any] = {
        "model": hold.model,
        "max_tokens": hold.max_output_tokens,
        "messages": list(_turns(request)),
    }
    if request.tools:
        sent["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
        sent["tool_choice"] = {"type": request.tool_choice}
    system = request.system
    config: dict[str, Any] = {"effort": effort} if effort else {}
    if request.json_schema is not None:
        shape = _shape(request.json_schema)
        if shape is None:
            system = f"{system}\nAnswer with JSON of this schema: {json.dumps(request.json_schema)}".strip()
        else:
            config["format"] = {"type": "json_schema", "schema": shape}
    if system:
        sent["system"] = _clean(system)
    if config:
        sent["output_config"] = config
    return sent


def _turns(request: ModelRequest) -> Iterator[dict[str, Any]]:
    """The turns; all results of one turn's tools are one turn of the user, as the API asks."""
    results: list[dict[str, Any]] = []
    for turn in request.messages:
        if turn.role == "tool":
            results.append({"type": "tool_result", "tool_use_id": turn.answers, "content": _clean(turn.content)})
            continue
        if results:
            yield {"role": "user", "content": results}
            results = []
        yield {"role": turn.role, "content": turn.raw or _clean(turn.content)}
    if results:
        yield {"role": "user", "content": results}


def _shape(schema: dict[str, Json]) -> dict[str, Any] | None:
    """The schema as the API wants it, by the SDK's own rules; None if it cannot be said there."""
    from anthropic import transform_schema

    try:
        return transform_schema(schema)
    except (ValueError, TypeError, AttributeError, AssertionError, KeyError):
        return None


def reply_of(message: Any, hold: Hold, request: ModelRequest) -> ModelReply:
    """The reply.

    Raises:
        ProviderError: This is no message of the API; it may have been charged.
    """
    if getattr(message, "type", None) != "message" or not isinstance(message.content, list):
        raise ProviderError("anthropic answered with something else than a message", billed=True)
    text = "".join(block.text for block in message.content if block.type == "text")
    usage = _usage(message.usage)
    calls = tuple(
        ToolCall(id=block.id, name=block.name, arguments=block.input if isinstance(block.input, dict) else {})
        for block in message.content
        if block.type == "tool_use"
    )
    return ModelReply(
        text=text,
        usage=usage or _worst(hold),
        model=hold.model,
        provider="anthropic",
        stop_reason=_STOPS.get(message.stop_reason, "other") if usage else "other",
        data=_data(text) if request.json_schema is not None else None,
        calls=calls,
        # Thinking has to be sent back with the results, signed as it was.
        raw=[block.model_dump(mode="json", exclude_none=True) for block in message.content] if calls else None,
        request_id=getattr(message, "_request_id", None) or message.id or "",
    )


def _usage(reported: Any) -> Usage | None:
    """What was used; None if the reply does not say. Cached tokens are input tokens too."""
    given, written = getattr(reported, "input_tokens", None), getattr(reported, "output_tokens", None)
    if not isinstance(given, int) or not isinstance(written, int):
        return None
    cached = reported.cache_read_input_tokens or 0
    return Usage(
        input_tokens=given + (reported.cache_creation_input_tokens or 0) + cached,
        output_tokens=written,
        cached_tokens=cached,
    )


def _worst(hold: Hold) -> Usage:
    """What is charged for a reply without usage: all that was held. Less might be too little."""
    return Usage(input_tokens=hold.tokens - hold.max_output_tokens, output_tokens=hold.max_output_tokens)


def _data(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _clean(text: str) -> str:
    """Lone surrogates are no text and cannot be sent."""
    return text.encode("utf-8", "replace").decode()
