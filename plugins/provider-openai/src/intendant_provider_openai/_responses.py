"""Requests and replies in the words of the Responses API."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from intendant.plugin import Hold, Message, ModelReply, ProviderError, ToolCall, error_in, sendable
from intendant_provider_openai import _caching
from intendant_provider_openai._ask import Ask
from intendant_provider_openai._compat import StopReason
from intendant_provider_openai._vendor import ERRORS
from intendant_provider_openai._wire import (
    DETAIL,
    Lane,
    News,
    call_of,
    dumped,
    figures_of,
    reply,
    shape,
    system,
    text_news,
    unseen_news,
    url_of,
    usage_of,
    used_news,
    written_arguments,
)

if TYPE_CHECKING:
    from openai.types.responses import Response

GIVEN, WRITTEN = "input", "output"
_INCOMPLETE: Mapping[str | None, StopReason] = {"max_output_tokens": "length", "content_filter": "refusal"}


def endpoint() -> tuple[str, type["Response"]]:
    """The path below the base URL, and what the SDK makes of an answer."""
    from openai.types.responses import Response

    return "/responses", Response


def parameters(hold: Hold, ask: Ask) -> dict[str, Any]:
    """The body of a request, which is also the keyword arguments of `responses.create`. Nothing is stored at
    OpenAI, which would be its default.

    Raises:
        ProviderError: The model's thinking cannot be bounded.
    """
    sent = {**prompt(ask), **_caching.options(ask), "store": False}
    sent["max_output_tokens"] = ask.output(hold.max_output_tokens)
    if ask.own:
        sent["service_tier"] = "default"  # A project may be set to a dearer one.
    if ask.request.tools:
        # Nothing is stored, so that what was reasoned has to come back with the results.
        sent["include"] = ["reasoning.encrypted_content"]
    if ask.request.temperature is not None and ask.dialect.temperature:
        sent["temperature"] = ask.request.temperature
    return sent


def prompt(ask: Ask) -> dict[str, Any]:
    """All of a request that is counted as input."""
    request, places = ask.request, _caching.places(ask)
    items = [
        item for number, turn in enumerate(request.messages, 1) for item in _items(turn, ends=number in places)
    ]
    sent: dict[str, Any] = {"model": ask.model, "input": items}
    if request.tools:
        sent["tools"] = [
            {"type": "function", "strict": False, **tool.model_dump(mode="json")} for tool in request.tools
        ]
        sent["tool_choice"] = request.tool_choice
    if (instructions := system(ask)) and 0 in places:
        # Only a turn can carry the end of what is kept.
        part = {"type": "input_text", "text": instructions, **_caching.BREAKPOINT}
        items.insert(0, {"role": "developer", "content": [part]})
    elif instructions:
        sent["instructions"] = instructions
    if ask.said_effort and ask.dialect.effort:
        sent["reasoning"] = {"effort": ask.said_effort}
    if (wanted := shape(ask)) is not None:
        sent["text"] = {"format": {"type": "json_schema", **wanted}}
    return sent


def _items(turn: Message, *, ends: bool) -> list[Any]:
    mark = _caching.BREAKPOINT if ends else {}
    text = sendable(turn.content)
    part = {"type": "input_text", "text": text, **mark}
    if turn.role == "tool":
        return [{"type": "function_call_output", "call_id": turn.answers, "output": [part] if ends else text}]
    if isinstance(turn.raw, list):
        return turn.raw
    if turn.calls:
        said = [{"role": turn.role, "content": text}] if text else []
        made = [
            {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": written_arguments(call)}
            for call in turn.calls
        ]
        return [*said, *made]
    if not turn.images:
        return [{"role": turn.role, "content": [part] if ends else text}]
    seen: list[dict[str, Any]] = [
        {"type": "input_image", "image_url": url_of(image), "detail": DETAIL} for image in turn.images
    ]
    if not text:
        seen[-1] |= mark
    return [{"role": turn.role, "content": [*seen, part] if text else seen}]


def _calls(response: Any) -> tuple[ToolCall, ...]:
    return tuple(
        call_of(item.call_id, item.name, item.arguments)
        for item in response.output
        if item.type == "function_call"
    )


def reply_of(
    response: Any, hold: Hold, ask: Ask, *, lane: Lane = "standard", request_id: str | None = None, batch: str = ""
) -> ModelReply:
    """The reply.

    Raises:
        ProviderError: This is no response of the API, or one that failed; it may have been charged.
    """
    if getattr(response, "object", None) != "response" or not isinstance(response.output, list):
        said = error_in(figures_of(response))
        if said is not None:
            raise ERRORS.failure(f"openai answered with an error: {said[0]}", said[1])
        raise ProviderError("openai answered with something else than a response", billed=True)
    if response.status in ("failed", "cancelled"):
        raise failed(response)
    parts = list(_parts(response))
    text = "".join(part.text if part.type == "output_text" else part.refusal for part in parts)
    calls = _calls(response)
    usage = usage_of(figures_of(response.usage), GIVEN, WRITTEN, hold.model)
    stop = _stop(response, parts)
    if calls and stop not in ("length", "refusal"):  # of calls that were cut, nothing may be done
        stop = "tool"
    return reply(
        text,
        usage,
        stop,
        hold,
        ask,
        calls,
        raw=[dumped(item) for item in response.output] if calls else None,
        reasoning=_reasoning(response),
        request_id=request_id or getattr(response, "_request_id", None) or response.id or "",
        response_id=response.id or "",
        answered_by=response.model if isinstance(getattr(response, "model", None), str) else "",
        batch_id=batch,
        lane=lane,
    )


def failed(response: Any) -> ProviderError:
    """Why a response failed; what was written of it may be charged."""
    code, said = getattr(response.error, "code", None), getattr(response.error, "message", None)
    return ERRORS.failure(f"openai could not finish the response: {said or response.status}", code, billed=True)


def _parts(response: Any) -> Iterator[Any]:
    for item in response.output:
        if item.type == "message":
            yield from (part for part in item.content if part.type in ("output_text", "refusal"))


def _reasoning(response: Any) -> str:
    """The summaries of what the model thought."""
    summaries = (getattr(item, "summary", None) or () for item in response.output if item.type == "reasoning")
    return "\n".join(str(getattr(part, "text", "")) for summary in summaries for part in summary)


def _stop(response: Any, parts: list[Any]) -> StopReason:
    if any(part.type == "refusal" for part in parts):
        return "refusal"
    if response.status == "completed":
        return "end"
    reason = getattr(response.incomplete_details, "reason", None)
    return _INCOMPLETE.get(reason, "other")


class Parts:
    """Follows the events of a response's stream; the last of them brings all of it."""

    def __init__(self, hold: Hold, ask: Ask) -> None:
        self._hold, self._ask = hold, ask
        self._response: Any = None
        self.begun = False

    def take(self, event: Any) -> list[News]:
        """Follow an event; returns what the meter is to be told of it.

        Raises:
            ProviderError: It says that the answer failed.
        """
        self.begun = True
        if event.type in ("response.output_text.delta", "response.refusal.delta"):
            return text_news(event.delta)
        if event.type.endswith(".delta"):  # thoughts, their summary, a tool's arguments
            return unseen_news(getattr(event, "delta", None))
        if event.type == "response.output_item.added":
            return unseen_news(getattr(event.item, "name", None))
        if event.type == "error":
            raise ERRORS.failure(f"openai broke the answer off: {event.message}", event.code, billed=True)
        if event.type in ("response.completed", "response.incomplete", "response.failed"):
            self._response = event.response
            return used_news(figures_of(event.response.usage), GIVEN, WRITTEN, self._hold.model)
        return []

    def rest(self) -> list[News]:
        """What the meter is to be told when the stream has ended."""
        return []

    def reply(self, request_id: str) -> ModelReply:
        """The reply, as if it had come in one piece.

        Raises:
            ProviderError: It failed, or the stream ended before the answer did.
        """
        if self._response is None:
            raise ProviderError("openai's stream ended before the answer did", retryable=True, billed=True)
        return reply_of(self._response, self._hold, self._ask, request_id=request_id)
