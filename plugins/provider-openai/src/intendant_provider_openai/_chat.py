"""Requests and replies in the words of the Chat Completions API, which compatible servers speak."""

from collections.abc import Mapping
from typing import Any

from intendant import Hold, Message, ModelReply, ModelRequest, ProviderError, ToolCall
from intendant_provider_openai._wire import StopReason, arguments_of, clean, reply, shape, system, usage_of

_STOPS: Mapping[str | None, StopReason] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "refusal",
}


def parameters(hold: Hold, request: ModelRequest, effort: str | None) -> dict[str, Any]:
    """The keyword arguments of `chat.completions.create`."""
    turns = [_turn(turn) for turn in request.messages]
    if instructions := system(request):
        turns.insert(0, {"role": "system", "content": instructions})
    sent: dict[str, Any] = {"model": hold.model, "messages": turns}
    if request.tools:
        sent["tools"] = [{"type": "function", "function": tool.model_dump(mode="json")} for tool in request.tools]
        sent["tool_choice"] = request.tool_choice
    # OpenAI has replaced this name, but compatible servers know no other, and those are what this API is for.
    sent["max_tokens"] = hold.max_output_tokens
    if request.temperature is not None:
        sent["temperature"] = request.temperature
    if effort:
        sent["reasoning_effort"] = effort
    if (wanted := shape(request)) is not None:
        sent["response_format"] = {"type": "json_schema", "json_schema": wanted}
    return sent


def _turn(turn: Message) -> dict[str, Any]:
    if turn.role == "tool":
        return {"role": "tool", "tool_call_id": turn.answers, "content": clean(turn.content)}
    if isinstance(turn.raw, dict):
        return turn.raw
    return {"role": turn.role, "content": clean(turn.content)}


def _calls(message: Any) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(id=call.id, name=call.function.name, arguments=arguments_of(call.function.arguments))
        for call in getattr(message, "tool_calls", None) or ()
        if call.type == "function"
    )


def reply_of(completion: Any, hold: Hold, request: ModelRequest) -> ModelReply:
    """The reply.

    Raises:
        ProviderError: This is no completion of the API; it may have been charged.
    """
    choices = getattr(completion, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise ProviderError("openai answered with something else than a completion", billed=True)
    message, reason = choices[0].message, choices[0].finish_reason
    used = completion.usage
    usage = usage_of(
        getattr(used, "prompt_tokens", None),
        getattr(used, "completion_tokens", None),
        getattr(used, "prompt_tokens_details", None),
    )
    refusal = getattr(message, "refusal", None)
    text = message.content or refusal or ""
    stop: StopReason = "refusal" if refusal else _STOPS.get(reason, "other")
    request_id = getattr(completion, "_request_id", None) or completion.id or ""
    made = reply(text, usage, stop, hold, request, request_id)
    calls = _calls(message)
    raw = message.model_dump(mode="json", exclude_none=True) if calls else None
    return made.model_copy(update={"calls": calls, "raw": raw})
