"""What the writer keeps beside a SQLAlchemy connection: the driver, caches of one transaction, and buffered rows.

SQLAlchemy takes some 50 µs to execute a statement, SQLite 3. Each statement also releases the interpreter's lock,
and getting it back takes up to 5 ms while an event loop is busy. The hot path therefore executes prepared texts on
the driver, and writes the rows of a whole batch with one statement a table.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection, Table  # noqa: TID253

from intendant.record.rows import Fence
from intendant.record.store.clock import Clock

_KEY = "intendant_session"
_SERVER_TIME = "SELECT extract(epoch FROM clock_timestamp())::float8"
IDS_AT_ONCE = 200
"""Ids of ledger rows that are taken from PostgreSQL's sequence at a time."""
MOST_KNOWN = 10_000
"""Fences that a session remembers."""
FEW_ROWS = 12
"""Rows of several tables that PostgreSQL gets in one statement: each statement is a round trip, and those of many
rows are too varied for its prepared statements."""
WorkT = TypeVar("WorkT", bound=Callable[..., Any])


class Session:
    """The state of one connection.

    Attributes:
        driver: The driver's own connection.
        dialect: SQLAlchemy's dialect of it.
        sqlite: True for SQLite, False for PostgreSQL.
        owned: Which fences own their runs; empty where another process may have changed that.
        windows: Budgets of standing limits, as found by `windows.open_windows`; emptied likewise.
        windows_hold: True while nobody can have changed a standing limit since `windows` was filled.
        lock_milliseconds: How long this connection waits for a lock; 0 for without end, None if not known.
        clock: That of the database.
        chain: The run whose chain commits to what the work of now writes, or `*`; see `digests`.
        commits: Commitments that no event has taken yet, as JSON, by chain.
        committing: True from the moment when the commit of a transaction is sent.
    """

    __slots__ = (
        "_cursor",
        "_ids",
        "_limits",
        "_rows",
        "_version",
        "chain",
        "clock",
        "commits",
        "committing",
        "dialect",
        "driver",
        "lock_milliseconds",
        "owned",
        "sqlite",
        "windows",
        "windows_hold",
    )

    def __init__(self, connection: Connection) -> None:
        self.driver: Any = connection.connection.driver_connection
        self.dialect = connection.dialect
        self.sqlite = connection.dialect.name == "sqlite"
        self._cursor: Any = None
        if not self.sqlite:
            from psycopg import RawCursor  # takes PostgreSQL's own placeholders: nothing to parse for each call

            self._cursor = RawCursor
        self.owned: dict[Fence, bool] = {}
        self.windows: dict[Any, tuple[str, ...]] = {}
        self.windows_hold = self.sqlite
        self.lock_milliseconds: int | None = None
        self._limits: int | None = None
        self.chain = "*"
        self.clock = Clock()
        self.commits: dict[str, list[str]] = {}
        self.committing = False
        self._ids: list[int] = []
        self._version: int | None = None
        self._rows: dict[Insert, list[Sequence[Any]]] = {}

    def execute(self, text: str, values: Sequence[Any] = ()) -> Any:
        """Execute a statement on the driver, with `?` for each value; returns the driver's cursor."""
        if self.sqlite:
            return self.driver.execute(text, values)
        return self._cursor(self.driver).execute(numbered(text), values)

    def begin(self, connection: Connection) -> None:
        """Begin a transaction; what other processes have changed is read again.

        SQLAlchemy's own transactions take as long as two statements: on SQLite they are begun on the driver.
        """
        self.committing = False
        if not self.sqlite:
            self.owned.clear()
            self.windows_hold = False
            connection.begin()
            if self.clock.is_stale:
                before = monotonic()
                self.clock.read(self.execute(_SERVER_TIME).fetchone()[0], before)
            return
        self.driver.execute("BEGIN IMMEDIATE")
        # SQLite counts the transactions of other connections; in this one, none can follow.
        version = self.driver.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version or len(self.owned) > MOST_KNOWN:
            self._version = version
            self.owned.clear()
            self.windows.clear()
            self._ids.clear()

    def commit(self, connection: Connection) -> None:
        """Commit what was not undone."""
        self.committing = True
        if connection.in_transaction():
            connection.commit()
        elif self.sqlite and self.driver.in_transaction:
            self.driver.execute("COMMIT")

    @property
    def was_undone(self) -> bool:
        """True if the database itself has undone the transaction: SQLite does, where the disk is full or fails."""
        return self.sqlite and not self.driver.in_transaction

    @property
    def was_lost(self) -> bool:
        """True if the connection was lost before the commit was sent, so that nothing was committed."""
        return not self.sqlite and not self.committing and bool(self.driver.closed)

    def undo(self, connection: Connection) -> None:
        """Undo the transaction, and forget what was read and buffered in it."""
        self.forget()
        self.lock_milliseconds = None  # PostgreSQL takes that back as well
        connection.rollback()
        if self.sqlite and self.driver.in_transaction:
            self.driver.execute("ROLLBACK")

    def see_limits(self, newest: int | None) -> None:
        """On PostgreSQL: *newest* is the id of the newest standing limit, read in this transaction. What sets
        one waits until no transaction has read the table, so that ids come in the order of commits.
        """
        if newest != self._limits:
            self._limits = newest
            self.windows.clear()
        self.windows_hold = True

    def wait_for_locks(self, milliseconds: int) -> None:
        """On PostgreSQL: how long this and the following transactions wait for a lock; 0 for without end."""
        if not self.sqlite and self.lock_milliseconds != milliseconds:
            self.execute(f"SET lock_timeout = {milliseconds}")
            self.lock_milliseconds = milliseconds

    def forget(self) -> None:
        """Forget what was read and buffered: it was undone."""
        self.owned.clear()
        self.windows.clear()
        self.commits.clear()
        self._ids.clear()
        self._rows.clear()

    def commit_to(self, commitment: str, chain: str | None = None) -> None:
        """Leave a commitment for the next event of a chain; by default of that of the job."""
        self.commits.setdefault(self.chain if chain is None else chain, []).append(commitment)

    def next_id(self) -> int:
        """The id of a new row of the ledger, known before it is written, so that its digest can cover it."""
        if self.sqlite:
            # None but this connection can write now; what others write later makes this be read again.
            if not self._ids:
                last = self.driver.execute("SELECT coalesce(max(id), 0) FROM ledger").fetchone()[0]
                self._ids.append(last)
            self._ids[0] += 1
            return self._ids[0]
        if not self._ids:
            query = "SELECT nextval(pg_get_serial_sequence('ledger', 'id')) FROM generate_series(1, ?)"
            found = self.execute(query, (IDS_AT_ONCE,)).fetchall()
            self._ids = sorted((row[0] for row in found), reverse=True)
        return self._ids.pop()

    def add(self, into: "Insert", row: Sequence[Any]) -> None:
        """Buffer a row; `flush` writes it."""
        rows = self._rows.get(into)
        if rows is None:
            self._rows[into] = [row]
        else:
            rows.append(row)

    def flush(self, only: "Insert | None" = None) -> None:
        """Write buffered rows, of all tables or of one."""
        if only is not None:
            if rows := self._rows.pop(only, None):
                only.write(self, rows)
            return
        if not self.sqlite and len(self._rows) > 1 and sum(map(len, self._rows.values())) <= FEW_ROWS:
            write_together(self, self._rows)
            self._rows = {}
        while self._rows:
            into, rows = self._rows.popitem()
            into.write(self, rows)


def session_of(connection: Connection) -> Session:
    """The session of a connection."""
    options = connection.get_execution_options()
    found = options.get(_KEY)
    if found is None:
        found = Session(connection)
        connection.execution_options(**{_KEY: found})
    session: Session = found
    return session


def buffered(work: WorkT) -> WorkT:
    """Mark work that reads no buffered row, or flushes it first: the writer need not flush before it."""
    work.buffered = True  # type: ignore[attr-defined]
    return work


class Insert:
    """Writes many rows of one table with one statement.

    Args:
        table: The table.
        columns: The columns of each row, in order.
        conflict: What becomes of a row whose primary key is there: an error, `nothing`, or `update`.
    """

    __slots__ = ("_columns", "_head", "_tail", "_texts")
    LONGEST = 512
    """Rows in one statement: SQLite admits 32,766 parameters, PostgreSQL 65,535."""
    STEP = 32
    """Statements are for any number of rows up to this, and for its multiples: the driver keeps them prepared."""

    def __init__(self, table: Table, columns: Sequence[str], conflict: str | None = None) -> None:
        quoted = [f'"{name}"' for name in columns]
        self._columns = len(columns)
        self._head = f'INSERT INTO "{table.name}" ({", ".join(quoted)}) VALUES '  # noqa: S608
        self._tail = ""
        if conflict == "nothing":
            self._tail = " ON CONFLICT DO NOTHING"
        elif conflict == "update":
            keys = [column.name for column in table.primary_key]
            changed = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in keys)
            self._tail = f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"
        self._texts: dict[int, str] = {}

    def write(self, session: Session, rows: Sequence[Sequence[Any]]) -> int:
        """Write *rows* now; returns how many were new or changed."""
        start, written = 0, 0
        while start < len(rows):
            count = self._count(len(rows) - start)
            values = rows[start] if count == 1 else list(chain.from_iterable(rows[start : start + count]))
            written += session.execute(self.text_of(count), values).rowcount
            start += count
        return written

    def _count(self, left: int) -> int:
        return left if left < self.STEP else min(self.LONGEST, left - left % self.STEP)

    def text_of(self, rows: int) -> str:
        """The statement for so many rows, with `?` for each value."""
        known = self._texts.get(rows)
        if known is None:
            row = f"({', '.join('?' * self._columns)})"
            known = self._texts[rows] = self._head + ", ".join([row] * rows) + self._tail
        return known


def write_together(session: Session, rows: Mapping[Insert, Sequence[Sequence[Any]]]) -> None:
    """Write rows of several tables with one statement; on PostgreSQL, which has inserting `WITH` queries."""
    *others, last = (into.text_of(len(some)) for into, some in rows.items())
    parts = ", ".join(f"i{number} AS ({text})" for number, text in enumerate(others))
    session.execute(f"WITH {parts} {last}", [value for some in rows.values() for row in some for value in row])


@lru_cache(maxsize=1000)
def numbered(text: str) -> str:
    """A statement with `$1`, `$2`, … in place of its question marks."""
    first, *rest = text.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


@contextmanager
def transaction(connection: Connection) -> Iterator[Session]:
    """All or nothing; yields the session."""
    session = session_of(connection)
    session.begin(connection)
    try:
        yield session
        session.flush()
    except BaseException:
        session.undo(connection)
        raise
    session.commit(connection)


def savepoint(session: Session, command: str) -> None:
    """`SAVEPOINT`, `RELEASE SAVEPOINT` or `ROLLBACK TO SAVEPOINT`, past SQLAlchemy's own."""
    session.driver.execute(f"{command} job")
