"""Shapes of lines: what lines have in common, mined in time linear in the length of the text.

A line is cut at spaces into words. Words that hold a digit are masked, lines of equal masked words are one group, and
groups that differ in few words are merged, as Drain does (He et al., 2017, "Drain: An Online Log Parsing Approach
with Fixed Depth Tree"), with at most `MOST_COMPARED` comparisons a group. What is left is grouped by its first
words, so that the beginning is said once and the rest of the line stands as its last value.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os.path import commonprefix

LEAST = 3
"""Lines that a shape needs."""
LEAST_GAIN = 12
"""Characters that a shape has to save, after what its legend and its labels take."""
MOST_SHAPES = 400
MOST_COMPARED = 12
ALIKE = 0.6
"""Share of equal words from which two groups are merged."""
MOST_WORDS = 200
"""Words of a line above which it is taken as it is."""
HEADERS = (8, 7, 6, 5, 4, 3, 2)
"""Numbers of first words by which lines are grouped that are alike in nothing else."""
_WORD = re.compile(r"\w+(?:[.:/+-]\w+)*")
_DIGIT = re.compile(r"\d")
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
    words: list[str]
    """Masked."""
    members: list[int]
    merged: bool = False


def mine(lines: Sequence[str]) -> list[Shape]:
    """Shapes that pay, each line in at most one of them, in the order of their first lines."""
    split: dict[int, list[str]] = {}
    masked: dict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        if line and line.count(" ") < MOST_WORDS:
            masked[_mask(line)].append(number)
    groups = _merged(masked)
    shapes: list[Shape] = []
    left: list[int] = []
    for group in groups:
        shape = _shape(group.members, lines, split) if len(group.members) >= LEAST else None
        if shape is None:
            left += group.members
        else:
            shapes.append(shape)
    shapes += _headed(sorted(left), lines)
    chosen = sorted(shapes, key=_gain, reverse=True)[:MOST_SHAPES]
    return sorted(chosen, key=lambda shape: shape.lines[0])


def _mask(line: str) -> str:
    return _WORD.sub(lambda word: "\0" if _DIGIT.search(word[0]) else word[0], line)


def _merged(masked: dict[str, list[int]]) -> list[_Group]:
    """Groups of equal masked lines, those that are alike merged."""
    by_size: dict[int, list[_Group]] = defaultdict(list)
    for text, members in masked.items():
        words = text.split(" ")
        bucket = by_size[len(words)]
        best = _most_alike(words, bucket)
        if best is None:
            bucket.append(_Group(words, list(members)))
            continue
        best.words = [one if one == other else "\1" for one, other in zip(best.words, words, strict=True)]
        best.members += members
        best.merged = True
    return [group for bucket in by_size.values() for group in bucket]


def _most_alike(words: list[str], bucket: list[_Group]) -> _Group | None:
    best, most = None, ALIKE * len(words)
    for group in bucket[-MOST_COMPARED:]:
        equal = sum(map(str.__eq__, words, group.words))
        if equal >= most and equal > 1:
            best, most = group, equal + 0.5
    return best


def _shape(members: Iterable[int], lines: Sequence[str], split: dict[int, list[str]]) -> Shape | None:
    """The shape of *members*, which have the same number of words; None if it does not pay."""
    numbers = sorted(members)
    columns = list(zip(*(lines[number].split(" ") for number in numbers), strict=True))
    parts = [""]
    values: list[Sequence[str]] = []
    for index, column in enumerate(columns):
        parts[-1] += " " if index else ""
        fixed, inner = _column(column)
        parts[-1] += fixed[0]
        parts += fixed[1:]
        values += inner
    rows = tuple(zip(*values, strict=True)) if values else ((),) * len(numbers)
    shape = Shape(tuple(parts), tuple(numbers), rows)
    return shape if _gain(shape) >= LEAST_GAIN and not _clashes(shape) else None


def _column(column: Sequence[str]) -> tuple[list[str], list[Sequence[str]]]:
    """Fixed parts and values of words that stand in one place of several lines."""
    first = column[0]
    distinct = set(column)
    if len(distinct) == 1:
        return [first], []
    found = [_pieces(word) for word in column]
    if len({tuple(piece[0] for piece in pieces) for pieces in found}) == 1:
        return _aligned(found)
    start = _cut(commonprefix(list(distinct)), last=True)
    rest = [word[start:] for word in distinct]
    end = _cut(commonprefix([word[::-1] for word in rest])[::-1], last=False)
    return [first[:start], first[len(first) - end :] if end else ""], [
        [word[start : len(word) - end] for word in column]
    ]


def _pieces(word: str) -> list[tuple[str, str]]:
    """*word* as pairs of fixed text and the value with digits that follows it; the last value is empty."""
    pieces, at = [], 0
    for found in _WORD.finditer(word):
        if _DIGIT.search(found[0]):
            pieces.append((word[at : found.start()], found[0]))
            at = found.end()
    return [*pieces, (word[at:], "")]


def _aligned(found: list[list[tuple[str, str]]]) -> tuple[list[str], list[Sequence[str]]]:
    parts = [""]
    values: list[Sequence[str]] = []
    for places in zip(*found, strict=True):
        column = [value for _, value in places]
        parts[-1] += places[0][0]
        if len(set(column)) == 1:
            parts[-1] += column[0]
        else:
            parts.append("")
            values.append(column)
    return parts, values


def _cut(common: str, *, last: bool) -> int:
    """How much of *common* may be cut off its word: up to the last edge, or from the first."""
    edges = [edge.end() if last else len(common) - edge.start() for edge in _EDGE.finditer(common)]
    return max(edges, default=0)


def _headed(left: Sequence[int], lines: Sequence[str]) -> list[Shape]:
    """Shapes of lines that share their first words only."""
    shapes = []
    rest = list(left)
    words = {number: lines[number].split(" ", HEADERS[0]) for number in rest}
    masks = {number: [_mask(word) for word in words[number]] for number in rest}
    for size in HEADERS:
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number in rest:
            if len(words[number]) > size:
                groups[tuple(masks[number][:size])].append(number)
        taken: set[int] = set()
        for members in groups.values():
            shape = _head_shape(members, lines, size) if len(members) >= LEAST else None
            if shape is not None:
                shapes.append(shape)
                taken.update(members)
        rest = [number for number in rest if number not in taken]
    return shapes


def _head_shape(members: Sequence[int], lines: Sequence[str], size: int) -> Shape | None:
    cut = [lines[number].split(" ", size) for number in members]
    head = _shape(range(len(cut)), [" ".join(words[:size]) for words in cut], {})
    if head is None:
        return None
    parts = (*head.parts[:-1], head.parts[-1] + " ", "")
    values = tuple((*row, words[size]) for row, words in zip(head.values, cut, strict=True))
    return Shape(parts, tuple(members), values)


def _gain(shape: Shape) -> int:
    """Characters saved, about."""
    fixed = sum(map(len, shape.parts))
    return (len(shape.lines) - 1) * fixed - len(shape.lines) * (len(shape.parts) + 2) - 5


def _clashes(shape: Shape) -> bool:
    """True if the shape could not be read back."""
    return any("{}" in part for part in shape.parts) or any(" " in value for row in shape.values for value in row[:-1])
