"""What is summarized, in units that can be cited, and cut into chunks at natural boundaries."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from intendant.plugin import Json

BACK = 0.25
"""Part of a chunk, from its end, in which a good boundary is looked for."""
_HEADING = re.compile(r"#{1,6} \S|From \S+@|={3,}|-{3,}")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Source:
    """Content in units: lines of a text, or records of a list.

    Attributes:
        units: Their texts; joined they are a text again.
        numbers: The number of each from 1; pieces of a line that is too long have the same one.
        records: The records, where it is a list of them.
    """

    units: Sequence[str]
    numbers: Sequence[int]
    records: Sequence[Json] | None = None

    @property
    def word(self) -> str:
        """What a unit is called."""
        return "line" if self.records is None else "record"

    @property
    def last(self) -> int:
        """The number of the last unit."""
        return self.numbers[-1] if self.numbers else 0

    def span(self, first: int, last: int) -> str:
        """How units are cited."""
        return f"{self.word} {first}" if first == last else f"{self.word}s {first}-{last}"

    def chunks(self, most: int) -> "Iterator[Chunk]":
        """The content in chunks of about *most* characters, each cut where a part of it ends."""
        start = 0
        while start < len(self.units):
            end = self._end(start, most)
            yield Chunk(self, start, end)
            start = end

    def _end(self, start: int, most: int) -> int:
        """Where a chunk that begins at *start* ends: at the best boundary near its greatest length."""
        size, end = 0, start
        while end < len(self.units) and (end == start or size + len(self.units[end]) <= most):
            size += len(self.units[end])
            end += 1
        if end == len(self.units) or self.records is not None:
            return end
        back, at, best = size * BACK, end, end
        while at - 1 > start and back > 0:
            if self._worth(at) > self._worth(best):
                best = at
            at -= 1
            back -= len(self.units[at])
        return best

    def _worth(self, index: int) -> int:
        """How good it is to cut before a unit."""
        line, before = self.units[index], self.units[index - 1]
        if _HEADING.match(line):
            return 3
        return 2 if not before.strip() else 0 if line[:1].isspace() else 1


@dataclass(frozen=True)
class Chunk:
    """Units that stand together."""

    source: Source = field(repr=False)
    start: int
    end: int

    @property
    def first(self) -> int:
        """The number of its first unit."""
        return self.source.numbers[self.start]

    @property
    def last(self) -> int:
        """The number of its last unit."""
        return self.source.numbers[self.end - 1]

    @property
    def span(self) -> str:
        """How it is cited as a whole."""
        return self.source.span(self.first, self.last)

    @cached_property
    def text(self) -> str:
        """Its units."""
        return "".join(self.source.units[self.start : self.end])

    @property
    def content(self) -> Json:
        """What the model is shown."""
        records = self.source.records
        return self.text if records is None else list(records[self.start : self.end])

    def find(self, quote: str) -> tuple[int, int] | None:
        """The numbers of the first and last unit in which *quote* stands, whatever its white space."""
        words = quote.split()
        if not words:
            return None
        found = re.search(r"\s+".join(map(re.escape, words)), self.text)
        if found is None:
            return None
        at, first = 0, 0
        for index in range(self.start, self.end):
            at += len(self.source.units[index])
            if not first and at > found.start():
                first = self.source.numbers[index]
            if at >= found.end():
                return first, self.source.numbers[index]
        return None

    def find_all(self, facts: Sequence[str]) -> tuple[int, int] | None:
        """The first unit that holds all of several facts."""
        if not facts:
            return None
        for index in range(self.start, self.end):
            if all(fact in self.source.units[index] for fact in facts):
                return self.source.numbers[index], self.source.numbers[index]
        return None


def source_of(value: Json, longest: int) -> Source:
    """*value* in units, none of a text longer than *longest* characters."""
    if isinstance(value, list) and not all(isinstance(item, str) and "\n" not in item for item in value):
        units = [_written(item) + "\n" for item in value]
        return Source(units, range(1, len(units) + 1), value)
    if isinstance(value, list):
        value = "\n".join(map(str, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
    units, numbers = [], []
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        for piece in _pieces(line, longest):
            units.append(piece)
            numbers.append(number)
    return Source(units, numbers)


def _written(record: Json) -> str:
    return record if isinstance(record, str) else json.dumps(record, ensure_ascii=False)


def _pieces(line: str, longest: int) -> Iterator[str]:
    """A line, cut at the ends of sentences or at spaces where it is too long."""
    while len(line) > longest:
        cut = max(line.rfind(". ", longest // 2, longest) + 2, line.rfind("。", longest // 2, longest) + 1)
        cut = cut if cut > longest // 2 else line.rfind(" ", longest // 2, longest) + 1
        cut = cut if cut > longest // 2 else longest
        yield line[:cut]
        line = line[cut:]
    yield line
