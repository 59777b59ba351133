r"""JSON as header and rows.

A list of three or more records becomes a line `<count> rows`, a header of columns, and one line a record. Nested
records become dotted columns (`owner.name`).

- A cell is a JSON figure, `true`, `false` or `null`, a JSON object or list, or text: without quotes where that
  cannot be mistaken, else as a JSON string.
- An empty cell is a field that is not there.
- Columns that hold one value in all records are said once, in a line `all: {"state":"open"}` before the header.
- Where lists are inside other JSON, that comes first, with `[]` in their places, and `at` says where they belong:
  `{"next":null,"rows":[]} at rows`.
- Keys that several records elsewhere have in common are said once, before all else:
  `A = {id,login,"type":"User"}`; the record is then `A(1,ada)`, and the fields that have a value in
  the first line have that value in all.

Only keys are hoisted, and values that all records share; other values are never split nor replaced by references.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from intendant_compress_structural._cells import BARE, INNER_BARE, NAME, SCALAR
from intendant_compress_structural._derive import rest
from intendant_compress_structural._equal import Equals, Record
from intendant_compress_structural._loading import Figure, compact, loaded, same
from intendant_compress_structural._reading import exactly
from intendant_compress_structural._shapes import Shape, shapes
from intendant_compress_structural._tables import MISSING, Finder, Path, Table, repeated


@dataclass(slots=True)
class _Writer:
    shapes: dict[tuple[str, ...], Shape] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)
    """The letters and names of records that were written."""

    def inline(self, value: Any) -> str:
        """A value inside others."""
        if isinstance(value, list):
            return f"[{','.join([self.cell(item, INNER_BARE) for item in value])}]"
        if not isinstance(value, dict):
            return compact(value)
        shape = self.shapes.get(tuple(value))
        if shape is None:
            pairs = [f"{_key(key)}:{self.cell(item, INNER_BARE)}" for key, item in value.items()]
            return f"{{{','.join(pairs)}}}"
        return self._shaped(value, shape)

    def _shaped(self, record: Record, shape: Shape) -> str:
        if not shape.named:
            return f"{shape.label}({','.join(self._cells(record, shape))})"
        name = self.cell(record[shape.open[0]], INNER_BARE)
        if (shape.label, name) in self.told:
            return f"{shape.label}({name})"
        written = f"{shape.label}({','.join(self._cells(record, shape))})"
        self.told.add((shape.label, name))
        return written

    def _cells(self, record: Record, shape: Shape) -> list[str]:
        derived = shape.derived
        return [
            self.cell(rest(derived[key], record[key]) if key in derived else record[key], INNER_BARE)
            for key in shape.open
        ]

    def cell(self, value: Any, bare: re.Pattern[str] = BARE) -> str:
        """A value of a row or of a shape."""
        if isinstance(value, Figure):
            return value.digits
        if isinstance(value, str):
            return value if bare.fullmatch(value) and not SCALAR.fullmatch(value) else compact(value)
        return "" if value is MISSING else self.inline(value)

    def table(self, table: Table) -> str:
        lines = [f"{table.count} rows{' by key' if table.keyed else ''}"]
        if table.constant:
            lines.append(f"all: {_Writer().inline(table.constant)}")
        if table.derived:
            lines.append(f"from: {_Writer().inline(table.derived)}")
        lines.append(",".join(map(self.cell, table.names)))
        lines += [",".join(map(self.cell, row)) for row in table.rows]
        return "\n".join(lines)


def encodings(text: str, *, dense: bool = False) -> list[str]:
    """The ways to write the JSON in *text*, each checked to give the same value back; none if it is not JSON.

    Args:
        text: JSON.
        dense: Texts that follow from others may be left out, too.
    """
    value = loaded(text)
    if not isinstance(value, dict | list):
        return []
    minified = compact(value)
    hoisted = [_hoisted(value, dense=False)]
    if dense:
        hoisted.append(_hoisted(value, dense=True))
    # A text that begins with a null could be taken for a `Figure`.
    sure = [] if "\\u0000" in text and not _gives(value, minified) else [minified]
    return [*sure, *(one for one in hoisted if _gives(value, one))]


def _gives(value: Any, candidate: str) -> bool:
    try:
        return same(exactly(candidate), value)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def _hoisted(value: Any, *, dense: bool) -> str:
    """*value* with its keys hoisted."""
    equals = Equals()
    finder = Finder(repeated(equals.add(value), equals))
    outer = finder.without_tables(value, ())
    tables = finder.tables
    whole = len(tables) == 1 and not tables[0].path
    if dense:
        for table in tables:
            table.derive()
    left = [item for table in tables for row in table.rows for item in row] + [outer]
    equals.add(left)
    writer = _Writer(shapes(left, equals, dense=dense))
    lines = [_defined(shape, writer) for shape in writer.shapes.values()]
    if whole:
        return "\n".join([*lines, writer.table(tables[0])])
    lines.append(writer.inline(outer) + (f" at {_dotted(tables[0].path)}" if tables else ""))
    for index, table in enumerate(tables):
        if index:
            lines.append(f"at {_dotted(table.path)}")
        lines.append(writer.table(table))
    return "\n".join(lines)


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))


def _key(key: str) -> str:
    return key if NAME.fullmatch(key) else compact(key)


def _defined(shape: Shape, writer: _Writer) -> str:
    shown = [_key(key) for key in shape.open if key not in shape.derived]
    shown += [f"{key}:={writer.cell(text, INNER_BARE)}" for key, text in shape.derived.items()]
    shown += [f"{_key(key)}:{writer.cell(value, INNER_BARE)}" for key, value in shape.constant.items()]
    return f"{shape.label} = {{{','.join(shown)}}}"
