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

from intendant_compress_structural._page import Page, end_link, end_row, flush, joined, written

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


def to_markdown(text: str, *, all_links: bool = False) -> str | None:
    """The words of the page *text*; None if it has none, or no tags."""
    if _TAG.search(text) is None:
        return None
    page = Page(all_links)
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
    flush(page)
    while page.rows:
        end_row(page)
    return written(page)


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


def _words(page: Page, raw: str) -> None:
    words = html.unescape(raw) if "&" in raw else raw
    if page.pre or not words.isspace():
        page.pieces.append(words)
    elif page.pieces:
        page.pieces.append(" ")


def _open(page: Page, name: str, attributes: str) -> None:
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
        flush(page)
        _open_block(page, name)


def _open_block(page: Page, name: str) -> None:
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


def _close(page: Page, name: str) -> None:
    if name == "a":
        end_link(page)
    elif name == "title":
        page.head.setdefault("Title", joined(page.pieces))
        page.pieces.clear()
    elif name in _BLOCKS:
        flush(page)
        page.pre = page.pre and name != "pre"
        page.mark = ""
        if name in ("ul", "ol"):
            page.lists = max(0, page.lists - 1)
        elif name == "tr" and page.rows:
            end_row(page)
        elif name == "table":
            page.mark = ""


def _meta(page: Page, attributes: dict[str, str]) -> None:
    label = _META.get((attributes.get("name") or attributes.get("property") or "").lower())
    content = " ".join(attributes.get("content", "").split())
    if label and content:
        page.head.setdefault(label, content)


def _attributes(raw: str) -> dict[str, str]:
    return {
        found[1].lower(): html.unescape(found[2] or found[3] or found[4] or "")
        for found in _ATTRIBUTE.finditer(raw)
    }
