"""Requests and replies in the words of the Chat Completions API, which compatible servers speak."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from intendant.plugin import (
    Hold,
    Message,
    ModelReply,
    ProviderError,
    ThoughtSplitter,
    ToolCall,
    error_in,
    sendable,
)
from intendant_provider_openai import _caching
from intendant_provider_openai._ask import Ask
from intendant_provider_openai._compat import FAILED, THOUGHTS, stop_of, text_in
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
    from openai.types.chat import ChatCompletion


GIVEN, WRITTEN = "prompt", "completion"


def endpoint() -> tuple[str, type["ChatCompletion"]]:
    """The path below the base URL, and what the SDK makes of an answer."""
    from openai.types.chat import ChatCompletion

    return "/chat/completions", ChatCompletion


def parameters(hold: Hold, ask: Ask) -> dict[str, Any]:
    """The body of a request, which is also the keyword arguments of `chat.completions.create`.

    Raises:
        ProviderError: The model's thinking cannot be bounded.
    """
    request, dialect = ask.request, ask.dialect
    sent: dict[str, Any] = {"model": hold.model, "messages": turns(ask), **_caching.options(ask)}
    if request.tools and (dialect.tool_choice or request.tool_choice != "none"):
        sent["tools"] = [{"type": "function", "function": tool.model_dump(mode="json")} for tool in request.tools]
        if dialect.tool_choice:
            sent["tool_choice"] = request.tool_choice
    sent[dialect.max_tokens] = ask.output(hold.max_output_tokens)
    if ask.own:
        sent["service_tier"] = "default"  # A project may be set to a dearer one.
    if request.temperature is not None and dialect.temperature:
        sent["temperature"] = request.temperature
    if ask.said_effort and dialect.effort:
        sent["reasoning_effort"] = ask.said_effort
    if (wanted := shape(ask)) is not None:
        sent["response_format"] = {"type": "json_schema", "json_schema": wanted}
    elif request.json_schema is not None and dialect.schema == "json_object":
        sent["response_format"] = {"type": "json_object"}
    return sent


def turns(ask: Ask) -> list[dict[str, Any]]:
    """The messages, the system text first."""
    places = _caching.places(ask)
    made = [_turn(turn, ask, ends=number in places) for number, turn in enumerate(ask.request.messages, 1)]
    instructions = system(ask)
    if not instructions:
        return made
    if ask.dialect.system_role:
        return [{"role": "system", "content": _content(instructions, ends=0 in places)}, *made]
    first = next((turn for turn in made if turn["role"] == "user" and isinstance(turn["content"], str)), None)
    if first is None:
        return [{"role": "user", "content": instructions}, *made]
    first["content"] = f"{instructions}\n\n{first['content']}"
    return made


def _turn(turn: Message, ask: Ask, *, ends: bool) -> dict[str, Any]:
    text = sendable(turn.content)
    if turn.role == "tool":
        return {"role": "tool", "tool_call_id": turn.answers, "content": _content(text, ends=ends)}
    if isinstance(turn.raw, dict):
        return {"content": None, **turn.raw}  # some servers insist on it
    if turn.calls:
        made = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": written_arguments(call)},
            }
            for call in turn.calls
        ]
        return {"role": turn.role, "content": text or None, "tool_calls": made}
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


# --- replies ---


def _calls(message: Any) -> tuple[ToolCall, ...]:
    found = []
    for number, call in enumerate(getattr(message, "tool_calls", None) or ()):
        if getattr(call, "type", None) in ("function", None):
            made, said = call.function, f"call_{number}"
            found.append(call_of(call.id or said, made.name, made.arguments))
    return tuple(found)


def reply_of(
    completion: Any,
    hold: Hold,
    ask: Ask,
    *,
    lane: Lane = "standard",
    request_id: str | None = None,
    batch: str = "",
) -> ModelReply:
    """The reply.

    Raises:
        ProviderError: This is no completion of the API, or an error that came with status 200.
    """
    choices = getattr(completion, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise _no_choice(completion)
    choice = choices[0]
    _check_finished(choice, completion)
    message = choice.message
    refused = getattr(message, "refusal", None)
    text, thoughts = text_in(message.content)
    shown = (getattr(message, name, None) for name in THOUGHTS)
    reasoning = next((said for said in shown if isinstance(said, str) and said), thoughts)
    calls = _calls(message)
    stop = "refusal" if refused else stop_of(choice.finish_reason)
    if calls and stop not in ("length", "refusal"):  # of calls that were cut, nothing may be done
        stop = "tool"
    return reply(
        text or refused or "",
        usage_of(figures_of(completion.usage), GIVEN, WRITTEN, hold.model),
        stop,
        hold,
        ask,
        calls,
        reasoning=reasoning,
        raw=dumped(message) if calls else None,
        request_id=request_id or getattr(completion, "_request_id", None) or completion.id or "",
        response_id=completion.id or "",
        answered_by=_name(completion),
        batch_id=batch,
        lane=lane,
    )


def _name(completion: Any) -> str:
    name = getattr(completion, "model", None)
    return name if isinstance(name, str) else ""


def _no_choice(completion: Any) -> ProviderError:
    """The error for a reply without an answer: what it says of itself, if anything."""
    said = error_in(figures_of(completion))
    if said is None:
        return ProviderError("openai answered with something else than a completion", billed=True)
    return ERRORS.failure(f"openai answered with an error: {said[0]}", said[1])


def _check_finished(choice: Any, completion: Any) -> None:
    """Pass if the answer was finished, or cut.

    Raises:
        ProviderError: It was given up by the server; what was written of it may be charged.
    """
    error = getattr(choice, "error", None)
    if not error and str(choice.finish_reason).lower() not in FAILED:
        return
    message, code = error_in({"error": error}) or error_in(figures_of(completion)) or (choice.finish_reason, None)
    raise ERRORS.failure(f"openai could not finish the answer: {message}", code, billed=True)


class Parts:
    """Puts a completion together from the chunks of its stream."""

    def __init__(self, hold: Hold, ask: Ask) -> None:
        self._hold, self._ask = hold, ask
        self._head: dict[str, Any] = {}
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._thoughts: list[str] = []
        self._splitter = ThoughtSplitter()
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
        begun, self.begun = self.begun, True
        if chunk is None:
            self._done = True
            return []
        if (error := error_in(chunk)) is not None:
            wrote = bool(self._text or self._thoughts or self._tools)
            message = (
                f"openai broke the answer off: {error[0]}"
                if begun
                else f"openai answered with an error: {error[0]}"
            )
            raise ERRORS.failure(message, error[1], billed=True if begun or wrote else None)
        self._head |= {name: chunk[name] for name in ("id", "model") if chunk.get(name)}
        choices = chunk.get("choices") or ()
        news = [part for choice in choices for part in self._take_choice(choice)]
        places = (chunk, *choices, chunk.get("x_groq") or {})
        if figures := next((found for place in places if (found := figures_of(place.get("usage")))), None):
            self._figures = figures
            news += used_news(figures, GIVEN, WRITTEN, self._hold.model)
        return news

    def _take_choice(self, choice: dict[str, Any]) -> list[News]:
        delta = choice.get("delta") or {}
        self._reason = choice.get("finish_reason") or self._reason
        if str(self._reason).lower() in FAILED:
            raise ERRORS.failure(f"openai broke the answer off: {self._reason}", None, billed=True)
        text, thoughts = text_in(delta.get("content"))
        thoughts = next((said for name in THOUGHTS if isinstance(said := delta.get(name), str) and said), thoughts)
        news = self._think(thoughts)
        if text:
            news += self._write(text)
        if piece := delta.get("refusal"):
            self._refusal.append(piece)
            news += text_news(piece)
        for call in delta.get("tool_calls") or ():
            news += self._take_call(call)
        return news

    def _think(self, piece: str) -> list[News]:
        if piece:
            self._thoughts.append(piece)
        return unseen_news(piece)

    def _write(self, piece: str) -> list[News]:
        """A piece of the text, of which reasoning is not shown."""
        self._text.append(piece)
        shown, hidden = self._splitter.feed(piece)
        return text_news(shown) + unseen_news(hidden)

    def _take_call(self, call: dict[str, Any]) -> list[News]:
        """A piece of a call; its id and name come first, and only once."""
        index = call.get("index", len(self._tools))
        made = self._tools.setdefault(index, {"id": "", "type": "function", "function": {}})
        said = call.get("function") or {}
        made["id"] = call.get("id") or made["id"]
        for name in ("name", "arguments"):
            if isinstance(piece := said.get(name), Mapping):
                made["function"][name] = piece
            else:
                made["function"][name] = made["function"].get(name, "") + (piece or "")
        return unseen_news(said.get("name")) + unseen_news(said.get("arguments"))

    def rest(self) -> list[News]:
        """What the meter is to be told when the stream has ended."""
        shown, hidden = self._splitter.rest()
        return text_news(shown) + unseen_news(hidden)

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
            "reasoning_content": "".join(self._thoughts) or None,
            "tool_calls": [self._tools[index] for index in sorted(self._tools)] or None,
        }
        choice = {"index": 0, "finish_reason": self._reason, "message": message}
        whole: dict[str, Any] = {**self._head, "choices": [choice], "usage": self._figures or None}
        completion = ChatCompletion.construct(**{"id": "", **whole})
        return reply_of(completion, self._hold, self._ask, request_id=request_id)
