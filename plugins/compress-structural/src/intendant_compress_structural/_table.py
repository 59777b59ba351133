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
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from intendant_compress_structural._loading import compact, loaded, same
from intendant_compress_structural._reading import BARE, INNER_BARE, NAME, SCALAR, decode

LEAST = 3
"""Records from which a table can pay."""
MOST_COLUMNS = 500
MOST_TABLES = 60
MOST_SHAPES = 26
LEAST_KEYS = 2
LEAST_GAIN = 24
"""Characters of keys that a shape has to save."""
TABLE_DEPTH = 6
"""Nesting down to which tables are looked for."""

Record = dict[str, Any]
Path = tuple[str | int, ...]


@dataclass(slots=True)
class _Shape:
    label: str
    constant: Record
    open: tuple[str, ...]
    """Keys whose values stand in each record."""


@dataclass(slots=True)
class _Table:
    path: Path
    count: int
    constant: Record
    names: list[str]
    rows: list[list[Any]]


class _Missing:
    """Stands for a field that is not there."""


MISSING = _Missing()


@dataclass(slots=True)
class _Writer:
    shapes: dict[tuple[str, ...], _Shape] = field(default_factory=dict)

    def inline(self, value: Any) -> str:
        """A value inside JSON."""
        if not self.shapes or not isinstance(value, dict | list) or not value:
            return compact(value)
        if isinstance(value, list):
            return f"[{','.join(map(self.inline, value))}]"
        shape = self.shapes.get(tuple(value))
        if shape is None:
            return "{" + ",".join(f"{compact(key)}:{self.inline(item)}" for key, item in value.items()) + "}"
        return f"{shape.label}({','.join(self.cell(value[key], INNER_BARE) for key in shape.open)})"

    def cell(self, value: Any, bare: re.Pattern[str] = BARE) -> str:
        """A value of a row or of a shape."""
        if isinstance(value, str):
            return value if bare.fullmatch(value) and not SCALAR.fullmatch(value) else compact(value)
        return "" if value is MISSING else self.inline(value)

    def table(self, table: _Table) -> str:
        lines = [f"{table.count} rows"]
        if table.constant:
            lines.append(f"all: {compact(table.constant)}")
        lines.append(",".join(map(self.cell, table.names)))
        lines += [",".join(map(self.cell, row)) for row in table.rows]
        return "\n".join(lines)


def encodings(text: str) -> list[str]:
    """The ways to write the JSON in *text*, each checked to give the same value back; none if it is not JSON."""
    value = loaded(text)
    if not isinstance(value, dict | list):
        return []
    minified = compact(value)
    hoisted = _hoisted(value)
    if hoisted is None or not _gives(value, hoisted):
        return [minified]
    return [minified, hoisted]


def _gives(value: Any, candidate: str) -> bool:
    try:
        return same(decode(candidate), value)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def _hoisted(value: Any) -> str | None:
    """*value* with its keys hoisted, or None if there are none to hoist."""
    tables: list[_Table] = []
    outer = _without_tables(value, (), tables)
    whole = len(tables) == 1 and not tables[0].path
    writer = _Writer(_shapes([item for table in tables for row in table.rows for item in row] + [outer]))
    if not tables and not writer.shapes:
        return None
    lines = [_defined(keys, shape) for keys, shape in writer.shapes.items()]
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


# --- tables ---


def _without_tables(value: Any, path: Path, tables: list[_Table]) -> Any:
    """*value* with `[]` where the tables were that are added to *tables*."""
    if isinstance(value, list):
        table = _table(value, path) if len(tables) < MOST_TABLES else None
        if table is not None:
            tables.append(table)
            return []
        if len(path) < TABLE_DEPTH:
            return [_without_tables(item, (*path, index), tables) for index, item in enumerate(value)]
    elif isinstance(value, dict) and len(path) < TABLE_DEPTH:
        return {
            key: _without_tables(item, (*path, key), tables) if NAME.fullmatch(key) else item
            for key, item in value.items()
        }
    return value


def _table(records: Sequence[Any], path: Path) -> _Table | None:
    if len(records) < LEAST or not all(isinstance(record, dict) and record for record in records):
        return None
    flat = [dict(_flat(record)) for record in records]
    names = list(dict.fromkeys(name for record in flat for name in record))
    if len(names) > MOST_COLUMNS or len(names) * len(flat) > 2 * sum(map(len, flat)):
        return None
    constant = _constant(flat, names)
    shown = [name for name in names if name not in constant]
    if not shown:
        return None
    rows = [[record.get(name, MISSING) for name in shown] for record in flat]
    return _Table(path, len(flat), constant, shown, rows)


def _flat(record: Record, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, dict) and value and NAME.fullmatch(key) and all(map(NAME.fullmatch, value)):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _constant(flat: Sequence[Record], names: Sequence[str]) -> Record:
    """Fields of one value in all records."""
    constant: Record = {}
    for name in names:
        first = flat[0].get(name, MISSING)
        if first is not MISSING and all(name in record and _equal(record[name], first) for record in flat):
            constant[name] = first
    return constant


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other and (not isinstance(one, dict | list) or same(one, other))


# --- shapes ---


def _shapes(values: Sequence[Any]) -> dict[tuple[str, ...], _Shape]:
    """Keys that records among *values* have in common, where saying them once pays."""
    found: dict[tuple[str, ...], list[Record]] = {}
    level: list[Any] = [value for value in values if isinstance(value, dict | list)]
    while level:
        for item in level:
            if isinstance(item, dict) and len(item) >= LEAST_KEYS:
                found.setdefault(tuple(item), []).append(item)
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
    gains = Counter(
        {keys: (len(records) - 1) * (sum(map(len, keys)) + 3 * len(keys)) for keys, records in found.items()}
    )
    chosen = [keys for keys, gain in gains.most_common(MOST_SHAPES) if gain >= LEAST_GAIN]
    order = [keys for keys in found if keys in set(chosen)]
    return {keys: _shape(chr(ord("A") + index), keys, found[keys]) for index, keys in enumerate(order)}


def _shape(label: str, keys: tuple[str, ...], records: Sequence[Record]) -> _Shape:
    constant = {
        key: records[0][key]
        for key in keys
        if not isinstance(records[0][key], dict | list)
        and all(_equal(item[key], records[0][key]) for item in records)
    }
    return _Shape(label, constant, tuple(key for key in keys if key not in constant))


def _defined(keys: tuple[str, ...], shape: _Shape) -> str:
    shown = (
        f"{compact(key)}:{compact(shape.constant[key])}"
        if key in shape.constant
        else (key if NAME.fullmatch(key) else compact(key))
        for key in keys
    )
    return f"{shape.label} = {{{','.join(shown)}}}"
