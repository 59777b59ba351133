"""What a name of a step's type, app or operation says."""

from functools import lru_cache

from intendant_classify_local._lexicon import lexicon
from intendant_classify_local._view import words

PRIMARY = (
    "subnode",
    "trigger",
    "note",
    "wait",
    "loop",
    "startstop",
    "filter",
    "merge",
    "aggregate",
    "respond",
    "branch",
    "split",
    "template",
    "parsefile",
    "retrieve",
    "imageaudio",
    "llmsummary",
    "llmlabel",
    "validate",
    "enrich",
    "readfile",
    "writefile",
    "websearch",
    "convert",
    "http",
    "sql",
    "shell",
    "code",
    "set",
    "llm",
    "runjob",
    "sink",
    "pass",
    "noop",
)
"""The concepts; where a name says several, the first counts."""
_VERBS = {"writer": "write", "sender": "send", "log": "-"}
"""Words that machinery uses otherwise than people do: a CSV Writer composes nothing, a log is a thing."""


class Machinery:
    """What a name says.

    Attributes:
        words: Its words, without those that say nothing.
        exact: The concepts that it is.
        concepts: The concepts that it mentions.
        primary: The one of `exact` that counts; empty if there is none.
        apps: What the apps that it mentions are for.
        verb: The lemma of its first verb.
        sure_verb: The same, without words that are nouns as often.
        features: What it says as features, by where it was said.
    """

    __slots__ = ("apps", "concepts", "exact", "features", "primary", "sure_verb", "verb", "words")

    def __init__(self, name: str) -> None:
        table = lexicon()
        plain = " ".join(word for word in words(name) if word not in table.generic and not word.isdigit())
        joined = table.brand.sub(lambda found: found[0].replace(" ", ""), plain)
        solid = joined.replace(" ", "")
        self.words = tuple(joined.split())
        self.exact, self.concepts = table.concepts.found(self.words)
        self.primary = next((concept for concept in PRIMARY if concept in self.exact), "")
        self.apps = tuple(dict.fromkeys(table.apps[word] for word in (*self.words, solid) if word in table.apps))
        self.verb, self.sure_verb = self._verbs()
        self.features = {where: self._features(where) for where in ("k", "l", "a")}
        self.features["nc"] = [f"nc:{concept}" for concept in self.concepts]

    def _verbs(self) -> tuple[str, str]:
        table = lexicon()
        verbs = (_VERBS.get(word) or table.lemmas.get(word, "") for word in self.words)
        # "Books" and "Sheets" in an app's name are things, not deeds.
        sure = (
            table.lemmas[word]
            for word in self.words
            if word not in table.noun_verbs
            and table.lemmas.get(word, word) in table.groups
            and (word in table.nouns or table.lemmas[word] not in table.noun_verbs)
        )
        return next((verb for verb in verbs if verb in table.groups), ""), next(sure, "")

    def _features(self, where: str) -> list[str]:
        return [
            *(f"{where}:{concept}" for concept in self.concepts),
            *(f"{where}e:{concept}" for concept in self.exact),
            *(f"{where}t:{word}" for word in self.words),
        ]


@lru_cache(8192)
def machinery(name: str) -> Machinery:
    """What *name* says; kept, because few names make up most steps."""
    return Machinery(name)
