"""What lines that follow each other begin with, said once above them.

A section's key is the first words of its lines, such as date, time and host of a log, the first cells of a table's
rows, or the directory of the first path in each of its lines. One sort of key is chosen for a text, where it pays.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from intendant_compress_template._pads import blanks

KEY = "\1"
"""Stands for the key in a line."""
MOST_WORDS = 12
COST = 7
"""Characters that a heading costs, about."""
LEAST_SHARE = 0.04
"""Share of a text's characters that sections have to save."""
LEAST_RUN = 1.25
"""Lines that have to share a heading on the average."""
SAMPLE = 4000
"""Lines by which the sort of key is chosen."""
_PLACE = re.compile(r"(?:^|(?<=[\s\"'`(]))[\w.+@-]*+(?:(?:/|::)(?:[\w.+@-]++(?=/|::))?+)+")
_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Sections:
    """Lines with `KEY` in the place of their keys."""

    lines: list[str]
    keys: list[str | None]
    """Of each line; None if it has none."""
    words: int
    """First words, or cells, that are the key; 0 if it is a directory."""


def sectioned(lines: Sequence[str], gap: str) -> Sections | None:
    """*lines* with the sort of key that saves most; None if none saves enough.

    Args:
        lines: Without `KEY`.
        gap: What stands between words, or between cells.
    """
    sample = list(islice(lines, SAMPLE))
    least = LEAST_SHARE * sum(map(len, sample))
    by_words, words = _by_words(sample, gap)
    by_places = _by_places(sample) if gap == " " else 0.0
    if max(by_words, by_places) < max(1, least):
        return None
    words = 0 if by_places > by_words else words
    keyed: list[str] = []
    keys: list[str | None] = []
    for line in lines:
        span = _first_words(line, words, gap) if words else _place(line)
        keyed.append(line if span is None else line[: span[0]] + KEY + line[span[1] :])
        keys.append(None if span is None else blanks(line[span[0] : span[1]]))
    return Sections(keyed, keys, words)


def _by_words(lines: Sequence[str], gap: str) -> tuple[float, int]:
    """What the best number of first words saves as a key, and that number."""
    rows = [words for line in lines if len(words := line.split(gap, MOST_WORDS)) > 1]
    # For each row, how many of its first words are those of the row before.
    same = [0, *map(_same, rows[1:], rows)]
    most = max(same, default=0)
    weighed = _weighed(rows, most)
    sizes = Counter(len(row) - 1 for row in rows)
    saved, repeated = [0] * (most + 1), [0] * (most + 1)
    for row, size in zip(rows, same, strict=False):
        weight = 0
        for at in range(size):
            # Words without figures are part of shapes anyway.
            if weighed[at] and (gap != " " or _DIGIT.search(row[at])):
                weight += len(row[at]) + 1
            saved[at + 1] += weight
            repeated[at + 1] += 1
    best = (0.0, 0)
    for count in range(1, most + 1):
        long = sum(rows for size, rows in sizes.items() if size >= count)
        headings = long - repeated[count]
        if long >= LEAST_RUN * headings:
            best = max(best, (float(saved[count] - COST * headings), count))
    return best


def _same(row: Sequence[str], before: Sequence[str]) -> int:
    """How many of the first words are the same, but for the last of *row*."""
    size = min(len(row) - 1, len(before))
    return next((at for at in range(size) if row[at] != before[at]), size)


def _weighed(rows: Sequence[Sequence[str]], size: int) -> list[bool]:
    """Which of the first words save something as a part of keys.

    What is the same in all lines is part of their shapes anyway, and so is what comes again in its line.
    """
    told: set[tuple[str, ...]] = set()
    weighed = []
    for at in range(size):
        column = tuple(row[at] for row in rows if len(row) > at + 1)
        weighed.append(len(set(column)) > 1 and column not in told)
        told.add(column)
    return weighed


def _place(line: str) -> tuple[int, int] | None:
    if "/" not in line and "::" not in line:
        return None
    found = _PLACE.search(line)
    if found is None or not _LETTER.search(found[0]):
        return None
    return found.span()


def _first_words(line: str, words: int, gap: str) -> tuple[int, int] | None:
    at = -1
    for _ in range(words):
        at = line.find(gap, at + 1)
        if at < 0:
            return None
    return (0, at) if at else None


def _by_places(lines: Sequence[str]) -> float:
    """What directories, or modules, save as keys."""
    keys = [line[span[0] : span[1]] for line in lines if (span := _place(line)) is not None]
    repeated = [key for key, before in zip(keys[1:], keys, strict=False) if key == before]
    headings = len(keys) - len(repeated)
    return float(sum(map(len, repeated)) - COST * headings) if len(keys) >= LEAST_RUN * headings else 0.0
