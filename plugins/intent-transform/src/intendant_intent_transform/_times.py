"""Operations on moments: in which zone they are told, and in which hour, day, week, month or year they fall."""

from dataclasses import dataclass, field as with_
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal

from intendant.plugin import Json, StepError, datetime_of, day_of
from intendant.records import describe_value
from intendant_intent_transform._dates import DateOp
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
        moment = datetime_of(value, day_first=self.day_first) if isinstance(value, str) else None
        if moment is None:
            self.read(value, doubts)  # whether it can be read in two ways
            return None
        zone = self.zone()
        try:
            told = moment if zone is None or moment.tzinfo is None else moment.astimezone(zone)
        except OverflowError:  # at either end of the calendar
            return None
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
        found = _Placed(assumed)
        doubts: list[str] = []

        def work(record: Record) -> Json:
            value = get(record, self.field)
            if value in (None, ""):
                return None
            text = value if isinstance(value, str) else ""
            moment = found.place(datetime_of(text, day_first=self.day_first), text)
            try:
                if moment is not None:
                    return moment.astimezone(zone).isoformat()
            except OverflowError:
                pass  # at either end of the calendar
            day = day_of(text, day_first=self.day_first)
            known = doubts if day is not None and day.value is None else found.unknown
            known.append(describe_value(value) if known is found.unknown else text.strip())
            return None

        result = self.change(value, [self.field], self.into or self.field, work)
        notes += [*found.notes(self.field), *self.note(doubts)]
        return result


@dataclass
class _Placed:
    """Times that say no zone, placed in the one that is assumed; and what a reader should know of them."""

    zone: tzinfo | None
    unknown: list[str] = with_(default_factory=list)
    twice: list[str] = with_(default_factory=list)
    never: list[str] = with_(default_factory=list)

    def place(self, moment: datetime | None, text: str) -> datetime | None:
        """The moment with its zone; None if it has none.

        Where clocks are set back, the first of the two moments is meant; where they are set forward, the offset
        before that counts (as RFC 5545 has it).
        """
        if moment is None or moment.tzinfo is not None:
            return moment
        if self.zone is None:
            return None
        placed = moment.replace(tzinfo=self.zone)
        first, second = placed.utcoffset(), placed.replace(fold=1).utcoffset()
        if first is None or second is None or first == second:
            return placed
        (self.twice if first > second else self.never).append(text.strip())
        return placed.astimezone(UTC)

    def notes(self, field: str) -> list[str]:
        """What is said of a field's values."""
        found = []
        if self.unknown:
            found.append(
                f"{len(self.unknown)} values of {field} are no times of a known zone and became null; the first: "
                f"{self.unknown[0]}"
            )
        for texts, what in (
            (self.twice, "occur twice, as clocks are set back, and are the earlier time"),
            (self.never, "do not occur, as clocks are set forward, and have the offset before"),
        ):
            if texts:
                found.append(f"{len(texts)} values of {field} {what}; the first: '{texts[0]}'")
        return found


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
