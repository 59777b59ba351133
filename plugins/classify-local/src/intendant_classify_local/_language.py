"""Words of names and sentences, in any of the languages of the lexicon."""

import re

from intendant_classify_local._lexicon import lexicon
from intendant_classify_local._view import words

IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_DETERMINERS = frozenset(
    ("the", "a", "an", "to", "all", "my", "this", "these", "those", "each", "every", "into", "our", "your", "new")
)
"""After these a first word is a verb: "Post the summary" posts."""
_LONGEST_NOUN_PHRASE = 5


def lemmas_of(text: str) -> tuple[list[str], list[str]]:
    """The words of *text* as they are, and with verbs of any known language as English lemmas."""
    table = lexicon()
    known = table.lemmas
    raw = words(text)
    said = [known.get(word, word) for word in raw]
    if not text.isascii() and IDEOGRAPH.search(text):
        parts = [table.ideographs[part] for part in table.ideograph.findall(text)]
        said = [word for word in said if word.isascii()] + parts
        raw = said
    return raw, said


def head(raw: list[str], said: list[str]) -> str:
    """The lemma of what a name says is done: "Email Classifier" and "Classify the email" both say classify.

    Args:
        raw: The name's words.
        said: The same as lemmas.
    """
    table = lexicon()
    known = table.groups
    end = len(said)
    while end > 1 and said[end - 1] in table.tails:
        end -= 1
    noun = bool(raw) and (raw[0] in table.noun_verbs or raw[0] in table.nouns) and raw[1:2] != []
    leads = bool(said) and said[0] in known and (not noun or raw[1] in _DETERMINERS)
    if leads and noun:
        return said[0]
    if 0 < end <= _LONGEST_NOUN_PHRASE and raw[end - 1] in table.nouns and not leads:
        return said[end - 1]
    verbs = [place for place, word in enumerate(said) if word in known]
    if not verbs:
        return ""
    first = verbs[0]
    if said[first] in table.light and verbs[1:] and known[said[verbs[1]]] != "control":
        return said[verbs[1]]
    if raw[first] in table.noun_verbs and verbs[1:2] == [first + 1]:
        other = raw[first + 1]
        plural = (f"{said[first + 1]}s", f"{said[first + 1]}es")  # "load orders" orders nothing
        if other not in plural and other not in table.noun_verbs and other not in table.nouns:
            return said[first + 1]
    return said[first]
