"""Blanks that put words in columns, told from those that only stand between words.

In a listing such as that of `ls -l` the words of a column begin, or end, at one place of the line, and the blanks
before them follow from that. They are replaced by marks (`{|40}`: blanks up to column 40; `{>40}`: so many that
the next word ends there), so that lines become alike that differ in the width of their words only. What is marked
is checked to give the line back.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

BEGINS = 0xF0000
"""Plus a column: the character that stands for blanks up to it."""
ENDS = 0x100000
"""Plus a column: the character that stands for blanks so that the next word ends there."""
MOST_COLUMN = 999
MOST_GAPS = 12
"""Gaps of a line that are looked at."""
LEAST = 3
"""Lines with blanks of different widths that show a column."""
MARKED = re.compile("[\U000f0000-\U0010ffff]")
_GAP = re.compile(r"(?<=\S)( +)(\S+)")
_SHOWN = re.compile(r"\{([|>])(\d{1,3})\}")

Place = tuple[int, bool, int]
"""The number of the gap in its line, whether the next word ends there, and the column."""


def columned(lines: Sequence[str]) -> list[str] | None:
    """*lines* with marks for the blanks of columns; None if there are no columns."""
    wide = [line for line in lines if "  " in line and len(line) <= MOST_COLUMN]
    if len(wide) < LEAST or MARKED.search("\n".join(lines)):
        return None
    widths: dict[Place, list[int]] = defaultdict(list)
    for line in wide:
        for number, found in zip(range(MOST_GAPS), _GAP.finditer(line), strict=False):
            size = found.end(1) - found.start(1)
            if size > 1:
                widths[number, False, found.end(1)].append(size)
                widths[number, True, found.end(2)].append(size)
    places = {place: len(sizes) for place, sizes in widths.items() if len(sizes) >= LEAST and len(set(sizes)) > 1}
    return [_marked(line, places) for line in lines] if places else None


def _marked(line: str, places: dict[Place, int]) -> str:
    if len(line) > MOST_COLUMN:
        return line
    written: list[str] = []
    at = 0
    for number, found in zip(range(MOST_GAPS), _GAP.finditer(line), strict=False):
        begins = places.get((number, False, found.end(1)), 0)
        ends = places.get((number, True, found.end(2)), 0)
        if begins or ends:
            mark = chr(ENDS + found.end(2)) if ends > begins else chr(BEGINS + found.end(1))
            written += [line[at : found.start(1)], " ", mark]
            at = found.end(1)
    marked = "".join([*written, line[at:]])
    return marked if written and blanks(marked) == line else line


def blanks(marked: str) -> str:
    """A line with its blanks in the place of marks.

    Raises:
        ValueError: There is no room for the blanks that a mark asks for.
    """
    pieces = MARKED.split(marked)
    if len(pieces) == 1:
        return marked
    written = pieces[0]
    for mark, piece in zip(MARKED.findall(marked), pieces[1:], strict=True):
        code = ord(mark)
        word = piece.partition(" ")[0] if code >= ENDS else ""
        column = code - (ENDS if code >= ENDS else BEGINS) - len(word)
        written = written.ljust(column) + piece
    return written


def shown(text: str) -> str:
    """Marks for the reader."""

    def mark(found: re.Match[str]) -> str:
        code = ord(found[0])
        return f"{{>{code - ENDS}}}" if code >= ENDS else f"{{|{code - BEGINS}}}"

    return MARKED.sub(mark, text)


def unshown(text: str) -> str:
    """Marks, from what the reader sees."""
    return _SHOWN.sub(lambda found: chr((ENDS if found[1] == ">" else BEGINS) + int(found[2])), text)
