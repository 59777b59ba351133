"""Parameters of an aggregation."""

from typing import Literal

from pydantic import Field, model_validator

from intendant.plugin import Json, Options
from intendant_intent_aggregate._join import Join
from intendant_intent_aggregate._measures import Measure

COUNTS = frozenset(("count", "count_distinct", "collect"))
"""Figures that say how often, and with which values, a field is there at all."""


class AggregateParameters(Options):
    """Applied in this order: merge, join, group and measure, sort, limit."""

    merge: list[list[Json]] = Field(default_factory=list)
    """Lists of records to append to the input."""
    join: Join | None = None
    group_by: str | list[str] = Field(default_factory=list)
    """Fields by whose values to group; dotted paths reach into nested records."""
    measures: dict[str, Measure] = Field(default_factory=dict)
    """Measures by the name of their output field; by default, with `group_by`, the count."""
    include_null: bool = False
    """Whether records whose key is null, absent or empty form a group; otherwise they are left out."""
    on_error: Literal["fail", "skip"] = "fail"
    """What to do about a value that is not a number where one is required."""
    sort_by: str | list[str] = Field(default_factory=list)
    """Output fields to sort by; `-total` sorts in descending order."""
    limit: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> "AggregateParameters":
        clash = sorted(set(self.keys) & set(self.measures))
        if clash:
            raise ValueError(f"'{clash[0]}' is both a key of the groups and a measure")
        if self.measures and not self.keys and (self.order or self.limit is not None):
            raise ValueError("`sort_by` and `limit` need `group_by`: measures of the whole input are one record")
        return self

    @property
    def keys(self) -> list[str]:
        """The fields whose values make a group."""
        return [self.group_by] if isinstance(self.group_by, str) else self.group_by

    @property
    def figured(self) -> list[str]:
        """Fields that figures are made of. Of no record having one a count is 0, and a sum is a mistake."""
        made = [measure.field for measure in self.measures.values() if measure.kind not in COUNTS]
        return [field for field in made if isinstance(field, str)]

    @property
    def appends(self) -> bool:
        """True where lists are put after each other and nothing else is done, whatever their elements are."""
        return bool(self.merge) and not (self.join or self.keys or self.measures or self.order)

    @property
    def order(self) -> list[str]:
        """The fields to sort by."""
        return [self.sort_by] if isinstance(self.sort_by, str) else self.sort_by
