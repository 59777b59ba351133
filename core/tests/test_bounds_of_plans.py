"""The upper bound of a plan holds: whatever a run does, it never spends more."""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from intendant import BudgetExceeded, Workflow
from intendant.planning.bounds import Bound, of_run
from intendant.planning.curves import Curve, either, together
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
    found = of_run([Curve.of(bound.tokens, bound.micro_usd) for bound in bounds], total, limit)
    assert found.tokens == min(total, sum(bound.tokens for bound in bounds))
    most = sum(bound.micro_usd for bound in bounds)
    assert found.micro_usd <= (most if limit is None else min(most, limit))
    left, spent = total, 0.0
    for bound in bounds:  # any other order costs no more
        taken = min(left, bound.tokens)
        left -= taken
        spent += bound.micro_usd * taken / bound.tokens if bound.tokens else 0
    assert found.micro_usd >= (spent if limit is None else min(spent, limit)) - 1e-6


PIECES = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 900)), max_size=4)


def curve_of(pieces) -> Curve:
    return together(Curve.of(tokens, micro) for tokens, micro in pieces)


def at(curve: Curve, tokens: int) -> int:
    return curve.cut(tokens, None).micro_usd


@given(st.lists(PIECES, min_size=1, max_size=4), st.integers(0, 700))
def test_of_branches_the_dearest_is_counted_for_each_number_of_tokens(branches, tokens) -> None:
    curves = [curve_of(pieces) for pieces in branches]
    found = either(curves)
    assert found.tokens == max(curve.tokens for curve in curves)
    assert found.micro_usd == max(curve.micro_usd for curve in curves)
    assert at(found, tokens) >= max(at(curve, tokens) for curve in curves) - len(found.pieces)
    if len(curves) == 1:
        assert found == curves[0]


@given(PIECES, st.integers(0, 600), st.integers(0, 1500), st.integers(0, 600))
def test_a_limit_of_money_lets_the_dear_tokens_come_first(pieces, tokens, micro, fewer) -> None:
    """A step with a budget in US$ may spend all of it on few tokens, where the run has only few."""
    whole = curve_of(pieces)
    found = whole.cut(tokens, micro)
    assert found.tokens == min(tokens, whole.tokens)
    assert found.micro_usd == min(micro, at(whole, tokens))
    assert at(found, fewer) >= min(micro, at(whole, min(fewer, tokens))) - len(whole.pieces)


def test_where_a_price_is_not_known_only_a_limit_says_what_is_spent() -> None:
    unknown = Curve.of(100, None)
    assert unknown.micro_usd is None
    assert together([unknown, Curve.of(50, 10)]).cut(None, 70).micro_usd == 70
    assert either([unknown, Curve.of(50, 10)]).cut(20, None).micro_usd is None
    assert Curve.of(0, None).cut(None, 5).micro_usd == 0


class Dearer(Dear):
    """A provider of two models, of which one is dear."""

    def models(self):
        return {"fast": "scripted-1", "only": "scripted-1", "powerful": "scripted-2", "balanced": "scripted-1"}


TWO_PRICES = {
    "scripted/scripted-1": {"input": 1.0, "output": 1.0},
    "scripted/scripted-2": {"input": 9.0, "output": 9.0},
}


async def spent(steps: list[dict], tokens: int = 20_000, **budget) -> tuple:
    flow = Workflow.model_validate({"name": "t", "budget": {"tokens": tokens}, "steps": steps})
    chosen = {"prices": {"models": TWO_PRICES}, "budget": {"tokens_per_step": 4000, **budget}}
    async with engine(Asks(), Decides(), Dearer(), settings=chosen) as service:
        plan = await service.plan(flow)
        result = await service.run(flow)
    return result.metrics, plan


class Decides(IntentHandler):
    """Takes the branch that it is told."""

    spec = IntentSpec(name="decide", summary="Decide", examples=("Decide",))

    def needs_model(self, step):
        return False

    async def handle(self, request):
        return StepResult(output={"branch": request.input})


@pytest.mark.parametrize("taken", ["dear", "long"])
async def test_a_bound_holds_whichever_branch_is_taken(taken) -> None:
    """One branch costs more money, another one more tokens."""
    branches = {
        "dear": {
            "steps": [{"id": "a", "intent": "greedy", "model": "scripted/scripted-2", "budget": {"tokens": 900}}]
        },
        "long": {"steps": [{"id": "a", "intent": "greedy", "budget": {"tokens": 3000}}]},
    }
    metrics, plan = await spent([{"id": "gate", "intent": "decide", "input": taken, "branches": branches}])
    assert (plan.max_tokens, plan.max_micro_usd) == (3000, 8100)
    used, most = (metrics.micro_usd, 8100) if taken == "dear" else (metrics.tokens_used, 3000)
    assert 0.8 * most <= used <= most


async def test_a_budget_in_dollars_may_be_spent_on_few_tokens() -> None:
    """The run has fewer tokens than the step's budget in US$ would pay for at its dearest model."""
    dear = {"id": "a", "intent": "greedy", "model": "scripted/scripted-2", "budget": {"usd": 0.005}}
    metrics, plan = await spent([dear], tokens=1000)
    assert (plan.max_tokens, plan.max_micro_usd) == (1000, 5000)
    assert 4000 <= metrics.micro_usd <= 5000


async def test_the_budget_of_a_step_holds_for_all_that_is_within_it() -> None:
    """Also where the step itself asks a model, and where what is within it runs because it failed."""

    inner = {"id": "b", "intent": "greedy"}
    step = {"id": "a", "intent": "greedy", "output": {"type": "string"}, "on_error": {"steps": [inner]}}
    metrics, plan = await spent([{**step, "budget": {"tokens": 1500}}], overage_allowed=False)
    assert plan.max_tokens == 1500
    assert 0.8 * 1500 <= metrics.tokens_used <= 1500


async def test_a_model_that_is_asked_for_want_of_money_may_be_dearer_by_the_token() -> None:
    """It costs less for a usual call, and more for one with a long answer."""
    prices = {
        "scripted/scripted-1": {"input": 8.0, "output": 8.0},
        "scripted/scripted-2": {"input": 1.0, "output": 9.0},
    }
    steps = [{"id": "a", "intent": "greedy", "budget": {"tokens": 1000}}]
    flow = Workflow.model_validate({"name": "t", "budget": {"tokens": 1000}, "steps": steps})
    async with engine(Asks(), Dearer(), settings={"prices": {"models": prices}}) as service:
        assert (await service.plan(flow)).max_micro_usd == 9000
