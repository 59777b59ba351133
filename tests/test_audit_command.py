"""`intendant audit`, `rate` and `db`: what happened, how good it was, and how long it is kept."""

import csv
import io
import json
import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest

FLOW = """
name: small
agent: mailer
steps:
  - {id: numbers, intent: filter, input: [{n: 1}, {n: 2}, {n: 3}], with: {where: "item.n > 1"}}
  - {id: total, intent: aggregate, input: "{{ steps.numbers.output }}", with: {measures: {sum: {sum: n}}}}
"""
DB = ("--db", "sqlite:///x.db")
DAY = 86_400


@pytest.fixture
def intendant(command):
    """The command, beside a workflow and one that fails."""
    Path("flow.yaml").write_text(FLOW)
    Path("bad.yaml").write_text(FLOW.replace("n: 3", "m: 3").replace("name: small", "name: '=bad'"))
    return command


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


# --- audit ---


def test_events_are_exported_filtered_as_lines_of_json(intendant) -> None:
    run = intendant("run", "flow.yaml", "--json").json()["run_id"]
    intendant("run", "flow.yaml")
    rows = lines(intendant("audit", "export").out)
    assert len({row["run_id"] for row in rows}) == 2
    assert all(row["agent"] == "mailer" for row in rows)
    of_run = lines(intendant("audit", "export", run).out)
    assert [row["seq"] for row in of_run] == list(range(1, len(of_run) + 1))
    some = lines(intendant("audit", "export", "last", "--kind", "step_executed", "--step", "total").out)
    assert [(row["type"], row["step_id"]) for row in some] == [("step_executed", "total")]
    assert some[0]["data"]["intent"] == "aggregate"
    assert lines(intendant("audit", "export", "--agent", "nobody").out) == []
    assert lines(intendant("audit", "export", "--since", "2099-01-01").out) == []
    assert lines(intendant("audit", "export", "--until", "2001-01-01").out) == []
    assert lines(intendant("audit", "export", "--severity", "critical").out) == []
    assert "step_executed" in intendant("audit", "show", "--limit", "5").out
    assert len(intendant("audit", "show", "--limit", "3", "--json").json()) == 3


def test_a_raw_export_can_be_verified_by_whoever_has_it(intendant) -> None:
    intendant("run", "flow.yaml")
    previous = "0" * 64
    for row in lines(intendant("audit", "export", "last", "--raw").out):
        parts = [previous, row["commits"], row["columns"], row["data"]]
        assert sha256("\n".join(filter(None, parts)).encode()).hexdigest() == row["hash"]
        previous = row["hash"]


def test_a_spreadsheet_takes_no_cell_for_a_formula(intendant) -> None:
    intendant("run", "bad.yaml", code=1)
    rows = list(csv.DictReader(io.StringIO(intendant("audit", "export", "--csv").out)))
    assert {row["workflow"] for row in rows} == {"'=bad"}
    assert all(json.loads(row["data"]) is not None for row in rows)


def test_tenants_do_not_see_each_other(intendant) -> None:
    intendant("run", "flow.yaml", "-s", "budget.tenant=a")
    assert lines(intendant("audit", "export").out) == []
    assert lines(intendant("audit", "export", "-s", "budget.tenant=a").out)


def test_a_kind_that_is_none_is_an_error_that_names_all(intendant) -> None:
    done = intendant("audit", "show", "--kind", "step_exploded", code=2)
    assert "no event 'step_exploded'" in done.err
    assert "rollout_moved" in done.err
    assert "is no day for --since" in intendant("audit", "show", "--since", "soon", code=2).err
    assert "no run 'r_none'" in intendant("audit", "export", "r_none", code=2).err


# --- only ever added to ---


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET severity = 'info'",
        "DELETE FROM event",
        "UPDATE ledger SET micro = 0",
        "DELETE FROM rating",
        "UPDATE rating SET rating = 5",
        "UPDATE setting_change SET changed_by = 'x'",
        "DELETE FROM setting_change",
        "DELETE FROM budget_limit",
        "INSERT OR REPLACE INTO pruned SELECT id, 1, 'x' FROM run; UPDATE pruned SET at = 2",
    ],
)
def test_the_database_refuses_to_change_what_is_only_added_to(intendant, tmp_path, statement) -> None:
    intendant("run", "flow.yaml")
    intendant("rate", "last", "2")
    intendant("config", "set", "budget.memory_tokens=3")
    intendant("budget", "set", "agent:mailer", "--tokens", "5", "--per", "day")
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("INSERT INTO ledger SELECT 1, 'k', id, 's', 'settle', 1, 1, 1, 0, 'v', 1.0, NULL FROM run")
    first, _, second = statement.partition(";")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        for each in filter(None, (first, second)):
            connection.execute(each)
    connection.close()


# --- ratings ---


def test_ratings_are_part_of_the_record(intendant) -> None:
    run = intendant("run", "flow.yaml", "--json").json()["run_id"]
    assert intendant("rate", "last", "4").out == f"{run}: 4 of 5\n"
    said = intendant("rate", run, "total", "2", "--comment", "wrong sum", "--json").json()
    assert (said["step_key"], said["rating"], said["comment"]) == ("total", 2, "wrong sum")
    intendant("rate", "last", "5")
    shown = intendant("show", run, "--json").json()["ratings"]
    assert sorted((one["step"], one["rating"]) for one in shown) == [("", 5), ("total", 2)]
    intendant("verify")
    intendant("db", "erase", run)
    assert "wrong sum" not in Path("x.db").read_bytes().decode("latin-1")
    intendant("verify")
    assert intendant("show", run, "--json").json()["ratings"][0]["comment"] is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["last", "6"], "'6' is no rating"),
        (["last", "0"], "is no rating"),
        (["last", "good"], "is no rating"),
        (["last", "a", "b", "3"], "is no rating"),
        (["last", "nothing", "3"], "no step 'nothing'"),
        (["r_none", "3"], "no run"),
    ],
)
def test_a_wrong_rating_says_what_is_right(intendant, words, says) -> None:
    intendant("run", "flow.yaml")
    done = intendant("rate", *words, code=2)
    assert says in done.err
    assert "hint" in done.err


# --- retention ---


def age(path, days: float, where: str = "1") -> None:
    """Pretend that runs ended before; the record of that is broken, which is not looked at here."""
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE run SET finished_at = finished_at - {days * DAY} WHERE {where}")
    connection.commit()
    connection.close()


def test_runs_are_pruned_by_class_and_the_rest_stays(intendant, tmp_path) -> None:
    for flow, code in (("flow.yaml", 0), ("bad.yaml", 1), ("flow.yaml", 0)):
        intendant("run", flow, code=code)
    runs = [row["id"] for row in intendant("runs", "--json").json()]
    age(tmp_path / "x.db", 400, f"id != '{runs[0]}'")
    told = intendant("db", "prune", "--dry", "--json").json()
    assert told["pruned"] == {"personal": 0, "critical": 0, "standard": 1}
    assert len(intendant("runs", "--json").json()) == 3
    assert intendant("db", "prune", "--compact", "--json").json()["pruned"]["standard"] == 1
    assert [row["id"] for row in intendant("runs", "--json").json()] == runs[:2]
    assert intendant("db", "prune", "--json").json()["pruned"]["standard"] == 0


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("retention.standard_days=500", {"personal": 0, "critical": 0, "standard": 0}),
        ("retention.critical_days=300", {"personal": 0, "critical": 1, "standard": 1}),
        ('retention.personal_agents=["mailer"]', {"personal": 2, "critical": 0, "standard": 0}),
    ],
)
def test_changing_a_key_of_retention_changes_what_goes(intendant, tmp_path, setting, expected) -> None:
    intendant("run", "flow.yaml")
    intendant("run", "bad.yaml", code=1)
    age(tmp_path / "x.db", 400)
    intendant("config", "set", setting)
    assert intendant("db", "prune", "--dry", "--json").json()["pruned"] == expected
    more = ("-s", "retention.personal_days=500") if expected["personal"] else ()
    if more:
        assert intendant("db", "prune", "--dry", "--json", *more).json()["pruned"]["personal"] == 0


def test_payloads_may_go_before_their_runs(intendant) -> None:
    intendant("run", "flow.yaml")
    assert intendant("db", "prune", "--json").json()["erased"] == 0
    intendant("config", "set", "retention.payload_days=0")
    assert intendant("db", "prune", "--json").json()["erased"] == 1
    assert intendant("db", "prune", "--json").json()["erased"] == 0
    assert intendant("show", "last", "--json").json()["steps"]["total"]["output"] is None
    intendant("verify")


def test_what_is_pruned_is_told_and_the_record_is_whole(intendant) -> None:
    intendant("budget", "set", "agent:mailer", "--tokens", "5000", "--per", "day")
    intendant("run", "flow.yaml")
    intendant("run", "flow.yaml")
    intendant("config", "set", "retention.standard_days=0")
    head = intendant("verify", "--head").out.strip()
    intendant("db", "prune")
    done = intendant("verify", "--against", head)
    assert "2 runs were pruned" in done.out
    assert lines(intendant("audit", "export").out) == []


def test_storage_says_what_each_table_takes(intendant) -> None:
    intendant("run", "flow.yaml")
    found = intendant("db", "storage", "--json").json()
    assert found["bytes"] == sum(table["bytes"] for table in found["tables"]) > 1000
    assert found["bytes_per_call"] is None
    assert next(table for table in found["tables"] if table["table"] == "event")["rows"] > 5
    assert "event" in intendant("db", "storage").out
