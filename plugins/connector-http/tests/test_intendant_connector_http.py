"""What the http connector promises, against a real server."""

import json
from contextlib import asynccontextmanager

import pytest
from werkzeug import Response

from intendant.plugin import ConnectorCall, ConnectorError, Effect
from intendant.testing import ConnectorContract, Place, Use, WireServer, run_steps
from intendant_connector_http import HttpConnector
from intendant_connector_http._paging import link_of

CALL = ConnectorCall({"from": "input"}, "key-1", "r", "s")
LOCAL = {"allow": ["localhost"]}


class TestHttpContract(ConnectorContract):
    plugin = HttpConnector
    entry_point = "http"

    @asynccontextmanager
    async def place(self):
        async with WireServer(lambda _sent: (200, {"ok": True}, {})).running() as url:
            changing = {"url": url, "json": {"a": 1}}
            uses = {
                "get": Use({"url": url}),
                "post": Use(changing),
                "put": Use(changing),
                "delete": Use({"url": url}),
                "request": Use({**changing, "method": "PATCH"}),
            }
            yield Place(HttpConnector({"allow": ["127.0.0.1"]}), uses)


@pytest.fixture
async def http():
    connector = HttpConnector(LOCAL)
    yield connector
    await connector.close()


@pytest.fixture
def url(httpserver):
    return httpserver.url_for("/api")


def answer(data, **more):
    return Response(json.dumps(data), content_type="application/json", **more)


async def test_reads_data_with_a_query_and_credentials(http, httpserver, url):
    httpserver.expect_request(
        "/api", query_string="q=a+b&tag=1&tag=2&open=true", headers={"Authorization": "Bearer t0ken"}
    ).respond_with_json({"rows": [1]})
    query = {"q": "a b", "tag": [1, 2], "open": True, "none": None}
    assert await http.do("get", {"url": url, "query": query, "auth": {"bearer": "t0ken"}}, CALL) == {"rows": [1]}


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"user": "ada", "password": "pw"}, ("Authorization", "Basic YWRhOnB3")),
        ({"header": "X-Api-Key", "value": "k"}, ("X-Api-Key", "k")),
    ],
)
async def test_credentials_go_into_their_header(http, httpserver, url, auth, header):
    httpserver.expect_request("/api", headers=dict([header])).respond_with_data("ok")
    assert await http.do("get", {"url": url, "auth": auth}, CALL) == "ok"


@pytest.mark.parametrize(
    "auth", [{}, {"user": "a"}, {"bearer": "a", "header": "B", "value": "c"}, {"header": "X"}]
)
async def test_credentials_are_given_in_one_way(http, auth):
    with pytest.raises(ConnectorError, match="auth"):
        await http.do("get", {"url": "https://example.org", "auth": auth}, CALL)


@pytest.mark.parametrize(
    ("given", "body", "kind"),
    [
        ({}, b'{"from": "input"}', "application/json"),
        ({"json": {"a": "\u00fc"}}, '{"a": "\u00fc"}'.encode(), "application/json"),
        ({"body": "plain"}, b"plain", "text/plain; charset=utf-8"),
        ({"form": {"a": 1, "b": "x y"}}, b"a=1&b=x+y", "application/x-www-form-urlencoded"),
    ],
)
@pytest.mark.parametrize("operation", ["post", "put"])
async def test_sends_what_is_given_or_the_input(http, httpserver, url, operation, given, body, kind):
    httpserver.expect_request("/api", method=operation.upper()).respond_with_json({"id": 7}, status=201)
    assert await http.do(operation, {"url": url, **given}, CALL) == {"id": 7}
    request = httpserver.log[0][0]
    assert (request.get_data(), request.content_type) == (body, kind)
    assert request.headers["Idempotency-Key"] == "key-1"


async def test_answers_are_data_text_or_all_of_it(http, httpserver, url):
    httpserver.expect_request("/api").respond_with_data(
        "caf\u00e9".encode("latin-1"), content_type="text/plain; charset=latin-1"
    )
    assert await http.do("get", {"url": url}, CALL) == "caf\u00e9"
    full = await http.do("get", {"url": url, "answer": "full"}, CALL)
    assert (full["status"], full["body"]) == (200, "caf\u00e9")
    with pytest.raises(ConnectorError, match="no JSON"):
        await http.do("get", {"url": url, "answer": "json"}, CALL)


async def test_what_is_no_text_is_refused(http, httpserver, url):
    httpserver.expect_request("/api").respond_with_data(b"\xff\x00%PDF", content_type="application/pdf")
    with pytest.raises(ConnectorError, match="application/pdf, not text") as caught:
        await http.do("get", {"url": url}, CALL)
    assert "document.read" in caught.value.hint


async def test_an_error_says_what_the_server_said(http, httpserver, url):
    httpserver.expect_request("/api").respond_with_data("no such order", status=404)
    with pytest.raises(ConnectorError, match="answered with 404: no such order"):
        await http.do("get", {"url": url}, CALL)
    assert await http.do("get", {"url": url, "accept": [404], "answer": "full"}, CALL)


@pytest.mark.parametrize(
    ("pages", "size"),
    [
        ({"by": "page", "parameter": "p", "items": "rows"}, 2),
        ({"by": "page", "size": 2, "parameter": "p"}, 2),
        ({"by": "offset", "size": 2, "items": "rows"}, 2),
        ({"by": "offset", "items": "rows"}, 2),
        ({"by": "cursor", "cursor": "meta.next"}, 2),
        ({"by": "cursor", "cursor": "rows[-1].after", "more": "meta.more"}, 2),
        ({"by": "cursor", "cursor": "rows[-1].after"}, 2),
        ({"by": "page", "parameter": "p", "more": "meta.more"}, 2),
        ({"by": "cursor", "cursor": "meta.url"}, 2),
        ({"by": "link"}, 2),
    ],
)
async def test_reads_all_pages(http, httpserver, url, pages, size):
    rows = [{"n": n, "after": n + 1} for n in range(5)]

    def page(request):
        args = request.args
        start = int(args.get("offset") or args.get("cursor") or (int(args.get("p", 1)) - 1) * size)
        after = start + size if start + size < len(rows) else None
        meta = {
            "next": after,
            "url": after and f"/api?cursor={after}",
            "more": after is not None or start > len(rows),
        }
        headers = {"Link": f'</api?cursor=0>; rel="first", </api?cursor={after}>; rel="next"'} if after else {}
        return answer({"rows": rows[start : start + size], "meta": meta}, headers=headers)

    httpserver.expect_request("/api").respond_with_handler(page)
    assert await http.do("get", {"url": url, "pages": pages}, CALL) == rows


async def test_pages_that_go_round_or_never_end_are_an_error(http, httpserver, url):
    httpserver.expect_request("/api").respond_with_json({"rows": [1], "next": "same"})
    ask = {"url": url, "pages": {"by": "cursor", "cursor": "next"}}
    with pytest.raises(ConnectorError, match="read already"):
        await http.do("get", ask, CALL)
    with pytest.raises(ConnectorError, match="more than 3 pages"):
        await http.do("get", {"url": url, "pages": {"by": "page", "max": 3}}, CALL)


async def test_a_cursor_that_stays_where_it_is_ends_with_the_first_empty_page(http, httpserver, url):
    def page(request):
        start = int(request.args.get("cursor", 0))
        rows = list(range(start, min(start + 2, 3)))
        return answer({"rows": rows, "next": str(start + len(rows))})

    httpserver.expect_request("/api").respond_with_handler(page)
    call = ConnectorCall(None, "key", "run", "step")
    assert await http.do("get", {"url": url, "pages": {"by": "cursor", "cursor": "next"}}, call) == [0, 1, 2]
    assert call.notes == ["3 pages"]


@pytest.mark.parametrize(
    "said", [{"has_more": True}, {"hasNextPage": True}, {"page": {"info": {"hasMore": True}}}, {"more": True}]
)
async def test_an_answer_that_says_that_more_follows_needs_a_cursor(http, httpserver, url, said):
    """A path that is written wrong would otherwise read the first page only, without a word."""
    httpserver.expect_request("/api").respond_with_json({"rows": [1], "next": "2", **said})
    with pytest.raises(ConnectorError, match=r"says that more follows .* nothing at `pages.cursor` \(nxt\)"):
        await http.do("get", {"url": url, "pages": {"by": "cursor", "cursor": "nxt"}}, CALL)
    with pytest.raises(ConnectorError, match="nothing at `pages.more`"):
        await http.do("get", {"url": url, "pages": {"by": "page", "more": "nope"}}, CALL)


@pytest.mark.parametrize(
    ("pages", "note"),
    [
        ({"by": "cursor", "cursor": "nxt"}, "1 page: its answer has nothing at `pages.cursor` (nxt)"),
        ({"by": "link"}, "1 page: its answer has no link to a next one"),
        ({"by": "page", "size": 50}, "1 page: it has 1 records, fewer than `pages.size`"),
        ({"by": "page", "more": "has_more"}, "1 page"),
    ],
)
async def test_the_notes_say_why_a_single_page_was_the_last(http, httpserver, url, pages, note):
    httpserver.expect_request("/api").respond_with_json({"rows": [1], "next": "2", "has_more": False})
    call = ConnectorCall(None, "key", "run", "step")
    assert await http.do("get", {"url": url, "pages": pages}, call) == [1]
    assert call.notes == [note]


async def test_records_may_be_a_part_of_each_element(http, httpserver, url):
    edges = {"edges": [{"node": {"n": 1}, "tags": [1, 2]}, {"node": {"n": 2}, "tags": [3]}], "next": None}
    httpserver.expect_request("/api").respond_with_json({"data": {"all": edges}})

    async def read(items):
        pages = {"by": "cursor", "cursor": "data.all.next", "items": items}
        return await http.do("get", {"url": url, "pages": pages}, CALL)

    assert await read("data.all.edges[*].node") == [{"n": 1}, {"n": 2}]
    assert await read("data.all.edges[*].tags[*]") == [1, 2, 3]
    assert await read("data.all.edges[*]") == edges["edges"]
    with pytest.raises(ConnectorError, match="no list of records"):
        await read("data.all.egdes[*].node")


@pytest.mark.parametrize("by", ["page", "offset"])
@pytest.mark.parametrize("said", ["more", "total"])
async def test_a_page_that_is_shorter_than_its_size_is_not_the_last_where_the_answer_says_so(
    http, httpserver, url, by, said
):
    """Servers give fewer records at once than were asked for: the rest would be missing without a word."""

    def page(request):
        start = (
            int(request.args.get("offset", 0)) if by == "offset" else (int(request.args.get("page", 1)) - 1) * 2
        )
        meta = {"paging": {"has_more": start + 2 < 5}} if said == "more" else {"meta": {"totalCount": 5}}
        return answer({"rows": list(range(start, min(start + 2, 5))), **meta})

    httpserver.expect_request("/api").respond_with_handler(page)
    call = ConnectorCall(None, "key", "run", "step")
    pages = {"by": by, "size": 50, "items": "rows"}
    assert await http.do("get", {"url": url, "pages": pages}, call) == [0, 1, 2, 3, 4]
    assert call.notes == ["3 pages"]


@pytest.mark.parametrize(
    "total", [{"total": 9}, {"meta": {"totalCount": 9}}, {"page": {"total_elements": 9}}, {"@odata.count": 9}]
)
async def test_fewer_records_than_the_answer_says_there_are_is_noted(http, httpserver, url, total):
    httpserver.expect_request("/api").respond_with_json({"rows": [1, 2], **total})
    call = ConnectorCall(None, "key", "run", "step")
    await http.do("get", {"url": url, "pages": {"by": "link", "items": "rows"}}, call)
    assert "says that there are 9" in call.notes[1]
    assert "2 were read" in call.notes[1]


@pytest.mark.parametrize("total", [{"total": 2}, {"total": 2.5}, {"subtotal": 9}, {"total": True}, {"total": "9"}])
async def test_what_is_no_larger_number_of_records_is_not_noted(http, httpserver, url, total):
    httpserver.expect_request("/api").respond_with_json({"rows": [1, 2], **total})
    call = ConnectorCall(None, "key", "run", "step")
    await http.do("get", {"url": url, "pages": {"by": "page", "size": 50, "items": "rows"}}, call)
    assert len(call.notes) == 1


@pytest.mark.parametrize(
    ("body", "headers", "noted"),
    [
        ([1], {"Link": '</api?p=2>; rel="next"'}, "a link to a next page"),
        ({"rows": [1], "has_more": True}, {}, "`has_more`"),
        ({"value": [1], "@odata.nextLink": "https://x.example/?skip=1"}, {}, "`@odata.nextLink`"),
        ({"rows": [1], "meta": {"next_cursor": "c2"}}, {}, "`meta.next_cursor`"),
        ({"rows": [1], "links": {"next": "/api?p=2"}}, {}, "`links.next`"),
        ({"rows": [1], "next": None, "has_more": False}, {}, ""),
        ({"next": "the dishes", "links": {"next": ""}}, {}, ""),
        ([1], {"Link": '</api?p=1>; rel="prev"'}, ""),
    ],
)
@pytest.mark.parametrize("form", ["auto", "full"])
async def test_pages_that_were_not_read_are_noted(http, httpserver, url, body, headers, noted, form):
    """A step that forgets `pages` would have the first one only, and take it for all."""
    httpserver.expect_request("/api").respond_with_handler(lambda _: answer(body, headers=headers))
    call = ConnectorCall(None, "key", "run", "step")
    await http.do("get", {"url": url, "answer": form}, call)
    assert noted in " ".join(call.notes)
    assert bool(call.notes) == bool(noted)


async def test_lines_of_json_are_data(http, httpserver, url):
    httpserver.expect_request("/api").respond_with_data(b'{"n": 1}\n\n[2]\n', content_type="application/x-ndjson")
    assert await http.do("get", {"url": url}, CALL) == [{"n": 1}, [2]]
    httpserver.clear()
    httpserver.expect_request("/api").respond_with_data(b'{"n": 1}\n{"n"', content_type="application/jsonl")
    with pytest.raises(ConnectorError, match="line 2 of the answer"):
        await http.do("get", {"url": url}, CALL)
    assert await http.do("get", {"url": url, "answer": "text"}, CALL) == '{"n": 1}\n{"n"'


async def test_text_that_cannot_be_decoded_is_said(http, httpserver, url):
    httpserver.expect_request("/api").respond_with_data("Größe".encode("cp1252"), content_type="text/csv")
    call = ConnectorCall(None, "key", "run", "step")
    assert "\ufffd" in str(await http.do("get", {"url": url}, call))
    assert call.notes == [f"2 characters of {url} could not be decoded and are replaced"]


async def test_the_next_page_is_on_the_same_server(http, httpserver, url):
    """Credentials of the first request would go along."""
    httpserver.expect_request("/api").respond_with_json({"rows": [1], "next": "https://evil.example/"})
    with pytest.raises(ConnectorError, match="on another server"):
        await http.do("get", {"url": url, "pages": {"by": "cursor", "cursor": "next"}}, CALL)


async def test_a_page_without_records_is_explained(http, httpserver, url):
    httpserver.expect_request("/api").respond_with_json({"a": [], "b": []})
    with pytest.raises(ConnectorError, match="it has: a, b"):
        await http.do("get", {"url": url, "pages": {"by": "page"}}, CALL)


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<https://x/?p=2>; rel="next", <https://x/?p=9>; rel="last"', "https://x/?p=2"),
        ('<a>; rel="prev", <b>; title="next"; rel=next', "b"),
        ('<a>; rel="prev next"', "a"),
        ('<a>; rel="last"', None),
        ("", None),
        ("<" * 20_000, None),
        ("<a>;" + " ; x" * 5000, None),
    ],
)
def test_link_headers(header, target):
    assert link_of(header) == target


async def test_the_method_says_what_a_request_does(http):
    async def effect(name, **parameters):
        return await http.effect_of(name, http.checked(name, {"url": "https://x.example", **parameters}))

    assert await effect("get") == Effect(side_effects=False, idempotent=True)
    assert await effect("request", method="HEAD") == Effect(side_effects=False, idempotent=True)
    assert await effect("put") == await effect("delete") == Effect(side_effects=True, idempotent=True)
    assert await effect("post") == await effect("request", method="PATCH") == Effect(True, False)


# --- sending exactly once ---


async def post(url, httpserver, **step):
    step = {"id": "a", "intent": "send", "uses": "http.post", "with": {"url": url}, "input": {"n": 1}, **step}
    from intendant.plugin import IntentHandler, IntentSpec, StepResult

    class Send(IntentHandler):
        """Delivers."""

        spec = IntentSpec(name="send", summary="Send", examples=("a",), side_effects=True)

        def needs_model(self, step):
            return False

        async def handle(self, request):
            return StepResult(output=await request.use_connector(request.input))

    retry = {"attempts": 3, "delay": 0.01}
    result = await run_steps([{"retry": retry, **step}], HttpConnector({**LOCAL, "attempts": 1}), Send())
    keys = {request.headers["Idempotency-Key"] for request, _ in httpserver.log}
    return result.steps["a"], len(httpserver.log), keys


async def test_a_post_that_may_have_arrived_is_not_sent_twice(httpserver, url):
    httpserver.expect_request("/api").respond_with_data("", status=500)
    outcome, sent, _ = await post(url, httpserver)
    assert sent == 1
    assert outcome.failure.code == "possibly_sent"
    assert "answered with 500" in outcome.failure.message
    assert "may have been delivered" in outcome.failure.message
    once, _, _ = await post(url, httpserver, retry={"attempts": 1})
    assert once.failure == outcome.failure


async def test_a_post_is_repeated_under_its_key_where_the_author_says_the_peer_knows_it(httpserver, url):
    httpserver.expect_ordered_request("/api").respond_with_data("", status=500)
    httpserver.expect_ordered_request("/api").respond_with_json({"id": 1})
    outcome, sent, keys = await post(url, httpserver, in_doubt="idempotent")
    assert outcome.output == {"id": 1}
    assert sent == 2
    assert len(keys) == 1


async def test_a_post_that_was_refused_is_sent_again(httpserver, url):
    """429 says that it was not taken, so nothing is in doubt."""
    httpserver.expect_ordered_request("/api").respond_with_data("", status=429)
    httpserver.expect_ordered_request("/api").respond_with_json({"id": 1})
    outcome, sent, keys = await post(url, httpserver)
    assert outcome.output == {"id": 1}
    assert (sent, len(keys)) == (2, 1)


async def test_a_post_that_never_left_is_sent_again(httpserver, url):
    outcome, sent, _ = await post("http://localhost:1/", httpserver)
    assert outcome.failure.code == "connector_failed"
    assert "cannot be reached" in outcome.failure.message
    assert outcome.attempts == 3
    assert sent == 0


async def test_a_value_of_a_step_cannot_lead_elsewhere(httpserver):
    """It arrives as one part of the path, slashes and question marks included; the hint of a 404 tells of them."""
    from intendant.plugin import IntentHandler, IntentSpec, StepResult

    class Ask(IntentHandler):
        spec = IntentSpec(name="extract", summary="Read", examples=("Read",))

        def needs_model(self, step):
            return False

        async def handle(self, request):
            return StepResult(output=await request.use_connector(None))

    httpserver.expect_request("/api/patients/1/../2?all").respond_with_json({"id": 1})
    httpserver.expect_request("/api/patients/3/4").respond_with_data("", status=404)
    step = {
        "id": "a",
        "intent": "extract",
        "uses": "http.get",
        "with": {"url": "{{ inputs.api }}/{{ inputs.id }}"},
    }
    given = {"api": httpserver.url_for("/api/patients")}
    for value in ("1/../2?all", "3/4"):
        result = await run_steps([step], Ask(), HttpConnector(LOCAL), inputs={**given, "id": value})
    assert [request.environ["RAW_URI"] for request, _ in httpserver.log] == [
        "/api/patients/1%2F..%2F2%3Fall",
        "/api/patients/3%2F4",
    ]
    assert "%2F is a / within a value" in result.failures["a"].hint


@pytest.mark.parametrize(
    ("body", "kind", "found"),
    [
        ('{"a": "Größe"}'.encode("latin-1"), "application/json; charset=iso-8859-1", {"a": "Größe"}),
        ('{"a": "Größe"}'.encode(), "application/json; charset=iso-8859-1", {"a": "Größe"}),
        ('{"a": "я"}'.encode("cp1251"), "application/json;charset=windows-1251", {"a": "я"}),
        ('{"a": "я"}'.encode("utf-16"), "application/json", {"a": "я"}),
        (b'\xef\xbb\xbf{"a": 1}', "application/json", {"a": 1}),
        ('{"a": "é"}\n[1]\n'.encode("latin-1"), "application/x-ndjson; charset=latin1", [{"a": "é"}, [1]]),
    ],
)
async def test_json_is_read_in_the_encoding_that_it_has_or_names(http, httpserver, url, body, kind, found):
    httpserver.expect_request("/api").respond_with_data(body, content_type=kind)
    assert await http.do("get", {"url": url}, CALL) == found


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b'{"a": NaN}', "application/json", "it has NaN, which JSON has not"),
        (b"[-Infinity]", "application/json", "it has -Infinity"),
        (b'{"a": "\xe9"}', "application/json; charset=no-such", "is no JSON"),
        (b'{"a": "\xe9"}', "application/json", "is no JSON"),
    ],
)
async def test_what_is_no_json_is_an_error_that_says_why(http, httpserver, url, body, kind, says):
    httpserver.expect_request("/api").respond_with_data(body, content_type=kind)
    with pytest.raises(ConnectorError, match=says) as caught:
        await http.do("get", {"url": url}, CALL)
    assert caught.value.hint == "`answer: text` gives it as it is"
