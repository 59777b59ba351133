"""Group commit: who shares a transaction, what happens when the queue is full, and that a failure stays alone."""

import asyncio
import os
import threading
from time import monotonic
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from intendant import BudgetExceeded, Fenced, StoreError, Workflow, events
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepResult
from intendant.record.journal import Journal
from intendant.record.rows import BudgetRow, HoldRow, NewEvent, RunRow, Spent
from intendant.record.store import Store, budgets, holds, inbox, runs
from intendant.record.store.chain import verify
from intendant.record.store.session import session_of
from intendant.testing import ScriptedProvider, engine

SERVER = os.environ.get("INTENDANT_TEST_POSTGRESQL", "")
needs_server = pytest.mark.skipif(not SERVER, reason="needs a PostgreSQL server: run `nox -s postgresql`")


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_server)])
def any_url(request, url):
    if request.param == "sqlite":
        yield url
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


@pytest.fixture
def any_store(any_url):
    made = Store(any_url)
    yield made
    made.close()


async def journal_of(store: Store, run_id: str = "r") -> Journal:
    return Journal(store, await store.do(runs.open_run(RunRow(run_id, "w", "a", "{}", 1, "{}", "running", 1.0))))


def skipped(journal: Journal, number: int) -> events.StepSkipped:
    return journal.step(f"s{number}").event(events.StepSkipped, reason="why not")


async def steps_of(store: Store, run_id: str = "r") -> list[str]:
    """The steps of a run's events, whose chain is whole."""
    rows = await store.do(runs.events_of(run_id))
    assert verify(rows) is None
    return [row.step_id for row in rows]


async def traced(store: Store) -> list[str]:
    """The statements that are executed from now on, as SQLite reports them."""
    statements: list[str] = []
    driver = await store.do(lambda connection: session_of(connection).driver)
    driver.set_trace_callback(statements.append)
    return statements


def nothing(connection) -> None:
    """Work that changes nothing."""


# --- what shares a transaction ---


async def test_tasks_that_wait_together_share_a_commit(store, monkeypatch) -> None:
    monkeypatch.setattr(inbox, "LOOP_SECONDS", 5.0)  # however slow the machine is
    journal = await journal_of(store)

    async def work(number: int) -> None:
        sum(range(5000))  # so that all tasks together take longer than a thread waits for the interpreter's lock
        await journal.commit(nothing, skipped(journal, number), skipped(journal, number))

    await asyncio.gather(*(work(number) for number in range(200)))
    statements = await traced(store)
    for _ in range(5):
        await asyncio.gather(*(work(number) for number in range(200)))
    assert statements.count("COMMIT") <= 7, "tasks of one moment took more than one commit"
    assert len(await steps_of(store)) == 2400


async def test_events_that_nobody_waits_for_are_committed_soon_and_cost_no_commit_each(store) -> None:
    journal = await journal_of(store)
    statements, began = await traced(store), monotonic()
    for number in range(100):
        journal.append(skipped(journal, number))
        await asyncio.sleep(0.001)
    with create_engine(store.url).connect() as other:
        while other.execute(text("SELECT count(*) FROM event")).scalar() < 100:
            await asyncio.sleep(0.005)
            other.rollback()
    assert statements.count("COMMIT") <= (monotonic() - began) / inbox.GATHER_SECONDS + 3


class Ask(IntentHandler):
    """Asks a model."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        asked = ModelRequest(messages=(Message(content="hello"),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(asked)).text)


async def test_a_step_with_a_model_call_is_two_commits(url, monkeypatch) -> None:
    """One before the call is sent and one before its answer is used, whatever else is written."""
    monkeypatch.setattr(inbox, "GATHER_SECONDS", 5.0)  # however slow the machine is
    steps = [
        {"id": f"s{number}", "intent": "ask", "input": f"{{{{ steps.s{number - 1}.output }}}}" if number else "x"}
        for number in range(20)
    ]
    flow = Workflow.model_validate({"name": "t", "steps": steps, "budget": {"tokens": 100_000}})
    async with engine(Ask(), ScriptedProvider("ok"), db=url) as service:
        await service.run(flow)
        statements = await traced(service._engine.store)
        result = await service.run(flow)
    assert result.metrics.steps_completed == 20
    of_the_run = 8  # opening and ending it
    assert statements.count("COMMIT") <= 2 * 20 + of_the_run


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 63, 64, 65, 511, 512, 513, 1100])
async def test_any_number_of_events_is_written_in_order(any_store, count) -> None:
    journal = await journal_of(any_store)
    await journal.commit(nothing, *(skipped(journal, number) for number in range(count)))
    assert await steps_of(any_store) == [f"s{number}" for number in range(count)]


async def test_the_log_is_copied_into_the_database_beside_the_writer(store, tmp_path) -> None:
    """Far below the size at which a commit would have to do it, and without closing the store."""
    journal = await journal_of(store)
    for first in range(0, 4000, 500):
        await journal.commit(nothing, *(skipped(journal, number) for number in range(first, first + 500)))
    while (tmp_path / "x.db").stat().st_size < 500_000:
        await asyncio.sleep(0.01)
    assert len(await steps_of(store)) == 4000


# --- failures stay alone ---


async def test_of_jobs_of_one_batch_only_those_that_are_refused_fail(any_store) -> None:
    store = any_store
    journal = await journal_of(store)
    await store.do(budgets.open_budgets([BudgetRow("b", None, 100, None)]))

    def hold(number: int, tokens: int):
        row = HoldRow(f"k{number}", "r", "s", 1, "b", "p", "m", tokens, 0, "v", 1e12)
        return journal.commit(holds.reserve(row, ("b",)), skipped(journal, number))

    def fails(connection) -> None:
        connection.execute(text("UPDATE run SET workflow = 'changed'"))
        raise ValueError("no")

    done = await asyncio.gather(
        *(hold(number, 10) for number in range(5)),
        hold(5, 1000),
        journal.commit(fails, skipped(journal, 6)),
        *(hold(number, 10) for number in range(7, 10)),
        store.do(nothing, journal.fence, [NewEvent("r", None, "s10", "info", 0.0, "{}")]),
        hold(11, 10),
        return_exceptions=True,
    )
    failed = {number: type(error) for number, error in enumerate(done) if error is not None}
    assert failed[5] is BudgetExceeded
    assert failed[6] is ValueError
    assert set(failed) == {5, 6, 10}
    assert await steps_of(store) == [f"s{number}" for number in (0, 1, 2, 3, 4, 7, 8, 9, 11)]
    assert (await store.do(budgets.find("b"))).held_tokens == 90
    assert (await store.do(runs.find_run("r"))).workflow == "w"


async def test_a_hold_that_is_made_and_closed_in_one_batch_is_closed(any_store) -> None:
    store = any_store
    await store.do(budgets.open_budgets([BudgetRow("b", None, 100, None)]))
    for key, close in (
        ("released", holds.release("released")),
        ("settled", holds.settle("settled", Spent(3, 4, 0), None)),
        ("charged", holds.charge("charged")),
    ):
        store.do_later(holds.reserve(HoldRow(key, "r", "s", 1, "b", "p", "m", 20, 0, "v", 1e12), ("b",)))
        store.do_later(close)
    row = await store.do(budgets.find("b"))
    assert (row.held_tokens, row.spent_tokens) == (0, 27)


async def test_a_run_that_is_claimed_within_a_batch_refuses_what_its_former_owner_writes_after(any_store) -> None:
    journal = await journal_of(any_store)
    journal.append(skipped(journal, 1))
    claimed = any_store.begin(runs.claim("r", "heir"))
    journal.append(skipped(journal, 2))
    late = asyncio.create_task(journal.commit(nothing, skipped(journal, 3)))
    await asyncio.sleep(0)
    heir = Journal(any_store, (await claimed).fence)
    with pytest.raises(Fenced):
        await late
    await heir.commit(nothing, skipped(heir, 4))
    assert await steps_of(any_store) == ["s1", "s4"]


async def test_cancelling_a_waiter_does_not_roll_back(store) -> None:
    journal = await journal_of(store)
    task = asyncio.create_task(journal.commit(nothing, skipped(journal, 1)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.flush()
    assert await steps_of(store) == ["s1"]


# --- a full queue ---


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(inbox, "MAX_QUEUED", 20)
    monkeypatch.setattr(inbox, "BLOCK_SECONDS", 0.2)


@pytest.fixture
async def locked(store):
    """The store, whose database another program keeps locked until the test releases it."""
    journal = await journal_of(store)
    other = create_engine(store.url, connect_args={"check_same_thread": False})
    connection = other.connect()
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    yield journal, lambda: connection.exec_driver_sql("ROLLBACK")
    connection.close()
    other.dispose()


async def test_awaiting_producers_wait_for_room_and_their_loop_goes_on(small, locked, store) -> None:
    journal, unlock = locked
    tasks = [asyncio.create_task(journal.commit(nothing, skipped(journal, number))) for number in range(200)]
    for _ in range(20):  # longer than a synchronous write would block
        await asyncio.sleep(0.02)
        assert len(store._writer.inbox._jobs) <= 20
    assert not any(task.done() for task in tasks)
    unlock()
    await asyncio.gather(*tasks)
    assert sorted(await steps_of(store)) == sorted(f"s{number}" for number in range(200))


async def test_a_synchronous_write_fails_with_a_hint_when_the_queue_stays_full(small, locked, store) -> None:
    journal, unlock = locked
    with pytest.raises(StoreError, match="too slow") as caught:
        for number in range(100):
            journal.append(skipped(journal, number))
    assert "locks it" in caught.value.hint
    unlock()
    await store.flush()
    kept = await steps_of(store)
    assert kept == [f"s{number}" for number in range(len(kept))], "what was accepted is written, in order"
    assert len(kept) >= 20


async def test_a_synchronous_write_goes_on_when_there_is_room_again(small, locked, store, monkeypatch) -> None:
    monkeypatch.setattr(inbox, "BLOCK_SECONDS", 30.0)
    journal, unlock = locked
    thread = threading.Timer(0.3, unlock)
    thread.start()
    for number in range(100):
        journal.append(skipped(journal, number))
    thread.join()
    await store.flush()
    assert await steps_of(store) == [f"s{number}" for number in range(100)]


async def test_closing_ends_the_waiting_for_room(small, locked, store) -> None:
    journal, unlock = locked
    tasks = [asyncio.create_task(journal.commit(nothing, skipped(journal, number))) for number in range(60)]
    await asyncio.sleep(0.05)
    unlock()
    await asyncio.to_thread(store.close)
    done = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [error for error in done if error is not None]
    assert all(isinstance(error, StoreError) and "is closed" in str(error) for error in refused)


# --- a server that closes connections ---


@pytest.fixture
def on_server(any_url, any_store):
    """A store on PostgreSQL, and what closes all connections of its database."""
    if not any_url.startswith("postgresql"):
        pytest.skip("a file has no server that closes connections")
    server = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    database = any_url.rpartition("/")[2]
    others = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")

    def close_all() -> None:
        with server.connect() as connection:
            connection.execute(others, {"name": database})

    yield any_store, close_all
    server.dispose()


async def test_an_idle_connection_that_the_server_has_closed_costs_nothing(on_server) -> None:
    store, close_all = on_server
    journal = await journal_of(store)
    close_all()
    await store.do(runs.find_run("r"))
    close_all()
    for number in range(30):
        journal.append(events.StepSkipped(run_id="r", step_id=f"s{number}", reason="why not"))
    await store.flush()
    close_all()
    await asyncio.gather(*(journal.commit(runs.find_run("r"), skipped) for skipped in [skip(n) for n in range(5)]))
    stored = await store.do(runs.events_of("r"))
    assert (len(stored), verify(stored)) == (35, None)


def skip(number: int) -> events.StepSkipped:
    return events.StepSkipped(run_id="r", step_id=f"t{number}", reason="why not")


@pytest.mark.parametrize("together", [1, 3])
async def test_a_connection_that_is_lost_in_the_middle_of_a_transaction_is_replaced_once(
    on_server, together
) -> None:
    """Nothing of it was committed, so the jobs are executed again; a server that stays away is an error."""
    store, close_all = on_server
    journal = await journal_of(store)
    executed = []

    def work(connection) -> None:
        runs.find_run("r")(connection)
        executed.append(1)
        if len(executed) <= losses:
            close_all()
        runs.find_run("r")(connection)

    losses = 1
    await asyncio.gather(*(journal.commit(work, skip(n)) for n in range(together)))
    assert len(executed) == together + 1
    stored = await store.do(runs.events_of("r"))
    assert (len(stored), verify(stored)) == (together, None)
    executed.clear()
    losses = 2
    with pytest.raises(StoreError, match="cannot be used"):
        await journal.commit(work, skip(9))
    assert len(await store.do(runs.events_of("r"))) == together
