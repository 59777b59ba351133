"""What records that flow take, beside DuckDB alone on the same file in the same run: seconds, and resident memory.

    python tests/benchmarks/records.py [--rounds 5] [--gigabyte]

Filters 100,000 records and groups 1,000,000 rows, from a CSV file to a JSON file, with the journal on a disk; the
ratio of the medians is aimed to be at most 3. `--gigabyte` sends a CSV of 1 GB through extract, filter and aggregate
in a process of its own, which should stay within 300 MB.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from intendant import SyncOrchestrationService, Workflow

WHERE = "item.state == 'open' && double(item.total) >= 100.0"
MEASURES = {"orders": {"count": True}, "sum": {"sum": "total"}, "mean": {"mean": "total"}}
GIGABYTE = 13_100_000
"""Rows."""


def write(path: Path, rows: int) -> Path:
    """A table of orders."""
    regions, states = ("north", "south", "east", "west", "centre"), ("open", "paid", "void")
    with path.open("w", encoding="utf-8") as file:
        file.write("id,region,state,total,customer,note\n")
        for n in range(rows):
            total = n * 37 % 100_000 / 100
            note = f'"a note, number {n} of the list"'
            file.write(f"{n},{regions[n % 5]},{states[n * 7 % 3]},{total:.2f},customer {n % 5003},{note}\n")
    return path


def workflow(path: Path, *steps: dict) -> Workflow:
    read = {"path": str(path), "records": "reference"}
    first = {"id": "read", "intent": "extract", "uses": "file.read", "with": read}
    return Workflow.model_validate({"name": "bench", "steps": [first, *steps]})


def filtering(path: Path) -> Workflow:
    out = {"path": "ours.json"}
    return workflow(
        path,
        {"id": "kept", "intent": "filter", "input": "{{ steps.read.output }}", "with": {"where": WHERE}},
        {"id": "save", "intent": "send", "uses": "file.write", "input": "{{ steps.kept.output }}", "with": out},
    )


def grouping(path: Path, source: str = "read", *before: dict) -> Workflow:
    out, by = {"path": "ours.json"}, {"group_by": "region", "measures": MEASURES}
    return workflow(
        path,
        *before,
        {"id": "sums", "intent": "aggregate", "input": f"{{{{ steps.{source}.output }}}}", "with": by},
        {"id": "save", "intent": "send", "uses": "file.write", "input": "{{ steps.sums.output }}", "with": out},
    )


def alone(statement: str) -> float:
    """Seconds of DuckDB, its connection included."""
    import duckdb

    start = perf_counter()
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET threads=2")
        connection.execute(f"COPY ({statement}) TO 'alone.json' (ARRAY true)")
    return perf_counter() - start


def ours(service: SyncOrchestrationService, flow: Workflow) -> float:
    """Seconds of a whole run."""
    start = perf_counter()
    result = service.run(flow)
    seconds = perf_counter() - start
    assert result.status == "completed", result.failures
    return seconds


def compare(what: str, flow: Workflow, statement: str, rounds: int) -> None:
    """Both by turns; what they wrote has to be the same."""
    pairs = []
    with SyncOrchestrationService({}, db="sqlite:///bench.db") as service:
        ours(service, flow), alone(statement)  # imports, and the file in the system's cache
        for _ in range(rounds):
            pairs.append((ours(service, flow), alone(statement)))  # noqa: PERF401  # by turns
    mine, peer = (json.loads(Path(name).read_text()) for name in ("ours.json", "alone.json"))
    key = "id" if "id" in mine[0] else "region"
    assert sorted(mine, key=lambda row: row[key]) == sorted(peer, key=lambda row: row[key]), what
    we, they = (median(column) for column in zip(*pairs, strict=True))
    print(f"{what:28} {we:8.3f} s {they:8.3f} s {we / they:8.2f}", flush=True)


def gigabyte(path: Path) -> None:
    """Its own process: seconds, and the most memory that was resident."""
    kept = {"id": "kept", "intent": "filter", "input": "{{ steps.read.output }}", "with": {"where": WHERE}}
    with SyncOrchestrationService({}, db="sqlite:///large.db") as service:
        seconds = ours(service, grouping(path, "kept", kept))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{path.stat().st_size / 1e9:.2f} GB: {seconds:.0f} s, {peak:.0f} MB resident at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigabyte", action="store_true")
    parser.add_argument("--apart", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.apart is not None:
        return gigabyte(options.apart)
    with tempfile.TemporaryDirectory() as folder:
        import os

        here = Path(__file__).resolve()
        os.chdir(folder)
        small, large = write(Path("small.csv").resolve(), 100_000), write(Path("large.csv").resolve(), 1_000_000)
        print(f"{'':28} {'ours':>10} {'duckdb':>10} {'ratio':>8}")
        source = "read_csv('{}', header=true, all_varchar=true)"
        condition = "state = 'open' AND total::DOUBLE >= 100.0"
        compare(
            "filter 100,000 records",
            filtering(small),
            f"FROM {source.format(small)} WHERE {condition}",
            options.rounds,
        )
        figures = "count(*) AS orders, sum(total) AS sum, avg(total) AS mean"
        typed = f"(SELECT region, total::DECIMAL(18, 2) AS total FROM {source.format(large)})"
        rounded = f"SELECT region, orders, sum::DOUBLE AS sum, sum::DOUBLE / orders AS mean FROM (SELECT region, {figures} FROM {typed} GROUP BY region)"
        compare("group 1,000,000 rows", grouping(large), rounded, options.rounds)
        if options.gigabyte:
            path = write(Path("giant.csv").resolve(), GIGABYTE)
            subprocess.run([sys.executable, str(here), "--apart", str(path)], check=True)
    return None


if __name__ == "__main__":
    main()
