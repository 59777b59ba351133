"""What a stronger model adds to a weaker one, told from a prompt: its intent's mean, and a linear model."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

SMOOTH = 12.0
"""Rows of the mean of all intents that are added to each intent's."""
LEAST_ROWS = 4
"""Prompts in which a word must occur."""
ROUNDS = 2
RATE, DECAY = 0.05, 2e-4
READ = 3000
"""Characters of a prompt that are read, half of them from its end."""
MOST_TERMS = 20_000
_WORD = re.compile(r"[^\W_]+|[=+*/^<>$\\{}]")
_LONGEST = 24


def terms(prompt: str) -> list[str]:
    """The distinct words, signs and pairs of words of a prompt, and how long it is.

    Case, spaces and punctuation make no difference.
    """
    text = prompt if len(prompt) <= READ else f"{prompt[: READ // 2]} {prompt[-READ // 2 :]}"
    said = [word[:_LONGEST] for word in _WORD.findall(text.lower())]
    found = dict.fromkeys(said)
    found.update(dict.fromkeys(f"{one} {two}" for one, two in pairwise(said)))
    found[f"#words {int(math.log2(len(said) + 1) * 2)}"] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class Gains:
    """The gain that is expected of the stronger of two models.

    Attributes:
        weak, strong: The models.
        mean: The gain over all rows.
        intents: By intent, its smoothed mean.
        words: What each term adds, before it is divided by the root of the number of known terms.
        enough: The gain from which on the strong model is asked.
    """

    weak: str
    strong: str
    mean: float
    intents: Mapping[str, float]
    words: Mapping[str, float]
    enough: float = 0.0

    def expected(self, intent: str, prompt: str) -> float:
        """The gain for a prompt."""
        return self.intents.get(intent, self.mean) + self._of_words(terms(prompt))

    def _of_words(self, found: Sequence[str]) -> float:
        known = [self.words[term] for term in found if term in self.words]
        return sum(known) / math.sqrt(len(known)) if known else 0.0

    def reasons(self, intent: str, prompt: str, most: int = 6) -> list[tuple[str, float]]:
        """The terms of a prompt that count most, with what each adds."""
        known = [(term, self.words[term]) for term in terms(prompt) if term in self.words]
        share = math.sqrt(len(known) or 1)
        found = [(f"intent {intent}", self.intents.get(intent, self.mean))]
        found += [(term, value / share) for term, value in known]
        return sorted(found, key=lambda pair: (-abs(pair[1]), pair[0]))[:most]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "weak": self.weak,
            "strong": self.strong,
            "mean": round(self.mean, 5),
            "enough": round(self.enough, 5),
            "intents": {name: round(value, 4) for name, value in sorted(self.intents.items())},
            "words": {name: round(value, 3) for name, value in sorted(self.words.items()) if abs(value) >= 0.002},  # noqa: PLR2004
        }

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Gains":
        """What `document` wrote."""
        known = ("weak", "strong", "mean", "intents", "words", "enough")
        return cls(**{name: data[name] for name in known})


Seen = tuple[str, str, float]
"""Intent, prompt, and the strong model's score less the weak one's."""


def learn(rows: Sequence[Seen], weak: str, strong: str) -> Gains:
    """The gains of *rows*: ridge regression on terms, by stochastic descent with steps of their own (AdaGrad)."""
    mean = sum(row[2] for row in rows) / len(rows)
    intents = _means(rows, mean)
    found = [terms(row[1]) for row in rows]
    count = Counter(term for each in found for term in each)
    known = {term for term, number in count.most_common(MOST_TERMS) if number >= LEAST_ROWS}
    kept = [[term for term in each if term in known] for each in found]
    words: dict[str, float] = dict.fromkeys(known, 0.0)
    squares: dict[str, float] = dict.fromkeys(known, 1.0)
    for place in _order(len(rows)):
        intent, _, gain = rows[place]
        each = kept[place]
        if not each:
            continue
        share = 1 / math.sqrt(len(each))
        error = intents[intent] + share * sum(words[term] for term in each) - gain
        step = error * share
        for term in each:
            slope = step + DECAY * words[term]
            squares[term] += slope * slope
            words[term] -= RATE * slope / math.sqrt(squares[term])
    return Gains(weak, strong, mean, intents, words)


def _means(rows: Sequence[Seen], mean: float) -> dict[str, float]:
    sums: dict[str, list[float]] = {}
    for intent, _, gain in rows:
        sums.setdefault(intent, []).append(gain)
    return {intent: (sum(each) + SMOOTH * mean) / (len(each) + SMOOTH) for intent, each in sums.items()}


def _order(size: int) -> Iterator[int]:
    """Each row once a round, in an order that is the same each time."""
    stride = next(step for step in range(int(size * 0.618) + 1, 2 * size + 2) if math.gcd(step, size) == 1)
    for turn in range(ROUNDS):
        for place in range(size):
            yield (place * stride + turn * 7919) % size


def curve(gains: Sequence[float], added: Sequence[float]) -> tuple[float, list[tuple[float, float]]]:
    """The average performance gap recovered (APGR; Ong et al., RouteLLM), and its curve.

    Its points are the share asked of the strong model, and the share of the gap between the models that is closed.

    Args:
        gains: Expected, for each row.
        added: The strong model's score less the weak one's.
    """
    order = sorted(range(len(gains)), key=lambda place: (-gains[place], place))
    gap = sum(added) / len(added)
    points = [(0.0, 0.0)]
    total = 0.0
    for number, place in enumerate(order, 1):
        total += added[place]
        points.append((number / len(order), total / len(order) / gap if gap else 0.0))
    area = sum((one[1] + two[1]) / 2 * (two[0] - one[0]) for one, two in pairwise(points))
    return area, points
