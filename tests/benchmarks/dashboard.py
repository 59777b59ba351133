"""How long each page of the dashboard takes over a journal of a million events, and how much memory its server takes.

    python tests/benchmarks/dashboard.py [--events 1000000] [--times 5] [--folder DIR]

The database is made of runs that are executed once and then copied, row by row, under other ids and earlier times:
runs of about 90 events that completed, failed or wait, and one run of 50,000 events. The server is the command
`intendant dashboard` in a process of its own; each page is asked for `--times` times, after once to begin with. The
limit is 300 ms for a page, 3 s for the report.
"""

import argparse
import asyncio
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

from intendant import Workflow
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepError, StepResult
from intendant.testing import ScriptedProvider, engine

LIMIT_MS, REPORT_MS = 300, 3000
TOKEN = "a-token-of-this-benchmark"
LARGE = 50_000
AGENTS = 40
PERIOD = 60 * 86_400
"""Seconds over which the runs are spread."""
COPIED = ("run", "event", "step", "budget", "hold", "ledger", "run_figure", "approval")


class Ask(IntentHandler):
    """Asks the model, and fails where it is told to."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        text = await request.model.fit(request.input)
        asked = Message(content=f"{request.prompt}\n{text.text}")
        reply = await request.model.complete(ModelRequest(messages=(asked,), max_output_tokens=40))
        if request.prompt == "fail":
            raise StepError("it is not possible today")
        return StepResult(output=reply.text)


def flow(name: str, last: dict) -> Workflow:
    """A workflow of ten steps, the last of which is given."""
    steps: list[dict[str, Any]] = [
        {"id": f"step{number}", "intent": "ask", "prompt": "do", "input": ["words"] * 20} for number in range(9)
    ]
    for before, step in pairwise(steps):
        step["needs"] = [before["id"]]
    steps.append({"id": "last", "intent": "ask", "needs": ["step8"], **last})
    return Workflow.model_validate(
        {"name": name, "agent": "agent0", "budget": {"tokens": 50_000, "usd": 1}, "steps": steps}
    )


async def executed(db: str) -> list[str]:
    """The runs that are copied."""
    kinds = [
        flow("letters", {"prompt": "send"}),
        flow("invoices", {"prompt": "fail"}),
        flow("orders", {"prompt": "ask", "approve": {"ask": "Send them?"}}),
    ]
    async with engine(Ask(), ScriptedProvider("an answer of some words"), db=db) as service:
        return [(await service.run(each)).run_id for each in kinds]


def copied(file: Path, runs: list[str], events: int) -> None:
    """Copies of runs until there are so many events."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA foreign_keys=OFF")
    columns = {table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] for table in COPIED}
    sizes = [
        connection.execute("SELECT count(*) FROM event WHERE run_id = ?", (run,)).fetchone()[0] for run in runs
    ]
    connection.execute("BEGIN")
    large_run(connection, runs[0], columns["event"])
    made, number = LARGE // sizes[0] * sizes[0] + sum(sizes[1:]), 0
    while made < events:
        # Of a hundred runs one waits, and five have failed.
        which = 2 if number % 100 == 0 else 1 if number % 20 == 1 else 0
        copy(connection, columns, runs[which], sizes[which], number)
        made, number = made + sizes[which], number + 1
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode=WAL")
    total = connection.execute("SELECT count(*) FROM event").fetchone()[0]
    print(f"{total:,} events of {number + len(runs):,} runs, {file.stat().st_size / 1e6:,.0f} MB")
    connection.close()


def large_run(connection: sqlite3.Connection, run: str, columns: list[str]) -> None:
    """More events for one run."""
    last = connection.execute("SELECT max(seq) FROM event WHERE run_id = ?", (run,)).fetchone()[0]
    chosen = ", ".join("seq + :shift" if name == "seq" else name for name in columns)
    insert = f"INSERT INTO event SELECT {chosen} FROM event WHERE run_id = :run AND seq <= :last"
    connection.execute("UPDATE run SET events = ? WHERE id = ?", (LARGE, run))
    connection.executemany(
        insert, [{"run": run, "last": last, "shift": last * turn} for turn in range(1, LARGE // last)]
    )


def copy(connection: sqlite3.Connection, columns: dict[str, list[str]], run: str, size: int, number: int) -> None:
    """A copy of a run under another id, earlier, and of another agent."""
    values = {
        "old": run,
        "new": f"r_{number:022x}",
        "ago": 60.0 + PERIOD * (number * 7919 % 10_007) / 10_007,
        "agent": f"agent{number % AGENTS}",
        "last": size,
        "low": f"step:{run}/",
        "high": f"step:{run}0",
    }
    for table, names in columns.items():
        chosen = ", ".join(column(table, name) for name in names)
        where = {"run": "id = :old", "budget": "id = 'run:' || :old OR id BETWEEN :low AND :high"}.get(
            table, "run_id = :old"
        )
        where += " AND seq <= :last" if table == "event" else ""
        connection.execute(f"INSERT INTO {table} SELECT {chosen} FROM {table} WHERE {where}", values)


def column(table: str, name: str) -> str:
    """What a column of a copy has."""
    if (table, name) == ("ledger", "id"):
        return "NULL"
    if name in ("at", "created_at", "finished_at", "asked_at"):
        return f"{name} - :ago"
    if name == "agent":
        return ":agent"
    if name in ("id", "run_id", "key", "hold_key", "scope", "parent", "chain", "data", "figures"):
        # Keys of calls are digests: the run's id before them makes others of them.
        value = f":new || {name}" if name == "hold_key" or (table, name) == ("hold", "key") else name
        return f"replace({value}, :old, :new)"
    return name


def pages(runs: list[str]) -> list[str]:
    """The addresses that are asked for."""
    large, failed, waits = map(quote, runs)
    begins = "r_0000000000000000000100"
    found = ["/", "/runs", "/runs?status=failed", "/runs?status=cancelled", "/runs?agent=agent7&workflow=invoices"]
    found += ["/runs?before=1", "/compare", f"/compare?a={failed}&b={waits}", "/decisions", "/alerts", "/budgets"]
    found += ["/money", "/money?by=day", "/money?by=intent", "/money?agent=agent7", "/routing", "/refusals"]
    found += ["/refusals?type=limit_watched", "/audit", "/audit?severity=critical", "/audit?text=no+such+text"]
    found += ["/audit?type=budget_exceeded", "/audit?agent=nobody", f"/audit?run={large}&type=step_failed"]
    found += ["/settings", "/setting?key=budget.strategy", "/settings/history", "/flags", "/plugins", "/agents"]
    for run in (begins, large):
        found += [f"/run?id={run}", f"/run/graph?id={run}", f"/run/money?id={run}", f"/run/compression?id={run}"]
        found += [f"/run/refusals?id={run}", f"/run/events?id={run}", f"/step?run={run}&step=step3"]
        found += [f"/run/fork?id={run}", f"/report?run={run}"]
    return [*found, "/report"]


def asked(base: str, path: str) -> float:
    """Milliseconds that a page takes."""
    request = urllib.request.Request(
        base + path, headers={"Authorization": f"Bearer {TOKEN}", "Accept": "text/html"}
    )
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()
    return 1000 * (time.perf_counter() - began)


def memory_mb(process: int) -> dict[str, float]:
    """What a process takes now, and has taken at most, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    said = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "VmHWM")))
    return {name: int(value.split()[0]) / 1024 for name, value in said.items()}


def main() -> None:
    """Make the database, start the server, and time each page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made)
        file = folder / "large.db"
        names = folder / "runs.txt"
        if not file.is_file():
            runs = asyncio.run(executed(f"sqlite:///{file}"))
            copied(file, runs, options.events)
            names.write_text("\n".join(runs))
        timed(file, names.read_text().split(), options.times)


def timed(file: Path, runs: list[str], times: int) -> None:
    """Time each page, and say which are too slow."""
    command = [sys.executable, "-m", "intendant", "dashboard", "--port", "0", "--token", TOKEN]
    server = subprocess.Popen(
        [*command, "--db", f"sqlite:///{file}"], stdout=subprocess.PIPE, text=True, cwd=file.parent
    )
    assert server.stdout is not None
    try:
        base = server.stdout.readline().split()[-1].rstrip("/")
        asked(base, "/")
        before, slow = memory_mb(server.pid)["VmRSS"], []
        print(f"{'page':<64} {'median':>9} {'most':>9}")
        for path in pages(runs):
            taken = [asked(base, path) for _ in range(times + 1)]
            most = max(taken)
            limit = REPORT_MS if path.startswith("/report") else LIMIT_MS
            slow += [path] if most > limit else []
            print(
                f"{path:<64} {statistics.median(taken):>6.0f} ms {most:>6.0f} ms{'  TOO SLOW' if most > limit else ''}"
            )
        after = memory_mb(server.pid)
        print(
            f"memory: {before:.0f} MB after the first page, {after['VmRSS']:.0f} MB now, {after['VmHWM']:.0f} MB at most"
        )
        print(f"{len(slow)} pages over their limit" if slow else "each page within its limit")
    finally:
        server.terminate()
        server.wait(10)
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
