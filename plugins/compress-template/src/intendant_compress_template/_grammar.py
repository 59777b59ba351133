"""What lines are made of: words or cells, and which of these hold figures."""

import re
from collections import Counter
from dataclasses import dataclass

LEAST_ROWS = 8
TABULAR = 0.8
"""Share of the lines with the same number of commas from which text is a table."""
ROWS_WITHIN = 20_000
"""Characters within which the line is looked for that begins the rows of `structural`."""
_DIGITS = re.compile(
    r"((?:(?<!\S)[^\s\[\]\1\U000f0000-\U0010ffff]{1,40}+\[\d++\])"
    r"|(?<!\w)(?<!\w[.:/-])(?:[^\W\d]++[.:/-])*+[^\W\d]*+\d\w*+(?:[.:/-]\w++)*+)"
)
"""A word that holds a digit, with what is joined to it: dates, times, addresses, paths, numbers, ids."""
_CELL = re.compile(r"((?:(?<=,)|^)[^,\n\"\d]*+\d[^,\n\"]*+(?=,|$))", re.MULTILINE)
_ROWS = re.compile(r"^\d+ rows(?: by key)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Grammar:
    """What lines are made of."""

    value: re.Pattern[str]
    """What is masked, as a group."""
    gap: str
    """Between words, and between values."""


WORDS = Grammar(_DIGITS, " ")
ANY_CELLS = Grammar(re.compile(r"((?:(?<=,)|^)[^,\n\"\1]++(?=,|$))", re.MULTILINE), ",")
"""Rows of a table, with all cells masked."""
CELLS = Grammar(_CELL, ",")
"""Rows of a table: a cell is never cut."""


def grammar_of(text: str) -> Grammar:
    """`CELLS` if most lines have the same number of commas, else `WORDS`."""
    if _ROWS.search(text[:ROWS_WITHIN]):
        return CELLS
    if text.count(",") < LEAST_ROWS:
        return WORDS
    commas = Counter(line.count(",") for line in text.split("\n") if line)
    number, lines = commas.most_common(1)[0]
    return CELLS if number and lines >= max(LEAST_ROWS, TABULAR * commas.total()) else WORDS
