"""Charts as text, for reports that are read as they are."""

from typing import Literal

from pydantic import Field

from intendant.plugin import Json
from intendant.records import record_name
from intendant_intent_transform._line_charts import number_of
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
        sizes = [
            number_of(get(record, self.value), self.value, record_name(record, at)) or 0.0
            for at, record in enumerate(records)
        ]
        labels = [as_text(get(record, self.label)).replace("\n", " ") for record in records]
        most, wide = max(map(abs, sizes)), max(map(len, labels))
        lines = (
            f"{label:<{wide}} {self._bar(size, most)} {as_text(get(record, self.value))}"
            for label, size, record in zip(labels, sizes, records, strict=True)
        )
        return "```\n" + "".join(f"{line}\n" for line in lines) + "```\n"

    def _bar(self, size: float, most: float) -> str:
        eighths = round(8 * self.width * (abs(size) / most)) if most else 0
        if size < 0:
            return "▒" * max(1, round(eighths / 8))
        return "█" * (eighths // 8) + PARTS[eighths % 8].strip()
