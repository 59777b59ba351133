"""What a turn of a step with tools may take, worked out by hand for a tokenizer of four characters a token."""

import pytest

from intendant.model.requests import Message, ModelRequest
from intendant.model.results import Route
from intendant.pilot.turn_sizes import (
    Charged,
    ResultRoom,
    Size,
    admits_another,
    answer_tokens,
    cut_to,
    fitted_result,
    longest_turn,
    next_size,
    result_room,
)
from intendant.spending.tokens import estimate_tokens

TEN = "pump " * 10
"""Eleven tokens by estimate: ten words, and 5 %."""


class Asker:
    """Counts a token for four characters, holds twice as much, and compresses to half."""

    generation = 0

    def __init__(self, room=None, longest=1000, route=True) -> None:
        self.room = room
        made = Route(tier="t", provider="p", model="m", max_output_tokens=longest, reason="r")
        self.route = made if route else None
        self.targets: list[int] = []

    def input_tokens(self, request):
        return 2 * self.count("".join(turn.content for turn in request.messages))

    async def held_tokens(self, request):
        return self.input_tokens(request)

    def count(self, text):
        return len(text) // 4

    async def send(self, request, on_text):
        raise NotImplementedError

    async def fit_to(self, text, target):
        self.targets.append(target)
        return text[: len(text) // 2] if self.count(text) > target else text


def asked(*texts, longest=None) -> ModelRequest:
    return ModelRequest(messages=tuple(Message(content=text) for text in texts), max_output_tokens=longest)


@pytest.mark.parametrize(
    ("wanted", "longest", "least", "most"),
    [
        (None, 1000, 250, 1000),
        (400, 1000, 100, 400),
        (5000, 1000, 250, 1000),
        (40, 1000, 16, 40),
        (None, 8, 16, 8),
    ],
)
def test_the_shortest_useful_answer_is_a_quarter_of_the_longest(wanted, longest, least, most) -> None:
    assert answer_tokens(Asker(longest=longest), asked("x", longest=wanted)) == (least, most)


def test_without_a_model_only_the_shortest_answer_is_known() -> None:
    assert answer_tokens(Asker(route=False), asked("x")) == (16, 16)
    assert longest_turn(Asker(route=False), asked("x"), Size(1, 1)) == 16


async def test_of_the_next_turn_what_is_new_is_estimated_with_a_margin() -> None:
    request = asked(TEN, TEN, TEN * 10)
    assert (await next_size(Asker(), request, Charged(30, 2, 2.0))).likely == 30 + int(
        1.25 * 2 * estimate_tokens(TEN * 10)
    )
    held = await next_size(Asker(), request, Charged(10_000, 2))
    assert held == Size(2 * 600 // 4, 300), "no more than is held"


def test_what_was_charged_tells_how_far_the_estimate_was_off() -> None:
    request = asked(TEN, TEN)
    likely = estimate_tokens(f"{TEN}\n{TEN}\n\n[]")
    assert Charged.of(request, 3 * likely) == Charged(3 * likely, 2, 3.0)
    assert Charged.of(request, 1).factor == 1.0
    assert Charged.of(request, 1000 * likely).factor == 8.0


@pytest.mark.parametrize(("room", "admitted"), [(None, True), (1099, False), (1100, True)])
def test_another_turn_must_leave_an_answer(room, admitted) -> None:
    """300 likely and 200 held, an answer of 250, another of that, and 100 to spare."""
    assert admits_another(Asker(room), asked("x"), Size(200, 300)) is admitted


@pytest.mark.parametrize(("room", "admitted"), [(659, False), (660, True)])
def test_a_turn_that_calls_takes_a_hundred_tokens_at_least(room, admitted) -> None:
    """The shortest answer is 10 tokens, which stands for 16."""
    assert admits_another(Asker(room), asked("x", longest=40), Size(200, 244)) is admitted


@pytest.mark.parametrize(("room", "longest"), [(None, 1000), (10_000, 1000), (1450, 600), (1000, 250), (0, 250)])
def test_a_turn_may_write_what_an_answer_after_it_leaves(room, longest) -> None:
    """Of the room, 300 likely and 200 held, an answer of 250, and 100 to spare are taken."""
    assert longest_turn(Asker(room), asked("x"), Size(200, 300)) == longest


def test_a_turn_may_always_write_a_call() -> None:
    assert longest_turn(Asker(0), asked("x", longest=40), Size(200, 300)) == 100
    assert longest_turn(Asker(0, longest=60), asked("x"), Size(200, 300)) == 60


SAID = Message(content=TEN, role="assistant")
"""50 characters: 24 tokens more are held (12, twice), and 11 are likely."""


def room_of(room, *, calls=1, later=1, charged=None, size=None, longest=None) -> ResultRoom:
    used = charged or Charged(100, 1, 1.0)
    return result_room(
        Asker(room), asked(TEN * 4, longest=longest), size or Size(200, 150), used, SAID, calls, later
    )


def test_results_have_no_limit_but_their_own_where_there_is_no_budget() -> None:
    assert room_of(None, calls=3) == ResultRoom(1 << 40, 24_000)


def test_results_share_what_turns_leave_evenly() -> None:
    """Of 5000, an answer of 250 and 100 to spare are taken: 4650 for two turns, each of which sends 111 again."""
    assert room_of(5000).likely == 4650 // 2 - 111
    assert room_of(5000, later=0).likely == 4650 - 111
    assert room_of(5000, later=4).likely == 4650 // 5 - 111
    assert room_of(5000, charged=Charged(100, 1, 2.0)).likely == (4650 // 2 - 100 - 22) // 2
    assert room_of(5000, charged=Charged(100, 1, 3.0)).likely == (4650 // 2 - 100 - 24) // 3
    assert room_of(5000, charged=Charged()).likely == 4650 // 2 - 150 - 11


def test_what_is_held_for_results_is_what_the_answer_leaves() -> None:
    assert room_of(5000).held == 5000 - 200 - 24 - 250 - 100
    assert room_of(400).held == 0


def test_results_have_four_hundred_tokens_each_in_any_case_and_eight_thousand_at_most() -> None:
    assert room_of(1000, calls=2).likely == 800
    assert room_of(1_000_000, calls=2).likely == 16_000
    assert room_of(0, calls=0).likely == 0


def test_room_is_shared_and_used_up() -> None:
    assert ResultRoom(100, 51).part(2) == ResultRoom(50, 25)
    left = ResultRoom(100, 51).without(TEN, Asker())
    assert left == ResultRoom(100 - 12, 51 - int(1.25 * 11))
    assert ResultRoom(5, 5).without(TEN, Asker()) == ResultRoom(0, 0)


async def test_a_result_is_compressed_and_then_cut_to_its_room() -> None:
    text = "pump " * 400  # 500 tokens counted, 421 estimated
    asker = Asker()
    assert await fitted_result(asker, text, ResultRoom(10_000, 500)) == text
    fitted = await fitted_result(asker, text, ResultRoom(10_000, 100))
    assert asker.count(fitted) <= int(100 * 500 / estimate_tokens(text))
    assert "characters left out" in fitted
    await fitted_result(asker, text, ResultRoom(60, 100))
    assert asker.targets == [int(500 * 500 / estimate_tokens(text)), int(100 * 500 / estimate_tokens(text)), 60]


async def test_of_an_endless_result_a_million_characters_are_looked_at() -> None:
    asker = Asker()
    assert len(await fitted_result(asker, "x" * 1_000_005, ResultRoom(1 << 40, 1 << 40))) == 1_000_000


DIGITS = "0123456789" * 10


@pytest.mark.parametrize(
    ("room", "kept"),
    [
        (100, DIGITS),
        (99, f"{DIGITS[:46]}\n[… 31 characters left out …]\n{DIGITS[-23:]}"),
        (60, f"{DIGITS[:20]}\n[… 70 characters left out …]\n{DIGITS[-10:]}"),
        (35, f"{DIGITS[:4]}\n[… 95 characters left out …]\n{DIGITS[-1:]}"),
        (31, f"{DIGITS[:1]}\n[… 99 characters left out …]\n"),
        (30, ""),
    ],
)
def test_a_cut_keeps_two_thirds_of_the_room_before_it_and_a_third_after_it(room, kept) -> None:
    assert cut_to(DIGITS, room, len) == kept
