"""What handlers declare of their intents: the only source for those that the model never learned."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import exp, log, sqrt

from intendant.plugin import IntentSpec
from intendant_classify_local._language import lemmas_of
from intendant_classify_local._lexicon import lexicon
from intendant_classify_local._view import StepView

_OWN_WORD, _EVERYWHERE, _ONCE = 1.6, 1.85, 0.45
_STEEP, _RIVAL, _OFFSET = 12.0, 4.0, 4.0
"""Fitted on six invented intents: right claims reach 0.7, steps of other intents stay below 0.5."""
_SHARED = 2
"""Words that a step must share with an example; one alone may be in passing."""
_USUAL = 0.6
"""How much a verb counts that many intents could use."""
_UNKNOWN = 1.2
"""The weight of a word that no example has."""
_COMMON_VERB = 0.25
_OPENINGS, _OPENED = 2, 0.6
"""So many examples must begin with a verb that is to speak for their intent; how probable it then is at least."""
_VERBS = """
add ask build call change check clean collect compute create decide do download export extract fetch
filter find generate get give import insert list load look make move open post prepare process
publish put read remove run save search send set show sort split start store summarize take tell
update upload use validate write
"""
_GENERIC = frozenset(_VERBS.split())
"""Verbs of any intent: they speak for none."""
_HEAD, _TAIL = 3, 0.5
"""A text's first words tell what is done, the later ones with what: these count less."""


@lru_cache(256)
def vocabulary(spec: IntentSpec) -> dict[str, float]:
    """What each word says for the intent: its own words most, words of several examples more than of one.

    Verbs that many intents use ("write", "check") say little, unless the intent is named so.
    """
    seen: dict[str, int] = {}
    for example in spec.examples:
        for word in _tokens(example):
            seen[word] = seen.get(word, 0) + 1
    rise = (_EVERYWHERE - _ONCE) / max(len(spec.examples) - 1, 1)
    weights = {word: _ONCE + rise * (count - 1) for word, count in seen.items()}
    for words in (*spec.words, spec.name.replace("_", " ")):
        weights.update((word, max(_OWN_WORD, weights.get(word, 0.0))) for word in _tokens(words))
    usual = lexicon().groups.keys() - {spec.name}
    return {word: weight * (_COMMON_VERB if word in usual else 1) for word, weight in weights.items()}


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


def nearest(view: StepView, specs: Sequence[IntentSpec]) -> dict[str, float]:
    """How like the step is to the examples of each intent, from 0 to 1: cosine of words, rare ones counting most.

    Words that the examples of many intents share say little. The nearest example counts, and half of the next.
    """
    said = frozenset(_tokens(f"{view.name} {view.action} {view.prompt[:160]}"))
    rarity = _rarity(tuple(specs))
    length = sqrt(sum(rarity.get(word, _UNKNOWN) ** 2 for word in said)) or 1.0
    found = {}
    for spec in specs:
        likes = sorted((_cosine(said, words, rarity) / length for words in _examples(spec)), reverse=True)
        found[spec.name] = min(likes[0] + sum(likes[1:2]) / 2, 1.0) if likes else 0.0
    return found


def opening(view: StepView, own: Sequence[IntentSpec], specs: Sequence[IntentSpec]) -> tuple[str, float, str]:
    """The declared intent two or more of whose examples begin with the verb that the step begins with.

    Args:
        view: The step.
        own: The intents that the model never learned.
        specs: All that are declared; an intent whose examples share the verb with those of another has no claim.

    Returns:
        Its name, how probable it is, and the verb.
    """
    verb = _first(view.name or view.prompt[:160])
    if not verb or verb in _GENERIC:
        return "", 0.0, ""
    counts = {spec.name: sum(_first(example) == verb for example in spec.examples) for spec in specs}
    best = max(own, key=lambda spec: counts[spec.name])
    rivals = sum(count for name, count in counts.items() if name != best.name)
    if counts[best.name] < _OPENINGS or rivals:
        return "", 0.0, ""
    share = counts[best.name] / len(best.examples)
    return best.name, _OPENED + (1 - _OPENED) * share / 2, verb


def _first(text: str) -> str:
    return next(iter(_tokens(text)), "")


def claim(own: float, others: float) -> float:
    """How probable an intent is whose examples are that like the step, where those of others are that like it."""
    return 1 / (1 + exp(_OFFSET - _STEEP * own + _RIVAL * others))


def _cosine(said: frozenset[str], words: frozenset[str], rarity: Mapping[str, float]) -> float:
    both = said & words
    if len(both) < min(_SHARED, len(words)):
        return 0.0
    shared = sum(rarity[word] ** 2 for word in both)
    return shared / (sqrt(sum(rarity[word] ** 2 for word in words)) or 1.0)


@lru_cache(64)
def _rarity(specs: tuple[IntentSpec, ...]) -> dict[str, float]:
    """The weight of each word of the examples: less, the more intents use it."""
    used: dict[str, int] = {}
    for spec in specs:
        for word in frozenset().union(*_examples(spec)):
            used[word] = used.get(word, 0) + 1
    usual = lexicon().groups
    return {word: log(1 + len(specs) / count) * (_USUAL if word in usual else 1) for word, count in used.items()}


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
    stop = lexicon().stop
    kept = [_singular(word) for word in said if word not in stop and len(word) > 1 and not word.isdigit()]
    return list(dict.fromkeys(kept))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word  # noqa: PLR2004
