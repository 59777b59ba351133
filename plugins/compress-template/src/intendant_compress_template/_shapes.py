"""Shapes of lines: what lines have in common, and what is the own of each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from intendant_compress_template._sections import KEY

LEAST_GAIN = 12
"""Characters that a shape has to save, after what its legend and its labels take."""
WORTH = 12
"""Characters that a section's key is taken for."""
LABEL = 5
"""Characters of a shape's label and of the line's end in the legend."""
LEAST_AGAIN = 3
"""Characters of a value from which it is looked for in those after it."""
MARK = re.compile(r"\{(?:[|>]?\d{0,3}|@)\}")
"""What a shape says to its reader in the place of values; no text of lines may look like it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What some lines have in common."""

    parts: tuple[str, ...]
    """Fixed text; the values stand between."""
    places: tuple[int | None, ...]
    """Between the parts: None for the line's next value, else the number (from 0) of one that comes again."""
    lines: tuple[int, ...]
    values: tuple[tuple[str, ...], ...]
    """For each of the lines. Only the last of a line may hold `gap`."""
    gap: str
    """Between values."""

    def gain(self) -> int:
        """Characters saved, about."""
        fixed = sum(len(part) + WORTH * part.count(KEY) for part in self.parts)
        return (len(self.lines) - 1) * fixed - len(self.lines) * (len(self.parts) + 2) - LABEL


@dataclass(frozen=True, slots=True)
class Mined:
    """The shapes of a text."""

    shapes: list[Shape]
    keys: Sequence[str | None]
    """Of each line: what `KEY` in its shape stands for."""


def built(fixed: Sequence[str], columns: Sequence[Sequence[str]], lines: Sequence[int], gap: str) -> Shape | None:
    """The shape of *lines* that are *fixed* but for *columns* (see `distinct`); None if it does not pay."""
    parts, places, shown = distinct(fixed, columns)
    values = tuple(zip(*shown, strict=True)) if shown else ((),) * len(lines)
    shape = Shape(tuple(parts), tuple(places), tuple(lines), values, gap)
    return shape if shape.gain() >= LEAST_GAIN and not any(map(MARK.search, parts)) else None


def distinct(
    fixed: Sequence[str], columns: Sequence[Sequence[str]]
) -> tuple[list[str], list[int | None], list[Sequence[str]]]:
    """Parts, places and values, without columns of one value or that say again what one before them says.

    Args:
        fixed: What stands around the columns, one more than there are.
        columns: Of each, its values, as many for each.
    """
    parts: list[str] = [fixed[0]]
    places: list[int | None] = []
    shown: list[Sequence[str]] = []
    for column, part in zip(columns, fixed[1:], strict=True):
        again = _again(column, shown)
        if column.count(column[0]) == len(column):
            parts[-1] += column[0] + part
            continue
        if again is None:
            shown.append(column)
        places.append(again)
        parts.append(part)
    return parts, places, shown


def _again(column: Sequence[str], columns: Sequence[Sequence[str]]) -> int | None:
    """Which of the *columns* says what *column* does."""
    if len(column[0]) < LEAST_AGAIN:
        return None
    return next(
        (number for number, other in enumerate(columns) if other[0] == column[0] and list(other) == list(column)),
        None,
    )
