"""The decoder of header and rows (see `_table`)."""

import json
import re
from collections.abc import Mapping
from typing import Any

NAME = re.compile(r"[A-Za-z_][\w-]*")
BARE = re.compile(r"(?![A-Z]\()[^\s\",\[{\x00-\x1f](?:[^\",\x00-\x1f]*[^\s\",\x00-\x1f])?")
"""Texts that need no quotes in a row, unless they are `SCALAR`."""
INNER_BARE = re.compile(r"[^\s\",\[\]{}()\x00-\x1f](?:[^\",\[\]{}()\x00-\x1f]*[^\s\",\[\]{}()\x00-\x1f])?")
"""Texts that need no quotes in a shape's brackets, unless they are `SCALAR`."""
SCALAR = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|NaN|-?Infinity")
"""Texts that would be taken for a figure or a word of JSON; more than JSON has, to be safe."""
_SHAPE = re.compile(r"([A-Z]) = \{(.*)\}", re.DOTALL)
_HEAD = re.compile(r"(\d+) rows")
_AT = re.compile(r"(.*) at ([\w.-]+)", re.DOTALL)
_BARE_END = re.compile(r"[^,\n]*")
_INNER_END = re.compile(r"[^,)\]}\n]*")
_LABEL = re.compile(r"([A-Z])\(")
_DECODER = json.JSONDecoder()

Record = dict[str, Any]
Shape = list[tuple[str, bool, Any]]
"""Each key, whether it has one value in all records, and that value."""


def decode(text: str) -> Any:
    """The value that *text*, written by `encodings`, stands for.

    Raises:
        ValueError: The text is not of that form.
    """
    try:
        return _decoded(text)
    except (LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError("this is not JSON as header and rows") from None


def _decoded(text: str) -> Any:
    lines = text.split("\n")
    shapes: dict[str, Shape] = {}
    at = 0
    while at < len(lines) and (found := _SHAPE.fullmatch(lines[at])) is not None:
        shapes[found[1]] = _shape(found[2])
        at += 1
    if at < len(lines) and _HEAD.fullmatch(lines[at]):
        return _whole(*_Rows(lines, shapes).table(at), len(lines))
    found = _AT.fullmatch(lines[at])
    if found is None:
        return _only(_Reader("\n".join(lines[at:]), shapes))
    outer = _only(_Reader(found[1], shapes))
    path = found[2]
    rows = _Rows(lines, shapes)
    while True:
        table, at = rows.table(at + 1)
        _place(outer, path.split("."), table)
        if at == len(lines):
            return outer
        if not lines[at].startswith("at "):
            raise ValueError(f"this line belongs to no table: {lines[at][:80]}")
        path = lines[at][3:]


def _whole(table: list[Record], at: int, end: int) -> list[Record]:
    if at != end:
        raise ValueError(f"{end - at} lines follow the last row")
    return table


def _place(outer: Any, path: list[str], table: list[Record]) -> None:
    for step in path[:-1]:
        outer = outer[int(step)] if isinstance(outer, list) else outer[step]
    last = int(path[-1]) if isinstance(outer, list) else path[-1]
    if outer[last] != []:
        raise ValueError(f"at {'.'.join(path)} there is something already")
    outer[last] = table


class _Rows:
    """Reads tables."""

    def __init__(self, lines: list[str], shapes: Mapping[str, Shape]) -> None:
        self._lines = lines
        self._shapes = shapes

    def table(self, at: int) -> tuple[list[Record], int]:
        """The table that begins in line *at*, and the line after it."""
        head = _HEAD.fullmatch(self._lines[at])
        if head is None:
            raise ValueError(f"this line should say how many rows follow: {self._lines[at][:80]}")
        constant: Record = {}
        at += 1
        if self._lines[at].startswith("all: "):
            constant = json.loads(self._lines[at][5:])
            at += 1
        names = [str(name).split(".") for name in _Reader(self._lines[at], {}).row()]
        end = at + 1 + int(head[1])
        if end > len(self._lines):
            raise ValueError(f"{end - len(self._lines)} rows of {head[1]} are missing")
        return [self._record(names, constant, row) for row in self._lines[at + 1 : end]], end

    def _record(self, names: list[list[str]], constant: Record, row: str) -> Record:
        record: Record = {}
        for key, value in constant.items():
            _put(record, key.split("."), value)
        cells = _Reader(row, self._shapes).row()
        if len(cells) != len(names):
            raise ValueError(f"this row has {len(cells)} cells, the header {len(names)}: {row[:80]}")
        for name, cell in zip(names, cells, strict=True):
            if cell is not _NOTHING:
                _put(record, name, cell)
        return record


def _put(record: Record, name: list[str], value: Any) -> None:
    for parent in name[:-1]:
        record = record.setdefault(parent, {})
    record[name[-1]] = value


_NOTHING = object()


def _only(reader: "_Reader") -> Any:
    value = reader.value()
    if reader.at != len(reader.text):
        raise ValueError("text follows the value")
    return value


class _Reader:
    """Reads values from left to right."""

    def __init__(self, text: str, shapes: Mapping[str, Shape]) -> None:
        self.text = text
        self.at = 0
        self._shapes = shapes

    def row(self) -> list[Any]:
        """All cells of the text."""
        if '"' not in self.text and "{" not in self.text and "[" not in self.text and "(" not in self.text:
            return [_bare(cell) for cell in self.text.split(",")]
        cells = [self._cell(_BARE_END)]
        while self.at < len(self.text):
            self._take(",")
            cells.append(self._cell(_BARE_END))
        return cells

    def value(self) -> Any:
        """A value inside JSON."""
        if not self._shapes:
            value, self.at = _DECODER.raw_decode(self.text, self.at)
            return value
        first = self.text[self.at]
        if first == "{":
            return dict(self._items(self._pair, "}"))
        if first == "[":
            return list(self._items(self.value, "]"))
        if (label := _LABEL.match(self.text, self.at)) is not None:
            return self._shaped(label[1])
        value, self.at = _DECODER.raw_decode(self.text, self.at)
        return value

    def _items(self, read: Any, end: str) -> list[Any]:
        self.at += 1
        items: list[Any] = []
        while self.text[self.at] != end:
            if items:
                self._take(",")
            items.append(read())
        self.at += 1
        return items

    def _pair(self) -> tuple[str, Any]:
        key, self.at = _DECODER.raw_decode(self.text, self.at)
        if not isinstance(key, str):
            raise ValueError(f"a key is no text: {key}")  # noqa: TRY004  # the text is wrong, not a type
        self._take(":")
        return key, self.value()

    def _shaped(self, label: str) -> Record:
        self.at += 2
        record: Record = {}
        first = True
        for key, fixed, value in self._shapes[label]:
            if fixed:
                record[key] = value
                continue
            if not first:
                self._take(",")
            first = False
            record[key] = self._cell(_INNER_END)
        self._take(")")
        return record

    def _cell(self, end: re.Pattern[str]) -> Any:
        first = self.text[self.at : self.at + 1]
        if first == '"':
            value, self.at = _DECODER.raw_decode(self.text, self.at)
            return value
        if first in ("{", "["):
            return self.value()
        if (label := _LABEL.match(self.text, self.at)) is not None and label[1] in self._shapes:
            return self._shaped(label[1])
        found = end.match(self.text, self.at)
        if found is None:
            raise ValueError("a cell is missing")
        self.at = found.end()
        return _bare(found[0])

    def _take(self, mark: str) -> None:
        if not self.text.startswith(mark, self.at):
            raise ValueError(f"{mark} is missing before: {self.text[self.at : self.at + 40]}")
        self.at += 1


def _bare(cell: str) -> Any:
    if not cell:
        return _NOTHING
    return json.loads(cell) if SCALAR.fullmatch(cell) else cell


def _shape(keys: str) -> Shape:
    reader = _Reader(keys, {})
    shape: Shape = []
    while reader.at < len(keys):
        if shape:
            reader.at += 1
        found = NAME.match(keys, reader.at)
        if found is not None:
            shape.append((found[0], False, None))
            reader.at = found.end()
            continue
        key, reader.at = _DECODER.raw_decode(keys, reader.at)
        fixed = keys.startswith(":", reader.at)
        value = None
        if fixed:
            reader.at += 1
            value = reader.value()
        shape.append((key, fixed, value))
    return shape
