"""Finding the next page of an answer: by a cursor, a page's number, an offset, or the link header."""

import re
from dataclasses import replace
from typing import Literal
from urllib.parse import urljoin, urlsplit

from pydantic import Field, model_validator

from intendant.plugin import ConnectorError, Fetched, HttpAsk, Json, Options, shown
from intendant.records import field_of

_LINK = re.compile(r"<([^<>]*)>\s*((?:;\s*[^,;<>=]+(?:=(?:\"[^\"]*\"|[^,;\"]*))?\s*)*)")
_NEXT = re.compile(r";\s*rel\s*=\s*\"?(?:[^\";,]*\s)?next(?:\s[^\";,]*)?\"?\s*(?:;|$)", re.IGNORECASE)


class Paging(Options):
    """How the next page is found."""

    by: Literal["cursor", "page", "offset", "link"]
    """`cursor`: a value of the answer; `page` and `offset`: counted; `link`: the `Link` header's `next`."""
    items: str | None = None
    """Where in an answer the records are, such as `data.rows`; by default the answer is a list, or has one."""
    cursor: str | None = None
    """By cursor: where in an answer the next one is, such as `meta.next`. A URL is asked as it is."""
    parameter: str | None = None
    """The parameter of the query that takes the cursor, page or offset; by default `cursor`, `page`, `offset`."""
    first: int = Field(default=1, ge=0)
    """By page: the number of the first one."""
    size: int | None = Field(default=None, ge=1)
    """Records of a full page; a shorter one is the last. By default the first empty one is."""
    max: int = Field(default=100, ge=1)
    """Pages at most; more is an error."""

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
    found = field_of(data, pages.items) if pages.items and isinstance(data, dict) else data
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


def next_ask(ask: HttpAsk, found: Fetched, data: Json, pages: Paging, number: int, count: int) -> HttpAsk | None:
    """The request for the next page; None where there is none.

    Args:
        ask: The request for the first page.
        found: The answer.
        data: What it holds.
        pages: How to go on.
        number: Pages that were read.
        count: Records of this page.

    Raises:
        ConnectorError: The next page is on another server.
    """
    if pages.by == "link":
        target = link_of(found.headers.get("link", ""))
        return None if target is None else _at(ask, urljoin(found.url, target))
    if pages.by == "cursor":
        cursor = field_of(data, str(pages.cursor)) if isinstance(data, dict) else None
        if cursor in (None, "", False):
            return None
        if isinstance(cursor, str) and cursor.startswith(("https://", "http://", "/")):
            return _at(ask, urljoin(found.url, cursor))
        return replace(ask, query={**ask.query, pages.name: cursor})
    if count == 0 or (pages.size is not None and count < pages.size):
        return None
    at = pages.first + number if pages.by == "page" else number * (pages.size or count)
    return replace(ask, query={**ask.query, pages.name: at})


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
