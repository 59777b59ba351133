"""Pictures as SVG without styles of their own: classes of the page's style sheet, so that light and dark fit."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

WIDE, HIGH = 1000, 16
"""Of a bar's drawing; the page stretches it."""
CHART_HIGH, FOOT, HEAD = 200, 24, 20
MOST_LABELS = 8
"""Labels that stand beside each other on a small screen."""


class Part(NamedTuple):
    """A part of a bar."""

    kind: str
    """A class: `spent`, `held`, `saved`, …"""
    start: float
    """From 0 to 1."""
    share: float
    said: str


def bar(parts: Sequence[Part], said: str, mark: float | None = None) -> Markup:
    """A bar of parts; what it says stands in it for those who do not see it.

    Args:
        parts: Its parts.
        said: All of it, in words.
        mark: Where a limit is, from 0 to 1.
    """
    drawn = [f'<rect class="track" x="0" y="3" width="{WIDE}" height="10" rx="3"/>']
    for part in parts:
        if part.share <= 0:
            continue
        left = max(0.0, min(1.0, part.start)) * WIDE
        wide = max(3.0, min(1.0 - part.start, part.share) * WIDE)
        title = f"<title>{escape(part.said)}</title>"
        drawn.append(
            f'<rect class="{part.kind}" x="{min(left, WIDE - 3):.1f}" y="3" width="{wide:.1f}" '
            f'height="10" rx="2">{title}</rect>'
        )
    if mark is not None:
        drawn.append(f'<rect class="mark" x="{mark * WIDE - 2:.1f}" y="0" width="4" height="16"/>')
    return Markup(  # noqa: S704  # every text is escaped
        f'<svg class="bar" role="img" viewBox="0 0 {WIDE} {HIGH}" preserveAspectRatio="none" '
        f'aria-label="{escape(said)}">{"".join(drawn)}</svg>'
    )


class Column(NamedTuple):
    """A column of a chart."""

    label: str
    value: float
    said: str


def columns(title: str, rows: Sequence[Column]) -> Markup:
    """A chart of columns, such as days. It is as wide as its place; its text is not stretched."""
    if not rows:
        return Markup('<p class="empty">Nothing to show yet.</p>')
    most = max(row.value for row in rows) or 1.0
    step = 100 / len(rows)
    every = -(-len(rows) // MOST_LABELS)
    parts = []
    for number, row in enumerate(rows):
        high = 0.0 if row.value <= 0 else max(2.0, (CHART_HIGH - FOOT - HEAD) * row.value / most)
        middle, top = (number + 0.5) * step, CHART_HIGH - FOOT - high
        box = (
            f'<rect class="spent" x="{middle - 0.4 * step:.2f}%" y="{top:.1f}" width="{0.8 * step:.2f}%" '
            f'height="{high:.1f}" rx="2"/>'
        )
        parts.append(f"<g><title>{escape(row.label)}: {escape(row.said)}</title>{box}</g>")
        if number % every == 0:
            parts.append(_text("label", middle, CHART_HIGH - 6, row.label))
        if row.value > 0 and (row.value == most or every == 1):
            kind = "value" if row.value == most else "value other"
            parts.append(_text(kind, middle, top - 5, row.said))
    foot = CHART_HIGH - FOOT
    base = f'<line class="axis" x1="0" x2="100%" y1="{foot}" y2="{foot}"/>'
    said = "; ".join(f"{row.label}: {row.said}" for row in rows[-60:])
    return Markup(  # noqa: S704  # every text is escaped
        f'<svg class="chart" role="img"><title>{escape(title)}</title>'
        f"<desc>{escape(said)}</desc>{base}{''.join(parts)}</svg>"
    )


def _text(kind: str, middle: float, top: float, text: str) -> str:
    return f'<text class="{kind}" x="{middle:.2f}%" y="{top:.1f}" text-anchor="middle">{escape(text)}</text>'
