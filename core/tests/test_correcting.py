"""Going on with a corrected workflow: finished steps stay, what changes them is refused with its place."""

import pytest

from intendant import Limits, Workflow, WorkflowError
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
from intendant.record.store import budgets, integrity
from intendant.testing import ScriptedProvider, engine

FILE = """
name: t
inputs: {who: {default: Ada}}
budget: {tokens: 1000}
steps:
  - {id: a, intent: ask, prompt: "first {{ inputs.who }}"}
  - {id: b, intent: ask, prompt: "wrong {{ steps.a.output }}"}
  - {id: c, intent: ask, prompt: "third {{ steps.b.output }}"}
"""


class Ask(IntentHandler):
    """Asks the model; fails where the prompt is wrong."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        if "wrong" in request.prompt:
            raise StepError("the prompt is wrong")
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(ask)).text)


def reply() -> ModelReply:
    usage = Usage(input_tokens=4, output_tokens=2)
    return ModelReply(text="yes", usage=usage, model="scripted-1", provider="scripted")


@pytest.fixture
async def failed(tmp_path):
    """A service, and its run of which step `b` failed; the provider; the workflow's file."""
    file = tmp_path / "flow.yaml"
    file.write_text(FILE)
    provider = ScriptedProvider(reply())
    async with engine(Ask(), provider, db=f"sqlite:///{tmp_path}/x.db") as service:
        result = await service.run(Workflow.load(file))
        assert result.status == "failed"
        yield service, result, provider, file


async def resumed(service, **options):
    seen = []
    result = await service.resume("last", on_event=seen.append, **options)
    return result, next(event for event in seen if event.type == "resumed")


async def test_a_corrected_step_is_done_and_finished_ones_are_kept(failed) -> None:
    service, first, provider, file = failed
    file.write_text(FILE.replace("wrong", "second"))
    result, event = await resumed(service, workflow=Workflow.load(file))
    assert result.status == "completed", result.failures
    assert result.run_id == first.run_id
    assert [request.messages[0].content for _, request in provider.calls] == [
        "first Ada",
        "second yes",
        "third yes",
    ]
    assert (event.corrected, event.file_changed, event.kept) == (True, "", 1)
    assert (await service._engine.store.do(integrity.verify())).broken == []


async def test_what_was_corrected_can_be_forked_and_corrected_again(failed) -> None:
    """What is stored of the corrected workflow is that workflow: keys that it does not say are not there."""
    service, first, provider, file = failed
    file.write_text(FILE.replace("wrong", "wrong again"))
    assert (await resumed(service, workflow=Workflow.load(file)))[0].status == "failed"
    file.write_text(FILE.replace("wrong", "second"))
    assert (await resumed(service, workflow=Workflow.load(file)))[0].status == "completed"
    again = await service.fork(first.run_id, "b", inputs={"who": "Bo"})
    assert again.status == "completed", again.failures
    assert [request.messages[0].content for _, request in provider.calls][3:] == [
        "first Bo",
        "second yes",
        "third yes",
    ]
    twice = await service.fork(again.run_id, "c")
    assert twice.status == "completed", twice.failures


async def test_a_run_says_when_its_file_has_changed_and_goes_by_the_plan_it_had(failed) -> None:
    service, _, _, file = failed
    assert (await resumed(service))[1].file_changed == ""
    file.write_text("# a comment changes nothing\n" + FILE)
    assert (await resumed(service))[1].file_changed == ""
    file.write_text(FILE.replace("wrong", "second"))
    result, event = await resumed(service)
    assert event.file_changed == str(file)
    assert result.status == "failed", "it went by the plan it had"
    file.write_text("no workflow any more")
    assert (await resumed(service))[1].file_changed == str(file)
    file.unlink()
    assert (await resumed(service))[1].file_changed == ""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("first {{ inputs.who }}", "other {{ inputs.who }}", "step 'a' is finished, and was changed: prompt"),
        ("{id: a, intent: ask,", "{id: a, intent: ask, output: {type: string},", "was changed: output"),
        ("  - {id: a", "  - {id: aa", "step 'a' is finished, and is not there any more"),
        ("name: t", "name: t\nagent: another", "of the agent 'default'"),
    ],
)
async def test_what_changes_a_finished_step_is_refused_with_its_place(failed, old, new, said) -> None:
    service, first, provider, file = failed
    text = FILE.replace("wrong", "second").replace(old, new)
    text = text.replace("steps.a.output", "steps.aa.output") if "aa" in new else text
    file.write_text(text)
    with pytest.raises(WorkflowError, match=said) as caught:
        await resumed(service, workflow=Workflow.load(file))
    assert caught.value.problems[0].file == str(file)
    assert len(provider.calls) == 1
    assert (await resumed(service))[0].run_id == first.run_id, "the run is as it was"


async def test_what_has_no_effect_on_a_finished_step_may_change(failed) -> None:
    service, _, _, file = failed
    text = FILE.replace("wrong", "second").replace(
        "{id: a,", "{id: a, name: The first, timeout: 9, critical: true,"
    )
    file.write_text(text.replace("inputs: {", "inputs: {more: {default: one}, "))
    result, _ = await resumed(service, workflow=Workflow.load(file))
    assert result.status == "completed", result.failures


@pytest.mark.parametrize(("limits", "tokens"), [(None, 3000), (Limits(tokens=2000), 2000)])
async def test_a_corrected_budget_holds_from_now_on(failed, limits, tokens) -> None:
    service, first, _, file = failed
    file.write_text(FILE.replace("wrong", "second").replace("1000", "3000"))
    result, _ = await resumed(service, workflow=Workflow.load(file), limits=limits)
    assert result.metrics.budget_tokens == tokens
    state = await service._engine.store.do(budgets.find(f"run:{first.run_id}"))
    assert state.limit_tokens == tokens


SHAPES = {
    "a wait": "  - {id: w, needs: [a], wait: {for: 0.01}}\n",
    "an approval": '  - {id: w, needs: [b], approve: {ask: "Go on?", within: 5, otherwise: approve}}\n',
    "items": '  - {id: w, for_each: [1], steps: [{id: x, intent: ask, prompt: "third"}]}\n',
    "a loop": '  - {id: w, loop: {state: {n: 1}, max: 1, steps: [{id: x, intent: ask, prompt: "third"}], next: {n: 2}, while: "state.n > 5"}}\n',
    "an error's way": '  - {id: w, intent: ask, prompt: "wrong", on_error: {output: 1}}\n',
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_corrected_workflow_is_read_again_whatever_steps_it_has(failed, shape) -> None:
    """It still fails, so that it is resumed once more, by what the database keeps of it."""
    service, _, _, file = failed
    file.write_text(FILE + SHAPES[shape])
    first, event = await resumed(service, workflow=Workflow.load(file))
    assert (first.status, event.corrected) == ("failed", True)
    again, event = await resumed(service)
    assert (again.status, event.corrected) == ("failed", False)
    assert set(again.steps) == {"a", "b", "c", "w"}
