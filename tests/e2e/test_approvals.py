"""Runs that wait, on the command line: several processes, none of which stays."""

import getpass

import pytest

ASKING = """
name: letters
inputs: {rows: {type: array, default: [{id: a, text: hello}, {id: b, text: bye}]}}
steps:
  - id: each
    for_each: "{{ inputs.rows }}"
    as: row
    key: row.id
    steps:
      - {id: draft, intent: transform, input: ["{{ row.text }}"], with: {do: [{op: limit, count: 1}]}}
      - id: send
        approve: {ask: "Send to {{ row.id }}?"}
        intent: send
        uses: file.write
        with: {path: "out-{{ row.id }}.json"}
        input: "{{ steps.draft.output }}"
"""


@pytest.fixture
def flow(tmp_path):
    file = tmp_path / "flow.yaml"
    file.write_text(ASKING)
    return str(file)


def test_what_is_asked_is_listed_approved_and_done_by_other_processes(intendant, flow, tmp_path) -> None:
    db = ("--db", f"sqlite:///{tmp_path}/x.db")
    first = intendant("run", flow, *db)
    assert first.code == 4, first.err
    assert "intendant approvals" in first.out
    asked = intendant("approvals", "--json", *db).json()
    assert [(item["step"], item["ask"], item["shown"]["input"]) for item in asked] == [
        ("each[a]/send", "Send to a?", ["hello"]),
        ("each[b]/send", "Send to b?", ["bye"]),
    ]
    text = intendant("approvals", "last", *db).out
    assert 'input: ["hello"]' in text
    assert "costs at most: 0 tokens" in text
    unclear = intendant("approve", "last", "each/send", *db)
    assert unclear.code == 2
    assert "--item KEY" in unclear.err
    decided = intendant("approve", "last", "each/send", "--item", "a", "--json", *db).json()
    assert (decided["by"], decided["verdict"], decided["still_wanted"]) == (getpass.getuser(), "approved", 0)
    assert intendant("resume", "last", *db).code == 4
    assert (tmp_path / "out-a.json").exists()
    assert not (tmp_path / "out-b.json").exists()
    intendant("deny", "last", "each[b]/send", "--note", "not now", *db)
    last = intendant("resume", "last", "--json", *db)
    assert last.code == 1
    assert "denied it: not now" in last.json()["steps"]["each"]["failure"]["message"]
    assert intendant("verify", *db).code == 0


def test_a_workflow_is_read_from_standard_input_and_a_waiting_run_is_cancelled(intendant, tmp_path) -> None:
    db = ("--db", f"sqlite:///{tmp_path}/x.db")
    assert intendant("run", "-", "-i", 'rows=[{"id": 1, "text": "x"}]', *db, stdin=ASKING.encode()).code == 4
    assert "x 1)" in intendant("plan", "-", "-i", 'rows=[{"id": 1, "text": "x"}]', stdin=ASKING.encode()).out
    assert "x 2)" in intendant("plan", "-", stdin=ASKING.encode()).out
    assert intendant("cancel", "last", "--json", *db).json()["status"] == "cancelled"
    assert intendant("approvals", "--json", *db).json() == []
    assert "standard input:2" in intendant("run", "-", stdin=b"name: t\nsteps: [{id: a, intnt: x}]").err


def test_the_schema_knows_groups_and_branches_and_ignores_keys_for_people(intendant) -> None:
    import jsonschema_rs
    import yaml

    schema = jsonschema_rs.validator_for(intendant("schema").json())
    document = yaml.safe_load(ASKING) | {"x-note": 1, "finally": [{"id": "z", "wait": {"for": "2h"}}]}
    assert schema.is_valid(document), [error.message for error in schema.iter_errors(document)]
    document["steps"][0]["steps"][0]["x-note"] = "text"
    assert schema.is_valid(document)
    document["steps"][0]["steps"][0]["for_eech"] = []
    assert not schema.is_valid(document)
