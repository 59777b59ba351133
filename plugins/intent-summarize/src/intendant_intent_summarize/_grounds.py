"""Whether figures and names of a summary stand in what it summarizes."""

import re
from collections.abc import Callable, Iterator
from functools import cached_property

from intendant.plugin import Json, facts_in

NAME = 0.3
"""The weight that `facts_in` gives to words that begin with a capital."""
SHOWN = 6
"""Facts that a message names."""
_SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n+(?:[-*•] )?|^[-*•] ")
_NUMBER = re.compile(r"\d(?:[\d.,' \u00a0\u2009\u202f]*\d)?")
_GERMAN = re.compile(r"\b(?:der|die|das|den|dem|und|ist|war|nicht|ein|eine|mit|von|im|am|auf|zu)\b")
"""Words of a language that begins every noun with a capital."""


class Grounds:
    """A text against which claims are checked.

    Args:
        text: What may be claimed.
        names: True to check names as well; False where the claims are in another language.
    """

    def __init__(self, text: str, *, names: bool = True) -> None:
        self._text = text
        self._names = names

    @cached_property
    def _folded(self) -> str:
        return self._text.casefold()

    @cached_property
    def _figures(self) -> frozenset[str]:
        return frozenset(_digits(match[0]) for match in _NUMBER.finditer(self._text))

    def missing(self, claim: str) -> list[str]:
        """The figures, names, identifiers and addresses of *claim* that do not stand in the text."""
        return [*self.missing_facts(claim), *self.missing_names(claim)]

    def missing_facts(self, claim: str) -> list[str]:
        """The figures, identifiers and addresses of *claim* that do not stand in the text."""
        facts = _facts(claim)
        return [fact for fact, weight in facts.items() if weight != NAME and not self._has(fact)]

    def missing_names(self, claim: str) -> list[str]:
        """The names in *claim* that do not stand in the text; they may be translated, or no names at all."""
        if not self._names or _has_capital_nouns(claim):
            return []
        names = [fact for fact, weight in _facts(claim).items() if weight == NAME]
        return [name for name in names if name.casefold() not in self._folded]

    def _has(self, fact: str) -> bool:
        if re.search(rf"(?<![\w]){re.escape(fact)}(?!\w)", self._text) is not None:
            return True
        numbers: list[str] = _NUMBER.findall(fact)
        if not numbers:
            return fact.casefold() in self._folded
        return all(_digits(number) in self._figures for number in numbers)


def _facts(claim: str) -> dict[str, float]:
    """The facts of a claim; the first word of a sentence is none by its capital alone."""
    parts = filter(None, _SENTENCE.split(claim))
    return {fact: weight for part in parts for fact, weight in facts_in(part).items()}


def _digits(number: str) -> str:
    """A figure without what groups its digits, so that 1,234 is 1234."""
    return re.sub(r"\D", "", number)


def _has_capital_nouns(text: str) -> bool:
    return len(set(_GERMAN.findall(text))) > 1


def named(facts: list[str]) -> str:
    """Facts, as messages name them."""
    facts = list(dict.fromkeys(facts))
    more = f" and {len(facts) - SHOWN} more" if len(facts) > SHOWN else ""
    return ", ".join(facts[:SHOWN]) + more


class OnceStrict:
    """A check that sends an answer back once; what is still wrong the second time is kept for a note.

    Args:
        find: Returns the problems of an answer.
    """

    def __init__(self, find: Callable[[Json], Iterator[str]]) -> None:
        self._find = find
        self._asked = False
        self.left: list[str] = []
        """What was wrong with the last answer."""

    def __call__(self, value: Json) -> list[str]:
        """The problems of the first answer; none of a later one."""
        self.left = list(dict.fromkeys(self._find(value)))
        strict, self._asked = not self._asked, True
        return self.left if strict else []
