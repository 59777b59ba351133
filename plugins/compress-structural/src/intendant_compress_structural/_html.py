"""HTML as Markdown-like text: what a reader sees, without the markup.

Kept: the title, author, date and description of the head, headings, paragraphs, lists, tables, preformatted text,
image captions, and where links in running text lead to. Left out: tags, styles, scripts, comments, and the targets
of links that stand alone, such as those of menus, whose words are joined on one line; a menu that is repeated word
for word is kept once.

The page is read once from left to right by a tokenizer of its own, whose patterns never look past the next `<`:
the time is linear in the length of the text, whatever it holds.
"""

import html
import re
from dataclasses import dataclass, field
from typing import NamedTuple

_TAG = re.compile(
    r"""<(?:(/?)([a-zA-Z][\w:-]*)((?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+)>|(/?)([a-zA-Z][\w:-]*)([^<>]*+)>|(!--)|[!?])"""
)
_ATTRIBUTE = re.compile(r"""([\w:-]++)\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]++))""")
_SKIPPED = ("script", "style", "svg", "template", "iframe", "object", "math")
"""Elements without words for a reader."""
_BLOCK_NAMES = """
address article aside blockquote body br button center dd details div dl dt fieldset figcaption figure
footer form h1 h2 h3 h4 h5 h6 header hr label legend li main nav noscript ol option p pre section select
summary table tbody td textarea tfoot th thead title tr ul
"""
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_META = {
    "author": "Author",
    "article:author": "Author",
    "date": "Date",
    "article:published_time": "Date",
    "description": "Description",
    "og:description": "Description",
}
MOST_DEPTH = 20
"""Nested tables, above which rows are taken for paragraphs."""
ALONE = 0.8
"""Share of a block's letters in links from which the links are taken to stand alone."""
ORNAMENT = 2
"""Characters up to which a block without letters and figures, outside tables, is an ornament such as `|`."""
TWICE = 40
"""Characters from which a paragraph that comes again, or a description that the text begins with, is left out."""
_CUT = re.compile(r"\s*+(?:\.\.\.|…|\[…\]|\(\.\.\.\)|\[\.\.\.\])$")
LONG = 200
"""Characters of a cell above which the table is taken for lay-out."""


class _Link(NamedTuple):
    text: str
    target: str


@dataclass(slots=True)
class _Block:
    text: str
    mark: str = ""
    menu: bool = False


@dataclass(slots=True)
class _Page:
    """What was read so far."""

    all_links: bool
    head: dict[str, str] = field(default_factory=dict)
    blocks: list[_Block] = field(default_factory=list)
    rows: list[list[list[_Block]]] = field(default_factory=list)
    """Cells of the open rows, the innermost last."""
    pieces: list[str | _Link] = field(default_factory=list)
    mark: str = ""
    lists: int = 0
    pre: bool = False
    target: str | None = None
    """Of the open link."""
    link_from: int = 0
    """Where in `pieces` the open link began."""


def to_markdown(text: str, *, all_links: bool = False) -> str | None:
    """The words of the page *text*; None if it has none, or no tags."""
    if _TAG.search(text) is None:
        return None
    page = _Page(all_links)
    at = 0
    unclosed: set[str] = set()
    while (tag := _TAG.search(text, at)) is not None:
        if tag.start() > at:
            _words(page, text[at : tag.start()])
        at = tag.end()
        name = (tag[2] or tag[5] or "").lower()
        closes = bool(tag[1] or tag[4])
        if not name:
            at = _after(text, "-->" if tag[7] else ">", at, unclosed)
        elif name in _SKIPPED:
            at = at if closes else _after_element(text, name, at, unclosed)
        elif closes:
            _close(page, name)
        else:
            _open(page, name, tag[3] or tag[6] or "")
    _words(page, text[at:])
    _flush(page)
    while page.rows:
        _end_row(page)
    return _written(page)


def _after(text: str, end: str, at: int, unclosed: set[str]) -> int:
    """Where *text* goes on after *end*. What is not there is looked for only once."""
    found = -1 if end in unclosed else text.find(end, at)
    if found < 0:
        unclosed.add(end)
        return at
    return found + len(end)


def _after_element(text: str, name: str, at: int, unclosed: set[str]) -> int:
    found = None if name in unclosed else re.compile(f"</{name}", re.IGNORECASE).search(text, at)
    if found is None:
        unclosed.add(name)
        return at
    return found.start()


def _words(page: _Page, raw: str) -> None:
    words = html.unescape(raw) if "&" in raw else raw
    if page.pre or not words.isspace():
        page.pieces.append(words)
    elif page.pieces:
        page.pieces.append(" ")


def _open(page: _Page, name: str, attributes: str) -> None:
    if name == "a":
        page.target = _attributes(attributes).get("href", "")
        page.link_from = len(page.pieces)
    elif name == "meta":
        _meta(page, _attributes(attributes))
    elif name == "img":
        caption = " ".join(_attributes(attributes).get("alt", "").split())
        if caption:
            page.pieces.append(f" ![{caption}] ")
    elif name in _BLOCKS:
        _flush(page)
        _open_block(page, name)


def _open_block(page: _Page, name: str) -> None:
    if name in ("ul", "ol"):
        page.lists += 1
    elif name in ("li", "dd"):
        page.mark = "  " * min(max(page.lists - 1, 0), 4) + "- "
    elif name == "pre":
        page.pre = True
    elif name == "blockquote":
        page.mark = "> "
    elif len(name) == 2 and name[1].isdigit():  # noqa: PLR2004  # h1 to h6
        page.mark = "#" * int(name[1]) + " "
    elif name == "tr" and len(page.rows) < MOST_DEPTH:
        page.rows.append([])
    elif name in ("td", "th") and page.rows:
        page.rows[-1].append([])


def _close(page: _Page, name: str) -> None:
    if name == "a":
        _end_link(page)
    elif name == "title":
        page.head.setdefault("Title", _joined(page.pieces))
        page.pieces.clear()
    elif name in _BLOCKS:
        _flush(page)
        page.pre = page.pre and name != "pre"
        page.mark = ""
        if name in ("ul", "ol"):
            page.lists = max(0, page.lists - 1)
        elif name == "tr" and page.rows:
            _end_row(page)
        elif name == "table":
            page.mark = ""


def _meta(page: _Page, attributes: dict[str, str]) -> None:
    label = _META.get((attributes.get("name") or attributes.get("property") or "").lower())
    content = " ".join(attributes.get("content", "").split())
    if label and content:
        page.head.setdefault(label, content)


def _attributes(raw: str) -> dict[str, str]:
    return {
        found[1].lower(): html.unescape(found[2] or found[3] or found[4] or "")
        for found in _ATTRIBUTE.finditer(raw)
    }


def _end_link(page: _Page) -> None:
    if page.target is None:
        return
    start = min(page.link_from, len(page.pieces))
    words = _joined(page.pieces[start:])
    del page.pieces[start:]
    if words:
        if start and isinstance(page.pieces[-1], _Link):
            page.pieces.append(" ")
        page.pieces.append(_Link(words, page.target))
    page.target = None


def _joined(pieces: list[str | _Link]) -> str:
    return " ".join("".join(piece if isinstance(piece, str) else piece.text for piece in pieces).split())


def _flush(page: _Page) -> None:
    """Ends the open block."""
    if page.target is not None:
        target = page.target
        _end_link(page)
        page.target, page.link_from = target, 0
    if not page.pieces:
        return
    block = _preformatted(page) if page.pre else _block(page)
    page.pieces.clear()
    page.link_from = 0
    if block.text and (page.rows or len(block.text) > ORNAMENT or block.text.isalnum()):
        page.mark = ""
        _put(page, block)


def _preformatted(page: _Page) -> _Block:
    text = "".join(piece if isinstance(piece, str) else piece.text for piece in page.pieces).strip("\n")
    return _Block(f"```\n{text}\n```" if text.strip() else "")


def _block(page: _Page) -> _Block:
    plain = _joined(page.pieces)
    linked = sum(len(piece.text) for piece in page.pieces if isinstance(piece, _Link))
    alone = linked >= ALONE * len(plain)
    if (alone and not page.all_links) or not linked:
        return _Block(plain, page.mark, menu=alone and not page.mark.startswith("#"))
    shown = "".join(piece if isinstance(piece, str) else _link(piece.text, piece.target) for piece in page.pieces)
    return _Block(" ".join(shown.split()), page.mark)


def _link(text: str, target: str) -> str:
    if not target or target.startswith(("#", "javascript:")) or target == text:
        return text
    return f"[{text}]({target})"


def _put(page: _Page, block: _Block) -> None:
    if page.rows and page.rows[-1]:
        page.rows[-1][-1].append(block)
    elif page.rows:
        page.rows[-1].append([block])
    else:
        page.blocks.append(block)


def _end_row(page: _Page) -> None:
    """Writes a row of short cells as a row; other rows are lay-out, and their cells are blocks of their own."""
    cells = page.rows.pop()
    filled = [cell for cell in cells if cell]
    short = all(len(cell) == 1 and len(cell[0].text) <= LONG and "\n" not in cell[0].text for cell in filled)
    if len(filled) > 1 and short:
        row = " | ".join(cell[0].text if cell else "" for cell in cells)
        _put(page, _Block(f"| {row} |"))
        return
    for cell in filled:
        for block in cell:
            _put(page, block)


def _written(page: _Page) -> str | None:
    lines: list[str] = []
    seen: set[str] = set()
    menu: list[str] = []
    for block in [*page.blocks, _Block("")]:
        if block.menu:
            menu.append(block.text)
            continue
        if menu:
            joined = " · ".join(menu)
            if joined not in seen:
                lines.append(joined)
            seen.add(joined)
            menu = []
        if block.text and not (len(block.text) >= TWICE and block.text in seen):
            lines.append(block.mark + block.text)
            seen.add(block.text)
    return "\n".join([*_head(page, "\n".join(lines)), *lines]) if page.blocks else None


def _head(page: _Page, body: str) -> list[str]:
    """What the head of the page says, and its *body* does not."""
    shown = page.head
    begin = _CUT.sub("", shown.get("Description", ""))
    if len(begin) >= TWICE and begin in body:
        shown = {label: words for label, words in shown.items() if label != "Description"}
    return [f"{label}: {words}" for label, words in shown.items() if words]
