"""An answer while it is written."""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from intendant.plugin import Hold, ModelReply, ProviderError, StreamMeter
from intendant_provider_openai import _chat, _responses
from intendant_provider_openai._ask import Ask
from intendant_provider_openai._vendor import ERRORS

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Parts = _chat.Parts | _responses.Parts


async def streamed_response(
    client: "AsyncOpenAI", sent: dict[str, Any], hold: Hold, ask: Ask, meter: StreamMeter
) -> ModelReply:
    """Send the call to the Responses API and tell *meter* of the answer.

    Raises:
        ProviderError: It was refused, broke off, or ended before the answer did.
    """
    parts = _responses.Parts(hold, ask)
    try:
        stream = await _opened(client.responses.create(**sent, stream=True))
        async with stream:
            await _follow(aiter(stream), parts, ask, meter)
            return parts.reply(stream.response.headers.get("x-request-id", ""))
    except BaseException:
        if not parts.begun:
            meter.hide()
        raise


async def streamed_completion(
    client: "AsyncOpenAI", sent: dict[str, Any], hold: Hold, ask: Ask, meter: StreamMeter
) -> ModelReply:
    """Send the call to the Chat Completions API and tell *meter* of the answer.

    The SDK does not pass on the word `[DONE]`, which says that a stream ended as it should; so its bytes are read.

    Raises:
        ProviderError: It was refused, broke off, or ended before the answer did.
    """
    parts = _chat.Parts(hold, ask)
    options = {"stream_options": {"include_usage": True}} if ask.dialect.stream_usage else {}
    sent = {**sent, "stream": True, **options}
    opening = client.chat.completions.with_streaming_response.create(**sent)
    try:
        response = await _opened(opening.__aenter__())
        try:
            await _follow(_chunks(response.iter_bytes()), parts, ask, meter)
            return parts.reply(response.headers.get("x-request-id", ""))
        finally:
            await opening.__aexit__(None, None, None)
    except BaseException:
        if not parts.begun:
            meter.hide()
        raise


async def _opened(opening: Any) -> Any:
    try:
        return await opening
    except Exception as error:  # noqa: BLE001  # the SDK lets errors of its HTTP library and of parsing through
        raise ERRORS.of(error) from None


async def _follow(events: AsyncIterator[Any], parts: Parts, ask: Ask, meter: StreamMeter) -> None:
    """What the meter raises goes through as it is."""
    if ask.reasons:
        meter.hide()
    while True:
        try:
            event = await anext(events)
            news = parts.take(event)
        except StopAsyncIteration:
            for tell in parts.rest():
                tell(meter)
            return
        except ProviderError:
            raise
        except Exception as error:  # noqa: BLE001  # the SDK's, its HTTP library's, and those of broken events
            raise ERRORS.of(error, begun=True) from None
        for tell in news:
            tell(meter)


async def _chunks(received: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any] | None]:
    """The data of server-sent events; None for `[DONE]`, after which none comes."""
    pieces: list[bytes] = []
    async for line in _lines(received):
        if line.startswith(b"data:"):
            pieces.append(line[5:].removeprefix(b" "))
        elif not line and pieces:
            data, pieces = b"\n".join(pieces), []
            if data.strip() == b"[DONE]":
                yield None
                return
            yield _chunk(data)
    if pieces:  # Some servers save the last empty line; what was cut off is no JSON.
        data = b"\n".join(pieces)
        yield None if data.strip() == b"[DONE]" else _chunk(data)


async def _lines(received: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines. Only these ends count: text may hold what Unicode calls the end of a line."""
    rest = b""
    async for piece in received:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
    if rest:
        yield rest


def _chunk(data: bytes) -> dict[str, Any]:
    chunk = json.loads(data)
    if not isinstance(chunk, dict):
        raise TypeError("a chunk that is no object")
    return chunk
