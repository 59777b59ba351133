"""What is computed of each group."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import takewhile
from typing import Any, Literal

from pydantic import Field, model_validator

from intendant.plugin import Json, Options, StepError, day_of
from intendant.records import describe_value, field_of, identity_of, is_nothing, order_of
from intendant_intent_aggregate._numbers import as_json, ratio, read_number, total

Arg = str | Literal[True]
Records = list[tuple[int, dict[str, Json]]]
"""Records with their positions in the input."""


class Percentile(Options):
    """A percentile, with linear interpolation between two values."""

    of: str
    """The field."""
    p: float = Field(ge=0, le=100)
    """The percentile, 0 to 100: 50 is the median."""


class Measure(Options):
    """One measure of a group: exactly one of these functions, with the field to which it applies."""

    count: Arg | None = None
    """`true`: counts all records; a field: counts records in which it is not null."""
    sum: str | None = None
    mean: str | None = None
    median: str | None = None
    percentile: Percentile | None = None
    min: str | None = None
    max: str | None = None
    first: Arg | None = None
    """The first value that is not null; `true`: the first record."""
    last: Arg | None = None
    collect: Arg | None = Field(None, alias="list")
    """All values that are not null, in their original order; `true`: the records."""
    count_distinct: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "Measure":
        if len(self.model_fields_set) != 1 or self.field is None:
            raise ValueError(
                "write one of count, sum, mean, median, percentile, min, max, first, last, list, count_distinct"
            )
        return self

    @property
    def kind(self) -> str:
        """Which figure."""
        return next(iter(self.model_fields_set))

    @property
    def field(self) -> Arg | None:
        """The field it is about; True for the records themselves."""
        value: Arg | Percentile | None = getattr(self, self.kind) if self.model_fields_set else None
        return value.of if isinstance(value, Percentile) else value


Counts = dict[str, dict[str, int]]
"""How many values, by field and by what was computed of it."""


class Figures:
    """Computes measures and counts what they left out.

    Args:
        on_error: `fail`, or `skip`: what happens to a value that is not a number where one is needed.
    """

    def __init__(self, on_error: str) -> None:
        self._fail = on_error == "fail"
        self._measure = ""
        self._skipped: Counts = {}
        self._unreadable: Counts = {}
        self._texts: Counts = {}

    def begin(self, measure: Measure) -> None:
        """Say which measure the next values are for: several measures of a field look at the same ones."""
        self._measure = f"{measure.kind} {measure.percentile and measure.percentile.p}"

    def skip(self, field: str, count: int) -> None:
        """Count values that are null."""
        self._count(self._skipped, field, count)

    def read_texts(self, field: str, count: int) -> None:
        """Count texts that were read as numbers."""
        self._count(self._texts, field, count)

    def _count(self, counts: Counts, field: str, count: int) -> None:
        of_field = counts.setdefault(field, {})
        of_field[self._measure] = of_field.get(self._measure, 0) + count

    def of(self, measure: Measure, records: Records) -> Json:
        """The value of *measure* for a group.

        Raises:
            StepError: A value is not a number, or values of different kinds are compared.
        """
        self.begin(measure)
        field = measure.field
        if field is True:
            return len(records) if measure.kind == "count" else self._whole(measure.kind, records)
        values = self.values(str(field), records)
        if measure.percentile is not None:
            return percentile(self.numbers(str(field), values), measure.percentile.p)
        return _KINDS[measure.kind](self, str(field), values)

    def _whole(self, kind: str, records: Records) -> Json:
        items = [record for _, record in records]
        return items if kind == "collect" else (items[0] if kind == "first" else items[-1]) if items else None

    def values(self, field: str, records: Records) -> list[tuple[int, Json]]:
        """The values of a field that are not null; the others are counted."""
        values = [(index, field_of(record, field)) for index, record in records]
        there = [(index, value) for index, value in values if not is_nothing(value)]
        if len(there) < len(values):
            self.skip(field, len(values) - len(there))
        return there

    def numbers(self, field: str, values: list[tuple[int, Json]]) -> list[Decimal]:
        """The values as numbers."""
        found = []
        for index, value in values:
            number = read_number(value)
            if number is None and self._fail:
                hint = "mend it with a transform first, or set on_error: skip to leave such values out"
                raise StepError(f"record {index}: {field} is {describe_value(value)}, not a number", hint=hint)
            if number is None:
                self._count(self._unreadable, field, 1)
            else:
                if isinstance(value, str):
                    self.read_texts(field, 1)
                found.append(number)
        return found

    def notes(self) -> list[str]:
        """What was left out."""
        notes = [f"{field}: {max(of.values())} null values left out" for field, of in self._skipped.items()]
        notes += [
            f"{field}: {max(of.values())} values that are no numbers left out"
            for field, of in self._unreadable.items()
        ]
        if texts := sum(max(of.values()) for of in self._texts.values()):
            notes.append(f"{texts} texts read as numbers")
        return notes


def extreme_of(field: str, values: list[tuple[int, Json]], *, largest: bool) -> Json:
    """The smallest or largest value: by number if all are numbers or write one, by day if all write one, else by
    text; times with their zone by their moments.
    """
    if not values:
        return None
    numbers = [(number, value) for _, value in values if (number := read_number(value)) is not None]
    if len(numbers) == len(values):
        choose: Any = max if largest else min
        return choose(numbers, key=lambda pair: pair[0])[1]
    if not all(isinstance(value, str) for _, value in values):
        index, odd = next((index, value) for index, value in values if read_number(value) is None)
        raise StepError(
            f"record {index}: {field} is {describe_value(odd)}, which cannot be compared with the other values",
            hint="min and max compare numbers with numbers, or texts with texts",
        )
    chosen = max if largest else min
    texts = [str(value) for _, value in values]
    days = list(takewhile(lambda day: day is not None, map(written_day, texts)))
    return (
        texts[days.index(chosen(filter(None, days)))] if len(days) == len(texts) else chosen(texts, key=order_of)
    )


def written_day(text: str) -> date | None:
    """The day that a text is, as people write it: `5.11.2026`; None for what sorts by itself, and all else."""
    found = None if text[:4].isdigit() else day_of(text)
    return None if found is None else found.value


def median(numbers: list[Decimal]) -> Json:
    """The middle one, or the mean of the two in the middle; null where there is none."""
    if not numbers:
        return None
    ordered, middle = sorted(numbers), len(numbers) // 2
    return as_json(ordered[middle]) if len(ordered) % 2 else ratio(total(ordered[middle - 1 : middle + 1]), 2)


def percentile(numbers: list[Decimal], p: float) -> Json:
    """The value at *p* of a hundred of the way from the smallest to the largest; null where there is none."""
    if not numbers:
        return None
    ordered = sorted(numbers)
    place = Fraction(str(p)) * (len(ordered) - 1) / 100
    below = int(place)
    low = Fraction(ordered[below])
    high = Fraction(ordered[min(below + 1, len(ordered) - 1)])
    exact = low + (high - low) * (place - below)
    return exact.numerator if exact.denominator == 1 else exact.numerator / exact.denominator


def _sum(figures: Figures, field: str, values: list[tuple[int, Json]]) -> Json:
    return as_json(total(figures.numbers(field, values)))


def _mean(figures: Figures, field: str, values: list[tuple[int, Json]]) -> Json:
    numbers = figures.numbers(field, values)
    return ratio(total(numbers), len(numbers)) if numbers else None


_KINDS: dict[str, Callable[[Figures, str, list[tuple[int, Json]]], Json]] = {
    "count": lambda _figures, _field, values: len(values),
    "sum": _sum,
    "mean": _mean,
    "median": lambda figures, field, values: median(figures.numbers(field, values)),
    "min": lambda _figures, field, values: extreme_of(field, values, largest=False),
    "max": lambda _figures, field, values: extreme_of(field, values, largest=True),
    "first": lambda _figures, _field, values: values[0][1] if values else None,
    "last": lambda _figures, _field, values: values[-1][1] if values else None,
    "collect": lambda _figures, _field, values: [value for _, value in values],
    "count_distinct": lambda _figures, _field, values: len({identity_of(value) for _, value in values}),
}
