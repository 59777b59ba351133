"""Cuts content to size at the ends of its units; the last resort."""

from collections.abc import Sequence
from typing import Any, Literal

from intendant import Compression, Compressor, CompressRequest, Options, text_units
from intendant_compress_truncate._json import Cutter, parse, shortened, written

__all__ = ["TruncateCompressor", "TruncateSettings"]

TRIES = 8
LEAST = 0.85
"""Each further try aims this much lower, as tokens of parts do not quite add up."""
TAIL = 1 / 3
"""The part of the room that the end gets, with `keep: ends`."""


class TruncateSettings(Options):
    """Settings of the compressor `truncate`."""

    keep: Literal["head", "ends"] = "ends"
    """Of text: the beginning alone, or the beginning and the end."""


class TruncateCompressor(Compressor):
    """Keeps as much as fits: whole records, lines or sentences, and says what it leaves out.

    JSON stays JSON. Of text the beginning and the end are kept, and a mark between them says how much is missing.
    """

    name = "truncate"
    Settings = TruncateSettings

    def shrink(self, request: CompressRequest) -> Compression | None:
        """The content cut to the target, or None if it fits, or nothing of it does."""
        if request.tokens <= request.target_tokens or request.target_tokens < 1:
            return None
        value = parse(request.text)
        limit = float(request.target_tokens)
        for _ in range(TRIES):
            text, dropped = (
                _cut_json(value, int(limit), request) if value is not None else self._cut(request, int(limit))
            )
            tokens = request.count(text)
            if text and tokens <= request.target_tokens:
                return self._answer(request, text, tokens, dropped)
            limit *= LEAST
        return None

    def _answer(self, request: CompressRequest, text: str, tokens: int, dropped: Sequence[str]) -> Compression:
        return Compression(
            text=text,
            tokens_before=request.tokens,
            tokens_after=tokens,
            strategy=self.name,
            lossless=False,
            quality=min(1.0, tokens / request.tokens),
            dropped=tuple(dropped),
        )

    def _cut(self, request: CompressRequest, limit: int) -> tuple[str, list[str]]:
        settings: TruncateSettings = self.settings
        content = text_units(request.text, request.kind)
        total = len(content.units)
        mark = f"[{total} of {total} {content.what} left out here]\n"
        room = limit - request.count(content.head) - request.count(mark) - 1
        share = TAIL if settings.keep == "ends" else 0.0
        head = _fitting(content.units, int(room * (1 - share)), request)
        tail = _fitting(
            content.units[: len(head) - 1 if head else None : -1], room - int(room * (1 - share)), request
        )
        missing = total - len(head) - len(tail)
        if not head:
            text = shortened(request.text, limit, request.count)
            return text, [f"all but the first {len(text)} of {len(request.text)} characters"]
        said = f"{missing} of {total} {content.what}"
        before = "".join(head)
        line_end = "" if before.endswith("\n") else " "
        gap = f"{line_end}[{said} left out here]" + (
            "\n" if content.what != "sentences" and tail else " " if tail else ""
        )
        return f"{content.head}{before}{gap}{''.join(reversed(tail))}", [said]


def _fitting(units: Sequence[str], room: int, request: CompressRequest) -> list[str]:
    """The first of *units* that fit."""
    kept: list[str] = []
    for unit in units:
        room -= request.count(unit)
        if room < 0:
            break
        kept.append(unit)
    return kept


def _cut_json(value: Any, limit: int, request: CompressRequest) -> tuple[str, list[str]]:
    cutter = Cutter(request.count)
    text = written(cutter.cut(value, limit))
    return text, [f"{number} {what}" for what, number in cutter.dropped.items() if number]
