"""The decoder of header and rows (see `_writing`)."""

import json
import re
from contextlib import suppress
from typing import Any

from intendant_compress_structural._cells import EXACT, NOTHING, NUMBERS, Form, Reader, Record, only, shape_of
from intendant_compress_structural._derive import fill

_SHAPE = re.compile(r"([A-Z]) = \{(.*)\}", re.DOTALL)
_HEAD = re.compile(r"(\d+) rows( by key)?")
_AT = re.compile(r"(.*) at ([\w.-]+)", re.DOTALL)


def decode(text: str) -> Any:
    """The value that *text*, written by `encodings`, stands for.

    Raises:
        ValueError: The text is not of that form.
    """
    return _decoded(text, NUMBERS)


def exactly(text: str) -> Any:
    """What `decode` gives, with each `Figure` as it is written.

    Raises:
        ValueError: The text is not of that form.
    """
    return _decoded(text, EXACT)


def _decoded(text: str, scalars: json.JSONDecoder) -> Any:
    try:
        return _value(text, scalars)
    except (LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError("this is not JSON as header and rows") from None


def _value(text: str, scalars: json.JSONDecoder) -> Any:
    if text.startswith(("{", "[")):
        with suppress(json.JSONDecodeError):  # then it is a table, whose head may begin like this
            return scalars.decode(text)
    lines = text.split("\n")
    form = Form(scalars)
    at = 0
    while at < len(lines) and (found := _SHAPE.fullmatch(lines[at])) is not None:
        form.shapes[found[1]] = shape_of(found[2], form)
        at += 1
    if at < len(lines) and _HEAD.fullmatch(lines[at]):
        return _whole(*_Rows(lines, form).table(at), len(lines))
    found = _AT.fullmatch(lines[at])
    if found is None:
        return only(Reader("\n".join(lines[at:]), form))
    outer = only(Reader(found[1], form))
    path = found[2]
    rows = _Rows(lines, form)
    while True:
        table, at = rows.table(at + 1)
        _place(outer, path.split("."), table)
        if at == len(lines):
            return outer
        if not lines[at].startswith("at "):
            raise ValueError(f"this line belongs to no table: {lines[at][:80]}")
        path = lines[at][3:]


def _whole(table: list[Record] | Record, at: int, end: int) -> list[Record] | Record:
    if at != end:
        raise ValueError(f"{end - at} lines follow the last row")
    return table


def _place(outer: Any, path: list[str], table: list[Record] | Record) -> None:
    for step in path[:-1]:
        outer = outer[int(step)] if isinstance(outer, list) else outer[step]
    last = int(path[-1]) if isinstance(outer, list) else path[-1]
    if outer[last] or outer[last] is None or isinstance(outer[last], list) != isinstance(table, list):
        raise ValueError(f"at {'.'.join(path)} there is something already")
    outer[last] = table


class _Rows:
    """Reads tables."""

    def __init__(self, lines: list[str], form: Form) -> None:
        self._lines = lines
        self._form = form

    def table(self, at: int) -> tuple[list[Record] | Record, int]:
        """The table that begins in line *at*, and the line after it."""
        head = _HEAD.fullmatch(self._lines[at])
        if head is None:
            raise ValueError(f"this line should say how many rows follow: {self._lines[at][:80]}")
        constant: Record = {}
        at += 1
        if self._lines[at].startswith("all: "):
            constant = only(Reader(self._lines[at][5:], self._form))
            at += 1
        derived: dict[str, str] = {}
        if self._lines[at].startswith("from: "):
            derived = only(Reader(self._lines[at][6:], self._form))
            at += 1
        names = [str(name) for name in Reader(self._lines[at], Form(NUMBERS)).row()]
        end = at + 1 + int(head[1])
        if end > len(self._lines):
            raise ValueError(f"{end - len(self._lines)} rows of {head[1]} are missing")
        rows = [self._cells(names, row) for row in self._lines[at + 1 : end]]
        if head[2]:
            return {str(cells[0]): _record(names[1:], constant, derived, cells[1:]) for cells in rows}, end
        return [_record(names, constant, derived, cells) for cells in rows], end

    def _cells(self, names: list[str], row: str) -> list[Any]:
        cells = Reader(row, self._form).row()
        if len(cells) != len(names):
            raise ValueError(f"this row has {len(cells)} cells, the header {len(names)}: {row[:80]}")
        return cells


def _record(names: list[str], constant: Record, derived: dict[str, str], cells: list[Any]) -> Record:
    flat = {name: cell for name, cell in zip(names, cells, strict=True) if cell is not NOTHING}
    for name, template in derived.items():
        flat[name] = fill(template, flat, flat.get(name, ""))
    flat = {**constant, **flat}
    if not any("." in name for name in flat):
        return flat
    record: Record = {}
    for name, value in flat.items():
        _put(record, name.split("."), value)
    return record


def _put(record: Record, name: list[str], value: Any) -> None:
    for parent in name[:-1]:
        record = record.setdefault(parent, {})
    record[name[-1]] = value
