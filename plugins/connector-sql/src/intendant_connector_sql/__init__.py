"""Queries SQL databases. A query cannot write: the database itself prevents it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import Field, JsonValue

from intendant.plugin import (
    ConnectorCall,
    ConnectorError,
    FileRoots,
    Json,
    LocalFiles,
    NetworkConnector,
    NetworkSettings,
    Options,
    operation,
)
from intendant_connector_sql._places import NO_URL, Place, place_of, sqlite_file
from intendant_connector_sql._statements import check_read, check_single

__all__ = ["Execute", "Query", "SqlConnector", "SqlSettings"]

T = TypeVar("T")
NOT_ALLOWED = "sql.execute is not allowed"


class SqlSettings(NetworkSettings):
    """Settings of the connector."""

    writes: bool = False
    """Whether `sql.execute` is allowed."""
    roots: tuple[Path, ...] = ()
    """Folders in which SQLite files may be used, besides the working directory."""
    working_folder: bool = True
    """Whether the working directory of the process is allowed too."""
    max_rows: int = Field(default=100_000, ge=1)
    """Maximum number of rows of one query; more is an error."""
    max_bytes: int = Field(default=100_000_000, ge=1)
    """Approximate maximum size in bytes of the texts in all rows of one query."""
    read_only_logins: tuple[str, ...] = ()
    """Databases, such as `mssql`, that have no read-only transactions, but whose login is read-only itself."""


class _Database(Options):
    url: str = Field(min_length=1)
    """An SQLAlchemy URL: `sqlite:///shop.db`, `postgresql+psycopg://host/shop`."""
    user: str | None = None
    password: str | None = Field(default=None, repr=False)
    """The password, as `"{{ secrets.NAME }}"`. It needs no escaping here, unlike in the URL."""
    sql: str = Field(min_length=1, max_length=1_000_000)
    """A single statement, with `:name` for each parameter. References are not allowed within it, except to inputs
    that are numbers or have `choices`."""


class Query(_Database):
    """What to read."""

    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """Values of the parameters; a list expands to several values, as in `where id in :ids`."""
    max: int | None = Field(default=None, ge=1)
    """Maximum number of rows; further rows are left out. By default, more rows than the setting `max_rows` are an
    error."""


class Execute(_Database):
    """What to change."""

    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """Values of the parameters. If the step's input is a list of records, the statement is executed for each of
    them, and their fields are parameters too."""


class SqlConnector(NetworkConnector):
    """Queries SQL databases through SQLAlchemy; read-only unless a setting allows writing."""

    name = "sql"
    statements = frozenset(("sql",))
    Settings = SqlSettings

    @operation(side_effects=False)
    async def query(self, parameters: Query, call: ConnectorCall) -> Json:
        """Read rows as records. Parameters are always bound, never inserted into the statement.

        Returns:
            A record for each row. Dates and times are ISO 8601, exact numbers that JSON cannot hold are texts,
            bytes are Base64.

        Raises:
            AddressRefused: The server may not be reached.
            ConnectorError: It is no single statement that reads, or the database refuses it.
        """
        from intendant_connector_sql._database import query

        check_read(parameters.sql)
        place = await self._place(parameters, call, write=False)
        settings: SqlSettings = self.settings
        bounds = (parameters.max, settings.max_rows, settings.max_bytes)
        asked = parameters.sql, parameters.parameters
        return await self._threaded(place, lambda: query(place, *asked, bounds, call.notes))

    @operation(side_effects=True, needs_input=False)
    async def execute(self, parameters: Execute, call: ConnectorCall) -> Json:
        """Change data in one transaction: once, or for each record of the step's input.

        Returns:
            `{rows}`: how many were changed, null where the database does not say.

        Raises:
            AddressRefused: The server may not be reached.
            ConnectorError: Writing is not allowed, it is no single statement, or the database refuses it. Nothing
                was changed then.
        """
        from intendant_connector_sql._database import execute

        if not self.settings.writes:
            raise ConnectorError(NOT_ALLOWED, hint=self._allowing, delivered=False)
        check_single(parameters.sql)
        place = await self._place(parameters, call, write=True)
        many = _records(call.input, parameters.parameters)
        return await self._threaded(place, lambda: execute(place, parameters.sql, many))

    def doubts(self, name: str, given: Mapping[str, Json]) -> Iterable[str]:
        """Reports statements that do not read, writes and addresses that are not allowed, and invalid URLs."""
        yield from super().doubts(name, given)
        url, sql = given.get("url"), given.get("sql")
        if isinstance(url, str) and "{{" not in url and "://" not in url:
            yield NO_URL
        if name == "query" and isinstance(sql, str) and "{{" not in sql:
            try:
                check_read(sql)
            except ConnectorError as error:
                yield f"{error.message}; {error.hint}"
        if name == "execute" and not self.settings.writes:
            yield f"{NOT_ALLOWED}; {self._allowing}"

    def files(self, name: str, given: Mapping[str, Json], folder: str) -> LocalFiles | None:  # noqa: ARG002
        """The file of a SQLite database, which no statement makes."""
        path = sqlite_file(given.get("url"))
        return LocalFiles(self._roots(folder), reads=(path,)) if path else None

    def _roots(self, folder: str) -> FileRoots:
        own = (Path(), Path(folder)) if self.settings.working_folder else ()
        return FileRoots((*own, *self.settings.roots), owner=self.key, beside=folder if own else "")

    @property
    def _allowing(self) -> str:
        return f"allow it: --set {self.setting('writes')}=true"

    async def _place(self, parameters: _Database, call: ConnectorCall, *, write: bool) -> Place:
        settings: SqlSettings = self.settings
        roots = self._roots(call.folder)
        place = await place_of(parameters.url, parameters.user, parameters.password, roots, self.addresses)
        if not write and not place.can_be_read_only and place.backend not in settings.read_only_logins:
            raise ConnectorError(
                f"{place.backend} cannot be told to refuse writes",
                hint=f"use a login that may only read, and name '{place.backend}' in "
                f"{self.setting('read_only_logins')}",
                delivered=False,
            )
        return place._replace(write=write, seconds=settings.seconds)

    async def _threaded(self, place: Place, work: Callable[[], T]) -> T:
        """Work in a thread; a cancellation interrupts the database."""
        task = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            async with self.within("the statement"):
                return await asyncio.shield(task)
        except BaseException:
            if not task.done():
                place.stop()
            await asyncio.wait([task], timeout=5)
            if task.done() and not task.cancelled():
                task.exception()  # it is told already
            raise


def _records(value: Json, parameters: dict[str, Json]) -> list[dict[str, Json]]:
    """The values of the parameters for each execution."""
    if value is None:
        return [parameters]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise ConnectorError(
            f"the input is no list of records ({type(value).__name__})",
            hint="give a list of records, or no input and `parameters`",
            delivered=False,
        )
    return [{**parameters, **record} for record in value]
