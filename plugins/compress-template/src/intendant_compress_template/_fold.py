"""Folding lines, and expanding them again.

    (folded lines: …)
    A: {} {} INFO {} done in {} ms

    A 2026-01-02 03:04:05 worker-7 130
    A*3 2026-01-02 03:04:06 worker-7 2
    a line that has no shape
    *2 the same, twice

A line that has no shape, and that begins with a space or would be taken for a row, comes after one more space.

Values have no spaces, but for a line's last one. What is the same in all lines of a shape is part of the shape.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby

from intendant_compress_template._shapes import Shape, mine

_HEAD = "(folded lines: a letter stands for its shape, filled in order by {}; *n: n times; else as it is)"
HEADS = {" ": _HEAD.format("what follows"), ",": _HEAD.format("the cells that follow")}
"""The first line, by what stands between values."""
_BODY = re.compile(r"([A-Z]{0,2})(?:\*(\d{1,9}))?(?: (.*))?", re.DOTALL)


def fold(text: str) -> str | None:
    """*text* folded, or None if no shape pays, or it is folded already."""
    if is_folded(text):
        return None
    shapes = mine(text)
    if not shapes:
        return None
    lines = text.split("\n")
    legend = [HEADS[shapes[0].gap]]
    rows: dict[int, tuple[str, str]] = {}
    for label, shape in zip(_names(), shapes, strict=False):
        legend.append(f"{label}: {'{}'.join(shape.parts)}")
        rows.update(_rows(label, shape))
    labels = {label for label, _ in rows.values()}
    body = [_body_line(lines[first], times, rows.get(first), labels) for first, times in _runs(lines)]
    return "\n".join([*legend, "", *body])


def is_folded(text: str) -> bool:
    """True if *text* begins as folded text does."""
    return text.startswith(tuple(HEADS.values()))


def expand(text: str) -> str:
    """The text that was folded.

    Raises:
        ValueError: This is no folded text.
    """
    head, *lines = text.split("\n")
    gap = next((gap for gap, one in HEADS.items() if one == head), None)
    if gap is None or "" not in lines:
        raise ValueError("this is no folded text")
    end = lines.index("")
    shapes = {}
    for line in lines[:end]:
        label, _, shape = line.partition(": ")
        shapes[label] = shape.split("{}")
    return "\n".join(unfolded for line in lines[end + 1 :] for unfolded in _unfold(line, shapes, gap))


def _unfold(line: str, shapes: dict[str, list[str]], gap: str) -> Iterable[str]:
    if line.startswith(" "):
        return [line[1:]]
    found = _BODY.fullmatch(line)
    if found is None or (found[1] not in shapes and not (found[2] and not found[1])):
        return [line]
    label, times, rest = found[1], int(found[2] or 1), found[3]
    if not label:
        return [rest or ""] * times
    parts = shapes[label]
    values = rest.split(gap, max(0, len(parts) - 2)) if rest is not None else []
    if len(values) != len(parts) - 1:
        raise ValueError(f"this line does not fill its shape: {line[:80]}")
    return [parts[0] + "".join(value + part for value, part in zip(values, parts[1:], strict=True))] * times


def _rows(label: str, shape: Shape) -> Iterator[tuple[int, tuple[str, str]]]:
    for number, values in zip(shape.lines, shape.values, strict=True):
        yield number, (label, f" {shape.gap.join(values)}" if values else "")


def _names() -> Iterator[str]:
    """A, B … Z, AA, AB …"""
    letters = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
    yield from letters
    yield from (one + other for one in letters for other in letters)


def _runs(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The number of each line, and how many equal ones follow each other."""
    at = 0
    for _, group in groupby(lines):
        times = sum(1 for _ in group)
        yield at, times
        at += times


def _body_line(line: str, times: int, row: tuple[str, str] | None, labels: AbstractSet[str]) -> str:
    count = f"*{times}" if times > 1 else ""
    if row is not None:
        return f"{row[0]}{count}{row[1]}"
    if count:
        return f"{count} {line}"
    found = _BODY.fullmatch(line)
    taken = found is not None and (found[1] in labels or (found[2] and not found[1]))
    return f" {line}" if taken or line.startswith(" ") else line
