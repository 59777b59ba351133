"""Lists of records, and records of records, as tables."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from intendant_compress_structural._cells import NAME
from intendant_compress_structural._derive import rest, templates
from intendant_compress_structural._equal import Equals, Record, equal
from intendant_compress_structural._loading import compact

LEAST = 3
"""Records from which a table can pay."""
MOST_COLUMNS = 500
MOST_TABLES = 60
LEAST_REPEATED = 60
"""Characters that have to be saved by saying records once that come again."""
COMMON = 0.2
"""Share of the records in which a record has to be that becomes columns."""
NAMED = 12
"""Characters of the name by which a record is said again, about."""
WRAP = 6
"""Characters that a record costs which is not taken apart into columns."""
TABLE_DEPTH = 6
"""Nesting down to which tables are looked for."""

Path = tuple[str | int, ...]
Keys = frozenset[tuple[str, ...]]


@dataclass(slots=True)
class Table:
    path: Path
    keyed: bool
    """The table stands for a record of records; the first column holds its keys."""
    count: int
    constant: Record
    names: list[str]
    rows: list[list[Any]]
    derived: dict[str, str] = field(default_factory=dict)
    """What gives the texts of columns (see `_derive`)."""

    def derive(self) -> None:
        """Leave out what follows from other columns."""
        columns = dict(zip(self.names, zip(*self.rows, strict=True), strict=True))
        whole = {name: cells for name, cells in columns.items() if not any(cell is MISSING for cell in cells)}
        self.derived = templates(whole)
        if self.keyed:
            self.derived.pop(self.names[0], None)
        shown = [name for name in self.names if "{}" in self.derived.get(name, "{}")]
        kept = [
            [rest(self.derived[name], cell) for cell in columns[name]] if name in self.derived else columns[name]
            for name in shown
        ]
        self.names, self.rows = shown, [list(row) for row in zip(*kept, strict=True)]


class _Missing:
    """Stands for a field that is not there."""


MISSING = _Missing()


@dataclass(slots=True)
class Finder:
    """Finds tables."""

    whole: Keys
    """Keys of records that are not taken apart into columns."""
    tables: list[Table] = field(default_factory=list)

    def without_tables(self, value: Any, path: Path) -> Any:
        """*value* with `[]` or `{}` where the tables were that are added to `tables`."""
        if isinstance(value, list):
            table = self._table(value, path) if len(self.tables) < MOST_TABLES else None
            if table is not None:
                self.tables.append(table)
                return []
            if len(path) < TABLE_DEPTH:
                return [self.without_tables(item, (*path, index)) for index, item in enumerate(value)]
        elif isinstance(value, dict) and len(path) < TABLE_DEPTH:
            table = self._keyed(value, path) if len(self.tables) < MOST_TABLES and path else None
            if table is not None:
                self.tables.append(table)
                return {}
            return {
                key: self.without_tables(item, (*path, key)) if NAME.fullmatch(key) else item
                for key, item in value.items()
            }
        return value

    def _keyed(self, records: Record, path: Path) -> Table | None:
        table = self._table(list(records.values()), path)
        if table is not None:
            table.keyed = True
            table.names.insert(0, "key")
            for key, row in zip(records, table.rows, strict=True):
                row.insert(0, key)
        return table

    def _table(self, records: Sequence[Any], path: Path) -> Table | None:
        if len(records) < LEAST or not all(isinstance(record, dict) and record for record in records):
            return None
        common = _common(records)
        flat = [dict(self._flat(record, common)) for record in records]
        names = list(dict.fromkeys(name for record in flat for name in record))
        if len(names) > MOST_COLUMNS or len(names) * len(flat) > 2 * sum(map(len, flat)):
            return None
        constant = _constant(flat, names)
        shown = [name for name in names if name not in constant]
        if not shown:
            return None
        rows = [[record.get(name, MISSING) for name in shown] for record in flat]
        return Table(path, False, len(flat), constant, shown, rows)  # set by `_keyed`

    def _flat(self, record: Record, common: Keys, prefix: str = "") -> Iterator[tuple[str, Any]]:
        for key, value in record.items():
            if (
                isinstance(value, dict)
                and tuple(value) in common
                and tuple(value) not in self.whole
                and NAME.fullmatch(key)
                and all(map(NAME.fullmatch, value))
            ):
                yield from self._flat(value, common, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value


def _common(records: Sequence[Record]) -> Keys:
    """Keys of records within at least some of the *records*, which may become columns."""
    counts: Counter[tuple[str, ...]] = Counter()
    level: Sequence[Record] = records
    while level:
        level = [value for record in level for value in record.values() if isinstance(value, dict) and value]
        counts.update(map(tuple, level))
    return frozenset(keys for keys, count in counts.items() if count >= COMMON * len(records))


def repeated(found: Mapping[tuple[str, ...], list[Record]], equals: Equals) -> Keys:
    """Keys of records that come again so often that each had better be said once."""
    often = []
    for keys, records in found.items():
        different = equals.distinct(records)
        again = len(records) - len(different)
        if len(different) > 1 and again:
            size = sum(len(compact(record)) for record in different) / len(different) - sum(
                len(key) + 6 for key in keys
            )
            if again * (size - NAMED) - WRAP * len(records) > LEAST_REPEATED:
                often.append(keys)
    return frozenset(often)


def _constant(flat: Sequence[Record], names: Sequence[str]) -> Record:
    """Fields of one value in all records."""
    constant: Record = {}
    for name in names:
        first = flat[0].get(name, MISSING)
        if first is not MISSING and all(name in record and equal(record[name], first) for record in flat):
            constant[name] = first
    return constant
