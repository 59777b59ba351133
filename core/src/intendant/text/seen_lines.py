"""Lines that a reader of a conversation has before it already, and what of a new text stands there.

    def encode(text):
    [31 lines more, as shown by: cat codec.py]

stands for what follows that line there. Line numbers, as `nl` and `grep -n` print them, are not compared, but they
must run on; the first line and the count say which lines they are. The time is linear in the number of lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from intendant.text.observations import numbered

LEAST_LINES = 2
"""Lines after the first that are worth a reference."""
LEAST_CHARACTERS = 40
"""Characters beyond those of the mark."""
MOST_PLACES = 6
"""Places of a line, the latest ones, that are looked at."""
LABEL = 24
"""Characters of what a text is called."""


@dataclass(frozen=True, slots=True)
class _Source:
    label: str
    lines: tuple[str, ...]
    """Without their numbers and without blank lines."""


@dataclass(slots=True)
class SeenLines:
    """The lines of all texts that the reader sees."""

    _sources: list[_Source] = field(default_factory=list)
    _places: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def add(self, text: str, label: str) -> None:
        """Remember *text*, which the reader will see from now on; references call it *label*."""
        lines = tuple(line for line in map(_bare, text.split("\n")) if line.strip())
        number = len(self._sources)
        self._sources.append(_Source(" ".join(label.split())[:LABEL], lines))
        for place, line in enumerate(lines):
            places = self._places.setdefault(line, [])
            places.append((number, place))
            del places[:-MOST_PLACES]

    def referring(self, lines: Sequence[str]) -> list[str]:
        """*lines* with references for what the reader sees already; the first line of each block stays."""
        written: list[str] = []
        at = 0
        while at < len(lines):
            size, source = self._longest(lines, at)
            written.append(lines[at])
            if size:
                mark = f"[{size} lines more, as {source.label}]"
                if sum(map(len, lines[at + 1 : at + 1 + size])) >= LEAST_CHARACTERS + len(mark):
                    written.append(mark)
                    at += size
            at += 1
        return written

    def _longest(self, lines: Sequence[str], at: int) -> tuple[int, _Source]:
        """How many lines after that at *at* run on as they do in a source, and in which."""
        best = (0, _Source("", ()))
        for number, place in reversed(self._places.get(_bare(lines[at]), ())):
            source = self._sources[number]
            size = _running(lines, at, source.lines, place)
            if size >= LEAST_LINES and size > best[0]:
                best = (size, source)
        return best


def _bare(line: str) -> str:
    found = numbered(line)
    return found[1].rstrip() if found is not None else line.rstrip()


def _running(lines: Sequence[str], at: int, known: Sequence[str], place: int) -> int:
    """The lines after *at* that are those after *place*; blank ones do not count against it."""
    before = numbered(lines[at])
    size = 0
    for offset, line in enumerate(lines[at + 1 :], 1):
        now = numbered(line)
        if (now is None) != (before is None) or (now and before and not 0 < now[0] - before[0] <= _MOST_APART):
            break
        bare = _bare(line)
        if bare.strip():
            place += 1
            if place >= len(known) or known[place] != bare:
                break
            size = offset
        before = now
    return size


_MOST_APART = 4
"""By how much the numbers of lines rise, where blank ones between them were left out."""
