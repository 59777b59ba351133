"""Requests and replies in the words of the Responses API."""

from collections.abc import Iterator, Mapping
from typing import Any

from intendant import Hold, Message, ModelReply, ModelRequest, ProviderError, ToolCall
from intendant_provider_openai._wire import StopReason, arguments_of, clean, reply, shape, system, usage_of

_INCOMPLETE: Mapping[str | None, StopReason] = {"max_output_tokens": "length", "content_filter": "refusal"}


def parameters(hold: Hold, request: ModelRequest, effort: str | None) -> dict[str, Any]:
    """The keyword arguments of `responses.create`. Nothing is stored at OpenAI, which is its default."""
    sent: dict[str, Any] = {
        "model": hold.model,
        "max_output_tokens": hold.max_output_tokens,
        "input": [item for turn in request.messages for item in _items(turn)],
        "store": False,
    }
    if request.tools:
        sent["tools"] = [
            {"type": "function", "strict": False, **tool.model_dump(mode="json")} for tool in request.tools
        ]
        sent["tool_choice"] = request.tool_choice
        # Nothing is stored, so that what was reasoned has to come back with the results.
        sent["include"] = ["reasoning.encrypted_content"]
    if instructions := system(request):
        sent["instructions"] = instructions
    if request.temperature is not None:
        sent["temperature"] = request.temperature
    if effort:
        sent["reasoning"] = {"effort": effort}
    if (wanted := shape(request)) is not None:
        sent["text"] = {"format": {"type": "json_schema", **wanted}}
    return sent


def _items(turn: Message) -> list[Any]:
    if turn.role == "tool":
        return [{"type": "function_call_output", "call_id": turn.answers, "output": clean(turn.content)}]
    if isinstance(turn.raw, list):
        return turn.raw
    return [{"role": turn.role, "content": clean(turn.content)}]


def _calls(response: Any) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(id=item.call_id, name=item.name, arguments=arguments_of(item.arguments))
        for item in response.output
        if item.type == "function_call"
    )


def reply_of(response: Any, hold: Hold, request: ModelRequest) -> ModelReply:
    """The reply.

    Raises:
        ProviderError: This is no response of the API, or one that failed; it may have been charged.
    """
    if getattr(response, "object", None) != "response" or not isinstance(response.output, list):
        raise ProviderError("openai answered with something else than a response", billed=True)
    if response.status in ("failed", "cancelled"):
        said = response.error.message if response.error else response.status
        raise ProviderError(f"openai could not finish the response: {said}", retryable=True, billed=True)
    parts = list(_parts(response))
    used = response.usage
    usage = usage_of(
        getattr(used, "input_tokens", None),
        getattr(used, "output_tokens", None),
        getattr(used, "input_tokens_details", None),
    )
    text = "".join(part.text if part.type == "output_text" else part.refusal for part in parts)
    request_id = getattr(response, "_request_id", None) or response.id or ""
    calls = _calls(response)
    stop: StopReason = "tool" if calls else _stop(response, parts)
    made = reply(text, usage, stop, hold, request, request_id)
    raw = [item.model_dump(mode="json", exclude_none=True) for item in response.output] if calls else None
    return made.model_copy(update={"calls": calls, "raw": raw})


def _parts(response: Any) -> Iterator[Any]:
    for item in response.output:
        if item.type == "message":
            yield from (part for part in item.content if part.type in ("output_text", "refusal"))


def _stop(response: Any, parts: list[Any]) -> StopReason:
    if any(part.type == "refusal" for part in parts):
        return "refusal"
    if response.status == "completed":
        return "end"
    reason = getattr(response.incomplete_details, "reason", None)
    return _INCOMPLETE.get(reason, "other")
