"""Signals end a run cleanly: recorded as cancelled, nothing held, and how to go on is said."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

PLUGIN = '''
import asyncio, time
from intendant.plugin import IntentHandler, IntentSpec, StepResult

class Wait(IntentHandler):
    """Waits, or computes without giving way."""
    spec = IntentSpec(name="wait", summary="Wait", examples=("Wait",))

    def needs_model(self, step):
        return False

    async def handle(self, request):
        if request.prompt == "burn":
            until = time.monotonic() + 20
            while time.monotonic() < until:
                pass
        await asyncio.sleep(20)
        return StepResult(output=None)
'''
FLOW = "name: t\nsteps: [{id: a, intent: wait, prompt: %s}, {id: b, intent: wait, prompt: sleep}]"
CASES = [
    ("sleep", [signal.SIGINT], False),
    ("sleep", [signal.SIGTERM], False),
    ("sleep", [signal.SIGTERM], True),
    ("sleep", [signal.SIGINT], True),
    ("burn", [signal.SIGINT, signal.SIGINT], False),
    ("burn", [signal.SIGTERM, signal.SIGINT], True),
    ("sleep", [signal.SIGINT, signal.SIGTERM], False),
]
"""What the step does, which signals come, and whether the command is a background job (SIGINT ignored)."""


@pytest.fixture
def site(tmp_path) -> Path:
    """A folder with an installed plugin."""
    folder = tmp_path / "site"
    info = folder / "intendant_intent_wait-0.1.dist-info"
    info.mkdir(parents=True)
    (folder / "waiting_plugin.py").write_text(textwrap.dedent(PLUGIN))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: intendant-intent-wait\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[intendant.intents]\nwait = waiting_plugin:Wait\n")
    return folder


def started(tmp_path: Path, site: Path, prompt: str, *, background: bool) -> "subprocess.Popen[str]":
    (tmp_path / "flow.yaml").write_text(FLOW % prompt)
    return subprocess.Popen(
        [sys.executable, "-m", "intendant", "run", "flow.yaml", "--db", "sqlite:///x.db"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site), "XDG_CONFIG_HOME": str(tmp_path / "config")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if background else None,  # noqa: PLW1509  # no threads here
    )


def wait_for_steps(tmp_path: Path) -> None:
    """Until the run has begun: its database is there and has a run."""
    import sqlite3

    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with sqlite3.connect(f"file:{tmp_path}/x.db?mode=ro", uri=True) as db:
                if db.execute("SELECT count(*) FROM event WHERE type = 'step_started'").fetchone()[0]:
                    return
        except sqlite3.OperationalError:
            pass
        time.sleep(0.02)
    raise AssertionError("the run did not begin")


@pytest.mark.parametrize(("prompt", "signals", "background"), CASES)
def test_signals_cancel_the_run_and_say_how_to_go_on(
    tmp_path, site, intendant, prompt, signals, background
) -> None:
    process = started(tmp_path, site, prompt, background=background)
    wait_for_steps(tmp_path)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.3)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    assert process.returncode == 130
    assert "cancelling" in err
    run = intendant("show", "last", "--json", "--db", "sqlite:///x.db").json()
    assert run["status"] == "cancelled"
    assert run["ledger"]["open_holds"] == 0
    assert run["journal"]["first_broken"] is None
    assert f"intendant resume {run['run_id']}" in err


def begun(err: str) -> bool:
    """Whether a traceback has a frame of a function of ours: before that, Python itself reports a signal."""
    return any(name != "<module>" for name in re.findall(r'/intendant/.*?", line \d+, in (\S+)', err))


def test_a_traceback_of_the_interpreter_is_told_from_one_of_ours() -> None:
    starting = '  File "/x/intendant/__main__.py", line 3, in <module>\n  File "/y/signal.py", line 1, in f\n'
    assert not begun(starting)
    assert begun(starting + '  File "/x/intendant/cli/__init__.py", line 12, in main\n')


@pytest.mark.slow
def test_signals_at_random_moments_leave_no_traceback_and_nothing_open(tmp_path, site, intendant) -> None:
    chance = random.Random(int(os.environ.get("INTENDANT_SEED", "1")))
    for number in range(int(os.environ.get("INTENDANT_TRIALS", "300"))):
        (tmp_path / "x.db").unlink(missing_ok=True)
        process = started(tmp_path, site, "sleep", background=chance.random() < 0.3)
        time.sleep(chance.uniform(0.0, 1.5))
        for _ in range(chance.choice([1, 2])):
            process.send_signal(chance.choice([signal.SIGINT, signal.SIGTERM]))
            time.sleep(chance.uniform(0, 0.05))
        try:
            _, err = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:  # it came before the program could receive it
            process.terminate()
            _, err = process.communicate(timeout=20)
        assert "Traceback" not in err or not begun(err), (number, err)
        if not (tmp_path / "x.db").exists():
            continue
        done = intendant("runs", "--json", "--db", "sqlite:///x.db")
        for run in json.loads(done.out or "[]"):
            assert run["status"] == "cancelled", (number, run)
