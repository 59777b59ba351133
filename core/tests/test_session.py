"""The connection's session: rows of a batch in few statements, ids before they are written, and the clock."""

from collections.abc import Iterator
from time import monotonic, time

import pytest
from sqlalchemy import Connection, func, insert, select

from intendant.record.rows import Fence
from intendant.record.store import database
from intendant.record.store.clock import Clock
from intendant.record.store.session import Insert, Session, session_of, transaction
from intendant.record.store.tables import ledger, memory_term, response

COLUMNS = ("agent_id", "term", "memory_id")


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


@pytest.fixture
def connection(url) -> Iterator[Connection]:
    engine = database.connect(url)
    database.prepare(engine)
    with engine.connect() as found:
        yield found
    engine.dispose()


def terms(connection: Connection) -> list[tuple[int, ...]]:
    return [
        tuple(row) for row in session_of(connection).driver.execute("SELECT * FROM memory_term ORDER BY 1, 2, 3")
    ]


# --- rows of a batch ---


@pytest.mark.parametrize(
    ("number", "statements"),
    [(0, 0), (1, 1), (31, 1), (32, 1), (33, 2), (95, 2), (96, 1), (512, 1), (513, 2), (1100, 4)],
)
def test_rows_are_written_with_few_statements_of_few_lengths(connection, number, statements) -> None:
    """Up to 31 rows, else multiples of 32 up to 512, which the driver keeps prepared."""
    said: list[str] = []
    into = Insert(memory_term, COLUMNS)
    rows = [(n % 7, n, 5) for n in range(number)]
    with transaction(connection) as session:
        session.driver.set_trace_callback(said.append)
        assert into.write(session, rows) == number
        session.driver.set_trace_callback(None)
    assert terms(connection) == sorted(rows)
    assert len(said) == statements


def test_buffered_rows_are_written_at_the_end_or_when_they_are_asked_for(connection) -> None:
    one, two = Insert(memory_term, COLUMNS), Insert(memory_term, COLUMNS, "nothing")
    with transaction(connection) as session:
        session.add(one, (1, 1, 1))
        session.add(two, (2, 2, 2))
        session.add(one, (3, 3, 3))
        assert terms(connection) == []
        session.flush(two)
        assert terms(connection) == [(2, 2, 2)]
        session.flush(two)
    assert terms(connection) == [(1, 1, 1), (2, 2, 2), (3, 3, 3)]


def test_a_row_that_is_there_is_an_error_or_stays_or_is_changed(connection) -> None:
    columns = ("key", "reply", "at", "expires_at")

    def write(conflict: str | None, key: str, reply: str) -> int:
        with transaction(connection) as session:
            return Insert(response, columns, conflict).write(
                session, [(key, reply, 1.0, 2.0), (f"{key}2", reply, 1.0, 2.0)]
            )

    def replies() -> list[str]:
        return [row[0] for row in session_of(connection).driver.execute("SELECT reply FROM response ORDER BY key")]

    assert write(None, "k", "first") == 2
    with pytest.raises(session_of(connection).driver.IntegrityError):
        write(None, "k", "second")
    assert replies() == ["first", "first"]
    assert write("nothing", "k", "second") == 0
    assert replies() == ["first", "first"]
    assert write("update", "k", "third") == 2
    assert replies() == ["third", "third"]


def test_what_fails_is_undone_with_all_that_was_buffered_and_known(connection) -> None:
    into = Insert(memory_term, COLUMNS)
    session = session_of(connection)
    with pytest.raises(LookupError), transaction(connection):
        session.add(into, (1, 1, 1))
        session.flush()
        session.add(into, (2, 2, 2))
        session.commit_to("said")
        session.owned[Fence("r", 1)] = True
        session.windows["x"] = ()
        assert session.next_id() == 1
        raise LookupError
    assert terms(connection) == []
    assert (session.owned, session.windows, session.commits) == ({}, {}, {})
    with transaction(connection):
        assert session.next_id() == 1
    assert terms(connection) == [], "nor is it written later"


# --- ids ---


def book(connection: Connection, number: int) -> None:
    row = {"id": number, "hold_key": "h", "run_id": "r", "step_key": "s", "kind": "settle", "input_tokens": 1}
    connection.execute(insert(ledger).values(**row, output_tokens=1, micro=1, price_version="v", at=1.0))


def test_ids_go_on_after_the_largest_also_when_another_process_wrote(url, connection) -> None:
    session = session_of(connection)
    with transaction(connection):
        assert [session.next_id() for _ in range(3)] == [1, 2, 3]
        book(connection, 3)
    with transaction(connection):
        assert session.next_id() == 4, "without looking again"
        book(connection, 4)
    engine = database.connect(url)
    with engine.connect() as other, transaction(other) as theirs:
        assert theirs.next_id() == 5
        book(other, 9)
    engine.dispose()
    with transaction(connection):
        assert session.next_id() == 10
        assert connection.execute(select(func.count()).select_from(ledger)).scalar() == 3


def test_what_is_known_is_forgotten_when_another_process_wrote(url, connection) -> None:
    session = session_of(connection)
    with transaction(connection):
        session.owned[Fence("r", 1)] = True
        session.windows["x"] = ("y",)
    with transaction(connection):
        assert (session.owned, session.windows) == ({Fence("r", 1): True}, {"x": ("y",)})
    engine = database.connect(url)
    with engine.connect() as other, transaction(other):
        book(other, 9)
    engine.dispose()
    with transaction(connection):
        assert (session.owned, session.windows) == ({}, {})
    session.owned |= {Fence(str(number), 1): True for number in range(10_000)}
    with transaction(connection):
        assert len(session.owned) == 10_000
        session.owned[Fence("more", 1)] = True
    with transaction(connection):
        assert session.owned == {}, "no more than ten thousand are kept"


def test_a_connection_has_one_session(connection) -> None:
    session = session_of(connection)
    assert session_of(connection) is session
    assert (session.sqlite, session.windows_hold, session.lock_milliseconds) == (True, True, None)
    session.wait_for_locks(5)
    assert session.lock_milliseconds is None, "SQLite has no such setting"


def test_a_commitment_waits_for_the_next_event_of_its_chain(connection) -> None:
    session = session_of(connection)
    assert session.chain == "*"
    session.commit_to("one")
    session.commit_to("two", "r_1")
    session.chain = "r_1"
    session.commit_to("three")
    session.commit_to("four", "")
    assert session.commits == {"*": ["one"], "r_1": ["two", "three"], "": ["four"]}


def test_limits_that_were_set_elsewhere_make_windows_be_read_again(connection) -> None:
    session = Session(connection)
    session.see_limits(1)
    session.windows["x"], session.windows_hold = (), False
    session.see_limits(1)
    assert (session.windows, session.windows_hold) == ({"x": ()}, True)
    session.see_limits(2)
    assert session.windows == {}


# --- the clock ---


def test_the_clock_is_that_of_the_server_once_it_was_read() -> None:
    """In the middle of the time that asking took; it is read again after a minute."""
    clock = Clock()
    assert clock.is_stale
    assert clock.now() == pytest.approx(time(), abs=5)
    before = monotonic()
    clock.read(1_000_000.0, before - 20.0)
    passed = monotonic() - before
    assert 1_000_010.0 <= clock.now() <= 1_000_010.0 + 2 * passed + 1
    assert not clock.is_stale
    assert clock._read_again == pytest.approx(monotonic() + 60, abs=5)
