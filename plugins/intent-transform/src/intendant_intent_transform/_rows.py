"""Operations on lists: order, number, nesting."""

from typing import Literal

from pydantic import Field

from intendant.plugin import Json, Options, StepError
from intendant.records import caseless, describe_value, identity_of, misordered, order_of
from intendant_intent_transform._records import Op, Record, get, items_of, records_of, require_somewhere


class SortKey(Options):
    """A field to sort by."""

    by: str
    direction: Literal["asc", "desc"] = "asc"


class Sort(Op):
    """Sorts by fields, the first counting most; without any, by the elements themselves.

    The order is total: booleans, numbers, texts, lists, records; null and absent last, both ways. Ties keep their
    order.
    """

    op: Literal["sort"]
    by: str | list[str | SortKey] = Field(default_factory=list)
    """Fields; `-name` sorts from the largest."""
    direction: Literal["asc", "desc"] = "asc"
    """Of elements sorted by themselves."""
    ignore_case: bool = False

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The list in order."""
        keys = self._keys()
        for path in [key.by for key in keys] or [""]:
            found = [get(item, path) if path else item for item in items_of(value)]
            if (texts := misordered(found)) is not None:
                what = f"the values of {path}" if path else "the elements"
                notes.append(
                    f"{what} are sorted as texts, '{texts[0]}' before '{texts[1]}': for numbers, read a CSV with "
                    "`types: auto` or `set` them with `double(item.…)` first; for days, use `parse_date`"
                )
        if not keys:
            return self._sorted(items_of(value), "", descending=self.direction == "desc")
        ordered: list[Json] = list(records_of(value))
        require_somewhere(records_of(value), [key.by for key in keys])
        for key in reversed(keys):
            ordered = self._sorted(ordered, key.by, descending=key.direction == "desc")
        return ordered

    def _keys(self) -> list[SortKey]:
        given = [self.by] if isinstance(self.by, str) else self.by
        return [
            key
            if isinstance(key, SortKey)
            else SortKey(by=key.removeprefix("-"), direction="desc" if key.startswith("-") else "asc")
            for key in given
        ]

    def _sorted(self, items: list[Json], path: str, *, descending: bool) -> list[Json]:
        pairs = [(get(item, path) if path else item, item) for item in items]
        there = [pair for pair in pairs if pair[0] is not None]
        there.sort(key=lambda pair: order_of(self._folded(pair[0])), reverse=descending)
        return [item for _, item in there] + [item for found, item in pairs if found is None]

    def _folded(self, found: Json) -> Json:
        return caseless(found) if self.ignore_case and isinstance(found, str) else found


class Limit(Op):
    """Keeps a part of a list."""

    op: Literal["limit"]
    count: int = Field(ge=0)
    offset: int = Field(0, ge=0)

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The part."""
        items = items_of(value)
        kept = items[self.offset : self.offset + self.count]
        if len(kept) < len(items):
            notes.append(f"{len(kept)} of {len(items)} kept")
        return kept


class Unique(Op):
    """Keeps one of several elements that are alike."""

    op: Literal["unique"]
    by: str | list[str] = Field(default_factory=list)
    """Fields that make them alike; by default the whole element. Records that have none of them are all kept."""
    keep: Literal["first", "last"] = "first"

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The list without repetitions, in its order."""
        items = items_of(value)
        paths = [self.by] if isinstance(self.by, str) else self.by
        order = range(len(items)) if self.keep == "first" else range(len(items) - 1, -1, -1)
        seen, kept = set(), []
        for index in order:
            found = [get(items[index], path) for path in paths] if paths else [items[index]]
            key = tuple(identity_of(part) for part in found)
            if (paths and all(part is None for part in found)) or key not in seen:
                seen.add(key)
                kept.append(index)
        if len(kept) < len(items):
            notes.append(f"{len(items) - len(kept)} repetitions left out")
        return [items[index] for index in sorted(kept)]


class Flatten(Op):
    """Makes a row of each element of a list within a record; without `field`, opens lists within a list."""

    op: Literal["flatten"]
    field: str | None = None
    """The field that holds the list."""
    carry: list[str] | None = None
    """The record's fields that each row gets; by default all but the list. The element's own fields win."""
    prefix: str = ""
    """Put before the names of the carried fields."""
    depth: int = Field(1, ge=1)
    """How many levels of lists are opened, without `field`."""

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The rows."""
        if self.field is None:
            return _opened(items_of(value), self.depth)
        records = [value] if isinstance(value, dict) else records_of(value)
        require_somewhere(records, [self.field, *(self.carry or [])])
        rows: list[Json] = []
        childless = 0
        for index, record in enumerate(records):
            children = get(record, self.field)
            if children is not None and not isinstance(children, list):
                raise StepError(f"record {index}: {self.field} is {describe_value(children)}, not a list")
            childless += not children
            rows += [self._row(record, child) for child in children or []]
        if childless:
            notes.append(f"{childless} records without {self.field} gave no row")
        return rows

    def _row(self, record: Record, child: Json) -> Record:
        names = self.carry if self.carry is not None else [name for name in record if name != self.field]
        carried = {self.prefix + name: get(record, name) for name in names}
        return carried | (child if isinstance(child, dict) else {str(self.field): child})


def _opened(items: list[Json], depth: int) -> list[Json]:
    if depth == 0:
        return items
    return [inner for item in items for inner in (_opened(item, depth - 1) if isinstance(item, list) else [item])]


class SetDifference(Op):
    """Keeps what is not in another list."""

    op: Literal["set_difference"]
    other: list[Json] | None
    """The other list; null leaves everything."""
    by: str | None = None
    """The key of records; by default whole elements are compared."""
    other_by: str | None = None
    """The key in the other list, where it has another name."""

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The elements whose key is not in the other list."""
        items = items_of(value)
        if self.other is None:
            notes.append("the other list is null: everything is kept")
            return items
        other_by = self.other_by or self.by
        known = {
            identity_of(get(item, other_by) if other_by and isinstance(item, dict) else item)
            for item in self.other
        }
        kept = [item for item in items if identity_of(get(item, self.by) if self.by else item) not in known]
        notes.append(f"{len(items) - len(kept)} of {len(items)} are in the other list")
        return kept
