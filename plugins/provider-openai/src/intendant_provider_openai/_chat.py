"""Requests and replies in the words of the Chat Completions API, which compatible servers speak."""

from collections.abc import Mapping
from typing import Any

from intendant.plugin import Hold, Message, ModelReply, ProviderError, ToolCall
from intendant_provider_openai import _caching
from intendant_provider_openai._ask import Ask
from intendant_provider_openai._errors import failure
from intendant_provider_openai._wire import (
    DETAIL,
    Lane,
    News,
    StopReason,
    arguments_of,
    clean,
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
)

_STOPS: Mapping[str | None, StopReason] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "refusal",
}


def parameters(hold: Hold, ask: Ask) -> dict[str, Any]:
    """The keyword arguments of `chat.completions.create`."""
    request, places = ask.request, _caching.places(ask)
    turns = [_turn(turn, ask, ends=number in places) for number, turn in enumerate(request.messages, 1)]
    if instructions := system(request):
        turns.insert(0, {"role": "system", "content": _content(instructions, ends=0 in places)})
    sent: dict[str, Any] = {"model": hold.model, "messages": turns, **_caching.options(ask)}
    if request.tools:
        sent["tools"] = [{"type": "function", "function": tool.model_dump(mode="json")} for tool in request.tools]
        sent["tool_choice"] = request.tool_choice
    # OpenAI's models that reason refuse the old name, and many compatible servers know no other.
    sent["max_completion_tokens" if ask.own else "max_tokens"] = hold.max_output_tokens
    if ask.own:
        sent["service_tier"] = "default"  # A project may be set to a dearer one.
    if request.temperature is not None:
        sent["temperature"] = request.temperature
    if ask.effort:
        sent["reasoning_effort"] = ask.effort
    if (wanted := shape(request)) is not None:
        sent["response_format"] = {"type": "json_schema", "json_schema": wanted}
    return sent


def _turn(turn: Message, ask: Ask, *, ends: bool) -> dict[str, Any]:
    text = clean(turn.content)
    if turn.role == "tool":
        return {"role": "tool", "tool_call_id": turn.answers, "content": _content(text, ends=ends)}
    if isinstance(turn.raw, dict):
        return turn.raw
    if not turn.images:
        return {"role": turn.role, "content": _content(text, ends=ends)}
    detail = {"detail": DETAIL} if ask.own else {}
    seen: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": url_of(image), **detail}} for image in turn.images
    ]
    if text:
        seen.append({"type": "text", "text": text})
    if ends:
        seen[-1] |= _caching.BREAKPOINT
    return {"role": turn.role, "content": seen}


def _content(text: str, *, ends: bool) -> Any:
    return [{"type": "text", "text": text, **_caching.BREAKPOINT}] if ends else text


def _calls(message: Any) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(id=call.id, name=call.function.name, arguments=arguments_of(call.function.arguments))
        for call in getattr(message, "tool_calls", None) or ()
        if call.type == "function"
    )


def reply_of(
    completion: Any, hold: Hold, ask: Ask, *, lane: Lane = "standard", request_id: str | None = None
) -> ModelReply:
    """The reply.

    Raises:
        ProviderError: This is no completion of the API; it may have been charged.
    """
    choices = getattr(completion, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise ProviderError("openai answered with something else than a completion", billed=True)
    message, reason = choices[0].message, choices[0].finish_reason
    refused = getattr(message, "refusal", None)
    text = message.content or refused or ""
    calls = _calls(message)
    usage = usage_of(figures_of(completion.usage), "prompt", "completion", wrote=bool(text or calls))
    return reply(
        text,
        usage,
        "refusal" if refused else _STOPS.get(reason, "other"),
        hold,
        ask,
        calls,
        raw=dumped(message) if calls else None,
        request_id=request_id or getattr(completion, "_request_id", None) or completion.id or "",
        lane=lane,
    )


class Parts:
    """Puts a completion together from the chunks of its stream."""

    def __init__(self, hold: Hold, ask: Ask) -> None:
        self._hold, self._ask = hold, ask
        self._id = ""
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._tools: dict[int, dict[str, Any]] = {}
        self._figures: dict[str, Any] = {}
        self._reason: str | None = None
        self._done = False
        self.begun = False

    def take(self, chunk: Any) -> list[News]:
        """Add a chunk, None for the word that ends them; returns what the meter is to be told of it.

        Raises:
            ProviderError: It says that the answer failed.
        """
        self.begun = True
        if chunk is None:
            self._done = True
            return []
        if error := chunk.get("error"):
            error = error if isinstance(error, dict) else {"message": error}
            code = error.get("code") or error.get("type")
            raise failure(f"openai broke the answer off: {error.get('message')}", code, billed=True)
        self._id = chunk.get("id") or self._id
        news = [part for choice in chunk.get("choices") or () for part in self._take_choice(choice)]
        if figures := figures_of(chunk.get("usage")):
            self._figures = figures
            news += used_news(usage_of(figures, "prompt", "completion", wrote=False))
        return news

    def _take_choice(self, choice: dict[str, Any]) -> list[News]:
        delta = choice.get("delta") or {}
        self._reason = choice.get("finish_reason") or self._reason
        # Servers of models that show their thoughts call them either.
        news = unseen_news(delta.get("reasoning_content") or delta.get("reasoning"))
        for name, pieces in (("content", self._text), ("refusal", self._refusal)):
            if piece := delta.get(name):
                pieces.append(piece)
                news += text_news(piece)
        for call in delta.get("tool_calls") or ():
            news += self._take_call(call)
        return news

    def _take_call(self, call: dict[str, Any]) -> list[News]:
        """A piece of a call; its id and name come first, and only once."""
        index = call.get("index", len(self._tools))
        made = self._tools.setdefault(index, {"id": "", "type": "function", "function": {}})
        said = call.get("function") or {}
        made["id"] = call.get("id") or made["id"]
        for name in ("name", "arguments"):
            made["function"][name] = made["function"].get(name, "") + (said.get(name) or "")
        return unseen_news(said.get("name")) + unseen_news(said.get("arguments"))

    def reply(self, request_id: str) -> ModelReply:
        """The reply, as if it had come in one piece.

        Raises:
            ProviderError: The stream ended before the answer did.
        """
        if self._reason is None or not (self._done or self._figures):
            raise ProviderError("openai's stream ended before the answer did", retryable=True, billed=True)
        from openai.types.chat import ChatCompletion

        message = {
            "role": "assistant",
            "content": "".join(self._text) or None,
            "refusal": "".join(self._refusal) or None,
            "tool_calls": [self._tools[index] for index in sorted(self._tools)] or None,
        }
        choice = {"index": 0, "finish_reason": self._reason, "message": message}
        whole: dict[str, Any] = {"id": self._id, "choices": [choice], "usage": self._figures or None}
        return reply_of(ChatCompletion.construct(**whole), self._hold, self._ask, request_id=request_id)
