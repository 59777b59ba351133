"""Lists of records, their fields, and how values compare."""

import json
from collections.abc import Callable

from intendant.plugin import Json, Options, StepError
from intendant.records import as_list, as_records

Record = dict[str, Json]


class Op(Options):
    """One operation. Subclasses do it in `apply`, change nothing they get, and note what they left out."""

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
    """What a dotted path leads to; a key with the dots in it comes first, and `0` goes into a list."""
    if isinstance(value, dict) and path in value:
        return value[path]
    head, _, rest = path.partition(".")
    if isinstance(value, dict) and head in value:
        inner = value[head]
    elif isinstance(value, list) and head.lstrip("-").isdecimal() and -len(value) <= int(head) < len(value):
        inner = value[int(head)]
    else:
        return Absent
    return look(inner, rest) if rest else inner


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


def as_text(value: Json) -> str:
    """A value as it stands in a table or text: null is empty, data is JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
