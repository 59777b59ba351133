"""The dispatcher on DBOS keeps the promises of dispatchers, and brings runs to workers."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from intendant import SettingsError, Workflow
from intendant.plugin import IntentHandler, IntentSpec
from intendant.record.store import integrity, runs
from intendant.testing import DispatcherContract, engine
from intendant_dbos import DbosDispatcher

SERVER = os.environ.get("INTENDANT_TEST_POSTGRESQL", "")
on_server = pytest.mark.skipif(not SERVER, reason="needs a PostgreSQL server: run `nox -s postgresql`")


def made() -> DbosDispatcher:
    """A dispatcher with tables of its own."""
    return DbosDispatcher({"url": SERVER, "table_schema": f"dbos_{uuid4().hex[:12]}", "poll_seconds": 0.02})


@on_server
class TestDbos(DispatcherContract):
    plugin = DbosDispatcher
    entry_point = "dbos"
    ordered = False
    later = 6.0

    @asynccontextmanager
    async def started(self, runs, concurrency=4):
        dispatcher = made()
        await dispatcher.start(runs, worker="contract", concurrency=concurrency)
        try:
            yield dispatcher
        finally:
            await dispatcher.stop(0.0)


async def test_without_a_database_it_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="has no database") as refused:
        await DbosDispatcher().start(None, worker="w", concurrency=1)
    assert "dispatcher:dbos" in refused.value.hint


WORKER = """
import asyncio, os, sys
from intendant.pilot import heartbeats, worker_loop
from intendant.pilot.worker_loop import Worker
from intendant.plugin import IntentHandler, IntentSpec, StepResult
from intendant.testing import engine
from intendant_dbos import DbosDispatcher

class Note(IntentHandler):
    spec = IntentSpec(name="note", summary="Note", examples=("Note it",))
    def needs_model(self, step): return False
    async def handle(self, request):
        await asyncio.sleep(float(sys.argv[3]))
        return StepResult(output=os.getpid())

heartbeats.LEASE_SECONDS, heartbeats.BEAT_SECONDS = 3.0, 0.3
worker_loop.ABANDONED_SECONDS = 0.3

async def main():
    dispatcher = DbosDispatcher({"url": sys.argv[1], "table_schema": sys.argv[2], "poll_seconds": 0.05})
    async with engine(Note(), db=sys.argv[1]) as service:
        await Worker(service._engine, dispatcher=dispatcher, concurrency=3).run()

asyncio.run(main())
"""


def command_of(folder, schema: str, seconds: float) -> list[str]:
    """Starts a worker whose steps take so long."""
    script = folder / "worker.py"
    script.write_text(textwrap.dedent(WORKER))
    return [sys.executable, str(script), SERVER, schema, str(seconds)]


class Note(IntentHandler):
    """Is executed by the workers."""

    spec = IntentSpec(name="note", summary="Note", examples=("Note it",))

    def needs_model(self, step):
        return False

    async def handle(self, request):
        raise AssertionError("this process executes nothing")


def flow_of(steps: int) -> Workflow:
    many = [{"id": f"s{n}", "intent": "note", "input": n} for n in range(steps)]
    many = [{**step, "needs": [f"s{n - 1}"]} if n else step for n, step in enumerate(many)]
    return Workflow.model_validate({"name": "shared", "agent": f"agent_{uuid4().hex[:8]}", "steps": many})


@on_server
async def test_two_workers_share_the_runs_of_a_third_process(tmp_path) -> None:
    schema = f"dbos_{uuid4().hex[:12]}"
    command = command_of(tmp_path, schema, 0.05)
    async with engine(Note(), db=SERVER) as service:
        ids = [await service.submit(flow_of(3)) for _ in range(12)]
        workers = [subprocess.Popen(command) for _ in range(2)]
        try:
            async with asyncio.timeout(90):
                while True:
                    rows = [await service._engine.store.do(runs.find_run(run_id)) for run_id in ids]
                    if all(row.status == "completed" for row in rows):
                        break
                    await asyncio.sleep(0.2)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait(20)
        assert len({row.worker for row in rows}) == 2


@on_server
async def test_what_a_killed_worker_was_at_is_taken_over(tmp_path) -> None:
    """Once, and what it had done is not done again."""
    schema = f"dbos_{uuid4().hex[:12]}"
    command = command_of(tmp_path, schema, 1.0)
    async with engine(Note(), db=SERVER) as service:
        store, run_id = service._engine.store, await service.submit(flow_of(6))

        async def steps_done() -> int:
            return len(await store.do(runs.steps_of(run_id)))

        first = subprocess.Popen(command)
        second = None
        try:
            async with asyncio.timeout(120):
                while await steps_done() < 2:
                    await asyncio.sleep(0.05)
                second = subprocess.Popen(command)
                first.kill()
                while (await store.do(runs.find_run(run_id))).status != "completed":
                    await asyncio.sleep(0.05)
        finally:
            for worker in filter(None, (first, second)):
                worker.terminate()
                worker.wait(20)
        outputs = [json.loads(step.output) for step in await store.do(runs.steps_of(run_id))]
        assert sorted(set(outputs)) == sorted({first.pid, second.pid})
        assert outputs.count(first.pid) >= 2
        assert not (await store.do(integrity.verify())).broken
