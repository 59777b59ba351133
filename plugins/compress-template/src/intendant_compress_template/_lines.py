"""The lines that shapes are looked for in, taken apart into what is fixed and values."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass, replace

from intendant_compress_template._grammar import Grammar
from intendant_compress_template._pads import BEGINS, blanks
from intendant_compress_template._sections import KEY, Sections

LEAST = 3
"""Lines that a shape needs."""
VALUE = "\0"
"""Stands for a word with digits."""
ALIKE = 6
"""Characters by which lines are told to be alike."""
ALIKE_END = 80
"""Characters of a line that are counted as alike: the rest of a paragraph is its own."""
LEAST_ALIKE = 0.12
"""Share of such characters from which shapes are looked for."""
RARE = 0.05
"""Share of the lines up to which those that tell of an error are left as they are, whole."""
_ALARM = re.compile(
    r"\b(?:errors?|fail(?:ed|ures?)?|fatal|panic|exception|critical|denied|refused|traceback"
    r"|\d+ (?:files? changed|passed|skipped|warnings?|packages?)|total|summary)\b"
)
"""Words of errors, and of lines that sum up."""
_ZEROS = str.maketrans("123456789", "000000000")
_MARKS = re.compile(f"[{KEY}{chr(BEGINS)}-\U0010ffff]")


def alike(lines: Sequence[str]) -> frozenset[int]:
    """Lines that begin or end as at least two others do but for figures: few others can be in a shape.

    None where these are so few that shapes cannot pay.
    """
    begins = "\n".join([line[:ALIKE] for line in lines]).translate(_ZEROS).split("\n")
    ends = "\n".join([line[-ALIKE:] for line in lines]).translate(_ZEROS).split("\n")
    first, last = Counter(begins), Counter(ends)
    found = frozenset(
        number
        for number, (begin, end) in enumerate(zip(begins, ends, strict=True))
        if begin and (first[begin] >= LEAST or last[end] >= LEAST)
    )
    share = sum(min(len(lines[number]), ALIKE_END) for number in found) / max(1, sum(map(len, lines)))
    return found if share >= LEAST_ALIKE else frozenset()


def alarms(lines: Sequence[str], numbers: AbstractSet[int]) -> frozenset[int]:
    """Lines that tell of an error where few do: these are read first, and searched for word by word."""
    most = RARE * len(lines)
    found: set[int] = set()
    for number in numbers:
        if _ALARM.search(lines[number].lower()):
            found.add(number)
            if len(found) > most:
                return frozenset()
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that may be in shapes, taken apart."""

    grammar: Grammar
    text: Sequence[str]
    masks: Mapping[int, str]
    """Of the lines that are looked at: the line with `VALUE` for each of its values."""
    values: Mapping[int, Sequence[str]]
    keys: Sequence[str | None]
    """Of all lines: what `KEY` stands for."""

    @classmethod
    def of(cls, text: Sequence[str], grammar: Grammar, numbers: AbstractSet[int]) -> "Lines":
        """The lines *numbers* of *text*; marks for repeated blocks are left out."""
        looked_at = [
            at for at in sorted(numbers) if text[at] and not text[at].startswith(("[lines ", "[same as "))
        ]
        pieces = grammar.value.split("\n".join([text[number] for number in looked_at]))
        found = pieces[1::2]
        masks = dict(zip(looked_at, VALUE.join(pieces[::2]).split("\n"), strict=False))
        values = {}
        at = 0
        for number, mask in masks.items():
            size = mask.count(VALUE)
            values[number] = found[at : at + size]
            at += size
        return cls(grammar, text, masks, values, [None] * len(text))

    def within(self, sections: Sections) -> "Lines":
        """The same lines, each without what its section says."""
        if not sections.words:
            again = Lines.of(sections.lines, self.grammar, self.masks.keys())
            return replace(again, keys=sections.keys)
        masks: dict[int, str] = {}
        values: dict[int, Sequence[str]] = {}
        gap, size = self.grammar.gap, sections.words
        for number, mask in self.masks.items():
            masks[number], values[number] = mask, self.values[number]
            words = mask.split(gap, size)
            if sections.keys[number] is not None:
                masks[number] = f"{KEY}{gap}{words[size]}"
                values[number] = values[number][sum(word.count(VALUE) for word in words[:size]) :]
        return Lines(self.grammar, sections.lines, masks, values, sections.keys)

    def plain(self, number: int, rest: str) -> str:
        """The end *rest* of a line without marks in it."""
        if _MARKS.search(rest) is None:
            return rest
        begin = self.text[number][: -len(rest)]
        key = self.keys[number] or ""
        return blanks(self.text[number].replace(KEY, key))[len(blanks(begin.replace(KEY, key))) :]
