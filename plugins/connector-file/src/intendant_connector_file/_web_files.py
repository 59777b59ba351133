"""Files on web servers: patterns are looked up in the listings that servers give of their folders."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from html import unescape
from urllib.parse import unquote, urljoin, urlsplit

from intendant.plugin import ConnectorError, HttpAsk, NetworkConnector, shown
from intendant_connector_file._remote import Entry, too_large

_HREF = re.compile(
    r"""\bhref\s{0,9}=\s{0,9}(?:"([^"<>]{0,2000})"|'([^'<>]{0,2000})'|([^\s"'<>]{1,2000}))""", re.IGNORECASE
)
PAGES = ("text/html", "application/xhtml+xml")


class Reach(NetworkConnector):
    """Asks web servers under the settings of the connector."""

    name = "file"

    def setting(self, name: str) -> str:
        """How users call a setting: the size is the step's own."""
        return "`max_bytes` of the step" if name == "max_bytes" else super().setting(name)


class WebFiles:
    """Files on a web server.

    Args:
        reach: Sends the requests.
        headers: Sent with each.
    """

    def __init__(self, reach: Reach, headers: Mapping[str, str]) -> None:
        self._reach = reach
        self._headers = headers

    async def entries(self, folder: str, head: str) -> AsyncIterator[Entry]:  # noqa: ARG002  # servers list all
        """The files and folders to which the page of a folder has links."""
        found = await self._reach.http(HttpAsk(url=folder, headers=self._headers))
        if found.content_type not in PAGES:
            kind = found.content_type or "nothing that says what it is"
            raise ConnectorError(
                f"{shown(folder)} is no page with links to files, but {kind}",
                hint="a pattern needs a server that lists its folders; otherwise name one file",
            )
        if urlsplit(found.url)[:2] != urlsplit(folder)[:2]:  # credentials would go to another server
            raise ConnectorError(
                f"{shown(folder)} leads to another server, {shown(found.url)}", hint="give that address"
            )
        text = found.body.decode(found.charset or "utf-8", "replace") if _known(found.charset) else ""
        for entry in await asyncio.to_thread(links, text or found.body.decode("utf-8", "replace"), found.url):
            yield entry

    async def load(self, address: str, most: int) -> bytes:
        """What a file holds."""
        found = await self._reach.http(HttpAsk(url=address, headers=self._headers))
        if len(found.body) > most:
            raise too_large(shown(address))
        return found.body

    async def close(self) -> None:
        """Close the connections."""
        await self._reach.close()


def _known(charset: str | None) -> bool:
    import codecs

    try:
        codecs.lookup(charset or "utf-8")
    except (LookupError, ValueError):
        return False
    return True


def links(page: str, url: str) -> list[Entry]:
    """The files and folders directly in the folder at *url* to which its page has links."""
    base = urljoin(url, ".")
    names: dict[str, str] = {}
    for found in _HREF.finditer(page):
        href = unescape(found[1] or found[2] or found[3] or "").strip()
        try:
            target = urljoin(url, href)
            parts = urlsplit(target)
        except ValueError:
            continue
        rest = target.removeprefix(base)
        if parts.query or parts.fragment or not target.startswith(base):
            continue
        name = unquote(rest.removesuffix("/"))
        if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable():
            continue
        names[name] = target
    return [Entry(name, address) for name, address in names.items()]
