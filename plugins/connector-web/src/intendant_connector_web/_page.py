"""Takes a page apart."""

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from intendant.plugin import Json, strip_html

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_ASIDE = "nav, header, footer, aside, form, dialog, [role=navigation], [role=banner], [role=contentinfo]"
_NEVER = "script, style, noscript, template, svg, iframe, object, [hidden], [aria-hidden=true]"
_INVISIBLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_OPENING = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)")
_VOID = frozenset(
    "area base br col embed hr img input link meta source track wbr p li td th tr dt dd option".split()  # noqa: SIM905
)
"""Elements that nothing closes, or that often nothing does."""
MOST_LINKS = 5000
MOST_SPAN = 100
"""Columns that one cell may span."""


class Bounds(NamedTuple):
    """What a page may have."""

    cells: int
    nested: int


def read_page(
    source: str,
    url: str,
    bounds: Bounds,
    *,
    select: str | None,
    main: bool,
    tables: bool,
    links: bool,
    each: str | None = None,
) -> dict[str, Json]:
    """A page's title, text, tables and links.

    Args:
        source: The HTML.
        url: Where it came from.
        bounds: What it may have.
        select: A CSS selector of what is read.
        main: Leave navigation and the like out.
        tables: Give tables.
        links: Give links.
        each: What of each element that matches is given: see `Parse.each`.

    Raises:
        ValueError: The selector is wrong or matches nothing, or the page has more than its bounds admit.
    """
    from selectolax.lexbor import LexborHTMLParser

    if (depth := _depth(source)) > bounds.nested:
        raise ValueError(f"its elements are nested {depth} deep, more than {bounds.nested} (max_nested)")
    tree = LexborHTMLParser(source)
    about = _about(tree)
    for node in tree.css(_NEVER):
        node.decompose()
    for node in tree.css("[style]"):
        if _INVISIBLE.search(node.attributes.get("style") or ""):
            node.decompose()
    nodes = _chosen(tree, select, main=main, needed=each is None)
    text = "\n\n".join(filter(None, (strip_html(str(node.html), links=links).strip() for node in nodes)))
    page: dict[str, Json] = {**about, "text": text}
    if tables:
        page["tables"] = _tables(nodes, bounds.cells)
    if links:
        page["links"] = _links(nodes, url)
    if each is not None:
        page["each"] = [_of_element(node, each) for node in nodes]
    return page


def _of_element(node: "LexborNode", what: str) -> str | None:
    if what == "text":
        return strip_html(node.inner_html or "", links=False).strip()
    if what == "html":
        return (node.inner_html or "").strip()
    value = node.attributes.get(what, node.attributes.get(what.lower()))  # HTML has names in small letters
    return None if value is None else value.strip()


def _depth(source: str) -> int:
    """How deep elements are nested at most: walking a tree recurses."""
    depth = deepest = 0
    for match in _OPENING.finditer(source):
        if match[2].lower() in _VOID:
            continue
        depth = max(0, depth - 1) if match[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest


def _about(tree: "LexborHTMLParser") -> dict[str, Json]:
    title = tree.css_first("title")
    described = tree.css_first("meta[name=description], meta[property='og:description']")
    root = tree.css_first("html")
    return {
        "title": _line(title.text()) if title is not None else None,
        "description": _line(described.attributes.get("content")) if described is not None else None,
        "language": root.attributes.get("lang") if root is not None else None,
    }


def _chosen(
    tree: "LexborHTMLParser", select: str | None, *, main: bool, needed: bool = True
) -> "list[LexborNode]":
    """The elements that are read."""
    if select is not None:
        try:
            found = tree.css(select)
        except Exception:  # noqa: BLE001  # the library's own class differs between versions
            raise ValueError(f"'{select}' is no CSS selector") from None
        if not found and needed:
            raise ValueError(f"nothing matches the selector '{select}'")
        return found
    body = [node for node in (tree.css_first("body"),) if node is not None]
    if not main or not body:
        return body
    for choice in ("main, [role=main]", "article"):
        found = tree.css(choice)
        if len(found) == 1 and found[0].text(strip=True):
            return found
    whole = str(body[0].html)
    for node in tree.css(_ASIDE):
        node.decompose()
    if body[0].text(strip=True):
        return body
    from selectolax.lexbor import LexborHTMLParser

    again = LexborHTMLParser(whole).css_first("body")
    return [again] if again is not None else []


def _tables(nodes: "list[LexborNode]", most: int) -> list[Json]:
    """Tables that hold data: with two rows or more, and no other table within, or headings of their own."""
    made: list[Json] = []
    left = most
    for node in nodes:
        for table in node.css("table"):
            own = _own_rows(table)
            if own is None:
                continue
            rows: list[tuple[list[str], bool]] = []
            below: dict[int, tuple[str, int]] = {}
            for row in own:
                cells, heads, below = _row(row, below)
                left -= len(cells) + len(below)
                if left < 0:
                    raise ValueError(f"its tables have more than {most} cells (max_cells)")
                rows += [(cells, heads)] if cells else []
            if (records := _records(rows)) is not None:
                caption = table.css_first("caption")
                made.append({"caption": _line(caption.text()) if caption is not None else None, "rows": records})
    return made


def _own_rows(table: "LexborNode") -> "list[LexborNode] | None":
    """The rows of a table without those of tables within it; None for what only arranges such tables on the page:
    that has no row of headings.
    """
    rows = table.css("tr")
    if len(table.css("table")) == 1:  # a search finds the element too that it begins at
        return rows
    own = [row for row in rows if _table_of(row) == table.mem_id]
    heads = any(
        [child.tag for child in row.iter() if child.tag in ("th", "td")].count("th") > 1 for row in own[:1]
    )
    return own if heads else None


def _table_of(row: "LexborNode") -> int | None:
    """The table that a row is of, by its identity."""
    at = row.parent
    while at is not None and at.tag != "table":
        at = at.parent
    return None if at is None else at.mem_id


def _row(
    row: "LexborNode", above: dict[int, tuple[str, int]]
) -> tuple[list[str], bool, dict[int, tuple[str, int]]]:
    """A row's cells, those that span columns or rows repeated; whether all are headings; and what is left to
    the rows below, by column: a text, and for how many rows.
    """
    cells: list[str] = []
    kinds: list[bool] = []
    below = {column: (text, rows - 1) for column, (text, rows) in above.items() if rows > 1}

    def take_above() -> None:
        while len(cells) in above:
            cells.append(above[len(cells)][0])

    for cell in (child for child in row.iter() if child.tag in ("th", "td")):
        take_above()
        text, rows = _line(cell.text(separator=" ")) or "", _span(cell, "rowspan")
        for _ in range(_span(cell, "colspan")):
            if rows > 1:
                below[len(cells)] = (text, rows - 1)
            cells.append(text)
        kinds.append(cell.tag == "th")
    take_above()
    return (cells if kinds else []), bool(kinds) and all(kinds), below


def _span(cell: "LexborNode", name: str) -> int:
    """How many columns or rows a cell spans."""
    text = str(cell.attributes.get(name) or "1")
    known = text.isascii() and text.isdecimal() and len(text) < 9  # noqa: PLR2004
    return max(1, min(int(text), MOST_SPAN)) if known else 1


def _records(rows: list[tuple[list[str], bool]]) -> list[Json] | None:
    """Rows as records where the first has headings, else as lists; None for what is no table of data."""
    if len(rows) < 2 or max(len(cells) for cells, _ in rows) < 2:  # noqa: PLR2004  # layout
        return None
    if not rows[0][1]:
        return [list(cells) for cells, _ in rows]
    titles, body = _titles(rows)
    names: list[str] = []
    for number, title in enumerate(titles, 1):
        name = title or f"column_{number}"
        names.append(name if name not in names else f"{name}_{number}")
    records: list[Json] = []
    for cells, _ in body:
        extra = [f"column_{number}" for number in range(len(names) + 1, len(cells) + 1)]
        padded: list[Any] = [*cells, *[None] * (len(names) - len(cells))]
        records.append(dict(zip([*names, *extra], padded, strict=True)))
    return records


def _titles(rows: list[tuple[list[str], bool]]) -> tuple[list[str], list[tuple[list[str], bool]]]:
    """The headings of the columns, and the rows below them. Of several rows of headings the parts of a column are
    joined; one text over all columns is the title of the table.
    """
    count = next((number for number, (_, heads) in enumerate(rows) if not heads), len(rows))
    if count == len(rows):  # nothing but headings
        count = 1
    heads = [cells for cells, _ in rows[:count]]
    parts = [cells for cells in heads[:-1] if len(set(cells)) > 1] + heads[-1:]
    width = max(map(len, parts))
    columns = [[cells[column] for cells in parts if column < len(cells)] for column in range(width)]
    return [" ".join(dict.fromkeys(filter(None, column))) for column in columns], rows[count:]


def _links(nodes: "list[LexborNode]", url: str) -> list[Json]:
    """Links of the web, each address once."""
    found: dict[str, Json] = {}
    for node in nodes:
        for link in node.css("a[href]"):
            try:
                target = urljoin(url, (link.attributes.get("href") or "").strip())
                scheme = urlsplit(target).scheme
            except ValueError:
                continue
            if scheme in ("http", "https") and target not in found and len(found) < MOST_LINKS:
                found[target] = {"text": _line(link.text()), "url": target}
    return list(found.values())


def _line(text: str | None) -> str | None:
    return (_SPACE.sub(" ", text).strip() or None) if text else None
