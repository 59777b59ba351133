"""The dispatcher on absurd keeps the promises of dispatchers. `tests/machines` has it bring runs to several workers."""

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from uuid import uuid4

import pytest

from intendant import SettingsError
from intendant.testing import DispatcherContract
from intendant.testing.dispatcher_contract import Runs
from intendant_absurd import AbsurdDispatcher

SERVER = os.environ.get("INTENDANT_TEST_POSTGRESQL", "")
on_server = pytest.mark.skipif(not SERVER, reason="needs a PostgreSQL server: run `nox -s postgresql`")


@contextmanager
def database(*, absurd: bool):
    """A database of its own; without absurd, unless it is asked for."""
    import psycopg

    url, name = SERVER.replace("+psycopg", ""), f"absurd_{uuid4().hex[:12]}"
    found = f"{url.rpartition('/')[0]}/{name}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            if absurd:
                command = [sys.executable, "-c", "import absurdctl; absurdctl.main()", "init", "-d", found]
                subprocess.run(command, check=True, capture_output=True)
            yield found
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def url():
    """A database with absurd; each dispatcher has a queue of its own in it."""
    with database(absurd=True) as found:
        yield found


@on_server
class TestAbsurd(DispatcherContract):
    plugin = AbsurdDispatcher
    entry_point = "absurd"
    ordered = False

    @pytest.fixture(autouse=True)
    def _server(self, url):
        self.settings = {"url": url, "queue": f"q_{uuid4().hex[:12]}", "poll_seconds": 0.02}

    @asynccontextmanager
    async def started(self, runs, concurrency=4):
        dispatcher = AbsurdDispatcher(self.settings)
        await dispatcher.start(runs, worker="contract", concurrency=concurrency)
        try:
            yield dispatcher
        finally:
            await dispatcher.stop(0.0)

    async def test_a_run_that_waits_is_not_begun_once_it_was_cancelled(self):
        runs = Runs()
        runs.gate.clear()
        async with self.started(runs, concurrency=1) as made:
            await made.submit("first")
            await runs.until(lambda: runs.begun)
            await made.submit("second")
            await made.submit("third")
            await made.cancel_hint("second")
            runs.gate.set()
            await runs.until(lambda: "third" in runs.ended)
        assert runs.begun == ["first", "third"]

    async def test_a_claim_outlives_its_time_while_the_process_is_at_the_run(self):
        """Heartbeats extend it: no other lane is given the run."""
        runs = Runs()
        runs.gate.clear()
        dispatcher = AbsurdDispatcher({**self.settings, "claim_seconds": 2})
        await dispatcher.start(runs, worker="contract", concurrency=2)
        try:
            await dispatcher.submit("long")
            await runs.until(lambda: runs.begun)
            await asyncio.sleep(3.5)
            assert (await dispatcher.health()).waiting == 0
            runs.gate.set()
            await runs.until(lambda: runs.ended)
            await asyncio.sleep(0.3)
        finally:
            await dispatcher.stop(0.0)
        assert runs.begun == ["long"]

    async def test_it_goes_on_when_its_connection_was_cut(self):
        import psycopg

        runs = Runs()
        async with self.started(runs, concurrency=2) as made:
            await made.submit("one")
            await runs.until(lambda: "one" in runs.ended)
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
            async with await psycopg.AsyncConnection.connect(self.settings["url"], autocommit=True) as server:
                await server.execute(cut)
            for _ in range(100):
                try:
                    await made.submit("two")
                    break
                except psycopg.OperationalError:
                    await asyncio.sleep(0.05)
            await runs.until(lambda: "two" in runs.ended)
        assert set(runs.ended) == {"one", "two"}


async def test_without_a_database_it_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="has no database") as refused:
        await AbsurdDispatcher().start(None, worker="w", concurrency=1)
    assert "dispatcher:absurd" in refused.value.hint


async def test_a_database_that_is_away_is_said() -> None:
    away = AbsurdDispatcher({"url": "postgresql://postgres@127.0.0.1:9/none"})
    with pytest.raises(SettingsError, match="cannot be reached"):
        await away.start(None, worker="w", concurrency=1)


@on_server
async def test_a_database_without_absurd_is_said_with_the_command_to_call() -> None:
    expected = pytest.raises(SettingsError, match="not installed in the database")
    with database(absurd=False) as bare, expected as refused:
        await AbsurdDispatcher({"url": bare}).start(None, worker="w", concurrency=1)
    assert "absurdctl init" in refused.value.hint
