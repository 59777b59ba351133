"""How much a unit is worth: nearness to the question, salience, novelty.

Nearness is Okapi BM25 (S. Robertson and H. Zaragoza, "The probabilistic relevance framework: BM25 and beyond",
Foundations and Trends in Information Retrieval 3 (2009), 333-389), of which neighbours get a part: an answer often
stands next to the words of its question.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

K1, B = 1.2, 0.75
NEIGHBOUR = 0.3
QUERY = 2.0
"""What nearness counts for beside salience, which is at most 1 or so."""
REPEATED = 0.5
"""The second unit of one shape is worth 1/1.5 of the first, the third 1/2, and so on."""

_WORD = re.compile(r"\w+(?:[._-]\w+)*")
_DIGITS = re.compile(r"\d+")
_STOP = frozenset(
    re.findall(
        r"\w+",
        """a an and any are as at be but by can did do does find for from give had has have he her his how i if in
        into is it its list me my of on or our she show so tell than that the their them then there these they this
        to up us was we were what when where which who whose why will with would you your""",
    )
)
_SALIENT: tuple[tuple[re.Pattern[str], float], ...] = (
    (
        re.compile(
            r"\b\w*(?:Error|Exception|FAILED|FATAL|Traceback|panic)\w*|\b(?:error|failed|fatal|critical)\b"
        ),
        0.8,
    ),
    (re.compile(r"\d"), 0.3),
    (re.compile(r"\b(?:not|no|never|none|cannot|without|neither|nor)\b|n['\u2019]t\b", re.IGNORECASE), 0.25),
    (re.compile(r"\b(?:decid|agreed|approv|reject|must|deadline|resolv)\w*", re.IGNORECASE), 0.3),
    (re.compile(r"https?://|\w@\w|\w_\w"), 0.3),
    (re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}"), 0.2),
    (re.compile(r"^\s*#{1,6} "), 0.3),
)


def words(text: str) -> list[str]:
    """The words of *text* that carry meaning, folded; a plain plural counts as its singular."""
    return [_stem(word) for word in map(str.casefold, _WORD.findall(text)) if word not in _STOP]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word  # noqa: PLR2004


def salience(unit: str) -> float:
    """How much a unit is worth whatever is asked: errors, figures, negations, decisions, addresses, names."""
    return sum(weight for pattern, weight in _SALIENT if pattern.search(unit))


def scores(units: Sequence[str], query: str, *, neighbours: bool) -> list[float]:
    """The worth of each unit.

    Args:
        units: In the order of the text.
        query: What is asked.
        neighbours: True if units tell a story, so that those beside a near one may belong to it.
    """
    near = nearness(units, query)
    part = NEIGHBOUR if neighbours else 0.0
    seen: Counter[str] = Counter()
    worth = []
    for index, unit in enumerate(units):
        around = max(near[index - 1] if index else 0.0, near[index + 1] if index + 1 < len(units) else 0.0)
        shape = _DIGITS.sub("0", unit.strip().casefold())
        novelty = 1 / (1 + REPEATED * seen[shape])
        seen[shape] += 1
        score = QUERY * max(near[index], part * around) + 0.1 + salience(unit) * novelty
        worth.append(score if unit.strip() else 0.0)
    return worth


def nearness(units: Sequence[str], query: str) -> list[float]:
    """BM25 of each unit for *query*, as a share of the best; all 0 if nothing is asked or found."""
    asked = set(words(query))
    if not asked:
        return [0.0] * len(units)
    counts = [Counter(words(unit)) for unit in units]
    sizes = [sum(count.values()) for count in counts]
    mean = sum(sizes) / len(sizes) if sizes else 0.0
    holding = Counter(word for count in counts for word in asked & count.keys())
    idf = {word: math.log(1 + (len(units) - times + 0.5) / (times + 0.5)) for word, times in holding.items()}
    found = [
        sum(
            idf[word] * count[word] * (K1 + 1) / (count[word] + K1 * (1 - B + B * size / (mean or 1)))
            for word in asked & count.keys()
        )
        for count, size in zip(counts, sizes, strict=True)
    ]
    top = max(found, default=0.0)
    return [value / top for value in found] if top > 0 else [0.0] * len(units)
