"""Requests and replies in the words of Anthropic's Messages API."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from intendant.plugin import Hold, Json, Message, ModelReply, ModelRequest, ProviderError, ToolCall
from intendant_provider_anthropic._caching import Ttl, mark, places_of
from intendant_provider_anthropic._usage import Figures, figures_of, usage_of, worst_of

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
    return {"max_tokens": hold.max_output_tokens, **prompt(hold.model, request, effort)}


def prompt(model: str, request: ModelRequest, effort: str | None) -> dict[str, Any]:
    """All of a request that is counted as input."""
    places = places_of(request)
    sent: dict[str, Any] = {"model": model, "messages": list(_turns(request, places))}
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
        sent["system"] = clean(system)
    if config:
        sent["output_config"] = config
    if 0 in places:
        _mark_beginning(sent, places[0])
    return sent


def _mark_beginning(sent: dict[str, Any], ttl: Ttl) -> None:
    """Keep the tools and the system text, which the model reads in that order."""
    if "system" in sent:
        sent["system"] = mark([{"type": "text", "text": sent["system"]}], ttl)
    elif "tools" in sent:
        sent["tools"] = mark(sent["tools"], ttl)


def _turns(request: ModelRequest, places: Mapping[int, Ttl]) -> Iterator[dict[str, Any]]:
    """The turns; all results of one turn's tools are one turn of the user, as the API asks."""
    results: list[dict[str, Any]] = []
    for number, turn in enumerate(request.messages, 1):
        if turn.role == "tool":
            made = {"type": "tool_result", "tool_use_id": turn.answers, "content": clean(turn.content)}
            results += mark([made], places[number]) if number in places else [made]
            continue
        if results:
            yield {"role": "user", "content": results}
            results = []
        yield {"role": turn.role, "content": _content(turn, places.get(number))}
    if results:
        yield {"role": "user", "content": results}


def _content(turn: Message, ttl: Ttl | None) -> Any:
    if turn.raw and not isinstance(turn.raw, list):
        return turn.raw
    if not turn.raw and not turn.images and ttl is None:
        return clean(turn.content)
    blocks: Any = turn.raw or [_image(image.media_type, image.data) for image in turn.images]
    if not turn.raw and (turn.content or not blocks):
        blocks = [*blocks, {"type": "text", "text": clean(turn.content)}]
    return mark(blocks, ttl) if ttl else blocks


def _image(media_type: str, data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _shape(schema: dict[str, Json]) -> dict[str, Any] | None:
    """The schema as the API wants it, by the SDK's own rules; None if it cannot be said there."""
    from anthropic import transform_schema

    try:
        return transform_schema(schema)
    except (ValueError, TypeError, AttributeError, AssertionError, KeyError):
        return None


def reply_of(
    message: Any,
    hold: Hold,
    request: ModelRequest,
    *,
    figures: Figures | None = None,
    lane: Literal["standard", "batch"] = "standard",
) -> ModelReply:
    """The reply.

    Args:
        message: The SDK's message.
        hold: What the call was made with.
        request: What was asked.
        figures: What the call took, where that came apart from the message.
        lane: How it was sent.

    Raises:
        ProviderError: This is no message of the API; it may have been charged.
    """
    if getattr(message, "type", None) != "message" or not isinstance(message.content, list):
        raise ProviderError("anthropic answered with something else than a message", billed=True)
    text = "".join(block.text for block in message.content if block.type == "text")
    reported = figures_of(getattr(message, "usage", None)) if figures is None else figures
    usage = usage_of(reported, request, wrote=bool(message.content))
    calls = tuple(
        ToolCall(id=block.id, name=block.name, arguments=block.input if isinstance(block.input, dict) else {})
        for block in message.content
        if block.type == "tool_use"
    )
    return ModelReply(
        text=text,
        usage=usage or worst_of(hold, request),
        model=hold.model,
        provider="anthropic",
        stop_reason=_STOPS.get(message.stop_reason, "other") if usage else "other",
        data=data_of(text) if request.json_schema is not None else None,
        calls=calls,
        # Thinking has to be sent back with the results, signed as it was.
        raw=[_dumped(block) for block in message.content] if calls else None,
        request_id=getattr(message, "_request_id", None) or message.id or "",
        lane=lane,
    )


def _dumped(block: Any) -> Json:
    dumped: Json = block.model_dump(mode="json", exclude_none=True, warnings=False)
    return dumped


def data_of(text: str) -> Json:
    """*text* read as JSON; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def clean(text: str) -> str:
    """Lone surrogates are no text and cannot be sent."""
    return text.encode("utf-8", "replace").decode()
