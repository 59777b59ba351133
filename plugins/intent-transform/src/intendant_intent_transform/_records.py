"""Lists of records, their fields, and how values compare."""

import json
from collections.abc import Callable

from intendant.plugin import Json, Options, StepError
from intendant.records import as_list, as_records, composed

Record = dict[str, Json]
MAX_CELLS = 10_000_000
"""Rows times columns of a table."""
MAX_DIGITS = 12
"""Of an index into a list."""


class Op(Options):
    """One operation. Subclasses implement `apply`, which must not modify its arguments, and note what they left
    out.
    """

    op: str

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The value transformed.

        Raises:
            StepError: The value is not of the kind that this operation works on.
        """
        raise NotImplementedError


def items_of(value: Json) -> list[Json]:
    """The list that an operation is given.

    Raises:
        StepError: It is something else; says what.
    """
    return as_list(value, "its input")


def records_of(value: Json) -> list[Record]:
    """The list of records that an operation is given.

    Raises:
        StepError: It is something else; says what.
    """
    return as_records(value, "its input")


def each_record(value: Json, change: Callable[[list[Record]], list[Record]]) -> Json:
    """What *change* makes of the records; of a single record, a single one."""
    if isinstance(value, dict):
        return change([value])[0]
    return change(records_of(value))


class Absent:
    """What a path leads to where there is nothing, not even null."""


def look(value: Json, path: str) -> Json | type[Absent]:
    """What a dotted path leads to; `0` goes into a list.

    A key that holds the dots itself comes first, the longest before others. Canonically equal names are the same.
    """
    found = _step(value, path)
    dot = path.rfind(".")
    while found is Absent and dot > 0:
        inner = _step(value, path[:dot])
        found = Absent if inner is Absent else look(inner, path[dot + 1 :])
        dot = path.rfind(".", 0, dot)
    return found


def _step(value: Json, name: str) -> Json | type[Absent]:
    """What one key of a record, or one index of a list, leads to."""
    if isinstance(value, dict):
        if name in value:
            return value[name]
        if name.isascii():
            return Absent
        wanted = composed(name)
        return next((item for key, item in value.items() if composed(key) == wanted), Absent)
    if isinstance(value, list) and name.lstrip("-").isdecimal() and len(name) < MAX_DIGITS:
        return value[int(name)] if -len(value) <= int(name) < len(value) else Absent
    return Absent


def get(value: Json, path: str) -> Json:
    """What a dotted path leads to; null where there is nothing."""
    found = look(value, path)
    return None if found is Absent else found


def require_somewhere(records: list[Record], names: list[str]) -> None:
    """Sees to it that each field is in some record, because a field that none has is a typing error.

    Raises:
        StepError: None has it.
    """
    known = dict.fromkeys(name for record in records for name in record)
    for name in names:
        if records and name not in known and all(look(record, name) is Absent for record in records):
            raise StepError(f"no record has the field '{name}'", hint=f"they have: {', '.join(list(known)[:12])}")


def columns_of(records: list[Record]) -> list[str]:
    """The fields of all records, in the order in which they first occur."""
    return list(dict.fromkeys(name for record in records for name in record))


def within(rows: int, columns: int) -> None:
    """See to it that a table is not too large: records of which each has fields of its own make a very wide one.

    Raises:
        StepError: It has more than `MAX_CELLS`.
    """
    if rows * columns > MAX_CELLS:
        raise StepError(
            f"{rows} rows of {columns} columns are more than {MAX_CELLS} cells",
            hint="name the `columns`, or drop fields before",
        )


def as_text(value: Json) -> str:
    """A value as it stands in a table or text: null is empty, data is JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
