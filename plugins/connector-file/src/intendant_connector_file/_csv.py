"""Reads tables: CSV with any usual delimiter."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Literal

from intendant.plugin import ConnectorError, Json

DELIMITERS = (",", ";", "\t", "|")
SNIFFED = 20
"""Rows that decide about the delimiter."""
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,17})\.\d{1,17}", re.ASCII)
_BOOLEAN = {"true": True, "false": False}

Row = tuple[int, list[str]]
"""The line that a row ends at, and its cells."""


def read_csv(
    text: str,
    name: str,
    *,
    delimiter: str | None = None,
    header: bool = True,
    ragged: Literal["fail", "pad"] = "fail",
    types: Literal["text", "auto"] = "text",
) -> list[Json]:
    """The rows as records, or as lists where there is no header.

    Args:
        text: The file's text.
        name: What to call it in messages.
        delimiter: By default the one of `, ; tab |` that splits the first rows most evenly.
        header: Whether the first row has the names.
        ragged: What happens to rows of another length than the first: short ones are padded with null, and what
            a long one has too many goes into `column_4` and so on.
        types: `auto` reads columns of which every value is a number, or true or false, as such.

    Raises:
        ConnectorError: The table is malformed; names the line.
    """
    rows = list(_rows(text, delimiter or _sniff(text), name))
    if not rows:
        return []
    names = _header(rows.pop(0), name) if header else [""] * len(rows[0][1])
    cells = [_even(row, names, name, header=header, pad=ragged == "pad") for row in rows]
    width = max((len(row) for row in cells), default=0)
    names += [f"column_{index + 1}" for index in range(len(names), width)]
    if header and len(set(names)) < len(names):
        raise ConnectorError(f"{name}: a row is longer than the header, and 'column_…' is a name in the header")
    columns = [
        _typed([row[index] if index < len(row) else None for row in cells], types) for index in range(len(names))
    ]
    table: list[Json] = [list(row) for row in zip(*columns, strict=True)] if cells else []
    return [dict(zip(names, row, strict=True)) for row in table] if header else table


def _rows(text: str, delimiter: str, name: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if row:  # an empty line is no row
                yield reader.line_num, row
    except csv.Error as error:
        hint = "a quote inside a quoted value is doubled; see also `delimiter`"
        raise ConnectorError(f"{name}, line {reader.line_num}: {error}", hint=hint) from None


def _sniff(text: str) -> str:
    """The delimiter that gives most columns, the same number in each of the first rows."""

    def score(delimiter: str) -> tuple[bool, int]:
        widths = []
        try:
            for _, row in _rows(text, delimiter, ""):
                widths.append(len(row))
                if len(widths) == SNIFFED:
                    break
        except ConnectorError:
            return False, 0
        return bool(widths) and len(set(widths)) == 1 and widths[0] > 1, widths[0] if widths else 0

    return max(DELIMITERS, key=score)


def _header(row: Row, name: str) -> list[str]:
    names = [cell.strip() for cell in row[1]]
    for index, cell in enumerate(names):
        if not cell:
            hint = "name it, or read the file with `header: false`"
            raise ConnectorError(f"{name}: column {index + 1} has no name in the header", hint=hint)
        if cell in names[:index]:
            raise ConnectorError(f"{name}: the header has '{cell}' twice", hint="rename one of the columns")
    return names


def _even(row: Row, names: list[str], name: str, *, header: bool, pad: bool) -> list[str | None]:
    line, cells = row
    if len(cells) != len(names) and not pad:
        first = "header" if header else "first row"
        raise ConnectorError(
            f"{name}, line {line}: {len(cells)} values, but the {first} has {len(names)}",
            hint="quote values that hold the delimiter, or read with `ragged: pad`",
        )
    return [*cells, *[None] * (len(names) - len(cells))]


def _typed(column: list[str | None], types: str) -> list[Json]:
    if types == "text":
        return list(column)
    values = [cell for cell in column if cell]
    for pattern, kind in ((_INTEGER, int), (_DECIMAL, float)):
        if values and all(
            pattern.fullmatch(cell) or (kind is float and _INTEGER.fullmatch(cell)) for cell in values
        ):
            return [kind(cell) if cell else None for cell in column]
    if values and all(cell.lower() in _BOOLEAN for cell in values):
        return [_BOOLEAN[cell.lower()] if cell else None for cell in column]
    return list(column)
