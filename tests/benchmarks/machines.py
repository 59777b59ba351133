"""Many machines on one PostgreSQL: what a durable step costs, how workers scale, what becomes of those that die.

    python tests/benchmarks/machines.py [--rounds 12] [--trials 3] [--seed 1] [--only step,scaling,takeover,limit]

It starts a PostgreSQL server of its own, with fsync, and prints a table. Processes of this machine stand for
machines; each has a host name of its own, so that none can look another one up.

- step: milliseconds for each step of a chain of 20 (and for a run of one step) that asks a model which answers at
  once. Ours holds, settles, and records the call in hash chains; the peer is DBOS alone: a workflow whose steps make
  the same call. Both take turns in one run of this program.
- scaling: calls a second of 1, 2 and 4 workers, 8 runs at a time each, of a model that takes 200 ms: at most 40, 80
  and 160. Counted in the model's books, while there is more to do than workers.
- takeover: from `kill -9` to the event that another worker goes on with the run, less the TTL of its lease.
- limit: 8 workers spend one limit; every second one is killed and replaced, while more than half of them have
  started. Each call is billed in the model's books before it answers; they are what the limit is held against. A
  call that was out when its process died counts in full: nobody knows whether it was billed.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from fleet import Fleet, fleet_on
from fleet_parts import ANSWER, Ask, flow_of
from own_server import OwnServer, own_server
from sqlalchemy import select

from intendant import Workflow
from intendant.record.store import integrity, limits
from intendant.record.store.tables import budget, event, hold
from intendant.testing import ScriptedProvider, engine

CHAIN = 20
FINAL = ("completed", "failed", "refused", "cancelled")
Line = tuple[str, str, str, str]
"""A line of the table: what, the figure, what is asked, and whether that is met."""


# --- a durable step ---


async def ours(url: str) -> None:
    """A process that executes chains when it is told to, and says how long a step took."""
    flows: dict[int, Workflow] = {}
    async with engine(Ask(), ScriptedProvider(ANSWER), db=url) as service:

        async def chain(steps: int) -> None:
            if steps not in flows:
                flows[steps] = Workflow.model_validate(flow_of(steps))
            result = await service.run(flows[steps])
            assert result.metrics.calls == steps, result

        await answering(chain)


async def dbos(url: str) -> None:
    """The same with DBOS alone."""
    from dbos import DBOS, DBOSConfig

    @DBOS.step()
    async def call(_prompt: str) -> str:
        await asyncio.sleep(0)
        return ANSWER

    @DBOS.workflow()
    async def chain(steps: int) -> str:
        said = ""
        for number in range(steps):
            said = await call(f"part {number}")
        return said

    plain = url.replace("+psycopg", "")
    config: DBOSConfig = {"name": "benchmark", "system_database_url": plain, "log_level": "WARNING"}
    DBOS(config=config)
    DBOS.launch()
    await answering(chain)
    DBOS.destroy()


async def answering(chain: Callable) -> None:
    """Execute chains of the lengths that are read, five each, and print the milliseconds of a step."""
    await chain(CHAIN)
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        steps, times, cpu = int(line), [], time.process_time()
        for _ in range(5):
            began = time.perf_counter()
            await chain(steps)
            times.append((time.perf_counter() - began) / steps * 1000)
        cpu = (time.process_time() - cpu) / steps / 5 * 1000
        print(json.dumps([statistics.median(times), cpu]), flush=True)


def measure_step(server: OwnServer, rounds: int) -> list[Line]:
    """Let both take turns."""
    found: dict[tuple[str, int], list[list[float]]] = {}
    children = {name: child(name, server.create(f"step_{name}")) for name in ("ours", "dbos")}
    for _ in range(rounds):
        for steps in (CHAIN, 1):
            for name, process in children.items():
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(f"{steps}\n")
                process.stdin.flush()
                found.setdefault((name, steps), []).append(json.loads(process.stdout.readline()))
    for process in children.values():
        process.communicate(timeout=60)
    lines: list[Line] = []
    for steps in (CHAIN, 1):
        (mine, cpu), (peer, of_peer) = (
            [statistics.median(column) for column in zip(*found[name, steps], strict=True)]
            for name in ("ours", "dbos")
        )
        what = f"durable model step, {steps} in a run"
        said = f"{mine:.2f} ms (CPU {cpu:.2f}); DBOS {peer:.2f} ({of_peer:.2f}): {mine / peer:.2f} of it"
        lines.append(verdict(what, said, "<= 0.60", mine / peer <= 0.6))
    return lines


def child(name: str, url: str) -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, "--child", name, url]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def verdict(what: str, said: str, asked: str, met: bool) -> Line:
    return what, said, asked, "met" if met else "MISSED"


# --- scaling ---

WARM, WINDOW = 1.5, 6.0
"""Seconds until calls are counted, and for how long."""


async def calls_a_second(url: str, workers: int, dispatcher: str) -> float:
    """Of so many workers, while there is more to do."""
    async with fleet_on(url, dispatcher=dispatcher, seconds=0.2, concurrency=8) as fleet:
        await fleet.submit(int(workers * 45 * (WARM + WINDOW + 3) / 6), 6)
        fleet.started(workers)
        begin = time.monotonic() + WARM
        await asyncio.sleep(WARM + WINDOW)
        times = [at for at, _, _ in fleet.books("billed")]
        return sum(begin <= at < begin + WINDOW for at in times) / WINDOW


def measure_scaling(server: OwnServer, rounds: int) -> list[Line]:
    lines: list[Line] = []
    for dispatcher in ("embedded", "dbos"):
        found: dict[int, list[float]] = {1: [], 2: [], 4: []}
        for number in range(rounds):
            for workers, rates in found.items():
                url = server.create(f"scaling_{dispatcher}_{workers}_{number}")
                rates.append(asyncio.run(calls_a_second(url, workers, dispatcher)))
        one, two, four = (statistics.median(rates) for rates in found.values())
        said = f"{one:.1f} / {two:.1f} / {four:.1f} a second: {two / one:.2f}x, {four / one:.2f}x"
        met = two >= 1.85 * one and four >= 3.5 * one
        lines.append(verdict(f"1, 2, 4 workers, {dispatcher}", said, ">= 1.85x, 3.50x", met))
    return lines


# --- takeover ---


async def takeovers(url: str, lease: float) -> list[float]:
    """Seconds from the death of a worker to the moments when another one goes on with its runs."""
    async with fleet_on(url, seconds=0.5, lease=lease, beat=min(2.0, lease / 10)) as fleet:
        ids = await fleet.submit(6, 200)
        (victim,) = fleet.started(1)
        while len(fleet.books("billed")) < 12:
            await asyncio.sleep(0.05)
        fleet.started(1)
        victim.kill()
        died = time.time()
        resumed = select(event.c.run_id, event.c.at).where(event.c.type == "resumed", event.c.at > died)
        store = fleet.service._engine.store
        while True:
            rows = await store.do(lambda connection: connection.execute(resumed).all())
            if {row.run_id for row in rows} == set(ids):
                return [min(row.at for row in rows if row.run_id == run_id) - died for run_id in ids]
            assert time.time() < died + lease + 30, fleet.said()
            await asyncio.sleep(0.05)


def measure_takeover(server: OwnServer, trials: int) -> list[Line]:
    lines: list[Line] = []
    for lease, times in ((3.0, trials), (20.0, max(1, trials // 3))):
        found: list[float] = []
        for number in range(times):
            found += asyncio.run(takeovers(server.create(f"takeover_{lease:.0f}_{number}"), lease))
        worst, middle = max(found), statistics.median(found)
        said = f"median {middle:.2f} s, worst {worst:.2f} s of {len(found)} runs in {times} deaths"
        lines.append(verdict(f"takeover, TTL {lease:.0f} s", said, f"<= {lease + 2:.0f} s", worst <= lease + 2))
    return lines


# --- one limit ---

LIMIT = 120_000
WORKERS, LONGEST_TRIAL = 8, 240.0


async def spent_by_many(url: str, seed: int) -> tuple[int, int, int, int]:
    """Tokens billed and charged of the limit, calls, and workers that were killed."""
    chance = random.Random(seed)
    async with fleet_on(url, seconds=chance.uniform(0.02, 0.2), lease=2.0, beat=0.3) as fleet:
        await fleet.service._engine.store.do(limits.set_limit("agent:fleet", "day", LIMIT, None))
        ids = await fleet.submit(110, 6)
        workers = fleet.started(WORKERS)
        kills, last = 0, time.monotonic() + LONGEST_TRIAL
        while await charged_of_limit(fleet) < 0.99 * LIMIT:
            await asyncio.sleep(chance.uniform(0.8, 1.2))
            ready = [number for number, worker in enumerate(workers) if fleet.is_ready(worker)]
            if len(ready) > WORKERS // 2:  # those that still start have nothing to lose, and do nothing
                chosen = chance.choice(ready)
                workers[chosen].kill()
                workers[chosen] = fleet.start()
                kills += 1
            assert time.monotonic() < last, fleet.said()
        await fleet.until(ids, *FINAL)
        assert not set(fleet.stop()) - {0, -9}, fleet.said()
        return *await judged(fleet), kills


async def charged_of_limit(fleet: Fleet) -> int:
    """Tokens of the limit that are spent or held."""
    query = select(budget.c.spent_tokens + budget.c.held_tokens).where(budget.c.id.startswith("agent:fleet/"))
    return await fleet.service._engine.store.do(lambda connection: connection.execute(query).scalar() or 0)


async def judged(fleet: Fleet) -> tuple[int, int, int]:
    """Tokens billed and charged, and calls; fails where a promise about them is broken."""
    store = fleet.service._engine.store
    bills: dict[str, int] = {}
    for _, key, tokens in fleet.books("billed"):
        assert key not in bills, f"the call {key} was billed twice"
        bills[key] = tokens
    query = select(hold.c.key, hold.c.state, hold.c.spent_tokens)
    charged = {row.key: row for row in await store.do(lambda connection: connection.execute(query).all())}
    assert all(row.state != "held" for row in charged.values()), "something is held when all is over"
    assert all(charged[key].spent_tokens >= tokens for key, tokens in bills.items()), (
        "charged with less than billed"
    )
    of_agent = select(budget).where(budget.c.id.startswith("agent:fleet/"))
    (row,) = await store.do(lambda connection: connection.execute(of_agent).mappings().all())
    assert row["spent_tokens"] == sum(each.spent_tokens or 0 for each in charged.values())
    assert row["held_tokens"] == 0
    broken = (await store.do(integrity.verify())).broken
    assert not broken, broken[:3]
    return sum(bills.values()), row["spent_tokens"], len(bills)


def measure_limit(server: OwnServer, trials: int, seed: int) -> list[Line]:
    used, most, calls, killed = [], 0.0, 0, 0
    for number in range(trials):
        url = server.create(f"limit_{seed}_{number}")
        billed, charged, asked, kills = asyncio.run(spent_by_many(url, seed + number))
        used.append(charged / LIMIT)
        most, calls, killed = max(most, billed / LIMIT), calls + asked, killed + kills
    about = f"{trials} trials, {calls} calls, {killed} x kill -9"
    over = max(0.0, most - 1, max(used) - 1)
    return [
        verdict("overspend, 8 workers, one limit", f"{over:.1%} in {about}", "0", over == 0),
        verdict(
            "used of that limit",
            f"least {min(used):.1%}, median {statistics.median(used):.1%}",
            ">= 97 %",
            min(used) >= 0.97,
        ),
    ]


# --- all of them ---


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="step,scaling,takeover,limit")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        asyncio.run({"ours": ours, "dbos": dbos}[options.child[0]](options.child[1]))
        return 0
    only, lines = options.only.split(","), []
    with own_server("max_connections=300") as server:
        measures: dict[str, Callable[[], list[Line]]] = {
            "step": lambda: measure_step(server, options.rounds),
            "scaling": lambda: measure_scaling(server, max(1, options.rounds // 6)),
            "takeover": lambda: measure_takeover(server, options.trials),
            "limit": lambda: measure_limit(server, options.trials, options.seed),
        }
        for name in only:
            for line in measures[name]():
                lines.append(line)
                print(f"{line[0]:<34} {line[1]:<78} {line[2]:<16} {line[3]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
