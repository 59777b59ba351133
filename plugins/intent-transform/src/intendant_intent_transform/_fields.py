"""Operations on the fields of records. Each takes a list of records, or a single one."""

import asyncio
import math
import re
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field, model_validator

from intendant.plugin import Expression, ExpressionFailed, Json, StepError
from intendant_intent_transform._records import (
    Absent,
    Op,
    Record,
    each_record,
    get,
    look,
    records_of,
    require_somewhere,
)

NAMES = ("item", "index", "values")
PAUSE = 500
"""Records between two looks at whether the step was cancelled."""
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class Select(Op):
    """Keeps these fields, in this order; null where a record has it not. A map gives new names."""

    op: Literal["select"]
    fields: list[str] | dict[str, str] = Field(min_length=1)
    """Fields, or `{new: old}`; dotted paths go into nested records."""

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The records with these fields only."""
        pairs = self.fields if isinstance(self.fields, dict) else {name: name for name in self.fields}

        def change(records: list[Record]) -> list[Record]:
            require_somewhere(records, list(pairs.values()))
            absent = sum(look(record, old) is Absent for record in records for old in pairs.values())
            if absent:
                notes.append(f"{absent} absent fields became null")
            return [{new: get(record, old) for new, old in pairs.items()} for record in records]

        return each_record(value, change)


class Drop(Op):
    """Leaves these fields out."""

    op: Literal["drop"]
    fields: list[str] = Field(min_length=1)

    async def apply(self, value: Json, notes: list[str]) -> Json:  # noqa: ARG002
        """The records without these fields."""

        def change(records: list[Record]) -> list[Record]:
            require_somewhere(records, self.fields)
            return [{name: item for name, item in record.items() if name not in self.fields} for record in records]

        return each_record(value, change)


class Rename(Op):
    """Gives fields other names; their places stay."""

    op: Literal["rename"]
    fields: dict[str, str] = Field(min_length=1)
    """`{new: old}`."""

    async def apply(self, value: Json, notes: list[str]) -> Json:  # noqa: ARG002
        """The records with their fields renamed."""
        new_names = {old: new for new, old in self.fields.items()}

        def change(records: list[Record]) -> list[Record]:
            require_somewhere(records, list(new_names))
            return [self._renamed(record, new_names, index) for index, record in enumerate(records)]

        return each_record(value, change)

    def _renamed(self, record: Record, new_names: dict[str, str], index: int) -> Record:
        renamed = {new_names.get(name, name): item for name, item in record.items()}
        if len(renamed) < len(record):
            raise StepError(
                f"record {index} has a field of a new name already", hint="drop or rename that one first"
            )
        return renamed


class Set(Op):
    """Computes fields by CEL expressions on `item`, `index` and `values`, each after the other."""

    op: Literal["set"]
    fields: dict[str, str] = Field(min_length=1)
    """Expressions by field; each sees the fields that were computed before it."""
    values: dict[str, Json] = Field(default_factory=dict)
    """What expressions may use as `values.<name>`; the place for references."""
    on_error: Literal["fail", "null"] = "fail"
    """What becomes of a field that cannot be computed."""

    @model_validator(mode="after")
    def _expressions(self) -> "Set":
        for name, source in self.fields.items():
            text = source.strip()
            if text.startswith("{{") and text.endswith("}}") and text.count("{{") == 1:
                continue
            if "{{" in source:
                hint = "give it under `values` (values: {rate: '{{ … }}'}) and write values.rate"
                raise ValueError(
                    f"'{name}' has a reference pasted into it, which could change its meaning; {hint}"
                )
            try:
                Expression(source, NAMES)
            except ExpressionFailed as error:
                raise ValueError(f"'{name}' is wrong: {error}") from None
        return self

    async def apply(self, value: Json, notes: list[str]) -> Json:
        """The records with the fields computed."""
        expressions = [(name, Expression(source, NAMES)) for name, source in self.fields.items()]
        records = [value] if isinstance(value, dict) else records_of(value)
        failures: list[str] = []
        changed = []
        for index, record in enumerate(records):
            if index % PAUSE == 0:
                await asyncio.sleep(0)
            result = dict(record)
            for name, expression in expressions:
                result[name] = await self._computed(name, expression, result, index, failures)
            changed.append(result)
        if failures:
            notes.append(f"{len(failures)} fields could not be computed and are null; the first: {failures[0]}")
        notes += [
            f"'{name}' divides whole numbers, which leaves the rest out (7 / 2 is 3): for decimals, divide by "
            "`double(…)`, else say `int(…)`"
            for name in filter(self._divides, self.fields)
            if any(type(record[name]) is int for record in changed)
        ]
        return changed[0] if isinstance(value, dict) else changed

    def _divides(self, name: str) -> bool:
        """True if an expression divides, and does not say that a whole number is wanted."""
        source = _QUOTED.sub("", self.fields[name])
        return "/" in source and "int(" not in source

    async def _computed(
        self, name: str, expression: Expression, item: Record, index: int, failures: list[str]
    ) -> Json:
        try:
            return plain(await expression.evaluate_async(item=item, index=index, values=self.values))
        except (ExpressionFailed, ValueError) as error:
            message = f"record {index}, {name}: {getattr(error, 'message', error)}"
            if self.on_error == "fail":
                hint = "write has(item.field) ? … : null, convert with double(…), or set on_error: null"
                raise StepError(message, hint=hint) from None
            failures.append(message)
            return None


def plain(value: Any) -> Json:
    """A CEL value as JSON: timestamps as ISO 8601, durations in seconds.

    Raises:
        ValueError: It is bytes, infinite, or not a number.
    """
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"its value, {value!r}, cannot be written as JSON")
    return value
