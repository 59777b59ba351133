"""`intendant verify`: whole or broken, by exit code; heads, keys, tenants. In this process, which is faster."""

import json
import shutil
import sqlite3
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from intendant.cli.app import app_for

FLOW = """
name: small
steps:
  - {id: numbers, intent: filter, input: [{n: 1}, {n: 2}, {n: 3}], with: {where: "item.n > 1"}}
  - {id: total, intent: aggregate, input: "{{ steps.numbers.output }}", with: {measures: {sum: {sum: n}}}}
"""
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
def flow(tmp_path):
    (tmp_path / "flow.yaml").write_text(FLOW)
    return "flow.yaml"


def harm(path, statement: str) -> None:
    connection = sqlite3.connect(path)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")  # who has the file can
    assert connection.execute(statement).rowcount > 0
    connection.commit()
    connection.close()


def test_a_changed_row_is_told_with_table_row_and_reason_and_exits_5(intendant, flow, tmp_path) -> None:
    run = intendant("run", flow, "--json", *DB).json()["run_id"]
    whole = intendant("verify", *DB)
    assert (whole.code, whole.err) == (0, "")
    assert whole.out.startswith("whole: 1 runs, ")
    assert intendant("verify", "last", "--json", *DB).json()["whole"] is True
    harm(tmp_path / "x.db", "UPDATE step SET output = '[9]' WHERE key = 'total'")
    broken = intendant("verify", *DB)
    assert broken.code == 5
    assert f"broken: step {run}/total: a column was changed" in broken.err
    found = intendant("verify", run, "--json", *DB)
    assert found.code == 5
    (fault,) = found.json()["broken"]
    assert (fault["table"], fault["key"], fault["run_id"]) == ("step", f"{run}/total", run)
    shown = intendant("show", run, *DB)
    assert shown.code == 5
    assert "BROKEN" in shown.out
    assert intendant("resume", run, *DB).code == 5


def test_damaged_rows_are_an_error_and_no_traceback(intendant, flow, tmp_path) -> None:
    run = intendant("run", flow, "--json", *DB).json()["run_id"]
    shutil.copy(tmp_path / "x.db", tmp_path / "whole.db")
    harms = (
        "event.data = '{'",
        "step.outcome = x'ff'",
        "run.status = 7",
        "run.inputs = '{'",
        "event.type = x'ff'",
    )
    for change in harms:
        table, _, assignment = change.partition(".")
        shutil.copy(tmp_path / "whole.db", tmp_path / "x.db")
        harm(tmp_path / "x.db", f"UPDATE {table} SET {assignment}")
        for command in ("verify", "show", "resume"):
            assert intendant(command, run, *DB).code == 5, (command, change)


def test_a_head_kept_elsewhere_finds_an_older_copy(intendant, flow, tmp_path) -> None:
    intendant("run", flow, *DB)
    shutil.copy(tmp_path / "x.db", tmp_path / "older.db")
    intendant("run", flow, *DB)
    head = intendant("verify", "--head", *DB).out.strip()
    (tmp_path / "head.txt").write_text(head)
    assert intendant("verify", "--against", head, *DB).code == 0
    older = intendant("verify", "--against", "head.txt", "--db", "sqlite:///older.db")
    assert older.code == 5
    assert "the head that was kept elsewhere" in older.err
    wrong = intendant("verify", "--against", "nonsense", *DB)
    assert wrong.code == 2
    assert "verify --head prints one" in wrong.err


def test_a_signed_record_needs_its_key(intendant, flow, tmp_path) -> None:
    (tmp_path / "keys").write_text("# of the test\na key that nobody guesses\n")
    (tmp_path / "other").write_text("a key that is another one\n")
    sign = ("-s", "store.key_file=keys")
    assert intendant("run", flow, *DB, *sign).code == 0
    assert intendant("verify", *DB, *sign).code == 0
    assert intendant("verify", *DB, "--key-file", "keys").code == 0
    assert "were not checked" in intendant("verify", *DB).out
    other = intendant("verify", *DB, "--key-file", "other")
    assert other.code == 5
    assert "signed with another key" in other.err
    (tmp_path / "short").write_text("short\n")
    assert intendant("verify", *DB, "--key-file", "short").code == 2
    assert intendant("verify", *DB, "--key-file", "nowhere").code == 2
    # What is written without the key afterwards is found.
    intendant("run", flow, *DB)
    unsigned = intendant("verify", *DB, "--key-file", "keys")
    assert unsigned.code == 5
    assert "it is not signed" in unsigned.err


def test_a_tenant_sees_its_own_runs_only(intendant, flow, tmp_path) -> None:
    one, two = ("-s", "budget.tenant=one"), ("-s", "budget.tenant=two")
    run = intendant("run", flow, "--json", *DB, *one).json()["run_id"]
    assert [row["id"] for row in intendant("runs", "--json", *DB, *one).json()] == [run]
    assert intendant("runs", "--json", *DB, *two).json() == []
    assert intendant("runs", "--json", *DB).json() == []
    for command in ("show", "verify", "resume", "cost"):
        assert intendant(command, run, *DB, *one).code == (2 if command == "resume" else 0)
        for whose in (two, ()):
            refused = intendant(command, run, *DB, *whose)
            assert refused.code == 2
            assert "there is no run" in refused.err
        assert "there is no run" in intendant(command, "last", *DB, *two).err
    assert intendant("cost", "--json", *DB, *two).json()["groups"] == []
    harm(tmp_path / "x.db", "UPDATE step SET output = '[9]' WHERE key = 'total'")
    other = intendant("verify", *DB, *two)
    assert other.code == 5
    assert run not in other.err
    assert "1 faults are in runs of other tenants" in other.err
