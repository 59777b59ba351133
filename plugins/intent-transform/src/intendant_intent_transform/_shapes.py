"""Operations that turn records round: long and wide tables, fields of nested records, one value out of many."""

import json
from collections.abc import Callable
from decimal import Decimal
from math import isfinite
from typing import Any, Literal

from pydantic import Field, model_validator

from intendant.plugin import Expression, ExpressionFailed, Json, StepError
from intendant.records import describe_value, identity_of, is_nothing, record_name
from intendant_intent_transform._records import (
    Op,
    Record,
    as_text,
    each_record,
    get,
    items_of,
    records_of,
    require_somewhere,
    within,
)


class Pivot(Op):
    """Makes a wide table of a long one: a row for each value of `rows`, a column for each value of `columns`.

    Where several records fall into one cell, `combine` says what becomes of them.
    """

    op: Literal["pivot"]
    rows: str | list[str]
    columns: str
    values: str
    combine: Literal["fail", "sum", "count", "min", "max", "first", "last", "list"] = "fail"
    empty: Json = None
    """What a cell holds into which no record falls."""

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The wide table; columns in the order in which their values first occur."""
        records = records_of(value)
        keys = [self.rows] if isinstance(self.rows, str) else self.rows
        require_somewhere(records, [*keys, self.columns, self.values])
        cells: dict[Any, dict[str, list[Json]]] = {}
        heads: dict[Any, Record] = {}
        names: dict[str, None] = {}
        without = 0
        for record in records:
            column = get(record, self.columns)
            if is_nothing(column):
                without += 1
                continue
            name = as_text(column)
            if name in keys:
                raise StepError(f"a value of {self.columns} is '{name}', which is a field of the rows too")
            names.setdefault(name)
            found = [get(record, key) for key in keys]
            row = tuple(map(identity_of, found))
            heads.setdefault(row, dict(zip(keys, found, strict=True)))
            cells.setdefault(row, {}).setdefault(name, []).append(get(record, self.values))
            within(len(heads), len(names))
        if without:
            notes.append(f"{without} records without {self.columns} left out")
        return [
            head | {name: self._cell(cells[row].get(name), f"{name} of {head}") for name in names}
            for row, head in heads.items()
        ]

    def _cell(self, found: list[Json] | None, place: str) -> Json:
        if found is None:
            return self.empty
        if self.combine == "fail" and len(found) > 1:
            raise StepError(
                f"{len(found)} records fall into {place}", hint="say with `combine` what becomes of them"
            )
        return combined("first" if self.combine == "fail" else self.combine, found)


class Unpivot(Op):
    """Makes a long table of a wide one: a row for each of the other columns."""

    op: Literal["unpivot"]
    keep: str | list[str]
    """Fields that each row keeps."""
    name: str = "name"
    """The field for the column's name."""
    value: str = "value"
    """The field for its value."""
    drop_null: bool = False

    async def apply(self, value: Json, notes: list[str]) -> Json:  # noqa: ARG002  # as of all operations
        """A row for each field of each record that is not kept."""
        keys = [self.keep] if isinstance(self.keep, str) else self.keep
        records = records_of(value)
        require_somewhere(records, keys)
        return [
            {key: get(record, key) for key in keys} | {self.name: name, self.value: item}
            for record in records
            for name, item in record.items()
            if name not in keys and not (self.drop_null and is_nothing(item))
        ]


class Expand(Op):
    """Puts the fields of a nested record, or the elements of a list, beside the others."""

    op: Literal["expand"]
    field: str
    prefix: str | None = None
    """Put before the new names; by default the field's name and a dot, so that none is in the way of another."""
    names: list[str] | None = None
    """Of a list: what its elements are called; by default their positions, from 0."""

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The records without the field and with what was in it; what is no record or list stays."""
        odd = 0
        prefix = f"{self.field}." if self.prefix is None else self.prefix

        def changed(record: Record) -> Record:
            nonlocal odd
            inner = record.get(self.field)
            if isinstance(inner, list):
                given = self.names or []
                inner = {given[n] if n < len(given) else str(n): item for n, item in enumerate(inner)}
            if not isinstance(inner, dict):
                odd += inner is not None
                return record
            rest = {name: item for name, item in record.items() if name != self.field}
            taken = next((name for name in inner if prefix + name in rest), None)
            if taken is not None:
                raise StepError(f"there is a field '{prefix + taken}' already", hint="give another `prefix`")
            return rest | {prefix + name: item for name, item in inner.items()}

        def every(records: list[Record]) -> list[Record]:
            require_somewhere(records, [self.field])
            return [changed(record) for record in records]

        result = each_record(value, every)
        if odd:
            notes.append(f"{odd} records have something else in {self.field}, and stay as they are")
        return result


class Reduce(Op):
    """Makes one value of a list: a figure, a text, a merged record, or what an expression makes step by step."""

    op: Literal["reduce"]
    with_: Literal["sum", "count", "min", "max", "first", "last", "list", "concat", "merge"] | None = Field(
        None, alias="with"
    )
    field: str | None = None
    """Of records: the value that counts; by default the elements themselves."""
    separator: str = ""
    """Put between texts that are put together."""
    start: Json = None
    """With `each`: the value before the first element."""
    each: str | None = None
    """A CEL expression of `so_far`, `item` and `index` for the next value."""

    @model_validator(mode="after")
    def _one(self) -> "Reduce":
        if (self.with_ is None) == (self.each is None):
            raise ValueError("give either `with`, or `each`, a CEL expression")
        return self

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The value; null values of a field are left out, and counted."""
        items = items_of(value)
        if self.field is not None:
            found = [get(item, self.field) for item in items]
            items = [item for item in found if item is not None]
            if len(items) < len(found):
                notes.append(f"{len(found) - len(items)} null values of {self.field} left out")
        if self.each is None:
            return combined(self.with_ or "list", items, self.separator)
        expression = Expression(self.each, ("so_far", "item", "index"))
        so_far = self.start
        for index, item in enumerate(items):
            try:
                so_far = await expression.evaluate_async(so_far=so_far, item=item, index=index)
            except ExpressionFailed as error:
                raise StepError(f"{record_name(item, index)}: {error.message}", hint=error.hint) from None
        return so_far


class Partition(Op):
    """Splits a list in two by a condition."""

    op: Literal["partition"]
    where: str
    """A CEL condition on `item` and `index`."""
    names: tuple[str, str] = ("matching", "others")

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """Both lists, under their names."""
        condition = Expression(self.where, ("item", "index"))
        parts: tuple[list[Json], list[Json]] = ([], [])
        for index, item in enumerate(items_of(value)):
            try:
                parts[0 if await condition.test_async(item=item, index=index) else 1].append(item)
            except ExpressionFailed as error:
                raise StepError(f"{record_name(item, index)}: {error.message}", hint=error.hint) from None
        notes.append(f"{len(parts[0])} {self.names[0]}, {len(parts[1])} {self.names[1]}")
        return dict(zip(self.names, parts, strict=True))


def combined(how: str, found: list[Json], separator: str = "") -> Json:
    """One value of several.

    Raises:
        StepError: They are not of the kind that it takes.
    """
    simple: dict[str, Callable[[], Json]] = {
        "count": lambda: len(found),
        "list": lambda: found,
        "concat": lambda: separator.join(as_text(item) for item in found),
        "merge": lambda: _merged(found),
        "first": lambda: found[0] if found else None,
        "last": lambda: found[-1] if found else None,
    }
    if how in simple:
        return simple[how]()
    numbers = [_number(item) for item in found if item is not None]
    if how == "sum":
        whole = sum(numbers, Decimal(0))
        return int(whole) if whole == whole.to_integral_value() else float(whole)
    least: Json = (min if how == "min" else max)(
        (item for item in found if item is not None), key=_number, default=None
    )
    return least


def _merged(found: list[Json]) -> Json:
    whole: Record = {}
    for index, item in enumerate(found):
        if not isinstance(item, dict):
            raise StepError(f"element {index} is {describe_value(item)}, not a record to merge")
        whole |= item
    return whole


def _number(value: Json) -> Decimal:
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        return Decimal(json.dumps(value))
    raise StepError(f"{describe_value(value)} is not a number", hint="convert it with `set` and double(…) first")
