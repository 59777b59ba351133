"""What a name of a step's type, app or operation says."""

import re
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
_VERBS = {"writer": "write", "sender": "send", "log": "-", "describe": "get"}
"""Words that machinery uses otherwise than people do: a CSV Writer composes nothing, a log is a thing."""


_LEADS = re.compile(
    r"(get|set|send|add|create|list|search|find|update|delete|read|upload|download|fetch|insert|make)(?=[a-z]{4})"
)
_NO_LEADS = ("ting", "ress", "tables", "ready", "ener", "ings", "ition", "able")
"""What follows a verb by chance: "settings", "address", "listener"."""


def _parted(word: str) -> tuple[str, ...]:
    """A word without any capitals, such as "getclipboard", as its verb and the rest."""
    table = lexicon()
    found = _LEADS.match(word)
    if not found or word in table.apps or word in table.makers or word in table.lemmas:
        return (word,)
    rest = word[found.end() :]
    return (word,) if rest.startswith(_NO_LEADS) else (found[0], rest)


_AGENTS = ("er", "or")
_WORKERS = frozenset(("agent", "activity", "processor", "handler", "executor"))
"""Words at a name's end that only say that something is done."""


def _kind_of(word: str) -> str:
    """Whether a thing is a form of data or a place of it: "S3 to Redshift" transfers, "CSV to JSON" does not."""
    table = lexicon()
    return "form" if word in table.formats else "place" if word in table.apps else "other"


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
        self.words = tuple(part for word in joined.split() for part in _parted(word))
        self.exact, self.concepts = table.concepts.found(self.words)
        if not self.exact and (whole := words(name)) != list(self.words):  # "user task", whose "task" says nothing
            self.exact = table.concepts.found(whole)[0]
            self.concepts = tuple(dict.fromkeys((*self.exact, *self.concepts)))
        self.primary = self._primary()
        self.apps = tuple(dict.fromkeys(table.apps[word] for word in (*self.words, solid) if word in table.apps))
        self.verb, self.sure_verb = self._verbs()
        self.features = {where: self._features(where) for where in ("k", "l", "a")}
        self.features["nc"] = [f"nc:{concept}" for concept in self.concepts]

    def _primary(self) -> str:
        """Of an "embedding retriever" or an "http listener" the head tells what it is."""
        table = lexicon()
        found = self.exact
        if len(self.words) > 1 and (self.words[-1] in table.nouns or self.words[-1].endswith(_AGENTS)):
            head = table.concepts.found(self.words[-1:])[0]
            found = tuple(concept for concept in head if concept in found or not found) or found
        return next((concept for concept in PRIMARY if concept in found), "")

    def _verbs(self) -> tuple[str, str]:
        table = lexicon()
        verbs = (_VERBS.get(word) or table.lemmas.get(word, "") for word in self.words)
        if "select" in self.words and "db" in self.apps:
            return "query", "query"
        # "Books" and "Sheets" in an app's name are things, not deeds.
        sure = (
            table.lemmas[word]
            for word in self.words
            if word not in table.noun_verbs
            and table.lemmas.get(word, word) in table.groups
            and (word in table.nouns or table.lemmas[word] not in table.noun_verbs)
        )
        return next((verb for verb in verbs if verb in table.groups), ""), next(sure, "")

    def _ends(self) -> list[str]:
        """Its first word and its head, as lemmas, and what it carries from where to where."""
        if not self.words:
            return []
        table = lexicon()
        said = [table.lemmas.get(word, word) for word in self.words]
        head = said[-2] if len(said) > 1 and said[-1] in _WORKERS else said[-1]
        found = [f"h:{head}", f"b:{said[0]}"]
        if head in table.groups:
            found.append(f"hg:{table.groups[head]}")
        if "to" in self.words[1:-1]:
            place = self.words.index("to", 1)
            before, after = (_kind_of(self.words[each]) for each in (place - 1, place + 1))
            found.append(f"x:{before}:{after}")
        return found

    def _features(self, where: str) -> list[str]:
        return [
            *(f"{where}{end}" for end in self._ends()),
            *(f"{where}:{concept}" for concept in self.concepts),
            *(f"{where}e:{concept}" for concept in self.exact),
            *(f"{where}t:{word}" for word in self.words),
        ]


@lru_cache(8192)
def machinery(name: str) -> Machinery:
    """What *name* says; kept, because few names make up most steps."""
    return Machinery(name)
