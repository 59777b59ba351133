"""A run that failed is rolled back: completed steps are undone, the last one first, whatever process does it."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intendant import IntendantError, Workflow, WorkflowError
from intendant.cli.app import app_for
from intendant.cli.view import summary
from intendant.events import RollbackStarted, StepRolledBack
from intendant.plugin import IntentHandler, IntentSpec, StepError, StepResult
from intendant.record.store import integrity
from intendant.record.store.spend_report import apart
from intendant.testing import engine


class Do(IntentHandler):
    """Notes its input; fails where that begins with `bad`."""

    spec = IntentSpec(name="do", summary="Do", examples=("Do",))

    def __init__(self, stops_at=None) -> None:
        super().__init__()
        self.done = []
        self.stops_at = stops_at

    def needs_model(self, step):
        return False

    async def handle(self, request):
        self.done.append(request.input)
        if request.input == self.stops_at:
            raise KeyboardInterrupt
        if str(request.input).startswith("bad"):
            raise StepError(f"{request.input} cannot be done")
        return StepResult(output=request.input)


def undo(text: str) -> str:
    return f"rollback: {{steps: [{{id: undo, intent: do, input: 'undo {text}'}}]}}"


PLAIN = f"""
name: t
on_failure: rollback
steps:
  - {{id: a, intent: do, input: a, {undo("a {{ steps.a.output }}")}}}
  - {{id: b, intent: do, input: b, needs: [a], {undo("{{ steps.b.output }} {{ steps.a.output }}")}}}
  - {{id: c, intent: do, input: c, needs: [b]}}
  - {{id: d, intent: do, input: bad, needs: [c], {undo("d")}}}
  - {{id: e, intent: do, input: e, needs: [d], {undo("e")}}}
finally:
  - {{id: tidy, intent: do, input: "{{{{ run.status }}}}"}}
"""


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


async def run(text, db="none", handler=None):
    seen, handler = [], handler or Do()
    async with engine(handler, db=db) as service:
        flow = text if isinstance(text, Workflow) else Workflow.parse(text)
        return await service.run(flow, on_event=seen.append), handler.done, seen


async def test_completed_steps_are_undone_the_last_one_first_then_finally_runs(url) -> None:
    result, done, seen = await run(PLAIN, url)
    assert (result.status, done) == ("failed", ["a", "b", "c", "bad", "undo b a", "undo a a", "failed"])
    assert result.rolled_back == {"b": None, "a": None}
    assert [event.steps for event in seen if isinstance(event, RollbackStarted)] == [2]
    assert [event.step_id for event in seen if isinstance(event, StepRolledBack)] == ["b", "a"]
    assert "rolled back: step 'b'" in summary(result)
    assert apart(url, integrity.verify()).broken == []


@pytest.mark.parametrize("change", ["input: bad|input: good", "on_failure: rollback|on_failure: keep"])
async def test_nothing_is_undone_where_nothing_failed_or_all_is_to_be_kept(change) -> None:
    result, done, _ = await run(PLAIN.replace(*change.split("|")))
    assert not [text for text in done if text.startswith("undo")]
    assert result.rolled_back == {}


async def test_a_rollback_that_fails_is_reported_and_the_others_run_all_the_same() -> None:
    result, done, _ = await run(PLAIN.replace("undo {{ steps.b.output }}", "bad undo"))
    assert done[-3:] == [
        "bad undo {{ steps.a.output }}".replace("{{ steps.a.output }}", "a"),
        "undo a a",
        "failed",
    ]
    assert result.rolled_back["a"] is None
    assert result.rolled_back["b"].message == "step 'undo': bad undo a cannot be done"
    assert any("error: step 'b' was not rolled back: step 'undo'" in line for line in summary(result))


async def test_a_run_that_was_rolled_back_is_not_resumed(url) -> None:
    result, _, _ = await run(PLAIN, url)
    async with engine(Do(), db=url) as service:
        with pytest.raises(IntendantError, match=f"run {result.run_id} failed and was rolled back"):
            await service.resume("last")


WITHIN = """
name: t
on_failure: rollback
steps:
  - id: each
    for_each: [x, y, z]
    as: one
    concurrency: 1
    key: one
    returns: "{{ steps.last.output }}"
    rollback: {steps: [{id: undo, intent: do, input: "undo {{ one }} {{ steps.each.output }}"}]}
    steps:
      - id: turn
        loop:
          state: 0
          steps:
            - id: go
              intent: do
              input: "{{ one }}{{ state }}"
              rollback: {steps: [{id: undo, intent: do, input: "undo {{ steps.go.output }} of {{ one }}{{ state }}"}]}
          next: 1
          while: state == 1 && steps.go.output.endsWith("0")
          max: 2
      - {id: last, intent: do, input: "{{ one }}", when: "one != 'z'", needs: [turn]}
      - {id: wrong, intent: do, input: bad, when: "one == 'z'", needs: [last], join: done}
"""


async def test_items_passes_and_steps_within_groups_are_undone_with_what_they_saw(url) -> None:
    result, done, _ = await run(WITHIN, url)
    assert result.status == "failed"
    undone = [text for text in done if text.startswith("undo")]
    assert undone == [
        "undo z1 of z1",
        "undo z0 of z0",
        "undo y y",
        "undo y1 of y1",
        "undo y0 of y0",
        "undo x x",
        "undo x1 of x1",
        "undo x0 of x0",
    ]
    assert apart(url, integrity.verify()).broken == []


async def test_steps_of_branches_and_error_handlers_are_undone_too() -> None:
    class Decide(Do):
        """Takes the left branch."""

        spec = IntentSpec(name="decide", summary="Decide", examples=("Decide",))

        async def handle(self, request):
            return StepResult(output={"branch": "left"})

    text = f"""
name: t
on_failure: rollback
steps:
  - id: gate
    intent: decide
    branches: {{left: {{steps: [{{id: in, intent: do, input: l, {undo("{{ steps.in.output }} {{ steps.gate.output.branch }}")}}}]}}}}
  - id: odd
    intent: do
    input: bad odd
    needs: [gate]
    on_error: {{steps: [{{id: mend, intent: do, input: m, {undo("{{ steps.mend.output }}")}}}]}}
  - {{id: end, intent: do, input: bad end, needs: [odd]}}
"""
    handler = Do()
    async with engine(handler, Decide()) as service:
        result = await service.run(Workflow.parse(text))
    assert handler.done == ["l", "bad odd", "m", "bad end", "undo m", "undo l left"]
    assert list(result.rolled_back) == ["odd/on_error/mend", "gate/left/in"]


async def test_a_sub_workflow_rolls_itself_back_and_stays_so(tmp_path, url, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("part.yaml").write_text(
        PLAIN.replace("name: t\n", "name: p\ninputs: {who: {}}\n").replace(
            "input: a,", "input: '{{ inputs.who }}',"
        )
    )
    Path("main.yaml").write_text(
        "name: m\nsteps:\n"
        "  - {id: part, flow: part.yaml, with: {who: ann}}\n"
        "  - {id: after, intent: do, input: after}\n"
    )
    handler = Do()
    async with engine(handler, db=url) as service:
        result = await service.run(service.load("main.yaml"))
    assert (result.status, result.rolled_back) == ("failed", {})
    assert [text for text in handler.done if text != "after"] == [
        "ann", "b", "c", "bad", "undo b ann", "undo a ann", "failed",
    ]  # fmt: skip
    assert result.steps["part"].notes == ("rolled back: part/b, part/a",)
    again = Do()
    async with engine(again, db=url) as service:
        result = await service.resume("last")
    assert (result.status, again.done) == ("failed", ["failed"]), "only `finally` is done again"
    assert apart(url, integrity.verify()).broken == []


async def test_a_rollback_that_is_interrupted_goes_on_where_it_was(url) -> None:
    handler = Do(stops_at="undo a a")
    async with engine(handler, db=url) as service:
        with pytest.raises(BaseException):  # noqa: B017
            await service.run(Workflow.parse(PLAIN))
    again = Do()
    async with engine(again, db=url) as service:
        result = await service.resume("last", take_over=True)
    assert (result.status, again.done) == ("failed", ["undo a a", "failed"])
    assert (result.failures["d"].message, result.rolled_back) == ("bad cannot be done", {"b": None, "a": None})


def test_what_cannot_be_is_found_before_the_run() -> None:
    def faults(step: str) -> str:
        text = f"name: t\non_failure: rollback\nsteps: [{{id: a, intent: do, {step}}}]"
        return "\n".join(map(str, engine(Do())._problems(Workflow.parse(text), None)))

    inner = "rollback: {steps: [{id: b, intent: do, %s}]}"
    assert faults(inner % "input: '{{ steps.a.output }}'") == ""
    assert "has no `approve`" in faults(inner % "approve: {ask: x}")
    assert "has no `wait`" in faults(inner % "wait: {for: 1s}")
    assert "has no `rollback`" in faults(inner % (inner % "input: 1"))
    assert "'rollback' cannot be an id" in faults("steps: [{id: rollback, intent: do}]")
    with pytest.raises(WorkflowError, match="did you mean 'steps'"):
        Workflow.parse("name: t\nsteps: [{id: a, rollback: {step: []}}]")


async def test_a_plan_warns_of_a_rollback_that_never_runs() -> None:
    async with engine(Do()) as service:
        plan = await service.plan(Workflow.parse(PLAIN.replace("on_failure: rollback", "")))
        assert "its `rollback` never runs" in plan.by_id["a"].warnings[0]
        assert not (await service.plan(Workflow.parse(PLAIN))).by_id["a"].warnings


KILLED = """
import asyncio, os, sys
from intendant import Workflow
from intendant.plugin import IntentHandler, IntentSpec, StepError, StepResult
from intendant.testing import engine

class Do(IntentHandler):
    spec = IntentSpec(name="do", summary="Do", examples=("Do",))
    def needs_model(self, step):
        return False
    async def handle(self, request):
        with open(sys.argv[2], "a") as done:
            done.write(f"{request.input}\\n")
        await asyncio.sleep(0.05)
        if request.input == "undo a a" and len(sys.argv) > 3:
            os.kill(os.getpid(), 9)
        if request.input == "bad":
            raise StepError("bad")
        return StepResult(output=request.input)

async def main():
    async with engine(Do(), db=sys.argv[1]) as service:
        result = await (service.run(Workflow.load(sys.argv[3])) if len(sys.argv) > 3 else service.resume("last"))
        print(result.status.value, *result.rolled_back)

asyncio.run(main())
"""


def test_a_rollback_that_was_killed_goes_on_where_it_was(url, tmp_path) -> None:
    (tmp_path / "flow.yaml").write_text(PLAIN)
    done = tmp_path / "done"
    command = [sys.executable, "-c", KILLED, url, str(done)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    killed = subprocess.run([*command, str(tmp_path / "flow.yaml")], env=environment, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    went_on = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert went_on.stdout.split() == ["failed", "b", "a"], went_on.stderr
    assert done.read_text().split("\n")[:-1] == [
        "a", "b", "c", "bad", "undo b a", "undo a a", "undo a a", "failed",
    ]  # fmt: skip
    assert apart(url, integrity.verify()).broken == []


@pytest.mark.skipif(find_spec("intendant_connector_file") is None, reason="needs intendant-connector-file")
def test_the_command_exits_with_1_and_show_says_what_was_undone(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flow.yaml").write_text("""
name: t
on_failure: rollback
steps:
  - id: a
    uses: file.write
    with: {path: a.txt}
    input: hello
    rollback: {steps: [{id: undo, uses: file.write, with: {path: undone.txt}, input: "{{ steps.a.output.path }}"}]}
  - {id: b, uses: file.read, with: {path: nowhere.txt}, needs: [a]}
""")

    def intendant(*words: str):
        done = CliRunner().invoke(app_for(list(words)), [*words, "--db", "sqlite:///x.db"])
        return done.exit_code, done.output

    code, output = intendant("run", "flow.yaml")
    assert (code, "rolled back: step 'a'" in output) == (1, True), output
    assert "a.txt" in Path("undone.txt").read_text()
    assert "rolled back: step 'a'" in intendant("show", "last")[1]
    code, output = intendant("resume", "last")
    assert (code, "was rolled back" in output, "run its workflow anew" in output) == (2, True, True)
