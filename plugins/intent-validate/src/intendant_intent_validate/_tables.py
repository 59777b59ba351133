"""Checks across records: unique values, references to other lists, how old the newest is; and repairs before."""

import re
from collections.abc import Hashable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from pydantic import Field

from intendant.plugin import Json, Options, StepError, day_of, numbers_in
from intendant.records import describe_value, field_of, identity_of, is_nothing
from intendant_intent_validate._checks import Violation

Kind = Literal["integer", "number", "boolean", "date", "text"]
_AGE = re.compile(r"\s*(\d{1,6})\s*(minutes?|hours?|days?|weeks?)\s*")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Repair(Options):
    """Repairs before the checks; all changes are counted in the notes."""

    trim: bool = False
    """Strips whitespace from both ends of texts."""
    empty_as_null: bool = False
    """Replaces empty texts by null."""
    types: dict[str, Kind] = Field(default_factory=dict)
    """Types by field: `"12"` becomes 12, `yes` true, `31 May 2026` 2026-05-31. A value that cannot be converted
    stays, and is a violation."""
    day_first: bool | None = None
    """Whether 12/5/2026 is the 12th of May; without this option it is not a date."""
    defaults: dict[str, Json] = Field(default_factory=dict)
    """Default values of fields that are absent or null."""


class Reference(Options):
    """A field whose values must occur in another list."""

    field: str
    records: list[Json]
    """The other list: of records, or of the values themselves."""
    by: str | None = None
    """The field of the other list; by default the same."""
    name: str = ""
    """The name of the rule; by default `reference <field>`."""


class Freshness(Options):
    """The newest date of a field must not be older than this."""

    field: str
    max_age: str
    """The maximum age, such as `36 hours` or `7 days`."""
    day_first: bool | None = None

    def limit(self) -> timedelta:
        """As a duration.

        Raises:
            StepError: It is none.
        """
        found = _AGE.fullmatch(self.max_age)
        if found is None:
            raise StepError(f"`max_age` is '{self.max_age}', which is no age", hint="such as 36 hours, or 7 days")
        return timedelta(**{found[2].rstrip("s") + "s": int(found[1])})


def repaired(items: list[Json], repair: Repair) -> tuple[list[Json], list[Violation], list[str]]:
    """The records put right, what could not be converted, and what was changed, in words."""
    changed: dict[str, int] = {}
    faults: list[Violation] = []
    made = [_one(item, index, repair, changed, faults) for index, item in enumerate(items)]
    return made, faults, [f"{count} {what}" for what, count in changed.items()]


def _one(item: Json, index: int, repair: Repair, changed: dict[str, int], faults: list[Violation]) -> Json:
    if not isinstance(item, dict):
        return item
    record = dict(item)
    for name, value in item.items():
        if not isinstance(value, str):
            continue
        text = value.strip() if repair.trim else value
        if text != value:
            _count(changed, "texts trimmed")
        record[name] = text
        if repair.empty_as_null and not text:
            record[name] = None
            _count(changed, "empty texts made null")
    for name, default in repair.defaults.items():
        if record.get(name) is None:
            record[name] = default
            _count(changed, f"values of {name} filled in")
    for name, kind in repair.types.items():
        value = record.get(name)
        if value is None or _is(value, kind):
            continue
        found = _converted(value, kind, repair.day_first)
        if found is None:
            message = f"{describe_value(value)} cannot be read as {kind}"
            faults.append(Violation(index, "type", message, "error", name))
        else:
            record[name] = found
            _count(changed, f"values of {name} converted to {kind}")
    return record


def _count(changed: dict[str, int], what: str) -> None:
    changed[what] = changed.get(what, 0) + 1


def _is(value: Json, kind: Kind) -> bool:
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "text":
            return isinstance(value, str)
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) is not None


def _converted(value: Json, kind: Kind, day_first: bool | None) -> Json:
    if kind == "text":
        return (
            value
            if isinstance(value, dict | list)
            else str(value).lower()
            if isinstance(value, bool)
            else str(value)
        )
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, str):
        return None
    if kind == "boolean":
        return _TRUTH.get(value.strip().lower())
    if kind == "date":
        day = day_of(value, day_first=day_first)
        return None if day is None or day.value is None else day.value.isoformat()
    return _figure(value.strip(), kind)


def _figure(text: str, kind: Kind) -> Json:
    """The number that a whole text is; one that can be read in two ways is none."""
    found = list(numbers_in(text))
    if (
        len(found) != 1
        or found[0].value is None
        or not re.fullmatch(r"[+-]?[\d.,'\u00a0 ]+(?:[eE][+-]?\d+)?", text)
    ):
        return None
    number = Decimal(str(found[0].value))
    if number == number.to_integral_value():
        return int(number)
    return float(number) if kind == "number" else None


def duplicates(items: list[Json], names: str | list[str]) -> Iterator[Violation]:
    """Records whose fields are those of one before; where all are null they are no key."""
    fields = [names] if isinstance(names, str) else names
    label = ", ".join(fields)
    seen: dict[Hashable, int] = {}
    for index, item in enumerate(items):
        values = [field_of(item, name) for name in fields]
        if all(is_nothing(value) for value in values):
            continue
        first = seen.setdefault(tuple(map(identity_of, values)), index)
        if first != index:
            shown = ", ".join(map(describe_value, values))
            yield Violation(index, f"unique {label}", f"{shown} is that of record {first} too", "error", label)


def dangling(items: list[Json], reference: Reference) -> Iterator[Violation]:
    """Records whose value the other list has not; null refers to nothing."""
    by = reference.by or reference.field
    known = {identity_of(field_of(other, by) if isinstance(other, dict) else other) for other in reference.records}
    name = reference.name or f"reference {reference.field}"
    for index, item in enumerate(items):
        value = field_of(item, reference.field)
        if not is_nothing(value) and identity_of(value) not in known:
            message = f"{describe_value(value)} is not in the other list"
            yield Violation(index, name, message, "error", reference.field)


def stale(items: list[Json], freshness: Freshness) -> Iterator[Violation]:
    """One violation, of the list as a whole, if its newest date is too old or it has none."""
    limit, newest, written = freshness.limit(), None, ""
    for item in items:
        value = field_of(item, freshness.field)
        moment = _moment(value, freshness.day_first)
        if moment is not None and (newest is None or moment > newest):
            newest, written = moment, str(value)
    rule = f"fresh {freshness.field}"
    if newest is None:
        yield Violation(None, rule, f"no record has a date in {freshness.field}", "error", freshness.field)
    elif datetime.now(UTC) - newest > limit:
        message = f"the newest is of {written.strip()}, older than {freshness.max_age}"
        yield Violation(None, rule, message, "error", freshness.field)


def _moment(value: Json, day_first: bool | None) -> datetime | None:
    """A time; of a day alone, its end, UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        if len(value.strip()) > len("2026-05-31"):
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        pass
    day = day_of(value, day_first=day_first)
    if day is None or day.value is None:
        return None
    try:
        return datetime.combine(day.value, datetime.min.time(), UTC) + timedelta(days=1)
    except OverflowError:
        return None
