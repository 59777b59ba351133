"""A worker with many waiting runs: how much memory it takes, and how late it wakes them.

    python tests/benchmarks/waiting_runs.py [--runs 100000] [--seconds 30]

The runs are due at times spread evenly over an hour. The worker is `intendant worker`, a process of its own; it is
watched for some seconds of that hour.
"""

import argparse
import asyncio
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from intendant import Workflow
from intendant.testing import engine

HOUR = 3600.0
FLOW = "name: asks\nsteps:\n  - {id: ask, approve: {ask: Really?}}\n"
BEGIN = 10.0
"""Seconds until the first run is due: the worker has to be up by then."""


async def submit(url: str, runs: int) -> None:
    """Submit so many runs."""
    async with engine(db=url) as service:
        flow = Workflow.parse(FLOW)
        for _ in range(runs):
            await service.submit(flow)


def spread(path: Path) -> float:
    """Let the runs be due over an hour; returns when the first one is."""
    begin = time.time() + BEGIN
    with closing(sqlite3.connect(path)) as connection:
        runs = [row[0] for row in connection.execute("SELECT id FROM run ORDER BY id")]
        times = [(begin + HOUR * number / len(runs), run) for number, run in enumerate(runs)]
        connection.executemany("UPDATE run SET due_at = ? WHERE id = ?", times)
        connection.execute("CREATE TABLE wanted AS SELECT id, due_at FROM run")
        connection.commit()
    return begin


def most_memory(process: "subprocess.Popen[bytes]") -> float:
    """The most memory that a process ever had, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def lateness(path: Path, until: float) -> tuple[list[float], int]:
    """How late each run was resumed that was due, in seconds; and how many were not."""
    query = """SELECT wanted.due_at, min(event.at) FROM wanted LEFT JOIN event
        ON event.run_id = wanted.id AND event.type = 'resumed' WHERE wanted.due_at < ? GROUP BY wanted.id"""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(query, [until]).fetchall()
    return [at - due for due, at in rows if at is not None], sum(at is None for _, at in rows)


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        asyncio.run(submit(f"sqlite:///{path}", given.runs))
        begin = spread(path)
        command = [sys.executable, "-m", "intendant", "worker", "--db", f"sqlite:///{path}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        time.sleep(max(0.0, begin + given.seconds - time.time()))
        memory = most_memory(process)
        late, missing = lateness(path, begin + given.seconds - 2)
        process.terminate()
        process.wait(30)
    print(f"{given.runs} waiting runs: {memory:.0f} MB at most; asked: < 50 MB")
    middle, worst = statistics.median(late), max(late)
    print(
        f"{len(late)} resumed, {missing} missing; late: median {middle:.2f} s, worst {worst:.2f} s; asked: <= 1 s"
    )


if __name__ == "__main__":
    main()
