"""The facts of a text, as far as its letters show them: figures, names, identifiers and addresses."""

import re
from collections.abc import Iterator
from functools import lru_cache

ADDRESS, CODE, IDENTIFIER, NAME, NUMBER = 0.45, 0.45, 0.35, 0.3, 0.25
"""Weights, beside each other: what is harder to guess from the rest of the text weighs more."""

_APART = str.maketrans(dict.fromkeys(',;|()[]{}<>"=“”«»', " "))
_TRIM = "'.,:;!?*#\u2026-\u2013\u2019\\"
_FIGURE = re.compile(r"[-+~$\u20ac\u00a3]?\d[\d.,:/%+-]*(?:[a-zA-Z]{1,2}|\u20ac)?")
_INNER = re.compile(r"\w[_./:@$\\]+\w")


def facts_in(text: str) -> dict[str, float]:
    """The distinct facts in *text*, each with its weight."""
    return dict(facts(text))


def facts(text: str) -> Iterator[tuple[str, float]]:
    """The facts in *text* with their weights, in order, each as often as it comes."""
    found = map(_fact, text.translate(_APART).split())
    # The first word of a sentence is written like a name.
    first = next(found, None)
    if first is not None and first[1] != NAME:
        yield first
    yield from filter(None, found)


@lru_cache(maxsize=1 << 15)
def _fact(token: str) -> tuple[str, float] | None:
    """The fact that *token* is, without the marks around it; None for a plain word."""
    bare = token.strip("`").strip(_TRIM).strip("`")
    if "`" in token and bare:
        return bare, CODE
    if len(bare) < 2:  # noqa: PLR2004
        return (bare, NUMBER) if bare.isdigit() else None
    if bare.isalpha():
        return _word(bare)
    if "://" in bare or "@" in bare:
        return bare, ADDRESS
    if _FIGURE.fullmatch(bare):
        return bare, NUMBER
    marked = any(map(str.isdigit, bare)) or _INNER.search(bare) or any(map(str.isupper, bare[1:]))
    return (bare, IDENTIFIER) if marked else None


def _word(word: str) -> tuple[str, float] | None:
    if not word.isascii() and not word[0].isupper():
        return None
    if word.islower():
        return None
    return word, NAME if word.istitle() else IDENTIFIER
