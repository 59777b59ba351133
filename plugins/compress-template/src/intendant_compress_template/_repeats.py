"""Blocks of lines that were there before, such as quoted mail, kept once.

    [lines 12-18 again, after "> ": Today's error was]

stands for lines 12 to 18 of the text (counted from 1, in the text as it was), each with `> ` before it; an empty
line gets the mark without its trailing spaces, but for `after each`, where it gets all of it. The words after the
colon say what the block begins with; they are for the reader. The time is linear in the number of lines: each is
looked up once.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

LEAST_CHARACTERS = 70
"""Characters that a block needs; a shorter one is not worth its mark."""
LEAST_LINES = 2
"""Lines that a block needs where it is not quoted: for one line a shape is the better place."""
MOST_HINT = 32
MOST_QUOTED = 20
"""Characters of quotation marks."""
_QUOTE = re.compile(r"(?:[>|]+ ?)*+")
_MARK = re.compile(r'\[lines (\d+)-(\d+) again(?:, after (each )?"([>| ]*)")?(?:: .*)?\]')


def keep_once(text: str) -> str | None:
    """*text* with repeated blocks of lines kept once; None if there are none."""
    lines = text.split("\n")
    if is_shortened(text):
        return None
    firsts: dict[str, int] = {}
    written: list[str] = []
    at = found = 0
    while at < len(lines):
        block = _repeated(lines, at, firsts)
        size = block.size
        if size:
            written.append(_mark(lines, block))
            found += 1
        else:
            written.append(lines[at])
            size = 1
        for index in range(at, at + size):
            firsts.setdefault(lines[index], index)
        at += size
    return "\n".join(written) if found else None


def is_shortened(text: str) -> bool:
    """True if a block of *text* was replaced by a mark."""
    return "[lines " in text and any(_MARK.fullmatch(line) for line in text.split("\n"))


def put_back(text: str) -> str:
    """The text that `keep_once` shortened.

    Raises:
        ValueError: A mark points to lines that are not there.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        mark = _MARK.fullmatch(line)
        if mark is None:
            lines.append(line)
            continue
        start, end, quote = int(mark[1]) - 1, int(mark[2]), _Quote(mark[4] or "", each=bool(mark[3]))
        if not 0 <= start < end <= len(lines):
            raise ValueError(f"this mark points to lines that are not there: {line[:80]}")
        lines += [quote.before(line) for line in lines[start:end]]
    return "\n".join(lines)


class _Quote(NamedTuple):
    """What stands before quoted lines."""

    mark: str
    each: bool
    """Empty lines have the mark with its trailing spaces."""

    def before(self, line: str) -> str:
        """*line*, quoted."""
        return self.mark + line if line or self.each else self.mark.rstrip()


class _Block(NamedTuple):
    """Lines that were there before."""

    start: int
    size: int
    quote: _Quote


_NOTHING = _Block(0, 0, _Quote("", each=False))


def _repeated(lines: Sequence[str], at: int, firsts: dict[str, int]) -> _Block:
    """The lines from *at* that were there before, and the quotation mark that they now have; perhaps none.

    No block begins with an empty line, nor with one that repeats the line before: those are counted by `_fold`.
    """
    if not lines[at].strip("> |") or (at and lines[at] == lines[at - 1]):
        return _NOTHING
    for mark in _quotes(lines[at]):
        start = firsts.get(lines[at][len(mark) :])
        if start is None:
            continue
        styles = (False, True) if mark.endswith(" ") else (False,)
        quotes = [_Quote(mark, each=each) for each in styles]
        size, quote = max(((_size(lines, at, start, quote), quote) for quote in quotes), key=lambda one: one[0])
        block = _Block(start, size, quote)
        characters = sum(map(len, lines[at : at + size]))
        long = size >= (1 if mark else LEAST_LINES) and characters >= LEAST_CHARACTERS
        if long and len(_mark(lines, block)) < characters:
            return block
    return _NOTHING


def _size(lines: Sequence[str], at: int, start: int, quote: _Quote) -> int:
    """How many lines from *at* on are those from *start* on, quoted."""
    size = 0
    while start + size < at and at + size < len(lines):
        if lines[at + size] != quote.before(lines[start + size]):
            break
        size += 1
    while size and not lines[at + size - 1].strip("> |"):
        size -= 1
    return size


def _quotes(line: str) -> Iterator[str]:
    """What may stand before the text of *line*: nothing, or some of its quotation marks, the most first."""
    yield ""
    marks = _QUOTE.match(line)
    if marks is None or not 0 < marks.end() <= MOST_QUOTED:
        return
    yield marks[0]
    first = re.match(r"[>|] ?", line)
    if first is not None and first[0] != marks[0]:
        yield first[0]


def _mark(lines: Sequence[str], block: _Block) -> str:
    start, size, quote = block
    after = f', after {"each " * quote.each}"{quote.mark}"' if quote.mark else ""
    return f"[lines {start + 1}-{start + size} again{after}{_hint(lines[start : start + size])}]"


def _hint(block: Sequence[str]) -> str:
    """The first words of *block*."""
    line = next((line.lstrip("> |") for line in block if line.strip("> |")), "")[:MOST_HINT]
    words = line.rpartition(" ")[0] or line
    return f": {words}" if words else ""
