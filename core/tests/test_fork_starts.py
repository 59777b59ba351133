"""Forks that begin within a step: in a pass of a loop, a group, a branch or a sub-workflow."""

import pytest
from hypothesis import given, strategies as st

from intendant import IntendantError, Limits, Workflow
from intendant.model.workflow import ROLLBACK
from intendant.pilot.fork_starts import parts_of
from intendant.plugin import (
    IntentHandler,
    IntentSpec,
    Message,
    ModelReply,
    ModelRequest,
    StepError,
    StepResult,
    Usage,
)
from intendant.record.store import bookings, integrity, runs
from intendant.testing import ScriptedProvider, engine


class Ask(IntentHandler):
    """Asks the model; fails at a prompt as long as that is wanted."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))
    fails_at = ""

    async def handle(self, request):
        if self.fails_at and request.prompt.startswith(self.fails_at):
            raise StepError("not this one")
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(ask)).text)


class Decide(Ask):
    """Asks the model, and takes the branch that the prompt ends with."""

    spec = IntentSpec(name="decide", summary="Decide", examples=("Decide",))

    async def handle(self, request):
        await super().handle(request)
        return StepResult(output={"branch": request.prompt.split()[-1], "matched": True, "value": 1})


class Add(IntentHandler):
    """One more than its input."""

    spec = IntentSpec(name="add", summary="Add", examples=("Add",))

    def needs_model(self, step):
        return False

    async def handle(self, request):
        return StepResult(output=request.input + 1)


class Made:
    """A service, and what its model was asked: the first two words of each prompt. Answers count the calls."""

    def __init__(self) -> None:
        self.asked = []
        self.number = 0
        self.handler = Ask()
        self.service = None

    def answer(self, request):
        self.number += 1
        self.asked.append(" ".join(request.messages[-1].content.split()[:2]))
        usage = Usage(input_tokens=4, output_tokens=2)
        return ModelReply(text=f"#{self.number}", usage=usage, model="scripted-1", provider="scripted")

    def take(self) -> list[str]:
        found, self.asked = self.asked, []
        return sorted(found)

    async def first(self, text, status="completed"):
        result = await self.service.run(Workflow.parse(text))
        assert result.status == status, result.failures
        self.take()
        return result

    async def fork(self, start, **options):
        result = await self.service.fork("last", start, **options)
        assert result.status == "completed", result.failures
        return result, self.take()

    async def outputs(self, run) -> dict:
        """How the steps of a run ended, by their addresses."""
        rows = await self.service._engine.store.do(runs.steps_of(run.run_id))
        return {row.key: row.value for row in rows if row.output is not None}


@pytest.fixture
async def made(tmp_path):
    found = Made()
    plugins = (found.handler, Decide(), Add(), ScriptedProvider(found.answer))
    async with engine(*plugins, db=f"sqlite:///{tmp_path}/x.db") as found.service:
        yield found
        assert (await found.service._engine.store.do(integrity.verify())).broken == []


LOOP = """
name: t
inputs: {tone: {default: kind}}
budget: {tokens: 20000}
steps:
  - {id: before, intent: ask, prompt: "before"}
  - id: improve
    loop:
      state: {text: "{{ steps.before.output }}", n: 1}
      steps:
        - {id: plan, intent: ask, prompt: "plan {{ state.n }} {{ state.text }} {{ steps.before.output }}"}
        - {id: draft, intent: ask, prompt: "draft {{ state.n }} {{ steps.plan.output }}"}
        - {id: side, intent: ask, prompt: "side {{ state.n }}"}
        - {id: count, intent: add, input: "{{ state.n }}"}
      next: {text: "{{ steps.draft.output }}", n: "{{ steps.count.output }}"}
      while: state.n < 4
      max: 5
  - {id: after, intent: ask, prompt: "after {{ steps.improve.output.text }}"}
"""
PASSES = {number: [f"draft {number}", f"plan {number}", f"side {number}"] for number in (1, 2, 3)}


@pytest.mark.parametrize(
    ("start", "asked"),
    [
        ("improve[3]", PASSES[3]),
        ("improve[2]", [*PASSES[2], *PASSES[3]]),
        ("improve[3]/draft", ["draft 3"]),
        ("improve[3]/side", ["side 3"]),
        ("improve[2]/draft", ["draft 2", *PASSES[3]]),
        ("improve[1]/plan", ["draft 1", "plan 1", *PASSES[2], *PASSES[3]]),
        ("improve/draft", ["draft 1", *PASSES[2], *PASSES[3]]),
        ("improve[2]/count", PASSES[3]),
        ("improve", [*PASSES[1], *PASSES[2], *PASSES[3]]),
    ],
)
async def test_of_a_loop_the_passes_before_the_start_are_kept_and_those_after_it_run_again(made, start, asked):
    first = await made.first(LOOP)
    result, found = await made.fork(start)
    assert found == sorted([f"after {result.outputs['improve']['text']}", *asked])
    assert result.outputs["improve"]["n"] == 4
    spent = await made.service._engine.store.do(bookings.totals_of_run(result.run_id))
    assert spent.tokens == 6 * len(found)
    assert (await made.service._engine.store.do(bookings.totals_of_run(first.run_id))).tokens == 6 * 11


async def test_the_state_of_a_pass_is_that_of_the_pass_before_it_that_was_kept(made) -> None:
    before = await made.outputs(await made.first(LOOP))
    result, _ = await made.fork("improve[3]/draft")
    now = await made.outputs(result)
    same = {key for key in before if before[key] == now[key]}
    assert same >= {"improve[1]", "improve[2]", "improve[2]/draft", "improve[3]/plan", "improve[3]/side", "before"}
    assert before.keys() - same == {"improve[3]/draft", "improve[3]", "improve", "after"}
    assert now["improve[3]"]["state"] == now["improve"] == {"text": now["improve[3]/draft"], "n": 4}


async def test_passes_are_not_kept_where_the_loop_refers_to_something_that_changed(made) -> None:
    text = LOOP.replace('"side {{ state.n }}"', '"side {{ state.n }} {{ inputs.tone }}"')
    await made.first(text)
    _, asked = await made.fork("improve[3]", inputs={"tone": "strict"})
    assert len(asked) == 10
    _, asked = await made.fork("improve[3]/draft", workflow=Workflow.parse(text.replace("draft {{", "draft! {{")))
    assert len(asked) == 10


async def test_a_fork_of_a_fork_keeps_passes_too(made) -> None:
    await made.first(LOOP)
    await made.fork("improve[2]")
    _, asked = await made.fork("improve[3]/draft")
    assert [text.split()[0] for text in asked] == ["after", "draft"]


async def test_a_fork_that_was_broken_off_in_a_pass_is_resumed_there(made) -> None:
    await made.first(LOOP)
    made.handler.fails_at = "draft 3"
    broken = await made.service.fork("last", "improve[2]/draft")
    assert (broken.status, made.take()) == ("failed", ["draft 2", "plan 3", "side 3"])
    made.handler.fails_at = ""
    result = await made.service.resume(broken.run_id)
    assert result.status == "completed"
    assert [text.split()[0] for text in made.take()] == ["after", "draft"]


async def test_of_a_loop_that_failed_the_passes_that_it_began_are_starts(made) -> None:
    made.handler.fails_at = "draft 2"
    await made.first(LOOP, status="failed")
    made.handler.fails_at = ""
    with pytest.raises(IntendantError, match="step 'improve' has no pass '3'") as caught:
        await made.service.fork("last", "improve[3]")
    assert caught.value.hint == "its passes: 1, 2"
    _, asked = await made.fork("improve[2]/draft")
    assert len(asked) == 5  # draft of the second pass, the third pass, after


async def test_of_many_passes_the_error_names_the_last(made) -> None:
    text = LOOP.replace("state.n < 4", "state.n < 30").replace("max: 5", "max: 40").replace("20000", "90000")
    await made.first(text)
    with pytest.raises(IntendantError) as caught:
        await made.service.fork("last", "improve[31]")
    assert caught.value.hint == "its passes: 1 to 29"


async def test_a_step_that_is_a_loop_now_and_was_a_list_has_no_passes_to_begin_with(made) -> None:
    listed = "name: t\nbudget: {tokens: 9000}\nsteps:\n  - {id: s, for_each: [x], as: n, key: n, intent: ask, prompt: p}\n"
    body = "loop: {state: 1, steps: [{id: a, intent: ask, prompt: p}], next: 1, while: 'false', max: 2}"
    looped = Workflow.parse("name: t\nbudget: {tokens: 9000}\nsteps:\n  - id: s\n    " + body)
    await made.first(listed)
    with pytest.raises(IntendantError, match="step 's' has no pass '1'"):
        await made.service.fork("last", "s[1]", workflow=looped)
    _, asked = await made.fork("s/a", workflow=looped)
    assert asked == ["p"]


async def test_a_fork_may_have_too_little_for_the_passes_that_are_left(made) -> None:
    await made.first(LOOP)
    assert (await made.service.fork("last", "improve[3]", limits=Limits(tokens=1))).status == "refused"
    assert made.take() == []


NESTED = """
name: t
budget: {tokens: 60000}
steps:
  - id: each
    for_each: [{k: a/b, n: 1}, {k: c, n: 2}]
    as: row
    key: row.k
    loop:
      state: {n: 1}
      steps:
        - {id: read, intent: ask, prompt: "read {{ row.n }}.{{ state.n }}"}
        - id: inner
          for_each: [x, y]
          as: letter
          key: letter
          steps:
            - {id: one, intent: ask, prompt: "one {{ row.n }}.{{ state.n }}.{{ letter }}"}
            - {id: two, intent: ask, prompt: "two {{ row.n }}.{{ state.n }}.{{ letter }} {{ steps.one.output }}"}
        - {id: count, intent: add, input: "{{ state.n }}"}
      next: {n: "{{ steps.count.output }}"}
      while: state.n < 3
      max: 3
"""


@pytest.mark.parametrize(
    ("start", "asked"),
    [
        ("each[c][2]/inner[y]/two", ["two 2.2.y"]),
        ("each[c][2]/inner[x]", ["one 2.2.x", "two 2.2.x"]),
        ("each[c][2]/inner/two", ["two 2.2.x", "two 2.2.y"]),
        ("each[c][2]/inner", ["one 2.2.x", "one 2.2.y", "two 2.2.x", "two 2.2.y"]),
        ("each[a%2Fb][2]/read", ["read 1.2"]),
        ("each[a/b][2]/read", ["read 1.2"]),
        ("each[c][2]", ["one 2.2.x", "one 2.2.y", "read 2.2", "two 2.2.x", "two 2.2.y"]),
        (
            "each[c]/count",
            [f"{w} 2.2{x}" for w, x in [("one", ".x"), ("one", ".y"), ("read", ""), ("two", ".x"), ("two", ".y")]],
        ),
    ],
)
async def test_items_passes_and_groups_are_kept_within_each_other(made, start, asked) -> None:
    await made.first(NESTED)
    _, found = await made.fork(start)
    assert found == asked


GROUP = """
name: t
budget: {tokens: 20000}
steps:
  - id: work
    steps:
      - {id: one, intent: ask, prompt: "one"}
      - {id: two, intent: ask, prompt: "two {{ steps.one.output }}"}
      - {id: three, intent: ask, prompt: "three {{ steps.two.output }}"}
      - {id: apart, intent: ask, prompt: "apart"}
  - id: label
    for_each: [1, 2]
    as: n
    steps:
      - {id: read, intent: ask, prompt: "read {{ n }}"}
      - {id: draft, intent: ask, prompt: "draft {{ n }} {{ steps.read.output }}"}
"""


@pytest.mark.parametrize(
    ("start", "asked"),
    [
        ("work/two", ["three", "two"]),
        ("work/three", ["three"]),
        ("work/one", ["one", "three", "two"]),
        ("work", ["apart", "one", "three", "two"]),
        ("label/draft", ["draft", "draft"]),
    ],
)
async def test_of_a_group_the_siblings_that_come_before_the_start_are_kept(made, start, asked) -> None:
    await made.first(GROUP)
    _, found = await made.fork(start)
    assert [text.split()[0] for text in found] == asked


BRANCH = """
name: t
budget: {tokens: 20000}
steps:
  - id: gate
    intent: decide
    prompt: "gate large"
    branches:
      large:
        steps:
          - {id: one, intent: ask, prompt: "one {{ steps.gate.output.value }}"}
          - {id: two, intent: ask, prompt: "two {{ steps.one.output }}"}
      small: {steps: [{id: other, intent: ask, prompt: "other"}]}
  - id: each
    for_each: [large, small]
    as: size
    key: size
    intent: decide
    prompt: "each {{ size }}"
    branches:
      large: {steps: [{id: big, intent: ask, prompt: "big"}]}
      small: {steps: [{id: little, intent: ask, prompt: "little"}, {id: less, intent: ask, prompt: "less {{ steps.little.output }}"}]}
  - {id: after, intent: ask, prompt: "after {{ steps.gate.output.result }}"}
"""


@pytest.mark.parametrize(
    ("start", "asked"),
    [
        ("gate/large/two", ["after", "two"]),
        ("gate/large/one", ["after", "one", "two"]),
        ("gate/large", ["after", "one", "two"]),
        ("gate", ["after", "gate", "one", "two"]),
        ("each[small]/small/less", ["less"]),
    ],
)
async def test_of_a_branch_the_decision_and_the_steps_before_the_start_are_kept(made, start, asked) -> None:
    first = await made.first(BRANCH)
    result, found = await made.fork(start)
    assert [text.split()[0] for text in found] == asked
    assert result.outputs["gate"].keys() == {"branch", "matched", "value", "result"}
    if start != "gate":
        assert result.outputs["each"][0] == first.outputs["each"][0]
    _, found = await made.fork("gate/large/two")
    assert [text.split()[0] for text in found] == ["after", "two"]


async def test_the_decision_is_kept_where_the_fork_is_resumed(made) -> None:
    await made.first(BRANCH)
    made.handler.fails_at = "two"
    broken = await made.service.fork("last", "gate/large/one")
    assert (broken.status, made.take()) == ("failed", ["one 1"])
    made.handler.fails_at = ""
    assert (await made.service.resume(broken.run_id)).status == "completed"
    assert [text.split()[0] for text in made.take()] == ["after", "two"]


PART = """
name: part
inputs: {who: {type: string}}
on_failure: rollback
steps:
  - {id: one, intent: ask, prompt: "one {{ inputs.who }}", rollback: {steps: [{id: undo, intent: ask, prompt: undo}]}}
  - {id: two, intent: ask, prompt: "two {{ steps.one.output }}"}
finally:
  - {id: tidy, intent: ask, prompt: tidy}
"""
FLOW = """
name: t
budget: {tokens: 20000}
steps:
  - {id: name, intent: ask, prompt: "name"}
  - {id: greet, flow: part.yaml, with: {who: "{{ steps.name.output }}"}, on_error: continue}
  - {id: after, intent: ask, prompt: "after {{ steps.greet.output }}"}
finally:
  - {id: last, intent: ask, prompt: "last"}
"""


@pytest.fixture
def flow(tmp_path):
    (tmp_path / "part.yaml").write_text(PART, encoding="utf-8")
    path = tmp_path / "whole.yaml"
    path.write_text(FLOW, encoding="utf-8")
    return Workflow.load(path)


@pytest.mark.parametrize(
    ("start", "asked"),
    [
        ("greet/two", ["after", "last", "tidy", "two"]),
        ("greet/one", ["after", "last", "one", "tidy", "two"]),
        ("greet/tidy", ["after", "last", "tidy"]),
        ("greet", ["after", "last", "one", "tidy", "two"]),
        ("last", ["last"]),
    ],
)
async def test_of_a_sub_workflow_the_steps_before_the_start_are_kept(made, flow, start, asked) -> None:
    assert (await made.service.run(flow)).status == "completed"
    made.take()
    _, found = await made.fork(start)
    assert [text.split()[0] for text in found] == asked


async def test_a_sub_workflow_that_was_rolled_back_is_done_again_as_a_whole(made, flow) -> None:
    made.handler.fails_at = "two"
    assert (await made.service.run(flow)).status == "completed"
    assert "undo" in made.take()
    made.handler.fails_at = ""
    _, found = await made.fork("greet/two")
    assert [text.split()[0] for text in found] == ["after", "last", "one", "tidy", "two"]


@pytest.mark.parametrize(
    ("start", "message", "hint"),
    [
        ("improve~3", "'improve~3' is not the address", "improve[2]"),
        ("improve[2", "is not the address", "label[17]/draft"),
        ("improve[2]]", "is not the address", "label[17]/draft"),
        ("improve[2]draft", "is not the address", "label[17]/draft"),
        ("improve[2]/", "is not the address", "label[17]/draft"),
        ("/improve", "is not the address", "label[17]/draft"),
        ("", "is not the address", "label[17]/draft"),
        ("improve[2]\n", "is not the address", "label[17]/draft"),
        ("improve/../before", "is not the address", "label[17]/draft"),
        ("x" * 100_000 + "[", "is not the address", "label[17]/draft"),
        ("improve[0]", "has no pass '0'", "its passes: 1, 2, 3"),
        ("improve[-1]", "has no pass '-1'", "its passes: 1, 2, 3"),
        ("improve[02]", "has no pass '02'", "its passes: 1, 2, 3"),
        ("improve[²]", "has no pass '²'", "its passes: 1, 2, 3"),
        ("improve[]", "has no pass ''", "its passes: 1, 2, 3"),
        (f"improve[{'9' * 5000}]", "has no pass '999", "its passes: 1, 2, 3"),
        ("improve[2][3]", "step 'improve' has no item '3'", "its items: none"),
        ("improve[2]/send", "step 'improve' has no step 'send'", "its steps: plan, draft, side, count"),
        ("improve[2]/draft/more", "step 'draft' has no step 'more'", "its steps: none"),
        ("improve[2]/draft[1]", "step 'draft' has no item '1'", "its items: none"),
        ("before[1]", "step 'before' has no item '1'", "its items: none"),
    ],
)
async def test_what_is_no_start_is_refused_with_what_would_do(made, start, message, hint) -> None:
    await made.first(LOOP)
    with pytest.raises(IntendantError) as caught:
        await made.service.fork("last", start)
    assert message in caught.value.message
    assert len(caught.value.message) < 300
    assert hint in caught.value.hint
    assert len(await made.service._engine.store.do(runs.list_runs())) == 1  # nothing was opened


@pytest.mark.parametrize(
    ("start", "message", "hint"),
    [
        ("gate/small/other", "step 'gate' did not take the branch 'small'", "it took the branch 'large'"),
        ("gate/medium/one", "step 'gate' has no step 'medium'", "its steps: large, small"),
        ("gate/large/other", "step 'gate/large' has no step 'other'", "its steps: one, two"),
        ("gate/large[1]/one", "step 'gate' has no step 'large'", "its steps: large, small"),
        ("each[medium]/large/big", "step 'each' has no item 'medium'", "its items: large, small"),
        ("each[small]/large/big", "did not take the branch 'large'", "it took the branch 'small'"),
    ],
)
async def test_a_branch_that_was_not_taken_is_no_start(made, start, message, hint) -> None:
    await made.first(BRANCH)
    with pytest.raises(IntendantError, match=message) as caught:
        await made.service.fork("last", start)
    assert caught.value.hint == hint


async def test_what_undoes_a_step_is_no_start(made, flow) -> None:
    await made.service.run(flow)
    with pytest.raises(IntendantError, match="a fork cannot begin with one") as caught:
        await made.service.fork("last", f"greet/one/{ROLLBACK}/undo")
    assert caught.value.hint == "begin with one"


@given(st.text(max_size=40) | st.text("ab[]/~%.1 ", max_size=20))
def test_an_address_is_read_as_it_is_written_or_refused(text) -> None:
    try:
        parts = parts_of(text)
    except IntendantError as error:
        assert "not the address of a step" in error.message
        return
    assert "/".join(part.name + "".join(f"[{mark}]" for mark in part.marks) for part in parts) == text
