"""Charts as text, for reports that are read as they are."""

import math
from typing import Literal

from pydantic import Field

from intendant.plugin import Json, StepError
from intendant.records import describe_value, record_name
from intendant_intent_transform._records import Op, as_text, get, records_of, require_somewhere

PARTS = " ▏▎▍▌▋▊▉"
"""Eighths of a block."""


class ToBarChart(Op):
    """Writes a bar for each record, the longest for the largest value, as text in a fence of Markdown."""

    op: Literal["to_bar_chart"]
    label: str
    """The field that names a bar."""
    value: str
    """The field that a bar is as long as. Bars of negative numbers are shaded; null has none."""
    width: int = Field(40, ge=4, le=200)
    """Characters of the longest bar."""

    async def apply(self, value: Json, notes: list[str]) -> Json:  # noqa: ARG002
        """The text; empty where there are no records."""
        records = records_of(value)
        require_somewhere(records, [self.label, self.value])
        if not records:
            return ""
        sizes = [self._size(get(record, self.value), record_name(record, at)) for at, record in enumerate(records)]
        labels = [as_text(get(record, self.label)).replace("\n", " ") for record in records]
        most, wide = max(map(abs, sizes)), max(map(len, labels))
        lines = (
            f"{label:<{wide}} {self._bar(size, most)} {as_text(get(record, self.value))}"
            for label, size, record in zip(labels, sizes, records, strict=True)
        )
        return "```\n" + "".join(f"{line}\n" for line in lines) + "```\n"

    def _size(self, value: Json, name: str) -> float:
        if value is None:
            return 0.0
        try:
            size = float(value) if isinstance(value, int | float | str) else math.nan
        except (ValueError, OverflowError):
            size = math.nan
        if not math.isfinite(size) or isinstance(value, bool):
            raise StepError(
                f"{self.value} of {name} is {describe_value(value)}",
                hint="a bar is as long as a number; `set` with `double(item.…)` makes one of a text",
            )
        return size

    def _bar(self, size: float, most: float) -> str:
        eighths = round(8 * self.width * (abs(size) / most)) if most else 0
        if size < 0:
            return "▒" * max(1, round(eighths / 8))
        return "█" * (eighths // 8) + PARTS[eighths % 8].strip()
