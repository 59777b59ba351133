"""Policies learned from outcomes: what they choose, what they see, and what a replay says of them."""

import gzip
import json
import random

import pytest

from intendant.model.errors import IntendantError
from intendant.planning.gains import Seen, curve, learn, terms
from intendant.planning.outcomes import Outcome, OutcomeRow, read_outcomes, same_answer
from intendant.planning.policies import Choice, Policy
from intendant.planning.policy_replay import decisions, gain_curve, report
from intendant.planning.policy_training import baselines, train


def rows_of(number=300, seed=3):
    """Two cheap models that err apart, a dear one that does not; for `facts` a cheap one is as good as that."""
    draw = random.Random(seed)
    found = []
    for place in range(number):
        intent = ("sums", "facts")[place % 2]
        right = str(place)

        def said(chance, cost, right=right):
            good = draw.random() < chance
            return Outcome(float(good), cost, right if good else str(1000 + draw.randrange(10**9)))

        outcomes = {
            "small": said(0.8, 0.1),
            "tiny": said(0.98 if intent == "facts" else 0.75, 0.05),
            "large": said(0.97, 5.0),
        }
        found.append(OutcomeRow(f"r{place}", intent, f"question {place}", outcomes))
    return found


def test_a_policy_saves_most_of_the_cost_and_loses_what_is_allowed():
    policy = train(rows_of(), 0.02)
    found = report(list(decisions(rows_of(seed=9), policy)))
    assert policy.baseline == {"": "large"}
    assert found["saved"] > 0.6
    assert found["loss"] < 0.03
    assert found["intervals"]["saved"][0] <= found["saved"] <= found["intervals"]["saved"][1]
    assert policy.intents["facts"][0] == Choice(("tiny",))
    assert policy.intents["sums"][0].last == "large"


def test_nothing_may_be_lost_where_nothing_is_allowed():
    rows = [
        OutcomeRow(str(n), "x", f"p{n}", {"good": Outcome(1.0, 2.0), "bad": Outcome(float(n % 2), 1.0)})
        for n in range(60)
    ]
    assert train(rows, 0.0).choice("x", {"good", "bad"}) == Choice(("good",))


def test_the_same_rows_give_the_same_policy_and_a_file_gives_it_back(tmp_path):
    policy = train(rows_of(), 0.01)
    assert policy.document() == train(rows_of(), 0.01).document()
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(policy.document()))
    assert Policy.read(path).document() == policy.document()


def test_agreement_pays_only_for_the_models_that_it_asks():
    answers = {"a": "The Answer.", "b": "the answer", "c": "other", "d": "last"}
    asked = []

    def ask(model):
        asked.append(model)
        return answers[model]

    assert Choice(("a", "b"), "d").run(ask) == ("a", ("a", "b"))
    assert Choice(("a", "c"), "d").run(ask) == ("d", ("a", "c", "d"))
    assert Choice(("a", "c", "b"), "d").run(ask) == ("a", ("a", "c", "b"))
    assert Choice(("a", "c", "b"), "d", 3).run(ask) == ("d", ("a", "c", "d"))
    assert Choice(("c",)).run(ask) == ("c", ("c",))
    assert asked == ["a", "b", "a", "c", "d", "a", "c", "b", "a", "c", "d", "c"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("42", "42.0", True),
        ("1,200", "$1200", True),
        ("['A\\n']", "a", True),
        ("(A)", "A", True),
        ("", "", False),
        ("B", "A", False),
    ],
)
def test_answers_are_compared_by_what_they_say(one, other, same):
    assert same_answer(one, other) is same


def test_a_model_that_is_not_there_makes_way_for_the_next_choice():
    policy = train(rows_of(), 0.02)
    first = policy.choice("sums", {"small", "tiny", "large"})
    assert policy.choice("sums", {"small", "tiny"}) in (Choice(("small",)), Choice(("tiny",)))
    assert len(first.models) > 1
    assert policy.choice("unknown", {"small", "tiny", "large"}) == Choice(("large",))
    assert policy.choice("sums", {"other"}) is None


def test_the_scores_of_a_replay_change_no_decision():
    rows = rows_of()
    policy = train(rows, 0.02)
    flipped = [
        OutcomeRow(
            row.id,
            row.intent,
            row.prompt,
            {model: Outcome(1 - said.score, said.cost, said.answer) for model, said in row.outcomes.items()},
        )
        for row in rows
    ]
    one, other = list(decisions(rows, policy)), list(decisions(flipped, policy))
    assert [(each.calls, each.chosen) for each in one] == [(each.calls, each.chosen) for each in other]


def test_each_intent_has_a_baseline_of_its_own_where_no_model_has_every_row():
    rows = [OutcomeRow("a", "x", "p", {"m": Outcome(1, 1)}), OutcomeRow("b", "y", "q", {"n": Outcome(1, 1)})]
    assert baselines(rows) == {"x": "m", "y": "n"}


def test_gains_know_the_prompts_in_which_the_stronger_model_helps():
    draw = random.Random(1)
    seen = [
        Seen(
            "x",
            f"{'prove the theorem' if hard else 'name the capital'} number {n} {draw.random()}",
            1.0,
            1.0 - hard,
        )
        for n in range(400)
        for hard in [n % 2]
    ]
    gains = learn(seen, "weak", "strong")
    assert gains.expected("x", "prove the theorem") > gains.expected("x", "name the capital")
    assert any(
        term in ("theorem", "prove", "the theorem", "prove the")
        for term, _ in gains.reasons("x", "prove the theorem")
    )
    area, points = curve(
        [gains.expected("x", prompt) for _, prompt, *_ in seen], [row.strong - row.weak for row in seen]
    )
    assert area > 0.7
    assert points[-1] == (1.0, 1.0)


def test_case_spaces_and_punctuation_of_a_prompt_make_no_difference():
    plain = terms("What is the capital of France")
    for other in (
        "what is the capital of france?",
        "  What is the  capital of\nFrance!! ",
        '"What is the capital of France."',
    ):
        assert terms(other) == plain


def test_a_policy_of_two_models_without_costs_has_a_curve():
    rows = [
        OutcomeRow(
            str(n), "x", f"{'hard' if n % 2 else 'easy'} {n}", {"w": Outcome(1.0 - n % 2, 0), "s": Outcome(1.0, 0)}
        )
        for n in range(200)
    ]
    policy = train(rows, 0.01)
    found = gain_curve(rows, policy)
    assert (found["weak"], found["strong"]) == ("w", "s")
    assert found["APGR"] > 0.7


def test_files_may_be_compressed_and_mistakes_name_their_line(tmp_path):
    line = json.dumps({"id": "a", "prompt": "p", "outcomes": {"m": {"score": 1}}})
    good = tmp_path / "good.jsonl.gz"
    good.write_bytes(gzip.compress(f"{line}\n".encode()))
    assert read_outcomes([good])[0].outcomes == {"m": Outcome(1.0, 0.0)}
    bad = tmp_path / "bad.jsonl"
    for wrong in (
        "{",
        "[]",
        '{"prompt": "p", "outcomes": {"m": {"score": 2}}}',
        '{"prompt": "p", "outcomes": {}}',
    ):
        bad.write_text(f"{line}\n{wrong}\n")
        with pytest.raises(IntendantError, match=r"bad.jsonl, line 2"):
            read_outcomes([bad])
    for text in ("{}", "x", '{"policy": 1}', '{"policy": 9}'):
        bad.write_text(text)
        with pytest.raises(IntendantError):
            Policy.read(bad)
