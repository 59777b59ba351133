"""Records told apart by other lists, by dates, by likeness, and by their place within a group."""

import asyncio
from collections.abc import Callable, Hashable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo

from pydantic import Field, model_validator

from intendant.plugin import FoundDate, Json, Options, StepError, datetime_of, day_of
from intendant.records import caseless, describe_value, field_of, identity_of, in_order, misordered

Test = Callable[[Json], bool]
MOST_ALIKE = 20_000
"""Records that are compared with each other."""
AROUND = ".,;:!?\"'()[]{}<>\u00ab\u00bb\u201e\u201c\u201d\u2018\u2019\u3001\u3002\uff0c\uff08\uff09"
"""Punctuation that does not count at the ends of a word. Within a word it does: 12.50 is not 1250."""


class Members(Options):
    """Another list, and the fields by which its elements are matched with the input's records."""

    records: list[Json]
    by: str | list[str] | None = None
    """Fields of the records; by default the whole record is compared."""
    other_by: str | list[str] | None = None
    """The corresponding fields of the other list, if they have other names there. Elements that are not records
    are the values themselves."""

    def test(self) -> Test:
        """Whether a record is in the other list; one whose fields are all null is in none."""
        mine = [self.by] if isinstance(self.by, str) else self.by
        theirs = [self.other_by] if isinstance(self.other_by, str) else self.other_by or mine
        if mine is not None and theirs is not None and len(mine) != len(theirs):
            raise StepError("`by` and `other_by` name different numbers of fields")
        known = {_key(item, theirs if isinstance(item, dict) else None) for item in self.records}

        def test(item: Json) -> bool:
            key = _key(item, mine)
            return key is not None and key in known

        return test


def _key(item: Json, names: list[str] | None) -> Hashable:
    if names is None:
        return (identity_of(item),)
    values = [field_of(item, name) for name in names]
    return None if all(value is None for value in values) else tuple(map(identity_of, values))


class Between(Options):
    """A period, both ends included. Records without a date are not in any period."""

    field: str
    from_: str | None = Field(None, alias="from")
    """The first day, such as `2026-05-01`."""
    to: str | None = None
    """The last day."""
    last_days: int | None = Field(None, ge=1, le=36_500)
    """Instead: the last this many days, today included."""
    day_first: bool | None = None
    """Whether 12/5/2026 is the 12th of May."""
    timezone: str | None = None
    """Where the day of a time with an offset, and today, are taken, such as `Europe/Paris`. By default the time's
    own, and UTC for today."""

    @model_validator(mode="after")
    def _one(self) -> "Between":
        if (self.last_days is None) == (self.from_ is None and self.to is None):
            raise ValueError("give `from`, `to` or both, or `last_days`")
        return self

    def test(self) -> "Dated":
        """Whether a record's date is within.

        Raises:
            StepError: A limit is no date, or there is no such time zone.
        """
        return Dated(self, *self._limits())

    def read(self, text: str, zone: tzinfo | None) -> FoundDate | None:
        """The day that *text* names, in *zone* if it is a time with an offset."""
        moment = None if zone is None else datetime_of(text, day_first=self.day_first)
        if moment is None or moment.tzinfo is None:
            return day_of(text, day_first=self.day_first)
        try:
            return FoundDate(moment.astimezone(zone).date(), text)
        except OverflowError:  # at either end of the calendar
            return None

    def _day(self, text: str) -> date | None:
        found = day_of(text, day_first=self.day_first)
        return None if found is None else found.value

    def _limits(self) -> tuple[date, date]:
        if self.last_days is not None:
            today = datetime.now(self.zone() or UTC).date()
            return today - timedelta(days=self.last_days - 1), today
        ends = []
        for name, text, default in (("from", self.from_, date.min), ("to", self.to, date.max)):
            day = default if text is None else self._day(text)
            if day is None:
                raise StepError(f"`between.{name}` is '{text}', which is no date", hint="write 2026-05-31")
            ends.append(day)
        return ends[0], ends[1]

    def zone(self) -> tzinfo | None:
        """The time zone that is named.

        Raises:
            StepError: There is none of that name.
        """
        from zoneinfo import ZoneInfo

        try:
            return None if self.timezone is None else ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError):
            raise StepError(f"there is no time zone '{self.timezone}'", hint="such as Europe/Paris") from None


class Dated:
    """Tells whether a record's date lies within two days, and remembers of which it could not be told."""

    def __init__(self, between: Between, first: date, last: date) -> None:
        self._between, self._first, self._last = between, first, last
        self._zone = between.zone()
        self._read = self._absent = self._unread = self._open = 0
        self._example = self._doubt = ""

    def __call__(self, item: Json) -> bool:
        """Whether the date is within; false where there is none."""
        self._read += 1
        value = field_of(item, self._between.field)
        if value is None or value == "":
            self._absent += 1
            return False
        found = self._between.read(value, self._zone) if isinstance(value, str) else None
        if found is None:
            self._unread += 1
            self._example = self._example or describe_value(value)
            return False
        if found.value is None:
            self._open += 1
            self._doubt = self._doubt or found.text
            return False
        return self._first <= found.value <= self._last

    def notes(self) -> Iterator[str]:
        """What a reader should know."""
        field = self._between.field
        if self._absent and self._absent == self._read:
            yield f"no record has a {field}, by which `between` goes"
        elif self._absent:
            yield f"{self._absent} records without a {field} left out"
        if self._unread:
            yield f"{self._unread} records left out whose {field} is no date; the first: {self._example}"
        if self._open:
            yield (
                f"{self._open} records left out whose {field} can be read in two ways; the first: "
                f"'{self._doubt}'; say `day_first`"
            )


class SimilarBy(Options):
    """Texts by which records count as nearly identical."""

    fields: str | list[str]
    threshold: float = Field(0.9, gt=0, le=1)
    """The least similarity: 1 means identical except for word order, case, whitespace and punctuation."""

    def once(self, kept: list[int], items: list[Json]) -> tuple[list[int], dict[int, int]]:
        """Positions without those that are nearly the same as one kept before, and which that is.

        Raises:
            StepError: There are too many, or the library is not installed.
        """
        try:
            from rapidfuzz import fuzz, process
        except ImportError:
            raise StepError(
                "`similar_by` needs a library that is not installed",
                hint="pip install intendant-intent-filter[fuzzy]",
            ) from None
        if len(kept) > MOST_ALIKE:
            raise StepError(
                f"{len(kept)} records are more than the {MOST_ALIKE} that are compared with each other",
                hint="drop equal ones with `unique_by` first, or work on parts",
            )
        names = [self.fields] if isinstance(self.fields, str) else self.fields
        chosen: list[int] = []
        texts: list[str] = []
        places: list[int] = []
        same: dict[int, int] = {}
        for index in kept:
            text = _words(items[index], names)
            found = None
            if text:
                found = process.extractOne(
                    text, texts, scorer=fuzz.token_sort_ratio, score_cutoff=self.threshold * 100
                )
            if found is not None:
                same[index] = places[found[2]]
                continue
            chosen.append(index)
            if text:
                texts.append(text)
                places.append(index)
        return chosen, same


def _words(item: Json, names: list[str]) -> str:
    values = (field_of(item, name) for name in names)
    words = (word.strip(AROUND) for value in values if value is not None for word in caseless(str(value)).split())
    return " ".join(word for word in words if word)


class Window(Options):
    """The first records of each group."""

    by: str | list[str] = Field(default_factory=list)
    """Fields by whose values to group; by default all records are one group."""
    sort_by: str | list[str] = Field(default_factory=list)
    """The order within a group; `-name` is descending. By default the input's order."""
    count: int = Field(1, ge=1)
    """How many records of each group to keep."""

    @property
    def names(self) -> list[str]:
        """The fields whose values make a group."""
        return [self.by] if isinstance(self.by, str) else self.by

    def first(self, kept: list[int], items: list[Json], notes: list[str]) -> list[int]:
        """Positions of the first ones of each group, in the order of the input."""
        names = self.names
        order = [self.sort_by] if isinstance(self.sort_by, str) else self.sort_by
        names_of_order = [key.removeprefix("-") for key in order]
        texts = {name: misordered(field_of(items[at], name) for at in kept) for name in names_of_order}
        notes += [
            f"the values of {name} are compared as texts, '{found[0]}' before '{found[1]}': have a transform step "
            "make numbers or days of them first (`set`, `parse_date`)"
            for name, found in texts.items()
            if found is not None
        ]
        groups: dict[Hashable, list[int]] = {}
        for index in kept:
            key = tuple(identity_of(field_of(items[index], name)) for name in names)
            groups.setdefault(key, []).append(index)
        found: list[int] = []
        for group in groups.values():
            # Sorted as records that say where they stand.
            marked = [{"record": items[index], "at": index} for index in group]
            keys = [f"-record.{key[1:]}" if key.startswith("-") else f"record.{key}" for key in order]
            found += [entry["at"] for entry in in_order(marked, keys)[: self.count]]
        return sorted(found)


async def without_similar(options: SimilarBy, kept: list[int], items: list[Json], notes: list[str]) -> list[int]:
    """`SimilarBy.once` in a thread, with a note."""
    chosen, same = await asyncio.to_thread(options.once, kept, items)
    if same:
        one, other = next(iter(same.items()))
        notes.append(
            f"{len(same)} records nearly the same as one before; the first: record {one} as record {other}"
        )
    return chosen


def told_by(tests: Sequence[Test]) -> Iterator[str]:
    """What a reader should know of what records had to pass."""
    for test in tests:
        if isinstance(test, Dated):
            yield from test.notes()


def tests_of(between: Between | None, only_in: Members | None, not_in: Members | None) -> list[Test]:
    """What a record has to pass."""
    found: list[Test] = [] if between is None else [between.test()]
    found += [] if only_in is None else [only_in.test()]
    if not_in is not None:
        there = not_in.test()
        found.append(lambda item: not there(item))
    return found
