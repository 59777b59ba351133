"""Workers on several machines lose nothing, and repeat nothing that was committed: whichever dies, hangs, or has a
wrong clock, and also when the server goes down.

Processes stand for machines; the PostgreSQL server is the tests' own, since they switch it off. `nox -s postgresql`.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from uuid import uuid4

import pytest
from fleet import fleet_on
from own_server import own_server
from sqlalchemy import func, select

from intendant import StoreError
from intendant.record.store import integrity
from intendant.record.store.tables import event, hold, step

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("INTENDANT_TEST_POSTGRESQL"), reason="starts a server: run `nox -s postgresql`"
    ),
    pytest.mark.timeout(300),
]
DISPATCHERS = ["embedded", "dbos", "absurd"]


@pytest.fixture(scope="module")
def server():
    with own_server("max_connections=200") as started:
        yield started


@pytest.fixture
def db(server) -> str:
    """A database with nothing but absurd in it."""
    return server.create(f"d_{uuid4().hex[:12]}", absurd=True)


async def rows_of(fleet, query):
    return await fleet.service._engine.store.do(lambda connection: connection.execute(query).all())


async def check(fleet, ids, steps: int, *, repeated: bool) -> None:
    """Each step was done once by what is committed, and the model was asked for nothing that was done.

    Args:
        fleet: The fleet.
        ids: Its runs, all completed.
        steps: How many each has.
        repeated: True if calls may have been out when something went down: these are asked again.
    """
    kept = Counter(row.run_id for row in await rows_of(fleet, select(step.c.run_id).where(step.c.run_id.in_(ids))))
    assert kept == dict.fromkeys(ids, steps)
    holds = await rows_of(fleet, select(hold.c.key, hold.c.run_id, hold.c.step_key, hold.c.state))
    answered = Counter((row.run_id, row.step_key) for row in holds if row.state == "settled")
    assert set(answered.values()) == {1}, "a step was answered twice"
    assert len(answered) == len(ids) * steps
    assert {row.state for row in holds} <= {"settled", "in_doubt"}
    asked = Counter(key for _, key, _ in fleet.books("asked"))
    assert max(asked.values()) == 1, "a call was sent twice under one key"
    assert set(asked) >= {row.key for row in holds if row.state == "settled"}
    if not repeated:
        assert len(asked) == len(ids) * steps
    assert not (await rows_of(fleet, select(hold.c.key).where(hold.c.state == "held")))
    assert not (await fleet.service._engine.store.do(integrity.verify())).broken


async def asked(fleet, calls: int) -> None:
    """Wait until the model was asked so often."""
    last = time.monotonic() + 60
    while len(fleet.books("asked")) < calls:
        assert time.monotonic() < last, fleet.said()
        await asyncio.sleep(0.02)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("dispatcher", DISPATCHERS)
async def test_a_worker_that_was_stopped_writes_nothing_once_its_runs_were_taken_over(db, dispatcher) -> None:
    async with fleet_on(db, dispatcher=dispatcher, lease=2.0, beat=0.3) as fleet:
        ids = await fleet.submit(4, 6)
        (zombie,) = fleet.started(1)
        await asked(fleet, 6)
        zombie.send_signal(signal.SIGSTOP)
        fleet.started(1)
        await fleet.until(ids)
        written = select(event.c.run_id, func.count()).group_by(event.c.run_id).order_by(event.c.run_id)
        before, calls = await rows_of(fleet, written), len(fleet.books("asked"))
        zombie.send_signal(signal.SIGCONT)
        await asyncio.sleep(3)
        assert zombie.poll() is None, "it goes on with other runs"
        assert await rows_of(fleet, written) == before
        assert len(fleet.books("asked")) == calls
        await check(fleet, ids, 6, repeated=True)
        more = await fleet.submit(6, 2)
        await fleet.until(more)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("dispatcher", DISPATCHERS)
async def test_nothing_is_lost_when_the_server_goes_down(server, db, dispatcher) -> None:
    """And comes back after two seconds: the workers live on, and end what they were at."""
    async with fleet_on(db, dispatcher=dispatcher, lease=2.0, beat=0.3) as fleet:
        ids = await fleet.submit(6, 6)
        workers = fleet.started(2)
        await asked(fleet, 10)
        server.stop()
        try:
            await asyncio.sleep(2)
        finally:
            server.start()
        with suppress(StoreError):  # the connection that this process had
            await fleet.rows(ids)
        await fleet.until(ids)
        assert [worker.poll() for worker in workers] == [None, None], fleet.said()
        await check(fleet, ids, 6, repeated=True)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("dispatcher", DISPATCHERS)
async def test_clocks_that_are_wrong_by_an_hour_take_nothing_over(db, dispatcher) -> None:
    """No run of a worker that lives is taken over, and that of a dead one is, as soon as usual."""
    async with fleet_on(db, dispatcher=dispatcher, lease=3.0, beat=0.3, concurrency=3) as fleet:
        ids = await fleet.submit(9, 8)
        victim = fleet.start(skew=-3600.0)
        fleet.ready(victim)
        await asked(fleet, 6)
        for skew in (3600.0, -3600.0):
            fleet.ready(fleet.start(skew=skew))
        await asked(fleet, 40)
        resumed = select(event.c.run_id).where(event.c.type == "resumed")
        assert len(await rows_of(fleet, resumed)) == len({row.run_id for row in await rows_of(fleet, resumed)})
        victim.kill()
        died = time.monotonic()
        await fleet.until(ids)
        assert time.monotonic() - died < 60
        await check(fleet, ids, 8, repeated=True)
        repeats = len(fleet.books("asked")) - len(ids) * 8
        assert repeats <= 3, "only what the dead worker was at is asked again"


@pytest.mark.sampled(1)
@pytest.mark.parametrize("dispatcher", DISPATCHERS)
async def test_workers_join_and_leave_without_repeating_anything(db, dispatcher) -> None:
    """SIGTERM lets a worker's steps end; others go on with its runs at once, not after the TTL of its leases."""
    async with fleet_on(db, dispatcher=dispatcher, lease=60.0, concurrency=2) as fleet:
        ids = await fleet.submit(20, 6)
        first, second = fleet.started(2)
        await asked(fleet, 10)
        joined = fleet.started(1)[0]
        first.terminate()
        assert first.wait(30) == 0, fleet.said()
        await asked(fleet, 40)
        second.terminate()
        assert second.wait(30) == 0, fleet.said()
        rows = await fleet.until(ids)
        assert any(row.worker.endswith(f":{joined.pid}") for row in rows)
        await check(fleet, ids, 6, repeated=False)
