"""Content as units that are kept or left out whole: lines, sentences, pieces of long ones."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

LONG = 600
"""Characters above which a unit is cut into pieces at spaces."""
LINE = 200
"""Mean characters a line above which the units are sentences."""
_ENDS = re.compile(r"[.!?…][\"')\]]*\s+|[。！？]|\n+")  # noqa: RUF001  # as in Chinese
_ABBREVIATED = re.compile(r"(?:\b[A-Z]|\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|vs|etc|e\.g|i\.e|approx|Fig))\.\s+$")
_ROWS = re.compile(r"(\d+) rows")


@dataclass(frozen=True, slots=True)
class TextUnits:
    """Text in units; joined they are the text again."""

    head: str
    """What explains the rest, such as a table's header; always kept."""
    units: list[str]
    what: str
    """`lines`, `rows` or `sentences`."""


def text_units(text: str, kind: str) -> TextUnits:
    """*text* in units. The head of a table, of rows and of folded lines is told by its form."""
    lines = text.splitlines(keepends=True)
    if (size := _head_size(lines, kind)) > 0:
        return TextUnits("".join(lines[:size]), lines[size:], "rows" if kind != "log" else "lines")
    if kind != "prose" and len(lines) > 1 and len(text) <= LINE * len(lines):
        return TextUnits("", [piece for line in lines for piece in _pieces(line)], "lines")
    return TextUnits("", [piece for sentence in _sentences(text) for piece in _pieces(sentence)], "sentences")


def _head_size(lines: list[str], kind: str) -> int:
    """How many lines at the beginning explain the others."""
    for index, line in enumerate(lines[:2]):
        if _ROWS.fullmatch(line.strip()):
            constant = index + 1 < len(lines) and lines[index + 1].startswith("all: ")
            return min(len(lines), index + 2 + constant)
    if lines and lines[0].startswith("(folded lines:"):
        return next((index + 1 for index, line in enumerate(lines) if not line.strip()), len(lines))
    return 1 if kind == "table" and len(lines) > 1 else 0


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in _ENDS.finditer(text):
        if _ABBREVIATED.search(text, max(start, end.start() - 8), end.end()):
            continue
        yield text[start : end.end()]
        start = end.end()
    if start < len(text):
        yield text[start:]


def _pieces(unit: str) -> Iterator[str]:
    start = 0
    while len(unit) - start > LONG:
        cut = unit.rfind(" ", start, start + LONG) + 1
        cut = cut if cut > start else start + LONG
        yield unit[start:cut]
        start = cut
    if start < len(unit):
        yield unit[start:]
