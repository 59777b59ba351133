"""Runs a statement, read-only as far as the database itself can be told so."""

import re
import sqlite3
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from intendant.plugin import ConnectorError, Json
from intendant_connector_sql._places import Place

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.exc import DBAPIError

_SAID = 500
_FETCHED = 500
"""Rows that are fetched at once."""
_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_TRANSACTION,
}
_NEVER = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_PRAGMA}
_FUNCTIONS = {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"}
_READ_ONLY = {
    "postgresql": ("SET TRANSACTION READ ONLY", "SELECT 1"),
    "mysql": ("ROLLBACK", "START TRANSACTION READ ONLY"),
    "mariadb": ("ROLLBACK", "START TRANSACTION READ ONLY"),
    "oracle": ("SET TRANSACTION READ ONLY",),
}
"""What is said before a query; after the first statement no other can make the transaction writable."""


def query(
    place: Place,
    sql: str,
    values: Mapping[str, Json],
    bounds: tuple[int | None, int, int],
    notes: list[str],
) -> list[Json]:
    """The rows, as records.

    Args:
        place: The database.
        sql: The statement.
        values: Values of its parameters.
        bounds: Rows that are wanted, rows and bytes that are admitted.
        notes: Gets what of the rows is not as the database has it.

    Raises:
        ConnectorError: The database refuses it, or there are too many rows.
    """
    wanted, most, most_bytes = bounds
    with _opened(place) as connection:
        for statement in () if place.write else _READ_ONLY.get(place.backend, ()):
            connection.exec_driver_sql(statement)
        result = connection.execution_options(stream_results=True).execute(_prepared(sql, values), dict(values))
        if not result.returns_rows:
            raise ConnectorError("the statement gives no rows", hint="sql.execute changes data", delivered=False)
        names = _names(list(result.keys()))
        rows: list[Json] = []
        size = odd = 0
        while part := result.fetchmany(min(_FETCHED, (wanted or most) - len(rows) + 1)):
            for row in part:
                if wanted is not None and len(rows) == wanted:
                    notes += [f"there are more rows than `max: {wanted}`, which were left out", *_of_odd(odd)]
                    return rows
                record = {name: _value(value) for name, value in zip(names, row, strict=True)}
                odd += sum(map(_is_odd, row)) if None in record.values() else 0
                size += sum(len(value) for value in record.values() if isinstance(value, str))
                rows.append(record)
            _check(len(rows), size, most, most_bytes)
        notes += _of_odd(odd)
        return rows


def _is_odd(value: Any) -> bool:
    """True for what becomes null and is something in the database."""
    return value is not None and _value(value) is None


def _of_odd(count: int) -> list[str]:
    return (
        [f"{count} values are no figures that JSON has, such as NaN and infinity, and are null"] if count else []
    )


def _check(rows: int, size: int, most: int, most_bytes: int) -> None:
    if rows > most:
        hint = "add a limit, give `max`, or raise max_rows of connector:sql"
        raise ConnectorError(f"there are more than {most} rows", hint=hint)
    if size > most_bytes:
        hint = "select fewer columns or rows, or raise max_bytes of connector:sql"
        raise ConnectorError(f"the rows have more than {most_bytes} bytes", hint=hint)


def execute(place: Place, sql: str, many: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """Do a statement for each set of values, in one transaction.

    Raises:
        ConnectorError: The database refuses it; `delivered` is False unless that was while it was committed.
    """
    from sqlalchemy.exc import SQLAlchemyError

    if not many:
        return {"rows": 0}
    with _opened(place) as connection:
        statement = _prepared(sql, many[0])
        changed: int | None = 0
        names = set(statement._bindparams)  # noqa: SLF001  # the public way is to compile it
        for values in many:
            result = connection.execute(statement, {name: values[name] for name in names if name in values})
            changed = None if changed is None or result.rowcount < 0 else changed + result.rowcount
        try:
            connection.commit()
        except SQLAlchemyError as error:
            raise ConnectorError(f"the database broke off while committing: {_said(error)}") from None
        return {"rows": changed}


@contextmanager
def _opened(place: Place) -> "Iterator[Connection]":
    """A connection of its own; whatever is not committed is rolled back.

    Raises:
        ConnectorError: The database cannot be reached, or refuses a statement.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        engine = create_engine(place.url, poolclass=NullPool, **_options(place))
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            stop = getattr(driver, "interrupt", None) or getattr(driver, "cancel", None)
            if isinstance(driver, sqlite3.Connection):
                # Not before: the library asks for the version and such when it connects.
                driver.set_authorizer(_authorized_writing if place.write else _authorized)
            if stop is not None:
                place.stops.append(stop)
            try:
                yield connection
            finally:
                place.stops.clear()
    except (NoSuchModuleError, ImportError) as error:
        name = getattr(error, "name", None) or str(error).rpartition(":")[2]
        raise ConnectorError(
            f"there is no driver for {place.url.drivername} ({name} is missing)",
            hint="install it, such as: pip install 'psycopg[binary]'",
            delivered=False,
        ) from None
    except DBAPIError as error:
        lost = error.connection_invalidated or type(error).__name__ == "OperationalError"
        raise ConnectorError(
            f"the database refused it: {_said(error)}", hint=_hint(place, error), retryable=lost, delivered=False
        ) from None
    except (SQLAlchemyError, TypeError, ValueError) as error:
        raise ConnectorError(f"the statement cannot be run: {_said(error)}", delivered=False) from None


def _options(place: Place) -> dict[str, Any]:
    if place.file is not None:
        return {"creator": lambda: _sqlite(place)}
    arguments: dict[str, Any] = {}
    if place.backend == "postgresql":
        limit = f"-c statement_timeout={int(place.seconds * 1000)}"
        only = "" if place.write else " -c default_transaction_read_only=on"
        arguments["options"] = limit + only
        if place.url.get_driver_name() in ("psycopg", "psycopg2"):
            arguments["hostaddr"] = place.address
        if place.url.get_driver_name() == "psycopg":
            # Statements are prepared, and a prepared statement is a single one for the server too.
            arguments["prepare_threshold"] = 0
    return {"connect_args": arguments}


def _sqlite(place: Place) -> sqlite3.Connection:
    mode = "rw" if place.write else "ro"
    return sqlite3.connect(
        f"file:{quote(str(place.file))}?mode={mode}",
        uri=True,
        timeout=min(place.seconds, 30),
        check_same_thread=False,
    )


def _authorized(action: int, _: str | None, second: str | None, *__: object) -> int:
    if action not in _READING or (action == sqlite3.SQLITE_FUNCTION and str(second).lower() in _FUNCTIONS):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _authorized_writing(action: int, _: str | None, second: str | None, *__: object) -> int:
    if action in _NEVER or (action == sqlite3.SQLITE_FUNCTION and str(second).lower() in _FUNCTIONS):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


_CAST = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*)|(?<![:\w\\]):[A-Za-z_]\w*(?=::)""")
"""A parameter with PostgreSQL's mark of a type, `:day::date`, which SQLAlchemy reads as none without a blank
between; and what quotes such text."""


def _prepared(sql: str, values: Mapping[str, Json]) -> Any:
    """The statement, with its parameters apart from it.

    Raises:
        ConnectorError: A parameter is missing, unknown, or of a type that no column has.
    """
    from sqlalchemy import bindparam, text

    statement = text(_CAST.sub(lambda match: match[0] if match[1] else f"{match[0]} ", sql))
    names = set(statement._bindparams)  # noqa: SLF001  # the public way is to compile it
    missing = sorted(names - set(values))
    if missing:
        raise ConnectorError(
            f"the statement has :{missing[0]}, which is not in `parameters`",
            hint=f"given: {', '.join(values) or 'none'}; write \\: for a colon that begins no parameter",
            delivered=False,
        )
    for name in names:
        value = values[name]
        if isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(item, dict | list) for item in value)
        ):
            raise ConnectorError(
                f"the parameter {name} is a map or a list of such", hint="give plain values", delivered=False
            )
    lists: list[Any] = [bindparam(name, expanding=True) for name in names if isinstance(values[name], list)]
    return statement.bindparams(*lists) if lists else statement


def _names(columns: list[str]) -> list[str]:
    """Names of the columns, each once."""
    found: list[str] = []
    for column in columns:
        name, count = column or "column", 1
        while name in found:
            count += 1
            name = f"{column}_{count}"
        found.append(name)
    return found


def _value(value: Any) -> Json:  # noqa: PLR0911  # a case for each type
    """A value as JSON."""
    if value is None or isinstance(value, bool | int | str | list | dict):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124  # not a number
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(bytes(value)).decode()
    return str(value)


def _number(value: Decimal) -> Json:
    """A number where JSON holds it exactly, else its text."""
    if not value.is_finite():
        return None
    if value == value.to_integral_value() and value.as_tuple().exponent == 0:
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)


def _said(error: Exception) -> str:
    """What a database said, without the statement and its parameters."""
    original = getattr(error, "orig", None)
    said = str(error if original is None else original)
    return " ".join(said.split())[:_SAID]


def _hint(place: Place, error: "DBAPIError") -> str:
    said = str(error.orig).lower()
    if not place.write and ("not authorized" in said or "readonly" in said or "read-only" in said):
        return "sql.query reads only; sql.execute changes data, where that is allowed"
    return ""
