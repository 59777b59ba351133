"""Records and their fields, the way every handler reads them: lists of JSON objects, dotted paths, typed order."""

import json
import re
from collections.abc import Hashable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Any
from unicodedata import normalize

from intendant.model.errors import StepError
from intendant.model.record_access import is_reference
from intendant.model.workflow import Json
from intendant.text.dates import day_of

SHOWN = 40
"""Characters of a value that a message shows."""
LOOKED_AT = 10_000
"""Values by which it is told whether texts stand in the order of what they write."""
_STAMP = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?(?:Z|[+-]\d{2}(?::?\d{2})?)", re.IGNORECASE
)
_NUMERAL = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")
NAMES = ("id", "key", "name")


def as_list(value: Json, what: str = "the input", kind: str = "a list") -> list[Json]:
    """*value*, which must be a list.

    Args:
        value: What came.
        what: What it is to the user, for the message.
        kind: What was wanted, for the message.

    Raises:
        StepError: It is something else; says what.
    """
    if isinstance(value, list):
        return value
    raise StepError(f"{what} must be {kind}, not {describe_value(value)}", hint=_hint(value))


def as_records(value: Json, what: str = "the input") -> list[dict[str, Json]]:
    """*value*, which must be a list of records.

    Raises:
        StepError: It is something else; says what.
    """
    kind = "a list of records"
    for index, item in enumerate(as_list(value, what, kind)):
        if not isinstance(item, dict):
            raise StepError(f"{what} must be {kind}, but element {index} is {describe_value(item)}")
    records: list[dict[str, Json]] = value
    return records


def describe_value(value: Json) -> str:
    """What *value* is, for messages."""
    if is_reference(value):
        return "a reference to records"
    if isinstance(value, dict):
        return f"a record with {', '.join(map(str, list(value)[:8])) or 'no fields'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    kind = "" if value is None or isinstance(value, bool) else "text " if isinstance(value, str) else "number "
    return kind + json.dumps(value, ensure_ascii=False)[:SHOWN]


def _hint(value: Json) -> str:
    lists = [key for key, item in value.items() if isinstance(item, list)] if isinstance(value, dict) else []
    return f"it has a list under '{lists[0]}': refer to that" if lists else ""


def record_name(record: Json, index: int) -> str:
    """What to call a record in a message: its position, counted from 0, and its id where it has one."""
    for name in NAMES:
        if isinstance(record, dict) and isinstance(record.get(name), str | int):
            return f"record {index} ({name} {record[name]!r})"
    return f"record {index}"


def field_of(record: Json, path: str) -> Json:
    """The field at a dotted path. None if there is none.

    A key that holds the dots itself comes first, the longest before others. Canonically equal names are the same.
    """
    found = _at(record, path)
    return None if found is _Absent else found


def has_field(records: Iterable[Json], path: str) -> bool:
    """True if a record has a field, be it null."""
    return any(_at(record, path) is not _Absent for record in records)


def require_field(records: Sequence[Json], path: str, what: str = "record") -> None:
    """Pass if a record has a field, be it null, or there are no records.

    Raises:
        StepError: No record has it: mostly it is written wrong.
    """
    if not records or has_field(records, path):
        return
    first = records[0]
    names = ", ".join(list(first)[:12]) if isinstance(first, dict) else describe_value(first)
    raise StepError(f"no {what} has the field '{path}'", hint=f"the first one has: {names}")


class _Absent:
    """What a path leads to where there is nothing, not even null."""


def _at(record: Json, path: str) -> Any:
    if not isinstance(record, dict):
        return _Absent
    key = _key_in(record, path)
    if key is not None:
        return record[key]
    dot = path.rfind(".")
    while dot > 0:
        key = _key_in(record, path[:dot])
        if key is not None and (found := _at(record[key], path[dot + 1 :])) is not _Absent:
            return found
        dot = path.rfind(".", 0, dot)
    return _Absent


def _key_in(record: dict[str, Json], name: str) -> str | None:
    """The record's key for a name; another composition of the same letters counts too."""
    if name in record:
        return name
    if name.isascii():
        return None
    wanted = normalize("NFC", name)
    return next((key for key in record if normalize("NFC", key) == wanted), None)


def is_nothing(value: Json) -> bool:
    """True for null, which an absent field counts as, and for empty text. Zero and false are something."""
    return value is None or value == ""


def composed(text: str) -> str:
    """*text* in Unicode's canonical composition (NFC), in which canonically equal texts are the same."""
    return text if text.isascii() else normalize("NFC", text)


def caseless(text: str) -> str:
    """*text* in one case and composition, to compare by words whatever their case (Unicode 16, D145)."""
    return composed(composed(text).casefold())


def identity_of(value: Json) -> Hashable:
    """The same for equal JSON values only: 1 is 1.0, but not "1" nor true. Canonically equal texts are equal."""
    if isinstance(value, dict):
        return ("map", frozenset((composed(key), identity_of(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(identity_of(item) for item in value))
    if isinstance(value, str):
        return ("str", composed(value))
    return (type(value).__name__ if isinstance(value, bool | None) else "number", value)


def order_of(value: Json) -> tuple[int, Any]:
    """A total order of JSON values: booleans, numbers, texts, then lists and records by their JSON. Times that say
    their zone stand in the order of their moments, as texts in UTC.
    """
    if isinstance(value, bool):
        return (0, value)
    if isinstance(value, int | float):
        return (1, value)
    if isinstance(value, str):
        return (2, composed(moment_of(value) or value))
    return (3, json.dumps(value, sort_keys=True))


def moment_of(text: str) -> str | None:
    """A time with its zone, such as `2026-05-31T08:00:00+02:00`, in UTC and in a form that sorts; None for what is
    no such time.
    """
    if not (text[4:5] == "-" and _STAMP.fullmatch(text)):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        return None


def misordered(values: Iterable[Json]) -> tuple[str, str] | None:
    """Two texts that stand in another order than the numbers or the days that they write; None unless all values
    are such texts. Of many, the first are looked at.
    """
    there = [value for value in islice(values, LOOKED_AT) if value is not None]
    texts = sorted(value for value in there if isinstance(value, str))
    if not texts or len(texts) < len(there):
        return None
    meant: list[Any] = [float(text) for text in texts if _NUMERAL.fullmatch(text)]
    if len(meant) < len(texts):
        days = (day_of(text) for text in texts if not text[:4].isdigit())
        meant = [found.value for found in days if found is not None and found.value is not None]
    if len(meant) < len(texts):
        return None
    pairs = zip(pairwise(texts), pairwise(meant), strict=True)
    return next((written for written, (one, other) in pairs if one > other), None)


def in_order(records: Sequence[Json], keys: Sequence[str]) -> list[Json]:
    """Sorted by *keys*, of which `-name` is descending; null comes last both ways, and ties keep their order."""
    ordered = list(records)
    for key in reversed(keys):
        ordered = _by(ordered, key.removeprefix("-"), descending=key.startswith("-"))
    return ordered


def _by(records: Sequence[Json], path: str, *, descending: bool) -> list[Json]:
    there = [record for record in records if field_of(record, path) is not None]
    missing = [record for record in records if field_of(record, path) is None]
    return sorted(there, key=lambda record: order_of(field_of(record, path)), reverse=descending) + missing
