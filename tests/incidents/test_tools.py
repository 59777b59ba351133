"""A model with tools: it calls for ever, the same again, many at once, half a call; results flood what it reads."""

import json
from typing import Any

import pytest

from intendant.plugin import Connector, ConnectorError, Options, operation


class Ask(Options):
    """What to look for."""

    word: str


class Desk(Connector):
    """Gives as much as the test says, or fails."""

    name = "desk"

    def __init__(self, size: int = 10, *, fails: bool = False) -> None:
        super().__init__()
        self.size, self.fails = size, fails
        self.asked: list[str] = []

    @operation(side_effects=False)
    async def look(self, parameters: Ask, call: Any) -> Any:
        """Look something up."""
        self.asked.append(parameters.word)
        if self.fails:
            raise ConnectorError("no such column")
        return f"{parameters.word} " * (self.size // (len(parameters.word) + 1))


def calls(*words: str, written: str | None = None) -> dict[str, Any]:
    made = [
        {
            "id": f"c{number}",
            "type": "function",
            "function": {"name": "desk_look", "arguments": written or json.dumps({"word": word})},
        }
        for number, word in enumerate(words)
    ]
    return {"message": {"content": None, "tool_calls": made}, "finish": "tool_calls", "text": "", "written": 12}


STEP = {"tools": ["desk.look"], "max_turns": 4}
ANSWER = {"text": "it is so"}


def wants(play: Any, *turns: tuple[str, ...], then: Any = None) -> list[Any]:
    return [*(play(**calls(*words)) for words in turns), *([] if then is None else [play(**then)])]


async def test_r10_r15_a_tool_that_fails_ends_with_the_budget_and_not_with_patience(world, play, flow) -> None:
    """The tool fails, is called otherwise, fails again; each turn's input is held anew, until no other fits."""
    desk = Desk(fails=True)
    turns = wants(play, *[(f"try{number}",) for number in range(30)])
    async with world(*turns, plugins=[desk]) as here:
        told = await here.run(flow({**STEP, "max_turns": 40}, budget={"tokens": 9000}))
    assert len(told.vendor.asked) <= 7
    assert told.done.status == "failed"
    assert len(desk.asked) <= 5


@pytest.mark.parametrize("turns", [1, 3, 6])
async def test_r12_r14_b7_the_cap_on_turns_is_ours_and_nothing_is_sent_after_it(world, play, flow, turns) -> None:
    desk = Desk()
    plays = wants(play, *[(f"word{number}",) for number in range(30)])
    async with world(*plays, plugins=[desk]) as here:
        told = await here.run(flow({**STEP, "max_turns": turns}, budget={"tokens": 200_000}))
    assert len(told.vendor.asked) <= turns + 1, "one more for servers that heed no tool_choice"
    assert len(desk.asked) == turns - 1


async def test_r13_the_last_request_lets_the_model_answer_only(world, play, flow) -> None:
    plays = wants(play, ("a",), ("b",), ("c",), then=ANSWER)
    async with world(*plays, plugins=[Desk()]) as here:
        told = await here.run(flow(STEP, budget={"tokens": 200_000}))
    assert told.done.outputs.get("s0") == "it is so", told.done.failures
    assert [body["tool_choice"] for body in told.vendor.asked] == ["auto", "auto", "auto", "none"]


async def test_r16_a_model_that_calls_for_ever_ends_by_the_default_budget(world, play, flow) -> None:
    plays = wants(play, *[(f"word{number}",) for number in range(60)])
    async with world(*plays, plugins=[Desk(3000)]) as here:
        told = await here.run(flow({"tools": ["desk.look"], "max_turns": 50}))
    assert told.vendor.bill <= 20_000


async def test_f15_the_same_call_is_made_once(world, play, flow) -> None:
    desk = Desk()
    async with world(*wants(play, *[("price",)] * 20), plugins=[desk]) as here:
        told = await here.run(flow({**STEP, "max_turns": 20}, budget={"tokens": 200_000}))
    assert desk.asked == ["price"]
    assert len(told.vendor.asked) <= 9


async def test_x1_f16_results_are_counted_as_they_are_sent(world, play, flow) -> None:
    """50,000 characters, three times: each request's hold is at least its true input (a rule of every test here)."""
    plays = wants(play, ("a",), ("b",), ("c",), then=ANSWER)
    async with world(*plays, plugins=[Desk(50_000)]) as here:
        told = await here.run(flow(STEP, budget={"tokens": 200_000}))
    assert told.done.outputs.get("s0") == "it is so", told.done.failures
    assert told.vendor.bill <= 200_000


async def test_x2_b4_many_calls_of_one_turn_are_bounded_together(world, play, flow) -> None:
    desk = Desk(50_000)
    plays = wants(play, tuple(f"w{number}" for number in range(12)), then=ANSWER)
    async with world(*plays, plugins=[desk]) as here:
        told = await here.run(flow(STEP, budget={"tokens": 20_000}))
    assert told.done.outputs.get("s0") == "it is so", told.done.failures
    assert len(desk.asked) == 8, "each is counted before it starts; those beyond are refused one by one"
    assert len(told.vendor.asked) == 2


@pytest.mark.parametrize("finish", ["length", "tool_calls"])
async def test_x9_half_a_call_is_not_made(world, play, flow, finish) -> None:
    """Said to be cut or not: arguments that are half a JSON call nothing, and twice is enough."""
    desk = Desk()
    half = {**calls("price", written='{"word": "pri'), "finish": finish}
    async with world(play(**half), play(**half), play(**ANSWER), plugins=[desk]) as here:
        told = await here.run(flow({**STEP, "max_turns": 9}, budget={"tokens": 200_000}))
    assert not desk.asked
    assert told.done.outputs.get("s0") == "it is so", told.done.failures
    assert len(told.vendor.asked) == 3


async def test_b5_what_runs_out_ends_in_an_answer(world, play, flow) -> None:
    """The model is told what is left, and is asked for its answer while that can be paid for."""
    plays = [*wants(play, ("a",), ("b",)), play(**ANSWER)]
    async with world(*plays, plugins=[Desk(2000)]) as here:
        told = await here.run(flow({**STEP, "max_turns": 30}, budget={"tokens": 6000}))
    assert told.done.outputs.get("s0") == "it is so", told.done.failures
    assert "tokens left" in json.dumps(told.vendor.asked[1]["messages"][-1])
