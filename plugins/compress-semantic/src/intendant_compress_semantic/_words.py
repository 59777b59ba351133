"""Words of texts and questions."""

import re
from functools import lru_cache

_WORD = re.compile(r"\w+(?:[._-]\w+)*")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_A-Za-z]+")
_STOP = frozenset(
    re.findall(
        r"\w+",
        """
        a about an and any are as at be been being but by can could did do does find for from give had has have
        he her his how i if in into is it its list me mention mentions my of on or our out reported say says she
        should show so tell than that the their them then there these they this those to up us was we were what
        when where which while who whom whose why will with would write wrote you your s t answer conclude
        conclusion describe did discuss discussed discussing discussion explain give happen happened meeting
        opinion reason said summarise summarize summary tell think thought uh um yeah okay""",
    )
)
_SPLIT = re.compile(r"(?<=[?？])\s+|\n+|(?<=[.!。])\s+(?=[A-Z])")  # noqa: RUF001  # as in Chinese
_LITERAL = re.compile(r"\"([^\"]{2,})\"|'([^']{2,})'|`([^`]{2,})`|(\S+)")
_TRIM = " \t.,;:!?\"'()[]{}<>*`"
_ENDINGS = (
    "ations",
    "ation",
    "ingly",
    "ments",
    "ment",
    "ings",
    "ing",
    "edly",
    "ies",
    "ied",
    "ers",
    "est",
    "ed",
    "es",
    "ly",
    "er",
    "s",
    "e",
    "y",
)
LEAST_STEM = 4


def words(text: str) -> list[str]:
    """The words of *text* that carry meaning, folded to their stems; compound names with their parts too."""
    found = []
    for word in _WORD.findall(text):
        folded = word.casefold()
        if folded in _STOP:
            continue
        found.append(stem(folded))
        if not word.isalpha() or not (word.islower() or word.istitle() or word.isupper()):
            parts = _PART.findall(word)
            if len(parts) > 1:
                found.extend(stem(part.casefold()) for part in parts if len(part) > 1)
    return found


@lru_cache(maxsize=1 << 15)
def stem(word: str) -> str:
    """*word* without the first ending that leaves enough of it; the same for a word's forms, not for all."""
    if len(word) <= LEAST_STEM or not word.isascii():
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= LEAST_STEM:
            return word[: -len(ending)]
    return word


def questions(query: str) -> list[str]:
    """The single questions of *query*, each of which is to be answered."""
    return [part for part in _SPLIT.split(query) if words(part)] or ([query] if words(query) else [])


def literals(question: str) -> list[str]:
    """What is asked for by its very letters: quoted text, and words that hold a digit or a mark."""
    found = []
    for match in _LITERAL.finditer(question):
        quoted = match[1] or match[2] or match[3]
        text = quoted or match[4].strip(_TRIM)
        marked = any(letter.isdigit() or letter in "_/@:.-=#$+" for letter in text) and any(map(str.isalnum, text))
        if (quoted or marked) and len(text) > 1:
            found.append(text.casefold())
    return found
