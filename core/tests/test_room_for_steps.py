"""A list, a loop or a step with tools does not take the tokens away that the steps beside it need."""

import pytest

from intendant import Workflow
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepResult
from intendant.testing import engine


class Ask(IntentHandler):
    """Asks a model, for a long answer."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",), tokens=600)

    async def handle(self, request):
        asked = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=3000)
        return StepResult(output=(await request.model.complete(asked)).text)


class Write(Ask):
    """Takes much."""

    spec = IntentSpec(name="write", summary="Write", examples=("Write",), tokens=2000)


MANY = {
    "a list": {"id": "many", "intent": "write", "prompt": "b", "for_each": "{{ inputs.rows }}"},
    "a known list": {"id": "many", "intent": "write", "prompt": "b", "for_each": list(range(40))},
    "a loop": {
        "id": "many",
        "loop": {
            "state": {"n": 1},
            "steps": [{"id": "one", "intent": "write", "prompt": "b"}],
            "next": {"n": 2},
            "while": "state.n < 2",
            "max": 30,
        },
    },
}


@pytest.mark.parametrize("many", MANY.values(), ids=MANY)
async def test_a_step_beside_many_executions_can_be_paid(many) -> None:
    """Half of the tokens is left to it and to all who need more."""
    ask = {"id": "first", "intent": "ask", "prompt": "a"}
    flow = Workflow.model_validate(
        {
            "name": "t",
            "inputs": {"rows": {"type": "array"}},
            "budget": {"tokens": 20_000},
            "steps": [ask, {**many, "needs": ["first"]}],
        }
    )
    async with engine(Ask(), Write(), settings={"budget": {"tokens_per_step": 2000}}) as service:
        plan = await service.plan(flow)
        shares = {step.step_id: step.tokens for step in plan.steps if step.tokens}
        assert max(shares.values()) == 10_000
        assert plan.unallocated > 0
        assert plan.max_tokens == 20_000
        assert "first" not in (await service.run(flow, {"rows": [1, 2]})).failures
    settings = {"budget": {"overage_allowed": False, "tokens_per_step": 2000}}
    async with engine(Ask(), Write(), settings=settings) as service:
        assert sum(step.tokens for step in (await service.plan(flow)).steps) == 20_000


async def test_a_list_alone_has_all() -> None:
    flow = {"name": "t", "budget": {"tokens": 20_000}, "steps": [MANY["a known list"]]}
    async with engine(Ask(), Write()) as service:
        assert (await service.plan(Workflow.model_validate(flow))).steps[0].tokens == 20_000
