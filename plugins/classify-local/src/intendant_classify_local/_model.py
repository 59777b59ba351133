"""The learned part: a weight for each feature and intent, and what a probability is worth."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import exp

NONE = "none"
"""The label of what is no step of work."""


@dataclass(frozen=True, slots=True)
class Model:
    """Multinomial logistic regression over named features, with calibrated probabilities.

    Args:
        intents: The labels, `none` among them.
        weights: For each feature its weight for each label, in units.
        bias: The weight that each label has before anything is known, in units.
        unit: What a unit counts in the score.
        temperature: Scores are divided by this, so that the model is less cocksure on platforms it never saw.
        knots: Top probabilities, ascending.
        accuracy: How often an answer of that probability was right; between knots it is interpolated.
        abstain: A step is no step of work where that is at least this probable.
    """

    intents: tuple[str, ...]
    weights: Mapping[str, Sequence[int]]
    bias: Sequence[int]
    unit: float
    temperature: float
    knots: tuple[float, ...]
    accuracy: tuple[float, ...]
    abstain: float

    def probabilities(self, features: Iterable[str], more: Mapping[str, float] | None = None) -> list[float]:
        """How probable each label is, in the order of `intents`. Features that were never learned count nothing.

        Args:
            features: Their names.
            more: What to add to the score of a label for other reasons.
        """
        known = self.weights
        rows = [known[name] for name in features if name in known]
        scale = self.unit / self.temperature
        scores = [sum(column) * scale for column in zip(self.bias, *rows, strict=True)]
        if more:
            scores = [score + more.get(name, 0.0) for score, name in zip(scores, self.intents, strict=True)]
        top = max(scores)
        raised = [exp(score - top) for score in scores]
        total = sum(raised)
        return [value / total for value in raised]

    def confidence(self, probability: float) -> float:
        """How often an answer of this probability is right, as measured on steps that were not learned from."""
        place = bisect_right(self.knots, probability)
        if place == 0:
            return self.accuracy[0]
        if place == len(self.knots):
            return self.accuracy[-1]
        low, high = self.knots[place - 1], self.knots[place]
        share = (probability - low) / (high - low)
        return self.accuracy[place - 1] + share * (self.accuracy[place] - self.accuracy[place - 1])


@cache
def model() -> Model:
    """The model that is shipped, read when it is first needed."""
    data = json.loads((files("intendant_classify_local") / "weights.json").read_text("utf-8"))
    return Model(
        intents=tuple(data["intents"]),
        weights=data["weights"],
        bias=data["bias"],
        unit=data["unit"],
        temperature=data["temperature"],
        knots=tuple(data["knots"]),
        accuracy=tuple(data["accuracy"]),
        abstain=data["abstain"],
    )
