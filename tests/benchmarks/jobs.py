"""Runs the fourteen jobs of docs/examples by the commands of their READMEs, and writes what each takes to docs/jobs.md.

    python tests/benchmarks/jobs.py [--only JOB] [--print]

Where a job asks a model, a server on this machine answers from a script; it counts what it is sent and answers by
OpenAI's vocabulary, and calls are priced at list prices. So tokens and cost are those of these prompts with these
short answers, and the time is that of Intendant and its connectors: a model's own time comes on top.
"""

import argparse
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "docs/examples"
PAGE = ROOT / "docs/jobs.md"
MARK = "<!-- Below this line it was measured: python tests/benchmarks/jobs.py -->"
sys.path.insert(0, str(ROOT / "tests/e2e"))

import scripted_model as scripts  # noqa: E402

JOBS = {
    "mail-triage": "A folder of mails: labels, a draft for each urgent one, a person approves, sent",
    "sales-report": "Weekly report from a CSV with groups, a chart and tables",
    "api-digest": "A paged API: only what is new, a digest to a webhook",
    "invoices": "Invoices as text, HTML and PDF: one table by schema, doubtful ones marked",
    "log-summary": "A log of 40,000 lines: a summary with citations, inside a budget",
    "ticket-labels": "500 tickets labelled in batches; a missing label is asked again",
    "fan-out": "Fan out over a list with a connector and a model for each item",
    "branch-and-join": "Branch, then join",
    "approve-mails": "Ask a person before sending, go on in another process",
    "way-for-errors": "A way for errors: retry, then fall back, then tell somebody",
    "sql-report": "SQL: a report",
    "feed-watch": "Feeds: what matters to me",
    "workbook-cleanup": "A workbook from Excel, cleaned and joined with a lookup",
    "look-it-up": "A step that looks things up with tools until it knows",
}


def look_up(asked: scripts.Asked) -> str | scripts.Calls:
    """The turns of the example's own stand-in for a model."""
    script = runpy.run_path(str(EXAMPLES / "look-it-up/model.py"))
    wanted = script["turn"](asked.body["messages"])
    return json.dumps(wanted) if isinstance(wanted, dict) else wanted


ANSWERS: Mapping[str, scripts.Answer] = {
    "mail-triage": scripts.triage_mails,
    "invoices": scripts.read_invoice,
    "log-summary": scripts.read_log,
    "ticket-labels": partial(scripts.label_tickets, Counter()),
    "fan-out": scripts.read_offer,
    "look-it-up": look_up,
}
COUNTED = ("run", "resume")
"""Commands whose time counts."""


class Row(NamedTuple):
    """What a job takes."""

    lines: int
    calls: int
    tokens: int
    micro_usd: int
    seconds: float


def measured(job: str) -> Row:
    """Run a job in a fresh folder.

    Raises:
        RuntimeError: One of its commands went wrong.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as started:
        place = Path(folder) / job
        shutil.copytree(EXAMPLES / job, place)
        model = _model(place, job)
        env = {name: value for name, value in os.environ.items() if not name.startswith(("INTENDANT_", "OPENAI_"))}
        env |= {"XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder, **started.enter_context(model)}
        env.pop("ANTHROPIC_API_KEY", None)
        seconds, db = 0.0, ""
        for command in _commands(place):
            words = shlex.split(command.removesuffix("&"), comments=True)
            if words[0] == "export":
                exported = dict(word.split("=", 1) for word in words[1:])
                env |= {name: value for name, value in exported.items() if name.startswith("INTENDANT_")}
            elif words[0] == "python" and command.endswith("&"):
                started.enter_context(_background(words, place, env))
            else:
                begun = time.perf_counter()
                _do(words, place, env)
                seconds += time.perf_counter() - begun if words[1] in COUNTED else 0.0
                db = words[words.index("--db") + 1] if "--db" in words else db
        row = _last_run(place, env, db)
    return Row(
        lines_of(job), row["metrics"]["calls"], row["ledger"]["tokens"], row["ledger"]["micro_usd"], seconds
    )


def lines_of(job: str) -> int:
    """Lines of the flow that say something."""
    flow = (EXAMPLES / job / "flow.yaml").read_text(encoding="utf-8").splitlines()
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in flow)


def _model(place: Path, job: str):
    return scripts.scripted_model(place, ANSWERS[job]) if job in ANSWERS else nullcontext({})


def _commands(place: Path) -> Iterator[str]:
    """The commands of a README that are run: once each, nothing beyond this machine, no plan and nothing shown."""
    seen: set[str] = set()
    for found in re.findall(r"^\$ (.*)$", (place / "README.md").read_text(encoding="utf-8"), re.MULTILINE):
        command = found.split(" # ")[0].rstrip() if "&" in found else found
        word = shlex.split(command, comments=True)[:2]
        again = word == ["intendant", "run"] and "intendant run" in seen
        if word[0] in ("cat", "intendant") and (word[0] == "cat" or word[1] in ("plan", "show")):
            continue
        if word[:2] == ["python", "model.py"] or "INTENDANT_CONFIG" in command:
            continue  # another model stands in
        if again or "--dry" in command or "blog.python.org" in command:
            continue
        seen.add(" ".join(word))
        yield command.strip()


@contextmanager
def _background(words: list[str], place: Path, env: Mapping[str, str]) -> Iterator[None]:
    program = subprocess.Popen(
        [sys.executable, *words[1:]],
        cwd=place,
        env=dict(env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(2.0)
    try:
        yield
    finally:
        program.terminate()
        program.wait(timeout=10)


def _do(words: list[str], place: Path, env: Mapping[str, str]) -> None:
    program = [sys.executable, *(words[1:] if words[0] == "python" else ["-m", *words])]
    done = subprocess.run(program, cwd=place, env=dict(env), capture_output=True, text=True, timeout=600)
    if done.returncode not in (0, 1, 4):  # a denied step fails its run; one that waits ends with 4
        raise RuntimeError(f"{shlex.join(words)} ended with {done.returncode}: {done.stderr}")


def _last_run(place: Path, env: Mapping[str, str], db: str) -> dict[str, dict[str, int]]:
    shown = [sys.executable, "-m", "intendant", "show", "last", "--json", *(["--db", db] if db else [])]
    done = subprocess.run(shown, cwd=place, env=dict(env), capture_output=True, text=True, check=True)
    row: dict[str, dict[str, int]] = json.loads(done.stdout)
    return row


def table(rows: Mapping[str, Row | None]) -> str:
    """The rows as Markdown."""
    lines = [
        "| | job | example | lines of YAML | calls | tokens | cost | time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for number, (job, title) in enumerate(JOBS.items(), 1):
        row = rows.get(job)
        if row is None:
            continue
        cost = f"${row.micro_usd / 1_000_000:.4f}" if row.micro_usd else "-"
        figures = (str(row.lines), str(row.calls or "-"), f"{row.tokens:,}" if row.tokens else "-", cost)
        name = f"[{job}](examples/{job}/README.md)"
        lines.append(f"| {number} | {title} | {name} | {' | '.join(figures)} | {row.seconds:.1f} s |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=JOBS, action="append")
    parser.add_argument("--print", action="store_true", dest="shown", help="write nothing")
    given = parser.parse_args()
    rows: dict[str, Row | None] = {}
    for job in given.only or JOBS:
        if (EXAMPLES / job / "README.md").is_file():
            rows[job] = measured(job)
            print(job, rows[job], flush=True)
    if given.shown or given.only:
        print(table(rows))
        return
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(f"{by_hand}{MARK}\n\n{table(rows)}", encoding="utf-8")


if __name__ == "__main__":
    main()
