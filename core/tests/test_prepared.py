"""What follows from a workflow alone is computed once, and never outlives what it follows from."""

import pytest

from intendant import Workflow, WorkflowError
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepResult
from intendant.testing import ScriptedProvider, engine

FLOW = """
name: twice
inputs: {rows: {type: array, default: [1, 2]}}
steps:
  - {id: first, intent: ask, input: hello}
  - {id: each, intent: ask, for_each: "{{ inputs.rows }}", input: "{{ item }} {{ steps.first.output }}"}
"""


class Ask(IntentHandler):
    """Asks a model, and counts how often its steps are checked."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask it",))

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0

    def check(self, step):
        self.checks += 1
        return []

    async def handle(self, request):
        asked = ModelRequest(messages=(Message(content="hello"),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(asked)).text)


async def test_a_workflow_that_runs_again_is_neither_checked_nor_planned_again() -> None:
    ask = Ask()
    async with engine(ask, ScriptedProvider("ok")) as service:
        flow = Workflow.parse(FLOW)
        first = await service.plan(flow, {})
        checks = ask.checks
        assert await service.plan(flow, {}) is first
        results = [await service.run(flow) for _ in range(2)]
        assert ask.checks == checks
        assert {str(result.status) for result in results} == {"completed"}


async def test_an_equal_workflow_of_another_file_is_checked_for_itself() -> None:
    ask = Ask()
    async with engine(ask, ScriptedProvider("ok")) as service:
        await service.plan(Workflow.parse(FLOW), {})
        before = ask.checks
        await service.plan(Workflow.parse(FLOW), {})
        assert ask.checks == 2 * before


async def test_inputs_are_checked_for_every_run() -> None:
    async with engine(Ask(), ScriptedProvider("ok")) as service:
        flow = Workflow.parse(FLOW)
        await service.plan(flow, {})
        for wrong in ({"rows": "no list"}, {"nobody": 1}):
            with pytest.raises(WorkflowError, match="input"):
                await service.plan(flow, wrong)


async def test_more_items_give_another_plan() -> None:
    async with engine(Ask(), ScriptedProvider("ok")) as service:
        flow = Workflow.parse(FLOW)
        items = [
            next(step.items for step in (await service.plan(flow, {"rows": rows})).steps if step.step_id == "each")
            for rows in ([1], [1, 2, 3], [1])
        ]
        assert items == [1, 3, 1]


async def test_settings_that_change_give_another_plan() -> None:
    async with engine(Ask(), ScriptedProvider("ok")) as service:
        flow = Workflow.parse(FLOW)
        before = await service.plan(flow, {})
        await service.steering.change({"budget.tokens_per_workflow": 777}, by="a test")
        after = await service.plan(flow, {})
        assert before.budget_tokens != after.budget_tokens == 777


async def test_a_copy_with_other_fields_forgets_what_was_computed_of_the_old_ones() -> None:
    step = Workflow.parse(FLOW).steps[1]
    assert len(step.references) == 3
    assert [item.text for item in step.model_copy(update={"for_each": None}).references] == [
        "item",
        "steps.first.output",
    ]
    flow = Workflow.parse(FLOW)
    assert set(flow.by_id) == {"first", "each"}
    assert set(flow.model_copy(update={"steps": flow.steps[:1]}).by_id) == {"first"}
