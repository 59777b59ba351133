"""A fork takes over what does not depend on the step it begins with, pays nothing for that, and changes nothing else."""

import asyncio

import pytest
from hypothesis import given, strategies as st

from intendant import IntendantError, Limits, RunNotFound, Workflow, WorkflowError
from intendant.model.workflow import Step
from intendant.pilot.forking import uses_inputs
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelReply, ModelRequest, StepResult, Usage
from intendant.record.store import bookings, integrity, runs
from intendant.testing import ScriptedProvider, engine


class Ask(IntentHandler):
    """Asks the model; its answer counts the calls."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(ask)).text)


FILE = """
name: t
inputs: {who: {default: Ada}, tone: {default: kind}}
budget: {tokens: 5000}
steps:
  - {id: a, intent: ask, prompt: "a {{ inputs.who }}"}
  - {id: b, intent: ask, prompt: "b {{ steps.a.output }} {{ inputs.tone }}"}
  - {id: c, intent: ask, prompt: "c {{ steps.b.output }}"}
  - {id: d, intent: ask, prompt: "d {{ steps.a.output }}"}
finally:
  - {id: last, intent: ask, prompt: "last"}
"""
LIST = """
name: t
inputs: {rows: {type: array, default: [{id: x, n: 1}, {id: y, n: 2}, {id: z, n: 3}]}, tone: {default: kind}}
budget: {tokens: 20000}
steps:
  - id: label
    for_each: "{{ inputs.rows }}"
    as: row
    key: row.id
    steps:
      - {id: read, intent: ask, prompt: "read {{ row.n }}"}
      - {id: draft, intent: ask, prompt: "draft {{ steps.read.output }}"}
  - {id: sum, intent: ask, prompt: "sum {{ steps.label.output }}"}
"""


class Calls:
    """What the model was asked, by the first words of the prompts."""

    def __init__(self) -> None:
        self.prompts = []

    def provider(self) -> ScriptedProvider:
        def answer(request):
            text = request.messages[-1].content
            self.prompts.append(" ".join(text.split()[:2]))
            usage = Usage(input_tokens=4, output_tokens=2)
            return ModelReply(text=f"#{len(self.prompts)}", usage=usage, model="scripted-1", provider="scripted")

        return ScriptedProvider(answer)

    def take(self) -> list[str]:
        found, self.prompts = sorted(self.prompts), []
        return found


@pytest.fixture
async def made(tmp_path):
    """A service and what its model was asked; workflows are run before they are forked."""
    calls = Calls()
    async with engine(Ask(), calls.provider(), db=f"sqlite:///{tmp_path}/x.db") as service:
        yield service, calls


async def forked(made, text, start, **options):
    service, calls = made
    first = await service.run(Workflow.parse(text))
    assert first.status == "completed", first.failures
    calls.take()
    result = await service.fork("last", start, **options)
    assert result.status == "completed", result.failures
    return first, result, calls.take()


async def test_what_does_not_depend_on_the_step_is_taken_over_and_costs_nothing(made) -> None:
    first, result, asked = await forked(made, FILE, "b")
    assert [text.split()[0] for text in asked] == ["b", "c", "last"]
    assert result.run_id != first.run_id
    assert (result.outputs["a"], result.outputs["d"]) == (first.outputs["a"], first.outputs["d"])
    assert result.outputs["b"] != first.outputs["b"]
    assert result.steps["a"].usage.tokens == 0
    assert result.steps["a"].reason == f"taken over from run {first.run_id}"
    store = made[0]._engine.store
    assert (await store.do(bookings.totals_of_run(result.run_id))).tokens == 18
    assert (await store.do(bookings.totals_of_run(first.run_id))).tokens == 30
    assert (await store.do(integrity.verify())).broken == []
    events = await store.do(runs.events_of(result.run_id))
    assert f'"forked_from":"{first.run_id}/b"' in events[0].data


async def test_steps_that_use_a_changed_input_and_what_depends_on_them_are_executed_again(made) -> None:
    _, result, asked = await forked(made, FILE, "c", inputs={"tone": "strict"})
    assert [text.split()[0] for text in asked] == ["b", "c", "last"]
    assert result.inputs == {"who": "Ada", "tone": "strict"}


async def test_steps_that_a_changed_file_changes_are_executed_again(made) -> None:
    changed = Workflow.parse(FILE.replace('"d {{', '"other {{'))
    _, _, asked = await forked(made, FILE, "c", workflow=changed)
    assert [text.split()[0] for text in asked] == ["c", "last", "other"]


@pytest.mark.parametrize(
    ("start", "asked"),
    [
        ("sum", ["sum"]),
        ("label[y]", ["draft", "read 2", "sum"]),
        ("label[y]/draft", ["draft", "sum"]),
        ("label[y]/read", ["draft", "read 2", "sum"]),
        ("label", ["draft", "draft", "draft", "read 1", "read 2", "read 3", "sum"]),
    ],
)
async def test_of_a_list_one_item_or_a_step_of_it_may_be_executed_again(made, start, asked) -> None:
    _, _, found = await forked(made, LIST, start)
    assert [text if text.startswith("read") else text.split()[0] for text in found] == asked


async def test_items_are_kept_where_both_their_key_and_what_they_are_agree(made) -> None:
    rows = [{"id": "z", "n": 3}, {"id": "x", "n": 10}, {"id": "w", "n": 4}]
    first, result, asked = await forked(made, LIST, "sum", inputs={"rows": rows})
    assert [text for text in asked if text.startswith("read")] == ["read 10", "read 4"]
    assert result.outputs["label"][0] == first.outputs["label"][2]


async def test_items_are_not_kept_where_they_refer_to_something_else_that_changed(made) -> None:
    text = LIST.replace('"read {{ row.n }}"', '"read {{ row.n }} {{ inputs.tone }}"')
    _, _, asked = await forked(made, text, "sum", inputs={"tone": "strict"})
    assert [item for item in asked if item.startswith("read")] == ["read 1", "read 2", "read 3"]


async def test_a_fork_of_a_fork_keeps_items_too(made) -> None:
    service, calls = made
    await forked(made, LIST, "sum")
    result = await service.fork("last", "label[x]")
    assert (result.status, [text for text in calls.take() if text.startswith("read")]) == ("completed", ["read 1"])


async def test_a_fork_has_limits_of_its_own(made) -> None:
    service, _ = made
    await service.run(Workflow.parse(FILE))
    assert (await service.fork("last", "b", limits=Limits(tokens=1))).status == "refused"


async def test_no_fork_is_made_where_the_master_switch_is_off(made) -> None:
    service, _ = made
    await service.run(Workflow.parse(FILE))
    await service.steering.change({"flags.orchestration_enabled": False}, by="ann")
    with pytest.raises(IntendantError, match="orchestration_enabled is off"):
        await service.fork("last", "b")


async def test_a_fork_that_was_broken_off_is_resumed_and_pays_nothing_twice(made) -> None:
    service, calls = made
    await service.run(Workflow.parse(FILE))
    calls.take()
    refused = await service.fork("last", "b", limits=Limits(tokens=1))
    calls.take()
    result = await service.resume(refused.run_id, limits=Limits(tokens=5000))
    assert result.status == "completed"
    assert [text.split()[0] for text in calls.take()] == ["b", "c", "last"]


async def test_what_cannot_be_forked_is_refused_with_what_would_do(made) -> None:
    service, _ = made
    with pytest.raises(RunNotFound):
        await service.fork("r_none", "a")
    await service.run(Workflow.parse(LIST))
    with pytest.raises(IntendantError, match="the workflow has no step 'x'") as caught:
        await service.fork("last", "x")
    assert "label, sum" in caught.value.hint
    with pytest.raises(IntendantError, match="step 'label' has no step 'send'"):
        await service.fork("last", "label[x]/send")
    with pytest.raises(IntendantError, match="step 'label' has no step 'send'"):
        await service.fork("last", "label/send")
    for start in ("label[q]", "label[q]/draft", "label[x"):
        with pytest.raises(IntendantError, match=r"has no item 'q'|is not the address") as caught:
            await service.fork("last", start)
        assert "x, y, z" in caught.value.hint or "label[17]" in caught.value.hint
    with pytest.raises(IntendantError, match="step 'sum' has no item 'x'") as caught:
        await service.fork("last", "sum[x]")
    assert "none" in caught.value.hint
    with pytest.raises(IntendantError, match="is not the address of a step"):
        await service.fork("last", "[x]")
    with pytest.raises(WorkflowError, match="the run is one of the agent"):
        await service.fork(
            "last", "sum", workflow=Workflow.parse(LIST.replace("name: t", "name: t\nagent: other"))
        )
    assert len(await service._engine.store.do(runs.list_runs())) == 1  # nothing was opened


@pytest.mark.parametrize(
    ("prompt", "used"),
    [
        ("{{ inputs.who }}", True),
        ("{{ inputs['who'] }}", True),
        ('{{ inputs["who"] }}', True),
        ("{{ inputs.whole }}", False),
        ("{{ inputs }}", True),
        ("{{ steps.inputs.output }}", False),
        ("who wrote these inputs.", False),
    ],
)
def test_whether_a_step_refers_to_an_input_is_told_from_how_it_is_written(prompt, used) -> None:
    assert uses_inputs(Step.model_validate({"id": "a", "prompt": prompt}), ["who"]) is used


@given(st.sets(st.sampled_from("abcd"), min_size=1), st.sampled_from("abcd"))
def test_a_fork_asks_what_depends_on_its_start_and_nothing_else(stale, start) -> None:
    """Whatever the graph: each step is asked for again exactly where it is, or comes after, the start."""
    edges = {
        "a": (),
        "b": ("a",),
        "c": ("b", "a") if "c" in stale else ("a",),
        "d": ("c",) if "d" in stale else (),
    }
    text = "name: t\nbudget: {tokens: 9000}\nsteps:\n" + "".join(
        f"  - {{id: {step}, intent: ask, needs: [{', '.join(needs)}], prompt: {step}}}\n"
        for step, needs in edges.items()
    )

    def after(step: str) -> bool:
        return step == start or any(after(need) for need in edges[step])

    async def main() -> list[str]:
        calls = Calls()
        async with engine(Ask(), calls.provider()) as service:
            await service.run(Workflow.parse(text))
            calls.take()
            await service.fork("last", start)
            return calls.take()

    assert asyncio.run(main()) == [step for step in edges if after(step)]
