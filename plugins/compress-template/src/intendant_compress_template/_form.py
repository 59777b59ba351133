"""The form of folded text, and reading it.

    (folded lines: …)
    A: {@} {} INFO {} done in {} ms

    @ 2026-01-02 03:04
    A :05 worker-7 130
    A*3 :06 worker-7 2
    a line that has no shape
    *2 the same, twice

A line that has no shape, and that begins with a space or would be taken for a row, comes after one more space.
Where most lines have one shape, that one has no letter: its lines begin with their values, and a line that has no
shape comes after a space always.

Values have no spaces, but for a line's last one. What is the same in all lines of a shape is part of the shape;
`{2}` in a shape is the line's second value again, `{@}` what the last line after `@` says, and `{|40}` and `{>40}`
are blanks (see `_pads`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from intendant_compress_template._pads import blanks, unshown

LABELLED = "(folded lines: a letter stands for its shape, filled in order by {}; *n: n times; else as it is{})"
PLAIN = (
    "(folded lines: {} fills the first shape in order, after a letter its shape; *n: n times;"
    " after a blank: as it is{})"
)
_KEYED = "; {@}: what stands after the last @"
_PADDED = "; {|n}: blanks up to column n; {>n}: blanks so that the word ends there"
_WHAT = {" ": "what follows", ",": "the cells that follow"}
_WHAT_PLAIN = {" ": "each line", ",": "each row of cells"}


@dataclass(frozen=True, slots=True)
class Form:
    gap: str
    plain: bool
    """The first shape has no letter."""
    keyed: bool
    padded: bool

    def head(self) -> str:
        """The first line of text in this form."""
        keyed = (_KEYED if self.keyed else "") + (_PADDED if self.padded else "")
        return (PLAIN if self.plain else LABELLED).format((_WHAT_PLAIN if self.plain else _WHAT)[self.gap], keyed)


HEADS = {
    form.head(): form
    for form in (Form(gap, *flags) for gap in _WHAT for flags in product((False, True), repeat=3))
}
BODY = re.compile(r"([A-Z]{0,2})(?:\*(\d{1,9}))?(?: (.*))?", re.DOTALL)
_PARTS = re.compile(r"\{(\d{0,3})\}")


def is_folded(text: str) -> bool:
    """True if *text* begins as folded text does."""
    return text.startswith("(folded lines: ") and text.partition("\n")[0] in HEADS


def expand(text: str) -> str:
    """The text that was folded.

    Raises:
        ValueError: This is no folded text.
    """
    try:
        return _expanded(text)
    except LookupError:
        raise ValueError("this folded text uses a shape, or a value, that it does not have") from None


def _expanded(text: str) -> str:
    head, *lines = text.split("\n")
    form = HEADS.get(head)
    if form is None or "" not in lines:
        raise ValueError("this is no folded text")
    end = lines.index("")
    shapes = {}
    for line in lines[:end]:
        label, _, shape = line.partition(": ")
        shapes[label] = _Reading.of(shape)
    return "\n".join(_unfolded(lines[end + 1 :], shapes, form))


@dataclass(frozen=True, slots=True)
class _Reading:
    """A shape to be filled."""

    template: str
    """For `str.format`, with numbers, and the key as `{k}`."""
    values: int

    @classmethod
    def of(cls, shape: str) -> "_Reading":
        pieces = _PARTS.split(unshown(shape))
        texts = [text.replace("{", "{{").replace("}", "}}").replace("{{@}}", "{k}") for text in pieces[0::2]]
        filled = 0
        written = texts[0]
        for number, part in zip(pieces[1::2], texts[1:], strict=True):
            place = int(number) - 1 if number else filled
            filled += not number
            written += f"{{{place}}}{part}"
        return cls(written, filled)

    def fill(self, rest: str | None, gap: str, key: str) -> str:
        values = rest.split(gap, max(0, self.values - 1)) if rest is not None else []
        if len(values) != self.values:
            raise ValueError(f"this line does not fill its shape: {(rest or '')[:80]}")
        return blanks(self.template.format(*values, k=key))


def _unfolded(lines: Sequence[str], shapes: Mapping[str, _Reading], form: Form) -> Iterator[str]:
    key = ""
    for line in lines:
        if form.keyed and line.startswith("@ "):
            key = shapes["@"].fill(line[2:], form.gap, "") if "@" in shapes else line[2:]
            continue
        if line.startswith(" "):
            yield line[1:]
            continue
        found = BODY.fullmatch(line)
        label, times, rest = (found[1], found[2], found[3]) if found is not None else ("", None, None)
        if label and label in shapes:
            written = shapes[label].fill(rest, form.gap, key)
        elif times and not label:
            rest = rest or ""
            as_it_is = not form.plain or rest.startswith(" ")
            written = (
                rest[1:] if form.plain and as_it_is else rest if as_it_is else shapes[""].fill(rest, form.gap, key)
            )
        else:
            times = None
            written = shapes[""].fill(line, form.gap, key) if form.plain else line
        yield from [written] * int(times or 1)
