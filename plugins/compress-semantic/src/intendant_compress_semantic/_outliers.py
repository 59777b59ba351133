"""Rows that stand out: a figure far from the others of its column, or a value that hardly any other row has."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

FAR = 3.5
"""Modified z-score (B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers, 1993) above which a figure is
one."""
LEAST_ROWS = 12
MINORITY = 0.05
"""Share of rows below which a value of a column with few values is one of a minority."""
FEW_VALUES = 12

_SPACES = re.compile(r" {2,}|\t")


def outlying_rows(rows: Sequence[str]) -> frozenset[int]:
    """Indexes of the rows of a written table that stand out."""
    columns: dict[object, list[tuple[int, str]]] = {}
    for index, cells in enumerate(_cells(rows)):
        for column, cell in enumerate(cells):
            columns.setdefault(column, []).append((index, cell))
    return outlying(columns)


def outlying(columns: Mapping[object, Sequence[tuple[int, str]]]) -> frozenset[int]:
    """Owners of the values that stand out in their column; a column is a list of (owner, value)."""
    return frozenset(owner for values in columns.values() for owner in _of_column(values))


def _of_column(values: Sequence[tuple[int, str]]) -> Iterable[int]:
    if len(values) < LEAST_ROWS:
        return []
    figures = [(owner, figure) for owner, value in values if (figure := _figure(value)) is not None]
    if len(figures) > 0.8 * len(values):
        return _far(figures)
    times = Counter(value for _, value in values)
    if len(times) > FEW_VALUES:
        return []
    few = max(1, int(MINORITY * len(values)))
    return [owner for owner, value in values if times[value] <= few]


def _far(figures: Sequence[tuple[int, float]]) -> list[int]:
    middle = median(figure for _, figure in figures)
    spread = median(abs(figure - middle) for _, figure in figures)
    ends = max(figures, key=lambda pair: pair[1]), min(figures, key=lambda pair: pair[1])
    if spread == 0:
        return [owner for owner, figure in figures if figure != middle][: max(1, len(figures) // 20)]
    far = [owner for owner, figure in figures if 0.6745 * abs(figure - middle) / spread > FAR]
    return [*far[: max(1, len(figures) // 10)], *(owner for owner, _ in ends)]


def _figure(text: str) -> float | None:
    try:
        return float(text.replace(",", "")) if text else None
    except ValueError:
        return None


def _cells(rows: Sequence[str]) -> Iterable[list[str]]:
    if not rows:
        return []
    if rows[0].lstrip().startswith("|"):
        return ([cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows)
    mark = max(",\t;", key=rows[0].count)
    if mark in rows[0]:
        return csv.reader((row.replace("\0", "") for row in rows), delimiter=mark)
    return ([cell.strip() for cell in _SPACES.split(row.strip())] for row in rows)
