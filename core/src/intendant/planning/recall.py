"""Which memories a question calls for. Pure: no model, no database."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import isfinite, log, sqrt
from operator import mul
from typing import NamedTuple

from intendant.text.grams import grams_of, term_of, terms_of

K1 = 1.2
B = 0.75
IMPORTANCE = 50.0
"""Importance 10 raises a score by a tenth, 1 lowers it by as much: 1 + (importance - 5) / 50."""
USUAL = 5
LEAST = 0.2
"""Overlap below which a memory is not about the question."""
MOST_TERMS = 200
"""Parts of words of a question that are looked up, the first; prompts can be long."""


class Candidate(NamedTuple):
    """A memory that may be recalled."""

    id: int
    text: str
    importance: int = USUAL


class Recalled(NamedTuple):
    """A memory that was recalled."""

    id: int
    score: float
    """Only to be compared within one question."""
    overlap: float
    """Of the weight of the question or of the memory, whichever is less, the part that both share: 0 to 1."""


@lru_cache(maxsize=2048)
def _counted(text: str) -> Mapping[int, int]:
    """How often each part of a memory's words occurs; the same memories are ranked again and again."""
    return {term_of(gram): count for gram, count in grams_of(text).items()}


@lru_cache(maxsize=4096)
def weight(frequency: int, total: int) -> float:
    """How much a part that occurs in *frequency* of *total* memories tells: log(1 + (N - n + 0.5) / (n + 0.5)),
    the inverse document frequency of BM25 (Robertson and Zaragoza, 2009).
    """
    return log(1 + (max(total, frequency) - frequency + 0.5) / (frequency + 0.5))


def rank(
    question: str,
    candidates: Sequence[Candidate],
    frequencies: Mapping[int, int],
    total: int,
    *,
    limit: int = 5,
    least: float = LEAST,
) -> list[Recalled]:
    """The candidates that a question is about, best first.

    The score is BM25 (k1 1.2, b 0.75) over parts of words in place of words, times the importance.

    Args:
        question: What is asked, or is to be done.
        candidates: Memories.
        frequencies: In how many memories each part occurs, by its number; those not named in one.
        total: How many memories there are.
        limit: How many are wanted at most.
        least: The overlap that they have at least.
    """
    asked = {term: weight(frequencies.get(term, 1), total) for term in terms_of(question)[:MOST_TERMS]}
    whole = sum(asked.values())
    if not candidates or not whole:
        return []
    documents = [_counted(each.text) for each in candidates]
    lengths = [sum(document.values()) for document in documents]
    mean = sum(lengths) / len(lengths) or 1.0
    ranked = []
    for each, document, length in zip(candidates, documents, lengths, strict=True):
        shared = asked.keys() & document.keys()
        norm = K1 * (1 - B + B * length / mean)
        score = sum(asked[term] * document[term] * (K1 + 1) / (document[term] + norm) for term in shared)
        of_memory = sum(asked.get(term) or weight(frequencies.get(term, 1), total) for term in document)
        overlap = sum(asked[term] for term in shared) / (min(whole, of_memory) or 1.0)
        if overlap >= least:
            ranked.append(
                Recalled(each.id, score * (1 + (each.importance - USUAL) / IMPORTANCE), min(1.0, overlap))
            )
    return sorted(ranked, key=lambda one: (-one.score, -one.id))[:limit]


def frequencies_of(texts: Iterable[str]) -> dict[int, int]:
    """In how many of *texts* each part of a word occurs, for rankings without an index."""
    found: dict[int, int] = {}
    for text in texts:
        for term in terms_of(text):
            found[term] = found.get(term, 0) + 1
    return found


AFTER = 60
"""Ranks that are added before two rankings are put together: the usual constant of reciprocal rank fusion."""


def fused(*rankings: Sequence[int], limit: int) -> list[int]:
    """The numbers that rankings name, best first, by the sum of 1 / (60 + rank) over the rankings that name them
    (Cormack, Clarke and Buettcher, 2009). Scores of different measures need not be compared for it.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank_of, number in enumerate(ranking, 1):
            scores[number] = scores.get(number, 0.0) + 1 / (AFTER + rank_of)
    return sorted(scores, key=lambda number: (-scores[number], -number))[:limit]


def unit(vector: Sequence[float]) -> "array[float] | None":
    """A place at length 1; None where it has no direction, or is none."""
    length = sqrt(sum(value * value for value in vector))
    if not isfinite(length) or length == 0:
        return None
    return array("f", (value / length for value in vector))


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """How alike two places of length 1 are: -1 to 1; 0 where they are of different spaces."""
    return sum(map(mul, one, other)) if len(one) == len(other) else 0.0
