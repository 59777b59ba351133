"""Parameters of a transformation, and the table of operations."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ConfigDict, ValidationError, model_validator

from intendant.plugin import Json, Options, StepError, fault_text
from intendant_intent_transform._charts import ToBarChart
from intendant_intent_transform._dates import AddDays, DaysBetween, ParseDate
from intendant_intent_transform._fields import Drop, Rename, Select, Set
from intendant_intent_transform._line_charts import ToLineChart
from intendant_intent_transform._measures import ConvertUnit
from intendant_intent_transform._records import Op
from intendant_intent_transform._rows import Flatten, Limit, SetDifference, Sort, Unique
from intendant_intent_transform._shapes import Expand, Partition, Pivot, Reduce, Unpivot
from intendant_intent_transform._tables import MapHeaders, Project, RowsToObjects, ToRows
from intendant_intent_transform._texts import ParseJson, Render, Shorten, Split, ToCsv, ToJson, ToMarkdownTable
from intendant_intent_transform._times import ToTimezone, TruncateDate

OPS: Mapping[str, type[Op]] = {
    "select": Select,
    "drop": Drop,
    "rename": Rename,
    "set": Set,
    "sort": Sort,
    "limit": Limit,
    "unique": Unique,
    "flatten": Flatten,
    "set_difference": SetDifference,
    "rows_to_objects": RowsToObjects,
    "map_headers": MapHeaders,
    "to_rows": ToRows,
    "project": Project,
    "split": Split,
    "parse_json": ParseJson,
    "to_json": ToJson,
    "to_csv": ToCsv,
    "to_markdown_table": ToMarkdownTable,
    "to_bar_chart": ToBarChart,
    "to_line_chart": ToLineChart,
    "render": Render,
    "parse_date": ParseDate,
    "days_between": DaysBetween,
    "add_days": AddDays,
    "truncate_date": TruncateDate,
    "to_timezone": ToTimezone,
    "convert_unit": ConvertUnit,
    "pivot": Pivot,
    "unpivot": Unpivot,
    "expand": Expand,
    "reduce": Reduce,
    "partition": Partition,
    "shorten": Shorten,
}


class TransformParameters(Options):
    """A list of operations under `do`, or a single one with its parameters next to `op`; neither with a prompt."""

    model_config = ConfigDict(extra="allow")

    do: list[dict[str, Json]] | None = None
    op: str | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "TransformParameters":
        if self.do is not None and self.op is not None:
            raise ValueError("give either `do`, a list of operations, or `op`, a single one")
        if self.op is None and self.do is None and self.model_extra:
            raise ValueError(f"'{next(iter(self.model_extra))}' belongs to an operation: give `op` or `do`")
        if self.do is not None and self.model_extra:
            raise ValueError(f"'{next(iter(self.model_extra))}' belongs into an operation of `do`")
        return self

    @property
    def given(self) -> list[tuple[str, dict[str, Json]]]:
        """The operations as they are written, and what to call them."""
        if self.op is None and self.do is None:
            return []
        if self.do is not None:
            return [(f"do[{index}]", item) for index, item in enumerate(self.do)]
        return [("", {"op": self.op, **(self.model_extra or {})})]

    def operations(self) -> list[tuple[str, Op]]:
        """The operations, and what to call them.

        Raises:
            StepError: One is not known, or its parameters are wrong.
        """
        made = []
        for place, item in self.given:
            faults = list(faults_of(place, item, resolved=True))
            if faults:
                raise StepError(faults[0])
            made.append((f"{place} {item['op']}".strip(), OPS[item["op"]].model_validate(item)))
        return made


def faults_of(place: str, item: dict[str, Json], *, resolved: bool) -> Iterator[str]:
    """What is wrong with an operation; values that are references are left out unless they are *resolved*."""
    name = item.get("op")
    if not isinstance(name, str) or name not in OPS:
        close = get_close_matches(str(name), OPS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(OPS)}"
        if resolved or "{{" not in str(name):
            yield f"{place or 'op'}: there is no operation '{name}'; {hint}"
        return
    try:
        OPS[name].model_validate(item)
    except ValidationError as error:
        for fault in error.errors():
            if resolved or not _refers(item, fault["loc"]):
                yield _message(f"{place} {name}".strip(), fault, OPS[name])


def _message(place: str, fault: Any, operation: type[Op]) -> str:
    field = ".".join(str(part) for part in fault["loc"])
    text = fault_text(fault)
    if fault["type"] == "extra_forbidden":
        known = [one.alias or name for name, one in operation.model_fields.items() if name != "op"]
        close = get_close_matches(field, known, n=1)
        meant = f"did you mean '{close[0]}'?" if close else f"it takes {', '.join(known)}"
        return f"{place}: '{field}' is no parameter of it; {meant}"
    if fault["type"] == "missing":
        return f"{place}: '{field}' is missing"
    return f"{place}: {field}: {text}" if field else f"{place}: {text}"


def _refers(value: Any, path: tuple[Any, ...]) -> bool:
    """True if a reference stands at *path*, or where the path ends early."""
    for part in path:
        if isinstance(value, str):
            break
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            continue  # the name of a union's member, which is in the path and not in the value
    return isinstance(value, str) and "{{" in value
