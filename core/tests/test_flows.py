"""Sub-workflows: a file is a step of another one, with inputs, a budget and a place of its own."""

from pathlib import Path

import pytest

from intendant import Workflow, WorkflowError
from intendant.cli.runs import read_run
from intendant.cli.step_view import step_of
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepError, StepResult
from intendant.record.store import integrity
from intendant.record.store.spend_report import apart
from intendant.testing import ScriptedProvider, engine


class Copy(IntentHandler):
    """Returns its input; fails where that is `bad`."""

    spec = IntentSpec(name="copy", summary="Copy", examples=("Copy",))

    def __init__(self) -> None:
        super().__init__()
        self.done = []

    def needs_model(self, step):
        return False

    async def handle(self, request):
        self.done.append(request.step.id)
        if request.input == "bad":
            raise StepError("it is bad")
        return StepResult(output=request.input)


MAIN = """
name: main
inputs: {who: {default: ann}}
steps:
  - {id: first, intent: copy, input: 1}
  - {id: greet, flow: parts/greet.yaml, with: {name: "{{ inputs.who }}", times: "{{ steps.first.output }}"}}
  - {id: after, intent: copy, input: "{{ steps.greet.output.text }}"}
"""
GREET = """
name: greeting
inputs: {name: {}, times: {type: integer, default: 2}, mark: {choices: ["!", "?"], default: "!"}}
steps:
  - {id: first, intent: copy, input: "{{ inputs.name }}{{ inputs.mark }}"}
  - {id: again, intent: copy, input: ["{{ steps.first.output }}", "{{ inputs.times }}", "{{ run.workflow }}"]}
returns: {text: "{{ steps.again.output }}"}
"""


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    return tmp_path


def write(**files) -> None:
    for name, text in files.items():
        Path(name.replace("__", "/") + ".yaml").write_text(text)


async def run(file="main.yaml", inputs=None, handler=None, db="none", **options):
    async with engine(handler or Copy(), *options.pop("plugins", ()), db=db, **options) as service:
        return await service.run(service.load(file), inputs)


async def test_a_file_is_a_step_with_inputs_steps_and_an_output_of_its_own(place) -> None:
    write(main=MAIN, parts__greet=GREET)
    result = await run(db="sqlite:///x.db")
    assert result.status == "completed", result.failures
    assert result.outputs == {
        "first": 1,
        "greet": {"text": ["ann!", 1, "greeting"]},
        "after": ["ann!", 1, "greeting"],
    }
    async with engine(db="sqlite:///x.db") as service:
        found = await read_run(service._engine.store, "last")
    shown = step_of(found, found["plan"], "greet/again")
    assert shown["given"]["input"] == ["ann!", 1, "greeting"]
    assert apart("sqlite:///x.db", integrity.verify()).broken == []


async def test_it_sees_nothing_of_what_is_around_it(place) -> None:
    write(main=MAIN, parts__greet=GREET.replace("{{ inputs.name }}", "{{ steps.after.output }}{{ inputs.who }}"))
    with pytest.raises(WorkflowError) as found:
        await run()
    shown = str(found.value)
    assert "parts/greet.yaml:5:38: step 'first': there is no step 'after'" in shown
    assert "parts/greet.yaml:5:38: step 'first': there is no input 'who'" in shown


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{}", "the input 'name' of 'parts/greet.yaml' is missing"),
        ("{name: x, nam: y}", "'parts/greet.yaml' has no input 'nam'"),
        ("{name: x, times: many}", "the input 'times' must be of type integer, not 'many'"),
        ("{name: x, mark: '.'}", "the input 'mark' must be one of ['!', '?']"),
        ('{name: "{{ steps.nobody.output }}"}', "there is no step 'nobody'"),
    ],
)
async def test_its_inputs_are_checked_before_the_run(place, given, said) -> None:
    write(main=f"name: m\nsteps: [{{id: a, flow: parts/greet.yaml, with: {given}}}]", parts__greet=GREET)
    with pytest.raises(WorkflowError) as found:
        await run()
    assert said in str(found.value)
    assert "main.yaml:2:" in str(found.value)


async def test_an_input_that_is_known_only_in_the_run_is_checked_there(place) -> None:
    write(main=MAIN.replace("input: 1}", "input: many}"), parts__greet=GREET)
    result = await run()
    assert result.failures["greet"].message == (
        "the input 'times' must be of type integer, not 'many' ('parts/greet.yaml')"
    )


async def test_a_workflow_that_is_part_of_itself_is_refused_with_the_files_on_the_way(place) -> None:
    write(
        main="name: a\nsteps: [{id: a, flow: parts/b.yaml}]",
        parts__b="name: b\nsteps: [{id: b, loop: {steps: [{id: c, flow: ../main.yaml}], next: 1, while: 'true', max: 2}}]",
    )
    with pytest.raises(WorkflowError) as found:
        await run()
    assert "parts/b.yaml:2:" in str(found.value)
    assert "a workflow cannot be part of itself: main.yaml → parts/b.yaml → main.yaml" in str(found.value)


async def test_five_levels_are_run_and_six_are_refused(place) -> None:
    write(**{f"f{n}": f"name: f\nsteps: [{{id: s, flow: f{n + 1}.yaml}}]" for n in range(6)})
    write(f6="name: f\nsteps: [{id: s, intent: copy, input: deep}]")
    assert (await run("f1.yaml")).outputs == {"s": "deep"}
    with pytest.raises(WorkflowError, match="deeper than 5: f0.yaml → f1.yaml → f2.yaml"):
        await run("f0.yaml")


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        ("nowhere.yaml", "there is no file 'nowhere.yaml'"),
        ("../outside.yaml", "'../outside.yaml' is outside of the workflow's folder and the working folder"),
        ("link.yaml", "'link.yaml' is outside of the workflow's folder and the working folder"),
        ("parts", "there is no file 'parts'"),
        ("'{{ inputs.file }}'", "`flow` is the path of a workflow file"),
        ("{a: b}", "`flow` is the path of a workflow file"),
        ("parts/greet.yaml, intent: copy", "a flow has no `intent`"),
        ("parts/greet.yaml, steps: [{id: c}]", "a group is no flow"),
    ],
)
async def test_what_cannot_be_read_is_said_with_its_line(place, flow, said) -> None:
    write(main=f"name: m\nsteps:\n  - {{id: a, flow: {flow}}}", parts__greet=GREET)
    outside = place.parent / "outside.yaml"
    outside.write_text(GREET)
    (place / "link.yaml").symlink_to(outside)
    with pytest.raises(WorkflowError) as found:
        await run()
    assert said in str(found.value)
    assert "main.yaml:3:" in str(found.value)


async def test_mistakes_of_both_files_are_told_together(place) -> None:
    write(
        main=MAIN.replace("intent: copy, input: 1", "intnt: copy"), parts__greet=GREET.replace("returns", "retuns")
    )
    with pytest.raises(WorkflowError) as found:
        await run()
    assert "main.yaml:5:" in str(found.value)
    assert "parts/greet.yaml:7:9: 'retuns' is not known here" in str(found.value)


def test_files_that_multiply_to_too_many_steps_are_refused_at_once(place) -> None:
    for level in range(5):
        steps = "".join(f"  - {{id: s{n}, flow: f{level + 1}.yaml}}\n" for n in range(40))
        write(**{f"f{level}": f"name: f\nsteps:\n{steps}"})
    write(f5="name: f\nsteps: [{id: s, intent: copy}]")
    with pytest.raises(WorkflowError, match=r"steps with its sub-workflows, more than 20000"):
        Workflow.load("f0.yaml")


async def test_a_failure_within_fails_the_step_and_its_finally_runs(place) -> None:
    part = GREET.replace('input: ["{{ steps.first', 'needs: [], input: bad, when: "true", with: {}}#').split(
        "returns"
    )[0]
    part = (
        "name: greeting\ninputs: {name: {}, times: {type: integer}}\n"
        "steps: [{id: one, intent: copy, input: bad}]\n"
        "finally: [{id: tidy, intent: copy, input: '{{ run.status }} {{ run.failures.one.code }}'}]\n"
    )
    write(main=MAIN, parts__greet=part)
    copy = Copy()
    result = await run(handler=copy, db="sqlite:///x.db")
    assert (result.status, result.failures["greet"].message) == ("failed", "step 'one': it is bad")
    assert copy.done == ["first", "one", "tidy"]
    async with engine(db="sqlite:///x.db") as service:
        found = await read_run(service._engine.store, "last")
    assert found["inner"]["greet/tidy"]["output"] == "failed step_failed"


async def test_it_stands_beside_for_each_and_goes_on_after_a_wait(place) -> None:
    write(
        main="""
name: m
steps:
  - {id: each, for_each: [ann, bob], as: who, flow: ask.yaml, with: {name: "{{ who }}"}}
""",
        ask="""
name: ask
inputs: {name: {}}
steps:
  - {id: said, wait: {event: "said-{{ inputs.name }}"}}
  - {id: out, intent: copy, input: ["{{ inputs.name }}", "{{ steps.said.output }}"]}
""",
    )
    first = await run(db="sqlite:///x.db")
    assert first.status == "waiting"
    async with engine(Copy(), db="sqlite:///x.db") as service:
        for name in ("bob", "ann"):
            await service.signal("last", f"said-{name}", name.upper())
        result = await service.resume("last")
    assert result.outputs == {"each": [["ann", "ANN"], ["bob", "BOB"]]}
    assert apart("sqlite:///x.db", integrity.verify()).broken == []


class Ask(IntentHandler):
    """Asks for some tokens."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content="say"),), max_output_tokens=400)
        return StepResult(output=(await request.model.complete(ask)).text)


async def test_its_budget_is_a_cap_inside_that_of_the_run_which_the_plan_knows(place) -> None:
    part = "name: p\nbudget: {tokens: 1000}\nsteps:\n" + "".join(
        f"  - {{id: s{n}, intent: ask, needs: [{f's{n - 1}' if n else ''}]}}\n" for n in range(4)
    )
    write(main="name: m\nbudget: {tokens: 9000}\nsteps: [{id: a, flow: p.yaml}]", p=part)
    provider = ScriptedProvider("word " * 380)
    async with engine(Ask(), provider) as service:
        flow = service.load("main.yaml")
        plan = await service.plan(flow)
        result = await service.run(flow)
    assert (plan.max_tokens, plan.by_id["a"].intent) == (1000, "flow")
    assert 500 < result.metrics.tokens_used <= 1000
    assert result.status == "refused"
    assert "budget of step" in result.failures["a"].message


async def test_a_run_is_resumed_by_the_plan_that_it_had_and_says_that_a_part_has_changed(place) -> None:
    write(main=MAIN, parts__greet=GREET.replace("{{ inputs.name }}{{ inputs.mark }}", "bad"))
    await run(db="sqlite:///x.db")
    write(parts__greet=GREET)
    seen = []
    async with engine(Copy(), db="sqlite:///x.db") as service:
        result = await service.resume("last", on_event=seen.append)
        assert result.status == "failed"
        assert seen[0].file_changed.endswith("main.yaml")
        result = await service.resume("last", workflow=service.load("main.yaml"))
    assert result.outputs["after"] == ["ann!", 1, "greeting"]


def test_the_plan_and_the_schema_know_it(place) -> None:
    write(main=MAIN, parts__greet=GREET)
    flow = Workflow.load("main.yaml")
    assert [item.key for item in flow.placed] == ["first", "greet", "greet/first", "greet/again", "after"]
    again = Workflow.model_validate_json(flow.model_dump_json(by_alias=True, exclude_unset=True))
    assert again.model_dump() == flow.model_dump()
    schema = Workflow.model_json_schema(by_alias=True)
    assert schema["$defs"]["Flow"] == {"type": "string", "minLength": 1}  # what is written, not what is read
