"""What words mean: the tables of `lexicon.toml`, made ready for looking up."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from intendant_classify_local._concepts import Concepts

Cues = Mapping[str, tuple[str, ...]]
_CJK = "\u2fff"


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Tables for looking up words.

    Attributes:
        lemmas: English verb by form, be it inflected, a noun of the deed, or of another language.
        groups: What a verb does, by lemma.
        nouns: Nouns of an agent or a deed.
        noun_verbs: Verbs that are nouns as often.
        ideographs: English verb by part of a Chinese or Japanese word.
        ideograph: Finds those parts.
        concepts: Finds kinds of machinery in names.
        apps: What an app is for, by word.
        brand: Finds names of makers that contain words of the lexicon.
        prompt_starts: Phrases of prompts and their cues, by the phrase's first three letters.
        key_groups: What a parameter hints at, by its name in lower case.
        output_groups: What a field of the output hints at, by its name in lower case.
        objects: The kind of thing that something is done with.
        commands: What a command of a command line does, by its first word or two.
        light: Verbs that say little where another follows.
        formats: Forms that data have.
        makers: Names of makers, written together.
        stop: Words that are not compared with the examples of handlers.
    """

    lemmas: Mapping[str, str]
    groups: Mapping[str, str]
    nouns: frozenset[str]
    noun_verbs: frozenset[str]
    ideographs: Mapping[str, str]
    ideograph: re.Pattern[str]
    concepts: Concepts
    apps: Mapping[str, str]
    brand: re.Pattern[str]
    generic: frozenset[str]
    code_cues: Cues
    url_cues: Cues
    prompt_starts: Mapping[str, Sequence[tuple[str, str]]]
    ideographic_cues: Cues
    key_groups: Mapping[str, str]
    output_groups: Mapping[str, tuple[str, ...]]
    objects: Mapping[str, str]
    commands: Mapping[str, str]
    light: frozenset[str]
    stop: frozenset[str]
    fillers: frozenset[str]
    tails: frozenset[str]
    questions: frozenset[str]
    choices: frozenset[str]
    formats: frozenset[str]
    makers: frozenset[str]

    def prompt_cues(self, text: str, places: Iterable[tuple[int, str]]) -> set[str]:
        """The cues of a prompt in lower case.

        Args:
            text: The prompt.
            places: Where its words begin, and the words.
        """
        starts = self.prompt_starts
        return {
            cue
            for place, word in places
            if (candidates := starts.get(word[:3]))
            for phrase, cue in candidates
            if text.startswith(phrase, place)
        }


def found_in(text: str, cues: Cues) -> list[str]:
    """The cues of which *text* shows at least one phrase. Plain substrings: many times faster than patterns."""
    return [cue for cue, phrases in cues.items() if any(phrase in text for phrase in phrases)]


@cache
def lexicon() -> Lexicon:
    """The lexicon, read when it is first needed."""
    data = tomllib.loads((files("intendant_classify_local") / "lexicon.toml").read_text("utf-8"))
    ideographs = dict(_forms(data["ideographic"]))
    prompt = data["cues"]["prompt"]
    return Lexicon(
        lemmas=_lemmas(data),
        groups={lemma: group for group, verbs in data["verbs"].items() for lemma in verbs},
        nouns=frozenset(form for forms in data["nouns"].values() for form in forms),
        noun_verbs=frozenset(data["noun_verbs"]),
        ideographs=ideographs,
        ideograph=re.compile("|".join(sorted(map(re.escape, ideographs), key=lambda part: (-len(part), part)))),
        concepts=Concepts(data["concepts"]),
        apps={word: kind for kind, names in data["apps"].items() for word in names},
        brand=re.compile(rf"\b(?:{'|'.join(sorted(data['brands'], key=lambda name: (-len(name), name)))})\b"),
        generic=frozenset(data["generic"]),
        code_cues=_cues(data["cues"]["code"]),
        url_cues=_cues(data["cues"]["url"]),
        prompt_starts=_starts(prompt),
        ideographic_cues=_cues(
            {cue: [each for each in phrases if each[0] > _CJK] for cue, phrases in prompt.items()}
        ),
        key_groups={key: group for group, keys in data["keys"].items() for key in keys},
        output_groups=_groups(data["output"]),
        objects={word: kind for kind, words in data["objects"].items() for word in words},
        commands={name: deed for deed, names in data["commands"].items() for name in names},
        light=frozenset(data["light"]),
        stop=frozenset(data["stop"]),
        fillers=frozenset(data["fillers"]),
        tails=frozenset(data["tails"]),
        questions=frozenset(data["questions"]),
        choices=frozenset(data["choices"]),
        formats=frozenset(data["formats"]),
        makers=frozenset(name.replace(" ", "") for name in data["brands"]),
    )


def _lemmas(data: Mapping[str, Any]) -> dict[str, str]:
    verbs = [verb for group in data["verbs"].values() for verb in group]
    forms = {form: verb for verb in verbs for form in _inflected(verb)}
    forms.update((form, lemma) for lemma, nouns in data["nouns"].items() for form in nouns)
    forms.update(_forms(data["languages"]))
    forms.update((verb, verb) for verb in verbs)
    return forms


def _forms(languages: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[tuple[str, str]]:
    for table in languages.values():
        for lemma, forms in table.items():
            yield from ((form, lemma) for form in forms)


def _inflected(verb: str) -> Iterator[str]:
    """The forms of an English verb, some that do not exist among them."""
    if verb.endswith("y") and verb[-2:-1] not in "aeou":
        yield from (verb[:-1] + "ies", verb[:-1] + "ied", verb + "ing")
        return
    stem = verb.removesuffix("e")
    third = verb + "es" if verb.endswith(("s", "sh", "ch", "x", "z")) else verb + "s"
    yield from (third, stem + "ed", stem + "ing", stem + verb[-1] + "ed", stem + verb[-1] + "ing")
    if "iz" in verb:
        yield from (form.replace("iz", "is") for form in (verb, third, stem + "ed", stem + "ing"))


def _groups(table: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    for group, names in table.items():
        for name in names:
            groups[name] = (*groups.get(name, ()), group)
    return groups


def _cues(table: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {cue: tuple(phrases) for cue, phrases in table.items() if phrases}


def _starts(table: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[str, str]]]:
    starts: dict[str, list[tuple[str, str]]] = {}
    for cue, phrases in table.items():
        for phrase in phrases:
            if phrase[0] <= _CJK:
                starts.setdefault(phrase[:3], []).append((phrase, cue))
    return starts
