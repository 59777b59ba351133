"""One call becomes many: retries, layers of retries, refusals that can never pass."""

import json

import pytest

FOREVER = {"code": "insufficient_quota", "message": "You exceeded your current quota"}


@pytest.mark.parametrize("attempts", [1, 2, 3])
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_r1_r2_r5_as_many_requests_as_attempts_and_each_is_held(world, play, flow, attempts, status) -> None:
    settings = {"calls": {"attempts": attempts}}
    async with world(play(status=status), settings=settings) as here:
        told = await here.run(flow({}))
    assert len(told.vendor.asked) == attempts == len(told.of("tokens_reserved"))
    assert told.done.status == "failed"
    assert told.charged == 0 if status == 429 else told.charged >= 0


@pytest.mark.parametrize("streams", [False, True])
async def test_r2_no_layer_below_repeats_a_call(world, play, flow, ask, streams) -> None:
    async def program(request):
        return await ask(request, on_text=(lambda _piece: None) if streams else None)

    async with world(play(status=500), program=program, settings={"calls": {"attempts": 2}}) as here:
        told = await here.run(flow({}))
    assert len(told.vendor.asked) == 2


async def test_r3_a_failed_attempt_changes_nothing_in_what_the_next_one_sends(world, play, flow) -> None:
    async with world(play(status=429), play()) as here:
        told = await here.run(flow({}))
    first, second = told.vendor.asked
    assert json.dumps(first) == json.dumps(second)
    assert told.done.status == "completed"


async def test_r4_a_wait_that_the_server_asks_for_counts_against_the_deadline(world, play, flow) -> None:
    settings = {"calls": {"attempts": 5, "deadline": 1.5}}
    async with world(play(status=429, headers={"retry-after": "1"}), settings=settings) as here:
        told = await here.run(flow({}))
    assert len(told.vendor.asked) <= 2
    assert told.done.status == "failed"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_r6_what_is_wrong_with_the_request_is_not_repeated(world, play, flow, status) -> None:
    async with world(play(status=status), settings={"calls": {"attempts": 3}}) as here:
        told = await here.run(flow({"retry": {"attempts": 3, "delay": 0.01}}))
    assert len(told.vendor.asked) == 1
    assert told.charged == 0


async def test_r7_an_exhausted_account_is_not_asked_again(world, play, flow) -> None:
    async with world(play(status=429, error=FOREVER), settings={"calls": {"attempts": 4}}) as here:
        told = await here.run(flow({}))
    assert len(told.vendor.asked) == 1


async def test_r9_a_summary_that_stays_too_long_is_asked_for_a_bounded_number_of_times(world, play, flow) -> None:
    from intendant_intent_summarize import SummarizeHandler

    long = play(text="word " * 500, finish="stop")
    async with world(long, plugins=[SummarizeHandler()]) as here:
        step = {"intent": "summarize", "input": "A long text. " * 60, "options": {"max_words": 20}}
        told = await here.run(flow(step, budget={"tokens": 50_000}))
    assert len(told.vendor.asked) <= 4


@pytest.mark.parametrize("streams", [False, True])
async def test_r17_a_step_ends_at_its_time_out_and_the_call_stays_charged(world, play, flow, ask, streams) -> None:
    async def program(request):
        return await ask(request, on_text=(lambda _piece: None) if streams else None)

    async with world(play(wait=4.0), program=program) as here:
        told = await here.run(flow({"timeout": 1.5}))
    assert told.done.status == "failed"
    assert told.charged >= told.vendor.bill > 0


async def test_r18_a_stream_that_was_shown_and_broke_is_charged_and_not_repeated(world, play, flow, ask) -> None:
    shown: list[str] = []

    async def program(request):
        return await ask(request, on_text=shown.append, most=60)

    async with world(play(text="one two three four", cut=2), program=program) as here:
        told = await here.run(flow({}))
    assert "".join(shown).split() == ["one", "two"]
    assert len(told.vendor.asked) == 1
    assert told.done.status == "failed"
    assert told.charged > 0
