"""What a unit is worth, whatever is asked: the part it plays, the facts it carries, and that it is new."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from intendant.plugin import TextUnit, facts_in
from intendant_compress_semantic._near import LITERAL
from intendant_compress_semantic._words import words

ROLES = {
    "head": 10.0,
    "heading": 0.9,
    "change": 0.7,
    "hunk": 0.3,
    "error": 1.0,
    "summary": 1.2,
    "body": 0.2,
    "context": 0.05,
    "quoted": 0.05,
    "boiler": 0.02,
}
"""Worth of the parts that units play."""
FACTS = {"quoted": 0.5, "change": 0.3, "context": 0.2, "boiler": 0.05, "head": 0.0}
"""What facts count for in some parts; 1 in the others."""
FACTS_OF = {"html": 0.15, "diff": 0.0, "transcript": 0.2, "shell": 0.5, "mail": 6.0, "markdown": 4.0}
"""What they count for in some kinds of content: a page's menus are full of names, and mean little; manuals and
mails are read for the addresses, names and figures in them. Of a diff each changed line counts alike."""
PROTECTED = 100.0
"""What a unit that must not go is worth more."""
SENTENCE = 0.2
"""What a whole sentence is worth more than a scrap."""
REPEATED = 0.7
"""The second unit of one shape is worth 1/1.7 of the first, the third 1/2.4, and so on."""
TOLD_AGAIN = 0.2
"""The power to which that is taken for errors and sums that a command prints: each tells of something else."""
FOOTER = 0.2
"""What a line is worth that comes in more mails of a thread than two: part of what lists add to each."""
DATED = 0.05
"""What the date of a mail is worth; a subject that a mail before had is worth nothing."""
CONTENT_WORD = 0.5
"""What a word counts for in talk, which has few facts of other sorts."""
SAYS_SOMETHING = 2
"""Such words of a turn of which there need to be two, or it is worth less."""
LEAST_WORDS = 5
LEAST_WORD = 4
RARE = 0.6
"""What a shape that comes once among many units is worth more; one that comes twice gets half of it."""
SELDOM = 4
MANY = 20

_STRESS = re.compile(
    r"\b(?:not|no|never|none|cannot|without|neither|nor)\b|n['\u2019]t\b"
    r"|\b(?:decid|agreed|approv|reject|must|deadline|resolv|conclu|result|import)\w*",
    re.IGNORECASE,
)
_CLOSED = tuple(".!?\u2026:")
_OWN_WORDS = re.compile(r"[^\s=:,()\[\]]*\d[^\s=:,()\[\]]*")
_ANSWER = re.compile(r"^(?:\W*(?:re|fwd?|aw|wg)\b:?)*")
_VARYING = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}|\d+")


@dataclass(frozen=True, slots=True)
class Worth:
    """What a unit is worth by itself, and by the facts that no unit kept so far carries."""

    own: float
    facts: list[tuple[int, float]]
    """Each as its number, the same in all units, with its worth."""


def worths(
    units: Sequence[TextUnit],
    near: Sequence[float],
    rare: frozenset[int],
    nearness_counts: float,
    kind: str = "text",
    protect: Sequence[str] = (),
) -> list[Worth]:
    """The worth of each unit.

    Args:
        units: In the order of the text.
        near: How near each is to what is asked.
        rare: Units that stand out, such as rows with an outlier.
        kind: What sort of content they are of.
        protect: Regular expressions: units in which they match come before all others.
        nearness_counts: What nearness counts for beside the rest, which is 1 or so for a unit full of facts.
    """
    varying = _OWN_WORDS if kind in ("log", "shell", "text") else _VARYING
    protected = [re.compile(expression) for expression in protect]
    shapes = [varying.sub("0", unit.text.strip().casefold()) for unit in units]
    times = Counter(shapes)
    alike = len(units) > MANY and len(times) < 0.7 * len(units)
    said = [_content_words(unit) for unit in units] if kind == "transcript" else []
    facts = [facts_in(unit.text) for unit in units]
    if said:
        facts = [found | dict.fromkeys(own, CONTENT_WORD) for found, own in zip(facts, said, strict=True)]
    rareness = {fact: 1 / (1 + math.log(times)) for fact, times in Counter(chain(*facts)).items()}
    numbers = {fact: number for number, fact in enumerate(rareness)}
    parts = _parts_of_mails(units, [times[shape] for shape in shapes]) if kind == "mail" else [1.0] * len(units)
    seen: Counter[str] = Counter()
    worth = []
    for index, (unit, shape, found) in enumerate(zip(units, shapes, facts, strict=True)):
        novelty = 1 / (1 + REPEATED * seen[shape])
        if kind == "shell" and unit.role in ("error", "summary"):
            novelty = math.pow(novelty, TOLD_AGAIN)
        novelty *= parts[index]
        seen[shape] += 1
        guarded = PROTECTED * any(expression.search(unit.text) for expression in protected)
        alone = (said and unit.role == "heading") or novelty == 0
        if (not shape and unit.role != "head") or (alone and near[index] < LITERAL and not guarded):
            worth.append(Worth(0.0, []))
            continue
        own = ROLES.get(unit.role, 0.2) * novelty + nearness_counts * near[index] * (
            1.0 if unit.role == "heading" else parts[index]
        )
        own += 0.15 * (unit.role == "body" and _STRESS.search(unit.text) is not None)
        own += RARE * parts[index] * max(index in rare, alike and times[shape] <= SELDOM and 1 / times[shape])
        own *= min(1.0, (len(said[index]) + 0.2) / SAYS_SOMETHING) if said else 1.0
        own += SENTENCE * (unit.role == "body" and _is_sentence(unit.text)) + guarded
        counts = FACTS_OF.get(kind, 1.0)
        part = FACTS.get(unit.role, 1.0) * (min(1.0, counts) if unit.role == "heading" else counts) * novelty
        worth.append(
            Worth(own, [(numbers[fact], part * weight * rareness[fact]) for fact, weight in found.items()])
        )
    return worth


def _is_sentence(text: str) -> bool:
    bare = text.rstrip().rstrip("\"')]\u201d\u00bb")
    return bare.endswith(_CLOSED) and bare.count(" ") >= LEAST_WORDS


def _content_words(unit: TextUnit) -> list[str]:
    """The words of a turn that carry meaning; none of the name of who speaks."""
    return [] if unit.role == "heading" else [word for word in words(unit.text) if len(word) >= LEAST_WORD]


def _parts_of_mails(units: Sequence[TextUnit], times: Sequence[int]) -> list[float]:
    """What counts of the worth of each line of a thread.

    Senders stand above what is kept of their mails, and count for nothing by themselves. Subjects
    that come again count for nothing, and dates for little.
    """
    parts = []
    subjects: set[str] = set()
    for unit, often in zip(units, times, strict=True):
        part = FOOTER if unit.role == "body" and often > 2 else 1.0  # noqa: PLR2004  # once sent, once quoted
        if unit.role == "heading":
            name, _, value = unit.text.casefold().partition(":")
            subject = _ANSWER.sub("", value).strip()
            if name == "subject":
                part = 0.0 if subject in subjects else 1.0
                subjects.add(subject)
            else:
                part = DATED if name == "date" else 0.0
        parts.append(part)
    return parts
