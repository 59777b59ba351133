"""A writer that is killed loses nothing that it has acknowledged; `nox -s bench` kills more of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "benchmarks/writer.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no SIGKILL")
@pytest.mark.parametrize("durability", ["full", "normal"])
def test_what_was_acknowledged_survives_the_process(durability) -> None:
    options = ["--seconds", "0", "--kills", "2", "--runs", "5", "--tasks", "20", "--durability", durability]
    done = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["kills"], figures["lost"]) == (2, 0)
    assert figures["acknowledged"] > 100
