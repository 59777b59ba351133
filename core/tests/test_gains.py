"""What a stronger model adds, told from a prompt, and the curve of what calls of it close; worked out by hand."""

import math

import pytest

from intendant.planning.gains import Gains, curve, learn, terms
from intendant.planning.novelty import Familiar
from intendant.planning.policies import Choice, Policy

GAINS = Gains(
    "weak", "strong", 0.1, {"x": 0.2}, {"prove": 0.3, "the": -0.1, "prove the": 0.4, "tiny": 0.0019}, 0.3
)


def test_terms_are_words_signs_pairs_and_how_long_it_is():
    assert terms("Prove 1+1=2, prove") == [
        *("prove", "1", "+", "=", "2"),
        *("prove 1", "1 +", "+ 1", "1 =", "= 2", "2 prove"),
        "#words 6",  # 7 words: twice the binary logarithm of 8
    ]
    assert terms("") == ["#words 0"]
    assert terms("a" * 30)[0] == "a" * 24
    assert terms("one two three")[-1] == "#words 4"


def test_of_a_long_prompt_both_ends_are_read():
    left, right = "left " * 300, "right " * 250
    assert "middle" in terms(f"{left[:-10]}middle {right}")
    long = terms(f"{left}middle {right}")
    assert "middle" not in long
    assert {"left", "right", "left right"} <= set(long)


def test_the_gain_is_that_of_the_intent_and_of_its_words_by_the_root_of_their_number():
    assert GAINS.expected("x", "prove the lemma") == pytest.approx(0.2 + 0.6 / math.sqrt(3))
    assert GAINS.expected("y", "the") == pytest.approx(0.1 - 0.1)
    assert GAINS.expected("x", "nothing known") == 0.2


def test_the_terms_that_count_most_come_first_with_what_each_adds():
    root = math.sqrt(3)
    found = GAINS.reasons("x", "prove the")
    assert [name for name, _ in found] == ["prove the", "intent x", "prove", "the"]
    assert [value for _, value in found] == pytest.approx([0.4 / root, 0.2, 0.3 / root, -0.1 / root])
    assert GAINS.reasons("y", "unknown") == [("intent y", 0.1)]
    assert len(GAINS.reasons("x", "prove the", most=2)) == 2


def test_gains_are_written_rounded_without_words_that_say_nothing():
    made = Gains(
        "w", "s", 0.123456789, {"b": 0.123456, "a": 0.1}, {"z": 0.0021, "y": -0.12345, "x": 0.0019}, 0.7654321
    )
    assert made.document() == {
        "weak": "w",
        "strong": "s",
        "mean": 0.12346,
        "enough": 0.76543,
        "intents": {"a": 0.1, "b": 0.1235},
        "words": {"y": -0.123, "z": 0.002},
    }
    assert Gains.read(GAINS.document()) == Gains(
        "weak", "strong", 0.1, {"x": 0.2}, {"prove": 0.3, "the": -0.1, "prove the": 0.4}, 0.3
    )


def test_the_mean_of_an_intent_with_few_rows_is_near_that_of_all():
    learned = learn([("x", "a", 1.0), ("x", "b", 0.5), ("y", "c", 0.0)], "w", "s")
    assert (learned.weak, learned.strong, learned.mean, learned.enough) == ("w", "s", 0.5, 0.0)
    assert learned.intents == {"x": (1.5 + 12 * 0.5) / 14, "y": (0.0 + 12 * 0.5) / 13}
    assert learned.words == {}, "no word is in four prompts"


def test_words_are_learned_by_descent_with_steps_of_their_own():
    """One word, four equal rows, two rounds: each step is 0.05 of the slope by the root of all squared slopes."""
    learned = learn([("x", "ab", 0.0)] * 3 + [("x", "ab", 1.0)], "w", "s")
    assert set(learned.words) == {"ab", "#words 2"}
    value, squares, share = 0.0, 1.0, 1 / math.sqrt(2)
    for gain in (0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0):  # each row once a round
        slope = (0.25 + share * 2 * value - gain) * share + 2e-4 * value
        squares += slope * slope
        value -= 0.05 * slope / math.sqrt(squares)
    assert learned.words["ab"] == learned.words["#words 2"]
    assert learned.words["ab"] == pytest.approx(value, abs=0.01)
    assert abs(learned.words["ab"]) > 1e-4


def test_every_row_counts_alike_wherever_it_stands():
    for size in (5, 8, 13, 40):
        for odd in range(size):
            rows = [("x", f"word{place} word{place} here", float(place == odd)) for place in range(size)]
            value = learn([*rows], "w", "s").words["here"]
            assert abs(value) < 0.1


def test_a_word_that_tells_is_found_in_few_rounds():
    rows = [("x", "hard one" if place % 4 == 0 else "easy one", float(place % 4 == 0)) for place in range(400)]
    learned = learn(rows, "w", "s")
    assert learned.words["hard"] > 0.3
    assert learned.words["easy"] < -0.1
    assert abs(learned.words["one"]) < 0.25
    assert learned.expected("x", "hard one") > 0.75
    assert learned.expected("x", "easy one") < 0.1


def test_the_curve_closes_the_gap_in_the_order_of_what_is_expected():
    area, points = curve([0.1, 0.9, 0.5, 0.9], [0.0, 1.0, 1.0, 0.0])
    assert points == [(0.0, 0.0), (0.25, 0.5), (0.5, 0.5), (0.75, 1.0), (1.0, 1.0)]
    assert area == pytest.approx((0.25 + 0.5 + 0.75 + 1.0) / 4)
    assert curve([1, 2], [1.0, -1.0]) == (0.0, [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0)])
    worst, _ = curve([1, 2], [3.0, 1.0])
    assert worst == pytest.approx((0.25 / 2 + 1.25 / 2) / 2)


# --- what a policy makes of them ---

POLICY = Policy(
    {"x": (Choice(("weak",)), Choice(("other",)))},
    (Choice(("a", "b"), "c"), Choice(("other",))),
    {"": "strong"},
    gains=GAINS,
)


def test_the_strong_model_is_asked_where_it_is_expected_to_add_enough():
    both = {"weak", "strong"}
    asked = POLICY.decide("x", "prove the lemma", both)
    assert asked.choice == Choice(("strong",))
    assert asked.scores == {"strong": pytest.approx(0.2 + 0.6 / math.sqrt(3)), "weak": 0.0}
    assert asked.reason == "strong is expected to add +0.546"
    assert POLICY.decide("x", "nothing", both).choice == Choice(("weak",))
    exactly = Policy(POLICY.intents, (), {}, gains=Gains("weak", "strong", 0.1, {"x": 0.3}, {}, 0.3))
    assert exactly.decide("x", "", both).choice == Choice(("weak",)), "enough is not more than enough"


def test_without_both_models_the_first_choice_counts_that_is_there():
    assert POLICY.decide("x", "prove the", {"weak", "other"}).choice == Choice(("weak",))
    assert POLICY.decide("x", "prove the", {"strong", "other"}).reason == "the policy asks other for 'x'"
    none = POLICY.decide("x", "prove the", {"strong"})
    assert (none.choice, none.reason, none.novel) == (None, "its models are not there", False)


def test_what_a_policy_does_not_know_it_leaves_to_others():
    unknown = POLICY.decide("y", "prove the", {"weak", "strong"})
    assert (unknown.choice, unknown.novel) == (None, True)
    assert unknown.reason == "the policy knows nothing of 'y'"
    careful = Policy(POLICY.intents, (), {}, gains=GAINS, familiar=Familiar(bytes(512), 0.5))
    unlike = careful.decide("x", "four words nobody knows", {"weak", "strong"})
    assert (unlike.choice, unlike.novel) == (None, True)
    assert unlike.reason == "the prompt is unlike those that the policy knows"
    assert careful.decide("x", "short", {"weak", "strong"}).choice == Choice(("weak",))


def test_a_decision_comes_out_the_same_from_what_was_expected_then():
    assert POLICY.again("x", {"strong": 0.31, "weak": 0.0}) == Choice(("strong",))
    assert POLICY.again("x", {"strong": 0.3, "weak": 0.0}) == Choice(("weak",))
    assert POLICY.again("x", {"strong": 0.0, "weak": 0.0}) == Choice(("weak",))
    assert POLICY.again("x", {"strong": None, "other": None}) == Choice(("other",))
    assert POLICY.again("y", {"strong": 1.0}) is None


def test_the_usual_choice_is_the_first_whose_models_are_all_there():
    assert POLICY.usual({"a", "b", "c", "other"}) == Choice(("a", "b"), "c")
    assert POLICY.usual({"a", "b", "other"}) == Choice(("other",))
    assert POLICY.usual({"a", "b"}) is None
    assert POLICY.choice("y", {"other"}) == Choice(("other",))
    assert POLICY.models == ("weak", "other", "a", "b", "c", "strong")


def test_an_intent_has_its_baseline_or_that_of_all():
    assert POLICY.baseline_of("x") == "strong"
    assert Policy({}, (), {"x": "m", "": "n"}).baseline_of("x") == "m"
    assert Policy({}, (), {"x": "m"}).baseline_of("y") == ""


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice(("a",)), "a"),
        (Choice(("a", "b"), "c"), "a = b, else c"),
        (Choice(("a", "b", "d"), "c"), "2 of a = b = d, else c"),
        (Choice(("a", "b", "d"), "c", 3), "a = b = d, else c"),
        (Choice(("a",), "c", 1, ("json", "number")), "a if json/number, else c"),
    ],
)
def test_a_choice_is_told_as_people_read_it(choice, said):
    assert str(choice) == said


def test_a_choice_keeps_what_it_is_under_other_names():
    renamed = Choice(("a", "b"), "c", 1, ("json",)).renamed({"a": "A", "b": "B", "c": "C"})
    assert renamed == Choice(("A", "B"), "C", 1, ("json",))
