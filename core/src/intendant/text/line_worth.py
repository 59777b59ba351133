"""How likely a line of a long output is needed later: a small logistic regression, learned from runs of agents.

A line is described by what it is (a signature, a comment, part of a docstring, an error), what it says that is new
or that was asked about, and where it stands in how large an output of what kind of command.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import exp, log

from intendant.text.observations import numbered

WORD = re.compile(r"[A-Za-z_]\w{3,}")
_SIGNATURE = re.compile(r"\s*(?:async\s+def|def|class|function|func|fn|interface|struct|impl|type)\s+\w")
_ASSIGNED = re.compile(r"\s*[\w.\[\]'\"]+(?:\s*:\s*[^=]+)?\s*=[^=]")
_CALL = re.compile(r"\w\(")
_ERROR = re.compile(r"\b\w*(?:Error|Exception|Warning)\b|\bFAILED\b|\bassert\b|^E  ")
_PATH = re.compile(r"[\w.-]+/[\w./-]+\.\w+")
_PROSE = re.compile(r"[A-Za-z,'()]+(?: [A-Za-z,'()`]+){4,}[.,:]?$")
_QUOTES = re.compile(r'"""|\'\'\'')
_SHORT = 4
_STARTS = (
    ("comment", ("#", "//", "*", "/*", "..")),
    ("import", ("import ", "from ", "using ", "#include", "require")),
    ("mark", ("@", ">>>")),
    ("control", ("return", "raise", "yield", "if ", "for ", "elif ", "while ", "with ", "try", "except")),
)
"""Kinds of lines, by how they begin."""
_COMMANDS = (
    ("range", re.compile(r"\bsed -n|\bhead\b|\btail\b|grep -[ABCn\d ]*[ABC]")),
    ("grep", re.compile(r"\bgrep\b|\brg\b|\back\b")),
    ("diff", re.compile(r"\bdiff\b|git show|git log")),
    ("test", re.compile(r"pytest|runtests|bin/test|\btox\b|unittest|npm test|go test|cargo test")),
    ("list", re.compile(r"\bls\b|\bfind\b|\btree\b")),
    ("file", re.compile(r"\bcat\b|\bnl\b|\bless\b")),
    ("run", re.compile(r"python|node |bash |\./")),
)


def kind_of_command(command: str) -> str:
    """What sort of output a command has; empty if it is unknown."""
    return next((name for name, pattern in _COMMANDS if pattern.search(command)), "")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known before a text is looked at.

    Attributes:
        kind: The kind of command that printed it.
        words: Words of the message that asked for it.
        talked: Words of all messages so far.
        known: Words that the conversation has shown before.
        turn: How many texts came before.
    """

    kind: str
    words: AbstractSet[str]
    talked: AbstractSet[str]
    known: AbstractSet[str]
    turn: int = 0


@cache
def weights() -> Mapping[str, float]:
    """The weights that are shipped, read when they are first needed."""
    data: dict[str, float] = json.loads((files("intendant.text") / "line_worth.json").read_text("utf-8"))
    return data


def chances(lines: Sequence[str], asked: Asked) -> list[float]:
    """How probable it is, of each line, that something is needed later that stands nowhere before it."""
    known = weights()
    return [1 / (1 + exp(-sum(known.get(name, 0.0) for name in found))) for found in features(lines, asked)]


def features(lines: Sequence[str], asked: Asked) -> Iterator[list[str]]:
    """The names of what each line shows."""
    total = len(lines)
    size = f"size:{min(int(log(sum(map(len, lines)) + 1) * 2), 20)}"
    said = [frozenset(WORD.findall(line)) for line in lines]
    near = _near([bool(words & asked.words) for words in said])
    talked = _near([bool(words & asked.talked) for words in said])
    turn = f"turn:{min(asked.turn // 5, 6)}"
    quoted = False
    parents: list[tuple[int, str]] = []
    for place, line in enumerate(lines):
        number = numbered(line)
        text = number[1] if number is not None else line
        stripped = text.strip()
        marks = len(_QUOTES.findall(text))
        inside = quoted or marks > 0
        quoted ^= marks % 2 == 1
        kind = _kind(text, stripped, inside=inside)
        indent = len(text) - len(text.lstrip())
        if stripped:
            while parents and parents[-1][0] >= indent:
                parents.pop()
        within = parents[-1][1] if parents else "none"
        if kind == "signature":
            words = said[place]
            within = "asked" if words & asked.words else "talked" if words & asked.talked else "other"
            parents.append((indent, within))
        fresh = len(said[place] - asked.known)
        found = [
            "bias",
            size,
            f"is:{kind}",
            f"from:{asked.kind}",
            f"from+is:{asked.kind}:{kind}",
            f"long:{min(len(stripped) // 16, 8)}",
            f"fresh:{min(fresh, 4)}",
            f"near:{near[place]}",
            f"talked:{talked[place]}",
            f"within:{within}",
            f"within+is:{within}:{kind}",
            turn,
            f"indent:{min(indent // 4, 5)}",
            f"place:{10 * place // total}",
        ]
        if number is not None:
            found.append(f"numbered:{asked.kind}")
        if said[place] & asked.words:
            found.append(f"asked:{kind}")
        found += [
            name
            for name, pattern in (("call", _CALL), ("error", _ERROR), ("path", _PATH))
            if pattern.search(stripped)
        ]
        yield found


def _kind(text: str, stripped: str, *, inside: bool) -> str:
    if len(stripped) < _SHORT:
        return "bracket" if stripped else "blank"
    if _SIGNATURE.match(text):
        return "signature"
    if inside:
        return "docstring"
    begun = next((kind for kind, starts in _STARTS if stripped.startswith(starts)), "")
    return begun or ("prose" if _PROSE.search(stripped) else "assigned" if _ASSIGNED.match(text) else "other")


def _near(hits: Sequence[bool]) -> list[int]:
    """The distance to the next line that was asked about, in steps of 1, 3, 8, 20 lines and more."""
    far = 10**6
    distance = [far] * len(hits)
    for order in (range(len(hits)), range(len(hits) - 1, -1, -1)):
        last = far
        for place in order:
            last = 0 if hits[place] else last + 1
            distance[place] = min(distance[place], last)
    return [sum(step >= edge for edge in (1, 3, 8, 20, 60)) for step in distance]
