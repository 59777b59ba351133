"""Records are enriched through connectors: over HTTP and from SQL, each key once, in batches, at a pace."""

import sqlite3
from pathlib import Path
from time import monotonic

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from intendant import OrchestrationService, Workflow, WorkflowError

DEALS = [{"id": n, "owner": owner} for n, owner in enumerate([7, 9, 7, None, 404, 7, 9])]
NAMES = {7: "Ada", 9: "Bo & Co", 11: "Cem"}


@pytest.fixture
def server(httpserver: HTTPServer) -> HTTPServer:
    """People by id: one under /people/ID, several under /people?id=1&id=2."""

    def several(request: Request) -> Response:
        ids = [int(text) for text in request.args.getlist("id")]
        found = [{"id": str(n), "name": NAMES[n]} for n in ids if n in NAMES]
        return Response(__import__("json").dumps({"data": {"items": found}}), content_type="application/json")

    httpserver.expect_request("/people").respond_with_handler(several)
    for number, name in NAMES.items():
        httpserver.expect_request(f"/people/{number}").respond_with_json({"name": name})
    return httpserver


async def run(server: HTTPServer | None, uses: str, with_: dict, deals: list = DEALS, **options):
    step = {"id": "e", "intent": "enrich", "uses": uses, "input": deals, "with": with_, "options": options}
    allow = [] if server is None else [f"{server.host}:{server.port}"]
    settings = {"plugins": {"settings": {"connector:http": {"allow": allow, "attempts": 1}}}}
    async with OrchestrationService(settings, db="sqlite:///runs.db") as service:
        result = await service.run(Workflow.model_validate({"name": "look", "steps": [step]}))
    return result.steps["e"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def test_many_keys_are_asked_for_in_one_request(server):
    """Each key once; an answer that writes 7 as "7" is still that of 7; what is not found gets null."""
    outcome = await run(
        server,
        "http.get",
        {"url": server.url_for("/people")},
        on={"left": "owner", "right": "id"},
        key="query.id",
        batch=2,
        records="data.items",
        fields=["name"],
    )
    assert outcome.failure is None, outcome.failure
    assert [row["name"] for row in outcome.output] == ["Ada", "Bo & Co", "Ada", None, None, "Ada", "Bo & Co"]
    assert "looked up 3 keys in 2 requests through http.get" in outcome.notes
    assert len(server.log) == 2


async def test_a_key_may_stand_in_the_address(server):
    """One request for each key; 404 is an answer where the step accepts it."""
    outcome = await run(
        server,
        "http.get",
        {"url": server.url_for("/people/") + "{key}"},
        deals=DEALS[:4],
        on={"left": "owner", "right": "id"},
        key="url",
        fields={"who": "name"},
    )
    assert outcome.failure is None, outcome.failure
    assert [row["who"] for row in outcome.output] == ["Ada", "Bo & Co", "Ada", None]
    assert len(server.log) == 2


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize(
    ("owners", "names", "note"),
    [
        ([7, 5, 9], ["Ada", None, "Bo & Co"], "; nothing is there for 1 of them"),
        ([5, 6], [None, None], "; nothing is there for any of them: look at the address"),
    ],
)
async def test_an_address_at_which_nothing_is_is_a_key_that_is_not_found(httpserver, status, owners, names, note):
    """One unknown customer failed the step, whatever `missing` said."""
    for number, name in NAMES.items():
        httpserver.expect_request(f"/people/{number}").respond_with_json({"name": name})
    for number in (5, 6):
        httpserver.expect_request(f"/people/{number}").respond_with_data("none", status=status)
    deals = [{"owner": owner} for owner in owners]
    given = {"on": {"left": "owner", "right": "id"}, "key": "url", "fields": ["name"]}
    url = {"url": httpserver.url_for("/people/") + "{key}"}
    outcome = await run(httpserver, "http.get", url, deals=deals, **given)
    assert outcome.failure is None, outcome.failure
    assert [row["name"] for row in outcome.output] == names
    assert any(text.endswith(note) for text in outcome.notes)
    dropped = await run(httpserver, "http.get", url, deals=deals, **given, missing="drop")
    assert [row["name"] for row in dropped.output] == [name for name in names if name]
    failed = await run(httpserver, "http.get", url, deals=deals, **given, missing="fail")
    assert failed.failure is not None


async def test_requests_keep_a_pace(server):
    records = [{"owner": n} for n in (7, 9, 11)]
    start = monotonic()
    outcome = await run(
        server,
        "http.get",
        {"url": server.url_for("/people/") + "{key}"},
        deals=records,
        on={"left": "owner", "right": "id"},
        key="url",
        fields=["name"],
        per_second=10,
    )
    assert [row["name"] for row in outcome.output] == list(NAMES.values())
    assert monotonic() - start >= 0.2


async def test_keys_are_looked_up_in_a_database():
    """A list parameter takes the keys of a batch."""
    with sqlite3.connect("shop.db") as connection:
        connection.execute("create table people (id integer, name text)")
        connection.executemany("insert into people values (?, ?)", NAMES.items())
    connection.close()
    sql = "select id, name from people where id in :ids"
    outcome = await run(
        None,
        "sql.query",
        {"url": "sqlite:///shop.db", "sql": sql},
        on={"left": "owner", "right": "id"},
        key="parameters.ids",
        batch=100,
        fields={"who": "name"},
    )
    assert outcome.failure is None, outcome.failure
    assert [row["who"] for row in outcome.output] == ["Ada", "Bo & Co", "Ada", None, None, "Ada", "Bo & Co"]


async def test_a_server_that_fails_fails_the_step(httpserver):
    """The error of the first request that failed; the others are cancelled."""
    httpserver.expect_request("/people/7").respond_with_data("down", status=500)
    outcome = await run(
        httpserver,
        "http.get",
        {"url": httpserver.url_for("/people/") + "{key}"},
        deals=DEALS[:1],
        on={"left": "owner", "right": "id"},
        key="url",
    )
    assert outcome.failure.error == "ConnectorError"
    assert "500" in outcome.failure.message


async def test_what_is_missing_is_seen_before_the_run():
    with pytest.raises(WorkflowError, match="`key` is missing under `options`"):
        await run(None, "http.get", {"url": "https://example.org"}, on="id")
