"""Drawn trees, such as those of `tree`, `npm ls` and `cargo tree`, as indented lines.

    (a tree, its lines left out: a blank more is one level deeper)
    .
     src
      main.py
     README

The lines are drawn again from the levels; what is written is checked to give the text back. Lines before the tree
and after it stand as they are, after a `|`.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

HEAD = "(a tree, its lines left out: a blank more is one level deeper{})"
LEAST = 5
"""Lines of the tree from which it can pay."""
LEAST_SHARE = 0.6
"""Share of the lines that have to be drawn."""


class _Style(NamedTuple):
    """How trees are drawn."""

    name: str
    """Said in the first line."""
    down: str
    empty: str
    child: str
    last: str
    parent: str
    last_parent: str


STYLES = (
    _Style("", "│   ", "    ", "├── ", "└── ", "├── ", "└── "),
    _Style("; like npm", "│ ", "  ", "├── ", "└── ", "├─┬ ", "└─┬ "),
    _Style("; of blanks that do not break", "│\xa0\xa0 ", "    ", "├── ", "└── ", "├── ", "└── "),
    _Style("; like ASCII", "|   ", "    ", "|-- ", "`-- ", "|-- ", "`-- "),
    _Style("; like gradle", "|    ", "     ", "+--- ", "\\--- ", "+--- ", "\\--- "),
)
_DRAWN = {
    style: re.compile(
        f"((?:{re.escape(style.down)}|{style.empty})*+)"
        f"(?:{'|'.join(map(re.escape, {style.child, style.last, style.parent, style.last_parent}))})(.*)",
        re.DOTALL,
    )
    for style in STYLES
}


def undrawn(text: str) -> str | None:
    """*text* as indented lines, or None if it is no tree, or one that is drawn in another way."""
    lines = text.split("\n")
    for style in STYLES:
        rows = _rows(lines, style) if style.last in text or style.last_parent in text else None
        if rows is not None and redrawn(written := "\n".join([HEAD.format(style.name), *rows])) == text:
            return written
    return None


def _rows(lines: Sequence[str], style: _Style) -> list[str] | None:
    drawn = _DRAWN[style]
    rows: list[str] = []
    found = 0
    for line in lines:
        match = drawn.fullmatch(line)
        if match is not None:
            found += 1
            rows.append(" " * (len(match[1]) // len(style.down) + 1) + match[2])
        else:
            rows.append(f"|{line}" if line.startswith((" ", "|")) else line)
    return rows if found >= max(LEAST, LEAST_SHARE * len(lines)) else None


def is_undrawn(text: str) -> bool:
    """True if *text* begins as such a tree does."""
    return text.partition("\n")[0] in _HEADS


def redrawn(text: str) -> str:
    """The text that `undrawn` changed.

    Raises:
        ValueError: This is no such text.
    """
    head, *rows = text.split("\n")
    if head not in _HEADS:
        raise ValueError("this is no tree without its lines")
    style = _HEADS[head]
    levels = [len(row) - len(row.lstrip(" ")) for row in rows]
    # Whether a line of that level follows before one of a level above, looked for from the end.
    open_levels: list[bool] = []
    lines: list[str] = []
    for number in range(len(rows) - 1, -1, -1):
        row, level = rows[number], levels[number]
        if not level:
            lines.append(row.removeprefix("|"))
            open_levels = []
            continue
        parent = number + 1 < len(rows) and levels[number + 1] == level + 1
        above = [*open_levels[: level - 1], *[False] * (level - 1 - len(open_levels))]
        last = len(open_levels) < level or not open_levels[level - 1]
        mark = (style.last_parent if parent else style.last) if last else style.parent if parent else style.child
        lines.append("".join(style.down if one else style.empty for one in above) + mark + row[level:])
        open_levels = [*above, True]
    return "\n".join(reversed(lines))


_HEADS = {HEAD.format(style.name): style for style in STYLES}
