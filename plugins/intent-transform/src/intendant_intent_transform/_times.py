"""Operations on moments: in which zone they are told, and in which hour, day, week, month or year they fall."""

from datetime import date, datetime, timedelta
from typing import Literal

from intendant.plugin import Json, StepError
from intendant.records import describe_value
from intendant_intent_transform._dates import DateOp, moment_of
from intendant_intent_transform._records import Record, get

Unit = Literal["second", "minute", "hour", "day", "week", "month", "quarter", "year"]
_CLOCK = ("second", "minute", "hour")
QUARTER = 3


class TruncateDate(DateOp):
    """Puts dates and times down to the beginning of their day, week (Monday), month, quarter or year, or hour."""

    op: Literal["truncate_date"]
    field: str
    to: Unit
    into: str | None = None
    """The field for the result; by default the same."""

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The records with the dates (`2026-05-01`); of hours and less, times with their offset."""
        odd: list[str] = []
        doubts: list[str] = []

        def work(record: Record) -> Json:
            found = get(record, self.field)
            known = len(doubts)
            made = self._down(found, doubts)
            if made is None and found not in (None, "") and len(doubts) == known:
                odd.append(describe_value(found))
            return made

        result = self.change(value, [self.field], self.into or self.field, work)
        notes += self.told(self.field, odd, doubts)
        return result

    def _down(self, value: Json, doubts: list[str]) -> str | None:
        if self.to not in _CLOCK:
            day = self.read(value, doubts)
            return None if day is None else beginning(day, self.to).isoformat()
        moment = moment_of(value) if isinstance(value, str) else None
        if moment is None:
            return None
        zone = self.zone()
        told = moment if zone is None or moment.tzinfo is None else moment.astimezone(zone)
        told = told.replace(microsecond=0)
        if self.to != "second":
            told = told.replace(second=0, minute=told.minute if self.to == "minute" else 0)
        return told.isoformat()


class ToTimezone(DateOp):
    """Tells times in another time zone."""

    op: Literal["to_timezone"]
    field: str
    timezone: str | None = "UTC"
    """The zone in which they are told, such as `Europe/Paris`."""
    from_timezone: str | None = None
    """The zone of times that say none; where this does not say, they become null."""
    into: str | None = None

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The records with the times in ISO 8601, with their offset."""
        zone, assumed = self.zone(), self.model_copy(update={"timezone": self.from_timezone}).zone()
        if zone is None:
            raise StepError("`timezone` is missing", hint="such as Europe/Paris")
        unknown = 0

        def work(record: Record) -> Json:
            nonlocal unknown
            found = get(record, self.field)
            moment = moment_of(found) if isinstance(found, str) else None
            if moment is not None and moment.tzinfo is None and assumed is not None:
                moment = moment.replace(tzinfo=assumed)
            if moment is None or moment.tzinfo is None:
                unknown += found not in (None, "")
                return None
            try:
                return moment.astimezone(zone).isoformat()
            except OverflowError:  # at either end of the calendar
                unknown += 1
                return None

        result = self.change(value, [self.field], self.into or self.field, work)
        if unknown:
            notes.append(f"{unknown} values of {self.field} are no times of a known zone and became null")
        return result


def beginning(day: date, unit: str) -> date:
    """The first day of a week (Monday), month, quarter or year; the day itself of a day."""
    match unit:
        case "week":
            return day - timedelta(days=min(day.weekday(), day.toordinal() - 1))
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=(day.month - 1) // QUARTER * QUARTER + 1, day=1)
        case "year":
            return day.replace(month=1, day=1)
    return day.date() if isinstance(day, datetime) else day
