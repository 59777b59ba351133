"""How hard a step is: what each measure counts as, and what they come to together."""

from itertools import pairwise

import pytest

from intendant.model.requests import IntentSpec
from intendant.model.workflow import Step
from intendant.planning.difficulty import difficulty, score, size_of, weighed

NONE = {
    "prompt_length": 0.0,
    "data_size": 0.0,
    "conditions": 0.0,
    "references": 0.0,
    "reasoning": 0.0,
    "output_complexity": 0.0,
}


def of(step=None, spec=None, **more):
    """The factors of a step."""
    made = Step.model_validate({"id": "s", "intent": "x", **(step or {})})
    declared = IntentSpec(name="x", summary="X", examples=("x",), **(spec or {}))
    return difficulty(made, declared, **{"references": 0, **more})


@pytest.mark.parametrize(
    ("factor", "weight"),
    [
        ("prompt_length", 0.20),
        ("data_size", 0.15),
        ("conditions", 0.15),
        ("references", 0.15),
        ("reasoning", 0.20),
        ("output_complexity", 0.15),
    ],
)
def test_each_factor_has_its_weight_and_all_make_one(factor, weight):
    assert weighed({**NONE, factor: 10.0}, 0.0) == pytest.approx(10 * weight)
    assert weighed(dict.fromkeys(NONE, 7.0), 0.0) == pytest.approx(7.0)


def test_a_bias_moves_the_difficulty_within_0_to_10():
    assert weighed(dict.fromkeys(NONE, 7.0), -1.5) == pytest.approx(5.5)
    assert weighed(NONE, -1.0) == 0.0
    assert weighed(dict.fromkeys(NONE, 10.0), 1.0) == 10.0


@pytest.mark.parametrize(
    ("measure", "points"),
    [
        ("prompt_length", (100, 320, 700, 1400)),
        ("data_size", (512, 3300, 23_000, 100_000)),
        ("conditions", (1, 3, 7, 14)),
        ("references", (1, 3, 7, 14)),
    ],
)
def test_a_measure_counts_2_5_7_and_9_at_its_points_and_halfway_at_their_geometric_mean(measure, points):
    assert [score(measure, point) for point in points] == [2.0, 5.0, 7.0, 9.0]
    between = [score(measure, (low * high) ** 0.5) for low, high in pairwise(points)]
    assert between == pytest.approx([3.5, 6.0, 8.0], abs=0.001)
    third = score(measure, points[2] * (points[3] / points[2]) ** 0.3)
    assert third == pytest.approx(7.6, abs=0.001)
    assert [score(measure, beyond) for beyond in (0, -1, points[0] / 2, points[3] * 2)] == [2.0, 2.0, 2.0, 9.0]


def test_the_prompt_is_measured_with_name_and_description_and_without_white_space():
    told = {"name": "a b" * 50, "description": "c d\n" * 50, "prompt": " e\tf " * 60}
    assert of(told)[1]["prompt_length"] == 5.0  # 100 + 100 + 120 characters
    assert of(told, prompt="x" * 500)[1]["prompt_length"] == 7.0
    assert of(told, prompt="")[1]["prompt_length"] == score("prompt_length", 200)


def test_of_a_very_long_text_white_space_counts_too():
    assert of({"prompt": "x " * 2800})[1]["prompt_length"] == 9.0
    assert of({"prompt": " " * 5600 + "x"})[1]["prompt_length"] == 9.0
    assert of({"prompt": " " * 5599 + "x"})[1]["prompt_length"] == 2.0


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (None, 0),
        ("", 0),
        ("four", 4),
        (12345678, 4),
        (True, 4),
        ([], 0),
        (["ab", "c", None], 6),
        ({"key": "value", "k": 1}, 13),
        ({"a": [{"b": ["c"]}]}, 5),
        ("x" * 100_000, 100_000),
        (["x" * 60_000, "y" * 60_000], 100_000),
    ],
)
def test_the_size_of_a_value_is_about_that_of_its_text(value, size):
    assert size_of(value) == size


def test_counting_stops_at_the_most():
    assert size_of(["x" * 10] * 10, 35) == 35
    assert size_of(["x" * 10] * 3, 35) == 33


def test_comparisons_and_wanted_properties_count_as_conditions():
    compared = {"when": "a == 1 && b != 2 || c < 3 ? d : e > 4"}
    assert of(compared)[1]["conditions"] == score("conditions", 7)
    assert of({"intent": "x", "options": {"where": "a > 1"}})[1]["conditions"] == score("conditions", 1)
    inner = {"type": "object", "properties": {"b": {}, "c": {"type": "string"}}}
    schema = {"type": "object", "properties": {"a": inner, "l": {"type": "array", "items": inner}}}
    assert of({"output": schema})[1]["conditions"] == score("conditions", 6)
    assert of({**compared, "output": schema})[1]["conditions"] == score("conditions", 13)


def test_references_data_and_what_the_intent_declares_are_factors():
    spec = {"reasoning": 8.0, "output_complexity": 3.0, "tier_bias": 0.5}
    total, factors = of({"input": "x" * 3300}, spec, references=7)
    assert factors == {
        "prompt_length": 2.0,
        "data_size": 5.0,
        "conditions": 2.0,
        "references": 7.0,
        "reasoning": 8.0,
        "output_complexity": 3.0,
    }
    assert total == pytest.approx(0.4 + 0.75 + 0.3 + 1.05 + 1.6 + 0.45 + 0.5)
    assert of({"input": "x"}, data_bytes=23_000)[1]["data_size"] == 7.0


def test_what_is_switched_off_counts_as_the_middle_without_a_bias():
    spec = {"reasoning": 8.0, "output_complexity": 3.0, "tier_bias": 0.5}
    total, factors = of({}, spec, by_intent=False, by_measures=False)
    assert set(factors.values()) == {5.0}
    assert total == pytest.approx(5.0)
    assert of({}, spec, by_intent=False)[1]["prompt_length"] == 2.0
    assert of({}, spec, by_measures=False)[1]["reasoning"] == 8.0
