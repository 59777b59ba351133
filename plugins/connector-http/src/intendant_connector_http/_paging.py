"""Pagination: finding the next page by a cursor, a page number, an offset, or the link header."""

import re
from dataclasses import replace
from typing import Literal
from urllib.parse import urljoin, urlsplit

from pydantic import Field, model_validator

from intendant.plugin import ConnectorError, Fetched, HttpAsk, Json, Options, shown
from intendant.records import field_of

_LINK = re.compile(r"<([^<>]*)>\s*((?:;\s*[^,;<>=]+(?:=(?:\"[^\"]*\"|[^,;\"]*))?\s*)*)")
_NEXT = re.compile(r";\s*rel\s*=\s*\"?(?:[^\";,]*\s)?next(?:\s[^\";,]*)?\"?\s*(?:;|$)", re.IGNORECASE)

_MORE = re.compile(
    r"has_?(?:more|next(?:_?page)?)|more(?:_?(?:results|items|pages))?|more_?available", re.IGNORECASE
)
"""Field names by which responses say that another page follows."""
_NEXT_ADDRESS = re.compile(r"(?:.*\.)?@?(?:odata\.)?next(?:_?(?:page|link|url|href))*(?:\.href)?", re.IGNORECASE)
"""Field names of the URL of the next page."""
_NEXT_CURSOR = re.compile(r"(?:.*\.)?next_?(?:page_?)?(?:token|cursor)", re.IGNORECASE)
"""Field names of a cursor of the next page."""
_TOTAL = re.compile(
    r"(?:.*\.)?(?:@odata\.count|total(?:_?(?:count|elements|items|records|results|rows|size|hits))?)",
    re.IGNORECASE,
)
"""Field names of the number of records on all pages."""


class Paging(Options):
    """How the next page is found."""

    by: Literal["cursor", "page", "offset", "link"]
    """`cursor`: a value in the response; `page` and `offset`: counted; `link`: `next` of the `Link` header."""
    items: str | None = None
    """Path of the records in a response, such as `data.rows`, or `data.edges[*].node` for a part of each element.
    By default the response is a list or contains exactly one."""
    cursor: str | None = None
    """With `by: cursor`: path of the next cursor in a response, such as `meta.next` or `data[-1].id`; if it is a
    URL, that URL is requested."""
    more: str | None = None
    """Path of the field that tells whether another page follows, such as `has_more` or `pageInfo.hasNextPage`."""
    parameter: str | None = None
    """The query parameter for the cursor, page or offset; by default `cursor`, `page`, `offset`."""
    first: int = Field(default=1, ge=0)
    """With `by: page`: the number of the first page."""
    size: int | None = Field(default=None, ge=1)
    """Page size: a page with fewer records is the last one, unless its response says that more follow. By default
    the first empty page is."""
    max: int = Field(default=100, ge=1)
    """Maximum number of pages; more is an error."""

    @model_validator(mode="after")
    def _cursor_is_named(self) -> "Paging":
        if (self.by == "cursor") != (self.cursor is not None):
            raise ValueError(
                "`by: cursor` needs `cursor`: where in an answer the next one is, and no other way does"
            )
        return self

    @property
    def name(self) -> str:
        """The parameter of the query."""
        return self.parameter or self.by


def items_of(data: Json, pages: Paging, where: str) -> list[Json]:
    """The records of a page.

    Raises:
        ConnectorError: There is no list of them where it should be.
    """
    found = _records_at(data, pages.items) if pages.items and isinstance(data, dict) else data
    if pages.items is None and isinstance(data, dict):
        lists = [name for name, value in data.items() if isinstance(value, list)]
        found = data[lists[0]] if len(lists) == 1 else None
    if not isinstance(found, list):
        names = ", ".join(list(data)[:12]) if isinstance(data, dict) else type(data).__name__
        raise ConnectorError(
            f"the answer of {where} has no list of records at `pages.items` ({pages.items}); it has: {names}",
            hint="name the field that holds the list, such as `items: data`",
        )
    return found


def _records_at(data: Json, path: str) -> Json:
    """What is at a path, in which `[*]` stands for all elements of a list."""
    before, star, after = path.partition("[*]")
    found = value_at(data, before)
    if not star or not isinstance(found, list):
        return found
    after = after.removeprefix(".")
    parts = [_records_at(element, after) for element in found] if after else found
    return [record for part in parts if isinstance(part, list) for record in part] if "[*]" in after else parts


def next_ask(
    ask: HttpAsk, found: Fetched, data: Json, pages: Paging, number: int, count: int, read: int
) -> HttpAsk | None:
    """The request for the next page; None where there is none.

    Args:
        ask: The request for the first page.
        found: The answer.
        data: What it holds.
        pages: How to go on.
        number: Pages that were read.
        count: Records of this page.
        read: Records of all pages until now.

    Raises:
        ConnectorError: The next page is on another server, or is not named by an answer that says there is one.
    """
    if pages.more is not None and not _says_more(data, pages.more, shown(found.url), number):
        return None
    if pages.by == "link":
        target = link_of(found.headers.get("link", ""))
        return None if target is None else _at(ask, urljoin(found.url, target))
    if pages.by == "cursor":
        return _by_cursor(ask, found, data, pages)
    if count == 0 or (pages.size is not None and count < pages.size and not _is_cut(data, pages, read)):
        return None
    at = pages.first + number if pages.by == "page" else read
    return replace(ask, query={**ask.query, pages.name: at})


def _is_cut(data: Json, pages: Paging, read: int) -> bool:
    """True if an answer says that it is not the last, though it is shorter than it might be: servers give fewer at
    once than they are asked for.
    """
    return bool(_says_that_more_follows(data) or (pages.first <= 1 and short_of(data, read)))


def _by_cursor(ask: HttpAsk, found: Fetched, data: Json, pages: Paging) -> HttpAsk | None:
    cursor = value_at(data, str(pages.cursor))
    if cursor in (None, "", False):
        _check_the_end(data, pages, shown(found.url))
        return None
    if isinstance(cursor, str) and cursor.startswith(("https://", "http://", "/")):
        return _at(ask, urljoin(found.url, cursor))
    return replace(ask, query={**ask.query, pages.name: cursor})


def value_at(data: Json, path: str) -> Json:
    """What a path leads to, such as `meta.next` or `data[-1].id`; None if there is nothing."""
    before, bracket, rest = path.partition("[")
    index, closed, after = rest.partition("]")
    if not bracket or not closed or not re.fullmatch(r"-?[0-9]{1,9}", index):
        return field_of(data, path) if isinstance(data, dict) else None
    elements = value_at(data, before) if before else data
    if not isinstance(elements, list) or not -len(elements) <= int(index) < len(elements):
        return None
    after = after.removeprefix(".")
    return value_at(elements[int(index)], after) if after else elements[int(index)]


def _says_more(data: Json, path: str, where: str, number: int) -> bool:
    said = value_at(data, path)
    if said is None and number == 1:
        names = ", ".join(list(data)[:12]) if isinstance(data, dict) else type(data).__name__
        raise ConnectorError(
            f"the answer of {where} has nothing at `pages.more` ({path}); it has: {names}",
            hint="name the field that says whether another page follows, or leave `more` out",
        )
    return said not in (None, "", False, 0, "false")


def _check_the_end(data: Json, pages: Paging, where: str) -> None:
    """Pass unless an answer without a cursor says itself that another page follows."""
    told = _says_that_more_follows(data)
    if told or pages.more is not None:
        raise ConnectorError(
            f"the answer of {where} says that more follows ({pages.more or told}), and has nothing at "
            f"`pages.cursor` ({pages.cursor})",
            hint="`cursor` is a path to the next one, such as `meta.next` or `data[-1].id`",
        )


def _says_that_more_follows(data: Json) -> str:
    """Where an answer says that another page follows; empty if it does not."""
    return next((name for name, value in _fields(data) if value is True and _MORE.search(name)), "")


def short_of(data: Json, read: int) -> str:
    """What is said where an answer names more records than were read; empty otherwise."""
    for name, value in _fields(data):
        if _TOTAL.fullmatch(name) and isinstance(value, int) and not isinstance(value, bool) and value > read:
            return f"the answer says that there are {value} (`{name}`), and {read} were read"
    return ""


def unread_pages(found: Fetched, data: Json) -> str:
    """What is said of an answer that was read without `pages` and says that another page follows."""
    if link_of(found.headers.get("link", "")) is not None:
        return "the answer has a link to a next page, which was not read: see `pages`, such as {by: link}"
    told = _says_that_more_follows(data) or next(
        (name for name, value in _fields(data) if _leads_on(name, value)), ""
    )
    return f"the answer says that more follows (`{told}`), which was not read: see `pages`" if told else ""


def _leads_on(name: str, value: Json) -> bool:
    if not isinstance(value, str) or not value:
        return False
    is_address = value.startswith(("https://", "http://", "/"))
    return bool(_NEXT_CURSOR.fullmatch(name) or (is_address and _NEXT_ADDRESS.fullmatch(name)))


def _fields(data: Json) -> list[tuple[str, Json]]:
    """The fields of an answer, those of records within it by their paths."""
    outer = data if isinstance(data, dict) else {}
    return [*outer.items(), *_inner(outer)]


def _inner(data: dict[str, Json]) -> list[tuple[str, Json]]:
    """The fields of records within, two deep, by their paths."""
    found = [
        (f"{name}.{key}", value)
        for name, inner in data.items()
        if isinstance(inner, dict)
        for key, value in inner.items()
    ]
    return found + [
        (f"{name}.{key}", value)
        for name, inner in found
        if isinstance(inner, dict)
        for key, value in inner.items()
    ]


def link_of(header: str) -> str | None:
    """The target of the relation `next` in a `Link` header (RFC 8288); None if there is none."""
    for match in _LINK.finditer(header[:20_000]):
        if _NEXT.search(match[2]):
            return match[1]
    return None


def _at(ask: HttpAsk, url: str) -> HttpAsk:
    """The request for another address of the same server; credentials do not go elsewhere."""
    first, then = urlsplit(ask.url), urlsplit(url)
    if (first.scheme, first.netloc.lower()) != (then.scheme, then.netloc.lower()):
        raise ConnectorError(f"the next page of {shown(ask.url)} is on another server, {shown(url)}")
    return replace(ask, url=url, query={})
