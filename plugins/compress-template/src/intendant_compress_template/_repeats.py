"""Blocks of lines that were there before, such as quoted mail, kept once.

    [lines 12-18 again, after "> ": Today's error was]

stands for lines 12 to 18 of the text (counted from 1, in the text as it was), each with `> ` before it; an empty
line gets the mark without its trailing spaces. The words after the colon say what the block begins with; they are
for the reader. The time is linear in the number of lines: each is looked up once.
"""

import re
from collections.abc import Iterator, Sequence

LEAST_CHARACTERS = 70
"""Characters that a block needs; a shorter one is not worth its mark."""
LEAST_LINES = 2
"""Lines that a block needs where it is not quoted: for one line a shape is the better place."""
MOST_HINT = 32
MOST_QUOTED = 20
"""Characters of quotation marks."""
_QUOTE = re.compile(r"(?:[>|]+ ?)*+")
_MARK = re.compile(r'\[lines (\d+)-(\d+) again(?:, after "([>| ]*)")?(?:: .*)?\]')


def keep_once(text: str) -> str | None:
    """*text* with repeated blocks of lines kept once; None if there are none."""
    lines = text.split("\n")
    if is_shortened(text):
        return None
    firsts: dict[str, int] = {}
    written: list[str] = []
    at = found = 0
    while at < len(lines):
        size, start, quote = _repeated(lines, at, firsts)
        if size:
            written.append(_mark(lines, start, size, quote))
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
        start, end, quote = int(mark[1]) - 1, int(mark[2]), mark[3] or ""
        if not 0 <= start < end <= len(lines):
            raise ValueError(f"this mark points to lines that are not there: {line[:80]}")
        lines += [_quoted(before, quote) for before in lines[start:end]]
    return "\n".join(lines)


def _repeated(lines: Sequence[str], at: int, firsts: dict[str, int]) -> tuple[int, int, str]:
    """How many lines from *at* were there before, where, and the quotation mark that they now have.

    No block begins with an empty line, nor with one that repeats the line before: those are counted by `_fold`.
    """
    if not lines[at].strip("> |") or (at and lines[at] == lines[at - 1]):
        return 0, 0, ""
    for quote in _quotes(lines[at]):
        start = firsts.get(lines[at][len(quote) :])
        if start is None:
            continue
        size = characters = 0
        while start + size < at and at + size < len(lines):
            line = lines[at + size]
            if line != _quoted(lines[start + size], quote):
                break
            size += 1
            characters += len(line)
        while size and not lines[at + size - 1].strip("> |"):
            size -= 1
        if size < (1 if quote else LEAST_LINES):
            continue
        if characters >= LEAST_CHARACTERS and len(_mark(lines, start, size, quote)) < characters:
            return size, start, quote
    return 0, 0, ""


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


def _quoted(line: str, quote: str) -> str:
    return quote + line if line else quote.rstrip()


def _mark(lines: Sequence[str], start: int, size: int, quote: str) -> str:
    after = f', after "{quote}"' if quote else ""
    return f"[lines {start + 1}-{start + size} again{after}{_hint(lines[start : start + size])}]"


def _hint(block: Sequence[str]) -> str:
    """The first words of *block*."""
    line = next((line.lstrip("> |") for line in block if line.strip("> |")), "")[:MOST_HINT]
    words = line.rpartition(" ")[0] or line
    return f": {words}" if words else ""
