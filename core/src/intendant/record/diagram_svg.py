"""A graph as an SVG picture: steps in rows, each below all that come before it. Nothing is fetched to show it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape

PLANNED = "planned"
"""The state of a step that no run has come to."""
WIDEST = 34
"""Characters of a line in a box."""
CHARACTER, LINE = 7.7, 16
"""Pixels: a character's width, a line's height."""
MARGIN, GAP, ROW = 12, 22, 40
STYLE = """\
svg{font:12px ui-monospace,Menlo,Consolas,monospace;background:#fff}
text{fill:#1b1b1f}.facts{fill:#5b5b66}.title{font-weight:600}h1{font-size:14px}
rect{fill:#f6f6fa;stroke:#8a8a99;stroke-width:1.2}.group{fill:none;stroke-dasharray:3 3}
path{fill:none;stroke:#8a8a99;stroke-width:1.3}#end path{fill:#8a8a99;stroke:none}
.completed{fill:#d7f0dc;stroke:#2a7d3f}.failed{fill:#f9d8d6;stroke:#b3261e}.waiting{fill:#fdf0cf;stroke:#9a6b00}
.skipped{fill:#eee;stroke:#888;stroke-dasharray:4}.running{fill:#d9e7fb;stroke:#1f5fbf}
@media (prefers-color-scheme:dark){svg{background:#17171c}text{fill:#eee}.facts{fill:#b5b5c2}rect{fill:#25252e}
.group{fill:none}.completed{fill:#173d22}.failed{fill:#4a1512}.waiting{fill:#41330c}.skipped{fill:#2c2c33}.running{fill:#15305a}}
"""


@dataclass(slots=True)
class Node:
    """A step as it is drawn."""

    key: str
    """Its path in the graph, such as `label/draft`."""
    title: str
    facts: tuple[str, ...]
    """What it does, where, and what it takes, a line each."""
    state: str = PLANNED
    needs: tuple[str, ...] = ()
    """The keys of steps of the same level that come before it."""
    inner: list["Node"] = field(default_factory=list)
    """The steps within it."""


@dataclass(slots=True)
class _Box:
    """A step's place."""

    node: Node
    width: float
    height: float
    head: float
    """Height of the lines of its own text."""
    inner: list["_Box"]
    x: float = 0.0
    y: float = 0.0


@dataclass(slots=True)
class _Level:
    """Steps that are drawn together."""

    boxes: list[_Box]
    width: float = 0.0
    height: float = 0.0
    rows: list[list[_Box]] = field(default_factory=list)


Linked = Callable[[Node], str]
"""The address that a step leads to."""


def svg(title: str, nodes: list[Node], link: Linked | None = None, *, styled: bool = True) -> str:
    """The picture, as a document of its own.

    Args:
        title: What it is of.
        nodes: The steps.
        link: Where a step leads to; None for no links.
        styled: With its style sheet; a page has one of its own, with the classes of `STYLE`.
    """
    level = _layout(nodes)
    width = max(level.width, len(title) * CHARACTER) + 2 * MARGIN
    height = level.height + 2 * MARGIN + LINE * 2
    body = _drawn(level, MARGIN, MARGIN + LINE * 2, link)
    role = "img" if link is None else "group"  # a picture hides its links from screen readers
    style = f"<style>{STYLE}</style>\n" if styled else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="{role}" aria-label="{escape(title)}">\n'
        f"<title>{escape(title)}</title>\n{style}"
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>\n'
        f'<text class="title" x="{MARGIN}" y="{MARGIN + LINE}">{escape(title)}</text>\n{body}</svg>\n'
    )


def _layout(nodes: list[Node]) -> _Level:
    boxes = [_box(node) for node in nodes]
    level = _Level(boxes)
    rank: dict[str, int] = {}
    for box in _ordered(boxes):
        rank[box.node.key] = 1 + max((rank.get(need, -1) for need in box.node.needs), default=-1)
    for number in range(max(rank.values(), default=-1) + 1):
        level.rows.append([box for box in boxes if rank[box.node.key] == number])
    level.width = max((sum(box.width for box in row) + GAP * (len(row) - 1) for row in level.rows), default=0)
    y = 0.0
    for row in level.rows:
        x = (level.width - sum(box.width for box in row) - GAP * (len(row) - 1)) / 2
        for box in row:
            box.x, box.y = x, y
            x += box.width + GAP
        y += max(box.height for box in row) + ROW
    level.height = max(0.0, y - ROW)
    return level


def _ordered(boxes: list[_Box]) -> list[_Box]:
    """Each after all that come before it."""
    left, done, ordered = list(boxes), set[str](), list[_Box]()
    known = {box.node.key for box in boxes}
    while left:
        ready = [box for box in left if all(need in done or need not in known for need in box.node.needs)]
        for box in ready or left[:1]:
            ordered.append(box)
            done.add(box.node.key)
            left.remove(box)
    return ordered


def _box(node: Node) -> _Box:
    lines = _lines(node)
    width = max(len(text) for text in lines) * CHARACTER + 2 * MARGIN
    head = len(lines) * LINE + MARGIN
    if not node.inner:
        return _Box(node, width, head, head, [])
    inner = _layout(node.inner)
    return _Box(node, max(width, inner.width + 2 * MARGIN), head + inner.height + MARGIN, head, inner.boxes)


def _lines(node: Node) -> list[str]:
    return [text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…" for text in (node.title, *node.facts)]


def _drawn(level: _Level, x: float, y: float, link: Linked | None) -> str:
    return _drawn_boxes(level.boxes, x, y, link)


def _drawn_boxes(boxes: list[_Box], x: float, y: float, link: Linked | None) -> str:
    places = {box.node.key: box for box in boxes}
    pairs = ((places.get(need), box) for box in boxes for need in box.node.needs)
    edges = [_edge(before, box, x, y) for before, box in pairs if before is not None]
    return "".join(edges) + "".join(_drawn_box(box, x + box.x, y + box.y, link) for box in boxes)


def _drawn_box(box: _Box, x: float, y: float, link: Linked | None) -> str:
    state = box.node.state if box.node.state.isalpha() else ""
    kind = f"group {state}" if box.inner else state
    what = escape(f"{box.node.key}: {box.node.state}")
    parts = [
        f"<g><title>{what}</title>",
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="6"/>',
    ]
    for number, text in enumerate(_lines(box.node)):
        style = "facts" if number else "title"
        at = y + MARGIN / 2 + LINE * (number + 0.8)
        parts.append(f'<text class="{style}" x="{x + MARGIN:.1f}" y="{at:.1f}">{escape(text)}</text>')
    parts.append("</g>\n")
    if link is not None:
        parts = [f'<a href="{escape(link(box.node))}">', *parts, "</a>"]
    if box.inner:
        width = max(inner.x + inner.width for inner in box.inner) - min(inner.x for inner in box.inner)
        left = x + (box.width - width) / 2 - min(inner.x for inner in box.inner)
        parts.append(_drawn_boxes(box.inner, left, y + box.head, link))
    return "".join(parts)


def _edge(before: _Box, after: _Box, x: float, y: float) -> str:
    x1, y1 = x + before.x + before.width / 2, y + before.y + before.height
    x2, y2 = x + after.x + after.width / 2, y + after.y
    middle = (y1 + y2) / 2
    return (
        f'<path marker-end="url(#end)" d="M{x1:.1f},{y1:.1f} C{x1:.1f},{middle:.1f} {x2:.1f},{middle:.1f} '
        f'{x2:.1f},{y2:.1f}"/>\n'
    )
