"""Sixteen of the trials that try to overspend; `nox -s trials` plays ten thousand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "benchmarks/ledger_trials.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the trials fork")
@pytest.mark.timeout(320)
def test_nothing_overspends_under_counts_or_leaks() -> None:
    """In a process of its own: the trials fork and kill."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--trials", "16", "--tasks", "40", "--seed", "7", "--jobs", "4"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["trials"], figures["failed"]) == (16, 0)
    assert figures["calls"] > 280
