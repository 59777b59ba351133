"""The decoder of header and rows (see `_writing`)."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from intendant_compress_structural._loading import figure, integer

NAME = re.compile(r"[A-Za-z_][\w-]*")
BARE = re.compile(r"(?![A-Z]\()[^\s\",\[{\x00-\x1f](?:[^\",\x00-\x1f]*[^\s\",\x00-\x1f])?")
"""Texts that need no quotes in a row, unless they are `SCALAR`."""
INNER_BARE = re.compile(r"[^\s\",\[\]{}()\x00-\x1f](?:[^\",\[\]{}()\x00-\x1f]*[^\s\",\[\]{}()\x00-\x1f])?")
"""Texts that need no quotes in a shape's brackets, unless they are `SCALAR`."""
SCALAR = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|NaN|-?Infinity")
"""Texts that would be taken for a figure or a word of JSON; more than JSON has, to be safe."""
_SHAPE = re.compile(r"([A-Z]) = \{(.*)\}", re.DOTALL)
_HEAD = re.compile(r"(\d+) rows( by key)?")
_AT = re.compile(r"(.*) at ([\w.-]+)", re.DOTALL)
_BARE_END = re.compile(r"[^,\n]*")
_INNER_END = re.compile(r"[^,)\]}\n]*")
_LABEL = re.compile(r"([A-Z])\(")
_NUMBERS = json.JSONDecoder()
_EXACT = json.JSONDecoder(parse_float=figure, parse_int=integer)

_NOTHING: Any = object()
_WORDS = {"true": True, "false": False, "null": None}

Record = dict[str, Any]
Shape = list[tuple[str, bool, Any]]
"""Each key, whether it has one value in all records, and that value."""
Told = dict[tuple[str, str], Record]
"""Records that were read, by the letter of their shape and their first value."""


@dataclass(slots=True)
class _Form:
    """What is known of the text that is read."""

    scalars: json.JSONDecoder
    shapes: dict[str, Shape] = field(default_factory=dict)
    told: Told = field(default_factory=dict)


def decode(text: str) -> Any:
    """The value that *text*, written by `encodings`, stands for.

    Raises:
        ValueError: The text is not of that form.
    """
    return _decoded(text, _NUMBERS)


def exactly(text: str) -> Any:
    """What `decode` gives, with each `Figure` as it is written.

    Raises:
        ValueError: The text is not of that form.
    """
    return _decoded(text, _EXACT)


def _decoded(text: str, scalars: json.JSONDecoder) -> Any:
    try:
        return _value(text, scalars)
    except (LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError("this is not JSON as header and rows") from None


def _value(text: str, scalars: json.JSONDecoder) -> Any:
    if text.startswith(("{", "[")):
        try:
            return scalars.decode(text)
        except json.JSONDecodeError:
            pass
    lines = text.split("\n")
    form = _Form(scalars)
    at = 0
    while at < len(lines) and (found := _SHAPE.fullmatch(lines[at])) is not None:
        form.shapes[found[1]] = _shape(found[2], form)
        at += 1
    if at < len(lines) and _HEAD.fullmatch(lines[at]):
        return _whole(*_Rows(lines, form).table(at), len(lines))
    found = _AT.fullmatch(lines[at])
    if found is None:
        return _only(_Reader("\n".join(lines[at:]), form))
    outer = _only(_Reader(found[1], form))
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

    def __init__(self, lines: list[str], form: _Form) -> None:
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
            constant = _only(_Reader(self._lines[at][5:], self._form))
            at += 1
        names = [str(name).split(".") for name in _Reader(self._lines[at], _Form(_NUMBERS)).row()]
        end = at + 1 + int(head[1])
        if end > len(self._lines):
            raise ValueError(f"{end - len(self._lines)} rows of {head[1]} are missing")
        rows = [self._cells(names, row) for row in self._lines[at + 1 : end]]
        if head[2]:
            return {str(cells[0]): self._record(names[1:], constant, cells[1:]) for cells in rows}, end
        return [self._record(names, constant, cells) for cells in rows], end

    def _cells(self, names: list[list[str]], row: str) -> list[Any]:
        cells = _Reader(row, self._form).row()
        if len(cells) != len(names):
            raise ValueError(f"this row has {len(cells)} cells, the header {len(names)}: {row[:80]}")
        return cells

    @staticmethod
    def _record(names: list[list[str]], constant: Record, cells: list[Any]) -> Record:
        record: Record = {}
        for key, value in constant.items():
            _put(record, key.split("."), value)
        for name, cell in zip(names, cells, strict=True):
            if cell is not _NOTHING:
                _put(record, name, cell)
        return record


def _put(record: Record, name: list[str], value: Any) -> None:
    for parent in name[:-1]:
        record = record.setdefault(parent, {})
    record[name[-1]] = value


def _only(reader: "_Reader") -> Any:
    value = reader.value()
    if reader.at != len(reader.text):
        raise ValueError("text follows the value")
    return value


class _Reader:
    """Reads values from left to right."""

    def __init__(self, text: str, form: _Form) -> None:
        self.text = text
        self.at = 0
        self._form = form

    def row(self) -> list[Any]:
        """All cells of the text."""
        if '"' not in self.text and "{" not in self.text and "[" not in self.text and "(" not in self.text:
            return [self._bare(cell) for cell in self.text.split(",")]
        cells = [self._cell(_BARE_END)]
        while self.at < len(self.text):
            self.take(",")
            cells.append(self._cell(_BARE_END))
        return cells

    def value(self) -> Any:
        """An object, a list, or a record of a shape."""
        first = self.text[self.at]
        if first == "{":
            return dict(self._items(self._pair, "}"))
        if first == "[":
            return list(self._items(self.inner, "]"))
        if (label := _LABEL.match(self.text, self.at)) is not None:
            return self._shaped(label[1])
        raise ValueError(f"no value begins here: {self.text[self.at : self.at + 40]}")

    def inner(self) -> Any:
        return self._cell(_INNER_END)

    def _items(self, read: Any, end: str) -> list[Any]:
        self.at += 1
        items: list[Any] = []
        while self.text[self.at] != end:
            if items:
                self.take(",")
            items.append(read())
        self.at += 1
        return items

    def _pair(self) -> tuple[str, Any]:
        key = self.key()
        self.take(":")
        return key, self.inner()

    def key(self) -> str:
        found = NAME.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
            return found[0]
        key, self.at = _NUMBERS.raw_decode(self.text, self.at)
        if not isinstance(key, str):
            raise ValueError(f"a key is no text: {key}")  # noqa: TRY004  # the text is wrong, not a type
        return key

    def _shaped(self, label: str) -> Record:
        self.at += 2
        shape = self._form.shapes[label]
        cells: list[Any] = []
        count = sum(not fixed for _, fixed, _ in shape)
        while len(cells) < count and not (len(cells) == 1 and self.text.startswith(")", self.at)):
            if cells:
                self.take(",")
            cells.append(self._cell(_INNER_END))
        self.take(")")
        if len(cells) < count:
            return self._form.told[label, cells[0]]
        values = iter(cells)
        record = {key: value if fixed else next(values) for key, fixed, value in shape}
        if cells and isinstance(cells[0], str):
            self._form.told.setdefault((label, cells[0]), record)
        return record

    def _cell(self, end: re.Pattern[str]) -> Any:
        first = self.text[self.at : self.at + 1]
        if first == '"':
            value, self.at = _NUMBERS.raw_decode(self.text, self.at)
            return value
        if first in ("{", "["):
            return self.value()
        if (label := _LABEL.match(self.text, self.at)) is not None and label[1] in self._form.shapes:
            return self._shaped(label[1])
        found = end.match(self.text, self.at)
        if found is None:
            raise ValueError("a cell is missing")
        self.at = found.end()
        return self._bare(found[0])

    def _bare(self, cell: str) -> Any:
        if not cell:
            return _NOTHING
        if not SCALAR.fullmatch(cell):
            return cell
        return _WORDS[cell] if cell in _WORDS else self._form.scalars.decode(cell)

    def take(self, mark: str) -> None:
        if not self.text.startswith(mark, self.at):
            raise ValueError(f"{mark} is missing before: {self.text[self.at : self.at + 40]}")
        self.at += 1


def _shape(keys: str, form: _Form) -> Shape:
    reader = _Reader(keys, form)
    shape: Shape = []
    while reader.at < len(keys):
        if shape:
            reader.take(",")
        key = reader.key()
        fixed = keys.startswith(":", reader.at)
        if fixed:
            reader.at += 1
        shape.append((key, fixed, reader.inner() if fixed else None))
    return shape
