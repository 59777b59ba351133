"""What survives a compression, measured: how much of a text's facts, and of what its reader asks, still stands.

Each distinct fact of the original (figures, names, identifiers, addresses, negations, lines that report errors)
counts once, the less the oftener it comes; what the question is about counts beside that. The measured recall is
turned into the expected share of critical facts by a map learned from documents of which those facts are known.
"""

import math
import re
from collections import Counter

from intendant.text.facts import facts

NEGATION = 0.1
ERROR = 0.6
MOST_SEARCHED = 3000
"""Facts of other spelling that are looked for letter by letter in a result."""
ASKED_LINES = 6
"""Lines nearest to the question, of which the facts count by themselves."""

_NEGATIONS = frozenset({"not", "no", "never", "none", "cannot", "without", "neither", "nor"})
_ERROR = re.compile(r"Error|Exception|FAILED|FATAL|Traceback|panic|CRITICAL|SEVERE")
_WORD = re.compile(r"\w{3,}")

POWERS: dict[str, float] = {
    "code": 0.175,
    "diff": 0.4,
    "html": 0.275,
    "json": 0.95,
    "log": 0.55,
    "mail": 1.475,
    "markdown": 0.9,
    "passages": 0.35,
    "prose": 0.55,
    "shell": 0.225,
    "table": 0.575,
    "transcript": 1.15,
}
"""The power of recall that gives the expected retention, for each kind of content.

Least squares over 4,320 compressions of 184 documents to 8 to 90 % of their tokens, with a question and without;
with the documents left out, expected and observed retention differ by 0.014 (expected calibration error).
Since then the compressors keep more of mails, manuals, talk and diffs than this expects: it is on the safe side.
"""
OTHER_POWER = 0.55


def recall(original: str, result: str, *, query: str = "") -> float:
    """Weighted share of the original's facts that stand in *result*: 0 to 1; 1.0 if it has none."""
    if original == result:
        return 1.0
    whole, kept = _of_facts(original, result)
    for number, left, weight in (
        (_negations(original), _negations(result), NEGATION),
        (len(_ERROR.findall(original)), len(_ERROR.findall(result)), ERROR),
    ):
        whole += weight * number
        kept += weight * min(number, left)
    share = kept / whole if whole else 1.0
    asked = _of_question(original, result, query)
    return share if asked is None else 0.5 * share + 0.5 * asked


def expected_retention(original: str, result: str, *, query: str = "", kind: str = "text") -> float:
    """Expected share (0 to 1) of the critical facts of *original* that stand in *result*, for who asks *query*.

    Args:
        original: What was compressed.
        result: What came of it.
        query: What is asked of the content.
        kind: What sort of content it is; critical facts survive more easily where they are told by their form, as
            in code, than in mails.
    """
    return float(recall(original, result, query=query) ** POWERS.get(kind, OTHER_POWER))


def _of_facts(original: str, result: str) -> tuple[float, float]:
    """Weights of all facts of *original*, and of those in *result*."""
    weights: dict[str, float] = {}
    times: Counter[str] = Counter()
    for fact, weight in facts(original):
        weights[fact] = weight
        times[fact] += 1
    there = {fact for fact, _ in facts(result)}
    whole = kept = 0.0
    searched = 0
    for fact, weight in weights.items():
        weighed = weight / (1 + math.log(times[fact]))
        whole += weighed
        if fact in there:
            kept += weighed
        elif searched < MOST_SEARCHED:
            # Re-encoding may change what stands around a fact.
            searched += 1
            kept += weighed if fact in result else 0.0
    return whole, kept


def _of_question(original: str, result: str, query: str) -> float | None:
    """Share of the words in the lines nearest to the question that stand in *result*; None if nothing is asked."""
    asked = {word.casefold() for word in _WORD.findall(query)}
    if not asked:
        return None
    lines = [(line, found) for line in original.splitlines() if (found := asked & _words(line))]
    times = Counter(word for _, found in lines for word in found)
    if not times:
        return None
    ranked = sorted(((sum(1 / times[word] for word in found), line) for line, found in lines), reverse=True)
    near = [line for score, line in ranked[:ASKED_LINES] if score > ranked[0][0] / 2]
    there = _words(result)
    wanted: set[str] = set().union(*map(_words, near))
    return len(wanted & there) / len(wanted)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _negations(text: str) -> int:
    return sum(word in _NEGATIONS or word.endswith(("n't", "n\u2019t")) for word in text.casefold().split())
