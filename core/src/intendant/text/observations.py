"""What commands and tools print, in a plainer form: nothing that is said goes, only how it is laid out.

Colours, padding, rules, runs of blank lines and repeated lines cost tokens and say nothing. Indentation stays as
it is, since edits depend on it, and so do line numbers.
"""

import re
from collections.abc import Sequence

from intendant.text.listings import shorter_listing

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_RULE = re.compile(r"([=_*#~-])\1{9,}(?= )|(?<= )([=_*#~-])\2{9,}$|^([=_-])\3{59,}$")
_NUMBERED = re.compile(r" *(\d+)(\t|: ?| +\| ?)(.*)")
_TAB = re.compile(r"^(\d+)\t", re.MULTILINE)
MOST_BLANK = 2
"""Blank lines that stay of a run."""
_LONGEST_NUMBER = 8


def plain(text: str, *, whole: bool = True) -> str:
    """*text* without what only lays it out; without *whole* also without the modes, sizes and dates of `ls -l`."""
    text = _ESCAPE.sub("", text) if "\x1b" in text else text
    lines = [_last_written(line).rstrip() for line in text.split("\n")]
    lines = shorter_listing(_unpadded(lines), whole=whole)
    return "\n".join(_unrepeated(_without_blanks([_RULE.sub(_short_rule, line) for line in lines])))


def _short_rule(rule: re.Match[str]) -> str:
    return 3 * rule[0][0]


def _last_written(line: str) -> str:
    """What a terminal shows of a line that was written over itself."""
    return line.rstrip("\r").rpartition("\r")[2] if "\r" in line else line


def numbered(line: str) -> tuple[int, str] | None:
    """The number and the text of a line of `nl`, `cat -n`, `grep -n` or the like; None if it has none."""
    match = _NUMBERED.fullmatch(line)
    return (int(match[1]), match[3]) if match is not None else None


def close_numbers(text: str) -> str:
    """A space between a line's number and its text in place of a tab, which is a token of its own."""
    return _TAB.sub(r"\1 ", text) if "\t" in text else text


def _unpadded(lines: Sequence[str]) -> list[str]:
    """Line numbers without padding."""
    found: list[str] = []
    last = -1
    for line in lines:
        match = _NUMBERED.fullmatch(line)
        number = line.lstrip()
        if match is not None and match[2] == "\t":
            last = int(match[1])
            found.append(f"{last}\t{match[3]}")
        elif number.isdigit() and int(number) == last + 1 and len(number) < _LONGEST_NUMBER:
            last += 1  # A blank line; its number says where something may be put.
            found.append(number)
        else:
            last = -1
            found.append(line)
    return found


def _without_blanks(lines: Sequence[str]) -> list[str]:
    found: list[str] = []
    blank = 0
    for line in lines:
        blank = 0 if line else blank + 1
        if blank <= MOST_BLANK:
            found.append(line)
    return found


def _unrepeated(lines: Sequence[str]) -> list[str]:
    """A line that comes several times in a row is written once, with how often."""
    found: list[str] = []
    at = 0
    while at < len(lines):
        size = 1
        while at + size < len(lines) and lines[at + size] == lines[at]:
            size += 1
        found.append(lines[at])
        if size > 2 and lines[at]:  # noqa: PLR2004
            found.append(f"[{size - 1} more of this line]")
        else:
            found += lines[at + 1 : at + size]
        at += size
    return found
