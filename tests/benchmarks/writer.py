"""How many events a second become durable, how long their writers wait, and that a kill loses none of them.

    python tests/benchmarks/writer.py [--runs 20] [--tasks 100] [--rows 5] [--seconds 5] [--kills 20]

Each task is a step of one of the runs: it records `--rows` events and awaits their commit, over and over, all tasks
in one event loop. Reported are events a second, and the time from the commit's call to its acknowledgement. With
`--kills` the same is done in processes that are killed (SIGKILL) at a random moment: every event that was
acknowledged must be in the database, and every run's hash chain must be whole.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from intendant.events import HandlerExecuted, StepExecuted, StepStarted
from intendant.record.journal import Journal
from intendant.record.rows import RunRow
from intendant.record.store import Store, runs
from intendant.record.store.chain import verify
from intendant.record.store.session import buffered

FAR = 1e12


@buffered
def nothing(connection: object) -> None:
    """Work that only waits for its events."""


async def write(journal: Journal, step: str, rows: int, until: float, waits: list[float], note=None) -> int:
    """Record events and await their commit until the time is over; returns how many."""
    log, written = journal.step(step), 0
    while time.perf_counter() < until:
        made = [log.event(StepStarted, attempt=1)]
        if rows > 1:
            made.append(log.event(StepExecuted, intent="copy", seconds=0.1, attempts=1, output_bytes=100))
        while len(made) < rows:
            made.append(log.event(HandlerExecuted, intent="copy", seconds=0.1, attempt=1))
        began = time.perf_counter()
        await journal.commit(nothing, *made[:rows])
        waits.append(time.perf_counter() - began)
        written += rows
        if note is not None:
            note(written)
    return written


async def open_journals(store: Store, count: int) -> list[Journal]:
    rows = [RunRow(f"r_{number:024x}", "bench", "a", "{}", 1, "{}", "running", 1.0) for number in range(count)]
    return [Journal(store, await store.do(runs.open_run(row))) for row in rows]


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Events a second and waits of one process."""
    store = Store(f"sqlite:///{folder}/x.db", options.durability)
    journals = await open_journals(store, options.runs)
    waits: list[float] = []
    began, used = time.perf_counter(), time.process_time()
    until = began + options.seconds
    tasks = [
        write(journals[number % options.runs], f"s{number}", options.rows, until, waits)
        for number in range(options.tasks)
    ]
    counts = await asyncio.gather(*tasks)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    kept = 0
    for journal in journals:
        events = await store.do(runs.events_of(journal.run_id))
        assert verify(events) is None, "a chain is broken"
        kept += len(events)
    assert kept == sum(counts), "an event is missing"
    await asyncio.to_thread(store.close)
    waits.sort()
    return {
        "events_per_second": round(sum(counts) / seconds),
        "cpu_us_per_event": round(cpu / sum(counts) * 1e6, 1),
        "wait_p50_ms": round(waits[len(waits) // 2] * 1e3, 2),
        "wait_p99_ms": round(waits[int(len(waits) * 0.99)] * 1e3, 2),
        "wait_max_ms": round(waits[-1] * 1e3, 2),
    }


# --- kills ---


async def doomed(options: argparse.Namespace, folder: Path) -> None:
    """Write until killed; say on standard output how far each run's acknowledgement went."""
    store = Store(f"sqlite:///{folder}/x.db", options.durability)
    journals = await open_journals(store, options.runs)
    out = sys.stdout.fileno()
    os.write(out, b"ready\n")

    def doom(number: int):
        journal, step = journals[number % options.runs], f"s{number}"
        label = f"{journal.run_id}/{step}"
        return write(
            journal, step, options.rows, FAR, [], lambda written: os.write(out, f"{label} {written}\n".encode())
        )

    await asyncio.gather(*map(doom, range(options.tasks)))


def kill_one(options: argparse.Namespace, chance: random.Random) -> int:
    """Kill a writing process; returns how many events were acknowledged.

    Raises:
        AssertionError: One of them is not there, or a chain is broken.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = [f"--{key}={getattr(options, key)}" for key in ("runs", "tasks", "rows", "durability")]
        with (folder / "said").open("wb") as said:
            child = subprocess.Popen([sys.executable, __file__, "--doomed", name, *chosen], stdout=said)
            while not (folder / "said").read_bytes().startswith(b"ready\n"):
                assert child.poll() is None, "the writer ended by itself"
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 0.5))
            child.send_signal(signal.SIGKILL)
            child.wait()
        lines = (folder / "said").read_text().splitlines()[1:]
        acknowledged = dict(line.split() for line in lines if line.count(" ") == 1)
        return asyncio.run(check(folder, {step: int(count) for step, count in acknowledged.items()}))


async def check(folder: Path, acknowledged: dict[str, int]) -> int:
    store = Store(f"sqlite:///{folder}/x.db")
    kept: Counter[str] = Counter()
    for run in await store.do(runs.list_runs(10_000)):
        events = await store.do(runs.events_of(run.id))
        assert verify(events) is None, f"{run.id}: its chain is broken"
        kept.update(f"{run.id}/{event.step_id}" for event in events)
    for step, count in acknowledged.items():
        assert kept[step] >= count, f"{step}: {count} events acknowledged, {kept[step]} there"
    await asyncio.to_thread(store.close)
    return sum(acknowledged.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--rows", type=int, default=5, help="events in one commit of a task")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--durability", choices=["full", "normal"], default="full")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--doomed", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.doomed:
        asyncio.run(doomed(options, Path(options.doomed)))
        return
    if options.seconds:
        with tempfile.TemporaryDirectory() as name:
            print(json.dumps(asyncio.run(measure(options, Path(name)))))
    chance = random.Random(options.seed)
    kept = [kill_one(options, chance) for _ in range(options.kills)]
    if kept:
        print(json.dumps({"kills": len(kept), "acknowledged": sum(kept), "lost": 0}))


if __name__ == "__main__":
    main()
