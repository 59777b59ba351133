"""What the sql connector promises, on SQLite and, where `INTENDANT_TEST_POSTGRESQL` names a server, PostgreSQL."""

import os
import sqlite3
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import AddressRefused, ConnectorCall, ConnectorError
from intendant.testing import ConnectorContract, Place, Use
from intendant_connector_sql import SqlConnector
from intendant_connector_sql._statements import check_read, check_single

URL = "sqlite:///shop.db"
SERVER = os.environ.get("INTENDANT_TEST_POSTGRESQL", "")
on_server = pytest.mark.skipif(not SERVER, reason="INTENDANT_TEST_POSTGRESQL names no server")


class TestSqlContract(ConnectorContract):
    plugin = SqlConnector
    entry_point = "sql"

    @asynccontextmanager
    async def place(self):
        uses = {
            "execute": Use(
                {"url": URL, "sql": "insert into orders (name) values (:n)", "parameters": {"n": "Cy"}}
            ),
            "query": Use({"url": URL, "sql": "select * from orders"}),
        }
        yield Place(SqlConnector({"writes": True}), uses)


def call(value=None):
    return ConnectorCall(value, "k", "r", "s")


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect("shop.db") as made:
        made.execute("create table orders (id integer primary key, name text, total real, data blob)")
        made.executemany(
            "insert into orders values (?, ?, ?, ?)", [(1, "Ada", 1.5, b"x"), (2, "B\u00f6", None, None)]
        )
    made.close()
    return tmp_path / "shop.db"


async def query(sql, settings=None, url=URL, **more):
    return await SqlConnector(settings or {}).do("query", {"url": url, "sql": sql, **more}, call())


@pytest.mark.parametrize(
    ("sql", "more", "noted"),
    [
        ("select 1e999 as f, -1e999 as g, null as h union all select 1, 2, 3", {}, ["2 values are no figures"]),
        ("select id from orders", {"max": 1}, ["there are more rows than `max: 1`"]),
        ("select id from orders", {"max": 2}, []),
        ("select null as a", {}, []),
        (
            "select 1e999 as f union all select 1",
            {"max": 1},
            ["more rows than `max: 1`", "1 values are no figures"],
        ),
    ],
)
async def test_what_rows_have_lost_is_in_the_notes(sql, more, noted):
    asked = call()
    await SqlConnector().do("query", {"url": URL, "sql": sql, **more}, asked)
    assert len(asked.notes) == len(noted)
    assert all(part in note for part, note in zip(noted, asked.notes, strict=True))


async def execute(sql, value=None, settings=None, url=URL, **more):
    settings = {"writes": True, **(settings or {})}
    return await SqlConnector(settings).do("execute", {"url": url, "sql": sql, **more}, call(value))


async def test_rows_are_records():
    assert await query(
        "select * from orders where total > :least or total is null order by id", parameters={"least": 1}
    ) == [
        {"id": 1, "name": "Ada", "total": 1.5, "data": "eA=="},
        {"id": 2, "name": "B\u00f6", "total": None, "data": None},
    ]
    assert await query(
        "select 1, 1, id as x, id as x from orders where id in :ids", parameters={"ids": [2, 3]}
    ) == [{"1": 1, "1_2": 1, "x": 2, "x_2": 2}]


@pytest.mark.parametrize("value", ["' or 1=1 --", "Ada'; drop table orders; --", "\\", "%", ":least"])
async def test_values_are_never_pasted(value):
    assert await query("select * from orders where name = :name", parameters={"name": value}) == []
    assert len(await query("select * from orders")) == 2


WRITES = [
    "insert into orders (id) values (9)",
    "delete from orders",
    "drop table orders",
    "update orders set id = 9",
    "with x as (select 1) insert into orders (id) select 9",
    "with x as (select 1) delete from orders",
    "attach database 'other.db' as o",
    "pragma writable_schema = 1",
    "create table t (a)",
    "vacuum into 'copy.db'",
    "select 1; delete from orders",
    "/* select */ delete from orders",
    "-- select\ndelete from orders",
    "select load_extension('x')",
    "begin immediate",
    "explain delete from orders; delete from orders",
    "",
    "   ",
    "/* nothing */",
]


@pytest.mark.parametrize("sql", WRITES)
async def test_a_query_changes_nothing(sql, shop):
    before = shop.read_bytes()
    with pytest.raises(ConnectorError):
        await query(sql)
    assert shop.read_bytes() == before
    assert not [path for path in shop.parent.iterdir() if path.name != "shop.db"]


async def test_the_database_itself_refuses_what_the_look_before_would_let_pass(monkeypatch, shop):
    """The check of statements is for errors that help; the lock is SQLite's."""
    monkeypatch.setattr("intendant_connector_sql.check_read", lambda sql: None)
    before = shop.read_bytes()
    for sql in WRITES[:10]:
        with pytest.raises(ConnectorError):
            await query(sql)
    assert shop.read_bytes() == before


async def test_writing_has_to_be_allowed(shop):
    before = shop.read_bytes()
    with pytest.raises(ConnectorError, match="not allowed") as caught:
        await execute("delete from orders", settings={"writes": False})
    assert "connector:sql.writes" in caught.value.hint
    assert caught.value.delivered is False
    assert shop.read_bytes() == before


async def test_writes_for_each_record_or_none():
    rows = [{"id": 7, "name": "x"}, {"id": 8, "name": "y"}]
    assert await execute("insert into orders (id, name) values (:id, :name)", rows) == {"rows": 2}
    assert await execute("update orders set total = :t where id > 6", parameters={"t": 3}) == {"rows": 2}
    with pytest.raises(ConnectorError, match="UNIQUE") as caught:
        await execute("insert into orders (id, name) values (:id, :name)", [{"id": 9, "name": "z"}, rows[0]])
    assert caught.value.delivered is False
    assert await query("select id from orders where id > 8") == []


@pytest.mark.parametrize(
    "sql", ["attach database 'other.db' as o", "pragma journal_mode = wal", "delete from orders; select 1"]
)
async def test_writing_is_bounded_too(sql):
    with pytest.raises(ConnectorError):
        await execute(sql)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"parameters": {}}, ":name, which is not in `parameters`"),
        ({"parameters": {"name": {"a": 1}}}, "is a map"),
        ({"parameters": {"name": [[1]]}}, "list of such"),
    ],
)
async def test_mistakes_in_parameters_are_named(given, says):
    with pytest.raises(ConnectorError, match=says):
        await query("select * from orders where name = :name", **given)


async def test_errors_of_the_database_show_no_values():
    with pytest.raises(ConnectorError, match="no such column: nme") as caught:
        await query("select * from orders where nme = :name", parameters={"name": "private"})
    assert "private" not in str(caught.value)


async def test_rows_have_their_limit():
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"
    with pytest.raises(ConnectorError, match="more than 1000 rows"):
        await query(endless, {"max_rows": 1000})
    assert len(await query(endless, max=3)) == 3
    with pytest.raises(ConnectorError, match="more than 5000 bytes"):
        await query(
            "with recursive n(i) as (select 1 union all select i + 1 from n) select hex(zeroblob(999)) from n",
            {"max_bytes": 5000},
        )


async def test_a_query_that_takes_too_long_is_interrupted():
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    with pytest.raises(ConnectorError, match=r"took longer than 0\.3 s"):
        await query(endless, {"seconds": 0.3})


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:////etc/passwd", "outside the folders"),
        ("sqlite:///../../x.db", "outside the folders|not there"),
        ("sqlite:///nowhere.db", "is not there"),
        ("sqlite://", "names no file"),
        ("sqlite:///file:/etc/passwd?uri=true", "not admitted|names no file"),
        ("sqlite:///shop.db?mode=rw", "'mode' is not admitted"),
        ("postgresql://db.example/x?host=/var/run", "'host' is not admitted"),
        ("postgresql://db.example/x?service=other", "'service' is not admitted"),
        ("postgresql:///x", "names no server"),
        ("duckdb:///x.db", "not opened|no driver"),
        ("not a url", "no URL of a database"),
        ("mssql+pyodbc://?odbc_connect=DRIVER%3D", "not admitted"),
    ],
)
async def test_urls_lead_nowhere_else(url, says):
    with pytest.raises(ConnectorError, match=says):
        await query("select 1", url=url)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "169.254.169.254", "[::1]"])
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
async def test_private_servers_are_not_reached_unless_allowed(kind, host):
    with pytest.raises(AddressRefused, match=r"may not be reached"):
        await query("select 1", url=f"{kind}://user:secret@{host}/x")


async def test_a_database_that_cannot_refuse_writes_wants_a_login_that_may_only_read():
    settings = {"allow": ["127.0.0.1"]}
    with pytest.raises(ConnectorError, match="mssql cannot be told") as caught:
        await query("select 1", settings, url="mssql+nodriver://127.0.0.1/x")
    assert "read_only_logins" in caught.value.hint
    with pytest.raises(ConnectorError, match="no driver"):
        await query("select 1", {**settings, "read_only_logins": ["mssql"]}, url="mssql+nodriver://127.0.0.1/x")


@pytest.mark.parametrize(
    "sql",
    [
        "select ';'",
        "select 1;",
        "select 1 ; -- end",
        "select $a$;$a$",
        'select ";"',
        "select /* ; /* ; */ */ 1",
        "SELECT 'it''s; ok'",
    ],
)
def test_one_statement_is_one(sql):
    check_read(sql)


@pytest.mark.parametrize(
    "sql", ["select 1; select 2", "select 1;;", "select /*! 1; */ 1", "select $a$;$b$; $a$; delete"]
)
def test_several_are_not(sql):
    with pytest.raises(ConnectorError):
        check_read(sql)


@given(st.text(alphabet="select ;'\"$a*/-\n`[]!", max_size=60))
def test_any_text_is_read_to_its_end(sql):
    with suppress(ConnectorError):
        check_single(sql)


# --- PostgreSQL ---


@pytest.fixture
async def table():
    import psycopg

    plain = SERVER.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as made:
        made.execute("drop table if exists connector_orders")
        made.execute("create table connector_orders (id int primary key, total numeric(12,2), day date)")
        made.execute("insert into connector_orders values (1, 12.50, '2026-03-04')")
        yield lambda: made.execute("select count(*) from connector_orders").fetchone()[0]
        made.execute("drop table connector_orders")


PG = {"allow": ["127.0.0.1"], "writes": True}


@on_server
async def test_reads_from_postgresql(table):
    sql = "select *, :x ::int as x from connector_orders where id in :ids"
    rows = await query(sql, PG, url=SERVER, parameters={"ids": [1, 2], "x": 5})
    assert rows == [{"id": 1, "total": 12.5, "day": "2026-03-04", "x": 5}]


@on_server
@pytest.mark.parametrize(
    "sql",
    [
        "with gone as (delete from connector_orders returning id) select * from gone",
        "select 1; delete from connector_orders",
        "select 1; commit; delete from connector_orders",
        "select set_config('transaction_read_only', 'off', false); delete from connector_orders",
        "explain analyze delete from connector_orders",
        "copy (select 1) to program 'touch /tmp/x'",
        "do $$ begin delete from connector_orders; end $$",
    ],
)
@pytest.mark.parametrize("looked_at", [True, False])
async def test_postgresql_refuses_writes(table, sql, looked_at, monkeypatch):
    if not looked_at and sql.startswith("copy"):
        pytest.skip("what a superuser may copy is kept out by the look before alone")
    if not looked_at:
        monkeypatch.setattr("intendant_connector_sql.check_read", lambda sql: None)
    with pytest.raises(ConnectorError):
        await query(sql, PG, url=SERVER)
    assert table() == 1


@on_server
async def test_a_setting_within_a_query_makes_nothing_writable(table):
    sql = "with s as (select set_config('transaction_read_only', 'off', true)) select * from s"
    with pytest.raises(ConnectorError, match="read-write"):
        await query(sql, PG, url=SERVER)
    assert table() == 1


@on_server
async def test_what_a_function_writes_is_rolled_back(table):
    """Some versions let some functions write in a transaction that only reads."""
    count = "select count(*) as n from pg_largeobject_metadata"
    before = await query(count, PG, url=SERVER)
    with suppress(ConnectorError):
        await query("select lo_create(0)", PG, url=SERVER)
    assert await query(count, PG, url=SERVER) == before


@on_server
async def test_writes_to_postgresql_in_one_transaction(table):
    rows = [{"id": n, "total": n / 4} for n in range(2, 5)]
    assert await execute(
        "insert into connector_orders (id, total) values (:id, :total)", rows, PG, url=SERVER
    ) == {"rows": 3}
    assert table() == 4
    with pytest.raises(ConnectorError, match="duplicate key"):
        await execute(
            "insert into connector_orders (id, total) values (:id, :total)",
            [{"id": 9, "total": 1}, rows[0]],
            PG,
            url=SERVER,
        )
    assert table() == 4


@on_server
async def test_a_slow_query_of_postgresql_is_stopped(table):
    with pytest.raises(ConnectorError, match="took longer|timeout|cancel"):
        await query("select pg_sleep(30)", {**PG, "seconds": 0.5}, url=SERVER)


async def test_a_database_is_looked_for_beside_the_workflows_file_first(tmp_path, monkeypatch):
    """As files are: whoever runs `intendant run jobs/stock/flow.yaml` is not in that folder."""
    beside = tmp_path / "jobs"
    beside.mkdir()
    with sqlite3.connect(beside / "own.db") as made:
        made.execute("create table t (a)")
        made.execute("insert into t values (7)")
    from_there = ConnectorCall(None, "k", "r", "s", str(beside))
    given = {"url": "sqlite:///own.db", "sql": "select a from t"}
    assert await SqlConnector().do("query", given, from_there) == [{"a": 7}]
    rows = await SqlConnector().do("query", {"url": URL, "sql": "select id from orders"}, from_there)
    assert len(rows) == 2
    with pytest.raises(ConnectorError, match=r"nope\.db is not there") as caught:
        await SqlConnector().do("query", {**given, "url": "sqlite:///nope.db"}, from_there)
    assert "beside the workflow's file" in caught.value.hint
    with pytest.raises(ConnectorError, match="outside the folders"):
        await SqlConnector({"working_folder": False}).do(
            "query", {**given, "url": f"sqlite:///{beside}/own.db"}, from_there
        )


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("select :a::text, b::int", {"a"}),
        ("select * from t where d > :day::date and x in :ids", {"day", "ids"}),
        ("select ':a::text', \"x:b::y\" -- :c::d", set()),
        ("select x\\:a::text", set()),
        ("select '{}'::jsonb, now()::date", set()),
    ],
)
def test_a_parameter_may_have_a_type_behind_it(sql, names):
    """`:day::date` is what people write for PostgreSQL; SQLAlchemy takes it for no parameter."""
    from intendant_connector_sql._database import _prepared

    made = _prepared(
        sql.replace("':a::text'", "'\\:a::text'").replace("x:b", "x\\:b").replace(" :c", " \\:c"),
        dict.fromkeys(names, 1),
    )
    assert set(made._bindparams) == names
