"""Text of HTML in linear time: the standard library's parser takes minutes for some hostile mails."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)|<[!?]")
_STOP = re.compile(r"""[>"']""")
_RAW = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in ("script", "style", "title")}
"""The ends of what holds no tags."""
_META = re.compile(rb"""<meta\s[^>]{0,200}charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)
_LONG_NUMBER = re.compile(r"&#[xX]?[0-9a-fA-F]{9,}")


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag of the source."""

    name: str
    closing: bool
    attributes: str
    """As written, unparsed."""


Token = str | Tag
"""Text with its entities resolved, or a tag."""


def strip_html(source: str, *, links: bool = True) -> str:
    """The text that a reader of HTML sees.

    Blocks, rows and list items stand on lines of their own, cells of a row are separated by tabs, quotations begin
    with `>`. Scripts, styles, comments and hidden elements are left out.

    Args:
        source: The HTML.
        links: Whether the address of a link follows its text in parentheses.
    """
    from intendant.text.layout import Layout

    layout = Layout(links=links)
    for token in Scanner(source).tokens():
        layout.take(token)
    return layout.text()


def charset_of(source: bytes) -> str | None:
    """The charset that a document's own `<meta>` names; None if it names none."""
    found = re.search(
        rb"""<meta\s[^>]{0,200}charset\s*=\s*["']?\s*([\w.:-]{1,40})""", source[:2048], re.IGNORECASE
    )
    return None if found is None else found[1].decode("ascii", "replace")


class Scanner:
    """Splits HTML into text and tags.

    No part of the source is searched twice: the scanner remembers which closing marks do not occur any more.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self._comment_ends = source.rfind("-->")
        self._last_quote = {quote: source.rfind(quote) for quote in "\"'"}
        self._unclosed: set[str] = set()

    def tokens(self) -> Iterator[Token]:
        """The tokens in their order."""
        while self.at < len(self.source):
            yield from self._advance()

    def _advance(self) -> Iterator[Token]:
        """The next text, and the tag after it."""
        start = self.source.find("<", self.at)
        if start < 0:
            start = len(self.source)
        if start > self.at:
            yield unescape(self.source[self.at : start])
            self.at = start
        if start == len(self.source):
            return
        tag = _TAG.match(self.source, start)
        if tag is None:  # a less-than sign in the text
            yield "<"
            self.at = start + 1
        elif self.source.startswith("<!--", start) and start + 4 <= self._comment_ends:
            self.at = self.source.find("-->", start + 4) + 3
        else:
            yield from self._tag(tag, start)

    def _tag(self, tag: re.Match[str], start: int) -> Iterator[Token]:
        end = self._end_of(tag.end())
        if end < 0:  # no tag is closed any more: what is left is text
            yield unescape(self.source[start:])
            self.at = len(self.source)
            return
        self.at = end + 1
        name = (tag[2] or "").lower()
        if not name:
            return
        yield Tag(name, bool(tag[1]), self.source[tag.end() : end])
        if not tag[1] and name in _RAW and name not in self._unclosed:
            self._skip(name)

    def _end_of(self, start: int) -> int:
        """Where the `>` of a tag is, those within quoted attributes not counted; below 0 if there is none."""
        at = start
        while (stop := _STOP.search(self.source, at)) is not None:
            if stop[0] == ">":
                return stop.start()
            at = stop.end()
            if self._last_quote[stop[0]] >= at:
                at = self.source.find(stop[0], at) + 1
        return -1

    def _skip(self, name: str) -> None:
        """To the end of a script, style or title."""
        end = _RAW[name].search(self.source, self.at)
        if end is None:
            self._unclosed.add(name)
        else:
            self.at = end.start()


def unescape(text: str) -> str:
    """*text* with its entities resolved; a character reference with too many digits for one stays as it is."""
    if "&" not in text:
        return text
    if not _LONG_NUMBER.search(text):
        return html.unescape(text)
    # The standard library converts any number of digits, in quadratic time, and raises for thousands.
    spans = [0, *(at for match in _LONG_NUMBER.finditer(text) for at in match.span()), len(text)]
    pieces = (text[start:end] for start, end in pairwise(spans))
    return "".join(piece if number % 2 else html.unescape(piece) for number, piece in enumerate(pieces))


_ATTRIBUTE = re.compile(r"""([^\s=/"'<>]+)\s*(?:=\s*("[^"]*"|'[^']*'|[^\s"'>]*))?""")
READ_ATTRIBUTES = 8_000
"""Characters of a tag's attributes that are read."""


def attributes_of(tag: Tag) -> dict[str, str]:
    """A tag's attributes, names in lower case; of several with one name the first counts."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(tag.attributes[:READ_ATTRIBUTES]):
        value = match[2] or ""
        value = value[1:-1] if value[:1] in ("'", '"') and len(value) > 1 else value
        found.setdefault(match[1].lower(), unescape(value))
    return found
