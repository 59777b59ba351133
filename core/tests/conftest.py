"""What tests of the core share."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

SERVER = os.environ.get("INTENDANT_TEST_POSTGRESQL", "")
needs_server = pytest.mark.skipif(not SERVER, reason="needs a PostgreSQL server: run `nox -s postgresql`")


@pytest.fixture(params=["file", pytest.param("postgresql", marks=needs_server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each sort that several processes may use, empty."""
    if request.param == "file":
        yield f"sqlite:///{tmp_path}/x.db"
        return
    server = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    name = f"test_{uuid4().hex}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.url.set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()
