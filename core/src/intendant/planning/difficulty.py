"""How hard a step is, from 0 to 10: what its intent declares, and what is measured of it.

Measures count continuously on a logarithmic scale, so that a few words more or less of a prompt move the
difficulty by hundredths, and spaces and line breaks do not move it at all.
"""

from bisect import bisect_right
from collections.abc import Mapping
from math import log2

from intendant.model.requests import IntentSpec
from intendant.model.workflow import Json, Step

MIDDLE = 5.0
"""What a factor counts as that is switched off."""
WEIGHTS: Mapping[str, float] = {
    "prompt_length": 0.20,
    "data_size": 0.15,
    "conditions": 0.15,
    "references": 0.15,
    "reasoning": 0.20,
    "output_complexity": 0.15,
}
"""What each factor counts for in a step's difficulty."""
SCORES = (2.0, 5.0, 7.0, 9.0)
"""What a measure counts as at the points of its row in `POINTS`; between them in proportion, on a logarithmic
scale.
"""
POINTS: Mapping[str, tuple[float, float, float, float]] = {
    "prompt_length": (100, 320, 700, 1400),  # characters without white space
    "data_size": (512, 3300, 23_000, 100_000),  # bytes
    "conditions": (1, 3, 7, 14),
    "references": (1, 3, 7, 14),
}
_LOGS = {name: tuple(map(log2, points)) for name, points in POINTS.items()}
_MOST_BYTES = int(POINTS["data_size"][-1])
_MOST_PROMPT = 4 * int(POINTS["prompt_length"][-1])
_SCALAR = 4
"""Bytes of a number and the like."""
_MARKS = ("&&", "||", "?", "==", "!=", "<", ">")


def difficulty(
    step: Step,
    spec: IntentSpec,
    *,
    references: int,
    prompt: str | None = None,
    data_bytes: int | None = None,
    by_intent: bool = True,
    by_measures: bool = True,
) -> tuple[float, dict[str, float]]:
    """A step's difficulty from 0 to 10, and the factors it is made of.

    Args:
        step: The step.
        spec: Its intent; gives reasoning depth, output complexity and tier bias.
        references: How many references the step makes.
        prompt: What is asked, its references resolved; None before the run: the step's own text counts.
        data_bytes: Of the input, its references resolved (`size_of`); None before the run: what stands in the step
            itself counts.
        by_intent: False leaves out what the intent declares: its factors count as `MIDDLE`, and it has no bias.
        by_measures: False leaves out what is measured of the step: those factors count as `MIDDLE`.
    """
    if by_measures:
        asked = (step.prompt or "") if prompt is None else prompt
        measures = {
            "prompt_length": _length(step.name) + _length(step.description) + _length(asked),
            "data_size": size_of(step.input) if data_bytes is None else data_bytes,
            "conditions": _conditions(step),
            "references": references,
        }
        factors = {name: score(name, value) for name, value in measures.items()}
    else:
        factors = dict.fromkeys(POINTS, MIDDLE)
    factors["reasoning"] = spec.reasoning if by_intent else MIDDLE
    factors["output_complexity"] = spec.output_complexity if by_intent else MIDDLE
    return weighed(factors, spec.tier_bias if by_intent else 0.0), factors


def weighed(factors: Mapping[str, float], bias: float) -> float:
    """The difficulty that factors and a bias make, 0 to 10."""
    total = bias
    for name, weight in WEIGHTS.items():
        total += weight * factors[name]
    return min(10.0, max(0.0, total))


def score(name: str, value: float) -> float:
    """What a measure counts as, from 2 to 9."""
    logs = _LOGS[name]
    at = log2(value) if value > 0 else 0.0
    place = bisect_right(logs, at)
    if place == 0:
        return SCORES[0]
    if place == len(logs):
        return SCORES[-1]
    share = (at - logs[place - 1]) / (logs[place] - logs[place - 1])
    return round(SCORES[place - 1] + share * (SCORES[place] - SCORES[place - 1]), 3)


def size_of(value: Json, most: int = _MOST_BYTES) -> int:
    """About how many bytes a value takes as text, at most *most*: there counting stops."""
    total, waiting = 0, [value]
    while waiting and total < most:
        each = waiting.pop()
        if isinstance(each, str):
            total += len(each)
        elif isinstance(each, dict):
            total += sum(map(len, each))
            waiting.extend(each.values())
        elif isinstance(each, list):
            total += len(each)
            waiting.extend(each)
        elif each is not None:
            total += _SCALAR
    return min(total, most)


def _length(text: str) -> int:
    """Characters of a text without white space; of a long one, all."""
    return len(text) if len(text) > _MOST_PROMPT else sum(map(len, text.split()))


def _conditions(step: Step) -> int:
    text = f"{step.when or ''} {step.parameters.get('where', '')}"
    return _compared(text) + _wanted(step.output)


def _compared(text: str) -> int:
    return sum(text.count(mark) for mark in _MARKS)


def _wanted(schema: Mapping[str, Json] | None) -> int:
    """What a schema asks for: its properties, those within others included."""
    found, waiting = 0, [schema]
    while waiting:
        each = waiting.pop()
        if not isinstance(each, dict):
            continue
        properties = each.get("properties")
        if isinstance(properties, dict):
            found += len(properties)
            waiting.extend(inner for inner in properties.values() if isinstance(inner, dict))
        if isinstance(items := each.get("items"), dict):
            waiting.append(items)
    return found
