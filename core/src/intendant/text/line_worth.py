"""How likely a line of a long output is needed later: a small logistic regression, learned from runs of agents.

A line is described by what it is (a signature, a comment, part of a docstring, an error), what it says that is new
or that was asked about, which names of programs are in it and in its function, and where it stands in how large an
output of what kind of command.

The weights minimise the log loss of "something that stands here first is needed later", all runs weighed alike,
with a penalty of 30 on their squares. The rates below which lines go were chosen over runs that were left out, to
lose about 2 % of what is needed.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain
from math import exp, log

from intendant.text.observations import numbered

WORD = re.compile(r"[A-Za-z_]\w{3,}")
_SHAPED = re.compile(r"\w*(?:[a-z0-9]_[a-z0-9]|[A-Za-z]\d|[a-z][A-Z]|[A-Z]{2}[a-z])\w*|_\w+|[A-Z][A-Z_]{3,}")
_SIGNATURE = re.compile(r"\s*(?:async\s+def|def|class|function|func|fn|interface|struct|impl|type)\s+\w")
_ASSIGNED = re.compile(r"\s*[\w.\[\]'\"]+(?:\s*:\s*[^=]+)?\s*=[^=]")
_CALL = re.compile(r"\w\(")
_ERROR = re.compile(r"\b\w*(?:Error|Exception|Warning)\b|\bFAILED\b|\bassert\b|^E  ")
_PATH = re.compile(r"[\w.-]+/[\w./-]+\.\w+")
_PROSE = re.compile(r"[A-Za-z,'()]+(?: [A-Za-z,'()`]+){4,}[.,:]?$")
_QUOTES = re.compile(r'"""|\'\'\'')
_FUNCTION = re.compile(r"\s*(?:async\s+def|def|function|func|fn)\s+\w")
_HOLDS = (("call", _CALL), ("error", _ERROR), ("path", _PATH))
_SHORT = 4
LOOKED_AT = 500
"""Characters of a command."""
_STARTS = (
    ("comment", ("#", "//", "*", "/*", "..")),
    ("import", ("import ", "from ", "using ", "#include", "require")),
    ("mark", ("@", ">>>")),
    ("control", ("return", "raise", "yield", "if ", "for ", "elif ", "while ", "with ", "try", "except")),
)
"""Kinds of lines, by how they begin."""
_COMMANDS = (
    ("range", re.compile(r"(?:sed\b.* -n|head|tail|grep\b.* -[A-Za-z\d]*[ABC]\b)")),
    ("grep", re.compile(r"(?:[ef]?grep|rg|ag|ack|git grep)\b")),
    ("diff", re.compile(r"(?:diff|git (?:diff|show|log))\b")),
    (
        "test",
        re.compile(
            r"(?:\S*python\S* (?:-\w+ )*-m )?(?:pytest|py\.test|tox|nox|unittest)\b|(?:npm|go|cargo|make) test\b"
        ),
    ),
    ("test", re.compile(r"(?:\S*python\S* |bash |sh )?\S*(?:runtests|bin/test|/manage\.py test)\b")),
    ("list", re.compile(r"(?:ls|find|tree|git ls-files)\b")),
    ("file", re.compile(r"(?:cat|nl|less|more|bat)\b")),
    ("run", re.compile(r"(?:python|node|bash|sh|ruby|perl|make|\./|pip|npm)")),
)
"""Kinds of output, by how a command begins; what reads the output of another, as `head` does, counts first."""
_JOINTS = re.compile(r"\s*(?:&&|\|\||[;|])\s*")
_SILENT = re.compile(r"(?:cd|export|echo|mkdir|rm)\b")
_BEFORE = re.compile(r"^(?:(?:sudo|env|time|timeout(?: +\d+\w?)?)\s+|\w+=\S* +)+")
"""What prints nothing, and what stands before a command."""


def kind_of_command(command: str) -> str:
    """What sort of output a command has; empty if it is unknown."""
    parts = [
        _BEFORE.sub("", part) for part in _JOINTS.split(command[:LOOKED_AT].strip()) if not _SILENT.match(part)
    ]
    return next((name for name, pattern in _COMMANDS if any(map(pattern.match, parts))), "")


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
    told = _Told.of(lines, said, asked)
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
        found = [
            "bias",
            size,
            f"is:{kind}",
            f"from:{asked.kind}",
            f"from+is:{asked.kind}:{kind}",
            f"long:{min(len(stripped) // 16, 8)}",
            f"fresh:{min(len(said[place] - asked.known), 4)}",
            f"near:{near[place]}",
            f"talked:{talked[place]}",
            f"within:{within}",
            f"within+is:{within}:{kind}",
            turn,
            f"indent:{min(indent // 4, 5)}",
            f"place:{10 * place // total}",
            *told.features(place, kind, asked),
        ]
        if number is not None:
            found.append(f"numbered:{asked.kind}")
        if said[place] & asked.words:
            found.append(f"asked:{kind}")
        found += [name for name, pattern in _HOLDS if pattern.search(stripped)]
        yield found


@dataclass(frozen=True, slots=True)
class _Told:
    """Names as programs have them (`as_here`, `OrHere`, `LIMIT`), which tell more than words of a language do.

    Attributes:
        names: Of each line.
        often: In how many lines the one that comes most often in a line is.
        talked: How far the next line with one that was talked about is, and `asked` of the last message.
        scopes: The function that each line is in, by number; 0 outside of all.
        marks: Of each function whether such a name is in it: 2 if it was asked about, 1 if talked about.
    """

    names: Sequence[AbstractSet[str]]
    often: Sequence[int]
    talked: Sequence[int]
    asked: Sequence[int]
    scopes: Sequence[int]
    marks: Mapping[int, int]

    @classmethod
    def of(cls, lines: Sequence[str], said: Sequence[AbstractSet[str]], asked: Asked) -> "_Told":
        """Those of all lines."""
        names = [frozenset(word for word in words if _SHAPED.fullmatch(word)) for words in said]
        times = Counter(chain.from_iterable(names))
        scopes = _scopes(lines)
        marks: dict[int, int] = {}
        for scope, words in zip(scopes, names, strict=True):
            if words & asked.talked:
                marks[scope] = max(marks.get(scope, 0), 1 + bool(words & asked.talked & asked.words))
        return cls(
            names,
            [max((times[word] for word in words), default=0) for words in names],
            _near([bool(words & asked.talked) for words in names]),
            _near([bool(words & asked.words) for words in names]),
            scopes,
            marks,
        )

    def features(self, place: int, kind: str, asked: Asked) -> list[str]:
        """What they show of a line."""
        fresh = len(self.names[place] - asked.known)
        mark = self.marks.get(self.scopes[place], 0)
        return [
            f"names:{min(fresh, 3)}",
            f"names+is:{min(fresh, 1)}:{kind}",
            f"names-talked:{self.talked[place]}",
            f"names-asked:{self.asked[place]}",
            f"scope:{mark}",
            f"scope+is:{mark}:{kind}",
            f"from+scope:{asked.kind}:{mark}",
            f"often:{min(self.often[place], 4)}",
        ]


def _scopes(lines: Sequence[str]) -> list[int]:
    """For each line the number of the function that it is in; 0 outside of all."""
    found: list[int] = []
    number, depth, opened = 0, -1, 0
    for line in lines:
        at = numbered(line)
        text = at[1] if at is not None else line
        bare = text.strip()
        indent = len(text) - len(text.lstrip())
        if _FUNCTION.match(text):
            opened += 1
            number, depth = opened, indent
        elif bare and 0 <= indent <= depth and bare[0] not in ")]}":
            number, depth = 0, -1
        found.append(number)
    return found


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
