"""Reads web pages as text, tables and links."""

import asyncio

from pydantic import Field

from intendant.plugin import (
    ConnectorCall,
    ConnectorError,
    Fetched,
    HttpAsk,
    Json,
    NetworkConnector,
    NetworkSettings,
    Options,
    charset_of,
    operation,
    shown,
)
from intendant_connector_web._page import Bounds, read_page

__all__ = ["Page", "Parse", "WebConnector", "WebSettings"]

_KINDS = ("text/html", "application/xhtml+xml")


class WebSettings(NetworkSettings):
    """Settings of the connector."""

    max_cells: int = Field(default=500_000, ge=1)
    """Maximum number of cells in all tables of a page."""
    max_nested: int = Field(default=500, ge=10)
    """Maximum nesting depth of elements."""
    user_agent: str = Field(default="Mozilla/5.0 (compatible; intendant)", min_length=1)
    """The `User-Agent` header."""


class Parse(Options):
    """Which parts of a page to read. The step's input is the page's HTML."""

    select: str | None = Field(default=None, max_length=500)
    """A CSS selector, such as `main` or `table.prices`: only matching elements are read."""
    each: str | None = Field(default=None, max_length=100)
    """What to return of each element that `select` matches, as a list: its `text`, its inner `html`, or the
    attribute of this name."""
    main: bool = True
    """Whether to leave out navigation, headers, footers and forms; if nothing remains, everything is read."""
    tables: bool = True
    """Whether to return tables as records, besides the text."""
    links: bool = False
    """Whether to return the page's links, and to add their addresses after their texts in parentheses."""


class Page(Parse):
    """Which page to read, and which parts of it."""

    url: str = Field(min_length=1)
    headers: dict[str, str] = Field(default_factory=dict)


class WebConnector(NetworkConnector):
    """Reads web pages: their text, tables and links."""

    name = "web"
    Settings = WebSettings

    @operation(side_effects=False)
    async def page(self, parameters: Page, call: ConnectorCall) -> Json:  # noqa: ARG002  # it takes no input
        """Read a web page. Scripts do not run, and hidden content is left out.

        Returns:
            `url` (after redirects), `title`, `description`, `language`, `text`; `tables`, each with `caption`
            and `rows`; `links`, each with `text` and `url`; `each`, a list of texts, null where an element has not
            the attribute, and empty where nothing matches.

        Raises:
            AddressRefused: The address may not be reached.
            ConnectorError: The page cannot be read, or is none.
        """
        headers = {"Accept": "text/html, */*;q=0.5", "User-Agent": self.settings.user_agent, **parameters.headers}
        found = await self.http(HttpAsk(url=parameters.url, headers=headers))
        if found.content_type not in (*_KINDS, "text/plain", ""):
            raise ConnectorError(
                f"{shown(found.url)} is {found.content_type}, not a page",
                hint="see http.get for data, document.read for PDF and workbooks, feed.read for feeds",
            )
        text = _text(found)
        if found.content_type == "text/plain":
            return {"url": found.url, "title": None, "text": text}
        return {"url": found.url, **await self._read(text, found.url, parameters)}

    @operation(side_effects=False)
    async def parse(self, parameters: Parse, call: ConnectorCall) -> Json:
        """Parse HTML that a step already has, such as a file or the body of a mail; nothing is fetched.

        Returns:
            What `page` gives, without `url`; for a list of texts, a list.

        Raises:
            ConnectorError: The input is no HTML.
        """
        texts = call.input if isinstance(call.input, list) else [call.input]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ConnectorError("the input is no text of HTML", hint="give the step the HTML as its `input`")
        found = [await self._read(text, "", parameters) for text in texts]
        return found if isinstance(call.input, list) else found[0]

    async def _read(self, text: str, url: str, parameters: Parse) -> dict[str, Json]:
        """What a page holds; without a *url*, links that are relative lead nowhere and are left out."""
        bounds = Bounds(self.settings.max_cells, self.settings.max_nested)
        try:
            return await asyncio.to_thread(
                read_page,
                text,
                url,
                bounds,
                select=parameters.select,
                main=parameters.main,
                tables=parameters.tables,
                links=parameters.links,
                each=parameters.each,
            )
        except ValueError as error:
            raise ConnectorError(f"{shown(url) if url else 'the HTML'}: {error}") from None


def _text(found: Fetched) -> str:
    """The page as text; undecodable bytes are replaced, as in browsers."""
    for charset in (found.charset, charset_of(found.body), "utf-8"):
        if charset is None:
            continue
        try:
            # What calls itself Latin-1 is read as cp1252, as browsers do.
            name = "cp1252" if charset.lower() in ("iso-8859-1", "latin-1", "ascii", "us-ascii") else charset
            return found.body.decode(name, "replace")
        except (LookupError, UnicodeError, ValueError):
            continue
    return found.body.decode("utf-8", "replace")
