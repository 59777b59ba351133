"""Line charts as SVG, to be written into a file or to stand in a page."""

import math
import re
from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Literal, NamedTuple

from pydantic import Field

from intendant.plugin import Json, StepError
from intendant.records import describe_value, record_name
from intendant_intent_transform._records import Op, as_text, get, records_of, require_somewhere

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000")
"""Okabe and Ito's, which people who see colours differently can tell apart."""
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 28
"""Pixels around the lines: for the numbers, and for the names below."""
LINE = 18
"""Pixels of a line of text."""
LETTER = 7
"""Pixels of a letter, about."""
LONG = 1e9
"""From here on numbers are written with an exponent."""
_NOT_XML = re.compile("[^\t\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class ToLineChart(Op):
    """Draws a line for each field, over the records in their order, as SVG that needs nothing else."""

    op: Literal["to_line_chart"]
    x: str
    """The field that names a place on the axis, such as a day; records stand in their order, equally far apart."""
    y: str | list[str] = Field(min_length=1)
    """The field of a line, or those of several (eight at most): numbers; null leaves a gap."""
    title: str = ""
    """Stands above it."""
    width: int = Field(640, ge=200, le=4000)
    """Pixels."""
    height: int = Field(320, ge=120, le=4000)
    """Pixels."""

    async def apply(self, value: Json, notes: list[str]) -> Json:  # noqa: ARG002
        """The drawing; empty where there are no records.

        Raises:
            StepError: There are more than eight lines, or a value is no number.
        """
        fields = [self.y] if isinstance(self.y, str) else list(dict.fromkeys(self.y))
        if len(fields) > len(COLOURS):
            raise StepError(
                f"{len(fields)} lines cannot be told apart", hint=f"draw {len(COLOURS)} at most in one chart"
            )
        records = records_of(value)
        require_somewhere(records, [self.x, *fields])
        if not records:
            return ""
        lines = [
            [number_of(get(record, field), field, record_name(record, at)) for at, record in enumerate(records)]
            for field in fields
        ]
        names = [as_text(get(record, self.x)).replace("\n", " ") for record in records]
        return self._drawn(names, dict(zip(fields, lines, strict=True)))

    def _drawn(self, names: Sequence[str], lines: dict[str, list[float | None]]) -> str:
        head = LINE * (bool(self.title) + (len(lines) > 1))
        scale = scale_of([size for line in lines.values() for size in line if size is not None])
        area = Area(LEFT, TOP + head, self.width - RIGHT, self.height - BOTTOM, len(names), scale)
        said = xml(self.title or f"{', '.join(lines)} by {self.x}")
        box = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}"'
        look = f'role="img" aria-label="{said}" font-family="sans-serif" font-size="12"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {box} {look}>',
            f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>',
            *self._heading(list(lines)),
            *area.grid(),
            *area.names(names),
        ]
        for (field, line), colour in zip(lines.items(), COLOURS, strict=False):
            parts.append(f'<g fill="none" stroke="{colour}" stroke-width="2"><title>{xml(field)}</title>')
            parts += [*area.line(line, colour), "</g>"]
        return "\n".join([*parts, "</svg>"]) + "\n"

    def _heading(self, fields: Sequence[str]) -> list[str]:
        """The title, and which colour is which field, where there are several."""
        found, y = [], TOP
        if self.title:
            found.append(f'<text x="{LEFT}" y="{y}" font-weight="bold">{xml(self.title)}</text>')
            y += LINE
        x = LEFT
        for field, colour in zip(fields if len(fields) > 1 else (), COLOURS, strict=False):
            found.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
            found.append(f'<text x="{x + 14}" y="{y}">{xml(field)}</text>')
            x += 14 + LETTER * len(field) + 16
        return found


class Scale(NamedTuple):
    """The axis of the numbers, from a round number to a round number."""

    low: float
    high: float
    step: float

    @property
    def marks(self) -> list[float]:
        """The numbers that stand beside the axis."""
        return [self.low + self.step * number for number in range(round((self.high - self.low) / self.step) + 1)]

    def text(self, mark: float) -> str:
        """A number as it stands beside the axis: with as many digits as the step needs."""
        return f"{mark:.{max(0, -math.floor(math.log10(self.step)))}f}" if abs(mark) < LONG else f"{mark:g}"


def scale_of(sizes: Sequence[float]) -> Scale:
    """A scale of four to ten steps of 1, 2 or 5 times a power of ten, within which all *sizes* are."""
    low, high = min(sizes, default=0.0), max(sizes, default=1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        room = abs(high) / 2 or 1.0
        low, high = low - room, high + room
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
    return Scale(step * math.floor(low / step), step * math.ceil(high / step), step)


class Area(NamedTuple):
    """Where the lines are drawn, in pixels, and what they are drawn by."""

    left: float
    top: float
    right: float
    bottom: float
    records: int
    scale: Scale

    def across(self, at: int) -> float:
        """Where a record stands."""
        if self.records == 1:
            return (self.left + self.right) / 2
        return self.left + (self.right - self.left) * at / (self.records - 1)

    def up(self, size: float) -> float:
        """Where a number stands."""
        share = (size - self.scale.low) / (self.scale.high - self.scale.low)
        return self.bottom - (self.bottom - self.top) * share

    def grid(self) -> list[str]:
        """A line and a number for each mark of the scale."""
        found = []
        for mark in self.scale.marks:
            y = round(self.up(mark), 1)
            found.append(f'<path d="M{self.left} {y}H{self.right}" stroke="#cccccc"/>')
            found.append(f'<text x="{self.left - 6}" y="{y + 4}" text-anchor="end">{self.scale.text(mark)}</text>')
        return found

    def names(self, names: Sequence[str]) -> list[str]:
        """Names below the axis, as many as there is room for, the first and the last among them."""
        wide = LETTER * (max(map(len, names)) + 2)
        places = min(self.records, max(2, int((self.right - self.left) / wide)))
        shown = sorted({round(at * (self.records - 1) / max(1, places - 1)) for at in range(places)})
        found = []
        for at in shown:
            fits = (
                self.records == 1 or 0 < at < self.records - 1 or (at == 0 and LETTER * len(names[0]) < 2 * LEFT)
            )
            anchor = "middle" if fits else "start" if at == 0 else "end"
            place = f'x="{round(self.across(at), 1)}" y="{self.bottom + LINE}" text-anchor="{anchor}"'
            found.append(f"<text {place}>{xml(names[at])}</text>")
        return found

    def line(self, sizes: Sequence[float | None], colour: str) -> list[str]:
        """Pieces of a line between gaps; a number that stands alone is a dot."""
        found = []
        for there, piece in groupby(enumerate(sizes), key=lambda pair: pair[1] is not None):
            points = [
                (round(self.across(at), 1), round(self.up(size), 1)) for at, size in piece if size is not None
            ]
            if there and len(points) == 1:
                (x, y), *_ = points
                found.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
            elif there:
                found.append(f'<polyline points="{" ".join(f"{x},{y}" for x, y in points)}"/>')
        return found


def xml(text: str) -> str:
    """A text as it stands in XML, where control characters may not stand at all."""
    return escape(_NOT_XML.sub("\ufffd", text))


def number_of(value: Json, field: str, name: str) -> float | None:
    """A number to draw; None for null.

    Raises:
        StepError: It is something else.
    """
    if value is None:
        return None
    try:
        size = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        size = math.nan
    if not math.isfinite(size) or isinstance(value, bool):
        raise StepError(
            f"{field} of {name} is {describe_value(value)}",
            hint="only numbers can be drawn; `set` with `double(item.…)` makes one of a text",
        )
    return size
