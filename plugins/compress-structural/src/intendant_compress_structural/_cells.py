"""Reading values, from left to right, as `_writing` writes them."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from intendant_compress_structural._derive import fill
from intendant_compress_structural._loading import figure, integer

NAME = re.compile(r"[A-Za-z_][\w-]*")
BARE = re.compile(r"(?![A-Z]\()[^\s\",\[{\x00-\x1f](?:[^\",\x00-\x1f]*[^\s\",\x00-\x1f])?")
"""Texts that need no quotes in a row, unless they are `SCALAR`."""
INNER_BARE = re.compile(r"[^\s\",\[\]{}()\x00-\x1f](?:[^\",\[\]{}()\x00-\x1f]*[^\s\",\[\]{}()\x00-\x1f])?")
"""Texts that need no quotes in a shape's brackets, unless they are `SCALAR`."""
SCALAR = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|NaN|-?Infinity")
"""Texts that would be taken for a figure or a word of JSON; more than JSON has, to be safe."""
_BARE_END = re.compile(r"[^,\n]*")
_INNER_END = re.compile(r"[^,)\]}\n]*")
_LABEL = re.compile(r"([A-Z])\(")
NUMBERS = json.JSONDecoder()
EXACT = json.JSONDecoder(parse_float=figure, parse_int=integer)

NOTHING: Any = object()
_WORDS = {"true": True, "false": False, "null": None}

Record = dict[str, Any]
Shape = list[tuple[str, str, Any]]
"""Each key; `:` if it has one value in all records, and that value; or `:=` if a template gives it, and that."""
Told = dict[tuple[str, str], Record]
"""Records that were read, by the letter of their shape and their first value."""


@dataclass(slots=True)
class Form:
    """What is known of the text that is read."""

    scalars: json.JSONDecoder
    shapes: dict[str, Shape] = field(default_factory=dict)
    told: Told = field(default_factory=dict)


def only(reader: "Reader") -> Any:
    """The one value that the reader's text is.

    Raises:
        ValueError: Something follows it.
    """
    value = reader.value()
    if reader.at != len(reader.text):
        raise ValueError("text follows the value")
    return value


class Reader:
    """Reads values from left to right."""

    def __init__(self, text: str, form: Form) -> None:
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
        key, self.at = NUMBERS.raw_decode(self.text, self.at)
        if not isinstance(key, str):
            raise ValueError(f"a key is no text: {key}")  # noqa: TRY004  # the text is wrong, not a type
        return key

    def _shaped(self, label: str) -> Record:
        self.at += 2
        shape = self._form.shapes[label]
        cells: list[Any] = []
        count = sum(mode == "" or (mode == ":=" and "{}" in value) for _, mode, value in shape)
        while len(cells) < count and not (len(cells) == 1 and self.text.startswith(")", self.at)):
            if cells:
                self.take(",")
            cells.append(self._cell(_INNER_END))
        self.take(")")
        if len(cells) < count:
            return self._form.told[label, cells[0]]
        values = iter(cells)
        record: Record = {}
        for key, mode, value in shape:
            if mode == ":=":
                record[key] = fill(value, record, next(values) if "{}" in value else "")
            else:
                record[key] = value if mode else next(values)
        if cells and isinstance(cells[0], str):
            self._form.told.setdefault((label, cells[0]), record)
        return record

    def _cell(self, end: re.Pattern[str]) -> Any:
        first = self.text[self.at : self.at + 1]
        if first == '"':
            value, self.at = NUMBERS.raw_decode(self.text, self.at)
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
            return NOTHING
        if not SCALAR.fullmatch(cell):
            return cell
        return _WORDS[cell] if cell in _WORDS else self._form.scalars.decode(cell)

    def take(self, mark: str) -> None:
        if not self.text.startswith(mark, self.at):
            raise ValueError(f"{mark} is missing before: {self.text[self.at : self.at + 40]}")
        self.at += 1


def shape_of(keys: str, form: Form) -> Shape:
    """The shape that a line defines with these *keys*."""
    reader = Reader(keys, form)
    shape: Shape = []
    while reader.at < len(keys):
        if shape:
            reader.take(",")
        key = reader.key()
        mode = next((mark for mark in (":=", ":") if keys.startswith(mark, reader.at)), "")
        reader.at += len(mode)
        shape.append((key, mode, reader.inner() if mode else None))
    return shape
