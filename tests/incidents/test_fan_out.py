"""Several branches, runs and processes spend together."""

import asyncio

import pytest

from intendant.record.store import budgets, integrity, limits

ONE = 400
"""Tokens of a call of these tests, at most."""


async def standing(here, scope: str, tokens: int, per: str = "day") -> None:
    """Limit an agent or a tenant."""
    await here.service._engine.store.do(limits.set_limit(scope, per, tokens, None))


@pytest.mark.parametrize("calls", [3, 30])
@pytest.mark.parametrize("round_", range(3))
async def test_f1_f19_calls_at_the_same_time_never_pass_the_limit(world, play, flow, ask, calls, round_) -> None:
    async def program(request):
        return [
            str(item)
            for item in await asyncio.gather(*(ask(request) for _ in range(calls)), return_exceptions=True)
        ]

    async with world(play(wait=0.02), program=program) as here:
        one = (await here.run(flow({}))).of("tokens_reserved")[0].tokens
        told = await here.run(flow({}, budget={"tokens": 2 * one}))
    assert 2 <= len(told.vendor.asked) < calls + 1
    assert told.charged <= 2 * one


async def test_f2_first_calls_of_a_new_agent_all_see_its_limit(world, play, flow) -> None:
    async with world(play(wait=0.05)) as here:
        await standing(here, "agent:new", 2 * ONE)
        await asyncio.gather(*(here.service.run(flow({}, agent="new")) for _ in range(8)))
        assert 1 <= len(here.vendor.asked) <= 8
        assert here.vendor.bill <= 2 * ONE


async def test_f6_steps_side_by_side_share_one_limit(world, play, flow) -> None:
    async with world(play(wait=0.02)) as here:
        one = (await here.run(flow({}))).of("tokens_reserved")[0].tokens
        told = await here.run(flow(*[{}] * 16, budget={"tokens": 5 * one}))
    assert told.charged <= 5 * one
    assert 1 <= len(told.vendor.asked) < 16


@pytest.mark.parametrize("own", [None, 5000, 10**6])
async def test_f7_f8_f9_a_run_inside_a_step_spends_from_the_runs_budget(world, play, flow, ask, own) -> None:
    inner: list[str] = []

    async def program(request):
        if request.step.id == "s0" and request.prompt == "outer":
            child = flow({}, {}, {}, {}, {}, **({"budget": {"tokens": own}} if own else {}))
            for _ in range(3):
                result = await here.service.run(child)
                inner.append(result.status)
            return "done"
        return await ask(request)

    async with world(play(), program=program) as here:
        one = (await here.run(flow({}))).of("tokens_reserved")[0].tokens
        before, spent = len(here.vendor.asked), here.vendor.bill
        result = await here.service.run(flow({"prompt": "outer"}, budget={"tokens": 3 * one}))
        row = await here.service._engine.store.do(budgets.find(f"run:{result.run_id}"))
        bill = here.vendor.bill - spent
        for run_id in (None, result.run_id):
            assert (await here.service._engine.store.do(integrity.verify(run_id))).broken == []
    assert bill <= 3 * one
    assert 2 <= len(here.vendor.asked) - before < 15
    assert "refused" in inner or "failed" in inner
    assert row.spent_tokens >= bill
    assert row.held_tokens == 0


async def test_f10_cancelling_reaches_what_is_below(world, play, flow, ask) -> None:
    async def program(request):
        if request.prompt == "outer":
            await asyncio.gather(*(here.service.run(flow({}, {"needs": ["s0"]}, agent=f"a{n}")) for n in range(3)))
        return await ask(request)

    async with world(play(wait=0.3), program=program) as here:
        running = asyncio.create_task(here.service.run(flow({"prompt": "outer"})))
        while not here.vendor.asked:
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
        sent = len(here.vendor.asked)
        await asyncio.sleep(0.5)
        assert len(here.vendor.asked) == sent <= 3


async def test_f12_the_plan_shows_model_and_cost_of_each_branch(world, flow) -> None:
    async with world() as here:
        plan = await here.service.plan(flow(*[{}] * 4))
    assert [step.route.model for step in plan.steps] == ["m"] * 4
    assert all(step.estimated_micro_usd for step in plan.steps)


async def test_f13_branches_that_are_not_wanted_ask_nothing(world, flow) -> None:
    async with world() as here:
        told = await here.run(flow({}, *({"when": "1 > 2", "needs": ["s0"]} for _ in range(3))))
    assert len(told.vendor.asked) == 1


async def test_f17_a_refusal_below_is_an_answer_above(world, flow, ask) -> None:
    async def program(request):
        if request.prompt == "outer":
            result = await here.service.run(flow({}, budget={"tokens": 0}))
            return str(result.status)
        return await ask(request)

    async with world(program=program) as here:
        result = await asyncio.wait_for(here.service.run(flow({"prompt": "outer"})), 10)
    assert result.outputs["s0"] == "refused"
    assert not here.vendor.asked


async def test_f18_what_failing_calls_reserve_is_given_back(world, play, flow) -> None:
    async with world(*[play(status=400)] * 40, play()) as here:
        await standing(here, "agent:default", 3 * ONE)
        for _ in range(40):
            assert (await here.run(flow({}))).charged == 0
        told = await here.run(flow({}))
    assert told.done.status == "completed"
