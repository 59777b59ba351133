"""What each request carries, or may write, grows."""

import pytest

from intendant import BudgetExceeded


async def test_x1_x3_each_request_is_counted_as_it_is_sent(world, play, flow, ask) -> None:
    texts = ["word " * 10, "слово " * 200, "🙂" * 300, "0123456789" * 100, "ﷺ" * 60]

    async def program(request):
        return [await ask(request, text) for text in texts]

    async with world(program=program) as here:
        told = await here.run(flow({}, budget={"tokens": 200_000}))
    for body, hold in zip(told.vendor.asked, told.of("tokens_reserved"), strict=True):
        sent = sum(len(message["content"].encode()) for message in body["messages"])
        assert hold.tokens >= sent + body["max_tokens"]


async def test_x4_r10_r15_a_history_that_grows_ends_at_the_tokens_of_the_run(world, play, flow, ask) -> None:
    turns: list[int] = []

    async def program(request):
        history = "once upon a time "
        for number in range(40):
            await ask(request, history)
            turns.append(number)
            history *= 2
        return "all"

    async with world(program=program) as here:
        told = await here.run(flow({}, budget={"tokens": 3000}))
    assert told.done.status in ("failed", "refused")
    assert 2 <= len(turns) < 10
    assert told.charged <= 3000


async def test_x5_what_is_longer_than_the_window_is_not_sent(world, play, flow, ask) -> None:
    async def program(request):
        return await ask(request, "word " * 1500)

    async with world(program=program, provider={"windows": {"m": 1000}}) as here:
        told = await here.run(flow({}, budget={"tokens": 100_000}))
    assert not told.vendor.asked
    assert told.done.status in ("failed", "refused")


async def test_x10_an_answer_is_no_longer_than_the_window_leaves(world, play, flow, ask) -> None:
    async def program(request):
        return await ask(request, "word " * 900, most=500)

    async with world(program=program, provider={"windows": {"m": 1000}}) as here:
        told = await here.run(flow({}, budget={"tokens": 100_000}))
    assert told.vendor.limits == [100]


async def test_x7_thoughts_are_charged_and_held(world, play, flow, ask) -> None:
    thinking = {
        "prompt_tokens": 50,
        "completion_tokens": 200,
        "total_tokens": 250,
        "completion_tokens_details": {"reasoning_tokens": 190},
    }

    async def program(request):
        return await ask(request, most=200)

    async with world(play(given=50, written=200, usage=thinking), program=program) as here:
        told = await here.run(flow({}))
    assert told.charged == 250


async def test_x8_an_empty_answer_is_paid_said_and_not_asked_for_again_unchanged(world, play, flow) -> None:
    from intendant_intent_generate import GenerateHandler

    async with world(play(text="", written=60, finish="length"), plugins=[GenerateHandler()]) as here:
        told = await here.run(
            flow({"intent": "generate", "prompt": "Write a word", "retry": {"attempts": 3, "delay": 0}})
        )
    assert told.charged >= told.vendor.bill
    assert len({str(body) for body in told.vendor.asked}) == len(told.vendor.asked)
    assert told.done.status == "failed"


async def test_x9_a_cut_answer_is_asked_for_again_at_most_once_and_not_with_the_same_limit(
    world, play, flow
) -> None:
    from intendant_intent_extract import ExtractHandler

    schema = {"type": "object", "properties": {"who": {"type": "string"}}, "required": ["who"]}
    step = {"intent": "extract", "prompt": "Who?", "input": "It was Eva.", "output": schema}
    async with world(play(text='{"who": "Ev', finish="length"), plugins=[ExtractHandler()]) as here:
        told = await here.run(flow(step))
    assert len(told.vendor.asked) <= 3
    assert told.done.status == "failed"
    assert len({str(body) for body in told.vendor.asked}) == len(told.vendor.asked), "never the same again"


@pytest.mark.parametrize("cap", [300, 900])
async def test_x11_b6_a_step_ends_at_a_budget_of_its_own(world, play, flow, ask, cap) -> None:
    async def program(request):
        try:
            return [await ask(request, most=50) for _ in range(20)]
        except BudgetExceeded:
            return "enough"

    async with world(play(text="w" * 50), program=program) as here:
        told = await here.run(flow({"budget": {"tokens": cap}}, budget={"tokens": 50_000}))
    assert told.done.outputs["s0"] == "enough"
    assert told.charged <= cap
