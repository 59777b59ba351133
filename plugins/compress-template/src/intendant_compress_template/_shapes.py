"""Shapes of lines: what lines have in common, mined in time linear in the length of the text.

Words that hold a digit are masked, and lines that are equal but for these are one shape, as in the first stage of
Drain (He et al., 2017, "Drain: An Online Log Parsing Approach with Fixed Depth Tree"). Lines that are left are
grouped by their first words: the beginning is said once, and the rest of the line stands whole as its last value.
Shapes that differ in words without digits are not merged: tried on real logs, that saved nothing and scattered
messages.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 3
"""Lines that a shape needs."""
LEAST_GAIN = 12
"""Characters that a shape has to save, after what its legend and its labels take."""
LABEL = 5
"""Characters of a shape's label and of the line's end in the legend."""
MOST_SHAPES = 400
LEAST_ROWS = 8
TABULAR = 0.8
"""Share of the lines with the same number of commas from which text is a table."""
MOST_WORDS = 200
"""Words of a line above which it is taken as it is."""
HEADS = (8, 7, 6, 5, 4, 3, 2)
"""Numbers of first words by which lines are grouped that are alike in nothing else."""
VALUE = "\0"
"""Stands for a word with digits."""
_DIGITS = re.compile(
    r"(?:(?<!\S)[^\s\[\]]{1,40}+\[\d++\])|(?<!\w)(?<!\w[.:/-])(?:[^\W\d]++[.:/-])*+[^\W\d]*+\d\w*+(?:[.:/-]\w++)*+"
)
"""A word that holds a digit, with what is joined to it: dates, times, addresses, paths, numbers, ids."""


_ALARM = re.compile(
    r"(?i)\b(?:errors?|fail(?:ed|ures?)?|fatal|panic|exception|critical|denied|refused|traceback"
    r"|\d+ (?:files? changed|passed|skipped|warnings?|packages?)|total|summary)\b"
)
"""Words of errors, and of lines that sum up."""
RARE = 0.05
"""Share of the lines up to which those that tell of an error are left as they are, whole."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """What lines are made of."""

    value: re.Pattern[str]
    """What is masked."""
    gap: str
    """Between words, and between values."""


WORDS = Grammar(_DIGITS, " ")
CELLS = Grammar(re.compile(r"(?:(?<=,)|^)[^,\n\"\d]*+\d[^,\n\"]*+(?=,|$)", re.MULTILINE), ",")
"""Rows of a table: a cell is never cut."""


_ROWS = re.compile(r"^\d+ rows$", re.MULTILINE)
"""Begins the rows that `structural` writes."""
ROWS_WITHIN = 20_000
"""Characters within which that line is looked for."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What some lines have in common."""

    parts: tuple[str, ...]
    """Fixed text; the values stand between."""
    lines: tuple[int, ...]
    values: tuple[tuple[str, ...], ...]
    """For each of the lines. Only the last of a line may hold `gap`."""
    gap: str


def grammar_of(text: str) -> Grammar:
    """`CELLS` if most lines have the same number of commas, else `WORDS`."""
    if _ROWS.search(text[:ROWS_WITHIN]):
        return CELLS
    if text.count(",") < LEAST_ROWS:
        return WORDS
    commas = Counter(line.count(",") for line in text.split("\n") if line)
    number, lines = commas.most_common(1)[0]
    return CELLS if number and lines >= max(LEAST_ROWS, TABULAR * commas.total()) else WORDS


def mine(text: str) -> list[Shape]:
    """Shapes that pay, each line of *text* in at most one of them, in the order of their first lines."""
    if VALUE in text:
        return []
    grammar = grammar_of(text)
    lines = text.split("\n")
    masks = grammar.value.sub(VALUE, text).split("\n")
    alarms = _alarms(lines)
    equal: dict[str, list[int]] = defaultdict(list)
    for number, mask in enumerate(masks):
        if mask and number not in alarms and not mask.startswith("[lines "):
            equal[mask].append(number)
    shapes: list[Shape] = []
    left: list[int] = []
    for mask, members in equal.items():
        shape = _shape(grammar, mask, members, [lines[at] for at in members]) if len(members) >= LEAST else None
        if shape is None:
            left += members
        else:
            shapes.append(shape)
    shapes += _headed(grammar, sorted(left), lines, masks)
    chosen = sorted(shapes, key=_gain, reverse=True)[:MOST_SHAPES]
    return sorted(chosen, key=lambda shape: shape.lines[0])


def _alarms(lines: Sequence[str]) -> frozenset[int]:
    """Lines that tell of an error where few do: these are read first, and searched for word by word."""
    found = [number for number, line in enumerate(lines) if _ALARM.search(line)]
    return frozenset(found if len(found) <= RARE * len(lines) else ())


def _shape(grammar: Grammar, mask: str, members: Sequence[int], lines: Sequence[str]) -> Shape | None:
    """The shape of *lines*, which are all *mask* but for their values; None if it does not pay."""
    fixed = mask.split(VALUE)
    size = len(fixed) - 1
    found = grammar.value.findall("\n".join(lines)) if size else []
    parts, columns = [fixed[0]], []
    for index, part in enumerate(fixed[1:]):
        column = found[index::size]
        if column.count(column[0]) == len(column):
            parts[-1] += column[0] + part
        else:
            columns.append(column)
            parts.append(part)
    values = tuple(zip(*columns, strict=True)) if columns else ((),) * len(lines)
    shape = Shape(tuple(parts), tuple(members), values, grammar.gap)
    return shape if _gain(shape) >= LEAST_GAIN and not any("{}" in part for part in parts) else None


def _headed(grammar: Grammar, left: Sequence[int], lines: Sequence[str], masks: Sequence[str]) -> list[Shape]:
    """Shapes of lines that share their first words only."""
    shapes = []
    words = {number: masks[number].split(grammar.gap, HEADS[0]) for number in left}
    rest = [number for number in left if masks[number].count(grammar.gap) < MOST_WORDS]
    for size in HEADS:
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number in rest:
            if len(words[number]) > size:
                groups[tuple(words[number][:size])].append(number)
        taken: set[int] = set()
        for head, members in groups.items():
            shape = _head_shape(grammar, head, members, lines) if len(members) >= LEAST else None
            if shape is not None:
                shapes.append(shape)
                taken.update(members)
        rest = [number for number in rest if number not in taken]
    return shapes


def _head_shape(
    grammar: Grammar, head: tuple[str, ...], members: Sequence[int], lines: Sequence[str]
) -> Shape | None:
    size = len(head)
    gap = grammar.gap
    cut = [lines[number].split(gap, size) for number in members]
    shape = _shape(grammar, gap.join(head), members, [gap.join(words[:size]) for words in cut])
    if shape is None:
        return None
    parts = (*shape.parts[:-1], shape.parts[-1] + gap, "")
    values = tuple((*row, words[size]) for row, words in zip(shape.values, cut, strict=True))
    return Shape(parts, shape.lines, values, gap)


def _gain(shape: Shape) -> int:
    """Characters saved, about."""
    fixed = sum(map(len, shape.parts))
    return (len(shape.lines) - 1) * fixed - len(shape.lines) * (len(shape.parts) + 2) - LABEL
