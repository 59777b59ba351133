"""Tables of padded columns and of Markdown, with fewer pads and every cell.

A text that is one table becomes lines of cells with commas (RFC 4180), its rules left out. A Markdown table
amid other text stays one, without its pads. A padded table is one only if each column begins, or ends, at the
same place in all its lines, so that nothing else with runs of spaces is taken for a table.
"""

import re
from collections.abc import Sequence
from itertools import groupby

LEAST_LINES = 5
LEAST_COLUMNS = 2
MOST_EMPTY = 0.3
"""Share of empty cells above which a block is taken for text with a few wide gaps."""
MOST_PLACES = 5_000_000
"""Lines times their length, above which a table is left as it is."""
WHOLE = 0.9
"""Share of the lines in a table from which the text is one table."""
_RULES = frozenset(" \t\r|:+=-")
_GAP = "  "
_TIME = re.compile(r"\d\d:\d\d:\d\d")
LOG = 0.5
"""Share of lines with a time of day from which they are a log: that is no table, however well it is aligned."""


def ungridded(text: str) -> str | None:
    """*text* with the pads of its tables gone; None if it has none."""
    if "  " not in text and "|" not in text:
        return None
    lines = text.split("\n")
    written: list[str] = []
    found = False
    whole = sum(map(_tabular, lines)) >= WHOLE * sum(1 for line in lines if line.strip())
    for kind, group in groupby(lines, key=_kind):
        block = list(group)
        shorter = None
        if kind and len(block) >= LEAST_LINES:
            shorter = _from_bars(block, whole=whole) if kind == "bars" else _from_pads(block, whole=whole)
        found = found or shorter is not None
        written += block if shorter is None else shorter
    return "\n".join(written) if found else None


def _kind(line: str) -> str:
    bare = line.strip()
    if bare.startswith("|") and bare.endswith("|") and len(bare) > 1:
        return "bars"
    return "pads" if _GAP in bare or _is_rule(bare) else ""


def _is_rule(line: str) -> bool:
    """True if *line* only draws."""
    return ("-" in line or "=" in line) and _RULES.issuperset(line)


def _tabular(line: str) -> bool:
    return bool(_kind(line))


def _from_bars(block: Sequence[str], *, whole: bool) -> list[str] | None:
    """A Markdown table."""
    if "\\|" in "".join(block) or not _is_rule(block[1]):
        return None
    rows = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in block]
    if len({len(row) for row in rows}) > 1 or len(rows[0]) < LEAST_COLUMNS:
        return None
    if whole:
        return [_csv(row) for index, row in enumerate(rows) if index != 1]
    return [f"|{'|'.join(row)}|" if index != 1 else "|-" * len(row) + "|" for index, row in enumerate(rows)]


def _from_pads(block: Sequence[str], *, whole: bool) -> list[str] | None:
    """A table of padded columns; only where the text is nothing else."""
    lines = [line.rstrip() for line in block if not _is_rule(line)]
    if not whole or len(lines) < LEAST_LINES or len(lines) * max(map(len, lines)) > MOST_PLACES:
        return None
    if sum(_TIME.search(line) is not None for line in lines) > LOG * len(lines):
        return None
    columns = _columns(lines)
    if len(columns) < LEAST_COLUMNS or not _aligned(lines, columns):
        return None
    rows = [[line[start:end].strip() for start, end in columns] for line in lines]
    if sum(cell == "" for row in rows for cell in row) > MOST_EMPTY * len(rows) * len(columns):
        return None
    return [_csv(row) for row in rows]


def _columns(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Where the columns begin and end: between them at least two places are empty in all lines."""
    filled: set[int] = set()
    for line in lines:
        filled.update(index for index, letter in enumerate(line) if letter != " ")
    columns: list[tuple[int, int]] = []
    for place in sorted(filled):
        if columns and place - columns[-1][1] < len(_GAP):
            columns[-1] = (columns[-1][0], place + 1)
        else:
            columns.append((place, place + 1))
    return columns


def _aligned(lines: Sequence[str], columns: Sequence[tuple[int, int]]) -> bool:
    """True if the cells of each column begin at one place, or end at one."""
    for start, end in columns:
        cells = [cell for line in lines if (cell := line[start:end].ljust(end - start)).strip()]
        if any(cell[0] == " " for cell in cells) and any(cell[-1] == " " for cell in cells):
            return False
    return True


def _csv(row: Sequence[str]) -> str:
    return ",".join('"' + cell.replace('"', '""') + '"' if "," in cell or '"' in cell else cell for cell in row)
