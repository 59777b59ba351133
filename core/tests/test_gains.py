"""What a stronger model adds, told from a prompt, and the curve of what calls of it close; worked out by hand."""

import math
from dataclasses import replace

import pytest

from intendant.planning.gains import Gains, Odds, Seen, Term, curve, learn, terms
from intendant.planning.novelty import Familiar
from intendant.planning.policies import Choice, Policy

EVEN = Odds(0.0, 0.0)
GAINS = Gains(
    "weak",
    "strong",
    0.1,
    Odds(0.4, 0.0),
    {"x": Odds(1.0, 0.2)},
    {"prove": Term(4.0, 0.6, -0.2), "the": Term(1.0, -0.1, 0.1), "prove the": Term(4.0, 0.8, 0.0)},
    0.3,
)


def share(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


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


def test_the_gain_is_how_much_likelier_the_strong_model_is_right():
    assert GAINS.expected("x", "prove the lemma") == pytest.approx(
        share(1.0 + 1.3 / 3) - share(0.2 - 0.1 / 3)  # the root of 4 + 1 + 4
    )
    assert GAINS.expected("y", "the") == pytest.approx(share(0.4 - 0.1) - share(0.1))
    assert GAINS.expected("x", "nothing known") == pytest.approx(share(1.0) - share(0.2))


def test_the_terms_that_count_most_come_first_with_what_each_adds_to_the_gain():
    odds = (1.0 + 1.3 / 3, 0.2 - 0.1 / 3)
    strong, weak = (share(each) * (1 - share(each)) for each in odds)
    found = dict(GAINS.reasons("x", "prove the"))
    assert found == {
        "prove the": pytest.approx(0.8 / 3 * strong),
        "intent x": pytest.approx(share(1.0) - share(0.2)),
        "prove": pytest.approx((0.6 * strong + 0.2 * weak) / 3),
        "the": pytest.approx(-0.1 / 3 * strong - 0.1 / 3 * weak),
    }
    sizes = [abs(value) for value in found.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert GAINS.reasons("y", "unknown") == [("intent y", pytest.approx(share(0.4) - 0.5))]
    assert len(GAINS.reasons("x", "prove the", most=2)) == 2


def test_what_a_term_adds_is_near_what_goes_without_it():
    rows = [Seen("x", f"{'hard' if place % 2 else 'easy'} one", 0.9, 0.9 - place % 2 / 2) for place in range(200)]
    made = learn(rows, "w", "s")
    without = Gains(
        made.weak,
        made.strong,
        made.mean,
        made.usual,
        made.intents,
        {**made.words, "hard": Term(made.words["hard"].square, 0.0, 0.0)},
    )
    added = dict(made.reasons("x", "hard one"))["hard"]
    assert added == pytest.approx(made.expected("x", "hard one") - without.expected("x", "hard one"), rel=0.3)
    assert added > 0.02


def test_gains_are_written_rounded_and_read_as_they_were():
    made = Gains(
        "w", "s", 0.123456789, EVEN, {"b": Odds(0.123456, 1), "a": EVEN}, {"z": Term(2.00049, 0.1, 0)}, 0.75
    )
    assert made.document() == {
        "weak": "w",
        "strong": "s",
        "mean": 0.12346,
        "enough": 0.75,
        "usual": [0.0, 0.0],
        "intents": {"a": [0.0, 0.0], "b": [0.1235, 1]},
        "words": {"z": [2.0, 0.1, 0]},
    }
    assert Gains.read(GAINS.document()) == GAINS


def odds(value: float) -> float:
    return math.log(value / (1 - value))


def test_the_odds_of_an_intent_with_few_rows_are_near_those_of_all():
    learned = learn([Seen("x", "a", 1.0, 0.5), Seen("x", "b", 0.5, 0.5), Seen("y", "c", 0.0, 0.5)], "w", "s")
    assert (learned.weak, learned.strong, learned.mean, learned.enough) == ("w", "s", 0.0, 0.0)
    assert learned.usual == EVEN
    assert learned.intents["x"].strong == pytest.approx(odds((1.5 + 12 * 0.5) / 14))
    assert learned.intents["y"].strong == pytest.approx(odds((0.0 + 12 * 0.5) / 13))
    assert {each.weak for each in learned.intents.values()} == {0.0}
    assert learned.words == {}, "no word is in four prompts"


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_what_was_always_so_is_nearly_certain(score):
    learned = learn([Seen("x", "word", score, 0.5)] * 500, "w", "s")
    assert learned.usual.strong == pytest.approx(odds(0.98 if score else 0.02))
    assert abs(learned.expected("x", "word") - (score - 0.5)) < 0.05


def test_words_are_learned_by_descent_with_steps_of_their_own():
    """Two terms in all of four equal rows: each step is 0.2 of the slope by the root of all squared slopes."""
    learned = learn([Seen("x", "ab", 0.0, 0.5)] * 3 + [Seen("x", "ab", 1.0, 0.5)], "w", "s")
    assert set(learned.words) == {"ab", "#words 2"}
    assert learned.words["ab"] == learned.words["#words 2"]
    assert (learned.words["ab"].square, learned.words["ab"].weak) == (1.0, 0.0)
    value, squares, part, usual = 0.0, 1.0, 1 / math.sqrt(2), odds(0.25)
    for score in (0.0, 1.0, 0.0, 0.0) * 3:  # each row once a round; their order makes little difference
        slope = (share(usual + part * 2 * value) - score) * part + 2e-4 * value
        squares += slope * slope
        value -= 0.2 * slope / math.sqrt(squares)
    assert learned.words["ab"].strong == pytest.approx(value, abs=0.05)


def test_a_seldom_word_weighs_more_by_the_log_of_how_seldom_it_is():
    rows = [Seen("x", "often seldom" if place < 4 else "often", 1.0, 0.5) for place in range(99)]
    words = learn(rows, "w", "s").words
    assert words["often"].square == pytest.approx(1.0)
    assert words["seldom"].square == pytest.approx((math.log(100 / 5) + 1) ** 2)


def test_every_row_counts_alike_wherever_it_stands():
    for size in (5, 8, 13, 40):
        found = []
        for odd in range(size):
            rows = [Seen("x", f"word{place} word{place} here", float(place == odd), 0.5) for place in range(size)]
            found.append(learn(rows, "w", "s").words["here"].strong)
        assert max(found) - min(found) < 0.15


def test_a_word_that_tells_is_found_in_few_rounds():
    hard = [place % 4 == 0 for place in range(400)]
    rows = [Seen("x", "hard one" if each else "easy one", 1.0, 0.0 if each else 1.0) for each in hard]
    learned = learn(rows, "w", "s")
    assert learned.words["hard"].weak < -1
    assert learned.words["easy"].weak > 0.5
    assert abs(learned.words["one"].weak) < 0.4
    assert learned.expected("x", "hard one") > 0.6
    assert learned.expected("x", "easy one") < 0.2


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
    eager = replace(POLICY, gains=replace(GAINS, enough=0.25))
    asked = eager.decide("x", "prove the lemma", both)
    assert asked.choice == Choice(("strong",))
    assert asked.scores == {"strong": pytest.approx(GAINS.expected("x", "prove the lemma")), "weak": 0.0}
    assert asked.reason == "strong is expected to add +0.266"
    assert POLICY.decide("x", "nothing", both).choice == Choice(("weak",))
    exactly = Policy(POLICY.intents, (), {}, gains=Gains("weak", "strong", 0.1, EVEN, {"x": EVEN}, {}, 0.0))
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
