"""Plots as inline SVG: nothing is fetched, text is escaped, and colours follow the page (light or dark)."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH, ROW, LABEL = 640, 24, 200
HEIGHT = 160
WIDEST = 90
"""Pixels of a column: a single day does not fill the plot."""
LEAST = 2
"""Pixels of a bar that is not zero."""
LONGEST = 26
"""Characters of a label."""


class Bar(NamedTuple):
    """A bar, in one or two parts."""

    label: str
    value: float
    shown: str
    """The value, in words."""
    second: float = 0.0
    """Laid behind it, such as what was allocated."""


class Span(NamedTuple):
    """Something that took time."""

    label: str
    start: float
    """Seconds since the beginning."""
    seconds: float
    shown: str
    mark: str = ""
    """A class of style, such as `bad`."""


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars, one a row."""
    if not rows:
        return _nothing(title)
    most = max(max(row.value, row.second) for row in rows) or 1.0
    room = WIDTH - LABEL - 110
    parts = []
    for number, row in enumerate(rows):
        top = number * ROW
        if row.second:
            parts.append(_rect("behind", LABEL, top + 3, _scaled(row.second, most, room), ROW - 6))
        parts.append(_rect("bar", LABEL, top + 6, _scaled(row.value, most, room), ROW - 12))
        parts.append(_text(LABEL - 8, top + 16, _cut(row.label), "end"))
        end = LABEL + _scaled(max(row.value, row.second), most, room)
        parts.append(_text(end + 8, top + 16, row.shown))
    said = "; ".join(f"{row.label}: {row.shown}" for row in rows)
    return _svg(title, said, len(rows) * ROW + 4, parts)


def columns(title: str, rows: Sequence[Bar]) -> str:
    """Vertical bars, such as a distribution or days."""
    if not rows:
        return _nothing(title)
    most = max(row.value for row in rows) or 1.0
    step = min(WIDTH / len(rows), WIDEST)
    every = max(1, len(rows) // 12)
    parts = []
    for number, row in enumerate(rows):
        high = _scaled(row.value, most, HEIGHT - 44)
        left = number * step
        body = _rect("bar", left + 2, HEIGHT - 22 - high, max(1.0, step - 4), high)
        parts.append(f"<g><title>{escape(row.label)}: {escape(row.shown)}</title>{body}</g>")
        if number % every == 0:
            parts.append(_text(left + step / 2, HEIGHT - 6, _cut(row.label), "middle"))
        if row.value == most:
            parts.append(_text(left + step / 2, HEIGHT - 28 - high, row.shown, "middle"))
    said = "; ".join(f"{row.label}: {row.shown}" for row in rows)
    return _svg(title, said, HEIGHT, parts)


def waterfall(title: str, spans: Sequence[Span]) -> str:
    """What took time, beside each other: a row each."""
    if not spans:
        return _nothing(title)
    whole = max(span.start + span.seconds for span in spans) or 1.0
    room = WIDTH - LABEL - 220
    parts = []
    for number, span in enumerate(spans):
        top, left = number * ROW, LABEL + room * span.start / whole
        wide = max(LEAST, room * span.seconds / whole)
        parts.append(_rect(f"bar {span.mark}".strip(), left, top + 6, wide, ROW - 12))
        parts.append(_text(LABEL - 8, top + 16, _cut(span.label), "end"))
        parts.append(_text(LABEL + room + 8, top + 16, span.shown))
    said = "; ".join(f"{span.label}: {span.shown}" for span in spans)
    return _svg(title, said, len(spans) * ROW + 4, parts)


def of_counts(counts: Mapping[str, int], most: int = 12) -> list[Bar]:
    """Bars of counts; the rest is put together."""
    items = list(counts.items())
    rest = sum(value for _, value in items[most:])
    chosen = items[:most] + ([("others", rest)] if rest else [])
    whole = sum(counts.values()) or 1
    return [Bar(name or "(none)", value, f"{value:,} ({value / whole:.0%})") for name, value in chosen]


def _scaled(value: float, most: float, room: float) -> float:
    return max(LEAST, room * value / most) if value > 0 else 0.0


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _rect(kind: str, left: float, top: float, wide: float, high: float) -> str:
    return f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="2"/>'


def _text(left: float, top: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, said: str, high: float, parts: Iterable[str]) -> str:
    return (
        f'<svg role="img" viewBox="0 0 {WIDTH} {high:.0f}" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title><desc>{escape(said)}</desc>{''.join(parts)}</svg>"
    )


def _nothing(title: str) -> str:
    return f'<p class="none">{escape(title)}: nothing to show</p>'
