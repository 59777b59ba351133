"""Keeps the sentences, lines or records that answer what the step asks, or carry facts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from intendant import Compression, Compressor, CompressRequest, Options, text_units
from intendant_compress_semantic._records import records_in
from intendant_compress_semantic._scores import salience, scores

__all__ = ["SemanticCompressor", "SemanticSettings"]

TRIES = 8
LEAST = 0.9
"""Each further try aims this much lower, as tokens of parts do not quite add up."""


class SemanticSettings(Options):
    """Settings of the compressor `semantic`."""

    mark: bool = True
    """Say in the text how much was left out. JSON stays JSON and gets no mark."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """Content in units, and how it is written with some of them."""

    units: Sequence[str]
    what: str
    written: Callable[[list[int]], str]


class SemanticCompressor(Compressor):
    """Selects units by nearness to the step's question and by salience, and keeps them in their order.

    Nothing is rewritten: what is kept stands as it stood.
    """

    name = "semantic"
    Settings = SemanticSettings

    def shrink(self, request: CompressRequest) -> Compression | None:
        """The best units that fit the target; None if all fit, or none does."""
        if request.tokens <= request.target_tokens:
            return None
        parts = self._parts(request)
        worth = scores(parts.units, request.query, neighbours=parts.what not in ("rows", "records"))
        sizes = [request.count(unit) + 1 for unit in parts.units]
        order = sorted(range(len(worth)), key=lambda index: (-worth[index] / sizes[index] ** 0.5, index))
        room = request.target_tokens - request.count(parts.written([]))
        for _ in range(TRIES):
            kept = _fitting(order, sizes, worth, room)
            if not kept:
                return None
            text = parts.written(kept)
            tokens = request.count(text)
            if tokens <= request.target_tokens:
                return self._answer(request, parts, kept, text, tokens)
            room = int(room * LEAST)
        return None

    def _parts(self, request: CompressRequest) -> _Parts:
        records = records_in(request.text)
        if records is not None:
            return _Parts(records.items, "records", records.written)
        content = text_units(request.text, request.kind)
        total = len(content.units)
        settings: SemanticSettings = self.settings

        def written(kept: list[int]) -> str:
            body = "".join(_spaced(content.units, kept))
            if not settings.mark or len(kept) == total:
                return content.head + body
            line_end = "" if body.endswith("\n") or not body else "\n"
            return f"{content.head}{body}{line_end}[{total - len(kept)} of {total} {content.what} left out]"

        return _Parts(content.units, content.what, written)

    def _answer(
        self, request: CompressRequest, parts: _Parts, kept: list[int], text: str, tokens: int
    ) -> Compression:
        whole = sum(map(salience, parts.units))
        left = sum(salience(parts.units[index]) for index in kept)
        return Compression(
            text=text,
            tokens_before=request.tokens,
            tokens_after=tokens,
            strategy=self.name,
            lossless=False,
            quality=left / whole if whole else len(kept) / len(parts.units),
            dropped=(f"{len(parts.units) - len(kept)} of {len(parts.units)} {parts.what}",),
        )


def _fitting(order: Sequence[int], sizes: Sequence[int], worth: Sequence[float], room: int) -> list[int]:
    """The best units that fit *room*, in their own order."""
    kept = []
    for index in order:
        if worth[index] > 0 and sizes[index] <= room:
            kept.append(index)
            room -= sizes[index]
    return sorted(kept)


def _spaced(units: Sequence[str], kept: Sequence[int]) -> list[str]:
    """The kept units, with a space where two would run into each other."""
    found: list[str] = []
    for index in kept:
        if found and not found[-1][-1:].isspace() and index > 0 and units[index - 1] != found[-1]:
            found.append(" ")
        found.append(units[index])
    return found
