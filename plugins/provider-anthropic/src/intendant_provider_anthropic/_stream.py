"""An answer while it is written."""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from intendant.plugin import Hold, ModelReply, ProviderError, StreamMeter
from intendant_provider_anthropic._ask import Ask
from intendant_provider_anthropic._usage import figures_of, usage_of
from intendant_provider_anthropic._vendor import ERRORS
from intendant_provider_anthropic._wire import data_of, reply_of

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

News = Callable[[StreamMeter], None]
"""Something to tell the meter."""
_SHOWN = ("text", "tool_use")
"""Blocks of which all that is charged can be seen."""
_WRITTEN = ("text", "thinking")
"""Blocks whose text stands under their type's name."""


async def streamed(
    client: "AsyncAnthropic", sent: dict[str, Any], hold: Hold, ask: Ask, meter: StreamMeter
) -> ModelReply:
    """Send the call and tell *meter* of the answer. What the meter raises goes through as it is.

    Raises:
        ProviderError: It was refused, broke off, or ended before the answer did.
    """
    parts = Parts(hold, ask)
    try:
        stream = await _opened(client, sent)
        async with stream:
            parts.request_id = stream.response.headers.get("request-id", "")
            await _follow(aiter(stream), parts, meter)
            return parts.reply()
    except BaseException:
        if not parts.is_shown:
            meter.hide()
        raise


async def _opened(client: "AsyncAnthropic", sent: dict[str, Any]) -> Any:
    try:
        return await client.messages.create(**sent, stream=True)
    except Exception as error:  # noqa: BLE001  # the SDK lets errors of its HTTP library and of parsing through
        raise ERRORS.of(error) from None


async def _follow(events: AsyncIterator[Any], parts: "Parts", meter: StreamMeter) -> None:
    while True:
        try:
            event = await anext(events, None)
            news = parts.take(event) if event is not None else None
        except Exception as error:  # noqa: BLE001  # the SDK's, its HTTP library's, and those of broken events
            raise ERRORS.of(error, begun=parts.begun) from None
        if news is None:
            return
        for tell in news:
            tell(meter)


class Parts:
    """Puts a message together from the events of its stream."""

    def __init__(self, hold: Hold, ask: Ask) -> None:
        self._hold, self._ask = hold, ask
        self._message: Any = None
        self._figures: dict[str, Any] = {}
        self._pieces: dict[int, list[str]] = {}
        self._thinks = ask.thinks
        self._open = False
        self._counted = False
        self._ended = False
        self.request_id = ""

    @property
    def begun(self) -> bool:
        """True if the answer has begun, which is charged."""
        return self._message is not None

    @property
    def is_shown(self) -> bool:
        """True if all that is charged so far has been seen, but for what stands in no block yet."""
        return self._counted or (self._message is not None and (self._open or not self._thinks))

    def take(self, event: Any) -> list[News]:
        """Add an event; returns what the meter is to be told of it."""
        taking = getattr(self, f"_take_{event.type}", None)
        news: list[News] = taking(event) if taking else []
        return news

    def reply(self) -> ModelReply:
        """The reply, as if it had come in one piece.

        Raises:
            ProviderError: The stream ended before the answer did.
        """
        if not self._ended:
            raise ProviderError("anthropic's stream ended before the answer did", retryable=True, billed=True)
        figures = self._figures if self._counted else {}
        made = reply_of(self._message, self._hold, self._ask, figures=figures)
        return made.model_copy(update={"request_id": self.request_id or made.request_id})

    def _take_message_start(self, event: Any) -> list[News]:
        self._message = event.message
        self._message.content = []
        return self._used(event.message.usage)

    def _take_message_delta(self, event: Any) -> list[News]:
        self._message.stop_reason = event.delta.stop_reason
        news = self._used(event.usage)
        self._counted = "output_tokens" in figures_of(event.usage)
        return news

    def _take_message_stop(self, event: Any) -> list[News]:
        del event
        self._ended = True
        return []

    def _used(self, reported: Any) -> list[News]:
        """Each figure is the whole until now."""
        self._figures |= figures_of(reported)
        try:
            usage = usage_of(self._figures, self._ask.request, self._hold.model)
        except ProviderError:
            return []  # The whole reply will say that this cannot be true.
        return [lambda meter: meter.used(usage)] if usage and usage.input_tokens else []

    def _take_content_block_start(self, event: Any) -> list[News]:
        block = event.content_block
        if event.index != len(self._message.content):
            raise ValueError(f"block {event.index} came where {len(self._message.content)} was expected")
        self._message.content.append(block)
        self._open = block.type in _SHOWN
        begun = getattr(block, block.type, "") if block.type in _WRITTEN else ""
        self._pieces[event.index] = [begun] if begun else []
        if not self._open:
            return [lambda meter: meter.hide()]
        return _text(begun) if block.type == "text" else _unseen(block.name)

    def _take_content_block_delta(self, event: Any) -> list[News]:
        block, delta = self._message.content[event.index], event.delta
        if delta.type == "text_delta":
            return self._add(event.index, delta.text, _text)
        if delta.type == "thinking_delta":
            return self._add(event.index, delta.thinking, _unseen)
        if delta.type == "input_json_delta":
            return self._add(event.index, delta.partial_json, _unseen)
        if delta.type == "signature_delta":
            block.signature = delta.signature
        elif delta.type == "citations_delta":
            block.citations = [*(block.citations or ()), delta.citation]
        return []

    def _add(self, index: int, piece: str, news: Callable[[str], list[News]]) -> list[News]:
        self._pieces[index].append(piece)
        return news(piece)

    def _take_content_block_stop(self, event: Any) -> list[News]:
        block, written = self._message.content[event.index], "".join(self._pieces[event.index])
        self._open = False
        if block.type in _WRITTEN:
            setattr(block, block.type, written)
        elif block.type == "tool_use" and (written or not isinstance(block.input, dict)):
            given = data_of(written)
            block.input = given if isinstance(given, dict) else written
        return []


def _text(piece: str) -> list[News]:
    return [lambda meter: meter.text(piece)] if piece else []


def _unseen(piece: str) -> list[News]:
    return [lambda meter: meter.unseen(piece)] if piece else []
