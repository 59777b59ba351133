"""Which prompts are unlike those that something was learned from."""

import random

import pytest

from intendant.planning.novelty import Familiar, learn, words_of


def words(number: int, seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=12)) for _ in range(number)]


def test_the_share_of_words_that_no_known_prompt_has_is_told():
    familiar = learn(["alpha beta gamma", "delta epsilon"])
    assert familiar.unknown("Alpha, BETA; gamma? delta!") == 0.0
    assert familiar.unknown("alpha beta gamma zeta") == 0.25
    assert familiar.unknown("alpha theta iota zeta kappa") == 0.8
    assert familiar.unknown("theta iota zeta kappa") == 1.0
    assert familiar.unknown("alpha alpha alpha theta iota zeta") == 0.75


def test_a_prompt_of_less_than_four_words_is_like_any_other():
    familiar = Familiar(learn(["alpha beta gamma delta"]).bits, 0.5)
    assert familiar.unknown("theta iota zeta") == 0.0
    assert familiar.unknown("theta iota zeta 4711 a b") == 0.0
    assert not familiar.is_novel("")
    assert familiar.is_novel("theta iota zeta kappa")


def test_only_the_two_ends_of_a_long_prompt_are_read():
    left, middle, right = "left " * 32, "middle ", "right " * 26 + "end."
    assert (len(left), len(right)) == (160, 160)
    assert words_of(left + right) == {"left", "right", "end"}
    assert words_of(left + middle + right) == {"left", "right", "end"}
    assert words_of(f"left {middle}{'right ' * 51}") == {"left", "middle", "right"}


@pytest.mark.parametrize(
    ("number", "bits"),
    [
        (1, 4096),
        (512, 4096),
        (513, 8192),
        (2048, 16384),
        (16_385, 262_144),
        (32_769, 262_144),
    ],
)
def test_there_are_eight_bits_for_each_word_within_limits(number, bits):
    some = words(number)
    assert len(learn([" ".join(some[at : at + 8]) for at in range(0, number, 8)]).bits) * 8 == bits


def test_the_limit_is_just_above_what_the_known_prompts_would_be_told_of_each_other():
    shared, own = words(6, 2), words(400, 3)
    prompts = [" ".join([*shared[:2], *own[4 * at : 4 * at + 4]]) for at in range(100)]
    assert learn(prompts).limit == pytest.approx(4 / 6 + 0.05)
    alike = [" ".join([*shared, one]) for one in own]
    assert learn(alike).limit == 0.5
    assert learn([" ".join(own[4 * at : 4 * at + 4]) for at in range(100)]).limit == 1.0
    assert learn(["too short"]).limit == 1.0


def test_one_odd_prompt_of_two_hundred_does_not_raise_the_limit():
    shared, own = words(9, 4), words(800, 5)
    alike = [" ".join([*shared, one]) for one in own]
    odd = [f"{one} {two} {three} {four}" for one, two, three, four in zip(*[iter(words(20, 6))] * 4, strict=True)]
    assert learn([*alike[:799], odd[0]]).limit == 0.5
    assert learn([*alike[:100], odd[0]]).limit == 1.0


def test_a_prompt_is_novel_beyond_the_limit_and_not_at_it():
    familiar = learn(["alpha beta gamma delta"])
    assert familiar.limit == 1.0
    assert not familiar.is_novel("theta iota zeta kappa")
    half = Familiar(familiar.bits, 0.5)
    assert not half.is_novel("alpha beta iota zeta")
    assert half.is_novel("alpha beta iota zeta kappa")


def test_what_was_learned_is_written_and_read_again():
    familiar = learn(["alpha beta gamma delta"])
    assert Familiar.read(Familiar(familiar.bits, 0.56789).document()) == Familiar(familiar.bits, 0.5679)
