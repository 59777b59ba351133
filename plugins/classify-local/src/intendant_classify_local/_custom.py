"""What handlers declare of their intents: the only source for those that the model never learned."""

from collections.abc import Sequence
from functools import lru_cache

from intendant import IntentSpec
from intendant_classify_local._language import lemmas_of
from intendant_classify_local._lexicon import lexicon
from intendant_classify_local._view import StepView

_STOP = frozenset(
    [
        "a",
        "an",
        "the",
        "to",
        "of",
        "for",
        "from",
        "in",
        "on",
        "at",
        "by",
        "with",
        "and",
        "or",
        "is",
        "are",
        "be",
        "it",
        "its",
        "this",
        "that",
        "as",
        "into",
        "about",
        "each",
        "every",
        "all",
        "any",
        "new",
        "their",
        "his",
        "her",
        "our",
        "your",
        "my",
        "me",
        "we",
        "you",
        "they",
        "them",
        "not",
        "no",
        "so",
        "if",
        "then",
        "step",
        "please",
        "user",
        "customer",
        "data",
    ]
)
_OWN_WORD, _EVERYWHERE, _ONCE = 1.6, 1.85, 0.45
_COMMON_VERB = 0.25
_HEAD, _TAIL = 3, 0.5
"""A text's first words tell what is done, the later ones with what: these count less."""


@lru_cache(256)
def vocabulary(spec: IntentSpec) -> dict[str, float]:
    """What each word says for the intent: its own words most, words of several examples more than of one.

    Verbs that many intents use ("write", "check") say little, whoever declares them.
    """
    seen: dict[str, int] = {}
    for example in spec.examples:
        for word in _tokens(example):
            seen[word] = seen.get(word, 0) + 1
    rise = (_EVERYWHERE - _ONCE) / max(len(spec.examples) - 1, 1)
    weights = {word: _ONCE + rise * (count - 1) for word, count in seen.items()}
    for words in (*spec.words, spec.name.replace("_", " ")):
        weights.update((word, max(_OWN_WORD, weights.get(word, 0.0))) for word in _tokens(words))
    return {word: weight * (_COMMON_VERB if word in lexicon().groups else 1) for word, weight in weights.items()}


def best_match(view: StepView, specs: Sequence[IntentSpec]) -> tuple[str, float, list[str]]:
    """The declared intent that the step's words speak for most.

    Returns:
        Its name, how probable it is, and the words that spoke for it.
    """
    texts = (view.name, view.action, view.description[:120], view.prompt[:160])
    said: dict[str, float] = {}
    for text in texts:
        for place, word in enumerate(_tokens(text)):
            said[word] = max(said.get(word, 0.0), 1.0 if place < _HEAD else _TAIL)
    best: tuple[str, float, list[str]] = ("", 0.0, [])
    for spec in specs:
        weights = vocabulary(spec)
        shared = sorted(said.keys() & weights.keys(), key=lambda word: (-weights[word], word))
        evidence = sum(weights[word] * said[word] for word in shared)
        # A rare word that fits outweighs; common ones alone never reach one half.
        probability = evidence**2 / (evidence**2 + 1.0)
        if probability > best[1]:
            best = (spec.name, probability, shared)
    return best


def likeness(view: StepView, specs: Sequence[IntentSpec]) -> dict[str, float]:
    """How like the step's own words are to the nearest example of each intent, from 0 to 1 (Jaccard)."""
    said = frozenset(_tokens(f"{view.name} {view.prompt[:160]}"))
    return {
        spec.name: max((len(said & words) / len(said | words) for words in _examples(spec) if words), default=0.0)
        for spec in specs
    }


@lru_cache(256)
def _examples(spec: IntentSpec) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(_tokens(example)) for example in spec.examples)


def _tokens(text: str) -> list[str]:
    _, said = lemmas_of(text)
    kept = [_singular(word) for word in said if word not in _STOP and len(word) > 1 and not word.isdigit()]
    return list(dict.fromkeys(kept))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word  # noqa: PLR2004
