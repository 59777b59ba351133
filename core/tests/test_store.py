"""The store: group commit, fencing, the hash chain, versions and migrations."""

import asyncio
import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from threading import Timer
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, inspect, select, text, update

from intendant import Fenced, RunNotFound, StoreError, events
from intendant.model.errors import SchemaMismatch
from intendant.record.journal import Journal, read_events
from intendant.record.rows import NewEvent, RunRow
from intendant.record.store import Store, bookings, budgets, database, runs
from intendant.record.store.chain import verify
from intendant.record.store.tables import HEAD, metadata, run


def row(run_id: str = "r_1", created_at: float = 1.0) -> RunRow:
    return RunRow(run_id, "t", "a", "{}", 1, "{}", "running", created_at)


SERVER = os.environ.get("INTENDANT_TEST_POSTGRESQL", "")
"""URL of a PostgreSQL server on which databases may be made; `nox -s postgresql` starts one."""
needs_server = pytest.mark.skipif(not SERVER, reason="needs a PostgreSQL server: run `nox -s postgresql`")


@pytest.fixture(params=["none", "file", pytest.param("postgresql", marks=needs_server)])
def url(request, tmp_path):
    """A database of each sort, empty."""
    if request.param != "postgresql":
        yield "none" if request.param == "none" else f"sqlite:///{tmp_path}/x/runs.db"
        return
    server = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    name = f"test_{uuid4().hex}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.url.set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def store(url):
    made = Store(url)
    yield made
    made.close()


def skipped(number: int, run_id: str = "r_1") -> events.StepSkipped:
    return events.StepSkipped(run_id=run_id, step_id=f"s{number}", reason="why not")


async def test_events_are_numbered_and_chained_in_order(store) -> None:
    journal = Journal(store, await store.do(runs.open_run(row())))
    for number in range(2500):
        journal.append(skipped(number))
    await store.flush()
    stored = await store.do(runs.events_of("r_1"))
    assert [item.seq for item in stored] == list(range(1, 2501))
    assert [event.step_id for event in await read_events(store, "r_1")] == [f"s{n}" for n in range(2500)]
    assert verify(stored) is None
    assert journal.metrics.result().steps_skipped == 2500


async def test_an_end_that_was_cut_off_shows(store) -> None:
    journal = Journal(store, await store.do(runs.open_run(row())))
    for number in range(5):
        journal.append(skipped(number))
    await store.do(runs.finish_run(journal.fence, "completed"))
    kept = await store.do(runs.find_run("r_1"))
    rows = await store.do(runs.events_of("r_1"))
    assert kept.events == 5
    assert verify(rows, last_hash=kept.last_hash) is None
    assert verify(rows[:3], last_hash=kept.last_hash) == 4
    assert verify([], last_hash=kept.last_hash) == 1


@pytest.mark.parametrize("harm", ["change", "remove", "swap", "insert"])
async def test_tampering_shows(store, harm) -> None:
    journal = Journal(store, await store.do(runs.open_run(row())))
    for number in range(5):
        journal.append(skipped(number))
    await store.flush()
    rows = await store.do(runs.events_of("r_1"))
    if harm == "change":
        rows[2] = rows[2]._replace(data=rows[2].data.replace("why not", "because"))
    elif harm == "remove":
        del rows[2]
    elif harm == "swap":
        rows[2], rows[3] = rows[3]._replace(seq=3), rows[2]._replace(seq=4)
    else:
        rows.insert(2, rows[2])
    assert verify(rows) == (4 if harm == "insert" else 3)


async def test_a_refused_job_undoes_itself_only_and_writes_no_event(store) -> None:
    journal = Journal(store, await store.do(runs.open_run(row())))

    def refuse(connection):
        connection.execute(text("UPDATE run SET workflow = 'changed'"))
        raise ValueError("no")

    journal.append(skipped(1))
    with pytest.raises(ValueError, match="no"):
        await journal.commit(refuse, skipped(2))
    journal.append(skipped(3))
    await store.flush()
    assert (await store.do(runs.find_run("r_1"))).workflow == "t"
    rows = await store.do(runs.events_of("r_1"))
    assert [item.step_id for item in rows] == ["s1", "s3"]
    assert verify(rows) is None


async def test_events_that_cannot_be_written_leave_the_chain_whole(store) -> None:
    fence = await store.do(runs.open_run(row()))
    journal = Journal(store, fence)
    journal.append(skipped(1))
    broken = NewEvent("r_1", None, None, "info", 0.0, "{}")
    with pytest.raises(Exception, match="(?i)null"):
        await store.do(lambda connection: None, fence, [broken])
    journal.append(skipped(2))
    await store.flush()
    rows = await store.do(runs.events_of("r_1"))
    assert [item.step_id for item in rows] == ["s1", "s2"]
    assert verify(rows) is None


async def test_writers_that_read_first_do_not_lock_each_other_out(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    stores = [Store(url), Store(url)]
    await stores[0].do(runs.open_run(row()))

    def add(connection):
        found = connection.execute(text("SELECT priority FROM run")).scalar()
        connection.execute(text("UPDATE run SET priority = :new"), {"new": found + 1})

    await asyncio.gather(*(stores[number % 2].do(add) for number in range(200)))
    found = await stores[0].do(lambda connection: connection.execute(text("SELECT priority FROM run")).scalar())
    assert found == 200
    for store in stores:
        store.close()


async def test_a_former_owner_is_refused_and_leaves_no_trace(store) -> None:
    zombie = Journal(store, await store.do(runs.open_run(row())))
    zombie.append(skipped(1))
    heir = Journal(store, (await store.do(runs.claim("r_1", "heir"))).fence)
    heir.append(skipped(2))
    zombie.append(skipped(666))
    with pytest.raises(Fenced):
        await zombie.commit(lambda connection: connection.execute(text("UPDATE run SET workflow = 'stolen'")))
    with pytest.raises(Fenced):
        zombie.append(skipped(667))
    heir.append(skipped(3))
    await store.flush()
    rows = await store.do(runs.events_of("r_1"))
    assert [item.step_id for item in rows] == ["s1", "s2", "s3"]
    assert verify(rows) is None
    assert (await store.do(runs.find_run("r_1"))).workflow == "t"


async def test_two_processes_on_one_file_are_fenced_too(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    one, two = Store(url), Store(url)
    zombie = await one.do(runs.open_run(row()))
    heir = (await two.do(runs.claim("r_1", "two"))).fence
    with pytest.raises(Fenced):
        await one.do(runs.finish_run(zombie, "completed"))
    await two.do(runs.finish_run(heir, "failed"))
    assert (await one.do(runs.find_run("r_1"))).status == "failed"
    one.close()
    two.close()


async def test_runs_are_found_by_the_beginning_of_their_id(store) -> None:
    await store.do(runs.open_run(row("r_ab1")))
    await store.do(runs.open_run(row("r_ab2", 2.0)))
    assert (await store.do(runs.find_run("r_ab1"))).id == "r_ab1"
    assert (await store.do(runs.find_run("last"))).id == "r_ab2"
    for wrong in ("r_ab", "zz", "%"):
        with pytest.raises(RunNotFound):
            await store.do(runs.find_run(wrong))


async def test_what_is_submitted_before_closing_is_kept(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    store = Store(url)
    journal = Journal(store, await store.do(runs.open_run(row())))
    for number in range(300):
        journal.append(skipped(number))
    await asyncio.to_thread(store.close)
    again = Store(url)
    assert len(await again.do(runs.events_of("r_1"))) == 300
    again.close()


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////proc/nowhere/x.db", "nosuchdb://x/y"])
async def test_unusable_databases_are_an_error_with_a_hint(url) -> None:
    with pytest.raises(StoreError):
        store = Store(url)
        await store.flush()


async def test_a_file_that_is_no_database_is_an_error(tmp_path) -> None:
    (tmp_path / "x.db").write_text("this is text, and rather long for a header of a database")
    store = Store(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreError, match="cannot be opened"):
        await store.flush()
    store.close()


def test_the_migrations_make_the_tables(tmp_path) -> None:
    """What the migrations build is what the models say, and ends at HEAD."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = database.connect(f"sqlite:///{tmp_path}/m.db")
    database.upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "intendant_version"})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == HEAD
    database.prepare(engine)
    engine.dispose()


def shape(url, prepare):
    """What an empty database is made of after it was prepared."""
    engine = database.connect(url)
    prepare(engine)
    seen = inspect(engine)
    found = {
        table: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in seen.get_columns(table)],
            sorted(str(check["name"]) for check in seen.get_check_constraints(table)),
            sorted(str(index["name"]) for index in seen.get_indexes(table)),
        )
        for table in seen.get_table_names()
    }
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT sequencename, data_type::text FROM pg_sequences"))
            found |= {row.sequencename: row.data_type for row in rows}
    engine.dispose()
    return found


def test_created_and_migrated_databases_are_the_same(tmp_path) -> None:
    made, migrated = (f"sqlite:///{tmp_path}/{name}.db" for name in ("made", "migrated"))
    assert shape(made, database.prepare) == shape(migrated, database.upgrade)


@needs_server
def test_so_they_are_on_postgresql_with_ids_of_64_bits() -> None:
    """The sequences too, which number the rows."""
    found = []
    server = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        for prepare in (database.prepare, database.upgrade):
            name = f"test_{uuid4().hex}"
            connection.execute(text(f"CREATE DATABASE {name}"))
            found.append(shape(server.url.set(database=name).render_as_string(hide_password=False), prepare))
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()
    assert found[0] == found[1]
    for table in ("ledger", "memory"):
        assert (found[0][f"{table}_id_seq"], found[0][table][0][0][:2]) == ("bigint", ("id", "BIGINT"))


@pytest.mark.parametrize(("version", "way_out"), [("0001", "db upgrade"), ("9999", "update Intendant")])
def test_another_version_is_refused_with_the_way_out(version, way_out, tmp_path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/old.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE intendant_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO intendant_version VALUES (:version)"), {"version": version})
    with pytest.raises(SchemaMismatch, match=way_out):
        database.prepare(engine)
    engine.dispose()


def test_a_database_of_another_program_is_left_alone(tmp_path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/host.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE run (id INTEGER)"))
    with pytest.raises(SchemaMismatch, match="another program"):
        database.prepare(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE run"))
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('host')"))
    database.prepare(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "host"
    engine.dispose()


async def test_a_run_leaves_the_same_on_every_database(url) -> None:
    """A whole run with paid calls, a failure and a skip: budgets, steps and journal are kept and whole."""
    from intendant import Workflow
    from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepResult
    from intendant.testing import engine

    class Ask(IntentHandler):
        """Asks."""

        spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

        async def handle(self, request):
            asked = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
            return StepResult(output=[(await request.model.complete(asked)).text for _ in range(3)])

    steps = [{"id": name, "intent": "ask", "prompt": name} for name in "abcdef"]
    steps += [{"id": "g", "intent": "ask", "prompt": "word " * 9000}, {"id": "h", "intent": "ask", "needs": ["g"]}]
    async with engine(Ask(), db=url) as service:
        result = await service.run(
            Workflow.model_validate({"name": "t", "steps": steps, "budget": {"tokens": 5000}})
        )
        state = await service._engine.store.do(budgets.find(f"run:{result.run_id}"))
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
        rows = await service._engine.store.do(runs.events_of(result.run_id))
        steps = await service._engine.store.do(runs.steps_of(result.run_id))
    assert verify(rows) is None
    outputs = {step.key: json.loads(step.output) for step in steps if step.output is not None}
    assert outputs == result.outputs
    assert set(outputs) == set("abcdef")
    assert totals == (result.metrics.tokens_used, result.metrics.micro_usd, 0)
    assert (state.spent_tokens, state.held_tokens) == (result.metrics.tokens_used, 0)
    assert result.failures["g"].error == "BudgetExceeded"


async def test_a_lock_that_passes_does_not_break_the_store_for_good(tmp_path) -> None:
    """Another program holds the database longer than a writer waits; afterwards all is well again."""
    url = f"sqlite:///{tmp_path}/runs.db"
    store = Store(url)
    await store.do(runs.open_run(row()))
    await store.do(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout = 50"))
    other = create_engine(url)
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            await store.do(lambda connection: connection.execute(text("UPDATE run SET agent = 'x'")))
        connection.exec_driver_sql("ROLLBACK")
    other.dispose()
    await store.do(lambda connection: connection.execute(text("UPDATE run SET agent = 'y'")))
    assert (await store.do(runs.find_run("r_1"))).agent == "y"
    store.close()


async def test_a_closed_store_refuses_and_does_not_hang(store) -> None:
    journal = Journal(store, await store.do(runs.open_run(row())))
    store.close()
    with pytest.raises(StoreError, match="closed"):
        journal.append(skipped(1))
    with pytest.raises(StoreError, match="closed"):
        await store.flush()


def test_several_processes_may_be_the_first_to_open_a_database(tmp_path) -> None:
    def opened(number: int) -> str:
        made = database.connect(f"sqlite:///{tmp_path}/{number // 2}.db")
        database.prepare(made)
        made.dispose()
        return "opened"

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(opened, range(60))) == ["opened"] * 60


@pytest.mark.parametrize(
    ("woken", "until", "due"), [(None, 10.0, 10.0), (5.0, 10.0, 5.0), (15.0, 10.0, 10.0), (5.0, None, 5.0)]
)
async def test_a_run_that_was_woken_before_it_waits_stays_due(store, woken, until, due) -> None:
    fence = await store.do(runs.open_run(row()))
    await store.do(lambda connection: connection.execute(update(run).values(due_at=woken)) and None)
    await store.do(runs.finish_run(fence, "waiting", until))
    found = await store.do(lambda connection: connection.execute(select(run.c.due_at, run.c.status)).one())
    assert tuple(found) == (due, "waiting")


async def test_a_new_file_that_another_process_is_writing_is_waited_for(tmp_path) -> None:
    """SQLite itself does not wait where a write-ahead log is asked for meanwhile."""
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE other (x)")
    other.execute("BEGIN IMMEDIATE")
    done = Timer(0.2, other.execute, ["COMMIT"])
    done.start()
    store = Store(f"sqlite:///{tmp_path}/x.db")
    assert await store.do(lambda connection: connection.execute(text("PRAGMA journal_mode")).scalar()) == "wal"
    store.close()
    done.join()
    other.close()
