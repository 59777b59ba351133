"""The command line, as a person and as a script use it."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

FLOW = """
name: small
inputs: {least: {type: number, default: 2}}
budget: {tokens: 2000}
steps:
  - {id: numbers, intent: filter, input: [{n: 1}, {n: 2}, {n: 3}], with: {where: "item.n >= values.least", values: {least: "{{ inputs.least }}"}}}
  - {id: total, intent: aggregate, input: "{{ steps.numbers.output }}", with: {measures: {sum: {sum: n}}}}
"""
LONG = (
    "name: long\nbudget: {tokens: 40}\nsteps: [{id: a, intent: summarize, input: '"
    + "A fact of 12 words. " * 400
    + "', prompt: what}]\n"
)


@pytest.fixture
def flow(tmp_path):
    file = tmp_path / "flow.yaml"
    file.write_text(FLOW)
    return str(file)


def test_plain_lines_and_a_summary_without_a_terminal(intendant, flow) -> None:
    done = intendant("run", flow, "--db", "none")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert "numbers" in lines[0]
    assert "filter" in lines[0]
    assert lines[2].startswith("completed: 2 completed, 0 failed, 0 skipped")
    assert done.err == ""


def test_json_prints_one_document_and_nothing_else(intendant, flow) -> None:
    document = intendant("run", flow, "--json", "--db", "none", "-i", "least=3").json()
    assert document["outputs"]["total"] == {"sum": 3}
    assert document["metrics"]["success_rate"] == 1.0
    wrong = intendant("run", flow, "--json", "--db", "none", "-i", "least=x")
    assert wrong.code == 2
    assert "least" in wrong.json()["error"]["message"]


def test_runs_are_kept_and_shown_again(intendant, flow, tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    first = intendant("run", flow, "--json", "--db", url).json()
    intendant("run", flow, "--json", "--db", url)
    rows = intendant("runs", "--json", "--db", url).json()
    assert len(rows) == 2
    assert rows[1]["id"] == first["run_id"]
    shown = intendant("show", first["run_id"], "--json", "--db", url).json()
    assert {name: step["output"] for name, step in shown["steps"].items()} == first["outputs"]
    assert shown["metrics"] == first["metrics"]
    assert shown["journal"] == {"events": len(shown["events"]), "first_broken": None, "broken": []}
    text = intendant("show", "last", "--db", url, "--events").out
    assert "the chain is whole" in text
    assert "step_executed" in text


def test_the_users_data_folder_is_the_default_and_can_be_named_by_a_variable(intendant, flow, tmp_path) -> None:
    intendant("run", flow)
    assert (tmp_path / "data/intendant/intendant.db").is_file()
    intendant("run", flow, INTENDANT_DB=f"sqlite:///{tmp_path}/other.db")
    assert (tmp_path / "other.db").is_file()


def test_exit_codes(intendant, tmp_path, model_server) -> None:
    def code(text: str) -> int:
        (tmp_path / "f.yaml").write_text(text)
        return intendant("run", "f.yaml", "--db", "none", **model_server).code

    assert code(FLOW) == 0
    assert code(FLOW.replace("item.n >=", "item.m >=")) == 1
    assert code(FLOW.replace("intent: filter", "intent: fliter")) == 2
    assert code(LONG) == 3


def test_a_blocked_handler_is_told_apart_from_a_missing_one(intendant, flow, tmp_path) -> None:
    (tmp_path / "f.yaml").write_text("name: t\nsteps: [{id: a, intent: send, input: x}, {id: b, intent: haiku}]")
    done = intendant("run", "f.yaml", "--db", "none", INTENDANT_BLOCK_PLUGINS="intent:send")
    assert done.code == 2
    assert "no handler for intent 'send'" in done.err
    assert "intent:send is installed, but blocked" in done.err
    assert "installed: aggregate" in done.err, "a name that nobody published is not suggested"
    assert "pip install intendant-intent-haiku" not in done.err


def test_a_reader_that_goes_away_does_not_stop_the_run(flow, tmp_path) -> None:
    """`intendant run … | head -1`: the pipe breaks, the run is finished and recorded."""
    url = f"sqlite:///{tmp_path}/x.db"
    command = f"{sys.executable} -m intendant run {flow} --db {url} | head -c 1"
    subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, check=False, timeout=60)
    listed = [sys.executable, "-m", "intendant", "runs", "--json", "--db", url]
    (run,) = json.loads(subprocess.run(listed, capture_output=True, text=True, check=True).stdout)
    assert run["status"] == "completed"


def test_an_output_that_lacks_characters_still_shows_the_rest(intendant, flow) -> None:
    done = intendant("run", flow, "--db", "none", PYTHONIOENCODING="ascii")
    assert done.code == 0
    assert "? numbers" in done.out


def test_plan_shows_every_decision_and_writes_nothing(intendant, tmp_path) -> None:
    (tmp_path / "f.yaml").write_text(
        LONG.replace("40}", "4000}").replace("intent: summarize", "name: Summarize the facts")
    )
    document = intendant("plan", "f.yaml", "--json").json()
    (step,) = document["steps"]
    assert step["intent"] == "summarize"
    assert step["classification"]["signals"]
    assert step["tokens"] == 4000
    assert step["route"]["provider"] == "extractive"
    assert document["estimated_micro_usd"] == 0
    text = intendant("plan", "f.yaml").out
    assert "summarize" in text
    assert "no model will be asked" in text
    assert not (tmp_path / "data").exists()


def test_plugins_are_listed_and_checked(intendant) -> None:
    records = intendant("plugins", "--json", "--check").json()
    assert {record["state"] for record in records} == {"loaded"}, records
    assert len(records) >= 27
    assert all(record["distribution"].startswith("intendant-") and record["version"] for record in records)
    blocked = intendant("plugins", "--json", INTENDANT_BLOCK_PLUGINS="tier:fast,intent:send").json()
    assert {f"{r['kind']}:{r['name']}" for r in blocked if r["state"] == "blocked"} == {"tier:fast", "intent:send"}


def with_names(value):
    """The value with the keys that YAML 1.1 reads as booleans as they are written, as workflow files are read."""
    if isinstance(value, dict):
        return {{True: "on", False: "off"}.get(key, key): with_names(item) for key, item in value.items()}
    return [with_names(item) for item in value] if isinstance(value, list) else value


def test_the_schema_accepts_the_examples_and_refuses_mistakes(intendant, examples) -> None:
    import jsonschema_rs
    import yaml

    schema = jsonschema_rs.validator_for(intendant("schema").json())
    for file in sorted(examples.glob("*/flow.yaml")):
        document = with_names(yaml.safe_load(file.read_text()))
        assert schema.is_valid(document), [error.message for error in schema.iter_errors(document)]
    base = {"name": "t", "steps": [{"id": "a", "intent": "filter", "input": [], "with": {"where": "true"}}]}
    assert schema.is_valid(base)
    for wrong in ({"wher": "true"}, {"limit": "many"}):
        step = {**base["steps"][0], "with": wrong}
        assert not schema.is_valid({**base, "steps": [step]})
    assert schema.is_valid({**base, "steps": [{**base["steps"][0], "with": {"limit": "{{ inputs.n }}"}}]})


def test_settings_on_the_command_line(intendant, flow) -> None:
    done = intendant(
        "plan", flow, "--json", "--set", "budget.strategy=equal", "--set", "budget.tokens_per_workflow=7"
    )
    assert done.json()["strategy"] == "equal"


def test_files_outside_the_folder_are_out_of_reach(intendant, tmp_path) -> None:
    (tmp_path / "f.yaml").write_text(
        "name: t\nsteps: [{id: a, intent: extract, uses: file.read, with: {path: /etc/hostname}}]"
    )
    done = intendant("run", "f.yaml", "--db", "none")
    assert done.code == 1
    assert "roots" in done.out
    allowed = intendant("run", "f.yaml", "--db", "none", "--set", 'plugins.settings.connector:file.roots=["/etc"]')
    assert allowed.code == 0, allowed.out


def test_a_live_table_on_a_terminal(flow, tmp_path) -> None:
    """Run on a real pseudo-terminal: the table, then the summary."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "intendant", "run", flow, "--db", "none"],
        stdout=child,
        stderr=child,
        stdin=child,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "120", "LINES": "40", "TERM": "xterm-256color"},
    )
    os.close(child)
    output, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([parent], [], [], 0.2)[0]:
            try:
                chunk = os.read(parent, 65536)
            except OSError:
                break
            if not chunk:
                break
            output += chunk
        elif process.poll() is not None:
            break
    os.close(parent)
    assert process.wait(timeout=20) == 0
    text = output.decode(errors="replace")
    assert "✓ numbers" in text
    assert "completed: 2 completed" in text


def test_logs_go_to_standard_error_only_when_asked(intendant, flow) -> None:
    quiet, loud = (
        intendant("run", flow, "--json", "--db", "none"),
        intendant("--verbose", "run", flow, "--json", "--db", "none"),
    )
    assert quiet.err == ""
    assert json.loads(loud.out)["status"] == "completed"


def test_ctrl_c_cancels_the_run_and_says_so(intendant, tmp_path) -> None:
    """The step's own work, a search in a process of its own, ends too."""
    pattern = {"fields": {"x": {"pattern": "(a+)+$"}}}
    step = {"id": "a", "intent": "extract", "input": "a" * 60 + "!", "with": pattern}
    (tmp_path / "f.yaml").write_text(json.dumps({"name": "slow", "steps": [step]}))
    url = f"sqlite:///{tmp_path}/x.db"
    process = subprocess.Popen(
        [sys.executable, "-m", "intendant", "run", "f.yaml", "--db", url],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if any(run["status"] == "running" for run in intendant("runs", "--json", "--db", url).json()):
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=8)
    assert process.returncode == 130
    assert "cancelled: run r_" in err
    (run,) = intendant("runs", "--json", "--db", url).json()
    assert run["status"] == "cancelled"
    assert "the chain is whole" in intendant("show", "last", "--db", url).out


def test_a_step_that_asked_a_model_is_not_said_to_have_asked_none(intendant, tmp_path, model_server) -> None:
    (tmp_path / "flow.yaml").write_text(
        "name: t\nbudget: {tokens: 9000}\nsteps: [{id: a, intent: summarize, input: 'Ada paid 12 EUR.'}]"
    )
    done = intendant("run", "flow.yaml", "--db", "none", **model_server)
    assert done.code == 0, done.err
    assert "no model" not in done.out
