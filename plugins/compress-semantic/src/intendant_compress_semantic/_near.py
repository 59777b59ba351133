"""How near units are to what is asked.

Okapi BM25 (S. Robertson and H. Zaragoza, "The probabilistic relevance framework: BM25 and beyond", Foundations
and Trends in Information Retrieval 3 (2009), 333-389), for each question by itself, so that a long one does not
drown the others. What a unit stands under, and what stands beside it, lends it a part of its own nearness: an
answer often stands next to the words of its question.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

from intendant.plugin import TextUnit
from intendant_compress_semantic._words import literals, questions, words

K1, B = 1.2, 0.6
BESIDE = (0.45, 0.2)
"""What the next unit and the one after it lend, where units tell a story."""
ABOVE = 0.7
"""What the heading that a unit stands under lends it."""
GROUP = 0.35
"""What the best of the units under the same heading lends."""
LITERAL = 2.0
"""Nearness of what holds the very letters that are asked for."""
NAMED = 0.9
"""Nearness of what stands under a name that the question holds."""
NAMED_SPEAKER = 0.3
NAMED_PARTS = {"boiler": 0.1, "quoted": 0.5}
"""How much of that has what a sender did not write: transport lines, and what others wrote."""
AROUND, AROUND_TURNS = 0.25, 8
"""What the talk around lends a turn, as a share of the best, and how many turns away it begins."""
FEW = 5
"""A literal that stands in no more units than this tells them apart from all others."""


def nearness(units: Sequence[TextUnit], query: str, *, story: bool, spoken: bool = False) -> list[float]:
    """For each unit how near it is to *query*: 0 (not at all) to 1 (as near as any); above 1 if it holds the very
    letters that are asked for. All 0 if nothing is asked or found.
    """
    asked = questions(query)
    if not asked:
        return [0.0] * len(units)
    folded = [unit.text.casefold() for unit in units]
    counts = _counts(units, folded, {word for question in asked for word in words(question)})
    sizes = [1 + text.count(" ") for text in folded]
    total = [0.0] * len(units)
    for question in asked:
        wanted = set(words(question))
        near = _bm25(counts, sizes, wanted)
        named = _named(units, wanted, spoken=spoken)
        near = _spread(units, near, story=story)
        near = [max(one, other) if not spoken else one + other for one, other in zip(near, named, strict=True)]
        for index in _pinned(folded, literals(question)):
            near[index] = LITERAL
        if max(near, default=0.0) > 1:
            near = _spread(units, near, story=story)
        if spoken:
            near = _with_talk_around(near)
        total = [max(one, other) for one, other in zip(total, near, strict=True)]
    return total


def _pinned(folded: Sequence[str], asked: Sequence[str]) -> set[int]:
    """The units that hold a literal which few others hold; those with the most of them, if there are several."""
    hits: Counter[int] = Counter()
    for literal in asked:
        found = [index for index, text in enumerate(folded) if literal in text]
        if 0 < len(found) <= max(FEW, len(folded) // 50):
            hits.update(found)
    most = max(hits.values(), default=0)
    return {index for index, times in hits.items() if times == most}


def _counts(units: Sequence[TextUnit], folded: Sequence[str], asked: set[str]) -> list[Counter[str]]:
    """How often the words of each unit come; of units that hold nothing of what is asked nobody wants to know."""
    holds = re.compile("|".join(map(re.escape, asked))).search
    none: Counter[str] = Counter()
    return [Counter(words(unit.text)) if holds(text) else none for unit, text in zip(units, folded, strict=True)]


def _bm25(counts: Sequence[Counter[str]], sizes: Sequence[int], asked: set[str]) -> list[float]:
    """BM25 as a share of the best."""
    mean = sum(sizes) / len(sizes) if sizes else 0.0
    holding = Counter(word for count in counts for word in asked & count.keys())
    number = len(counts)
    idf = {word: math.log(1 + (number - times + 0.5) / (times + 0.5)) for word, times in holding.items()}
    found = [
        0.0
        if not count
        else sum(
            idf[word] * count[word] * (K1 + 1) / (count[word] + K1 * (1 - B + B * size / (mean or 1)))
            for word in asked & count.keys()
        )
        for count, size in zip(counts, sizes, strict=True)
    ]
    top = max(found, default=0.0)
    return [value / top for value in found] if top > 0 else found


def _spread(units: Sequence[TextUnit], near: Sequence[float], *, story: bool) -> list[float]:
    """Each unit's own nearness, or what its heading, its group or its neighbours lend it if that is more."""
    best: dict[int, float] = {}
    for unit, value in zip(units, near, strict=True):
        if unit.under >= 0:
            best[unit.under] = max(best.get(unit.under, 0.0), value)
    spread = []
    last = len(units) - 1
    for index, (unit, own) in enumerate(zip(units, near, strict=True)):
        lent = 0.0
        if unit.under >= 0:
            lent = max(ABOVE * near[unit.under], GROUP * best[unit.under])
        if story:
            for distance, part in enumerate(BESIDE, 1):
                before = near[index - distance] if index >= distance else 0.0
                after = near[index + distance] if index + distance <= last else 0.0
                lent = max(lent, part * max(before, after))
        spread.append(own + 0.5 * lent if own > lent else lent + 0.5 * own)
    return spread


def _with_talk_around(near: Sequence[float]) -> list[float]:
    """Each turn's own nearness, and a part of that of the turns before and after: a subject is talked about at
    length, and not named in each turn.
    """
    steps = range(-AROUND_TURNS, AROUND_TURNS + 1)
    around = [
        sum(
            near[place + step] * (1 - abs(step) / (AROUND_TURNS + 1))
            for step in steps
            if 0 <= place + step < len(near)
        )
        for place in range(len(near))
    ]
    part = AROUND * max(near, default=0.0) / (max(around, default=0.0) or 1.0)
    return [own + part * other for own, other in zip(near, around, strict=True)]


_NAME = re.compile(r"(?:From:|def|class|func|fn|function)?\s*\"?([^<\"(:{=\n]+)", re.IGNORECASE)


def _named(units: Sequence[TextUnit], wanted: set[str], *, spoken: bool) -> list[float]:
    """What stands under a sender, speaker or signature that the question names."""
    leads = {unit.under for unit in units if unit.under >= 0}
    hit: set[int] = set()
    for lead in leads:
        if units[lead].role != "heading" or units[lead].text.startswith(("#", "+++", "@@")):
            continue
        match = _NAME.match(units[lead].text.strip())
        name = set(words(match[1])) if match else set()
        mail = set(words(units[lead].text.partition("<")[2])) if not spoken else set()
        if (name and name <= wanted) or (mail and len(mail & wanted) > len(mail) / 2):
            hit.add(lead)
    part = NAMED_SPEAKER if spoken else NAMED
    return [
        part * NAMED_PARTS.get(unit.role, 1.0) if unit.under in hit or index in hit else 0.0
        for index, unit in enumerate(units)
    ]
