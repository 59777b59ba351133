"""Statements for the hot path: written with SQLAlchemy, compiled once, then handed straight to the driver.

SQLAlchemy takes some 50 µs to execute a statement, SQLite 3. A call that is paid for needs about eight.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import (  # noqa: TID253
    JSON,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    UpdateBase,
    bindparam,
    cast,
    func,
)

ResultT = TypeVar("ResultT")
Work = Callable[[Connection], ResultT]
"""Something to do in a transaction; give it to `Store.do`."""


def columns(table: Table, row: type) -> list[Column[Any]]:
    """The columns of *table* in the order of the fields of *row*, a `NamedTuple` or a dataclass with slots."""
    names_of_row: Sequence[str] = getattr(row, "_fields", None) or row.__slots__  # type: ignore[attr-defined]
    return [table.c[name] for name in names_of_row]


def json_text(connection: Connection, column: Any, *path: str) -> ColumnElement[Any]:
    """A value in a column of JSON text; null where there is none."""
    if connection.dialect.name == "sqlite":
        return func.json_extract(column, "$." + ".".join(path))
    return func.json_extract_path_text(cast(column, JSON), *path)


def driver_of(connection: Connection) -> Any:
    """The driver's own connection; SQLAlchemy takes longer to find it than SQLite to do something."""
    known = connection.info
    if (driver := known.get("driver")) is None:
        driver = known["driver"] = connection.connection.driver_connection
    return driver


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """All or nothing. For SQLite past SQLAlchemy's own, which takes as long as two statements."""
    if connection.dialect.name != "sqlite":
        with connection.begin():
            yield
        return
    driver_of(connection).execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        undo(connection)
        raise
    if connection.in_transaction():
        connection.commit()
    elif driver_of(connection).in_transaction:
        driver_of(connection).execute("COMMIT")


def undo(connection: Connection) -> None:
    """Undo the transaction, and forget what was read in it."""
    connection.info.pop("windows", None)
    connection.rollback()
    if connection.dialect.name == "sqlite" and driver_of(connection).in_transaction:
        driver_of(connection).execute("ROLLBACK")


class Statement:
    """One statement; its parameters are named bindparams.

    Args:
        made: The statement.
    """

    def __init__(self, made: Select[Any] | UpdateBase) -> None:
        self._made = made
        self._known: dict[str, tuple[str, dict[str, Any]]] = {}

    def __call__(self, connection: Connection, **values: Any) -> Any:
        """Execute it in the connection's transaction; returns the driver's cursor."""
        text, constants = self._known.get(connection.dialect.name) or self._compile(connection)
        return driver_of(connection).execute(text, {**constants, **values} if constants else values)

    def _compile(self, connection: Connection) -> tuple[str, dict[str, Any]]:
        dialect = connection.dialect
        if dialect.name == "sqlite":
            dialect = type(dialect)(paramstyle="named")  # type: ignore[call-arg]  # so that values go by name
        compiled = self._made.compile(dialect=dialect)
        constants = {key: value for key, value in compiled.params.items() if value is not None}
        self._known[connection.dialect.name] = (str(compiled), constants)
        return self._known[connection.dialect.name]


@lru_cache(maxsize=32)
def names(count: int) -> tuple[BindParameter[str], ...]:
    """Parameters `n0`, `n1`, … for `IN` with *count* values."""
    return tuple(bindparam(f"n{number}") for number in range(count))


def named(values: Sequence[Any]) -> dict[str, Any]:
    """*values* for `names(len(values))`."""
    return {f"n{number}": value for number, value in enumerate(values)}


def savepoint(connection: Connection, command: str) -> None:
    """`SAVEPOINT job`, `RELEASE SAVEPOINT job` or `ROLLBACK TO SAVEPOINT job`, past SQLAlchemy's own."""
    driver_of(connection).execute(f"{command} job")
