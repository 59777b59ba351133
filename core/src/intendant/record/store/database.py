"""Opens a database: creates it where it is empty, refuses it where it is of another version."""

from functools import cache
from pathlib import Path
from sqlite3 import OperationalError
from time import monotonic, sleep
from typing import Any, Literal

from sqlalchemy import (  # noqa: TID253
    Connection,
    Engine,
    ExecutableDDLElement,
    StaticPool,
    create_engine,
    create_mock_engine,
    event,
    inspect,
    text,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError  # noqa: TID253

from intendant.model.errors import SchemaMismatch, StoreError
from intendant.record.store import triggers
from intendant.record.store.adoption import adopt
from intendant.record.store.session import session_of
from intendant.record.store.tables import HEAD, VERSION_TABLE, metadata

Durability = Literal["full", "normal"]
BUSY_SECONDS = 30
"""How long a process waits for another one to let go of an SQLite database."""
LOCK = 6_174_636_851
"""The advisory lock on PostgreSQL under which tables are created."""
COMMITTED = "0010"
"""From this version on the chains commit to rows."""


def connect(url: str, durability: Durability = "normal") -> Engine:
    """An engine for *url*; nothing is opened yet.

    Raises:
        StoreError: The URL is wrong, its folder cannot be made, or its driver is not installed.
    """
    try:
        if url == "none":
            engine = create_engine(
                "sqlite://",
                poolclass=StaticPool,
                connect_args={"check_same_thread": False, **_arguments("sqlite")},
            )
        else:
            engine = create_engine(url, connect_args=_arguments(url))
            _make_folder(engine)
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(
            f"'{url}' is not a database URL: {error}", hint="write, for example, sqlite:///runs.db, or none"
        ) from None
    except ModuleNotFoundError as error:
        raise StoreError(
            f"the driver for '{url}' is not installed ({error.name})",
            hint="for PostgreSQL: pip install 'intendant[postgresql]' and postgresql+psycopg://…",
        ) from None
    if engine.dialect.name == "sqlite":
        _tune_sqlite(engine, durability)
    return engine


def _arguments(url: str) -> dict[str, Any]:
    """Arguments for the driver: SQLite's keeps the statements of the hot path prepared, all numbers of rows."""
    return {"cached_statements": 512} if url.startswith("sqlite") else {}


def _make_folder(engine: Engine) -> None:
    path = engine.url.database
    if engine.dialect.name != "sqlite" or not path:
        return
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the folder of {path} cannot be made: {error.strerror}", hint="use another database URL"
        ) from None


def _tune_sqlite(engine: Engine, durability: Durability) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for savepoints
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        # A commit writes each page that it touches: small ones make small commits. Only a new file takes the size.
        cursor.execute("PRAGMA page_size = 2048")
        _use_wal(cursor)
        # More is left to the checkpoints beside the writer; this one bounds the log.
        cursor.execute("PRAGMA wal_autocheckpoint = 16000")
        cursor.execute(f"PRAGMA synchronous = {durability.upper()}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # If two writers began with a read, neither could write then. On the driver, since SQLAlchemy's own
        # execution takes four times as long.
        driver = session_of(connection).driver
        if not driver.in_transaction:
            driver.execute("BEGIN IMMEDIATE")


def _use_wal(cursor: Any) -> None:
    """Switch to a write-ahead log. While another process switches a new file, SQLite refuses without waiting."""
    until = monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except OperationalError as error:
            if "locked" not in str(error) or monotonic() > until:
                raise
            sleep(0.01)
        else:
            return


def prepare(engine: Engine) -> None:
    """Create the tables in an empty database; check the version of any other.

    Raises:
        SchemaMismatch: The database is older or newer than this version of Intendant.
        StoreError: The database cannot be opened.
    """
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":  # of several processes one creates the tables
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            version = _version(connection)
            if version is None:
                driver = session_of(connection).driver
                for statement in _creating(f"{connection.dialect.name}+{connection.dialect.driver}"):
                    driver.execute(statement)
                return
    except (SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as error:
        raise StoreError(f"the database {engine.url!r} cannot be opened: {short(error)}") from None
    if version != HEAD:
        upgrade_it = "make a copy, then run `intendant db upgrade`; or use another database"
        update_us = (
            "a newer version of Intendant has made or upgraded it: update Intendant, or use another database"
        )
        raise SchemaMismatch(
            f"the database {engine.url!r} has version {version}, this program needs {HEAD}",
            hint=update_us if version > HEAD else upgrade_it,
        )


@cache
def _creating(dialect: str) -> tuple[str, ...]:
    """The statements that make an empty database one of version `HEAD`. They are made once, and executed on the
    driver: making them, and SQLAlchemy's own execution, take longer than the database.
    """
    found: list[str] = []

    def take(ddl: ExecutableDDLElement, *_: object, **__: object) -> None:
        found.append(str(ddl.compile(dialect=mock.dialect)))

    mock = create_mock_engine(f"{dialect}://", take)
    metadata.create_all(mock, checkfirst=False)
    # The version is noted the way alembic does.
    return (
        *found,
        *triggers.statements(mock.dialect.name),
        f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
        f"INSERT INTO {VERSION_TABLE} VALUES ('{HEAD}')",  # noqa: S608  # constants
    )


def _version(connection: Connection) -> str | None:
    """The database's version; None if it has none of our tables."""
    names = inspect(connection).get_table_names()
    if VERSION_TABLE not in names:
        if "run" in names:
            raise SchemaMismatch(f"the database has a table `run` of another program, and no {VERSION_TABLE}")
        return None
    row = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).first()  # noqa: S608
    return str(row[0]) if row else ""


def upgrade(engine: Engine, key: bytes | None = None) -> None:
    """Bring an older database to `HEAD` by its migrations.

    Args:
        engine: The database.
        key: Signs the events that commit to what an older version has written.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        with engine.begin() as connection:
            before = _version(connection) if VERSION_TABLE in inspect(connection).get_table_names() else None
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            if before is not None and before < COMMITTED:
                adopt(connection, key)
    except (SQLAlchemyError, CommandError) as error:
        raise StoreError(f"the database {engine.url!r} cannot be upgraded: {short(error)}") from None


def short(error: Exception) -> str:
    """What a database's error says, in one line."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]
