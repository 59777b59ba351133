"""`intendant doubts`: a person lists the calls for which steps wait, decides, and the run goes on."""

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from intendant.cli import run as run_command
from intendant.cli.app import app_for

sys.path.insert(0, str(Path(__file__).parent.parent / "core/tests"))
from test_deciding import FLOW, Ask, Dies, ScriptedProvider, engine, reply

DB = ("--db", "sqlite:///x.db")


@pytest.fixture
def intendant(tmp_path, monkeypatch):
    """The command, in an empty folder without anybody's settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def run(*arguments: str):
        done = CliRunner().invoke(app_for(), arguments)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return SimpleNamespace(
            code=done.exit_code, out=done.stdout, err=done.stderr, json=lambda: json.loads(done.stdout)
        )

    return run


@pytest.fixture
def waiting(intendant) -> str:
    """A run that waits for a decision."""

    async def make() -> str:
        dead = Dies(reply())
        async with engine(Ask(), dead, db=DB[1]) as old, engine(Ask(), ScriptedProvider(reply()), db=DB[1]) as new:
            run = asyncio.create_task(old.run(FLOW))
            while len(dead.calls) < 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            result = await new.resume("last", take_over=True)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            return result.run_id

    return asyncio.run(make())


def test_a_waiting_run_is_code_4() -> None:
    assert run_command.CODES["waiting"] == 4
    assert run_command.CODES["overrun"] == 3


def test_doubts_are_listed_and_decided(intendant, waiting) -> None:
    listed = intendant("doubts", *DB)
    assert listed.code == 0
    assert "scripted/scripted-1" in listed.out
    assert f"{waiting} a (waiting)" in listed.out
    (row,) = intendant("doubts", "--json", *DB).json()
    assert (row["run_id"], row["step_key"], row["waits"]) == (waiting, "a", True)
    assert intendant("doubts", "settle", "zzz", "--input-tokens", "1", "--output-tokens", "1", *DB).code == 2
    assert intendant("doubts", "settle", row["key"], *DB).code == 2
    shown = intendant("show", waiting, *DB)
    assert shown.code == 0
    assert "waiting: step 'a'" in shown.out
    decided = intendant("doubts", "drop", row["key"][:6], *DB)
    assert (decided.code, decided.err) == (0, "")
    assert f"intendant resume {waiting}" in decided.out
    assert "no step waits" in intendant("doubts", *DB).out
    assert intendant("verify", *DB).code == 0
    assert intendant("doubts", "drop", row["key"], *DB).code == 2
