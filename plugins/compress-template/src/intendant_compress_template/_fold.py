"""Folding lines (the form is that of `_form`)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from intendant_compress_template._form import BODY, Form, is_folded
from intendant_compress_template._grammar import ANY_CELLS, grammar_of
from intendant_compress_template._lines import VALUE, Lines, alarms, alike
from intendant_compress_template._mining import mine
from intendant_compress_template._pads import MARKED, columned, shown
from intendant_compress_template._sections import KEY, sectioned
from intendant_compress_template._shapes import MARK, Mined, Shape, distinct

LEAST_REPEATED = 6
"""Characters of equal lines from which they are counted."""
MOSTLY = 0.35
"""Share of the lines from which their shape has no letter."""


def foldings(text: str) -> list[str]:
    """*text* folded, with and without sections; none if no shape pays, or it is folded already."""
    if is_folded(text) or VALUE in text or KEY in text:
        return []
    lines = text.split("\n")
    grammar = grammar_of(text)
    numbers = alike(lines) if grammar.gap == " " else frozenset(range(len(lines)))
    if not numbers:
        return []
    numbers -= alarms(lines, numbers)
    marked = (columned(lines) if grammar.gap == " " else None) or lines
    sections = sectioned(marked, grammar.gap)
    looked_at = Lines.of(marked, grammar, numbers)
    mined = [mine(looked_at)] if sections is None or grammar.gap == " " else []
    if sections is not None:
        mined.append(mine(looked_at.within(sections)))
    if grammar.gap == ",":
        cells = Lines.of(marked, ANY_CELLS, numbers)
        mined.append(mine(cells if sections is None else cells.within(sections)))
    if marked is not lines:
        mined.append(mine(looked_at, listing=True))
    return [_written(lines, one) for one in mined if one is not None]


def fold(text: str) -> str | None:
    """The shortest of the foldings of *text*, by characters."""
    return min(foldings(text), key=len, default=None)


def _written(lines: Sequence[str], mined: Mined) -> str:
    shapes = list(mined.shapes)
    first = max(shapes, key=lambda shape: len(shape.lines) if shape.values[0] else 0)
    keyed = any(map(_is_keyed, shapes))
    padded = any(MARKED.search(part) for shape in shapes for part in shape.parts)
    form = Form(shapes[0].gap, bool(first.values[0]) and len(first.lines) > MOSTLY * len(lines), keyed, padded)
    if form.plain:
        shapes.remove(first)
        shapes.insert(0, first)
    headings = _Headings.of(mined.keys, shapes[0].gap) if keyed else _Headings("", {})
    legend = [form.head(), *headings.legend()]
    rows: dict[int, _Row] = {}
    labels = _names()
    for number, shape in enumerate(shapes):
        label = "" if form.plain and not number else next(labels)
        legend.append(f"{label}: {_shown(shape.parts, shape.places)}")
        for at, values in zip(shape.lines, shape.values, strict=True):
            rows[at] = _Row(label, shape.gap.join(values) if values else None, _is_keyed(shape))
    writer = _Writer(form, frozenset(row.label for row in rows.values()))
    body: list[str] = []
    key: str | None = None
    for at, times in _runs(lines):
        row = rows.get(at)
        written = None if row is None else writer.row(row, times)
        if row is not None and written is not None and row.keyed and mined.keys[at] != key:
            key = mined.keys[at]
            body.append(f"@ {headings.written.get(key or '', key)}")
        body.append(written if written is not None else writer.as_it_is(lines[at], times))
    return "\n".join([*legend, "", *body])


def _is_keyed(shape: Shape) -> bool:
    return any(KEY in part for part in shape.parts)


def _shown(parts: Sequence[str], places: Sequence[int | None]) -> str:
    """A shape for its reader."""
    written = parts[0]
    for place, part in zip(places, parts[1:], strict=True):
        written += ("{}" if place is None else f"{{{place + 1}}}") + part
    return shown(written.replace(KEY, "{@}"))


@dataclass(frozen=True, slots=True)
class _Headings:
    """What sections begin with, written as what is their own."""

    shape: str
    """What all have in common, for the reader; empty if nothing."""
    written: dict[str, str]

    @classmethod
    def of(cls, keys: Sequence[str | None], gap: str) -> "_Headings":
        different = list(dict.fromkeys(key for key in keys if key is not None))
        words = [key.split(gap) for key in different]
        if len(different) == 1 or len(set(map(len, words))) > 1:
            return cls("", {})
        columns = list(zip(*words, strict=True))
        parts, places, values = distinct(["", *[gap] * (len(columns) - 1), ""], columns)
        shape = _shown(parts, places)
        if shape == "{}" or any(map(MARK.search, parts)):
            return cls("", {})
        rows = zip(*values, strict=True)
        return cls(shape, {key: gap.join(row) for key, row in zip(different, rows, strict=True)})

    def legend(self) -> list[str]:
        return [f"@: {self.shape}"] if self.shape else []


class _Row(NamedTuple):
    label: str
    values: str | None
    """None if its shape has none."""
    keyed: bool


@dataclass(frozen=True, slots=True)
class _Writer:
    form: Form
    labels: frozenset[str]

    def row(self, row: _Row, times: int) -> str | None:
        """A line that fills a shape; None if it would be taken for something else."""
        count = f"*{times}" if times > 1 else ""
        values = row.values
        if row.label:
            return f"{row.label}{count}" if values is None else f"{row.label}{count} {values}"
        if not values or values[0] == " ":
            return None
        if count:
            return f"{count} {values}"
        return None if self._special(values) else values

    def as_it_is(self, line: str, times: int) -> str:
        mark = " " if self.form.plain else ""
        if times > 1:
            return f"*{times} {mark}{line}"
        return f" {line}" if mark or line.startswith(" ") or self._special(line) else line

    def _special(self, line: str) -> bool:
        """True if *line* would be taken for a heading, or for a row with a letter or a number of times."""
        if self.form.keyed and line.startswith("@ "):
            return True
        found = BODY.fullmatch(line)
        return found is not None and bool((found[1] and found[1] in self.labels) or (found[2] and not found[1]))


def _names() -> Iterator[str]:
    """A, B … Z, AA, AB …"""
    letters = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
    yield from letters
    yield from (one + other for one in letters for other in letters)


def _runs(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The number of each line, and how many equal ones follow each other, where saying so is shorter."""
    at = 0
    for line, group in groupby(lines):
        times = sum(1 for _ in group)
        if (times - 1) * len(line) < LEAST_REPEATED:
            yield from ((number, 1) for number in range(at, at + times))
        else:
            yield at, times
        at += times
