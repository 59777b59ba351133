"""Lists of paths, such as those of `find` and `grep`, by directory or by file.

    (a line of blank and name belongs to the path before it)
    src/parts/
     one.py
     two.py
    src/main.py:
     12:import sys

A path stands alone where it is not followed by such lines. The time is linear in the length of the text.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

HEAD = "(a line of blank and name belongs to the path before it)"
LEAST = 2
"""Lines of one directory in a row, from which it is said once."""
LEAST_SHARE = 0.5
"""Share of the lines that have to be in such groups."""
_PREFIX = re.compile(r"[^\s:,\"{}()\[\]]*/(?:[^\s:/]+:(?=\d+:))?|[^\s:/]+\.\w+:(?=\d+:)")
_LETTER = re.compile(r"[^\W\d_]")


def by_directory(text: str) -> str | None:
    """*text* with its paths grouped, or None if it is no list of paths."""
    lines = text.split("\n")
    if text.startswith(HEAD) or any(line.startswith(" ") for line in lines):
        return None
    written = [HEAD]
    grouped = 0
    for prefix, block in _groups(lines):
        if not prefix or len(block) < LEAST:
            written += block
            continue
        grouped += len(block)
        written.append(prefix)
        written += [f" {line[len(prefix) :]}" for line in block]
    return "\n".join(written) if grouped >= LEAST_SHARE * len(lines) else None


def whole_paths(text: str) -> str:
    """The text that `by_directory` grouped.

    Raises:
        ValueError: This is no such text.
    """
    head, *lines = text.split("\n")
    if head != HEAD or (lines and lines[0].startswith(" ")):
        raise ValueError("this is no list of paths by directory")
    whole: list[str] = []
    prefix = ""
    for index, line in enumerate(lines):
        if line.startswith(" "):
            whole.append(prefix + line[1:])
        elif index + 1 < len(lines) and lines[index + 1].startswith(" "):
            prefix = line
        else:
            whole.append(line)
    return "\n".join(whole)


def _groups(lines: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    for prefix, block in groupby(lines, key=_prefix):
        yield prefix, list(block)


def _prefix(line: str) -> str:
    found = _PREFIX.match(line)
    return found[0] if found is not None and _LETTER.search(found[0]) else ""
