"""What the command line shows of runs: lists with figures and filters, one step with all that is kept of it."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from intendant import Workflow, events
from intendant.cli import view
from intendant.cli.runs import list_runs, show
from intendant.cli.view import RunView
from intendant.model.results import StepStatus, Usage
from intendant.plugin import ModelRequest
from intendant.testing import ScriptedProvider, sync_engine

FLOW = """
name: shown
agent: clerk
inputs:
  names: {type: array, default: [Ada, Bo/Å]}
steps:
  - {id: list, intent: filter, input: "{{ inputs.names }}", options: {where: "item != 'x'"}}
  - id: greet
    for_each: "{{ steps.list.output }}"
    as: person
    key: person
    steps:
      - {id: write, intent: generate, prompt: "Greet {{ person }}", output: {type: object}}
  - {id: last, intent: filter, input: ["{{ steps.greet.output[0].text }}"], options: {where: "true"}}
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A database with a run that is completed and one that failed, and what is shown of it."""
    from intendant_intent_filter import FilterHandler
    from intendant_intent_generate import GenerateHandler

    folder = tmp_path_factory.mktemp("shown")
    url = f"sqlite:///{folder / 'runs.db'}"

    def answer(request: ModelRequest) -> str:
        return "no" if len(request.messages) == 1 and "Ada" in request.messages[0].content else '{"text": "Hello"}'

    with sync_engine(FilterHandler(), GenerateHandler(), ScriptedProvider(answer), db=url) as service:
        done = service.run(Workflow.parse(FLOW))
        assert done.status == "completed", done
        other = Workflow.parse(
            "name: other\nsteps: [{id: a, intent: filter, input: [1], options: {where: '1/0 > 1'}}]"
        )
        assert service.run(other).status == "failed"
    env = {**os.environ, "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    return SimpleNamespace(url=url, run=done.run_id, env=env, folder=folder)


def listed(capsys, shown, **wanted) -> list[dict]:
    list_runs(**{"limit": 20, "as_json": True, "db": shown.url, **wanted})
    return json.loads(capsys.readouterr().out)


def test_runs_are_listed_with_what_they_took(capsys, shown) -> None:
    from intendant.model.results import RunStatus

    rows = {row["workflow"]: row for row in listed(capsys, shown)}
    assert rows["shown"]["micro_usd"] > 0
    assert rows["shown"]["tokens"] > 0
    assert rows["other"]["micro_usd"] == 0
    assert all(0 <= row["seconds"] < 100 for row in rows.values())
    assert [row["workflow"] for row in listed(capsys, shown, status=RunStatus.failed)] == ["other"]
    assert [row["workflow"] for row in listed(capsys, shown, agent="clerk")] == ["shown"]
    assert [row["workflow"] for row in listed(capsys, shown, workflow="other")] == ["other"]
    assert listed(capsys, shown, since="2999-01-01") == []
    assert len(listed(capsys, shown, since="2020-01-01")) == 2
    list_runs(limit=20, db=shown.url)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.endswith("shown"))
    assert " s " in line
    assert "$0." in line


def step(capsys, shown, address: str) -> dict:
    show(shown.run, address, as_json=True, db=shown.url)
    return json.loads(capsys.readouterr().out)


def test_a_step_is_shown_with_what_it_was_given_and_gave(capsys, shown) -> None:
    told = step(capsys, shown, "list")
    assert told["given"] == {"input": ["Ada", "Bo/Å"], "options": {"where": "item != 'x'"}}
    assert told["output"] == ["Ada", "Bo/Å"]
    assert [attempt["status"] for attempt in told["attempts"]] == ["completed"]
    assert step(capsys, shown, "last")["given"]["input"] == ["Hello"]


def test_the_calls_of_an_item_are_shown(capsys, shown) -> None:
    told = step(capsys, shown, "greet[Ada]/write")
    assert [call["outcome"] for call in told["calls"]] == ["answered", "answered"], "sent back once"
    assert all(call["held_tokens"] >= call["input_tokens"] + call["output_tokens"] > 0 for call in told["calls"])
    assert told["given"]["prompt"] == "Greet Ada"
    assert step(capsys, shown, "greet[Ada]")["given"]["item"] == "Ada"
    assert step(capsys, shown, "greet")["given"]["for_each"] == ["Ada", "Bo/Å"]
    assert [item["status"] for item in step(capsys, shown, "greet")["items"]] == ["completed", "completed"]
    assert step(capsys, shown, "greet[Bo/Å]/write")["output"] == {"text": "Hello"}


def test_people_read_it_too(capsys, shown) -> None:
    show(shown.run, "greet[Ada]/write", db=shown.url)
    text = capsys.readouterr().out
    assert "call: scripted/scripted-1 answered" in text
    assert "note: the first answer did not fit and was sent back once" in text


def test_a_step_that_is_not_there_is_told_with_those_that_are(shown) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "intendant", "show", shown.run, "gret", "--db", shown.url],
        env=shown.env,
        cwd=shown.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "has no step 'gret'" in done.stderr
    assert "greet" in done.stderr


def test_steps_within_items_and_passes_show_how_often_they_ended() -> None:
    """They are not taken for steps that were never reached."""
    followed = RunView()
    for step in ("call/gate", "call/gate/large/ask", "poll/read", "plain/large/ask"):
        followed(events.IntentClassified(step_id=step, intent="send", confidence=1.0, method="given"))
    statuses = [StepStatus.completed, StepStatus.completed, StepStatus.failed]
    ended = [events.ItemEnded(step=f"call[{n}]/gate", status=status) for n, status in enumerate(statuses)]
    followed(
        events.ItemsEnded(step_id="call", items=(*ended, events.ItemEnded(step="call[0]", status=statuses[0])))
    )
    for number in (1, 2, 2):
        followed(events.StepSkipped(step_id=f"poll[{number}]/read", reason="its condition is false"))
    told = {key: (row.cells()[0][0], row.cells()[-1]) for key, row in followed.rows.items() if row.intent}
    assert told == {
        "call/gate": ("✗", "2 completed, 1 failed"),
        "call/gate/large/ask": ("·", ""),
        "poll/read": ("-", "2 skipped"),
        "plain/large/ask": ("·", ""),
    }


def test_a_rollback_is_no_step() -> None:
    """It is recorded without a step's name."""
    followed = RunView()
    followed(events.RollbackStarted(step_id="", steps=2))
    assert followed.rows == {}


def test_items_fold_into_one_line_with_what_is_left(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(view, "monotonic", lambda: now[0])
    followed = RunView()
    followed(events.ItemsStarted(step_id="label", total=500, kept=7))
    usage = Usage(input_tokens=10, output_tokens=5, micro_usd=600)
    for number in range(30):
        followed(
            events.TokensSettled(
                step_id=f"label[{number}]",
                call=str(number),
                provider="p",
                model="m",
                usage=usage,
                outcome="answered",
            )
        )
    ended = [
        events.ItemEnded(step=f"label[{n}]", status=StepStatus.failed if n < 2 else StepStatus.completed)
        for n in range(30)
    ]
    row = followed(events.ItemsEnded(step_id="label", items=tuple(ended)))
    assert row.cells()[-1] == "37/500, 2 failed", "at once nothing can be said of the rest"
    now[0] = 102.6
    assert row.cells()[-1] == "37/500, 2 failed, about 40 s and $0.2778 left"
    now[0] = 120.0
    assert "about 5 min" in row.cells()[-1]
