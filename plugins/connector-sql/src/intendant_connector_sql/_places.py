"""Where a database is: a file inside the roots, or a server that may be reached."""

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from intendant.plugin import Addresses, ConnectorError, FileRoots

READ_ONLY = {"sqlite", "postgresql", "mysql", "mariadb", "oracle"}
"""Databases that can be told to refuse writes."""
PINNED = {"postgresql": 5432}
"""Databases whose driver can be told which address a name has."""
PORTS = {**PINNED, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}
HARMLESS = frozenset(
    {"sslmode", "connect_timeout", "application_name", "client_encoding", "charset", "ssl", "encrypt", "driver"}
    | {"trustservercertificate", "service_name", "target_session_attrs"}
)
"""Keys of a URL's query that lead neither to other files nor to other servers."""


NO_URL = "`url` is no URL of a database; such as sqlite:///shop.db or postgresql+psycopg://host/db"
_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?!:memory:|file:)([^?]+)")


def sqlite_file(url: Any) -> str | None:
    """The path of a SQLite database as its URL names it; None for any other URL. Does not load SQLAlchemy."""
    found = _SQLITE.match(url) if isinstance(url, str) else None
    return None if found is None else found[1]


class Place(NamedTuple):
    """A database, and how it is opened."""

    url: Any
    """SQLAlchemy's URL."""
    backend: str
    address: str | None = None
    """The server's checked address, where the driver takes one."""
    file: Path | None = None
    write: bool = False
    seconds: float = 60.0
    stops: list[Callable[[], object]] = []  # noqa: RUF012  # made anew by `place_of`
    """What to call where nobody waits any more."""

    @property
    def can_be_read_only(self) -> bool:
        """True if the database itself can refuse writes."""
        return self.backend in READ_ONLY

    def stop(self) -> None:
        """Interrupt what runs there."""
        for stop in list(self.stops):
            threading.Thread(target=_quietly, args=(stop,), daemon=True).start()


def _quietly(stop: Callable[[], object]) -> None:
    """Interrupt, if the connection is still open."""
    with suppress(Exception):  # each driver has errors of its own
        stop()


async def place_of(
    text: str, user: str | None, password: str | None, roots: FileRoots, addresses: Addresses
) -> Place:
    """The database that a URL names.

    Raises:
        AddressRefused: Its server may not be reached.
        ConnectorError: It is no URL, names a file outside the roots, or asks for more than a workflow may.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        raise _wrong(*NO_URL.split("; ")) from None
    url = url.set(username=user) if user is not None else url
    url = url.set(password=password) if password is not None else url
    odd = [key for key in url.query if key.lower() not in HARMLESS]
    if odd:
        raise _wrong(f"the URL's parameter '{odd[0]}' is not admitted", f"admitted: {', '.join(sorted(HARMLESS))}")
    if backend == "sqlite":
        return Place(url, backend, file=_file(url, roots), stops=[])
    if backend not in PORTS and not url.host:
        raise _wrong(f"databases of the kind {backend} without a server are not opened", "sqlite is")
    if not url.host:
        raise _wrong(
            "the URL names no server", "sockets of this machine are not used: write host 127.0.0.1, and allow it"
        )
    port = url.port or PORTS.get(backend, 0)
    found = await addresses.find(url.host, port)
    if backend in PINNED:
        return Place(url, backend, address=found[0], stops=[])
    if url.host != found[0] and not addresses.allows_name(url.host, port):
        # The driver looks the name up by itself, and may find another address.
        raise addresses.refusal(url.host, port, ["a name that the driver looks up itself"])
    return Place(url, backend, stops=[])


def _file(url: Any, roots: FileRoots) -> Path:
    """The file of a SQLite database.

    Raises:
        ConnectorError: It is outside the roots, or is not there.
    """
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise _wrong("the URL names no file", "such as sqlite:///shop.db")
    if url.host or url.username:
        raise _wrong("a URL of SQLite has no server and no user", "three slashes: sqlite:///shop.db")
    _, found = roots.locate(url.database)
    if len(found) != 1 or not found[0].is_file():
        hint = "it is looked for beside the workflow's file, then in the working folder"
        raise _wrong(f"{url.database} is not there", hint)
    return found[0]


def _wrong(message: str, hint: str) -> ConnectorError:
    return ConnectorError(message, hint=hint, delivered=False)
