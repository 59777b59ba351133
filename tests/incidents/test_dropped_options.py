"""A setting that would have bounded the cost is ignored."""

import pytest

from intendant.record.store import limits


@pytest.mark.parametrize("unit", ["tokens", "usd"])
async def test_o1_a_limit_of_nothing_on_a_run_admits_nothing(world, flow, unit) -> None:
    async with world() as here:
        told = await here.run(flow({}, budget={unit: 0}))
    assert not told.vendor.asked
    assert told.done.status == "refused"


@pytest.mark.parametrize("scope", ["agent:default", "tenant:default"])
@pytest.mark.parametrize("per", ["day", "month"])
@pytest.mark.parametrize(("tokens", "micro"), [(0, None), (None, 0)])
async def test_o1_o2_a_limit_of_nothing_on_any_owner_admits_nothing(
    world, flow, scope, per, tokens, micro
) -> None:
    async with world() as here:
        await here.service._engine.store.do(limits.set_limit(scope, per, tokens, micro))
        told = await here.run(flow({}))
    assert not told.vendor.asked
    assert told.done.status in ("refused", "failed")


@pytest.mark.parametrize("scope", ["agent:default", "tenant:default"])
async def test_o2_every_owner_is_asked(world, flow, scope) -> None:
    async with world() as here:
        one = (await here.run(flow({}))).of("tokens_reserved")[0].tokens
        spent = here.vendor.bill
        await here.service._engine.store.do(limits.set_limit(scope, "day", spent + one, None))
        first, second = await here.run(flow({})), await here.run(flow({}))
    assert (len(first.vendor.asked), len(second.vendor.asked)) == (1, 0)


@pytest.mark.parametrize(("step", "seen"), [({"max_output_tokens": 7}, 7), ({}, None)])
async def test_o3_a_limit_on_the_answer_reaches_the_server(world, flow, step, seen) -> None:
    from intendant_intent_generate import GenerateHandler

    async with world(plugins=[GenerateHandler()]) as here:
        told = await here.run(flow({"intent": "generate", "prompt": "Write", **step}))
    assert told.vendor.limits == [seen] if seen else told.vendor.limits[0] > 0


@pytest.mark.parametrize("name", ["max_tokens", "budget_tokens", "token_limit"])
async def test_o3_an_option_that_nobody_knows_is_an_error(flow, name) -> None:
    with pytest.raises(Exception, match=name):
        flow({name: 5})


@pytest.mark.parametrize("status", [429, 500])
async def test_o4_one_attempt_is_one_request(world, play, flow, status) -> None:
    async with world(play(status=status), settings={"calls": {"attempts": 1}}) as here:
        told = await here.run(flow({}))
    assert len(told.vendor.asked) == 1


async def test_o7_a_stream_of_thoughts_that_is_cut_is_charged(world, play, flow, ask) -> None:
    async def program(request):
        return await ask(request, on_text=lambda _piece: None, most=60)

    thoughts = {"content": None, "reasoning_content": "thinking about it"}
    async with world(play(text="a b c d e", message=thoughts, cut=4), program=program) as here:
        told = await here.run(flow({}))
    assert told.charged > 0
