"""Operations on dates. How `12/5/2026` is read is said, not guessed; days are counted by the calendar."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from math import isfinite
from typing import Literal

from pydantic import Field, model_validator

from intendant.plugin import Json, StepError, datetime_of, day_of
from intendant.records import describe_value
from intendant_intent_transform._records import Op, Record, each_record, get, require_somewhere

_EXCEL = date(1899, 12, 30)
"""Day 0 of workbooks, counted back from March 1900: they have a 29th of February 1900, which never was."""
_FIRST_SURE = 61
"""The 1st of March 1900."""
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?")


class DateOp(Op):
    """What operations on dates have in common."""

    day_first: bool | None = None
    """Whether 12/5/2026 is the 12th of May; a part above 12 decides by itself, and so do full stops. Where this
    does not say, such a date is null."""
    timezone: str | None = None
    """Such as `Europe/Paris`: where the day of a time with an offset, and today, are taken. By default the time's
    own, and UTC for today."""

    def zone(self) -> tzinfo | None:
        """The time zone asked for.

        Raises:
            StepError: There is none of that name.
        """
        from zoneinfo import ZoneInfo

        try:
            return None if self.timezone is None else ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise StepError(f"there is no time zone '{self.timezone}'", hint="such as Europe/Paris") from None

    def read(self, value: Json, doubts: list[str]) -> date | None:
        """The day that *value* names; None if it names none.

        Args:
            value: A text.
            doubts: Gets what can be read in two ways, for which the answer is None too.
        """
        if not isinstance(value, str):
            return None
        zone = self.zone()
        if zone is not None:
            moment = datetime_of(value, day_first=self.day_first)
            if moment is not None and moment.tzinfo is not None:
                return _day_in(moment, zone)
        found = day_of(value, day_first=self.day_first)
        if found is not None and found.value is None:
            doubts.append(value.strip())
        return None if found is None else found.value

    def note(self, doubts: list[str]) -> list[str]:
        """What is said of dates that can be read in two ways."""
        if not doubts:
            return []
        first = f"the first: '{doubts[0]}'; say `day_first`"
        return [f"{len(doubts)} dates can be read in two ways and became null; {first}"]

    def told(self, field: str, odd: list[str], doubts: list[str]) -> list[str]:
        """What is said of values of *field* that became null: those that are no dates, and those in doubt."""
        first = f"the first: {odd[0]}" if odd else ""
        none = [f"{len(odd)} values of {field} are no dates and became null; {first}"] if odd else []
        return [*none, *self.note(doubts)]

    def change(self, value: Json, names: list[str], into: str, work: Callable[[Record], Json]) -> Json:
        """The records with what *work* makes of each one in the field *into*."""

        def changed(records: list[Record]) -> list[Record]:
            require_somewhere(records, names)
            return [{**record, into: work(record)} for record in records]

        return each_record(value, changed)


def _day_in(moment: datetime, zone: tzinfo) -> date | None:
    try:
        return moment.astimezone(zone).date()
    except OverflowError:  # at either end of the calendar
        return None


class ParseDate(DateOp):
    """Writes dates as `2026-05-31`."""

    op: Literal["parse_date"]
    field: str
    into: str | None = None
    """The field for the result; by default the same."""
    on_error: Literal["fail", "null"] = "null"
    numbers: Literal["excel", "seconds", "milliseconds"] | None = None
    """What numbers stand for: days as workbooks count them, or seconds or milliseconds since 1970 (UTC, or
    `timezone`). By default they are no dates."""

    def read(self, value: Json, doubts: list[str]) -> date | None:
        """As of all operations on dates; besides, numbers are read as `numbers` says."""
        number = None if self.numbers is None else _number(value)
        return super().read(value, doubts) if number is None else self._day_of(number)

    def _day_of(self, number: float) -> date | None:
        try:
            if self.numbers == "excel":
                return None if number < _FIRST_SURE else _EXCEL + timedelta(days=int(number))
            seconds = number / 1000 if self.numbers == "milliseconds" else number
            return (
                (datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)).astimezone(self.zone() or UTC).date()
            )
        except (OverflowError, ValueError):
            return None

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The records with the dates; what is no date is null, and counted."""
        odd: list[str] = []
        doubts: list[str] = []

        def work(record: Record) -> Json:
            found = get(record, self.field)
            known = len(doubts)
            day = self.read(found, doubts)
            if day is None and found not in (None, "") and len(doubts) == known:
                odd.append(describe_value(found))
            if self.on_error == "fail" and (odd or doubts):
                raise self._refused(odd, doubts)
            return None if day is None else day.isoformat()

        result = self.change(value, [self.field], self.into or self.field, work)
        notes += self.told(self.field, odd, doubts)
        if self.numbers is None and odd and odd[0].startswith("number"):
            notes.append("where numbers stand for days or times, say `numbers`: excel, seconds or milliseconds")
        return result

    def _refused(self, odd: list[str], doubts: list[str]) -> StepError:
        if odd:
            return StepError(f"{self.field} is {odd[0]}, which is no date", hint="on_error: null lets it pass")
        return StepError(f"{self.field} is '{doubts[0]}', which can be read in two ways", hint="say `day_first`")


def _number(value: Json) -> float | None:
    """A number, or a text that is nothing else; None for anything else."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and isfinite(value) else None


class DaysBetween(DateOp):
    """Counts the days from one date to another, by the calendar: from 23:59 to 00:01 is one day."""

    op: Literal["days_between"]
    from_: str | None = Field(None, alias="from")
    """A field, or a day such as `2026-05-31`; by default today."""
    to: str | None = None
    """The same."""
    into: str

    @model_validator(mode="after")
    def _one(self) -> "DaysBetween":
        if self.from_ is None and self.to is None:
            raise ValueError("give `from`, `to` or both")
        return self

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The records with the number of days; null where a date is missing, and counted."""
        today = datetime.now(self.zone() or UTC).date()
        missing = 0
        doubts: list[str] = []
        fixed = {name: day for name in (self.from_, self.to) if (day := _day_itself(name, value)) is not None}

        def work(record: Record) -> Json:
            nonlocal missing
            days: list[date | None] = []
            for name in (self.from_, self.to):
                known = today if name is None else fixed.get(name)
                days.append(self.read(get(record, str(name)), doubts) if known is None else known)
            missing += None in days
            return None if days[0] is None or days[1] is None else (days[1] - days[0]).days

        names = [name for name in (self.from_, self.to) if name is not None and name not in fixed]
        result = self.change(value, names, self.into, work)
        if missing:
            notes.append(f"{missing} records lack a date")
        notes += self.note(doubts)
        return result


def _day_itself(name: str | None, records: Json) -> date | None:
    """The day that stands in place of a field's name; None where it is a name, or a field has it."""
    among = records if isinstance(records, list) else [records]
    if name is None or any(isinstance(record, dict) and name in record for record in among):
        return None
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None


class AddDays(DateOp):
    """Adds days to a date."""

    op: Literal["add_days"]
    field: str
    days: int = Field(ge=-1_000_000, le=1_000_000)
    into: str | None = None
    """The field for the result; by default the same."""

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The records with the later dates; null where there is no date, or none that a calendar has."""
        missing = 0
        doubts: list[str] = []

        def work(record: Record) -> Json:
            nonlocal missing
            day = self.read(get(record, self.field), doubts)
            try:
                if day is not None:
                    return (day + timedelta(days=self.days)).isoformat()
            except OverflowError:
                pass  # beyond the year 9999: counted with those that have no date
            missing += 1
            return None

        result = self.change(value, [self.field], self.into or self.field, work)
        if missing:
            notes.append(f"{missing} records lack a date")
        notes += self.note(doubts)
        return result
