"""The dashboard over a real loopback server and real runs: what pages show, who gets in, and what nobody can break."""

import json
import os
import re
import socket
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

import httpx2
import pytest
from hypothesis import HealthCheck, given, seed, settings, strategies as st
from starlette.applications import Starlette

from intendant import RunStatus, SettingsError
from intendant_dashboard import dashboard
from intendant_dashboard._attempts import MOST_ADDRESSES, MOST_WRONG, WINDOW_SECONDS, Attempts

TOKEN, READ_TOKEN = "an-operator's-token", "a-reader's-token"
EVIL = "<script>alert(1)</script>"
BAD_REQUESTS = int(os.environ.get("INTENDANT_BAD_REQUESTS", "200"))
ACTIONS = [
    "/run/act",
    "/run/rate",
    "/run/fork",
    "/approve",
    "/doubt",
    "/setting",
    "/settings/rollback",
    "/flags",
    "/budgets",
    "/agent/forget",
    "/sign-out",
]


def pages(site) -> list[str]:
    one, two, three = site.failed, site.completed, site.waiting
    found = ["/", "/runs", "/runs?status=failed", "/compare", f"/compare?a={one}&b={two}", "/decisions", "/alerts"]
    found += [
        f"/compare/step?a={one}&b={two}&step=read",
        "/money",
        "/money?by=day",
        "/money?by=intent",
        "/budgets",
    ]
    found += ["/routing", "/refusals", "/settings", "/setting?key=budget.strategy", "/setting?key=flags.shadow"]
    found += [
        "/settings/history",
        "/flags",
        "/flags?agent=mailer",
        "/audit",
        "/audit?severity=critical",
        "/plugins",
    ]
    found += ["/agents", f"/agent?{urlencode({'name': 'mailer'})}"]
    for run in (one, three):
        found += [f"/run?id={run}", f"/run/graph?id={run}", f"/run/money?id={run}", f"/run/compression?id={run}"]
        found += [f"/run/refusals?id={run}", f"/run/events?id={run}", f"/run/fork?id={run}"]
        found += [f"/step?run={run}&step=read", f"/step?run={run}&step={quote('label[0]')}"]
    return found


def elements(text: str) -> list[tuple[str, dict[str, str]]]:
    """The elements of a page, and their attributes, as browsers see them."""
    found: list[tuple[str, dict[str, str]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append((tag, {name: value or "" for name, value in attrs}))

    Reader().feed(text)
    return found


def csrf_of(text: str) -> str:
    return re.search(r'name="csrf" value="([0-9a-f]{64})"', text)[1]


def posted(site, client, path: str, **form):
    return client.post(path, data={"csrf": csrf_of(client.get("/settings/history").text), **form})


# --- what pages show ---


def test_every_page_answers_with_a_policy_that_admits_nothing_from_outside(site) -> None:
    with site.client(TOKEN) as client:
        for path in pages(site):
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.text[-400:])
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"
            for tag, attributes in elements(answer.text):
                assert tag != "style", path
                assert tag != "script" or "src" in attributes, path
                assert not [name for name in attributes if name == "style" or name.startswith("on")], path
                for name in {"src", "href", "action", "hx-get", "hx-sse:connect"} & set(attributes):
                    assert re.match(r"[/#](?!/)", attributes[name]), (path, attributes)


def test_every_page_can_be_used_with_a_screen_reader(site) -> None:
    """A language, one heading of the first level, landmarks, a caption for each table, a label for each field."""
    with site.client(TOKEN) as client:
        for path in pages(site):
            text = client.get(path).text
            assert '<html lang="en">' in text
            assert len(re.findall(r"<h1", text)) == 1, path
            assert text.count("<main") == text.count('<nav aria-label="Pages"') == 1
            assert text.count("<table") == text.count("<caption"), path
            for field in re.findall(r"<(?:input|select|textarea)[^>]*>", text):
                if 'type="hidden"' in field:
                    continue
                before = text[: text.index(field)]
                assert before.rfind("<label") > before.rfind("</label>"), (path, field)


def test_names_are_shown_as_text_whatever_is_in_them(site) -> None:
    with site.client(TOKEN) as client:
        for path in [*pages(site), f"/audit?{urlencode({'text': EVIL})}", f"/runs?{urlencode({'agent': EVIL})}"]:
            assert EVIL not in client.get(path).text, path
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in client.get(f"/run?id={site.failed}").text


def test_a_run_shows_its_steps_with_tokens_money_and_budgets(site) -> None:
    with site.client(TOKEN) as client:
        text = client.get(f"/run?id={site.completed}").text
        row = re.search(r"<tr><th scope=\"row\"><a[^>]*>read</a>.*?</tr>", text, re.DOTALL)[0]
        figures = site.do(site.service.operations.figures_of(site.completed))
        step = next(each for each in figures.steps if each.step == "read")
        assert f'<td class="n">{step.used}</td>' in row
        assert "completed" in row
        assert "scripted/scripted-1" in row
        assert "the whole run" in text
        assert "40,000" in text
        assert '<svg class="bar" role="img"' in row


def test_filters_stand_in_the_address(site) -> None:
    with site.client(TOKEN) as client:
        text = client.get("/runs?status=failed&agent=").text
        assert site.failed in text
        assert site.completed not in text
        assert '<option value="failed" selected>' in text
        assert client.get("/runs?status=nonsense").status_code == 400
        for status in RunStatus:
            assert client.get(f"/runs?status={status.value}").status_code == 200, status
        assert client.get("/runs?since=yesterday").status_code == 400
        assert "yesterday&#39; is no day" in client.get("/runs?since=yesterday").text


def test_lists_are_paged(site) -> None:
    with site.client(TOKEN) as client:
        rows = site.do(site.service.operations.runs())
        text = client.get(f"/runs?before={rows[0].created_at:.9f}").text
        assert rows[0].id not in text
        assert rows[1].id in text
        first = client.get(f"/audit?run={site.waiting}&type=").text
        assert "Search on" not in first or "from=" in first


def test_a_refusal_says_why(site) -> None:
    with site.client(TOKEN) as client:
        assert "Not today" in client.get(f"/run/refusals?id={site.failed}").text
        text = client.get("/refusals?type=step_failed").text
        assert "Not today" in text
        assert "resume the run" in text


def test_what_is_not_there_is_said_with_what_to_do(site) -> None:
    with site.client(TOKEN) as client:
        for path in ("/run?id=r_nothing", f"/step?run={site.completed}&step=nothing", "/setting?key=nothing"):
            answer = client.get(path)
            assert answer.status_code in (400, 404)
            assert "no " in answer.text
        assert client.get("/nothing").status_code == 404


def test_pages_and_changes_are_the_same_over_postgresql(server_site) -> None:
    site = server_site
    with site.signed_in() as client:
        for path in pages(site):
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.text[-400:])
        assert "not today" in client.get("/audit?severity=critical&text=not+today").text
        assert client.get(f"/original?run={site.compressed}&handle={site.original}").status_code == 200
        form = {"run": site.waiting, "step": "send", "verdict": "approved", "go_on": "1"}
        assert posted(site, client, "/approve", **form).status_code == 303
        site.until(lambda: site.status(site.waiting) == "completed")
        limit = {"kind": "agent", "name": "mailer", "per": "day", "tokens": "90000", "usd": "0.5"}
        assert posted(site, client, "/budgets", **limit).status_code == 303
        assert "90,000" in client.get("/budgets").text
        change = {"key": "classification.threshold", "value": "0.81", "version": "0"}
        assert posted(site, client, "/setting", **change).status_code == 303
        assert site.service.settings.classification.threshold == 0.81
        answer = posted(site, client, "/run/fork", run=site.completed, step="label", inputs="")
        made = answer.headers["location"].partition("id=")[2]
        site.until(lambda: site.status(made) == "completed")
        with client.stream("GET", f"/run/live?id={made}") as live:
            assert "event: ended" in live.read().decode()


# --- what happens is seen ---


def test_a_run_is_watched_while_it_runs(site) -> None:
    site.handler.may_go_on.clear()
    run = site.begin(site.flow("slow letters", site.SLOW))
    with site.client(TOKEN, timeout=30) as client, client.stream("GET", f"/run/live?id={run}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        text, went_on = "", False
        for piece in answer.iter_text():
            text += piece
            if not went_on and re.search(r"class=\"now\".*?>slow</a>", text, re.DOTALL):
                went_on = True
                site.handler.may_go_on.set()
        assert went_on
        assert "event: ended" in text
        assert 's-completed">completed' in text.rpartition('data: <dl class="tiles">')[2]
    assert site.status(run) == "completed"


# --- decisions and changes ---


def test_an_approval_is_recorded_under_the_name_of_who_is_signed_in(site) -> None:
    run = site.run(site.flow("asks twice", site.SEND))
    with site.signed_in() as client:
        assert "Send?" in client.get("/decisions").text
        answer = posted(site, client, "/approve", run=run, step="send", verdict="approved", note="fine", go_on="1")
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/run?id={run}"
        site.until(lambda: site.status(run) == "completed")
        events = site.do(site.service.operations.events(run, kinds=("approval_decided",)))
        assert json.loads(events[0].data)["by"] == ["ada"]


def test_a_denied_step_fails_and_others_may_not_decide(site) -> None:
    run = site.run(site.flow("only bo decides", {**site.SEND, "approve": {"ask": "Send?", "by": ["bo"]}}))
    with site.signed_in() as client:
        answer = posted(site, client, "/approve", run=run, step="send", verdict="approved")
        assert answer.status_code == 400
        assert "may not decide" in answer.text
        assert posted(site, client, "/approve", run=run, step="send", verdict="maybe").status_code == 400


@pytest.mark.parametrize(
    ("form", "tokens"),
    [
        ({"decision": "drop"}, 0),
        ({"decision": "retry"}, None),
        ({"decision": "settle", "input_tokens": "11", "output_tokens": "3", "answer": "what it said"}, 14),
    ],
)
def test_a_call_in_doubt_is_decided(site, form, tokens) -> None:
    run = site.doubtful()
    (row,) = [each for each in site.do(site.service.operations.doubts()) if each.hold.run_id == run]
    with site.signed_in() as client:
        assert row.hold.key[:12] in client.get("/decisions").text
        assert posted(site, client, "/doubt", hold=row.hold.key, decision="perhaps").status_code == 400
        assert posted(site, client, "/doubt", hold=row.hold.key, decision="settle").status_code == 400
        assert posted(site, client, "/doubt", hold=row.hold.key, **form).status_code == 303
        assert row.hold.key[:12] not in client.get("/decisions").text
        (event,) = site.do(site.service.operations.events(run, kinds=("doubt_decided",)))
        assert (json.loads(event.data)["by"], json.loads(event.data)["decision"]) == ("ada", form["decision"])
        spent = site.do(site.service.operations.budgets(run))[0].spent_tokens
        assert spent == (row.hold.tokens if tokens is None else tokens)
        posted(site, client, "/run/act", run=run, what="resume")
        site.until(lambda: site.status(run) == "completed")


def test_a_setting_is_changed_with_its_history_and_taken_back(site) -> None:
    key = "classification.threshold"
    with site.signed_in() as client:
        version = site.service.settings.version
        form = {"key": key, "value": "0.81", "version": str(version), "note": "to be sure"}
        assert posted(site, client, "/setting", **form).status_code == 303
        assert site.service.settings.classification.threshold == 0.81
        text = client.get(f"/setting?key={key}").text
        assert "to be sure" in text
        assert "ada" in text
        assert "database" in text
        late = posted(site, client, "/setting", **form)
        assert late.status_code == 400, "somebody else has changed it since"
        wrong = posted(site, client, "/setting", key=key, value="7", version=str(version + 1))
        assert wrong.status_code == 400
        assert posted(site, client, "/setting", key=key, version=str(version + 1), what="reset").status_code == 303
        assert site.service.settings.classification.threshold != 0.81
        assert posted(site, client, "/settings/rollback", version=str(version + 1)).status_code == 303
        assert site.service.settings.classification.threshold == 0.81
        assert posted(site, client, "/setting", key="store.db", value="x", version="0").status_code == 400


def test_flags_are_switched_rolled_out_and_put_under_guard(site) -> None:
    with site.signed_in() as client:
        assert (
            posted(site, client, "/flags", flag="shadow", what="percent", percent="25", by="user").status_code
            == 303
        )
        assert site.service.settings.flags.shadow.percent == 25
        assert posted(site, client, "/flags", flag="shadow", what="guard").status_code == 303
        text = client.get("/flags").text
        assert "Under guard since" in text
        assert posted(site, client, "/flags", flag="shadow", what="off").status_code == 303
        assert site.service.settings.flags.shadow is False
        assert posted(site, client, "/flags", flag="nothing", what="on").status_code == 400


def test_a_standing_limit_is_set_shown_changed_and_taken_away(site) -> None:
    with site.signed_in() as client:
        form = {"kind": "agent", "name": "spender", "per": "day"}
        answer = posted(site, client, "/budgets", **form, tokens="5000", usd="0.25")
        assert answer.status_code == 303, answer.text
        (row,) = [one for one in site.do(site.service.operations.limits()) if one.scope == "agent:spender"]
        assert (row.limit_tokens, row.limit_micro) == (5000, 250_000)
        text = client.get("/budgets?scope=agent:spender&per=day").text
        assert 'value="5000"' in text
        assert 'value="0.25"' in text
        assert "How limits were set" in text
        assert posted(site, client, "/budgets", **form, tokens="6000", usd="").status_code == 303
        (row,) = [one for one in site.do(site.service.operations.limits()) if one.scope == "agent:spender"]
        assert (row.limit_tokens, row.limit_micro) == (6000, None)
        for wrong in ({"tokens": "-1"}, {"tokens": "1.5"}, {"usd": "1e9"}, {"usd": "1" * 12}, {"per": "week"}):
            assert posted(site, client, "/budgets", **{**form, **wrong}).status_code == 400, wrong
        for wrong in ({"kind": "nobody"}, {"name": ""}, {"kind": "tenant", "name": "another"}):
            assert posted(site, client, "/budgets", **{**form, **wrong, "tokens": "1"}).status_code == 400, wrong
        assert posted(site, client, "/budgets", **form, tokens="", usd="").status_code == 303
        assert not [one for one in site.do(site.service.operations.limits()) if one.scope == "agent:spender"]


def test_a_limit_that_was_set_here_refuses_a_run(site) -> None:
    with site.signed_in() as client:
        form = {"kind": "agent", "name": "poor", "per": "month", "tokens": "1", "usd": ""}
        assert posted(site, client, "/budgets", **form).status_code == 303
        run = site.run(site.flow("too dear", agent="poor"))
        assert site.status(run) == "refused"
        assert run in client.get("/runs?status=refused").text
        text = client.get(f"/run/refusals?id={run}").text
        assert "agent:poor" in text
        assert "are left. Raise the limit" in text, "a message and its hint are two sentences"


def test_the_share_of_completed_runs_counts_those_that_ended(site) -> None:
    """A run that waits has not ended, however often somebody looks."""
    operations = site.service.operations
    site.do(operations.rules())
    ids = {one.run_id for one in site.do(operations.newest_figures(500))}
    assert site.completed in ids
    assert site.waiting not in ids


def test_a_run_is_branched_from_a_step_rated_and_compared(site) -> None:
    with site.signed_in() as client:
        answer = posted(site, client, "/run/fork", run=site.completed, step="label", inputs="", dry="1")
        assert answer.status_code == 303, answer.text
        made = answer.headers["location"].partition("id=")[2]
        assert made != site.completed
        site.until(lambda: site.status(made) == "completed")
        text = client.get(f"/compare?a={site.completed}&b={made}").text
        assert "taken over" in text, "what the new run did not do again"
        assert "pending" not in text
        assert posted(site, client, "/run/rate", run=made, rating="4", comment="good").status_code == 303
        assert "Rated <b>4</b>" in client.get(f"/run?id={made}").text
        assert posted(site, client, "/run/rate", run=made, rating="9").status_code == 400
        assert posted(site, client, "/run/fork", run=site.completed, step="label", inputs="[1]").status_code == 400


def test_a_failed_run_is_resumed_and_a_running_one_is_cancelled(site) -> None:
    site.handler.may_go_on.clear()
    run = site.begin(site.flow("to be cancelled", site.SLOW))
    with site.signed_in() as client:
        assert posted(site, client, "/run/act", run=run, what="cancel").status_code == 303
        assert site.status(run) == "cancelled"
        site.handler.may_go_on.set()
        assert posted(site, client, "/run/act", run=run, what="resume").status_code == 303
        site.until(lambda: site.status(run) == "completed")
        assert posted(site, client, "/run/act", run=run, what="explode").status_code == 400


# --- who gets in ---


def test_nothing_is_shown_without_a_token(site) -> None:
    with site.client() as client:
        for path in [*pages(site), "/report", "/run/live?id=last", "/original?run=last&handle=x"]:
            answer = client.get(path)
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/sign-in"), path
            assert not answer.content
        plain = client.get("/runs", headers={"accept": "*/*"})
        assert (plain.status_code, plain.headers["www-authenticate"]) == (401, "Bearer")
        for path in ACTIONS:
            assert client.post(path, data={"run": "last"}).status_code == 401, path
        assert client.get("/static/dashboard.css").status_code == 200


def test_a_session_is_opened_with_the_token_alone_and_closed_again(site) -> None:
    with site.client() as client:
        client.headers["origin"] = site.base
        wrong = client.post("/sign-in", data={"token": f"{TOKEN}x"})
        assert wrong.status_code == 401
        assert "not known" in wrong.text
        assert "set-cookie" not in wrong.headers
        right = client.post("/sign-in", data={"token": TOKEN, "next": "/runs?status=failed"})
        assert right.headers["location"] == "/runs?status=failed"
        cookie = right.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert client.get("/runs").status_code == 200
        assert posted(site, client, "/sign-out").headers["location"] == "/sign-in"
        client.cookies.clear()
        assert client.get("/runs").status_code == 303


def test_an_address_that_was_wrong_too_often_is_not_listened_to_for_a_while(site) -> None:
    """Not even with the right token: else guessing went on. Sessions that are open go on."""
    now = [1000.0]
    attempts = Attempts(clock=lambda: now[0])
    app = dashboard(site.service, token=TOKEN, hosts=("testserver",))
    guard_of(app)._keys.attempts = attempts

    async def sign_in(client, token: str):
        return await client.post("/sign-in", data={"token": token}, headers={"origin": "http://testserver"})

    async def tried() -> None:
        transport = httpx2.ASGITransport(app, client=("192.0.2.7", 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            assert (await sign_in(client, TOKEN)).status_code == 303
            for _ in range(50):
                assert (await sign_in(client, "set up wrong")).status_code == 401
            for number in range(MOST_WRONG - 1):
                assert (await sign_in(client, f"guess {number}")).status_code == 401
            refused = await sign_in(client, TOKEN)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) == WINDOW_SECONDS + 1
            assert (await client.get("/runs")).status_code == 200
            bearer = await client.get("/runs", headers={"authorization": f"Bearer {TOKEN}"})
            assert bearer.status_code == 429
            now[0] += WINDOW_SECONDS
            assert (await sign_in(client, TOKEN)).status_code == 303
        other = httpx2.ASGITransport(app, client=("192.0.2.8", 1))
        async with httpx2.AsyncClient(transport=other, base_url="http://testserver") as client:
            assert (await sign_in(client, TOKEN)).status_code == 303

    site.do(tried())


def guard_of(app):
    return app.routes[0].app


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_an_address_is_that_of_a_network(one: str, other: str, same: bool) -> None:
    attempts = Attempts()
    for number in range(MOST_WRONG):
        attempts.failed(one, f"guess {number}")
    assert attempts.wait(one) > 0
    assert (attempts.wait(other) > 0) == same


def test_few_addresses_are_remembered() -> None:
    attempts = Attempts()
    for number in range(MOST_ADDRESSES + 50):
        attempts.failed(f"host {number}", "wrong")
    assert len(attempts._wrong) == MOST_ADDRESSES


@pytest.mark.parametrize(
    "aim", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_signing_in_leads_to_no_other_site(site, aim: str) -> None:
    with site.client() as client:
        client.headers["origin"] = site.base
        assert client.post("/sign-in", data={"token": TOKEN, "next": aim}).headers["location"] == "/"


def test_a_forged_cookie_opens_nothing(site) -> None:
    with site.signed_in() as client:
        ((name, value),) = dict(client.cookies).items()
    payload, signature = value.split(".")
    other = dashboard_cookie(site, READ_TOKEN)
    forged = [
        payload,
        f"{payload}.",
        f"{payload}.{'0' * 64}",
        f"{other.split('.')[0]}.{signature}",
        "",
        ".",
        "a.b",
    ]
    forged += [
        f"{payload[:-4]}AAAA.{signature}",
        f"e30=.{signature}",
        f"{'A' * 5000}.{signature}",
        f"{payload}.\u00e9",
    ]
    with site.client() as client:
        for cookie in forged:
            headers = [(b"cookie", f"{name}={cookie}".encode("latin-1"))]
            assert client.get("/runs", headers=headers).status_code == 303, cookie
        assert client.get("/runs", headers={"cookie": f"{name}={value}"}).status_code == 200


def dashboard_cookie(site, token: str) -> str:
    with site.signed_in(token) as client:
        return next(iter(dict(client.cookies).values()))


def test_a_reader_reads_everything_and_changes_nothing(site) -> None:
    with site.signed_in(READ_TOKEN) as client:
        for path in pages(site):
            assert client.get(path).status_code == 200, path
        before = site.service.settings.version
        for path in (path for path in ACTIONS if path != "/sign-out"):
            answer = posted(
                site, client, path, run=site.waiting, step="send", verdict="approved", flag="shadow", what="on"
            )
            assert answer.status_code == 403, path
        assert site.service.settings.version == before
        assert site.status(site.waiting) == "waiting"
    with site.client(READ_TOKEN) as client:
        assert client.post("/flags", data={"flag": "shadow", "what": "on"}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "", "sec-fetch-site": "cross-site"},
        {"origin": "", "sec-fetch-site": "same-site"},
        {"origin": ""},
    ],
)
def test_a_form_of_another_site_changes_nothing(site, headers) -> None:
    with site.signed_in() as client:
        before = site.service.settings.version
        token = csrf_of(client.get("/settings/history").text)
        del client.headers["origin"]
        sent = {name: value for name, value in headers.items() if value}
        form = {"csrf": token, "flag": "shadow", "what": "on"}
        assert client.post("/flags", data=form, headers=sent).status_code == 403
        assert site.service.settings.version == before


def test_a_form_needs_the_mark_of_its_session(site) -> None:
    with site.signed_in() as client, site.signed_in() as other:
        token = csrf_of(other.get("/settings/history").text)
        for form in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": token}):
            answer = client.post("/flags", data={**form, "flag": "shadow", "what": "on"})
            assert answer.status_code == 403, form


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]"])
def test_another_host_name_is_refused(site, host: str) -> None:
    """A site that makes its own name resolve to 127.0.0.1 gets nothing (DNS rebinding)."""
    with site.client(TOKEN) as client:
        answer = client.get("/runs", headers={"host": host})
        assert answer.status_code in (400, 421)
        assert site.completed not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../__init__.py",
        "/static/..%2f__init__.py",
        "/static/%2e%2e/%2e%2e/pyproject.toml",
        "/static/vendor/../../_app.py",
        "/static//etc/passwd",
        "/static/vendor",
        "/static/",
        "/static/vendor/%00",
        "/static/dashboard.css/",
    ],
)
def test_no_path_leads_out_of_the_files_that_are_served(site, path: str) -> None:
    with socket.create_connection(("127.0.0.1", site.port)) as made:
        made.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: made.recv(65536), b""))
    assert re.match(rb"HTTP/1.1 (400|401|404) ", answer), answer[:80]
    assert b"import" not in answer


def test_tokens_have_to_be_given_and_to_differ(site) -> None:
    for tokens in ("", {}, {"a": "x", "b": "x"}, {"a": ""}):
        with pytest.raises(SettingsError):
            dashboard(site.service, token=tokens)
    with pytest.raises(SettingsError):
        dashboard(site.service, token="x", read_token="x")


# --- what nobody can break ---

PATHS = st.sampled_from(
    [
        "/",
        "/runs",
        "/run",
        "/run/graph",
        "/run/money",
        "/run/compression",
        "/run/refusals",
        "/run/events",
        "/run/fork",
        "/step",
        "/original",
        "/compare",
        "/compare/step",
        "/money",
        "/budgets",
        "/routing",
        "/refusals",
        "/audit",
        "/settings",
        "/setting",
        "/settings/history",
        "/flags",
        "/plugins",
        "/agents",
        "/agent",
        "/decisions",
        "/alerts",
        "/sign-in",
        "/static/x",
        "/nothing",
    ]
)
NAMES = st.sampled_from(
    [
        "id",
        "run",
        "step",
        "a",
        "b",
        "key",
        "name",
        "q",
        "group",
        "which",
        "status",
        "agent",
        "workflow",
        "since",
        "until",
        "before",
        "after",
        "type",
        "severity",
        "text",
        "from",
        "by",
        "handle",
        "kind",
        "state",
        "next",
        "csrf",
        "what",
        "flag",
        "value",
        "version",
        "verdict",
        "hold",
        "decision",
        "inputs",
        "tokens",
        "rating",
        "percent",
    ]
)
VALUES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["last", "", "-1", "0", "1e999", "NaN", "9" * 30, "../..", "\x00", "' OR 1=1 --", "{{7*7}}", "%", "_"]
    ),
)
FIELDS = st.dictionaries(NAMES, VALUES, max_size=5)
BODIES = st.one_of(FIELDS.map(lambda form: urlencode(form, errors="replace").encode()), st.binary(max_size=200))
TYPES = st.sampled_from(
    ["application/x-www-form-urlencoded", "application/json", "multipart/form-data", "", "\u00e9"]
)


@seed(int(os.environ.get("INTENDANT_SEED", "1")))
@settings(max_examples=BAD_REQUESTS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]),
    path=st.one_of(PATHS, st.sampled_from(ACTIONS), st.text(max_size=30).map(lambda text: f"/{text}")),
    query=FIELDS,
    body=BODIES,
    kind=TYPES,
    token=st.sampled_from([TOKEN, READ_TOKEN, None, "wrong"]),
)
def test_no_request_breaks_a_page(site, method, path, query, body, kind, token) -> None:
    """Whatever is asked for is answered, never with an error of the server; and only those who are known see a run."""
    target = quote(path, errors="replace") + (f"?{urlencode(query, errors='replace')}" if query else "")
    with site.client(token, timeout=20) as client:
        headers = {"content-type": kind.encode("latin-1")} if kind else {}
        answer = client.request(method, target, content=body, headers=headers)
    assert answer.status_code < 500, (method, target, answer.text[-300:])
    if token not in (TOKEN, READ_TOKEN):
        assert site.completed not in answer.text
        assert answer.status_code in (200, 303, 400, 401, 403, 404, 405, 413, 415)
        assert answer.status_code != 200 or "Sign in" in answer.text or path.startswith("/sign-in")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00" * 50,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"A" * 70_000,
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_what_is_no_http_breaks_nothing(site, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as made:
        made.sendall(sent)
        made.shutdown(socket.SHUT_WR)
        while made.recv(65536):
            pass
    with site.client(TOKEN) as client:
        assert client.get("/runs").status_code == 200


def test_a_form_that_is_too_long_is_refused(site) -> None:
    with site.client(TOKEN) as client:
        assert client.post("/flags", data={"note": "x" * 1_100_000}).status_code == 413
        assert client.post("/flags", data={f"f{number}": "" for number in range(300)}).status_code == 400
        assert client.get(f"/audit?text={'x' * 3000}").status_code == 400


# --- where it stands ---


def test_it_mounts_into_a_hosts_application_in_one_line(site, tmp_path) -> None:
    import uvicorn

    host = Starlette()
    host.mount("/ops/intendant", dashboard(site.service, token=TOKEN))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(host, log_level="critical"))

    async def serve() -> None:
        await server.serve([listening])

    import asyncio

    done = asyncio.run_coroutine_threadsafe(serve(), site.loop)
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    site.until(lambda: server.started)
    with httpx2.Client(base_url=base, headers={"accept": "text/html", "origin": base}) as client:
        assert client.get("/ops/intendant/runs").headers["location"].startswith("/ops/intendant/sign-in")
        answer = client.post("/ops/intendant/sign-in", data={"token": TOKEN})
        assert answer.headers["location"] == "/ops/intendant/"
        assert "Path=/ops/intendant/" in answer.headers["set-cookie"]
        text = client.get("/ops/intendant/runs").text
        assert not re.findall(r'(?:href|src|action|hx-get)="/(?!ops/intendant/)', text)
        assert client.get("/ops/intendant/static/dashboard.css").status_code == 200
        assert client.get(f"/ops/intendant/run?id={site.completed}").status_code == 200
    server.should_exit = True
    done.result(10)


def test_the_command_serves_a_database_says_where_and_makes_a_token(tmp_path) -> None:
    import signal
    import subprocess
    import sys

    command = [
        sys.executable,
        "-m",
        "intendant",
        "dashboard",
        "--port",
        "0",
        "--db",
        f"sqlite:///{tmp_path / 'x.db'}",
    ]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as started:
        try:
            base = started.stdout.readline().split()[-1]
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", base)
            token = started.stdout.readline().rpartition("#")[2].strip()
            assert len(token) >= 32
            with httpx2.Client(base_url=base, headers={"accept": "text/html"}) as client:
                assert client.get("/runs").status_code == 303
                assert "No such runs" in client.get("/runs", headers={"authorization": f"Bearer {token}"}).text
        finally:
            started.send_signal(signal.SIGINT)
            _, errors = started.communicate(timeout=30)
    assert started.returncode == 130
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"token": ["a", "b"]}, "two tokens for 'operator'"),
        ({"token": ["ada:x"], "host": "0.0.0.0"}, "too short"),
        ({"token": ["same"], "read_token": ["same"]}, "given twice"),
        ({"token": ["x"], "port": "taken"}, "cannot listen"),
    ],
)
def test_the_command_says_what_is_wrong(site, options, said) -> None:
    from intendant_dashboard._command import serve

    chosen = {
        "port": 0,
        "host": "127.0.0.1",
        "token": None,
        "read_token": None,
        "allowed_host": None,
        "db": "none",
    }
    chosen |= {name: site.port if value == "taken" else value for name, value in options.items()}
    with pytest.raises(SettingsError, match=said):
        serve(**chosen)


def test_a_session_over_https_is_kept_to_https(site) -> None:
    """Also behind a proxy that ends TLS."""
    with site.client() as client:
        origin = {"origin": site.base.replace("http:", "https:")}
        answer = client.post("/sign-in", data={"token": TOKEN}, headers=origin)
        assert "Secure" in answer.headers["set-cookie"]


def test_the_files_of_others_are_here_with_their_licences() -> None:
    from importlib.resources import files

    names = {each.name for each in files("intendant_dashboard").joinpath("static/vendor").iterdir()}
    assert names == {
        "htmx.min.js",
        "hx-sse.min.js",
        "htmx.LICENSE.txt",
        "uPlot.iife.min.js",
        "uPlot.min.css",
        "uPlot.LICENSE.txt",
    }
