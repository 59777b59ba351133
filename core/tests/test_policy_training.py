"""What is learned from outcomes, on rows whose best policy can be worked out by hand or by trying all."""

import math
import random
from itertools import product

import pytest

from intendant.planning.outcomes import Outcome, OutcomeRow
from intendant.planning.policies import Choice, Policy
from intendant.planning.policy_replay import decisions, gain_curve, report
from intendant.planning.policy_training import (
    _agreements,
    _flattery,
    _fold,
    _lost_less,
    _Option,
    _picked,
    _Sums,
    baselines,
    dominated,
    train,
)


def row(place: int, intent: str = "x", **outcomes: tuple) -> OutcomeRow:
    """A row; outcomes are score, cost and answer."""
    return OutcomeRow(
        f"r{place}", intent, f"prompt {place}", {name: Outcome(*said) for name, said in outcomes.items()}
    )


# --- baselines ---


def test_the_baseline_is_the_best_model_then_the_cheapest_then_by_name():
    assert baselines([row(1, a=(1.0, 5.0), b=(0.0, 1.0)), row(2, a=(0.0, 5.0), b=(0.9, 1.0))]) == {"": "a"}
    assert baselines([row(1, a=(1.0, 5.0), b=(1.0, 1.0))]) == {"": "b"}
    assert baselines([row(1, a=(1.0, 1.0), b=(1.0, 1.0))]) == {"": "b"}


def test_a_model_that_lacks_one_row_of_a_hundred_counts_as_having_all():
    rows = [row(n, a=(0.5, 1.0), b=(1.0, 1.0)) for n in range(99)]
    assert baselines([*rows, row(99, a=(0.5, 1.0))]) == {"": "b"}
    assert baselines([*rows[:-1], row(98, a=(0.5, 1.0)), row(99, a=(0.5, 1.0))]) == {"": "a"}


def test_by_intent_a_model_must_have_half_of_the_rows():
    half = [row(1, "x", a=(0.2, 1.0)), row(2, "x", a=(0.2, 1.0), b=(1.0, 1.0)), row(3, "y", c=(1.0, 1.0))]
    assert baselines(half) == {"x": "b", "y": "c"}
    assert baselines([row(0, "x", a=(0.2, 1.0)), *half]) == {"x": "a", "y": "c"}
    few = [row(1, "x", a=(0.2, 1.0)), row(2, "x", b=(0.9, 1.0)), row(3, "x", c=(0.5, 1.0)), row(4, "y", d=(1, 1))]
    assert baselines(few)["x"] == "b", "where none has half, all count"


# --- domination ---


def test_a_model_that_is_worse_and_dearer_is_dominated():
    rows = [row(n, good=(1.0, 1.0), bad=(0.5, 2.0), cheap=(0.1, 0.1)) for n in range(20)]
    assert dominated({"x": rows}) == {"bad": "good"}


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([row(n, a=(1.0, 1.0), b=(1.0, 2.0)) for n in range(20)], {}),  # not better
        ([row(n, a=(1.0, 1.0), b=(0.5, 1.0)) for n in range(20)], {}),  # not cheaper
        ([row(n, a=(1.0, 1.0), b=(0.5, 2.0)) if n < 4 else row(n, b=(0.5, 2.0)) for n in range(20)], {"b": "a"}),
        ([row(n, a=(1.0, 1.0), b=(0.5, 2.0)) if n < 3 else row(n, b=(0.5, 2.0)) for n in range(20)], {}),
    ],
)
def test_domination_is_by_quality_and_cost_over_a_fifth_of_the_rows(rows, found):
    assert dominated({"x": rows}) == found


@pytest.mark.parametrize(("worse", "found"), [(9, {"b": "a"}), (10, {})])
def test_a_model_that_is_worse_in_an_intent_with_ten_rows_dominates_nothing(worse, found):
    rows = [row(n, "x", a=(1.0, 1.0), b=(0.0, 2.0)) for n in range(30)]
    other = [row(n, "y", a=(0.5, 1.0), b=(1.0, 2.0)) for n in range(worse)]
    assert dominated({"x": rows, "y": other}) == found


# --- the choice of choices ---


def test_what_is_picked_costs_least_of_all_that_lose_no_more_than_allowed():
    draw = random.Random(5)
    for _ in range(60):
        options = {}
        for intent in range(draw.randrange(1, 4)):
            losses = sorted(draw.sample(range(12), draw.randrange(1, 5)))
            costs = sorted(draw.sample(range(50), len(losses)), reverse=True)
            options[str(intent)] = [
                _Option(Choice((f"m{place}",)), float(loss), float(cost))
                for place, (loss, cost) in enumerate(zip(losses, costs, strict=True))
            ]
        least = sum(found[0].loss for found in options.values())
        allowed = least + draw.choice([0, 4, 8, 16])
        picked = _picked(options, allowed)
        chosen = [
            next(each for each in options[intent] if each.choice == choice) for intent, choice in picked.items()
        ]
        assert set(picked) == set(options)
        assert sum(each.loss for each in chosen) <= allowed + 0.01
        ways = [way for way in product(*options.values()) if sum(each.loss for each in way) <= allowed]
        assert sum(each.cost for each in chosen) == min(sum(each.cost for each in way) for way in ways)


def test_where_nothing_may_be_lost_the_least_loss_is_picked():
    options = {"x": [_Option(Choice(("a",)), 3.0, 9.0), _Option(Choice(("b",)), 4.0, 1.0)]}
    assert _picked(options, 2.0) == _picked(options, 3.0) == {"x": Choice(("a",))}
    assert _picked(options, 4.0) == {"x": Choice(("b",))}


# --- training ---


def equal_rows(number: int, **outcomes: tuple) -> list[OutcomeRow]:
    return [row(n, **outcomes) for n in range(number)]


def test_a_cheap_model_is_chosen_if_what_it_loses_is_allowed_and_no_further():
    rows = equal_rows(100, good=(1.0, 4.0), cheap=(0.9, 1.0))
    assert train(rows, 0.11).intents["x"] == [Choice(("cheap",)), Choice(("good",))]
    assert train(rows, 0.05).intents["x"] == [Choice(("good",)), Choice(("cheap",))]
    figures = train(rows, 0.2).figures
    assert (figures["loss"], figures["saved"], figures["most_lost"]) == (0.1, 0.75, 0.1)
    assert (figures["rows"], figures["max_loss"], figures["dominated"]) == (100, 0.2, {})


def test_a_choice_is_reckoned_with_the_upper_bound_of_its_loss():
    assert _Sums(40, 4.0, 0.4).doubted() == pytest.approx(0.1 + 1.645 * math.sqrt(0.09 / 41 / 40)), (
        "all lost alike"
    )
    assert _Sums(4, 1.0, 1.0).doubted() == pytest.approx(0.25 + 1.645 * math.sqrt((0.75 + 0.09) / 5 / 4))
    assert _Sums(1, 0.0, 0.0).doubted() == pytest.approx(1.645 * math.sqrt(0.045))
    assert _Sums().doubted() == 0.3


def test_the_same_mean_loss_is_trusted_on_many_rows_and_not_on_few():
    for number, chosen in ((400, "cheap"), (4, "good")):
        rows = equal_rows(number, good=(1.0, 4.0), cheap=(0.9, 1.0))
        assert train(rows, 0.1).intents["x"][0] == Choice((chosen,))


def test_no_more_is_lost_on_rows_left_out_than_is_allowed_and_a_standard_error():
    assert _lost_less({"loss": 0.02, "most_lost": 0.02 + 1.645 * 0.004}) == pytest.approx(0.016)
    rows = equal_rows(400, good=(1.0, 4.0), cheap=(0.9, 1.0))
    assert train(rows, 0.0999).intents["x"][0] == Choice(("good",)), (
        "no row differs from another: there is no error"
    )


def test_the_most_that_is_lost_is_by_the_spread_of_the_rows():
    rows = [row(n, good=(1.0, 4.0), cheap=(float(n % 10 > 0), 1.0)) for n in range(200)]
    figures = train(rows, 0.2).figures
    assert figures["loss"] == 0.1
    assert figures["most_lost"] == round(0.1 + 1.645 * math.sqrt(0.09 / 200), 5)
    assert figures["saved"] == 0.75


def test_each_intent_gets_a_choice_of_its_own_and_the_loss_is_spent_where_it_saves_most():
    rows = [row(n, "x", good=(1.0, 4.0), cheap=(0.8, 1.0)) for n in range(100)]
    rows += [row(n + 100, "y", good=(1.0, 40.0), cheap=(0.8, 1.0)) for n in range(100)]
    policy = train(rows, 0.11)
    assert (policy.intents["x"][0], policy.intents["y"][0]) == (Choice(("good",)), Choice(("cheap",)))


def test_the_default_is_the_baseline_and_then_models_by_score_and_by_how_many_rows_they_have():
    rows = [row(n, a=(0.9, 4.0), b=(0.8, 1.0)) for n in range(60)]
    rows += [row(n + 60, a=(0.9, 4.0), b=(0.8, 1.0), c=(1.0, 1.0)) for n in range(20)]
    rows += [row(n + 80, a=(0.9, 4.0), b=(0.8, 1.0), d=(0.6, 1.0)) for n in range(20)]
    assert [choice.ask[0] for choice in train(rows, 0.0).default] == ["a", "b", "c", "d"]
    most = [row(n, a=(0.5, 1.0), c=(1.0, 1.0)) for n in range(60)] + [row(n + 60, a=(0.5, 1.0)) for n in range(40)]
    assert [choice.ask[0] for choice in train(most, 0.0).default] == ["a", "c"]


def test_a_cheap_answer_counts_where_its_form_is_right():
    """The cheap model answers a number or not at all: only then the good one is asked too."""
    rows = [
        row(n, good=(1.0, 10.0, str(n)), cheap=(1.0, 1.0, str(n)) if n % 4 else (0.0, 1.0, "I cannot say"))
        for n in range(200)
    ]
    policy = train(rows, 0.01)
    assert policy.intents["x"][0] == Choice(("cheap",), "good", 1, ("number",))
    assert policy.figures["loss"] == 0.0
    assert policy.figures["saved"] == round(1 - (1 + 0.25 * 10) / 10, 5)


def test_a_form_that_one_right_answer_in_ten_has_is_one_of_theirs():
    def rows(words):
        return [
            row(
                n,
                good=(1.0, 10.0, "in words" if n % 20 < words else str(n)),
                cheap=(0.0, 1.0, "not so") if n % 2 else (1.0, 1.0, str(n)),
            )
            for n in range(200)
        ]

    first = [train(rows(words), 0.01).intents["x"][0] for words in (1, 2)]
    assert first[0] == Choice(("cheap",), "good", 1, ("number",))
    assert first[1] == Choice(("good",)), "where words are right too, numbers tell nothing"


def test_what_luck_the_best_model_had_is_measured_on_the_rows_that_it_was_not_chosen_by():
    """Without the first fold `a` is the best, and loses 5 there; without each other one `b` is, and loses 1 there."""
    values = {
        Choice(("a",)): [_Sums(10, 5.0), *[_Sums(10, 0.0)] * 4],
        Choice(("b",)): [_Sums(10, 1.0)] * 5,
        Choice(("a", "b"), "c"): [_Sums(10, -1.0)] * 5,
        Choice(("d",)): [_Sums()] * 5,
    }
    assert _flattery({"x": values}) == (5 + 4 * 1) / 50
    assert _flattery({"x": values, "y": {Choice(("a",)): [_Sums(10, 0.0)] * 5}}) == 9 / 100
    assert _flattery({}) == 0.0


def test_two_models_without_costs_have_gains_and_others_have_none():
    free = equal_rows(10, weak=(0.5, 0.0), strong=(0.75, 0.0))
    gains = train(free, 0.0).gains
    assert gains is not None
    assert (gains.weak, gains.strong, gains.mean) == ("weak", "strong", 0.25)
    assert train(equal_rows(10, weak=(0.5, 0.0), strong=(0.75, 1.0)), 0.0).gains is None
    assert train(equal_rows(10, a=(0.5, 0.0), b=(0.7, 0.0), c=(0.8, 0.0)), 0.0).gains is None
    apart = [row(1, weak=(0.5, 0.0)), row(2, strong=(0.75, 0.0))]
    assert train(apart, 0.0).gains is None


def test_a_prompt_is_in_one_of_five_folds_and_always_in_the_same():
    folds = [_fold(row(n)) for n in range(500)]
    assert set(folds) == {0, 1, 2, 3, 4}
    assert all(70 < folds.count(fold) < 130 for fold in range(5))
    assert _fold(row(7, "x")) == _fold(row(7, "y", a=(1, 1)))


# --- replay ---


def test_a_replay_compares_with_the_baseline_and_counts_calls():
    policy = Policy({"x": (Choice(("cheap",), "good", 1, ("number",)),)}, (), {"": "good"})
    rows = [row(n, good=(1.0, 10.0, "7"), cheap=(1.0, 1.0, "7") if n else (0.5, 1.0, "")) for n in range(4)]
    rows.append(row(9, other=(0.5, 3.0)))
    found = list(decisions(rows, policy))
    assert [(one.calls, one.chosen, one.score, one.cost) for one in found] == [
        (("cheap", "good"), "good", 1.0, 11.0),
        *[(("cheap",), "cheap", 1.0, 1.0)] * 3,
        (("other",), "other", 0.5, 3.0),
    ]
    said = report(found)
    assert (said["rows"], said["compared"]) == (5, 4)
    assert (said["score"], said["baseline_score"], said["loss"]) == (1.0, 1.0, 0.0)
    assert (said["cost"], said["baseline_cost"], said["saved"]) == (3.5, 10.0, 0.65)
    assert list(said["calls"].items()) == [("cheap", 4), ("good", 1), ("other", 1)]
    assert said["intervals"]["loss"] == [0.0, 0.0]
    low, high = said["intervals"]["saved"]
    assert low == pytest.approx(0.15)
    assert high == 0.9


def test_without_a_baseline_only_calls_are_counted():
    found = list(decisions([row(1, other=(0.5, 3.0))], Policy({}, (), {"": "good"})))
    assert report(found) == {"rows": 1, "compared": 0, "calls": {"other": 1}}


def test_an_interval_has_19_of_20_samples_in_it():
    rows = [row(n, good=(1.0, 1.0), cheap=(float(n % 2), 0.5)) for n in range(400)]
    policy = Policy({"x": (Choice(("cheap",)),)}, (), {"": "good"})
    low, high = report(list(decisions(rows, policy)))["intervals"]["loss"]
    assert (low, high) == (
        pytest.approx(0.5 - 1.96 * 0.025, abs=0.01),
        pytest.approx(0.5 + 1.96 * 0.025, abs=0.01),
    )


def test_the_curve_of_gains_tells_the_share_of_calls_that_closes_half_of_the_gap():
    rows = [row(n, weak=(0.0, 0.0), strong=(float(n % 10 > 4), 0.0), other=(1.0, 0.0)) for n in range(200)]
    rows.append(row(999, weak=(0.0, 0.0)))
    policy = train([row(n, weak=(0.0, 0.0), strong=(1.0, 0.0)) for n in range(5)], 0.0)
    found = gain_curve(rows, policy)
    assert found is not None
    assert (found["rows"], found["weak"], found["strong"]) == (200, "weak", "strong")
    assert found["points"][0] == [0.0, 0.0]
    assert len(found["points"]) == 51
    assert found["points"][25] == [0.5, 0.5]
    assert (found["CPT50"], found["CPT80"]) == (0.5, 0.8)
    assert found["APGR"] == pytest.approx(0.5, abs=0.03)
    assert gain_curve(rows[-1:], policy) is None
    assert gain_curve(rows, Policy({}, (), {})) is None


def test_what_is_expected_is_of_a_policy_that_may_lose_as_much_as_the_one_that_is_made():
    """A cheap model that loses four rows of 500 is within 0.9 %, and is so on most of the rows left out."""
    rows, lost = [], set()
    for place in range(500):
        made = row(place, dear=(1.0, 1.0), cheap=(1.0, 0.1))
        fold = _fold(made)
        if fold < 4 and fold not in lost:
            lost.add(fold)
            made = row(place, dear=(1.0, 1.0), cheap=(0.0, 0.1))
        rows.append(made)
    policy = train(rows, 0.009)
    assert policy.intents["x"][0] == Choice(("cheap",))
    assert policy.figures["saved"] > 0.6


# --- agreement ---


def test_agreement_is_sought_among_cheap_models_before_one_of_the_best() -> None:
    """Cheap are the two cheapest, and the four best of those that cost at most a quarter of the best model; `f` costs
    just that. A dearer model decides, and where several are asked first, one that costs more than half of them all.
    """
    costs = {
        "a": 0.5,
        "b": 0.6,
        "c": 0.7,
        "d": 0.8,
        "e": 0.9,
        "f": 1.0,
        "g": 1.01,
        "m": 2.0,
        "n": 3.9,
        "best": 4.0,
    }
    scores = {
        "a": 0.1,
        "b": 0.3,
        "c": 0.3,
        "d": 0.4,
        "e": 0.5,
        "f": 0.6,
        "g": 0.6,
        "m": 0.7,
        "n": 0.7,
        "best": 0.9,
    }
    means = {model: (scores[model], cost, 50) for model, cost in costs.items()}
    found = list(_agreements(sorted(means), means, ("number",)))
    assert len(found) == len(set(found))
    one = [choice for choice in found if len(choice.ask) == 1]
    assert {(choice.ask[0], choice.last) for choice in one} == set(product("abdef", ("best", "m", "n")))
    assert {(choice.agree, choice.forms) for choice in one} == {(1, ("number",))}
    two = {(choice.ask, choice.last) for choice in found if len(choice.ask) == 2}
    assert (("a", "b"), "best") in two
    assert {last for _, last in two} == {"best", "m", "n"}
    assert {choice.agree for choice in found if len(choice.ask) == 2} == {2}
    assert {choice.agree for choice in found if len(choice.ask) == 3} == {2, 3}
    assert all(choice.forms == () for choice in found if len(choice.ask) > 1)


def test_what_costs_no_more_than_half_of_those_that_are_asked_decides_nothing() -> None:
    means = {"a": (0.5, 1.0, 9), "b": (0.6, 1.0, 9), "c": (0.9, 1.0, 9)}
    assert list(_agreements("abc", means, ())) == [], "a model as dear as the first decides nothing"
    dearer = {**means, "c": (0.9, 1.01, 9)}
    assert [(choice.ask, choice.last) for choice in _agreements("abc", dearer, ())] == [
        (("a",), "c"),
        (("b",), "c"),
        (("a", "b"), "c"),
    ]


# --- what comes of it all, to the digit ---


def drawn(seed: int, number: int, *, lack: float = 0.0, answers: bool = True) -> list[OutcomeRow]:
    """Outcomes of five models of four intents, by chance; of each row, models are lacking by that chance."""
    draw = random.Random(seed)
    chances = {
        "tiny": (0.55, 0.1),
        "small": (0.7, 0.23),
        "middle": (0.8, 1.1),
        "large": (0.9, 4.0),
        "odd": (0.6, 2),
    }
    found = []
    for place in range(number):
        hard = draw.random()
        outcomes = {}
        for model, (chance, cost) in chances.items():
            right = draw.random() < chance + 0.3 * (0.5 - hard)
            there = draw.random() >= lack
            answer = str(place) if right else draw.choice(["I cannot say", str(1000 + draw.randrange(3))])
            spent = cost * (0.5 + draw.random())
            if there or (model == "middle" and lack < 0.1):
                outcomes[model] = Outcome(float(right), spent, answer if answers else "")
        found.append(OutcomeRow(f"r{place}", "wxyz"[place * place % 4 + place % 3 % 2], f"p {place}", outcomes))
    return [each for each in found if each.outcomes]


def said(choice: Choice) -> str:
    return "+".join(choice.ask) + (f">{choice.last}/{choice.agree}{','.join(choice.forms)}" if choice.last else "")


LEARNED = [
    (
        {"seed": 1, "number": 600},
        0.03,
        (
            (0.02833, 0.45303, 0.05168),
            {"odd": "middle"},
            {"": "large"},
            {
                "w": ["large", "tiny"],
                "x": ["small>middle/1number", "large", "small", "tiny"],
                "y": ["tiny+small>large/2", "large", "small", "tiny"],
            },
        ),
    ),
    (
        {"seed": 2, "number": 130},
        0.05,
        (
            (0.01538, 0.89881, 0.08693),
            {"odd": "middle"},
            {"": "large"},
            {
                "w": ["small>middle/1number", "small", "tiny"],
                "x": ["small>middle/1number", "large", "small", "tiny"],
                "y": ["tiny>middle/1number", "large", "tiny"],
            },
        ),
    ),
    (
        {"seed": 3, "number": 240, "lack": 0.02},
        0.02,
        (
            (0.01681, 0.22653, 0.04608),
            {"odd": "middle"},
            {"": "large"},
            {
                "w": ["tiny+small>large/2", "large", "tiny"],
                "x": ["large", "small", "tiny"],
                "y": ["tiny+small>large/2", "large", "tiny"],
            },
        ),
    ),
    (
        {"seed": 4, "number": 240, "lack": 0.3},
        0.04,
        (
            (0.01786, 0.47873, 0.08011),
            {},
            {"w": "large", "y": "large", "x": "large"},
            {
                "w": ["tiny>middle/1number", "large", "tiny"],
                "x": ["small>middle/1number", "small", "tiny"],
                "y": ["small>large/1number", "large", "tiny"],
            },
        ),
    ),
    (
        {"seed": 5, "number": 400, "answers": False},
        0.08,
        (
            (0.045, 0.64161, 0.08206),
            {"odd": "middle"},
            {"": "large"},
            {
                "w": ["middle", "large", "small", "tiny"],
                "x": ["middle", "large", "small", "tiny"],
                "y": ["middle", "large", "small", "tiny"],
            },
        ),
    ),
    (
        {"seed": 6, "number": 60, "lack": 0.55},
        0.1,
        (
            (0.0, 0.51779, 0.0),
            {},
            {"w": "large", "y": "tiny", "x": "middle"},
            {"w": ["tiny", "large", "middle"], "x": ["middle"], "y": ["large"]},
        ),
    ),
    (
        {"seed": 7, "number": 400},
        0.0,
        (
            (0.0, 0.0, 0.0),
            {"odd": "middle"},
            {"": "large"},
            {"w": ["large", "small", "tiny"], "x": ["large", "small", "tiny"], "y": ["large", "tiny"]},
        ),
    ),
    (
        {"seed": 8, "number": 900},
        0.01,
        (
            (0.01222, 0.24657, 0.0227),
            {"odd": "middle"},
            {"": "large"},
            {
                "w": ["large", "small", "tiny"],
                "x": ["tiny+small>large/2", "large", "tiny"],
                "y": ["tiny+small>large/2", "tiny"],
            },
        ),
    ),
]


@pytest.mark.parametrize(("rows", "max_loss", "expected"), LEARNED)
def test_the_same_outcomes_give_the_same_policy_to_the_digit(rows, max_loss, expected) -> None:
    """As it was learned when this was written: another figure here means that policies became others."""
    policy = train(drawn(**rows), max_loss)
    figures = tuple(policy.figures[name] for name in ("loss", "saved", "most_lost"))
    intents = {intent: [said(choice) for choice in choices] for intent, choices in sorted(policy.intents.items())}
    assert (figures, policy.figures["dominated"], policy.baseline, intents) == expected
