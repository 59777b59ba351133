"""Requests and replies in the words of Anthropic's Messages API."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from intendant.plugin import (
    Hold,
    Json,
    Message,
    ModelReply,
    ModelRequest,
    ProviderError,
    ToolCall,
    answer_of,
    error_in,
    sendable,
)
from intendant_provider_anthropic._ask import Ask
from intendant_provider_anthropic._caching import Ttl, mark, places_of
from intendant_provider_anthropic._usage import Figures, figures_of, usage_of, worst_of
from intendant_provider_anthropic._vendor import ERRORS

StopReason = Literal["end", "length", "tool", "refusal", "other"]
_STOPS: Mapping[str | None, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool",
    "refusal": "refusal",
}


def parameters(hold: Hold, ask: Ask) -> dict[str, Any]:
    """The keyword arguments of `messages.create`."""
    return {"max_tokens": hold.max_output_tokens, **prompt(ask)}


def prompt(ask: Ask) -> dict[str, Any]:
    """All of a request that is counted as input."""
    request, places = ask.request, places_of(ask.request)
    sent: dict[str, Any] = {"model": ask.model, "messages": list(_turns(request, places))}
    if request.tools:
        sent["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
        sent["tool_choice"] = {"type": request.tool_choice}
    if ask.thinking is not None:
        sent["thinking"] = ask.thinking
    config: dict[str, Any] = {"effort": ask.effort} if ask.effort else {}
    if ask.shape is not None:
        config["format"] = {"type": "json_schema", "schema": ask.shape}
    if system := _system(ask):
        sent["system"] = system
    if config:
        sent["output_config"] = config
    if 0 in places:
        _mark_beginning(sent, places[0])
    return sent


def _system(ask: Ask) -> str:
    """The system text, with the schema in it where it cannot be said otherwise."""
    request = ask.request
    if request.json_schema is None or ask.shape is not None:
        return sendable(request.system)
    return sendable(
        f"{request.system}\nAnswer with JSON of this schema: {json.dumps(request.json_schema)}".strip()
    )


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
            made = {"type": "tool_result", "tool_use_id": turn.answers, "content": sendable(turn.content)}
            results += mark([made], places[number]) if number in places else [made]
            continue
        if results:
            yield {"role": "user", "content": results}
            results = []
        yield {"role": turn.role, "content": _content(turn, places.get(number))}
    if results:
        yield {"role": "user", "content": results}


def _content(turn: Message, ttl: Ttl | None) -> Any:
    raw = turn.raw if isinstance(turn.raw, list) else None
    if not raw and not turn.images and not turn.calls and ttl is None:
        return sendable(turn.content)
    blocks: Any = raw or [_image(image.media_type, image.data) for image in turn.images]
    if not raw and (turn.content or not (blocks or turn.calls)):
        blocks = [*blocks, {"type": "text", "text": sendable(turn.content)}]
    if not raw:
        blocks += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in turn.calls
        ]
    return mark(blocks, ttl) if ttl else blocks


def _image(media_type: str, data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def reply_of(
    message: Any,
    hold: Hold,
    ask: Ask,
    *,
    figures: Figures | None = None,
    lane: Literal["standard", "batch"] = "standard",
    batch: str = "",
) -> ModelReply:
    """The reply.

    Args:
        message: The SDK's message.
        hold: What the call was made with.
        ask: What was asked.
        figures: What the call took, where that came apart from the message.
        lane: How it was sent.
        batch: The batch that it was sent in.

    Raises:
        ProviderError: This is no message of the API, or an error that came with status 200.
    """
    if getattr(message, "type", None) != "message" or not isinstance(message.content, list):
        raise _no_message(message)
    blocks = message.content
    thoughts = "\n".join(block.thinking for block in blocks if block.type == "thinking" and block.thinking)
    text = "".join(block.text for block in blocks if block.type == "text")
    answer = answer_of(text, ask.request, reasoning=thoughts, wrapped=ask.is_wrapped)
    said = answer.text
    if ask.is_wrapped and answer.data is not None:
        said = json.dumps(answer.data, ensure_ascii=False)
    reported = figures_of(getattr(message, "usage", None)) if figures is None else figures
    calls = tuple(_call(block) for block in blocks if block.type == "tool_use")
    return ModelReply(
        text=said,
        usage=usage_of(reported, ask.request, hold.model) or worst_of(hold, ask.request),
        model=hold.model,
        provider="anthropic",
        stop_reason=_STOPS.get(message.stop_reason, "other"),
        data=answer.data,
        reasoning=answer.reasoning,
        calls=calls,
        # Thinking has to be sent back with the results, signed as it was.
        raw=[_dumped(block) for block in blocks] if calls else None,
        request_id=getattr(message, "_request_id", None) or message.id or "",
        response_id=message.id or "",
        answered_by=message.model if isinstance(getattr(message, "model", None), str) else "",
        batch_id=batch,
        lane=lane,
    )


def _call(block: Any) -> ToolCall:
    if isinstance(block.input, dict):
        return ToolCall(id=block.id, name=block.name, arguments=block.input)
    return ToolCall(id=block.id, name=block.name, arguments={}, malformed=str(block.input or ""))


def _no_message(message: Any) -> ProviderError:
    """The error for a reply that is no message: what it says of itself, if anything."""
    said = error_in(figures_of(message))
    if said is None:
        return ProviderError("anthropic answered with something else than a message", billed=True)
    return ERRORS.failure(f"anthropic answered with an error: {said[0]}", said[1])


def _dumped(block: Any) -> Json:
    dumped: Json = block.model_dump(mode="json", exclude_none=True, warnings=False)
    if block.type == "tool_use" and not isinstance(block.input, dict):
        return {**dumped, "input": {}}  # the API takes nothing else back
    return dumped


def data_of(text: str) -> Json:
    """What a tool is called with; None if *text* is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
