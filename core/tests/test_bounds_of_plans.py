"""The upper bound of a plan holds: whatever a run does, it never spends more."""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from intendant import BudgetExceeded, Workflow
from intendant.planning.bounds import Bound, of_run
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelReply, ModelRequest, StepResult, Usage
from intendant.testing import ScriptedProvider, engine


class Asks(IntentHandler):
    """Asks until the budget refuses."""

    spec = IntentSpec(name="greedy", summary="Greedy", examples=("Take all",))

    async def handle(self, request):
        with suppress(BudgetExceeded):
            for _ in range(100):
                asked = Message(content="word " * 40)
                await request.model.complete(ModelRequest(messages=(asked,), max_output_tokens=200))
        return StepResult(output=None)


class Dear(ScriptedProvider):
    """Always writes as much as it may."""

    async def complete(self, hold, request):
        usage = Usage(input_tokens=hold.tokens - hold.max_output_tokens, output_tokens=hold.max_output_tokens)
        return ModelReply(text="x", usage=usage, model=hold.model, provider="scripted")


@pytest.mark.parametrize("overage", [True, False])
@pytest.mark.parametrize("prices", [{"input": 1.0, "output": 8.0}, {"input": 3.0, "output": 2.0}])
async def test_no_run_spends_more_than_its_plan_says_at_most(overage: bool, prices: dict) -> None:
    steps = [{"id": f"s{n}", "intent": "greedy", "needs": [f"s{n - 1}"] if n else []} for n in range(3)]
    flow = Workflow.model_validate({"name": "t", "budget": {"tokens": 5000}, "steps": steps})
    chosen = {
        "prices": {"models": {"scripted/scripted-1": prices}},
        "budget": {"overage_allowed": overage, "tokens_per_step": 1500},
    }
    async with engine(Asks(), Dear(), settings=chosen) as service:
        plan = await service.plan(flow)
        result = await service.run(flow)
    assert 0 < result.metrics.tokens_used <= plan.max_tokens <= 5000
    assert 0 < result.metrics.micro_usd <= plan.max_micro_usd
    assert result.metrics.tokens_used >= 0.8 * plan.max_tokens, "the bound is not needlessly wide"
    for step in plan.steps:
        outcome = result.steps[step.step_id]
        assert outcome.usage.tokens <= step.max_tokens
        assert outcome.usage.micro_usd <= step.max_micro_usd


async def test_a_plan_says_that_a_price_is_not_known() -> None:
    flow = Workflow.model_validate({"name": "t", "steps": [{"id": "a", "intent": "greedy"}]})
    async with engine(Asks(), Dear(), settings={"prices": {"models": {}}}) as service:
        service._engine.prices._by_hand = {}
        plan = await service.plan(flow)
    assert plan.max_micro_usd is None
    assert "the price of scripted/scripted-1" in plan.steps[0].warnings[0]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 900)), max_size=6),
    st.integers(0, 900),
    st.one_of(st.none(), st.integers(0, 900)),
)
def test_the_dearest_steps_take_the_tokens_of_a_run(steps, total, limit) -> None:
    """Against a search over all ways of sharing whole hundreds of tokens."""
    bounds = [Bound(tokens, micro if tokens else 0) for tokens, micro in steps]
    found = of_run(bounds, total, limit)
    assert found.tokens == min(total, sum(bound.tokens for bound in bounds))
    most = sum(bound.micro_usd for bound in bounds)
    assert found.micro_usd <= (most if limit is None else min(most, limit))
    left, spent = total, 0.0
    for bound in bounds:  # any other order costs no more
        taken = min(left, bound.tokens)
        left -= taken
        spent += bound.micro_usd * taken / bound.tokens if bound.tokens else 0
    assert found.micro_usd >= (spent if limit is None else min(spent, limit)) - 1e-6
