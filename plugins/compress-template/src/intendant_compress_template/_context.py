"""Blocks of lines that stand in the same prompt already, said by where.

    [same as fetch-logs lines 12-40]

stands for these lines (counted from 1) of the text that goes by that name. Only texts of the same prompt may be
referred to: what the model cannot look up is lost. The time is linear in the number of lines of all texts.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

LEAST_LINES = 3
LEAST_CHARACTERS = 80
"""Characters of a block that is worth a reference."""
MOST_PLACES = 8
"""Places of a line in other texts that are looked at."""
_MARK = re.compile(r"\[same as (\S.*) lines (\d+)-(\d+)\]")

Context = Sequence[tuple[str, str]]
"""Names and texts of what stands in the prompt already."""


def referring(text: str, context: Context) -> str | None:
    """*text* with references to *context*; None if it has nothing in common with it, or lines that look like them.

    Args:
        text: Of one step.
        context: What stands in the same prompt before it.
    """
    lines = text.split("\n")
    if "[same as " in text and any(map(_MARK.fullmatch, lines)):
        return None
    known = {name: said.split("\n") for name, said in context if _is_name(name)}
    places: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, said in known.items():
        for number, line in enumerate(said):
            if line.strip() and len(places[line]) < MOST_PLACES:
                places[line].append((name, number))
    written: list[str] = []
    at = 0
    while at < len(lines):
        size, name, start = _longest(lines, at, places.get(lines[at], ()), known)
        mark = f"[same as {name} lines {start + 1}-{start + size}]"
        if size >= LEAST_LINES and sum(map(len, lines[at : at + size])) >= max(LEAST_CHARACTERS, len(mark) + 1):
            written.append(mark)
            at += size
        else:
            written.append(lines[at])
            at += 1
    return "\n".join(written) if len(written) < len(lines) else None


def refers(text: str) -> bool:
    """True if *text* has references to other texts."""
    return "[same as " in text and any(map(_MARK.fullmatch, text.split("\n")))


def referred(text: str, context: Context) -> str:
    """The text that `referring` shortened.

    Raises:
        ValueError: A text that is referred to, or a line of it, is not there.
    """
    known = {name: said.split("\n") for name, said in context if _is_name(name)}
    lines: list[str] = []
    for line in text.split("\n"):
        mark = _MARK.fullmatch(line)
        if mark is None:
            lines.append(line)
            continue
        start, end = int(mark[2]) - 1, int(mark[3])
        if not 0 <= start < end <= len(known.get(mark[1], ())):
            raise ValueError(f"what this line refers to is not there: {line[:80]}")
        lines += known[mark[1]][start:end]
    return "\n".join(lines)


def _longest(
    lines: Sequence[str], at: int, places: Sequence[tuple[str, int]], known: Mapping[str, Sequence[str]]
) -> tuple[int, str, int]:
    """How many lines from *at* on are those of a place, and which."""
    best = (0, "", 0)
    for name, start in places:
        said = known[name]
        most = min(len(lines) - at, len(said) - start)
        size = next((size for size in range(most) if lines[at + size] != said[start + size]), most)
        while size and not lines[at + size - 1].strip():
            size -= 1
        if size > best[0]:
            best = (size, name, start)
    return best


def _is_name(name: str) -> bool:
    return bool(name.strip()) and "\n" not in name and name == name.strip()
