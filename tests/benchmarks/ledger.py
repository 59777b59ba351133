"""What reserving and settling a call costs: in a lease, and in SQLite, in run, step, agent and tenant budgets.

    python tests/benchmarks/ledger.py [--calls 2000] [--rounds 5]

The peer in the same run is a bare transaction of the module sqlite3: one UPDATE, one commit. Times are wall time
per call, the best of the rounds.

- leased: what the process does by itself; the row of the hold still goes into the commit that journals the call.
- alone: one call at a time, reserve and settle each committed for itself.
- grouped: a hundred calls are out at once, and their work goes into common commits, as the store's writer does it.
- awaited: the same through `Store.do`, with 200 tasks that wait for their commits.
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Literal

from sqlalchemy import Connection

from intendant.record.rows import BudgetRow, HoldRow, Slice, Spent
from intendant.record.store import Store, budgets, database, holds, limits
from intendant.record.store.session import transaction
from intendant.spending.standing import Lease

CHAIN = ("run:r", "step:r/s")
GROUP = 100
ASKED = {"leased": 5.0, "normal": 60.0, "full": 500.0}
Durability = Literal["normal", "full"]


def row(key: str) -> HoldRow:
    return HoldRow(key, "r", "s", 1, "step:r/s", "p", "m", 10, 5, "v", 1e12, agent="a", tenant="t")


def prepared(connection: Connection) -> None:
    """Four budgets: of the run and the step, of the agent for the day and of the tenant for the month."""
    rows = [BudgetRow(name, None, 10**12, 10**12) for name in CHAIN]
    budgets.open_budgets(rows)(connection)
    limits.set_limit("agent:a", "day", 10**12, None)(connection)
    limits.set_limit("tenant:t", "month", None, 10**12)(connection)


def leased(calls: int, _folder: Path) -> float:
    lease = Lease(Slice("l", 10**12, 10**12), perf_counter() + 1e9, 1e12)
    started = perf_counter()
    for _ in range(calls):
        lease.take(1000, 5000)
        lease.give(400, 2000)
    return perf_counter() - started


def bare(durability: Durability) -> Callable[[int, Path], float]:
    def run(calls: int, folder: Path) -> float:
        connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {durability}")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, spent INTEGER)")
        connection.execute("INSERT INTO t VALUES (1, 0)")
        started = perf_counter()
        for _ in range(calls):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE t SET spent = spent + 1 WHERE id = 1")
            connection.execute("COMMIT")
        seconds = perf_counter() - started
        connection.close()
        return seconds

    return run


def in_groups(durability: Durability, size: int) -> Callable[[int, Path], float]:
    """Calls whose reserving, and then whose settling, share a commit."""

    def run(calls: int, folder: Path) -> float:
        engine = database.connect(f"sqlite:///{folder}/x.db", durability)
        database.prepare(engine)
        spent = Spent(3, 4, 5)
        with engine.connect() as connection:
            with connection.begin():
                prepared(connection)
            started = perf_counter()
            for first in range(0, calls, size):
                keys = [f"{number:064d}" for number in range(first, first + size)]
                with transaction(connection):
                    for key in keys:
                        holds.reserve(row(key), CHAIN)(connection)
                with transaction(connection):
                    for key in keys:
                        holds.settle(key, spent, "{}")(connection)
            seconds = perf_counter() - started
        engine.dispose()
        return seconds

    return run


def awaited(durability: Durability) -> Callable[[int, Path], float]:
    def run(calls: int, folder: Path) -> float:
        async def main() -> float:
            store = Store(f"sqlite:///{folder}/x.db", durability)
            await store.do(prepared)

            async def task(number: int) -> None:
                for call in range(calls // 200):
                    key = f"{number}.{call}"
                    await store.do(holds.reserve(row(key), CHAIN))
                    await store.do(holds.settle(key, Spent(3, 4, 5), "{}"))

            started = perf_counter()
            await asyncio.gather(*(task(number) for number in range(200)))
            seconds = perf_counter() - started
            store.close()
            return seconds

        return asyncio.run(main())

    return run


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    kinds: dict[str, Callable[[int, Path], float]] = {"leased": leased}
    levels: tuple[Durability, ...] = ("normal", "full")
    for level in levels:
        kinds[f"{level} bare"] = bare(level)
        kinds[f"{level} alone"] = in_groups(level, 1)
        kinds[f"{level} grouped"] = in_groups(level, GROUP)
        kinds[f"{level} awaited"] = awaited(level)
    best = dict.fromkeys(kinds, float("inf"))
    for _ in range(options.rounds):
        for name, run in kinds.items():
            with tempfile.TemporaryDirectory() as folder:
                best[name] = min(best[name], run(options.calls, Path(folder)) / options.calls * 1e6)
    report(best)
    return 0


def report(best: dict[str, float]) -> None:
    print(f"{'reserve + settle':<18} {'µs':>8} {'bare transactions':>18}  asked")
    for name, micros in best.items():
        level = name.split()[0]
        ratio = f"{micros / best[f'{level} bare']:.1f}" if f"{level} bare" in best else "-"
        asked = "" if name.endswith(("bare", "awaited")) else f"<= {ASKED[level]:g}: "
        verdict = asked and asked + ("met" if micros <= ASKED[level] else "MISSED")
        print(f"{name:<18} {micros:>8.2f} {ratio:>18}  {verdict}")


if __name__ == "__main__":
    sys.exit(main())
