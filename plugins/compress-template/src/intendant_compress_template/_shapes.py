"""Shapes of lines: what lines have in common, mined in time linear in the length of the text.

A line is cut at spaces into words. Words that hold a digit are masked, lines of equal masked words are one group, and
groups that differ in few words are merged, as Drain does (He et al., 2017, "Drain: An Online Log Parsing Approach
with Fixed Depth Tree"), with at most `MOST_COMPARED` comparisons a group. What is left is grouped by its first
words, so that the beginning is said once and the rest of the line stands as its last value.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import eq
from os.path import commonprefix

LEAST = 3
"""Lines that a shape needs."""
LEAST_GAIN = 12
"""Characters that a shape has to save, after what its legend and its labels take."""
MOST_SHAPES = 400
MOST_COMPARED = 12
ALIKE = 0.5
"""Share of equal words from which two groups may be merged."""
LEAST_ALIKE = 2
TOKEN = 6
"""Letters of a token, about."""
LABEL = 2
"""Tokens of a shape's label."""
VALUE = "\0"
"""Stands for a word with digits."""
WORD = "\1"
"""Stands for words that differ."""
MOST_WORDS = 200
"""Words of a line above which it is taken as it is."""
HEADERS = (8, 7, 6, 5, 4, 3, 2)
"""Numbers of first words by which lines are grouped that are alike in nothing else."""
_DIGITS = re.compile(
    r"(?<!\w)(?<!\w[.:/-])(?:[^\W\d]++[.:/-])*+[^\W\d]*+\d\w*+(?:[.:/-]\w++)*+"
)
"""A word that holds a digit, with what is joined to it: dates, times, addresses, paths, numbers, ids."""
_EDGE = re.compile(r"[=\[\]()\"'<>,;|{}]")
"""Where a word may be cut: between a key and its value, and at brackets; never inside paths, names and numbers."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What some lines have in common."""

    parts: tuple[str, ...]
    """Fixed text; the values stand between."""
    lines: tuple[int, ...]
    values: tuple[tuple[str, ...], ...]
    """For each of the lines."""


@dataclass(slots=True)
class _Group:
    words: tuple[str, ...]
    """Masked."""
    members: list[int]
    weight: int


def mine(text: str) -> list[Shape]:
    """Shapes of the lines of *text* that pay, each line in at most one of them, in the order of their first lines."""
    lines = text.split("\n")
    masks = [mask.split(" ", MOST_WORDS) for mask in _DIGITS.sub(VALUE, text).split("\n")]
    equal: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, words in enumerate(masks):
        if lines[number] and len(words) <= MOST_WORDS:
            equal[tuple(words)].append(number)
    shapes: list[Shape] = []
    left: list[int] = []
    for group in _merged(equal):
        shape = _shape(group, [lines[number] for number in group.members])
        if shape is None:
            left += group.members
        else:
            shapes.append(shape)
    shapes += _headed(sorted(left), lines, masks)
    chosen = sorted(shapes, key=_gain, reverse=True)[:MOST_SHAPES]
    return sorted(chosen, key=lambda shape: shape.lines[0])


def _merged(equal: dict[tuple[str, ...], list[int]]) -> list[_Group]:
    """Groups of equal masked lines, merged where that saves more."""
    by_size: dict[int, list[_Group]] = defaultdict(list)
    for words, members in equal.items():
        bucket = by_size[len(words)]
        group = _Group(words, list(members), _weight(words))
        best = max((_join(group, other) for other in bucket[-MOST_COMPARED:]), default=None, key=lambda pair: pair[0])
        if best is None or best[0] <= 0:
            bucket.append(group)
            continue
        other = best[1]
        other.words = _common(words, other.words)
        other.weight = _weight(other.words)
        other.members += members
    return [group for bucket in by_size.values() for group in bucket]


def _common(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    return tuple(a if a == b else WORD for a, b in zip(one, other, strict=True))


def _join(one: _Group, other: _Group) -> tuple[float, _Group]:
    """What merging two groups saves more than leaving them."""
    alike = sum(map(eq, one.words, other.words))
    if alike < ALIKE * len(one.words) or alike < LEAST_ALIKE:
        return 0.0, other
    weight = _weight(_common(one.words, other.words))
    merged = _worth(weight, len(one.members) + len(other.members))
    return merged - _worth(one.weight, len(one.members)) - _worth(other.weight, len(other.members)), other


def _worth(weight: int, members: int) -> int:
    """What a shape saves: its fixed text for all lines but the first, less a label for each."""
    return max(0, weight * (members - 1) - members - LABEL) if members > 1 else 0


def _weight(words: Sequence[str]) -> int:
    """The tokens of the fixed text, about."""
    return sum(1 + len(word) // TOKEN for word in words if word not in (VALUE, WORD))


def _shape(group: _Group, lines: Sequence[str]) -> Shape | None:
    """The shape of a group's *lines*; None if it does not pay."""
    if len(lines) < LEAST:
        return None
    order = sorted(range(len(lines)), key=group.members.__getitem__)
    columns = zip(*(lines[index].split(" ") for index in order), strict=True)
    parts = [""]
    values: list[Sequence[str]] = []
    for index, (mask, column) in enumerate(zip(group.words, columns, strict=True)):
        fixed, inner = _column(mask, column)
        parts[-1] += " " + fixed[0] if index else fixed[0]
        parts += fixed[1:]
        values += inner
    rows = tuple(zip(*values, strict=True)) if values else ((),) * len(lines)
    shape = Shape(tuple(parts), tuple(group.members[index] for index in order), rows)
    return shape if _gain(shape) >= LEAST_GAIN and not any("{}" in part for part in parts) else None


def _column(mask: str, column: Sequence[str]) -> tuple[list[str], list[Sequence[str]]]:
    """Fixed parts and values of the words that stand in one place of several lines."""
    distinct = set(column)
    if len(distinct) == 1:
        return [column[0]], []
    if WORD not in mask:
        return _masked_column(mask, column)
    first = column[0]
    start = _cut(commonprefix(list(distinct)), last=True)
    end = _cut(commonprefix([word[start:][::-1] for word in distinct])[::-1], last=False)
    return [first[:start], first[len(first) - end :]], [[word[start : len(word) - end] for word in column]]


def _masked_column(mask: str, column: Sequence[str]) -> tuple[list[str], list[Sequence[str]]]:
    fixed = mask.split(VALUE)
    found = _DIGITS.findall("\n".join(column))
    size = len(fixed) - 1
    parts, values = [fixed[0]], []
    for index, part in enumerate(fixed[1:]):
        inner = found[index::size]
        if len(set(inner)) == 1:
            parts[-1] += inner[0] + part
        else:
            values.append(inner)
            parts.append(part)
    return parts, values


def _cut(common: str, *, last: bool) -> int:
    """How much of *common* may be cut off its word: up to the last edge, or from the first."""
    edges = [edge.end() if last else len(common) - edge.start() for edge in _EDGE.finditer(common)]
    return max(edges, default=0)


def _headed(left: Sequence[int], lines: Sequence[str], masks: Sequence[list[str]]) -> list[Shape]:
    """Shapes of lines that share their first words only."""
    shapes = []
    rest = [number for number in left if len(masks[number]) > HEADERS[-1]]
    for size in HEADERS:
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number in rest:
            if len(masks[number]) > size:
                groups[tuple(masks[number][:size])].append(number)
        taken: set[int] = set()
        for words, members in groups.items():
            shape = _head_shape(_Group(words, members, 0), lines) if len(members) >= LEAST else None
            if shape is not None:
                shapes.append(shape)
                taken.update(members)
        rest = [number for number in rest if number not in taken]
    return shapes


def _head_shape(group: _Group, lines: Sequence[str]) -> Shape | None:
    size = len(group.words)
    cut = [lines[number].split(" ", size) for number in group.members]
    head = _shape(group, [" ".join(words[:size]) for words in cut])
    if head is None:
        return None
    parts = (*head.parts[:-1], head.parts[-1] + " ", "")
    values = tuple((*row, words[size]) for row, words in zip(head.values, cut, strict=True))
    return Shape(parts, head.lines, values)


def _gain(shape: Shape) -> int:
    """Characters saved, about."""
    fixed = sum(map(len, shape.parts))
    return (len(shape.lines) - 1) * fixed - len(shape.lines) * (len(shape.parts) + 2) - 5
