"""What tests of commands share."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from intendant.cli.app import app_for


@pytest.fixture
def finished() -> Callable[["subprocess.Popen[bytes]"], Any]:
    """Waits for a command with `--json`, and returns what it printed; None where its run was completed already."""

    def wait(process: "subprocess.Popen[bytes]") -> Any:
        out, err = process.communicate(timeout=100)
        assert b"Traceback" not in err, err.decode()
        if b"is completed" in out + err:  # the kill came too late
            return None
        assert out, err.decode()
        return json.loads(out)

    return wait


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command in this process, in an empty folder without anybody's settings, on a database there: called with
    its arguments and the exit code that is expected, it gives what it printed.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def run(*arguments: str, code: int = 0) -> SimpleNamespace:
        done = CliRunner().invoke(app_for(), [*arguments, "--db", "sqlite:///x.db"])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output + done.stderr
        return SimpleNamespace(out=done.stdout, err=done.stderr, json=lambda: json.loads(done.stdout))

    return run
