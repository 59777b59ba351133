"""The labelled set of memories and questions, and plain BM25 to compare a ranking with."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

FILE = Path(__file__).parent / "fixtures/recall.yaml"
ASKED = (3, 8)
"""Of the ten customers of a language, those that are asked about, moved on with each fact: by each of its questions
one.
"""


class Question(NamedTuple):
    """A question, and the memory that answers it."""

    language: str
    text: str
    answer: int
    """The memory's place."""
    kin: bool
    """True if it is in kin words; False if in other words."""


def labelled() -> tuple[list[str], list[Question]]:
    """1,000 memories, and 200 questions that one of them answers each."""
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    memories: list[str] = []
    questions: list[Question] = []
    for language, said in content["languages"].items():
        customers = [name.split("|") for name in said["customers"]]
        for number, (fact, *asking) in enumerate(said["facts"]):
            for place, (name, asked) in enumerate(customers):
                value = (place * 3 + number) % 10
                filled = {"e": name, "v": content["values"][value], "p": content["people"][value]}
                for kind, question in enumerate(asking):
                    if place == (ASKED[kind] + number) % 10:
                        questions.append(Question(language, question.format(of=asked), len(memories), kind == 0))
                memories.append(fact.format(**filled))
    return memories, questions


class BM25:
    """Okapi BM25 over lower-cased words (k1 1.2, b 0.75; Robertson and Zaragoza, 2009), as search libraries have
    it.
    """

    def __init__(self, texts: Sequence[str], k1: float = 1.2, b: float = 0.75) -> None:
        self._documents = [Counter(self.words(text)) for text in texts]
        self._lengths = [sum(document.values()) for document in self._documents]
        self._mean = sum(self._lengths) / len(texts)
        counts = Counter(word for document in self._documents for word in document)
        self._idf = {
            word: math.log(1 + (len(texts) - count + 0.5) / (count + 0.5)) for word, count in counts.items()
        }
        self._k1, self._b = k1, b

    @staticmethod
    def words(text: str) -> list[str]:
        """The words of a text."""
        return re.findall(r"\w+", text.lower())

    def best(self, question: str, limit: int) -> list[int]:
        """The best documents' places; of equal ones the earlier."""
        scores = [0.0] * len(self._documents)
        for word in self.words(question):
            weight = self._idf.get(word)
            if weight is None:
                continue
            for place, document in enumerate(self._documents):
                if count := document.get(word):
                    norm = 1 - self._b + self._b * self._lengths[place] / self._mean
                    scores[place] += weight * count * (self._k1 + 1) / (count + self._k1 * norm)
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        return [place for place in order[:limit] if scores[place] > 0]
