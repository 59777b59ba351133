"""Loops: steps that are executed again and again with a state, each pass recorded by itself."""

import json
import os
import subprocess
import sys

import pytest

from intendant import Workflow, WorkflowError
from intendant.cli.runs import read_run
from intendant.cli.step_view import step_of
from intendant.events import LoopPassed
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepError, StepResult
from intendant.record.store import integrity, runs
from intendant.record.store.spend_report import apart
from intendant.testing import ScriptedProvider, engine


class Add(IntentHandler):
    """One more than its input; fails at a number once."""

    spec = IntentSpec(name="add", summary="Add", examples=("Add",))

    def __init__(self, fails_at=None) -> None:
        super().__init__()
        self.done = []
        self.fails_at = fails_at

    def needs_model(self, step):
        return False

    async def handle(self, request):
        self.done.append(request.input)
        if request.input == self.fails_at:
            raise StepError("not this one")
        return StepResult(output=request.input + 1)


COUNT = """
name: t
inputs: {first: {type: integer, default: 0}, below: {type: integer, default: 3}}
steps:
  - id: count
    loop:
      state: {n: "{{ inputs.first }}"}
      steps:
        - {id: more, intent: add, input: "{{ state.n }}"}
        - {id: same, intent: add, input: "{{ steps.more.output }}", when: "state.n > 100"}
      next: {n: "{{ steps.more.output }}", was: "{{ state.n }}"}
      while: state.n < inputs.below
      max: 5
  - {id: after, intent: add, input: "{{ steps.count.output.n }}"}
"""


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


async def run(text=COUNT, inputs=None, handler=None, db="none"):
    seen = []
    async with engine(handler or Add(), db=db) as service:
        return await service.run(Workflow.parse(text), inputs, on_event=seen.append), seen


async def test_the_body_runs_then_next_gives_the_state_then_while_is_tested() -> None:
    result, seen = await run()
    assert result.status == "completed", result.failures
    assert result.outputs == {"count": {"n": 3, "was": 2}, "after": 4}
    assert result.steps["count"].notes == ("3 passes",)
    passes = [(event.number, event.again) for event in seen if isinstance(event, LoopPassed)]
    assert passes == [(1, True), (2, True), (3, False)]


async def test_the_body_runs_at_least_once_and_at_most_max_times() -> None:
    assert (await run(inputs={"first": 9}))[0].outputs["count"] == {"n": 10, "was": 9}
    result, _ = await run(inputs={"below": 50})
    assert result.outputs["count"] == {"n": 5, "was": 4}
    assert result.steps["count"].notes == ("5 passes", "it ended at `max`: `while` still held")


async def test_a_pass_that_fails_fails_the_loop_and_says_which(url) -> None:
    result, _ = await run(handler=Add(fails_at=1), db=url)
    assert (result.status, result.failures["count"].message) == ("failed", "pass 2, step 'more': not this one")
    again = Add()
    async with engine(again, db=url) as service:
        result = await service.resume("last")
    assert (result.outputs["count"]["n"], again.done) == (3, [1, 2, 3])
    assert apart(url, integrity.verify()).broken == []


async def test_what_next_and_while_cannot_use_fails_the_loop() -> None:
    missing = COUNT.replace('was: "{{ state.n }}"', 'was: "{{ state.m }}"')
    assert "pass 1, `next`: " in (await run(missing))[0].failures["count"].message
    text = COUNT.replace("state.n < inputs.below", "state.m < 3")
    assert "pass 1, `while`: " in (await run(text))[0].failures["count"].message


IN_ITEMS = """
name: t
steps:
  - id: each
    for_each: [0, 1]
    as: first
    loop:
      state: "{{ first }}"
      steps:
        - id: inner
          loop:
            state: "{{ state }}"
            steps: [{id: more, intent: add, input: "{{ state }}"}]
            next: "{{ steps.more.output }}"
            while: state < first + 3
            max: 9
      next: "{{ steps.inner.output }}"
      while: state < 6
      max: 4
"""


async def test_loops_stand_in_loops_and_beside_items(url) -> None:
    result, _ = await run(IN_ITEMS, db=url)
    assert result.outputs == {"each": [6, 6]}, result.failures
    keys = [row.key for row in apart(url, runs.steps_of(result.run_id))]
    assert {"each[0][2]/inner[1]/more", "each[0][2]/inner", "each[0][2]", "each[0]", "each"} <= set(keys)
    assert apart(url, integrity.verify()).broken == []


WAITING = """
name: t
steps:
  - id: talk
    loop:
      state: []
      steps:
        - {id: said, wait: {event: said}}
        - {id: kept, intent: add, input: 1}
      next: ["{{ steps.said.output }}", "{{ state }}"]
      while: state[0] != 'bye'
      max: 10
"""


async def test_a_pass_may_wait_and_the_next_one_too(url) -> None:
    first, _ = await run(WAITING, db=url)
    assert first.status == "waiting"
    for word in ("hello", "bye"):
        async with engine(Add(), db=url) as service:
            await service.signal("last", "said", word)
            result = await service.resume("last")
    assert result.outputs == {"talk": ["bye", ["hello", []]]}


class Ask(IntentHandler):
    """Asks for some tokens."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content=f"say {request.input}"),), max_output_tokens=400)
        return StepResult(output=(await request.model.complete(ask)).text)


async def test_the_passes_share_what_the_step_may_spend_and_the_plan_counts_max_of_them() -> None:
    text = """
name: t
budget: {tokens: 3000}
steps:
  - id: again
    loop:
      state: 0
      steps: [{id: ask, intent: ask, input: "{{ state }}"}]
      next: 1
      while: "true"
      max: 6
  - {id: after, intent: ask, needs: [again]}
"""
    chosen = {"budget": {"overage_allowed": False, "tokens_per_step": 450}}
    async with engine(Ask(), ScriptedProvider("word " * 300), settings=chosen) as service:
        plan = await service.plan(Workflow.parse(text))
        result = await service.run(Workflow.parse(text))
    assert (plan.by_id["again/ask"].items, plan.by_id["again"].intent) == (6, "loop")
    assert plan.by_id["again/ask"].max_tokens == 2550  # 6 times 450 are more than the run leaves
    assert result.status == "completed", result.failures
    assert result.steps["again"].usage.calls == 6


def faults(step: dict | None = None, **changes) -> str:
    loop = {"state": 0, "steps": [{"id": "b", "intent": "add"}], "next": 1, "while": "true", "max": 2}
    loop |= {key.rstrip("_"): value for key, value in changes.items()}
    text = json.dumps({"name": "t", "steps": [{"id": "a", "loop": loop, **(step or {})}]})
    return "\n".join(map(str, engine(Add())._problems(Workflow.parse(text, file="x.json"), None)))


def test_mistakes_are_found_before_the_run() -> None:
    assert faults() == ""
    assert "there is no step 'c'" in faults(next="{{ steps.c.output }}")
    assert "'state' in '{{ state }}' is not known" in faults(state="{{ state }}")
    assert "there is no step 'c' (`steps.c.output > 1`)" in faults(while_="steps.c.output > 1")
    assert "`1 + 1` is neither true nor false" in faults(while_="1 + 1")
    assert "a loop has no `intent`" in faults({"intent": "add"})
    assert "a group is no loop" in faults({"steps": [{"id": "c", "intent": "add"}]})
    assert "only a group has `returns`" in faults({"returns": 1})
    assert "an item cannot be called 'state' here" in faults({"for_each": [1], "as": "state"})
    with pytest.raises(WorkflowError, match="'max' is missing"):
        Workflow.parse("name: t\nsteps: [{id: a, loop: {steps: [{id: b}], next: 1, while: 'true'}}]")


async def test_one_pass_is_shown_with_the_state_that_it_began_with(url) -> None:
    result, _ = await run(db=url)
    async with engine(db=url) as service:
        found = await read_run(service._engine.store, result.run_id)
    shown = step_of(found, found["plan"], "count[2]/more")
    assert (shown["given"], shown["output"]) == ({"input": 1}, 2)
    shown = step_of(found, found["plan"], "count[2]")
    assert (shown["given"], shown["output"]) == (
        {"state": {"n": 1, "was": 0}},
        {"state": {"n": 2, "was": 1}, "again": True},
    )
    items = [item["step"] for item in step_of(found, found["plan"], "count")["items"]]
    assert items == ["count[1]", "count[2]", "count[3]"]


KILLED = """
import asyncio, os, sys
from intendant import Workflow
from intendant.plugin import IntentHandler, IntentSpec, StepResult
from intendant.testing import engine

class Add(IntentHandler):
    spec = IntentSpec(name="add", summary="Add", examples=("Add",))
    def needs_model(self, step):
        return False
    async def handle(self, request):
        with open(sys.argv[2], "a") as done:
            done.write(f"{request.input}\\n")
        await asyncio.sleep(0.05)
        if request.input == 3 and len(sys.argv) > 3:
            os.kill(os.getpid(), 9)
        return StepResult(output=request.input + 1)

async def main():
    async with engine(Add(), db=sys.argv[1]) as service:
        result = await (service.run(Workflow.load(sys.argv[3])) if len(sys.argv) > 3 else service.resume("last"))
        print(result.outputs["count"]["n"])

asyncio.run(main())
"""


def test_a_loop_that_was_killed_goes_on_in_the_pass_in_which_it_was(url, tmp_path) -> None:
    (tmp_path / "flow.yaml").write_text(COUNT.replace("default: 3", "default: 5"))
    done = tmp_path / "done"
    command = [sys.executable, "-c", KILLED, url, str(done)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    killed = subprocess.run([*command, str(tmp_path / "flow.yaml")], env=environment, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    went_on = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert went_on.stdout.strip() == "5", went_on.stderr
    assert done.read_text().split() == ["0", "1", "2", "3", "3", "4", "5"]
    assert apart(url, integrity.verify()).broken == []
