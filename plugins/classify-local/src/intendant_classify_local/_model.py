"""The learned part: a weight for each feature and intent, and what a probability is worth."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from math import exp
from struct import unpack

NONE = "none"
"""The label of what is no step of work."""
_BYTES, _ZERO = 4, 1 << 20
"""Of a packed weight; what stands for 0 in it. A sum of up to 2,000 of them fits."""
_MOST_SEEN = 50_000
Known = tuple[int, str, Sequence[int]]
"""A feature's weights in one number, which is much faster to add up than label by label; its name; its weights."""


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

    _seen: dict[str, Known] = field(default_factory=dict, repr=False, compare=False)

    def known(self, features: Iterable[str]) -> list[Known]:
        """What the model knows of features; those that were never learned count nothing."""
        seen, weights, found = self._seen, self.weights, []
        for name in features:
            if (known := seen.get(name)) is None:
                if (row := weights.get(name)) is None:
                    continue
                known = self._known(name, row)
            found.append(known)
        return found

    def _known(self, name: str, row: Sequence[int]) -> Known:
        packed = 0
        for place, weight in enumerate(row):
            packed += (weight + _ZERO) << (8 * _BYTES * place)
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen[name] = known = (packed, name, row)
        return known

    def probabilities(self, known: Sequence[Known], more: Mapping[str, float] | None = None) -> list[float]:
        """How probable each label is, in the order of `intents`.

        Args:
            known: What `known` found.
            more: What to add to the score of a label for other reasons.
        """
        size = len(self.intents)
        packed = sum([each[0] for each in known])
        fields = unpack(f"<{size}I", packed.to_bytes(_BYTES * size, "little"))
        scale, zero = self.unit / self.temperature, _ZERO * len(known)
        scores = [(said - zero + own) * scale for said, own in zip(fields, self.bias, strict=True)]
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
        # Tuples, which the garbage collector need not look through.
        weights={name: tuple(row) for name, row in data["weights"].items()},
        bias=data["bias"],
        unit=data["unit"],
        temperature=data["temperature"],
        knots=tuple(data["knots"]),
        accuracy=tuple(data["accuracy"]),
        abstain=data["abstain"],
    )
