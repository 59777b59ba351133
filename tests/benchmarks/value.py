"""What whole workloads cost with and without: routing, an agent's context, documents, and all together for a mix.

    python tests/benchmarks/value.py FOLDER [--splits 20]

FOLDER holds `routing/*.jsonl.gz` (outcomes), `agents/` (runs and the script that bills them) and `compression/`
(documents and the script that scores them). What is learned is learned on other rows than it is judged on, but for
the agents' line weights, which were learned on these runs as well (that row says so), and what counts in documents of
a kind, which was tuned on these. Intervals are bootstraps over rows, runs or documents (95 %). What is measured is the
bill of calls that were really made, at list prices; what is estimated is named in the table.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

import intendant
from intendant.planning.outcomes import OutcomeRow, read_outcomes
from intendant.planning.policy_replay import decisions, report
from intendant.planning.policy_training import train

LEARNED = 0.7
ROUTED = (("routerbench", 0.01), ("routerbench", 0.0443), ("zeroeval", 0.01), ("zoonk", 0.01))
DRAWS = 1000
MIX = {"agents": 0.5, "calls that are routed": 0.3, "documents": 0.2}
"""Parts of a bill, as an example: coding agents, single prompts, and prompts that are mostly documents."""
INPUT_SHARE = 0.8
"""Of what a call about a document costs, the part that is its input (an estimate: 3,000 tokens in, 150 out, 1:5)."""


class Saved(NamedTuple):
    """A row of the table."""

    what: str
    saved: float
    low: float
    high: float
    quality: str
    note: str = ""

    def __str__(self) -> str:
        return (
            f"| {self.what} | {self.saved:.1%} [{self.low:.1%}, {self.high:.1%}] | {self.quality} | {self.note} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--splits", type=int, default=20)
    given = parser.parse_args()
    print("| workload | cost saved | quality | how it was measured |\n|---|---|---|---|")
    routed = [_show(row) for row in _routing(given.folder / "routing", given.splits)]
    agents = [_show(row) for row in _agents(given.folder / "agents")]
    documents = [_show(row) for row in _documents(given.folder / "compression")]
    parts = {
        "agents": agents[0],
        "calls that are routed": _mean(routed),
        "documents": documents[-1],
    }
    low, middle, high = (
        sum(MIX[name] * _weight(name) * getattr(part, which) for name, part in parts.items())
        for which in ("low", "saved", "high")
    )
    said = ", ".join(f"{share:.0%} {name}" for name, share in MIX.items())
    note = "estimate: the mix is an example, the parts are added up, not run together"
    print(Saved(f"**together**: {said}", middle, low, high, "as in the rows it is made of", note))


def _weight(name: str) -> float:
    return INPUT_SHARE if name == "documents" else 1.0


def _show(row: Saved) -> Saved:
    print(row, flush=True)
    return row


def _mean(rows: Sequence[Saved]) -> Saved:
    saved, low, high = (fmean(getattr(row, name) for row in rows) for name in ("saved", "low", "high"))
    return Saved("", saved, low, high, "")


# --- routing ---


def _routing(folder: Path, splits: int) -> Iterator[Saved]:
    for name, most in ROUTED:
        rows = read_outcomes([folder / f"{name}.dev.jsonl.gz"])
        found = [_split(rows, most, seed) for seed in range(splits)]
        saved, low, high, loss = (fmean(column) for column in zip(*found, strict=True))
        worst = min(each[0] for each in found)
        yield Saved(
            f"routing, {name}, `--max-loss {most:g}`",
            saved,
            low,
            high,
            f"{100 * loss:.1f} points of score lost",
            f"mean of {splits} splits {LEARNED:.0%} to {1 - LEARNED:.0%}; the worst saved {worst:.1%}",
        )


def _split(rows: Sequence[OutcomeRow], most: float, seed: int) -> tuple[float, float, float, float]:
    """Saved with its interval, and lost, on rows whose prompts were not learned from."""
    prompts = sorted({row.prompt for row in rows})
    Random(seed).shuffle(prompts)
    known = set(prompts[: int(LEARNED * len(prompts))])
    policy = train([row for row in rows if row.prompt in known], most)
    found = report(list(decisions([row for row in rows if row.prompt not in known], policy)))
    return found["saved"], *found["intervals"]["saved"], found["loss"]


# --- an agent's context ---


def _agents(folder: Path) -> Iterator[Saved]:
    runs, script = folder / "bill.dev.jsonl.gz", folder / "agent_bill.py"
    for lossless, note in ((False, "its weights were learned on these runs as well"), (True, "nothing is judged")):
        found = _billed(runs, script, lossless=lossless)
        low, high = _interval([-run["bill"] for run in found["by_run"]])
        what = f"context of coding agents{', lossless' if lossless else ''}"
        quality = f"{found['recall']:.1%} of what was used later is there"
        yield Saved(what, -found["bill_change"], low, high, quality, f"{found['runs']} runs; {note}")


def _billed(runs: Path, script: Path, *, lossless: bool) -> dict[str, Any]:
    """What the runs cost with shorter observations, against what they cost."""
    with tempfile.TemporaryDirectory() as name:
        replaced = Path(name) / "replaced.jsonl"
        with replaced.open("w") as out:
            for run in _runs(runs):
                context = intendant.ContextCompressor(lossless=lossless)
                for turn in run["turns"]:
                    if turn["observation"] is None:
                        continue
                    text = context.fit(turn["observation"], query=turn["response"][:2000]).text
                    out.write(json.dumps({"run": run["run"], "turn": turn["turn"], "text": text}) + "\n")
        command = [sys.executable, str(script), "score", str(runs), str(replaced), "--json", "--by-run"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    scored: dict[str, Any] = json.loads(done.stdout)
    return scored


def _runs(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            yield json.loads(line)


# --- documents ---


def _documents(folder: Path) -> Iterator[Saved]:
    script: dict[str, Any] = {"__name__": "score"}
    exec(compile((folder / "score.py").read_text(), "score.py", "exec"), script)  # the folder's own
    rows = [json.loads(line) for line in (folder / "dev.jsonl").open()]
    modes: tuple[tuple[str, dict[str, Any]], ...] = (
        ("lossless", {"lossless": True}),
        ("to half", {"target": 0.5}),
        ("to 30 %", {"target": 0.3}),
        ("floor 0.95, risk 0.1", {"floor": 0.95, "risk": 0.1}),
    )
    for name, how in modes:
        made = {row["id"]: intendant.compress(row["text"], query=row["query"] or "", **how).text for row in rows}
        by_kind, _ = script["score"](rows, made)
        saved = [share for kind in by_kind.values() for share in kind["saved"]]
        critical = fmean(fmean(kind["critical"]) for kind in by_kind.values() if kind["critical"])
        note = f"tokens of {len(saved)} documents" + ("; calibrated on them" if "risk" in how else "")
        yield Saved(f"documents, {name}", fmean(saved), *_interval(saved), f"{critical:.1%} critical facts", note)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    draw = Random(0)
    means = sorted(fmean(draw.choices(values, k=len(values))) for _ in range(DRAWS))
    return means[int(0.025 * DRAWS)], means[int(0.975 * DRAWS)]


if __name__ == "__main__":
    main()
