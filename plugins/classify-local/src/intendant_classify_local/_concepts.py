"""Kinds of machinery, by the words that name them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

Rule = tuple[str, re.Pattern[str]]


class Concepts:
    """Finds which concepts a name is, and which it mentions.

    Names are looked up, not matched one after the other, and each word once: some thirty patterns for every name
    would take most of the time that a step may take.

    Args:
        table: The names of each concept; `*` stands for the rest of a word.
    """

    def __init__(self, table: Mapping[str, Sequence[str]]) -> None:
        self._order = tuple(table)
        self._full: dict[str, list[str]] = {}
        self._beginnings: dict[str, list[str]] = {}
        self._endings: dict[str, list[str]] = {}
        self._phrases: dict[str, list[Rule]] = {}
        for concept, names in table.items():
            for name in names:
                self._add(concept, name)
        self._longest = max(name.count(" ") for name in self._full) + 1
        self._of_word = lru_cache(8192)(self._match_word)

    def _add(self, concept: str, name: str) -> None:
        if "*" not in name:
            self._full.setdefault(name, []).append(concept)
            return
        if " " not in name:
            ends = self._endings if name.startswith("*") else self._beginnings
            ends.setdefault(name.strip("*"), []).append(concept)
            return
        key = next(word for word in name.split() if "*" not in word)
        pattern = re.escape(name).replace(r"\*", r"\w*")
        self._phrases.setdefault(key, []).append((concept, re.compile(rf"(?<!\w){pattern}(?!\w)")))

    def _match_word(self, word: str) -> frozenset[str]:
        found = set(self._full.get(word, ()))
        for place in range(1, len(word) + 1):
            found.update(self._beginnings.get(word[:place], ()))
            found.update(self._endings.get(word[-place:], ()))
        return frozenset(found)

    def found(self, words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The concepts that a name is, and those that it mentions, which includes the former.

        Args:
            words: The name's words in lower case.
        """
        joined = " ".join(words)
        solid = "".join(words)
        exact = {*self._of_word(solid), *self._full.get(joined, ())}
        if not exact and solid.endswith("s"):  # "subflows"
            exact = {*self._of_word(solid[:-1]), *self._full.get(joined[:-1], ())}
        mentioned: set[str] = set()
        for word in words:
            mentioned |= self._of_word(word)
            for concept, pattern in self._phrases.get(word, ()):
                if match := pattern.search(joined):
                    mentioned.add(concept)
                    if match[0] == joined:
                        exact.add(concept)
        for phrase in self._parts(words):
            mentioned.update(self._full.get(phrase, ()))
        mentioned |= exact
        return self._in_order(exact), self._in_order(mentioned)

    def _parts(self, words: Sequence[str]) -> Iterator[str]:
        for start in range(len(words)):
            for end in range(start + 2, min(start + self._longest, len(words)) + 1):
                yield " ".join(words[start:end])

    def _in_order(self, found: set[str]) -> tuple[str, ...]:
        return tuple(concept for concept in self._order if concept in found) if found else ()
