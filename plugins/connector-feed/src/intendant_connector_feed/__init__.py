"""Reads RSS, Atom and JSON feeds."""

import asyncio
import json
import re
from calendar import timegm
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from intendant.plugin import (
    ConnectorCall,
    ConnectorError,
    Fetched,
    HttpAsk,
    Json,
    NetworkConnector,
    NetworkSettings,
    Options,
    day_of,
    operation,
    shown,
    strip_html,
)

__all__ = ["FeedConnector", "FeedSettings", "Read"]

_KINDS = (
    "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, "
    "text/xml;q=0.8, */*;q=0.1"
)
_CDATA = re.compile(rb"<!\[CDATA\[.*?\]\]>", re.DOTALL)
_TAG = re.compile(rb"<(/?)([A-Za-z][\w:.-]*)(?:[^<>]*[^<>/])?>")
_VOID = (b"br", b"hr", b"img", b"input", b"link", b"meta", b"p", b"li", b"td", b"tr")
MOST_NESTED = 300
MOST_TEXT = 200_000
"""Characters of one entry's text."""


class FeedSettings(NetworkSettings):
    """Settings of the connector."""

    max_bytes: int = Field(default=5_000_000, ge=1)
    """Maximum size of one feed in bytes, decompressed."""
    max_feeds: int = Field(default=100, ge=1)
    """Maximum number of feeds that one step may read."""
    parallel: int = Field(default=8, ge=1, le=100)
    """How many feeds are fetched in parallel."""


class Read(Options):
    """Which feeds to read, and which of their entries."""

    url: str | list[str] = Field(min_length=1)
    """A feed's address, or a list of them."""
    since: str | None = None
    """A day such as `2026-11-01`: older entries are left out; those without a date are kept."""
    max: int = Field(default=200, ge=1)
    """Maximum number of entries; the newest are kept."""
    text: bool = True
    """Whether to return the full text of entries besides the summary, if the feed contains it."""

    @field_validator("since")
    @classmethod
    def _is_a_day(cls, value: str | None) -> str | None:
        if value is not None and ((found := day_of(value)) is None or found.value is None):
            raise ValueError(f"'{value[:40]}' is no day: write 2026-11-01")
        return value


class FeedConnector(NetworkConnector):
    """Reads RSS, Atom and JSON feeds, newest entries first."""

    name = "feed"
    Settings = FeedSettings

    @operation(side_effects=False)
    async def read(self, parameters: Read, call: ConnectorCall) -> Json:
        """Read the entries of one feed or several, newest first.

        Returns:
            For each entry `id`, `title`, `link`, `author`, `published` and `updated` (ISO 8601, UTC), `summary`,
            `text`, `tags`, `feed` (its title) and `feed_url`. Of an entry that is in several feeds one is kept.

        Raises:
            AddressRefused: An address may not be reached.
            ConnectorError: A feed cannot be read; names it.
        """
        urls = [parameters.url] if isinstance(parameters.url, str) else parameters.url
        if len(urls) > self.settings.max_feeds:
            raise ConnectorError(
                f"{len(urls)} feeds are more than {self.settings.max_feeds}", hint=self.setting("max_feeds")
            )
        gate = asyncio.Semaphore(self.settings.parallel)

        async def one(url: str) -> list[dict[str, Json]]:
            async with gate:
                found = await self.http(HttpAsk(url=url, headers={"Accept": _KINDS}))
            return await asyncio.to_thread(entries_of, found, text=parameters.text)

        read = await asyncio.gather(*(one(url) for url in urls))
        unique: dict[Any, dict[str, Json]] = {}
        for entry in (entry for entries in read for entry in entries):
            unique.setdefault(_identity(entry), entry)
        kept = [entry for entry in unique.values() if _is_since(entry, parameters.since)]
        kept.sort(key=lambda entry: str(entry["published"] or entry["updated"] or ""), reverse=True)
        if len(kept) > parameters.max:
            call.notes.append(
                f"there are {len(kept)} entries, of which the newest {parameters.max} are given: see `max`"
            )
        return list(kept[: parameters.max])


def _identity(entry: dict[str, Json]) -> Any:
    """The same for an entry wherever it is. An id that is no URI, such as `1`, is unique in its feed only."""
    known, link = entry["id"], entry["link"]
    if known is None:
        return link or id(entry)
    return known if ":" in str(known) else (known, link or entry["feed_url"])


def _is_since(entry: dict[str, Json], since: str | None) -> bool:
    when = entry["updated"] or entry["published"]
    first = None if since is None else day_of(since)
    return first is None or when is None or str(when)[:10] >= str(first.value)


def entries_of(found: Fetched, *, text: bool) -> list[dict[str, Json]]:
    """The entries of a feed.

    Raises:
        ConnectorError: It is no feed, or declares entities, by which a few bytes can stand for gigabytes.
    """
    if found.body.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{"):
        return _of_json(found, text=text)
    import feedparser  # type: ignore[import-untyped, unused-ignore]

    if b"<!ENTITY" in found.body.replace(b"\0", b"").upper():
        raise ConnectorError(f"the feed {shown(found.url)} declares entities, which are not read")
    if _depth(found.body) > MOST_NESTED:
        raise ConnectorError(f"the elements of the feed {shown(found.url)} are nested too deep")
    headers = {"content-location": found.url, "content-type": found.headers.get("content-type", "")}
    try:
        feed = feedparser.parse(found.body, response_headers=headers, sanitize_html=False)
    except (ValueError, RecursionError, LookupError) as error:
        raise ConnectorError(f"the feed {shown(found.url)} cannot be read: {error}") from None
    if not feed.entries and (feed.get("bozo") or not feed.get("version")):
        raise _no_feed(found)
    title = _plain(feed.feed.get("title"))
    return [_entry(entry, title, found.url, text=text) for entry in feed.entries]


def _no_feed(found: Fetched) -> ConnectorError:
    return ConnectorError(
        f"{shown(found.url)} is no feed ({found.content_type or 'of no type'})",
        hint="look for its feed's address in the page, or read it with web.page, or http.get where it is JSON",
    )


def _of_json(found: Fetched, *, text: bool) -> list[dict[str, Json]]:
    """The entries of a JSON feed (https://jsonfeed.org/version/1.1).

    Raises:
        ConnectorError: It is none.
    """
    try:
        feed = json.loads(found.body)
    except (ValueError, RecursionError):
        raise _no_feed(found) from None
    items = feed.get("items")
    if "jsonfeed.org" not in str(feed.get("version")) or not isinstance(items, list):
        raise _no_feed(found)
    title = _plain(feed.get("title"))
    return [_json_entry(item, title, found.url, text=text) for item in items if isinstance(item, dict)]


def _json_entry(item: dict[str, Any], title: str | None, url: str, *, text: bool) -> dict[str, Json]:
    authors = item.get("authors") if isinstance(item.get("authors"), list) else [item.get("author")]
    tags = item.get("tags")
    content = _plain(item.get("content_html")) or _text(item.get("content_text"))
    summary = _text(item.get("summary")) or content
    made: dict[str, Json] = {
        "id": _short(None if item.get("id") is None else str(item["id"])),
        "title": _text(item.get("title")),
        "link": _link(item.get("url")) or _link(item.get("external_url")),
        "author": next((_text(one.get("name")) for one in authors or () if isinstance(one, dict)), None),
        "published": _moment(item.get("date_published")),
        "updated": _moment(item.get("date_modified")),
        "summary": summary,
        "tags": [tag for one in tags if (tag := _text(one))] if isinstance(tags, list) else [],
        "feed": title,
        "feed_url": shown(url),
    }
    return {**made, "text": content or summary} if text else made


def _text(value: Any) -> str | None:
    """Plain text."""
    return value[:MOST_TEXT].strip() or None if isinstance(value, str) else None


def _moment(value: Any) -> str | None:
    """A time of RFC 3339 in UTC; None where it has no zone, or is none."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if found is None or found.tzinfo is None else found.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return None


def _depth(data: bytes) -> int:
    """How deep elements are nested at most; the parser takes quadratic time for that."""
    depth = deepest = 0
    for match in _TAG.finditer(_CDATA.sub(b"", data)):
        if match[1]:
            depth = max(0, depth - 1)
        elif match[2].lower() not in _VOID:
            depth += 1
            deepest = max(deepest, depth)
    return deepest


def _entry(entry: Any, title: str | None, url: str, *, text: bool) -> dict[str, Json]:
    summary = _plain(entry.get("summary"))
    content = [_plain(part.get("value")) for part in entry.get("content", ())]
    made: dict[str, Json] = {
        "id": _short(entry.get("id")),
        "title": _plain(entry.get("title")),
        "link": _link(entry.get("link")),
        "author": _plain(entry.get("author")),
        "published": _when(entry.get("published_parsed")),
        "updated": _when(dict.get(entry, "updated_parsed")),
        "summary": summary,
        "tags": [tag for item in entry.get("tags", ()) if (tag := _plain(item.get("term")))],
        "feed": title,
        "feed_url": shown(url),
    }
    if text:
        made["text"] = "\n\n".join(filter(None, content)) or summary
    return made


def _plain(value: Any) -> str | None:
    """HTML as the text that a reader sees."""
    if not isinstance(value, str):
        return None
    return strip_html(value[:MOST_TEXT], links=False).strip() or None


def _short(value: Any) -> str | None:
    return value[:2000] if isinstance(value, str) and value else None


def _link(value: Any) -> str | None:
    """A link of the web; others, such as scripts, are left out."""
    if not isinstance(value, str):
        return None
    try:
        return value[:2000] if urlsplit(value).scheme in ("http", "https") else None
    except ValueError:
        return None


def _when(parsed: Any) -> str | None:
    try:
        return None if parsed is None else datetime.fromtimestamp(timegm(parsed), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
