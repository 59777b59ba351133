"""How a CSV is written: its delimiter, line ends and quotation marks, told from its beginning."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from threading import Lock

from intendant.plugin import ConnectorError

DELIMITERS = (",", ";", "\t", "|")
SNIFFED = 20
"""Rows that decide about the delimiter."""
_SEP = re.compile(r'"?sep=(.)"?(\r\n|\r|\n|\Z)', re.IGNORECASE)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_LONE_RETURN = re.compile(r"\r(?!\n)")
_COMMA_NUMBER = re.compile(r"-?\d+,\d+", re.ASCII)
_POINT_NUMBER = re.compile(r"-?\d+\.\d+", re.ASCII)
_limit_lock = Lock()

Row = tuple[int, list[str]]
"""The line that a row ends at, and its cells."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the rows of a CSV are written."""

    delimiter: str = ","
    newline: str = "\n"
    quote_all: bool = False
    decimal: str = "."
    """What stands before the decimals of its numbers."""


def opened(text: str, delimiter: str | None, skip: int = 0) -> tuple[str, str | None, int]:
    """The table without the lines before it, the delimiter, and how many lines these are.

    Spreadsheet programs write a first line `sep=;`, and read it, to say which delimiter follows.

    Args:
        text: The file's text.
        delimiter: What separates cells, if that was given.
        skip: Lines before the table.
    """
    if skip:
        end = 0
        for line in islice(_LINE.finditer(text), skip):
            end = line.end()
        return text[end:], delimiter, skip
    found = _SEP.match(text)
    if found is None:
        return text, delimiter, 0
    return text[found.end() :], delimiter or found[1], 1


def rows(text: str, delimiter: str, name: str, *, first: int = 0) -> Iterator[Row]:
    """The rows; empty lines are none.

    Args:
        text: The table.
        delimiter: What separates cells.
        name: What to call it in messages.
        first: Lines before the text.

    Raises:
        ConnectorError: A row is malformed; names the line.
    """
    _admit(len(text))
    lines: Iterable[str] = io.StringIO(text, newline="")
    if _LONE_RETURN.search(text):  # line ends of old programs, which the reader does not take
        lines = (match[0] for match in _LINE.finditer(text))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if row:
                yield first + reader.line_num, row
    except csv.Error as error:
        hint = "a quote inside a quoted value is doubled; see also `delimiter`"
        raise ConnectorError(f"{name}, line {first + reader.line_num}: {error}", hint=hint) from None


def _admit(size: int) -> None:
    """Let cells be as long as the text: the library's limit of 128 kB holds for the whole process, and is only
    raised, never lowered under another reader's feet. `max_bytes` bounds the text itself.
    """
    with _limit_lock:
        if csv.field_size_limit() <= size:
            csv.field_size_limit(min(size + 1, 2**31 - 1))


def sniff(text: str) -> str:
    """The delimiter that gives most columns, the same number in each of the first rows."""

    def score(delimiter: str) -> tuple[bool, int]:
        widths: list[int] = []
        try:
            for _, row in islice(rows(text, delimiter, ""), SNIFFED):
                widths.append(len(row))
        except ConnectorError:
            pass  # reported with its line when the table is read
        return bool(widths) and len(set(widths)) == 1 and widths[0] > 1, widths[0] if widths else 0

    return max(DELIMITERS, key=score)


def dialect_of(text: str) -> tuple[Dialect, list[str]]:
    """How the table that begins with *text* is written, and the names in its header.

    Raises:
        ConnectorError: Its header cannot be read.
    """
    table, delimiter, first = opened(text, None)
    try:
        chosen = delimiter or sniff(table)
        found = [row for _, row in islice(rows(table, chosen, "", first=first), SNIFFED + 1)]
    except ConnectorError:  # the text is cut within a long cell
        table = next((match[0] for match in _LINE.finditer(table) if match[0].strip()), "")
        chosen = delimiter or sniff(table)
        found = [row for _, row in rows(table, chosen, "the header")]
    end = re.search(r"\r\n|\r|\n", text)
    cells = [cell for row in found[1:] for cell in row]
    commas, points = (any(map(kind.fullmatch, cells)) for kind in (_COMMA_NUMBER, _POINT_NUMBER))
    dialect = Dialect(
        delimiter=chosen,
        newline=end[0] if end else "\n",
        quote_all=_all_quoted(table, chosen, found[0]) if found else False,
        decimal="," if commas and not points and chosen != "," else ".",
    )
    return dialect, found[0] if found else []


def _all_quoted(table: str, delimiter: str, header: list[str]) -> bool:
    quoted = delimiter.join('"' + cell.replace('"', '""') + '"' for cell in header)
    return bool(header) and table.lstrip("\r\n").startswith(quoted)
