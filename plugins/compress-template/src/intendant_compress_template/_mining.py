"""Mining shapes, in time linear in the length of the text.

Words that hold a digit are masked, and lines that are equal but for these are one shape, as in the first stage of
Drain (He et al., 2017, "Drain: An Online Log Parsing Approach with Fixed Depth Tree"). Lines that are left are
grouped by all their words but one, which is then a value too, and those still left by their first words: the
beginning is said once, and the rest of the line stands whole as its last value.
Shapes that differ in two words without digits are not merged: tried on real logs, that saved nothing and scattered
messages.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from intendant_compress_template._lines import LEAST, VALUE, Lines
from intendant_compress_template._pads import BEGINS, ENDS, MARKED, MOST_COLUMN
from intendant_compress_template._sections import KEY
from intendant_compress_template._shapes import LABEL, LEAST_GAIN, Mined, Shape, built

MOST_SHAPES = 400
MOST_WORDS = 200
"""Words of a line above which it is taken as it is."""
HEADS = (8, 6, 4, 3, 2, 1)
"""Numbers of first words by which lines are grouped that are alike in nothing else."""
MOST_GAPPED = 14
"""Words of a line above which it is not looked at word by word."""
LEAST_SHARED = 3
"""Characters of a value from which lines that share it may have a shape of their own."""
MOST_SPLITS = 4
SPLIT = 1.5
"""How many times as long as the shape the values have to be that it saves."""
_WORDS = re.compile(f"[^ {KEY}{chr(BEGINS)}-\U0010ffff][^ ]*")
_SIGNS = frozenset([KEY, *(chr(first + column) for first in (BEGINS, ENDS) for column in range(MOST_COLUMN + 1))])


def mine(lines: Lines, *, listing: bool = False) -> Mined | None:
    """Shapes that pay, each line in at most one of them, in the order of their first lines.

    Args:
        lines: Of the text.
        listing: Lines with the same columns are one shape, whatever stands in them.
    """
    shapes = _listed(lines) if listing else []
    found = {number for shape in shapes for number in shape.lines}
    equal: dict[str, list[int]] = defaultdict(list)
    for number, mask in lines.masks.items():
        if number not in found:
            equal[mask].append(number)
    for mask, members in equal.items():
        if len(members) >= LEAST:
            columns = list(zip(*[lines.values[number] for number in members], strict=True))
            shapes += _shapes(mask.split(VALUE), columns, members, lines.grammar.gap)
    found = {number for shape in shapes for number in shape.lines}
    left = [number for number in lines.masks if number not in found]
    gapped, left = _gapped(lines, left) if lines.grammar.gap == " " else ([], left)
    shapes += gapped
    shapes += _headed(lines, left)
    chosen = sorted(shapes, key=Shape.gain, reverse=True)[:MOST_SHAPES]
    return Mined(sorted(chosen, key=lambda shape: shape.lines[0]), lines.keys) if chosen else None


def _shapes(
    fixed: Sequence[str], columns: Sequence[Sequence[str]], members: Sequence[int], gap: str
) -> list[Shape]:
    """Shapes of lines that are *fixed* but for the values in *columns*; none if they do not pay."""
    made = []
    for group in _split(fixed, columns, range(len(members))):
        own = [[column[at] for at in group] for column in columns]
        made.append(built(fixed, own, [members[at] for at in group], gap))
    return [shape for shape in made if shape is not None]


def _split(
    fixed: Sequence[str], columns: Sequence[Sequence[str]], lines: Sequence[int], depth: int = 0
) -> Iterator[Sequence[int]]:
    """*lines* in groups: those that share a long value, where that is worth a shape of their own, and the rest."""
    least = SPLIT * (sum(map(len, fixed)) + LABEL)
    best: tuple[int, Sequence[str], list[str]] = (0, (), [])
    for column in columns if depth < MOST_SPLITS and len(lines) >= 2 * LEAST else ():
        counts = Counter([column[at] for at in lines])
        shared = [
            value
            for value, count in counts.items()
            if LEAST <= count < len(lines) and len(value) >= LEAST_SHARED and count * (len(value) - 2) >= least
        ]
        best = max(best, (sum(counts[value] * len(value) for value in shared), column, shared), key=_first)
    gain, column, shared = best
    if not gain:
        yield lines
        return
    groups: dict[str | None, list[int]] = {value: [] for value in (*shared, None)}
    for at in lines:
        groups[column[at] if column[at] in groups else None].append(at)
    for group in groups.values():
        if group:
            yield from _split(fixed, columns, group, depth + 1)


def _first(row: tuple[int, Sequence[str], list[str]]) -> int:
    return row[0]


def _listed(lines: Lines) -> list[Shape]:
    """Shapes of lines that have words in the same columns."""
    groups: dict[tuple[tuple[int, str], ...], list[int]] = defaultdict(list)
    words: dict[int, list[str]] = {}
    for number in lines.masks:
        if MARKED.search(lines.text[number]) is None:
            continue
        pieces = lines.text[number].split(" ")
        marks = tuple((at, piece[0]) for at, piece in enumerate(pieces) if piece and MARKED.match(piece))
        last = marks[-1][0]
        words[number] = [*pieces[:last], " ".join(pieces[last:])]
        groups[marks].append(number)
    shapes = []
    for marks, members in groups.items():
        if len(members) < LEAST:
            continue
        signs = dict(marks)
        size = marks[-1][0]
        fixed = [signs.get(0, ""), *(" " + signs.get(at, "") for at in range(1, size + 1)), ""]
        columns = [[words[number][at][at in signs :] for number in members] for at in range(size + 1)]
        shape = built(fixed, columns, members, lines.grammar.gap)
        if shape is not None:
            shapes.append(shape)
    return shapes


def _gapped(lines: Lines, left: Sequence[int]) -> tuple[list[Shape], list[int]]:
    """Shapes of lines that differ in one word only, and the lines that are in none of them."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number in left:
        mask = lines.masks[number]
        if mask.count(" ") <= MOST_GAPPED:
            for word in _WORDS.finditer(mask):
                groups[mask[: word.start()], mask[word.end() :]].append(number)
    worth = [
        (len(members) * (len(begin) + len(end)), begin, end)
        for (begin, end), members in groups.items()
        # Lines that have only their beginning in common are looked for later; this is about the end.
        if len(members) >= LEAST and (len(members) - 2) * len(end) + len(begin) >= LABEL + LEAST_GAIN
    ]
    shapes: list[Shape] = []
    taken: set[int] = set()
    for _, begin, end in sorted(worth, reverse=True):
        members = [number for number in groups[begin, end] if number not in taken]
        if len(members) >= LEAST and (len(members) - 2) * len(end) + len(begin) >= LABEL + LEAST_GAIN:
            found = _gap_shapes(lines, begin, end, members)
            shapes += found
            taken.update(number for shape in found for number in shape.lines)
    return shapes, [number for number in left if number not in taken]


def _gap_shapes(lines: Lines, begin: str, end: str, members: Sequence[int]) -> list[Shape]:
    """Shapes of lines whose masks begin and end so around one word of their own."""
    first, before, after = begin.count(" "), begin.count(VALUE), end.count(VALUE)
    words = []
    rows = []
    for number in members:
        word = lines.text[number].split(" ", first + 1)[first]
        words.append(word[next((at for at, letter in enumerate(word) if letter not in _SIGNS), 0) :])
        values = lines.values[number]
        rows.append((*values[:before], words[-1], *values[len(values) - after :]))
    fixed = [*begin.split(VALUE), *end.split(VALUE)]
    return _shapes(fixed, list(zip(*rows, strict=True)), members, lines.grammar.gap)


def _headed(lines: Lines, left: Sequence[int]) -> list[Shape]:
    """Shapes of lines that share their first words only."""
    shapes = []
    gap = lines.grammar.gap
    words = {number: lines.masks[number].split(gap, HEADS[0]) for number in left}
    rest = [number for number in left if lines.masks[number].count(gap) < MOST_WORDS]
    for size in HEADS:
        groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number in rest:
            if len(words[number]) > size:
                groups[tuple(words[number][:size])].append(number)
        taken: set[int] = set()
        for head, members in groups.items():
            found = _head_shapes(lines, head, members) if len(members) >= LEAST else []
            shapes += found
            taken.update(number for shape in found for number in shape.lines)
        rest = [number for number in rest if number not in taken]
    return shapes


def _head_shapes(lines: Lines, head: tuple[str, ...], members: Sequence[int]) -> list[Shape]:
    gap = lines.grammar.gap
    fixed = gap.join(head).split(VALUE)
    columns = list(zip(*[lines.values[number][: len(fixed) - 1] for number in members], strict=True))
    return [
        _with_rests(lines, shape, [lines.text[number].split(gap, len(head))[-1] for number in shape.lines])
        for shape in _shapes(fixed, columns, members, gap)
    ]


def _with_rests(lines: Lines, shape: Shape, rests: Sequence[str]) -> Shape:
    """The shape of first words with the *rests* of its lines as their last values."""
    end = shape.gap
    while (sign := rests[0][:1]) and sign in _SIGNS and all(rest.startswith(sign) for rest in rests):
        end, rests = end + sign, [rest[1:] for rest in rests]
    rests = [lines.plain(number, rest) for number, rest in zip(shape.lines, rests, strict=True)]
    parts = (*shape.parts[:-1], shape.parts[-1] + end, "")
    values = tuple((*row, rest) for row, rest in zip(shape.values, rests, strict=True))
    return Shape(parts, (*shape.places, None), shape.lines, values, shape.gap)
