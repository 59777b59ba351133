"""Finds tables in a PDF: those with lines around their cells, and those whose columns only white space tells.

Lines are pdfplumber's work. Where there are none, words that stand far apart are cells, consecutive lines of
several cells are a table, and its columns are what is left when the cells of all its lines are laid over each
other.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

GAP = 0.9
"""White space between two cells of a line, in heights of its letters, at least; blanks between words have 0.3."""
NEAR = 2.2
"""From one line of a table to the next, in heights of its letters, at most."""
LEAST_LINES = 3
"""Lines of a table without lines around its cells, at least: two may be aligned by chance."""
PROSE = 4
"""Words of a cell of running text, on average, at least."""
EDGE = 4.0
"""Points by which the columns of a table on the next page may be off, for it to be the same table."""


@dataclass
class Cell:
    """Words of one line that stand close to each other."""

    left: float
    right: float
    text: str


@dataclass
class Line:
    """What stands at one height of a page."""

    top: float
    height: float
    cells: list[Cell]


@dataclass
class Found:
    """A table.

    Attributes:
        page: The page on which it begins.
        rows: Its cells, as text.
        top: Where it begins on the page, in points.
        edges: The left edges of its columns, in points.
    """

    page: int
    rows: list[list[str]]
    top: float
    edges: list[float] = field(default_factory=list)


def tables_of(data: bytes, numbers: Sequence[int], password: str) -> list[Found]:
    """The tables of these pages, in the order in which they are read; one that goes on is one.

    Raises:
        ImportError: pdfplumber is not installed.
    """
    import pdfplumber

    found: list[Found] = []
    with pdfplumber.open(io.BytesIO(data), password=password, pages=list(numbers)) as document:
        for number, page in zip(numbers, document.pages, strict=True):
            for place, table in enumerate(sorted(_on(page, number), key=lambda table: table.top)):
                if place == 0 and found and _goes_on(found[-1], table):
                    found[-1].rows += table.rows[1:] if table.rows[0] == found[-1].rows[0] else table.rows
                    found[-1].edges = table.edges
                else:
                    found.append(table)
            page.close()  # what was read of it is kept otherwise
    return found


def _goes_on(before: Found, table: Found) -> bool:
    """True if a table is the rest of the last one of the pages before."""
    if len(before.edges) != len(table.edges):
        return False
    return all(abs(one - other) <= EDGE for one, other in zip(before.edges, table.edges, strict=True))


def _on(page: Any, number: int) -> Iterator[Found]:
    rest = page
    for table in page.find_tables():
        rows = [[_plain(cell) for cell in row] for row in table.extract()]
        if len(rows) > 1 and len(rows[0]) > 1:
            rest = rest.outside_bbox(table.bbox)
            yield Found(number, rows, table.bbox[1], [column.bbox[0] for column in table.columns])
    yield from _without_lines(rest.extract_words(), number)


def _plain(cell: str | None) -> str:
    return " ".join((cell or "").split())


def _without_lines(words: Iterable[dict[str, Any]], number: int) -> Iterator[Found]:
    """Tables whose columns white space tells."""
    block: list[Line] = []
    for line in _lines(words):
        near = bool(block) and line.top - block[-1].top <= NEAR * max(line.height, block[-1].height)
        several = len(line.cells) > 1
        if (several and not block) or (near and (several or _within(line.cells[0], block))):
            block.append(line)
        else:
            yield from _table(block, number)
            block = [line] if several else []
    yield from _table(block, number)


def _lines(words: Iterable[dict[str, Any]]) -> list[Line]:
    """Words by the line in which they stand, from left to right, those close to each other joined."""
    lines: list[Line] = []
    for word in sorted(words, key=lambda word: (round(word["bottom"]), word["x0"])):
        height = word["bottom"] - word["top"]
        if not lines or abs(word["bottom"] - lines[-1].top - lines[-1].height) > height / 2:
            lines.append(Line(word["top"], height, []))
        lines[-1].cells.append(Cell(word["x0"], word["x1"], word["text"]))
    for line in lines:
        line.cells = list(_joined(sorted(line.cells, key=lambda cell: cell.left), GAP * line.height))
    return lines


def _joined(words: Sequence[Cell], gap: float) -> Iterator[Cell]:
    cell = words[0]
    for word in words[1:]:
        if word.left - cell.right < gap:
            cell = Cell(cell.left, max(cell.right, word.right), f"{cell.text} {word.text}")
        else:
            yield cell
            cell = word
    yield cell


def _within(cell: Cell, block: Sequence[Line]) -> bool:
    """True if a cell that stands alone in its line goes on with one of the line before."""
    columns = _columns(block)
    return sum(left <= cell.right and cell.left <= right for left, right in columns) == 1


def _columns(block: Sequence[Line]) -> list[tuple[float, float]]:
    """Where columns are: the cells of all lines, those that overlap taken together."""
    columns: list[tuple[float, float]] = []
    for cell in sorted((cell for line in block for cell in line.cells), key=lambda cell: cell.left):
        if columns and cell.left <= columns[-1][1]:
            columns[-1] = (columns[-1][0], max(columns[-1][1], cell.right))
        else:
            columns.append((cell.left, cell.right))
    return columns


def _table(block: Sequence[Line], number: int) -> Iterator[Found]:
    """The table of a block of lines, if it is one."""
    columns = _columns(block)
    if sum(len(line.cells) > 1 for line in block) < LEAST_LINES or len(columns) < 2:  # noqa: PLR2004
        return
    rows: list[list[str]] = []
    for line in block:
        row = [""] * len(columns)
        for cell in line.cells:
            place = next(at for at, (left, right) in enumerate(columns) if left <= cell.left <= right)
            row[place] = f"{row[place]} {cell.text}".strip()
        if len(line.cells) == 1 and rows:
            rows[-1] = [f"{before} {more}".strip() for before, more in zip(rows[-1], row, strict=True)]
        else:
            rows.append(row)
    edges = _named(rows, columns)
    if len(edges) > 1 and not _is_prose(rows):
        yield Found(number, rows, block[0].top, edges)


def _is_prose(rows: list[list[str]]) -> bool:
    """True if each column is text that runs on, as in a newspaper."""
    words = [[len(cell.split()) for cell in column if cell] for column in zip(*rows, strict=True)]
    return all(sum(column) >= PROSE * len(column) for column in words)


def _named(rows: list[list[str]], columns: list[tuple[float, float]]) -> list[float]:
    """Put names that are aligned at another side than their columns over these; returns the left edges of what is
    left: a name whose column is empty and the column beside it that has no name are one.
    """
    columns, at = [*columns], 0
    while at < len(columns) - 1:
        one, other = ([bool(row[place]) for row in rows] for place in (at, at + 1))
        bare = not any(one[1:]) or not any(other[1:])
        if bare and one[0] != other[0]:
            for row in rows:
                row[at : at + 2] = [row[at] or row[at + 1]]
            columns[at : at + 2] = [(columns[at][0], columns[at + 1][1])]
        else:
            at += 1
    return [left for left, _ in columns]
