"""Lays the tokens of HTML out as plain text: lines, rows, lists, quotations."""

import re
from collections import Counter
from dataclasses import dataclass, field

from intendant.text.html_text import Tag, Token, attributes_of

_PARAGRAPHS = frozenset(("p", "table", "ul", "ol", "dl", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6"))
"""A blank line stands between two of these."""
_LINE_NAMES = """
div tr li dt dd section article header footer main aside nav address center fieldset form figure figcaption caption
details summary legend option optgroup body html hr thead tbody tfoot dir menu
"""
_LINES = frozenset(_LINE_NAMES.split())
"""These begin and end on lines of their own."""
_BLOCKS = _PARAGRAPHS | _LINES
_CELLS = frozenset(("td", "th"))
_UNSEEN = frozenset(("script", "style", "head", "title", "template", "svg"))
_VOID = frozenset(("br", "hr", "img", "input", "meta", "link", "col", "area", "base", "wbr", "source", "track"))
_STRUCTURE = _BLOCKS | _CELLS | _UNSEEN | {"a"}
_CLOSES = {
    "li": (frozenset(("li", "p")), frozenset(("ul", "ol", "dir", "menu", "td", "th", "table"))),
    "dt": (frozenset(("dt", "dd", "p")), frozenset(("dl", "td", "th", "table"))),
    "dd": (frozenset(("dt", "dd", "p")), frozenset(("dl", "td", "th", "table"))),
    "td": (frozenset(("td", "th", "p")), frozenset(("tr", "table"))),
    "th": (frozenset(("td", "th", "p")), frozenset(("tr", "table"))),
    "tr": (frozenset(("tr", "td", "th", "p")), frozenset(("table",))),
    "option": (frozenset(("option",)), frozenset(("select", "td", "th", "table"))),
    "a": (frozenset(("a",)), frozenset(("td", "th", "table"))),
}
"""What a tag closes that its author left open, and what it does not look beyond."""
_BLOCK = (frozenset(("p",)), frozenset(("td", "th", "table", "li", "blockquote")))
_INSIDE_TABLE = frozenset(("table", "thead", "tbody", "tfoot", "tr", "td", "th", "body", "html"))
MAX_OPEN = 200
"""Elements within each other; deeper ones are read as if they were not there, their text is kept."""
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|(?:^|[;\s])opacity\s*:\s*0?\.?0+\s*(?:;|!|$)", re.IGNORECASE
)
_FOLDED = re.compile(r"max-height\s*:\s*0(?:px)?\s*(?:;|!|$)", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\n\r\f]+")
_GROUPING = re.compile("(?<=\\d)([\u00a0\u202f])(?=\\d{3})|[\u00a0\u202f\u2007]")
_INVISIBLE = dict.fromkeys((0x00AD, 0x200B, 0x2060, 0xFEFF, 0x034F))
_JOINERS = re.compile("[\u200c\u200d]+(?=\\s|$)")


@dataclass(slots=True)
class _Element:
    """An element that is open."""

    name: str
    hidden: bool = False
    href: str = ""
    said: list[str] = field(default_factory=list)
    """Of a link: its text."""
    number: int | None = None
    """Of an ordered list: that of its next item."""
    cells: int = 0
    """Of a row: those that have begun."""
    first_line: int = 0
    """Of a row: how many lines there were when its last cell began."""


class Layout:
    """Turns tokens into lines.

    Args:
        links: Whether the address of a link follows its text.
    """

    def __init__(self, *, links: bool) -> None:
        self._links = links
        self._lines: list[str] = []
        self._line: list[str] = []
        self._indent = ""
        """What stands before the text of the line: quotation and list marks."""
        self._breaks = 0
        """Line ends that stand before the next text."""
        self._mark = ""
        """A list item's mark, which stands before its first text."""
        self._fresh = False
        """True at the beginning of a list item or cell: a block there begins on the same line."""
        self._link: _Element | None = None
        self._loose_row = _Element("tr")
        """For cells without a table."""
        self._stack: list[_Element] = []
        self._open: Counter[str] = Counter()
        self._unseen = 0

    def take(self, token: Token) -> None:
        """Lay the next token out."""
        if isinstance(token, str):
            self._text(token)
        elif token.closing:
            self._close(token.name)
        elif token.name == "br":
            self._break(1, more=True)
        else:
            self._begin(token)

    def text(self) -> str:
        """All lines, without the empty ones at the ends."""
        while self._stack:
            self._pop()
        self._end_line()
        return "\n".join(self._lines).strip("\n")

    # --- text ---

    def _text(self, text: str) -> None:
        if self._unseen:
            return
        if self._open["pre"]:
            self._preformatted(text)
            return
        piece = _BLANKS.sub(" ", text)
        if (self._breaks or not self._line) and piece[:1] == " ":
            piece = piece[1:]
        if piece:
            self._say(piece)

    def _preformatted(self, text: str) -> None:
        first, *others = text.expandtabs().replace("\r\n", "\n").split("\n")
        if first:
            self._say(first)
        for line in others:
            self._breaks = self._breaks + 1 if self._breaks or not self._line else 1
            if line:
                self._say(line)

    def _say(self, piece: str) -> None:
        if self._breaks:
            self._end_line()
            self._lines += [""] * (min(self._breaks, 2 if not self._open["pre"] else self._breaks) - 1)
            self._breaks = 0
        if not self._line:
            self._indent = "> " * self._open["blockquote"] + self._mark
        self._mark = ""
        self._fresh = False
        self._line.append(piece)
        if self._link is not None:
            self._link.said.append(piece)

    def _end_line(self) -> None:
        if self._line:
            line = "".join(self._line)
            line = line.rstrip() if self._open["pre"] else tidy(line)
            self._lines.append(f"{self._indent}{line}".rstrip())
            self._line = []

    def _break(self, least: int, *, more: bool = False) -> None:
        """See to it that a line ends here: at least *least* times, or with *more* so many times more."""
        if not self._unseen and (self._lines or self._line):
            self._breaks = min(2, self._breaks + least) if more else max(self._breaks, least)

    # --- elements ---

    def _begin(self, tag: Tag) -> None:
        name = tag.name
        if name == "body":  # what stands in a head that was never closed is hidden; this is not
            self._close("head")
        if name in _CLOSES:
            self._imply(*_CLOSES[name])
        elif name in _BLOCKS:
            self._imply(*_BLOCK)
        attributes = attributes_of(tag) if tag.attributes.strip(" /\n") else {}
        hidden = name in _UNSEEN or _is_hidden(attributes)
        if name not in _STRUCTURE and not hidden:
            return
        self._space(name)
        if name not in _VOID and len(self._stack) < MAX_OPEN:
            self._push(name, attributes, hidden=hidden)

    def _space(self, name: str) -> None:
        """What stands between an element's begin or end and its neighbours."""
        if self._fresh and name not in _CELLS:
            return
        if name in _PARAGRAPHS:
            self._break(1, more=not (name in ("ul", "ol") and self._open["li"]))
        elif name in _LINES:
            self._break(1)

    def _push(self, name: str, attributes: dict[str, str], *, hidden: bool) -> None:
        element = _Element(name, hidden)
        if name == "a":
            element.href = attributes.get("href", "").strip()
            self._link = element
        elif name == "ol":
            start = attributes.get("start", "1")
            element.number = int(start) if start.isdecimal() and len(start) < 6 else 1  # noqa: PLR2004
        elif name == "li":
            self._mark, self._fresh = self._item(), True
        elif name in _CELLS:
            self._cell()
        self._stack.append(element)
        self._open[name] += 1
        self._unseen += hidden

    def _item(self) -> str:
        """The mark of a list item, indented by the lists around its own."""
        lists = [element for element in self._stack if element.name in ("ul", "ol", "dir", "menu")]
        indent = "  " * (len(lists) - 1)
        if lists and lists[-1].number is not None:
            lists[-1].number += 1
            return f"{indent}{lists[-1].number - 1}. "
        return f"{indent}- "

    def _cell(self) -> None:
        """Set a cell apart from the one before: by a tab, or by a line where that one has several."""
        if self._unseen:
            return
        rows = (element for element in reversed(self._stack) if element.name in ("tr", "table"))
        row = next(rows, self._loose_row)
        if row.cells and self._line:
            if len(self._lines) > row.first_line:
                self._break(1)
            else:
                self._breaks = 0
                self._line.append("\t")
        row.cells += 1
        # Lines that `_say` adds before the cell's first text: the one that is open, and empty ones.
        ends = self._breaks if self._open["pre"] else min(self._breaks, 2)
        row.first_line = len(self._lines) + (ends - (not self._line) if ends else 0)
        self._fresh = True

    def _imply(self, closes: frozenset[str], scope: frozenset[str]) -> None:
        """Close what HTML allows to be left open."""
        if not any(self._open[name] for name in closes):
            return
        lowest = None
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index].name in closes:
                lowest = index
            elif self._stack[index].name in scope:
                break
        while lowest is not None and len(self._stack) > lowest:
            self._pop()

    def _close(self, name: str) -> None:
        if not self._open[name]:
            if name == "p":
                self._space(name)
            return
        for index in range(len(self._stack) - 1, -1, -1):
            found = self._stack[index].name
            if found == name:
                while len(self._stack) > index:
                    self._pop()
                return
            if found in _CELLS and name not in _INSIDE_TABLE and name != "head":
                return  # a stray end tag does not end the table around it

    def _pop(self) -> None:
        element = self._stack.pop()
        if element is self._link:
            self._link = None
            self._address(element)
        elif element.name == "pre":
            self._end_line()
            self._breaks = 0
        elif element.name == "li":
            self._mark = ""
        self._open[element.name] -= 1
        self._unseen -= element.hidden
        self._space(element.name)

    def _address(self, link: _Element) -> None:
        """Write a link's address after its text, unless that says it already."""
        address = link.href.removeprefix("mailto:") if link.href[:7].lower() == "mailto:" else link.href
        known = link.href[:7].lower() in ("mailto:", "http://") or link.href[:8].lower() == "https://"
        if not self._links or self._unseen or not known:
            return
        said = "".join(link.said).strip()
        if not said:
            self._say(f" {address}" if self._line and not self._breaks else address)
        elif _plain(said) != _plain(address):
            self._say(f" ({address})")


def _plain(address: str) -> str:
    """An address as people write it."""
    return re.sub(r"^https?://(?:www\.)?", "", address.strip().lower()).rstrip("/")


def _is_hidden(attributes: dict[str, str]) -> bool:
    if "hidden" in attributes:
        return True
    style = attributes.get("style", "")
    return bool(_HIDDEN.search(style)) or ("overflow" in style.lower() and bool(_FOLDED.search(style)))


def tidy(line: str) -> str:
    """A line without what cannot be seen. A no-break space stays between the groups of a number only."""
    if line.isascii():
        return re.sub(" {2,}", " ", line).replace(" \t", "\t").replace("\t ", "\t").rstrip()
    line = _GROUPING.sub(lambda match: match[1] or " ", line.translate(_INVISIBLE))
    line = re.sub(" {2,}", " ", _JOINERS.sub("", line))
    return line.replace(" \t", "\t").replace("\t ", "\t").rstrip()
