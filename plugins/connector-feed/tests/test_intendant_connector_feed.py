"""What the feed connector promises, against a real server."""

import json
from contextlib import asynccontextmanager

import pytest

from intendant.plugin import ConnectorCall, ConnectorError
from intendant.testing import ConnectorContract, Place, Use, WireServer
from intendant_connector_feed import FeedConnector

CALL = ConnectorCall(None, "k", "r", "s")

RSS = """<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><title>News &amp; more</title>
<item><title>Old</title><link>https://x.example/1</link><guid>1</guid><pubDate>Mon, 02 Mar 2026 08:00:00 +0100</pubDate>
<description>&lt;p&gt;Short &lt;b&gt;one&lt;/b&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;/p&gt;</description></item>
<item><title>New</title><link>javascript:alert(1)</link><guid>2</guid><pubDate>Tue, 03 Mar 2026 08:00:00 GMT</pubDate>
<category>fleet</category><description>Sum</description><content:encoded><![CDATA[<h1>Whole</h1><p>Text</p>]]></content:encoded></item>
<item><title>No date</title><guid>3</guid></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Atom</title>
<entry><id>urn:1</id><title>A</title><link href="/a"/><updated>2026-03-04T10:00:00Z</updated><author><name>Ada</name></author>
<summary>S</summary></entry><entry><id>1</id><title>Twice</title></entry></feed>"""
BOMB = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><rss version="2.0"><channel><title>&b;</title></channel></rss>'


class TestFeedContract(ConnectorContract):
    plugin = FeedConnector
    entry_point = "feed"

    @asynccontextmanager
    async def place(self):
        async with WireServer(lambda _sent: (200, RSS, {})).running() as url:
            yield Place(FeedConnector({"allow": ["127.0.0.1"]}), {"read": Use({"url": url})})


@pytest.fixture
async def feed():
    connector = FeedConnector({"allow": ["localhost"]})
    yield connector
    await connector.close()


async def test_reads_rss_newest_first(feed, httpserver):
    httpserver.expect_request("/rss").respond_with_data(RSS, content_type="application/rss+xml")
    new, old, undated = await feed.do("read", {"url": httpserver.url_for("/rss")}, CALL)
    assert (new["title"], new["published"], new["tags"]) == ("New", "2026-03-03T08:00:00+00:00", ["fleet"])
    assert (new["text"], new["summary"], new["link"]) == ("Whole\n\nText", "Sum", None)
    assert (old["text"], old["published"]) == ("Short one", "2026-03-02T07:00:00+00:00")
    assert (undated["published"], undated["feed"]) == (None, "News & more")


@pytest.mark.parametrize(("most", "noted"), [(1, True), (2, True), (3, False)])
async def test_entries_that_are_left_out_are_said(feed, httpserver, most, noted):
    httpserver.expect_request("/rss").respond_with_data(RSS, content_type="application/rss+xml")
    call = ConnectorCall(None, "k", "r", "s")
    assert len(await feed.do("read", {"url": httpserver.url_for("/rss"), "max": most}, call)) == most
    assert call.notes == (
        [f"there are 3 entries, of which the newest {most} are given: see `max`"] if noted else []
    )


async def test_reads_several_feeds_each_entry_once(feed, httpserver):
    httpserver.expect_request("/rss").respond_with_data(RSS)
    httpserver.expect_request("/atom").respond_with_data(ATOM, content_type="application/atom+xml")
    urls = [httpserver.url_for("/rss"), httpserver.url_for("/atom")]
    entries = await feed.do("read", {"url": urls, "since": "2026-03-03", "text": False}, CALL)
    assert [entry["title"] for entry in entries] == ["A", "New", "No date"]
    assert entries[0]["link"] == httpserver.url_for("/a")
    assert entries[0]["author"] == "Ada"
    assert "text" not in entries[0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_a_feed_that_declares_entities_is_refused(feed, httpserver, encoding):
    httpserver.expect_request("/").respond_with_data(BOMB.encode(encoding), content_type="text/xml")
    with pytest.raises(ConnectorError, match="declares entities"):
        await feed.do("read", {"url": httpserver.url_for("/")}, CALL)


@pytest.mark.parametrize(
    "body", ["<html><body>No feed</body></html>", "", "{}", "\x00\x01" * 100, "<rss" * 20_000]
)
async def test_what_is_no_feed_is_named(feed, httpserver, body):
    httpserver.expect_request("/").respond_with_data(body, content_type="text/html")
    with pytest.raises(ConnectorError, match="is no feed"):
        await feed.do("read", {"url": httpserver.url_for("/")}, CALL)


@pytest.mark.parametrize(
    "body",
    [
        RSS.replace("</item>", "", 1),
        RSS.replace("Mon, 02 Mar 2026", "Someday, 99 Foo 99999"),
        RSS.replace("utf-8", "no-such-charset"),
        RSS[:400],
    ],
)
async def test_a_broken_feed_is_read_as_far_as_it_goes(feed, httpserver, body):
    httpserver.expect_request("/").respond_with_data(body, content_type="application/rss+xml")
    assert isinstance(await feed.do("read", {"url": httpserver.url_for("/")}, CALL), list)


async def test_a_feed_nested_without_end_is_refused(feed, httpserver):
    """The parser takes quadratic time for it, in a thread that cannot be stopped."""
    body = RSS.replace("<title>Old", "<title>" + "<b>" * 100_000 + "Old")
    httpserver.expect_request("/").respond_with_data(body, content_type="application/rss+xml")
    with pytest.raises(ConnectorError, match="nested too deep"):
        await feed.do("read", {"url": httpserver.url_for("/")}, CALL)


async def test_a_day_is_a_day(feed):
    with pytest.raises(ConnectorError, match="is no day"):
        await feed.do("read", {"url": "https://x.example", "since": "soon"}, CALL)


JSON_FEED = {
    "version": "https://jsonfeed.org/version/1.1",
    "title": "J",
    "items": [
        {
            "id": "1",
            "url": "https://j.example/1",
            "title": "One & two",
            "content_html": "<p>hi <b>there</b></p>",
            "date_published": "2026-11-22T01:02:03-05:00",
            "tags": ["x", 5],
            "authors": [{"url": "u"}, {"name": "Bo"}],
        },
        {
            "id": 2,
            "content_text": "a < b",
            "external_url": "javascript:alert(1)",
            "date_published": "yesterday",
            "author": {"name": "Cy"},
        },
        {
            "id": "3",
            "summary": "old",
            "date_modified": "2026-01-01T00:00:00Z",
            "authors": "nobody",
            "tags": "none",
        },
        "no entry",
    ],
}


async def test_reads_a_json_feed(feed, httpserver):
    body = "\ufeff" + json.dumps(JSON_FEED)
    httpserver.expect_request("/").respond_with_data(body.encode(), content_type="application/feed+json")
    ask = {"url": httpserver.url_for("/"), "since": "2026-06-01"}
    one, two = await feed.do("read", ask, CALL)
    assert (one["title"], one["text"], one["link"]) == ("One & two", "hi there", "https://j.example/1")
    assert (one["published"], one["tags"], one["feed"]) == ("2026-11-22T06:02:03+00:00", ["x"], "J")
    assert (two["id"], two["text"], two["link"], two["published"]) == ("2", "a < b", None, None)
    assert two["author"] == "Cy"
    assert set(one) == set(two)
    whole = await feed.do("read", {"url": httpserver.url_for("/")}, CALL)
    assert [entry["id"] for entry in whole] == ["1", "3", "2"]


@pytest.mark.parametrize(
    "body", ['{"items": []}', '{"version": "https://jsonfeed.org/version/1", "items": {}}', "{" * 90_000]
)
async def test_json_that_is_no_feed_is_named(feed, httpserver, body):
    httpserver.expect_request("/").respond_with_data(body, content_type="application/json")
    with pytest.raises(ConnectorError, match="is no feed") as caught:
        await feed.do("read", {"url": httpserver.url_for("/")}, CALL)
    assert "http.get" in caught.value.hint


async def test_ids_that_are_no_uris_are_told_apart_by_feed(feed, httpserver):
    """`1` of one feed and `1` of another are two entries; the same link makes them one."""
    for name, links in (("a", ["https://a.example/1", None]), ("b", ["https://b.example/1", None]), ("c", [])):
        items = [{"id": str(at), "url": link} for at, link in enumerate(links)] or [
            {"id": "0", "url": "https://a.example/1"}
        ]
        httpserver.expect_request(f"/{name}").respond_with_json({**JSON_FEED, "items": items})
    urls = [httpserver.url_for(f"/{name}") for name in "abc"]
    entries = await feed.do("read", {"url": urls}, CALL)
    assert [(entry["id"], entry["link"]) for entry in entries] == [
        ("0", "https://a.example/1"),
        ("1", None),
        ("0", "https://b.example/1"),
        ("1", None),
    ]
