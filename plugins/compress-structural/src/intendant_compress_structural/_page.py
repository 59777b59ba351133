"""What was read of a page, and writing it as Markdown-like text."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

ALONE = 0.8
"""Share of a block's letters in links from which the links are taken to stand alone."""
ORNAMENT = 2
"""Characters up to which a block without letters and figures, outside tables, is an ornament such as `|`."""
TWICE = 40
"""Characters from which a paragraph that comes again, or a description that the text begins with, is left out."""
_CUT = re.compile(r"\s*+(?:\.\.\.|…|\[…\]|\(\.\.\.\)|\[\.\.\.\])$")
LONG = 200
"""Characters of a cell above which the table is taken for lay-out."""


class Link(NamedTuple):
    text: str
    target: str


@dataclass(slots=True)
class Block:
    text: str
    mark: str = ""
    menu: bool = False


@dataclass(slots=True)
class Page:
    """What was read so far."""

    all_links: bool
    head: dict[str, str] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    rows: list[list[list[Block]]] = field(default_factory=list)
    """Cells of the open rows, the innermost last."""
    pieces: list[str | Link] = field(default_factory=list)
    mark: str = ""
    lists: int = 0
    pre: bool = False
    target: str | None = None
    """Of the open link."""
    link_from: int = 0
    """Where in `pieces` the open link began."""


def end_link(page: Page) -> None:
    if page.target is None:
        return
    start = min(page.link_from, len(page.pieces))
    words = joined(page.pieces[start:])
    del page.pieces[start:]
    if words:
        if start and isinstance(page.pieces[-1], Link):
            page.pieces.append(" ")
        page.pieces.append(Link(words, page.target))
    page.target = None


def joined(pieces: list[str | Link]) -> str:
    return " ".join("".join(piece if isinstance(piece, str) else piece.text for piece in pieces).split())


def flush(page: Page) -> None:
    """Ends the open block."""
    if page.target is not None:
        target = page.target
        end_link(page)
        page.target, page.link_from = target, 0
    if not page.pieces:
        return
    block = _preformatted(page) if page.pre else _block(page)
    page.pieces.clear()
    page.link_from = 0
    if block.text and (page.rows or len(block.text) > ORNAMENT or block.text.isalnum()):
        page.mark = ""
        _put(page, block)


def _preformatted(page: Page) -> Block:
    text = "".join(piece if isinstance(piece, str) else piece.text for piece in page.pieces).strip("\n")
    return Block(f"```\n{text}\n```" if text.strip() else "")


def _block(page: Page) -> Block:
    plain = joined(page.pieces)
    linked = sum(len(piece.text) for piece in page.pieces if isinstance(piece, Link))
    alone = linked >= ALONE * len(plain)
    if (alone and not page.all_links) or not linked:
        return Block(plain, page.mark, menu=alone and not page.mark.startswith("#"))
    shown = "".join(piece if isinstance(piece, str) else _link(piece.text, piece.target) for piece in page.pieces)
    return Block(" ".join(shown.split()), page.mark)


def _link(text: str, target: str) -> str:
    if not target or target.startswith(("#", "javascript:")) or target == text:
        return text
    return f"[{text}]({target})"


def _put(page: Page, block: Block) -> None:
    if page.rows and page.rows[-1]:
        page.rows[-1][-1].append(block)
    elif page.rows:
        page.rows[-1].append([block])
    else:
        page.blocks.append(block)


def end_row(page: Page) -> None:
    """Writes a row of short cells as a row; other rows are lay-out, and their cells are blocks of their own."""
    cells = page.rows.pop()
    filled = [cell for cell in cells if cell]
    short = all(len(cell) == 1 and len(cell[0].text) <= LONG and "\n" not in cell[0].text for cell in filled)
    if len(filled) > 1 and short:
        row = " | ".join(cell[0].text if cell else "" for cell in cells)
        _put(page, Block(f"| {row} |"))
        return
    for cell in filled:
        for block in cell:
            _put(page, block)


def written(page: Page) -> str | None:
    lines: list[str] = []
    seen: set[str] = set()
    menu: list[str] = []
    for block in [*page.blocks, Block("")]:
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


def _head(page: Page, body: str) -> list[str]:
    """What the head of the page says, and its *body* does not."""
    shown = page.head
    begin = _CUT.sub("", shown.get("Description", ""))
    if len(begin) >= TWICE and begin in body:
        shown = {label: words for label, words in shown.items() if label != "Description"}
    return [f"{label}: {words}" for label, words in shown.items() if words]
