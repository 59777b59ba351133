"""Folding lines, and expanding them again.

A line's shape is the line with its variable parts taken out: words that hold a digit, with what is joined to them
by `.`, `:`, `/` or `-` (dates, times, addresses, paths, numbers, ids). The folded text is

    (folded lines: a letter stands for its shape, filled in order by what follows; *n: n times; else as it is)
    A: {} {} INFO {} done in {} ms

    A 2026-01-02 03:04:05 worker-7 130
    A*3 2026-01-02 03:04:06 worker-7 2
     a line that has no shape, after one space
    *2 the same, twice

What is the same in all lines of a shape is part of the shape. The time is linear in the length of the text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

HEAD = "(folded lines: a letter stands for its shape, filled in order by what follows; *n: n times; else as it is)"
LEAST = 3
"""Lines that a shape needs."""
LEAST_LETTERS = 6
"""Characters besides the variable parts that a shape needs; shorter ones save nothing."""
MOST_SHAPES = 400
_WORD = re.compile(r"\w+(?:[.:/-]\w+)*")
_DIGIT = re.compile(r"\d")
_BODY = re.compile(r"([A-Z]*)(?:\*(\d+))?(?: (.*))?", re.DOTALL)

Shape = tuple[str, ...]
"""The fixed parts of a line; its variable parts stand between them."""


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    shape: Shape
    values: tuple[str, ...]


def fold(text: str) -> str | None:
    """*text* folded, or None if no shape has lines enough, or it is folded already."""
    if text.startswith(HEAD):
        return None
    lines = [_line(line) for line in text.split("\n")]
    labels, fixed = _legend(lines)
    if not labels:
        return None
    body = [_body_line(line, labels, fixed, times) for line, times in _runs(lines)]
    legend = [f"{label}: {'{}'.join(_shown(shape, fixed[shape]))}" for shape, label in labels.items()]
    return "\n".join([HEAD, *legend, "", *body])


def expand(text: str) -> str:
    """The text that was folded.

    Raises:
        ValueError: This is no folded text.
    """
    head, *lines = text.split("\n")
    if head != HEAD or "" not in lines:
        raise ValueError("this is no folded text")
    end = lines.index("")
    shapes = {}
    for line in lines[:end]:
        label, _, shape = line.partition(": ")
        shapes[label] = shape.split("{}")
    return "\n".join(unfolded for line in lines[end + 1 :] for unfolded in _unfold(line, shapes))


def _unfold(line: str, shapes: dict[str, list[str]]) -> Iterable[str]:
    found = _BODY.fullmatch(line)
    if found is None or (found[1] and found[1] not in shapes):
        raise ValueError(f"this line has no shape: {line[:80]}")
    label, times, rest = found[1], int(found[2] or 1), found[3]
    if not label:
        return [rest or ""] * times
    parts = shapes[label]
    values = rest.split(" ") if rest is not None else []
    if len(values) != len(parts) - 1:
        raise ValueError(f"this line does not fill its shape: {line[:80]}")
    return [parts[0] + "".join(value + part for value, part in zip(values, parts[1:], strict=True))] * times


def _line(text: str) -> _Line:
    shape, values, at = [], [], 0
    for word in _WORD.finditer(text):
        if _DIGIT.search(word[0]):
            shape.append(text[at : word.start()])
            values.append(word[0])
            at = word.end()
    return _Line(text, (*shape, text[at:]), tuple(values))


def _legend(lines: Sequence[_Line]) -> tuple[dict[Shape, str], dict[Shape, tuple[str | None, ...]]]:
    """Labels of the shapes that are used, and the values that are the same in all lines of a shape."""
    counts = Counter(line.shape for line in lines)
    usable = {
        shape
        for shape, times in counts.items()
        if times >= LEAST and sum(map(len, shape)) >= LEAST_LETTERS and "{}" not in "".join(shape)
    }
    fixed: dict[Shape, tuple[str | None, ...]] = {}
    for line in lines:
        if line.shape in usable:
            before = fixed.get(line.shape, line.values)
            fixed[line.shape] = tuple(
                one if one == other else None for one, other in zip(before, line.values, strict=True)
            )
    chosen = sorted(usable, key=lambda shape: -counts[shape] * sum(map(len, shape)))[:MOST_SHAPES]
    order = {shape: index for index, shape in enumerate(dict.fromkeys(line.shape for line in lines))}
    return dict(zip(sorted(chosen, key=order.__getitem__), _names(), strict=False)), fixed


def _names() -> Iterator[str]:
    """A, B … Z, AA, AB …"""
    letters = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
    yield from letters
    yield from (one + other for one in letters for other in letters)


def _shown(shape: Shape, fixed: Sequence[str | None]) -> list[str]:
    """The fixed parts of *shape*, with the values that never vary in them."""
    parts = [shape[0]]
    for value, part in zip(fixed, shape[1:], strict=True):
        if value is None:
            parts.append(part)
        else:
            parts[-1] += value + part
    return parts


def _runs(lines: Sequence[_Line]) -> Iterator[tuple[_Line, int]]:
    """Each line, and how many equal ones follow each other."""
    for _, group in groupby(lines, key=lambda line: line.text):
        equal = list(group)
        yield equal[0], len(equal)


def _body_line(
    line: _Line, labels: dict[Shape, str], fixed: dict[Shape, tuple[str | None, ...]], times: int
) -> str:
    count = f"*{times}" if times > 1 else ""
    label = labels.get(line.shape)
    if label is None:
        return f"{count} {line.text}"
    own = [value for value, same in zip(line.values, fixed[line.shape], strict=True) if same is None]
    return " ".join([f"{label}{count}", *own])
