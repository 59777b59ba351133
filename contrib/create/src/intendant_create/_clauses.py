"""Takes a sentence apart into clauses, each of which wants one thing done."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from intendant_create._things import Thing
from intendant_create._words import AND, BEFORE, ELSE, FIGURES, IF, LETTERS, Verb, plain, verbs_of

_MARK = re.compile(r"\ue000(\d+)\ue001")
_BREAK = re.compile(r"[,;.!?:\n]+(?=\s|$)")


MOST_LOOSE = 3
"""Words without a verb that may go unnoticed."""


@dataclass(slots=True)
class Clause:
    """A part of a sentence that wants one thing done.

    Attributes:
        text: As it is written.
        words: Its words, plain.
        action: What its first verb wants; empty where it has none.
        at: Which word the verb is.
        things: What it names, and before which of its words.
        role: `if`, `else`, or empty.
        loose: What stands behind it, says nothing that is understood, and is long enough to matter.
    """

    text: str
    words: list[str]
    action: str = ""
    at: int = 0
    things: list[tuple[int, Thing]] = field(default_factory=list)
    role: str = ""
    loose: list[str] = field(default_factory=list)


def clauses_of(marked: str, things: list[Thing]) -> list[Clause]:
    """The clauses of a sentence with marks for what it names."""
    found: list[Clause] = []
    for piece in _pieces(marked):
        clause = _clause(piece, things)
        if not clause.action and not clause.role and found:
            _join(found[-1], clause)
        elif clause.words:
            found.append(clause)
    return found


def _pieces(marked: str) -> Iterator[str]:
    """The sentence cut at marks of punctuation, between verbs, and before conditions."""
    for part in _BREAK.split(marked):
        words = list(LETTERS.finditer(part))
        plain_words = [plain(word[0]) for word in words]
        cuts = [0, *sorted(set(_cuts(plain_words))), len(words)]
        for first, last in pairwise(cuts):
            if first < last:
                start = words[first].start() if first else 0
                yield part[start : words[last].start() if last < len(words) else len(part)].strip()


def _cuts(words: list[str]) -> Iterator[int]:
    """Before which words a new clause begins."""
    verbs = verbs_of(words)
    for at, word in enumerate(words):
        joins = word in AND and at + 1 < len(words) and _verb_near(verbs, at + 1, words)
        if at and (joins or word in IF or word in ELSE):
            yield at
    for before, verb in pairwise(verbs):
        if verb.at == before.at + 1:
            continue
        if words[verb.at - 1] in BEFORE and before.action in ("ask", "show"):
            yield verb.at


def _verb_near(verbs: list[Verb], start: int, words: list[str]) -> bool:
    """True if what begins at a word has a verb of its own before the next "and"."""
    end = next((at for at in range(start, len(words)) if words[at] in AND), len(words))
    if end == start + 1 and words[start] in FIGURES:
        return False
    return any(start <= verb.at < end for verb in verbs)


def _clause(text: str, things: list[Thing]) -> Clause:
    words: list[str] = []
    named: list[tuple[int, Thing]] = []
    for match in LETTERS.finditer(text):
        if (mark := _MARK.match(match[0])) is not None:
            named.append((len(words), things[int(mark[1])]))
            words.append("\ue000")
        else:
            words.append(plain(match[0]))
    clause = Clause(_named(text, things), words, things=named)
    start = next((at for at, word in enumerate(words) if word not in AND), len(words))
    if words[start : start + 1] and words[start] in IF:
        clause.role = "if"
    elif words[start : start + 1] and words[start] in ELSE:
        clause.role = "else"
    verbs = verbs_of(words)
    if len(verbs) == 1 and 0 < verbs[0].at == len(words) - 1 and words[-1] in FIGURES and words[-2] in AND:
        verbs = []  # the last of what is asked for: "the date and total"
    if verbs:
        clause.action, clause.at = verbs[0].action, verbs[0].at
    return clause


def _join(before: Clause, clause: Clause) -> None:
    """What has no verb belongs to the clause before it."""
    if before.action in ("", "read", "send", "save") and not clause.things and len(clause.words) > MOST_LOOSE:
        before.loose.append(clause.text)
    shift = len(before.words)
    before.things += [(at + shift, thing) for at, thing in clause.things]
    before.words += clause.words
    before.text = f"{before.text}, {clause.text}"


def _named(text: str, things: list[Thing]) -> str:
    return _MARK.sub(lambda mark: things[int(mark[1])].value, text)
