"""Operations between records and rows of cells."""

from typing import Literal

from pydantic import Field

from intendant.plugin import Json, StepError
from intendant.records import caseless, composed, describe_value
from intendant_intent_transform._records import (
    Absent,
    Op,
    Record,
    columns_of,
    get,
    items_of,
    look,
    records_of,
    require_somewhere,
    within,
)


def as_rows(value: Json) -> list[list[Json]]:
    """*value*, which must be a list of lists.

    Raises:
        StepError: It is something else; says what.
    """
    for index, item in enumerate(items_of(value)):
        if not isinstance(item, list):
            raise StepError(f"it takes rows of cells, but element {index} is {describe_value(item)}")
    return list(value)


class RowsToObjects(Op):
    """Makes records of rows, whose first has the names, trimmed and in lower case."""

    op: Literal["rows_to_objects"]
    preserve_case: bool = False

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The records; none of a header alone. Rows that are short get null; long ones are an error."""
        rows = as_rows(value)
        if not rows:
            return []
        names = self._names(rows[0])
        within(len(rows), len(names))
        short = sum(len(row) < len(names) for row in rows[1:])
        for index, row in enumerate(rows[1:], start=1):
            if any(cell not in (None, "") for cell in row[len(names) :]):
                raise StepError(f"row {index} has {len(row)} cells, but the header has {len(names)}")
        if short:
            notes.append(f"{short} rows were shorter than the header and were filled up with null")
        return [
            dict(zip(names, [*row, *[None] * (len(names) - len(row))][: len(names)], strict=True))
            for row in rows[1:]
        ]

    def _names(self, header: list[Json]) -> list[str]:
        names = ["" if cell is None else str(cell).strip() for cell in header]
        names = [name if self.preserve_case else name.lower() for name in names]
        names = [name or f"column_{index}" for index, name in enumerate(names, start=1)]
        seen: set[str] = set()
        for name in names:
            if composed(name) in seen:
                raise StepError(f"the header has '{name}' twice", hint="rename one with map_headers before")
            seen.add(composed(name))
        return names


class MapHeaders(Op):
    """Renames columns, of records or of rows with a header, whatever case and blanks their names have."""

    op: Literal["map_headers"]
    map: dict[str, str] = Field(min_length=1)
    """`{old: new}`."""

    async def apply(self, value: Json, notes: list[str]) -> Json:  # noqa: ARG002
        """The table with its columns renamed."""
        new_names = {caseless(old.strip()): new for old, new in self.map.items()}
        items = items_of(value)
        header = as_rows(value)[0] if items and isinstance(items[0], list) else columns_of(records_of(value))
        known = {caseless(str(name).strip()) for name in header}
        odd = [old for old in self.map if caseless(old.strip()) not in known]
        if items and odd:
            raise StepError(f"no column is called '{odd[0]}'", hint=f"there are: {', '.join(map(str, header))}")

        def name(old: Json) -> str:
            return new_names.get(caseless(str(old).strip()), str(old))

        if items and isinstance(items[0], list):
            return [[name(cell) for cell in items[0]], *items[1:]]
        return [self._renamed({name(key): item for key, item in record.items()}, record) for record in items]

    def _renamed(self, renamed: Record, record: Record) -> Record:
        if len(renamed) < len(record):
            raise StepError("two columns would have the same name", hint="drop one of them before")
        return renamed


class ToRows(Op):
    """Makes rows of records, as tables and spreadsheets take them."""

    op: Literal["to_rows"]
    columns: list[str] = Field(default_factory=list)
    """Fields in their order; by default all."""
    header: bool = True
    """Whether the first row has the names."""

    async def apply(self, value: Json, notes: list[str]) -> Json:  # noqa: ARG002
        """The rows."""
        records = records_of(value)
        require_somewhere(records, self.columns)
        columns = self.columns or columns_of(records)
        within(len(records), len(columns))
        rows: list[Json] = [[get(record, name) for name in columns] for record in records]
        return [columns, *rows] if self.header else rows


class Project(Op):
    """Takes one value of each element: of a record by its field or path, of a row by its index."""

    op: Literal["project"]
    path: str | int
    """A field, a dotted path such as `customer.mails.0`, or an index."""
    missing: Literal["null", "drop", "fail"] = "null"
    """What happens where an element has no such value."""

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The values."""
        found = [look(item, str(self.path)) for item in items_of(value)]
        absent = [index for index, item in enumerate(found) if item is Absent]
        if absent and self.missing == "fail":
            raise StepError(f"element {absent[0]} has nothing at {self.path}")
        if absent:
            notes.append(f"{len(absent)} of {len(found)} have nothing at {self.path}")
        if self.missing == "drop":
            return [item for item in found if item is not Absent]
        return [None if item is Absent else item for item in found]
