"""Cuts content to size at the ends of its units; the last resort."""

import re
from collections.abc import Sequence
from typing import Any, Literal

from intendant.plugin import Compression, Compressor, CompressRequest, Options, TextUnits, text_units
from intendant_compress_truncate._json import Cutter, parse, shortened, written

__all__ = ["TruncateCompressor", "TruncateSettings"]

TRIES = 8
LEAST = 0.9
"""Each further try aims this much lower, as tokens of parts do not quite add up."""
GAP_TOKENS = 2
"""What a mark between units takes at most."""
PINS = {"head": 0, "summary": 1, "error": 1, "change": 1, "heading": 2, "hunk": 2}
"""The order in which parts are kept, after what holds a word of the question; all others come last."""
PROTECTED, ASKED, SHAPE, REST, LAST = -1, 1, 3, 4, 5
_WORD = re.compile(r"\w{4,}|\d+")
_VARYING = re.compile(r"\S*\d\S*")


class TruncateSettings(Options):
    """Settings of the compressor `truncate`."""

    keep: Literal["head", "ends"] = "ends"
    """Of what is like the rest: the beginning alone, or the beginning and the end in turn."""


class TruncateCompressor(Compressor):
    """Keeps as much as fits: whole records, lines or sentences, and says what it leaves out.

    First comes what must not go: the head of a table, what the question names, errors, sums, changed lines,
    headings and signatures, then one line of each shape; then the beginning, and the end. JSON stays JSON, and
    what stood in a fence of code stands in one.
    """

    name = "truncate"
    Settings = TruncateSettings

    def compress(self, request: CompressRequest) -> Compression | None:
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
        total = len(content)
        lines = content.what != "sentences"
        room = limit - request.count(f"[{total} of {total} {content.what} left out]\n") - GAP_TOKENS
        kept = _fitting(content, _order(content, request, ends=settings.keep == "ends"), room, request)
        if not kept:
            text = shortened(request.text, limit, request.count)
            return text, [f"all but the first {len(text)} of {len(request.text)} characters"]
        said = f"{total - len(kept)} of {total} {content.what}"
        body = content.written(kept, gap="…\n" if lines else "… ").rstrip(" ")
        line_end = "" if body.endswith("\n") else "\n"
        return f"{body}{line_end}[{said} left out]", [said]


def _order(content: TextUnits, request: CompressRequest, *, ends: bool) -> list[int]:
    """The units in the order in which they are kept."""
    asked = {word.casefold() for word in _WORD.findall(request.query)}
    protected = [re.compile(expression) for expression in request.protect]
    shapes: set[str] = set()
    ranks: list[tuple[int, int]] = []
    for index, unit in enumerate(content.units):
        rank = PINS.get(unit.role, LAST if unit.role in ("boiler", "quoted", "context") else REST)
        shape = _VARYING.sub("0", unit.text.strip())
        if any(expression.search(unit.text) for expression in protected):
            rank = PROTECTED
        elif asked and not asked.isdisjoint(word.casefold() for word in _WORD.findall(unit.text)):
            rank = min(rank, ASKED)
        elif rank == REST and shape not in shapes:
            rank = SHAPE if content.what != "sentences" else REST
        shapes.add(shape)
        from_end = len(content.units) - 1 - index
        ranks.append((rank, min(index, 2 * from_end) if ends else index))
    return sorted(range(len(ranks)), key=lambda index: (ranks[index], index))


def _fitting(content: TextUnits, order: Sequence[int], room: int, request: CompressRequest) -> list[int]:
    """The first units of *order* that fit, with what they stand under and a mark at each gap."""
    sizes: dict[int, int] = {}
    kept: set[int] = set()
    for index in order:
        needed = [one for one in content.closed([index]) if one not in kept]
        for one in needed:
            sizes.setdefault(one, request.count(content.units[one].text))
        beside = index - 1 in kept or index + 1 in kept
        size = sum(sizes[one] for one in needed) + (0 if beside else GAP_TOKENS)
        if size <= room:
            kept.update(needed)
            room -= size
    return sorted(kept)


def _cut_json(value: Any, limit: int, request: CompressRequest) -> tuple[str, list[str]]:
    cutter = Cutter(request.count)
    text = written(cutter.cut(value, limit))
    return text, [f"{number} {what}" for what, number in cutter.dropped.items() if number]
