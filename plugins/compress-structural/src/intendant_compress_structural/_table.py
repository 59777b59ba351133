r"""JSON as header and rows, and back.

The encoding of a list of records: a line `<count> rows`, a header of columns, one line a record, all in the manner
of CSV (RFC 4180: commas, quotes doubled inside quotes). Nested records become dotted columns (`owner.name`).

- A cell without quotes is a JSON figure, `true`, `false` or `null`; else it is text. In quotes it is text, unless
  it begins with `{`, `[` or a quote: then it is JSON.
- An empty cell is a field that is not there.
- Columns that hold one value in all records are said once, in a line `all: {"state":"open"}` before the header.
- Where the list is a field of a record, a line `{"next":null,"rows":[]} at rows` comes first.

Rows have this module's own grammar, not that of `csv`, which treats lone carriage returns and null characters its
own way.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

LEAST = 3
"""Records from which a table can pay."""
MOST_DEPTH = 100
"""Nesting above which content is left as it is."""
MOST_COLUMNS = 500
MAX_TEXT = 8_000_000
"""Characters above which content is left as it is."""
_CONTROL = re.compile(r"[\x00-\x1f]")
_BARE = re.compile(r"[^\s\",\[{\x00-\x1f]([^\",\x00-\x1f]*[^\s\",\x00-\x1f])?")
"""Texts that need no quotes, unless they would be taken for a figure or a word of JSON."""
_NAME = re.compile(r"[A-Za-z_][\w-]*")
_CELL = re.compile(r'"((?:[^"]|"")*)"|([^,"]*)', re.DOTALL)
_HEAD = re.compile(r"(\d+) rows")
_AT = re.compile(r"(.*) at ([A-Za-z_][\w-]*)", re.DOTALL)

Record = dict[str, Any]


def encodings(text: str) -> list[str]:
    """The ways to write the JSON in *text*, each checked to give the same value back; none if it is not JSON."""
    value = _loaded(text)
    if not isinstance(value, dict | list):
        return []
    found = [json.dumps(value, ensure_ascii=False, separators=(",", ":"))]
    table = _table(value)
    if table is not None:
        found.append(table)
    return [candidate for candidate in found if _same(value, candidate)]


def decode(text: str) -> Any:
    """The value that *text*, written by `encodings`, stands for.

    Raises:
        ValueError: The text is not of that form.
    """
    lines = text.split("\n")
    outer: Record | None = None
    field = ""
    if (found := _AT.fullmatch(lines[0])) is not None and len(lines) > 1:
        outer, field, lines = json.loads(found[1]), found[2], lines[1:]
    head = _HEAD.fullmatch(lines[0])
    if head is None:
        return json.loads(text)
    rest = lines[1:]
    constant: Record = {}
    if rest and rest[0].startswith("all: "):
        constant, rest = json.loads(rest[0][5:]), rest[1:]
    names = [_parsed(*cell) for cell in _cells(rest[0])]
    rows = [_record(names, constant, row) for row in rest[1:]]
    if len(rows) != int(head[1]):
        raise ValueError(f"{len(rows)} rows of {head[1]}")
    if outer is None:
        return rows
    return {key: rows if key == field else item for key, item in outer.items()}


def _loaded(text: str) -> Any:
    if len(text) > MAX_TEXT or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_exact)
    except (ValueError, RecursionError):
        return None
    return value if _depth(value) <= MOST_DEPTH else None


def _exact(digits: str) -> float:
    """Refuses figures of which a float would keep less than is written."""
    value = float(digits)
    if not math.isfinite(value) or Decimal(repr(value)) != Decimal(digits):
        raise ValueError(f"{digits} is no float")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Record:
    """Refuses doubled keys: one of their values would be lost."""
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key stands twice")
    return record


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _depth(value: Any) -> int:
    level, deepest = [value], 0
    while level and deepest <= MOST_DEPTH:
        deepest += 1
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return deepest


def _same(value: Any, candidate: str) -> bool:
    """True if *candidate* is decoded to *value*, types included. The order of keys means nothing in JSON."""
    try:
        back = decode(candidate)
    except (ValueError, IndexError, TypeError, AttributeError):
        return False
    return json.dumps(back, sort_keys=True) == json.dumps(value, sort_keys=True)


# --- writing ---


def _table(value: Any) -> str | None:
    if isinstance(value, list):
        return _rows(value)
    lists = [key for key, item in value.items() if isinstance(item, list) and _NAME.fullmatch(key)]
    best = max(lists, key=lambda key: len(value[key]), default=None)
    rows = _rows(value[best]) if best is not None else None
    if rows is None:
        return None
    outer = {key: [] if key == best else item for key, item in value.items()}
    return f"{json.dumps(outer, ensure_ascii=False, separators=(',', ':'))} at {best}\n{rows}"


def _rows(records: Sequence[Any]) -> str | None:
    if len(records) < LEAST or not all(isinstance(record, dict) and record for record in records):
        return None
    flat = [dict(_flat(record)) for record in records]
    names = list(dict.fromkeys(name for record in flat for name in record))
    if len(names) > MOST_COLUMNS:
        return None
    constant = _constant(flat, names)
    shown = [name for name in names if name not in constant]
    if not shown:
        return None
    lines = [f"{len(records)} rows"]
    if constant:
        lines.append(f"all: {json.dumps(constant, ensure_ascii=False, separators=(',', ':'))}")
    lines.append(",".join(_cell(name) for name in shown))
    lines += [",".join(_cell(record[name]) if name in record else "" for name in shown) for record in flat]
    return "\n".join(lines)


def _flat(record: Record, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, dict) and value and all(_NAME.fullmatch(name) for name in (key, *value)):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _constant(flat: Sequence[Record], names: Sequence[str]) -> Record:
    """Fields of one value in all records."""
    constant: Record = {}
    for name in names:
        values = {json.dumps(record[name]) if name in record else None for record in flat}
        if len(values) == 1 and "." not in name:
            constant[name] = flat[0][name]
    return constant


def _cell(value: Any) -> str:
    if not isinstance(value, str):
        written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return _quoted(written) if isinstance(value, dict | list) else written
    if _BARE.fullmatch(value) and not _is_scalar(value):
        return value
    as_json = value[:1] in ("{", "[", '"') or _CONTROL.search(value)
    return _quoted(json.dumps(value, ensure_ascii=False) if as_json else value)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _is_scalar(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


# --- reading ---


def _cells(line: str) -> Iterator[tuple[str, bool]]:
    """Each cell of *line*, and whether it was quoted."""
    at = 0
    while True:
        found = _CELL.match(line, at)
        if found is None:
            raise ValueError("a cell is not closed")
        yield (found[1].replace('""', '"'), True) if found[1] is not None else (found[2], False)
        at = found.end()
        if at >= len(line):
            return
        if line[at] != ",":
            raise ValueError("a cell goes on after its quote")
        at += 1


def _parsed(cell: str, quoted: bool) -> Any:
    if quoted:
        return json.loads(cell) if cell[:1] in ("{", "[", '"') else cell
    return json.loads(cell) if _is_scalar(cell) else cell


def _record(names: Sequence[str], constant: Record, row: str) -> Record:
    record: Record = dict(constant)
    cells = list(_cells(row))
    if len(cells) != len(names):
        raise ValueError("a row has another number of cells than the header")
    for name, (cell, quoted) in zip(names, cells, strict=True):
        if cell or quoted:
            _put(record, name, _parsed(cell, quoted))
    return record


def _put(record: Record, name: str, value: Any) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        record = record.setdefault(parent, {})
    record[last] = value
