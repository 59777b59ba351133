"""Reads one plain table with DuckDB, locked down: no other file, no network, no extension, no change of settings.

What is executed is written by handlers; text of users gets into a statement as a quoted name or a bound value
only.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from intendant.model.record_access import Table
from intendant.model.workflow import Json

MEMORY = "100MB"
THREADS = 2
BUFFER = 8 << 20
"""Bytes that each thread reads at once; a row may be a fourth as long."""
_PATTERN = re.compile(r"[*?\[\]{}\0]")
NO_NULL = "\x01null\x01"
"""What stands for null in tables: nothing that is written in any, so that empty values stay empty."""


class TableEngine:
    """One table, as `source` of statements.

    Attributes:
        source: What stands behind FROM. Columns have their names; each value is text, empty where it is.
    """

    def __init__(self, connection: Any, source: str) -> None:
        self._connection = connection
        self.source = source

    def rows(
        self, statement: str, values: Sequence[Json] = (), size: int = 5000
    ) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a statement, in batches.

        Raises:
            TableUnfit: The table is not what it seemed to be, or a figure does not fit.
        """
        from duckdb import BinderException, CatalogException, Error, ParserException

        try:
            found = self._connection.execute(statement, list(values))
            while batch := found.fetchmany(size):
                yield batch
        except (BinderException, CatalogException, ParserException):
            raise  # a fault of who has written the statement
        except Error as error:
            raise TableUnfit(str(error)) from None

    def interrupt(self) -> None:
        """End the statement that is executed, from another thread."""
        self._connection.interrupt()


class TableUnfit(Exception):  # no error for users: the records are read one by one then
    """The engine cannot read a table in the way that is asked for."""


@contextmanager
def open_table(table: Table) -> Iterator[TableEngine]:
    """An engine for *table*.

    Raises:
        TableUnfit: DuckDB is not installed, or cannot be started.
    """
    if not _usable(table):
        raise TableUnfit("its names differ by case only or are reserved, or its path is a pattern")
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in table.columns)
    source = (
        f"read_csv({literal(table.path)}, header=true, auto_detect=false, columns={{{columns}}}, "
        f"delim={literal(table.delimiter)}, quote='\"', escape='\"', strict_mode=true, null_padding=false, "
        f"compression='none', buffer_size={BUFFER}, nullstr={literal(NO_NULL)})"
    )
    with _locked(table.path) as connection:
        yield TableEngine(connection, source)


@contextmanager
def open_parquet(path: str) -> Iterator[TableEngine]:
    """An engine for a file of Parquet, whose columns have their own types.

    Raises:
        TableUnfit: DuckDB is not installed, or the path is a pattern.
    """
    if _PATTERN.search(path):
        raise TableUnfit("its path is a pattern")
    with _locked(path) as connection:
        yield TableEngine(connection, f"read_parquet({literal(path)})")


@contextmanager
def _locked(path: str) -> Iterator[Any]:
    """A connection that can read one file."""
    try:
        import duckdb
    except ImportError:
        raise TableUnfit("duckdb is not installed") from None
    with duckdb.connect(":memory:") as connection:
        for setting in (
            f"SET allowed_paths=[{literal(path)}]",
            f"SET memory_limit='{MEMORY}'",
            f"SET threads={THREADS}",
            "SET autoinstall_known_extensions=false",
            "SET autoload_known_extensions=false",
            "SET temp_directory=''",
            "SET enable_external_access=false",
            "SET lock_configuration=true",
        ):
            connection.execute(setting)
        yield connection


def _usable(table: Table) -> bool:
    names = {name.lower() for name in table.columns}
    plain = len(names) == len(table.columns) and not any(name.startswith("__") or "\0" in name for name in names)
    return plain and not _PATTERN.search(table.path)


def quoted(name: str) -> str:
    """A name in a statement."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text in a statement."""
    return "'" + text.replace("'", "''") + "'"
