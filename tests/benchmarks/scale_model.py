"""What 1,000 workers and ten million runs a day ask of one PostgreSQL: measured per run, then multiplied and simulated.

    python tests/benchmarks/scale_model.py [--runs 40] [--workers 1000] [--runs-a-day 1e7] [--calls 6] [--seconds 2]

It starts a PostgreSQL server of its own, lets a worker execute runs, and reads from the server's own counters what
each took: rows, commits, write-ahead log, bytes. All else is arithmetic on those figures, but for the claims: which
worker finds which run is simulated, since every worker looks at the same head of the queue.
"""

import argparse
import asyncio
import heapq
import random
import sys
import time
from dataclasses import dataclass

from fleet import Fleet, fleet_on
from own_server import own_server
from sqlalchemy import text

from intendant.pilot import heartbeats, worker_loop

DAY = 86_400
PEAK = 3.0
"""How much busier the busiest hour is than the average; an assumption."""
STATS = """
SELECT (SELECT sum(n_tup_ins) FROM pg_stat_user_tables), (SELECT sum(n_tup_upd) FROM pg_stat_user_tables),
       (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
       pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'), pg_database_size(current_database()),
       (SELECT count(*) FROM event), (SELECT count(*) FROM ledger),
       (SELECT count(*) FROM event WHERE run_id = '*')
"""
NAMES = ("rows", "updates", "commits", "wal", "bytes", "events", "charges", "everything")


@dataclass
class Load:
    """What is asked for."""

    workers: int
    runs_a_day: float
    calls: int
    seconds: float
    """What a call takes."""

    @property
    def runs(self) -> float:
        """Runs a second, on average."""
        return self.runs_a_day / DAY

    @property
    def open(self) -> float:
        """Runs that are being executed at a time, on average (Little's law)."""
        return self.runs * self.calls * self.seconds


# --- measured ---


async def stats(fleet: Fleet) -> dict[str, float]:
    """The server's counters; it publishes them a moment late."""
    await asyncio.sleep(2)
    row = await fleet.service._engine.store.do(lambda connection: connection.execute(text(STATS)).one())
    return dict(zip(NAMES, map(float, row), strict=True))


async def measured(url: str, runs: int, calls: int) -> dict[str, float]:
    """What one run takes, submitted and executed; and how long a commit takes when nothing else is done."""
    async with fleet_on(url, seconds=0.05, concurrency=8) as fleet:
        await fleet.submit(1, 1)
        before = await stats(fleet)
        ids = await fleet.submit(runs, calls)
        fleet.started(1)
        await fleet.until(ids)
        fleet.stop()
        after = await stats(fleet)
        found = {name: (after[name] - before[name]) / runs for name in NAMES}
        began = time.perf_counter()
        for _ in range(200):
            await fleet.service._engine.store.do(
                lambda connection: connection.execute(text("UPDATE run SET priority = priority WHERE id = 'none'"))
            )
        found["round"] = (time.perf_counter() - began) / 200
        return found


# --- simulated ---


def herd(load: Load, claim_seconds: float, seconds: float = 20.0, seed: int = 1) -> float:
    """Claims that fail, for each that succeeds: workers that look within the time of a claim see the same runs.

    Each worker looks every `LOOK_SECONDS`, from a moment of its own, and tries what it has seen, one claim after the
    other, as long as it has room; a claim that another worker was quicker with is lost.
    """
    chance = random.Random(seed)
    looks = [(chance.uniform(0, worker_loop.LOOK_SECONDS), number) for number in range(load.workers)]
    heapq.heapify(looks)
    arrivals, at = [], 0.0
    while at < seconds:
        at += chance.expovariate(load.runs)
        arrivals.append(at)
    taken: dict[int, float] = {}
    first, won, lost = 0, 0, 0
    while looks[0][0] < seconds:
        now, worker = heapq.heappop(looks)
        while first in taken and taken[first] <= now:
            first += 1
        moment, number, seen = now, first, 0
        while number < len(arrivals) and arrivals[number] <= now and seen < worker_loop.LOOKED_AT * 10:
            if taken.get(number, now + 1) > now:  # not claimed yet when this worker looked
                seen += 1
                moment += claim_seconds
                if number in taken:
                    lost += 1
                else:
                    taken[number] = moment
                    won += 1
            number += 1
        heapq.heappush(looks, (now + worker_loop.LOOK_SECONDS, worker))
    return lost / max(1, won)


# --- multiplied ---


def lines(load: Load, found: dict[str, float]) -> list[tuple[str, str, str]]:
    """What, how much on average, and at the peak."""
    looks = load.workers * (1 / worker_loop.LOOK_SECONDS + 1 / worker_loop.ABANDONED_SECONDS)
    beats = load.open / heartbeats.BEAT_SECONDS
    rates = {
        "runs a second": load.runs,
        "model calls a second": load.runs * load.calls,
        "runs being executed": load.open,
        "rows inserted a second": load.runs * found["rows"],
        "rows updated a second": load.runs * found["updates"],
        "commits of runs a second": load.runs * found["commits"],
        "heartbeats a second": beats,
        "events of the chain of everything a second": load.runs * found["everything"],
        "write-ahead log, MB/s": load.runs * found["wal"] / 1e6,
    }
    told = [(what, f"{rate:,.0f}", f"{rate * PEAK:,.0f}") for what, rate in rates.items()]
    told.append(("looks of workers a second", f"{looks:,.0f}", f"{looks:,.0f}"))
    told.append(("new data a day, GB", f"{load.runs_a_day * found['bytes'] / 1e9:,.0f}", ""))
    told.append(
        (
            "days until ids of the ledger (31 bits) are used up",
            f"{2**31 / load.runs_a_day / found['charges']:,.0f}",
            "",
        )
    )
    for share in (0.01, 0.1, 1.0):
        part = Load(int(load.workers * share), load.runs_a_day * share, load.calls, load.seconds)
        wasted = herd(part, found["round"])
        told.append((f"claims lost for each won, {part.workers:,} workers (simulated)", f"{wasted:,.1f}", ""))
    return told


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--runs-a-day", type=float, default=1e7)
    parser.add_argument("--calls", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    load = Load(options.workers, options.runs_a_day, options.calls, options.seconds)
    with own_server() as server:
        found = asyncio.run(measured(server.url(), options.runs, options.calls))
    print(
        f"measured for a run of {load.calls} calls: " + ", ".join(f"{name} {found[name]:,.1f}" for name in NAMES)
    )
    print(f"a commit alone: {found['round'] * 1000:.2f} ms\n")
    print(f"{'':<64} {'average':>12} {'peak':>12}")
    for what, average, peak in lines(load, found):
        print(f"{what:<64} {average:>12} {peak:>12}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
