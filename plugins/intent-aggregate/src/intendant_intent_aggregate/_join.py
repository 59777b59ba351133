"""Joins two lists of records, as in SQL: what is null never matches, several matches multiply."""

from bisect import bisect_right
from collections.abc import Hashable, Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from intendant.plugin import Json, Options, StepError
from intendant.records import (
    as_records,
    composed,
    field_of,
    identity_of,
    is_nothing,
    misordered,
    moment_of,
    order_of,
    require_field,
)

Record = dict[str, Json]
MOST_ROWS = 1_000_000
MOST_CELLS = 10_000_000
"""Rows without a match times the other side's fields, which each of them gets as null."""


class Keys(Options):
    """The key field of each side."""

    left: str
    right: str


class Join(Options):
    """Joins the input (the left side) with another list (the right side)."""

    with_: list[Json] = Field(alias="with")
    on: str | Keys
    how: Literal["inner", "left", "outer", "asof"] = "inner"
    """`asof`: like `left`, but with the latest right record that is not after the left one."""
    at: str | Keys | None = None
    """With `asof`: the field that orders the records, usually a time; one name for both sides, or one for each.
    Numbers, or texts that sort, such as ISO dates."""
    prefix: str = ""
    """Prefix for the names of the right side's fields."""

    @model_validator(mode="after")
    def _timed(self) -> "Join":
        if (self.how == "asof") != (self.at is not None):
            raise ValueError("`how: asof` and `at`, the field of the time, belong together")
        return self

    @property
    def times(self) -> tuple[str, str]:
        """The time's field on the left and on the right."""
        at = self.at or ""
        return (at, at) if isinstance(at, str) else (at.left, at.right)

    @property
    def keys(self) -> tuple[str, str]:
        """The key's field on the left and on the right."""
        return (self.on, self.on) if isinstance(self.on, str) else (self.on.left, self.on.right)


def join(left: list[Record], options: Join, notes: list[str]) -> list[Record]:
    """The joined records: the left side's order, then, for `outer`, what of the right side found no match.

    Raises:
        StepError: Both sides have a field of the same name and different values, or there are too many rows.
    """
    right = as_records(options.with_, "`join.with`")
    left_key, right_key = options.keys
    require_field(left, left_key)
    require_field(right, right_key, "record of `join.with`")
    joiner = Joiner(options, right, index_of(right, right_key))
    rows = list(joiner.rows(left))
    if options.how == "outer":
        rows += joiner.rest()
    notes.append(joiner.told(len(left), len(rows)))
    if not joiner.used and left and right and _kinds_differ(left, right, options):
        notes.append(f"nothing matched: {left_key} and {right_key} are of different types, such as 17 and '17'")
    return rows


def index_of(right: list[Record], key: str) -> dict[Hashable, list[int]]:
    """Positions of records by their keys; a null key is none."""
    index: dict[Hashable, list[int]] = {}
    for position, record in enumerate(right):
        value = field_of(record, key)
        if not is_nothing(value):
            index.setdefault(identity_of(value), []).append(position)
    return index


class Joiner:
    """Joins records with a right side that is held.

    Args:
        options: How.
        right: The right side.
        index: Its positions, by key.
        bounded: Whether rows are counted against `MOST_ROWS` and `MOST_CELLS`: not where they flow.
    """

    def __init__(
        self, options: Join, right: list[Record], index: dict[Hashable, list[int]], *, bounded: bool = True
    ) -> None:
        self._bounded = bounded
        self._made = self._filled = 0
        self._timed: dict[Hashable, list[tuple[tuple[int, Any], int]]] = {}
        """Positions in the order of their times, by key."""
        self._zoned: set[bool] = set()
        """Whether times say their zone: of some that do, and of some that do not."""
        self.options, self.right, self.index = options, right, index
        self.used: set[int] = set()
        self.unmatched = 0
        self.key = options.keys
        self._left: dict[str, None] = {}
        """Fields of left records, in their order."""
        self.columns = list(dict.fromkeys(name for record in right for name in record))

    def rows(self, left: list[Record]) -> Iterator[Record]:
        """The left records joined; call it with one batch after the other."""
        for number, record in enumerate(left):
            self._left |= dict.fromkeys(record)
            value = field_of(record, self.key[0])
            found = self.index.get(identity_of(value), [])
            if self.options.how == "asof":
                found = self._latest(found, record, number)
            self.used.update(found)
            self.unmatched += not found
            self._made += len(found)
            if self._made > MOST_ROWS and self._bounded:
                raise StepError(
                    f"the join has more than {MOST_ROWS} rows", hint="the key is not unique on either side"
                )
            for position in found:
                yield self.both(record, self.right[position], number)
            self._filled += not found
            wide = self._filled * len(self.columns) > MOST_CELLS and self._bounded
            if wide and self.options.how != "inner":
                hint = "drop fields of the right side before"
                raise StepError(f"rows without a match get more than {MOST_CELLS} null values", hint=hint)
            if not found and self.options.how != "inner":
                yield self.both(record, dict.fromkeys(self.columns), number, fill=True)

    def _latest(self, found: list[int], record: Record, number: int) -> list[int]:
        """Of the records of a key, the last one whose time is not after that of the left record."""
        left, right = self.options.times
        time = field_of(record, left)
        if is_nothing(time) or not found:
            return []
        key = identity_of(field_of(self.right[found[0]], self.key[1]))
        if key not in self._timed:
            there = [position for position in found if not is_nothing(field_of(self.right[position], right))]
            self._look_at(right, [field_of(self.right[position], right) for position in there])
            pairs = [(order_of(field_of(self.right[position], right)), position) for position in there]
            self._timed[key] = sorted(pairs)
        pairs = self._timed[key]
        if pairs and pairs[0][0][0] != order_of(time)[0]:
            raise StepError(
                f"record {number}: {left} and {right} are of different types", hint="such as 17 and '17'"
            )
        place = bisect_right(pairs, (order_of(time), len(self.right)))
        beside = [field_of(self.right[position], right) for _, position in pairs[max(0, place - 1) : place + 1]]
        self._look_at(f"{left} of record {number}", [time, *beside])
        return [pairs[place - 1][1]] if place else []

    def _look_at(self, what: str, times: list[Json]) -> None:
        """See that times sort as what they write, and whether all of them say their zone.

        Raises:
            StepError: They do not sort so.
        """
        if (texts := misordered(times)) is not None:
            raise StepError(
                f"{what} does not sort as what it writes: '{texts[0]}' comes before '{texts[1]}'",
                hint="have a transform step make numbers or days of such texts first (`set`, `parse_date`)",
            )
        self._zoned.update(moment_of(time) is not None for time in times if isinstance(time, str) and ":" in time)

    def rest(self) -> list[Record]:
        """The right records that found no match."""
        return [self.alone(record) for position, record in enumerate(self.right) if position not in self.used]

    def told(self, read: int, made: int) -> str:
        """What came of it, in words."""
        return (
            f"joined {read} records with {len(self.right)}: {made} rows; without a match: "
            f"{self.unmatched} on the left, {len(self.right) - len(self.used)} on the right"
            f"{'; times that say no zone were taken for UTC' if len(self._zoned) > 1 else ''}"
        )

    def both(self, left: Record, right: Record, number: int, *, fill: bool = False) -> Record:
        """A left record with the fields of a right one; with *fill*, only those it has not."""
        row = dict(left)
        for name, value in right.items():
            if composed(name) == composed(self.key[1]):
                continue
            new = self.options.prefix + name
            if new not in row:
                row[new] = value
            elif not fill and identity_of(row[new]) != identity_of(value):
                raise StepError(
                    f"record {number}: both sides have a field '{new}', with different values",
                    hint="add `prefix` for the right side's fields, or drop the field before joining",
                )
        return row

    def alone(self, right: Record) -> Record:
        """A right record that found no match; what the left side has is null."""
        row: Record = {**self._left, self.key[0]: field_of(right, self.key[1])}
        return row | {
            self.options.prefix + name: value
            for name, value in right.items()
            if composed(name) != composed(self.key[1])
        }


def _kinds_differ(left: list[Record], right: list[Record], options: Join) -> bool:
    sides = ((left, options.keys[0]), (right, options.keys[1]))
    kinds = [
        {type(value) for record in side if (value := field_of(record, key)) is not None} for side, key in sides
    ]
    return all(kinds) and not kinds[0] & kinds[1]
