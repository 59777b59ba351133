"""Which units say most: centrality, salience and nearness to the question; then novelty.

Centrality is LexRank's (G. Erkan and D. R. Radev, "LexRank: Graph-based lexical centrality as salience in text
summarization", Journal of Artificial Intelligence Research 22 (2004), 457-479): PageRank on the graph of TF-IDF
cosines, here in its continuous form. Novelty is maximal marginal relevance (J. Carbonell and J. Goldstein, "The
use of MMR, diversity-based reranking for reordering documents and producing summaries", SIGIR 1998, 335-336).

The matrix of cosines is never built: as it is X·Xᵀ of the sparse TF-IDF rows X, a step of PageRank is two products
with X. The time is linear in the number of words.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

DAMPING = 0.85
ROUNDS = 25
MANY_WORDS = 300_000
"""Above this one round has to do, which ranks by nearness to the centroid."""
NOVELTY = 0.8
"""How much of its score a unit loses that has every word of one chosen before it. It is taken times the square of
the overlap, as sharing a word or two is no repetition."""
WEIGHTS = {"centrality": 1.0, "salience": 0.7, "query": 1.2, "lead": 0.1, "rarity": 1.5}
ALIKE = 30
"""Units from which on it is looked whether they are the same again and again, as the lines of a log are."""
REPETITIVE = 0.2
"""They are if no more than this share of them differs by more than its figures; then the odd ones matter."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019.-][^\W_]+)*")
_FIGURES = re.compile(r"\d+(?:[.,:]\d+)*")
_STOP = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be been but by can could did do does for from had has have he her his how i if in
        into is it its me my of on or our she so than that the their them then there these they this to up was we
        were what when where which who why will with would you your""",
    )
)
_SALIENT: tuple[tuple[re.Pattern[str], float], ...] = (
    (re.compile(r"\d"), 0.3),
    (
        re.compile(r"\b(?:error|exception|fail\w*|fatal|crash\w*|outage|broken|lost|refus\w*)\b", re.IGNORECASE),
        0.5,
    ),
    (re.compile(r"\b(?:not|no|never|none|cannot|without|neither|nor)\b|n['\u2019]t\b", re.IGNORECASE), 0.25),
    (re.compile(r"\b(?:decid|agreed|approv|reject|resolv|releas|fix)\w*", re.IGNORECASE), 0.35),
    (re.compile(r"\b(?:must|deadline|due|because|therefore)\b", re.IGNORECASE), 0.35),
    (re.compile(r"(?<=[a-z,] )[A-Z][a-z]+"), 0.15),
)
CANDIDATES = 1000
"""So many of the best units are looked at for novelty."""
SHORT = 4
"""A unit of fewer words than this seldom says anything by itself."""

Row = dict[int, float]


def words(text: str) -> list[str]:
    """The words of *text* that carry meaning, folded, with a plain plural taken off."""
    return [_stem(word) for word in map(str.casefold, _WORD.findall(text)) if word not in _STOP]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word  # noqa: PLR2004


class Ranking:
    """Units with their scores.

    Args:
        units: In the order of the text.
        query: What the reader wants to know; empty for nothing in particular.
    """

    def __init__(self, units: Sequence[str], query: str = "") -> None:
        self._units = units
        vocabulary: dict[str, int] = {}
        counts = [Counter(vocabulary.setdefault(word, len(vocabulary)) for word in words(unit)) for unit in units]
        self._idf = _idf(counts, len(vocabulary))
        self._rows = [self._row(count) for count in counts]
        asked = Counter(vocabulary[word] for word in words(query) if word in vocabulary)
        self.scores = self._scores(self._row(asked))

    def _row(self, count: Counter[int]) -> Row:
        weights = {term: (1 + math.log(times)) * self._idf[term] for term, times in count.items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        return {term: weight / length for term, weight in weights.items()}

    def _scores(self, query: Row) -> list[float]:
        central = _scaled(centrality(self._rows, len(self._idf)))
        asked = _scaled([_dot(query, row) for row in self._rows])
        odd = rarity(self._units)
        scores = []
        for index, unit in enumerate(self._units):
            parts = {
                "centrality": central[index],
                "salience": salience(unit),
                "query": asked[index],
                "lead": 1 / (1 + index),
                "rarity": odd[index],
            }
            score = sum(WEIGHTS[name] * part for name, part in parts.items())
            scores.append(score * min(1.0, len(unit.split()) / SHORT))
        return scores

    def best(self) -> Iterator[int]:
        """Indices of units, best first, each as new as it can be beside those before it."""
        nearest = [0.0] * len(self._rows)
        left = set(sorted(range(len(self._rows)), key=lambda index: -self.scores[index])[:CANDIDATES])
        while left:
            chosen = max(
                left, key=lambda index: (self.scores[index] * (1 - NOVELTY * nearest[index] ** 2), -index)
            )
            left.discard(chosen)
            for index in left:
                nearest[index] = max(nearest[index], _overlap(self._rows[chosen], self._rows[index]))
            yield chosen


def centrality(rows: Sequence[Row], terms: int) -> list[float]:
    """LexRank of rows of unit length; sums to 1."""
    if not rows:
        return []
    count = len(rows)
    rounds = ROUNDS if sum(map(len, rows)) <= MANY_WORDS else 1
    degree = [sum_ or 1.0 for sum_ in _similar(rows, [1.0] * count, terms)]
    rank = [1 / count] * count
    for _ in range(rounds):
        flow = _similar(rows, [value / out for value, out in zip(rank, degree, strict=True)], terms)
        rank = [(1 - DAMPING) / count + DAMPING * value for value in flow]
    return rank


def _similar(rows: Sequence[Row], values: Sequence[float], terms: int) -> list[float]:
    """X·(Xᵀ·values): each row's cosines with all rows, weighted by *values* and summed."""
    centre = [0.0] * terms
    for row, value in zip(rows, values, strict=True):
        for term, weight in row.items():
            centre[term] += weight * value
    return [sum(weight * centre[term] for term, weight in row.items()) for row in rows]


def rarity(units: Sequence[str]) -> list[float]:
    """From 0, for what all units say, to 1, for what one alone says, figures apart.

    0 for all where they are not the same again and again.
    """
    shapes = [_FIGURES.sub("#", unit.casefold()) for unit in units]
    counts = Counter(shapes)
    if len(units) < ALIKE or len(counts) > REPETITIVE * len(units):
        return [0.0] * len(units)
    return [1 - math.log(counts[shape]) / math.log(len(units)) for shape in shapes]


def salience(unit: str) -> float:
    """From 0 to 1: figures, failures, negations, decisions and names."""
    return min(1.0, sum(weight for pattern, weight in _SALIENT if pattern.search(unit)))


def _idf(counts: Sequence[Counter[int]], terms: int) -> list[float]:
    seen = [0] * terms
    for count in counts:
        for term in count:
            seen[term] += 1
    return [math.log(1 + len(counts) / times) if times else 0.0 for times in seen]


def _dot(one: Row, other: Row) -> float:
    if len(one) > len(other):
        one, other = other, one
    return sum(weight * other[term] for term, weight in one.items() if term in other)


def _overlap(one: Row, other: Row) -> float:
    """Dice's coefficient of the words; not the cosine, by whose rare words a date makes a repetition new."""
    return 2 * len(one.keys() & other.keys()) / ((len(one) + len(other)) or 1)


def _scaled(values: Sequence[float]) -> list[float]:
    top = max(values, default=0.0)
    return [value / top for value in values] if top > 0 else [0.0] * len(values)
