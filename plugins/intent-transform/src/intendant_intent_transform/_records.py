"""Lists of records, their fields, and how values compare."""

import json
from collections.abc import Callable, Hashable
from typing import Any

from intendant import Json, Options, StepError

Record = dict[str, Json]
SHOWN = 40
"""Characters of a value that a message shows."""


class Op(Options):
    """One operation. Subclasses do it in `apply`, change nothing they get, and note what they left out."""

    op: str

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The value transformed.

        Raises:
            StepError: The value is not of the kind that this operation works on.
        """
        raise NotImplementedError


def as_list(value: Json) -> list[Json]:
    """*value*, which must be a list.

    Raises:
        StepError: It is something else; says what.
    """
    if isinstance(value, list):
        return value
    lists = [key for key, item in value.items() if isinstance(item, list)] if isinstance(value, dict) else []
    hint = f"it has a list under '{lists[0]}': refer to that" if lists else ""
    raise StepError(f"it takes a list, not {describe(value)}", hint=hint)


def as_records(value: Json) -> list[Record]:
    """*value*, which must be a list of records.

    Raises:
        StepError: It is something else; says what.
    """
    for index, item in enumerate(as_list(value)):
        if not isinstance(item, dict):
            raise StepError(f"it takes records, but element {index} is {describe(item)}")
    return list(value)


def each_record(value: Json, change: Callable[[list[Record]], list[Record]]) -> Json:
    """What *change* makes of the records; of a single record, a single one."""
    if isinstance(value, dict):
        return change([value])[0]
    return change(as_records(value))


def describe(value: Json) -> str:
    """What *value* is, for messages."""
    if isinstance(value, dict):
        return f"a record with {', '.join(map(str, list(value)[:8])) or 'no fields'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    kind = "" if value is None or isinstance(value, bool) else "text " if isinstance(value, str) else "number "
    return kind + json.dumps(value)[:SHOWN]


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


def identity(value: Json) -> Hashable:
    """The same for equal JSON values only: 1 is 1.0, but neither "1" nor true."""
    if isinstance(value, dict):
        return ("map", frozenset((key, identity(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(identity(item) for item in value))
    return (type(value).__name__ if isinstance(value, str | bool | None) else "number", value)


def rank(value: Json, *, ignore_case: bool = False) -> tuple[int, Any]:
    """A total order of JSON values: booleans, numbers, texts, then lists and records by their JSON."""
    if isinstance(value, bool):
        return (0, value)
    if isinstance(value, int | float):
        return (1, value)
    if isinstance(value, str):
        return (2, value.casefold() if ignore_case else value)
    return (3, json.dumps(value, sort_keys=True))


def as_text(value: Json) -> str:
    """A value as it stands in a table or text: null is empty, data is JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
