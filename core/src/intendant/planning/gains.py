"""What a stronger model adds to a weaker one, told from a prompt: by its intent, and by its words."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

SMOOTH = 12.0
"""Rows of the mean of all intents that are added to each intent's."""
LEAST_ROWS = 4
"""Prompts in which a word must occur."""
ROUNDS = 3
RATE, DECAY = 0.2, 2e-4
LEAST_SHARE = 0.02
"""Of right answers, at least and at most: so many rows make nothing certain."""
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


class Odds(NamedTuple):
    """The log odds that the strong model's answer is right, and the weak one's."""

    strong: float
    weak: float


class Term(NamedTuple):
    """What a term of a prompt says.

    Attributes:
        square: Of its rarity: the log of how seldom it occurs, and one.
        strong, weak: What it adds to the log odds of the models, times its rarity. Sums of these are divided by
            the root of the sum of squares.
    """

    square: float
    strong: float
    weak: float


@dataclass(frozen=True, slots=True)
class Gains:
    """The gain that is expected of the stronger of two models: how much likelier its answer is right.

    Attributes:
        weak, strong: The models.
        mean: The gain over all rows.
        usual: The odds over all rows, for intents that are not known.
        intents: The odds by intent.
        words: By term, what it says.
        enough: The gain from which on the strong model is asked.
    """

    weak: str
    strong: str
    mean: float
    usual: Odds
    intents: Mapping[str, Odds]
    words: Mapping[str, Term]
    enough: float = 0.0

    def expected(self, intent: str, prompt: str) -> float:
        """The gain for a prompt."""
        odds = self._odds(intent, filter(None, map(self.words.get, terms(prompt))))
        return _share(odds.strong) - _share(odds.weak)

    def _odds(self, intent: str, known: Iterable[Term]) -> Odds:
        strong = weak = squares = 0.0
        for square, for_strong, for_weak in known:
            squares += square
            strong += for_strong
            weak += for_weak
        size = math.sqrt(squares) or 1.0
        usual = self.intents.get(intent, self.usual)
        return Odds(usual.strong + strong / size, usual.weak + weak / size)

    def reasons(self, intent: str, prompt: str, most: int = 6) -> list[tuple[str, float]]:
        """The terms of a prompt that count most, with what each adds to the gain, near to it."""
        known = {term: self.words[term] for term in terms(prompt) if term in self.words}
        odds, usual = self._odds(intent, known.values()), self.intents.get(intent, self.usual)
        slopes = [_share(each) * (1 - _share(each)) for each in odds]
        size = math.sqrt(sum(term.square for term in known.values())) or 1.0
        found = [(f"intent {intent}", _share(usual.strong) - _share(usual.weak))]
        found += [(name, (slopes[0] * term.strong - slopes[1] * term.weak) / size) for name, term in known.items()]
        return sorted(found, key=lambda pair: (-abs(pair[1]), pair[0]))[:most]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "weak": self.weak,
            "strong": self.strong,
            "mean": round(self.mean, 5),
            "enough": round(self.enough, 5),
            "usual": _rounded(self.usual, 4),
            "intents": {name: _rounded(odds, 4) for name, odds in sorted(self.intents.items())},
            "words": {name: _rounded(term, 3) for name, term in sorted(self.words.items())},
        }

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Gains":
        """What `document` wrote."""
        intents = {str(name): Odds(*odds) for name, odds in data["intents"].items()}
        words = {str(name): Term(*term) for name, term in data["words"].items()}
        models = (data["weak"], data["strong"])
        return cls(*models, data["mean"], Odds(*data["usual"]), intents, words, data["enough"])


def _share(odds: float) -> float:
    """The probability of log odds."""
    return 1 / (1 + math.exp(-odds))


def _rounded(values: Iterable[float], digits: int) -> list[float]:
    return [round(value, digits) for value in values]


class Seen(NamedTuple):
    """A prompt, and what the two models scored, 0 to 1."""

    intent: str
    prompt: str
    strong: float
    weak: float


_Weighed = Sequence[Sequence[tuple[str, float]]]
"""The known terms of each prompt, with their shares of its weight."""


def learn(rows: Sequence[Seen], weak: str, strong: str) -> Gains:
    """The gains of *rows*: for each model a logistic regression on terms, weighed by rarity (Jones, 1972)."""
    found = [terms(row.prompt) for row in rows]
    count = Counter(term for each in found for term in each)
    rarity = {
        term: math.log((1 + len(rows)) / (1 + number)) + 1
        for term, number in count.most_common(MOST_TERMS)
        if number >= LEAST_ROWS
    }
    weighed = [_weighed(each, rarity) for each in found]
    scores = ([row.strong for row in rows], [row.weak for row in rows])
    means = [_means([row.intent for row in rows], each) for each in scores]
    learned = [
        _descended(weighed, [mean.get(row.intent, 0.0) for row in rows], each, rarity)
        for mean, each in zip(means, scores, strict=True)
    ]
    usual = Odds(*(_odds_of(sum(each) / len(each)) for each in scores))
    intents = {intent: Odds(means[0][intent], means[1][intent]) for intent in means[0]}
    words = {
        term: Term(each * each, each * learned[0][term], each * learned[1][term]) for term, each in rarity.items()
    }
    return Gains(weak, strong, sum(row.strong - row.weak for row in rows) / len(rows), usual, intents, words)


def _weighed(found: Sequence[str], rarity: Mapping[str, float]) -> list[tuple[str, float]]:
    known = [(term, rarity[term]) for term in found if term in rarity]
    size = math.sqrt(sum(each * each for _, each in known))
    return [(term, each / size) for term, each in known]


def _descended(
    rows: _Weighed, usual: Sequence[float], scores: Sequence[float], known: Iterable[str]
) -> dict[str, float]:
    """What each term adds to the log odds: stochastic descent with steps of their own (AdaGrad)."""
    adds: dict[str, float] = dict.fromkeys(known, 0.0)
    squares: dict[str, float] = dict.fromkeys(adds, 1.0)
    for place in _order(len(rows)):
        each = rows[place]
        error = _share(usual[place] + sum(adds[term] * share for term, share in each)) - scores[place]
        for term, share in each:
            slope = error * share + DECAY * adds[term]
            squares[term] += slope * slope
            adds[term] -= RATE * slope / math.sqrt(squares[term])
    return adds


def _means(intents: Sequence[str], scores: Sequence[float]) -> dict[str, float]:
    """The smoothed log odds by intent."""
    mean = sum(scores) / len(scores)
    by_intent: dict[str, list[float]] = {}
    for intent, score in zip(intents, scores, strict=True):
        by_intent.setdefault(intent, []).append(score)
    return {
        intent: _odds_of((sum(each) + SMOOTH * mean) / (len(each) + SMOOTH)) for intent, each in by_intent.items()
    }


def _odds_of(share: float) -> float:
    bounded = min(max(share, LEAST_SHARE), 1 - LEAST_SHARE)
    return math.log(bounded / (1 - bounded))


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
