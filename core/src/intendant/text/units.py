"""Content as units that are kept or left out whole: lines, turns, sentences; each with the part it plays.

A unit may stand under another that explains it, as a line of a function under its signature, or a mail's lines
under its `From:`. Whoever keeps a unit should keep those it stands under.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

LONG = 400
"""Characters above which a unit is cut into pieces at spaces."""
LINE = 200
"""Mean characters a line above which the units of unknown text are sentences."""


@dataclass(slots=True)
class TextUnit:
    """A piece of content."""

    text: str
    role: str = "body"
    """`head` (explains all of it), `heading` (of a section, message, function, passage), `hunk` (of a diff),
    `change` (a line of a diff that came or went), `context` (one that did not), `error`, `summary` (a line that
    sums up), `quoted`, `boiler` (what is the same everywhere,
    such as a mail's transport lines), `body`."""
    under: int = -1
    """Index of the unit that explains this one; -1 for none."""
    fence: int = -1
    """Index of the line that opens the fence (of code in Markdown) this unit is in; -1 for none."""


@dataclass(frozen=True, slots=True)
class TextUnits:
    """Text in units; joined they are the text again."""

    units: list[TextUnit]
    what: str
    """`lines`, `rows`, `sentences`, `turns`."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self.units)

    def closed(self, kept: Iterable[int]) -> list[int]:
        """*kept* with the units that those stand under, in their order."""
        found: set[int] = set()
        for index in kept:
            at = index
            while at >= 0 and at not in found:
                found.add(at)
                at = self.units[at].under
        return sorted(found)

    def written(self, kept: Sequence[int], gap: str = "") -> str:
        """The units *kept*, given in their order, as text; *gap* stands where others were left out.

        What stood in a fence of code stands in one.
        """
        found: list[str] = []
        last, fence = -1, -1
        for index in kept:
            unit = self.units[index]
            if unit.fence != fence:
                self._close(found, fence, last)
            if index > last + 1:
                _separate(found, gap)
            if unit.fence != fence:
                if unit.fence >= 0 and index != unit.fence:
                    found.append(self.units[unit.fence].text)
                fence = unit.fence
            found.append(unit.text)
            last = index
        self._close(found, fence, last)
        if gap and last + 1 < len(self.units):
            _separate(found, gap)
        return "".join(found)

    def _close(self, found: list[str], fence: int, last: int) -> None:
        """Close the fence that the unit *last* left open."""
        if fence < 0 or (last != fence and _FENCE.match(self.units[last].text)):
            return
        if not found[-1].endswith("\n"):
            found.append("\n")
        opening = self.units[fence].text.lstrip()
        found.append(f"{opening[0] * 3}\n")


_FENCE = re.compile(r"\s*(?:```|~~~)")


def _separate(found: list[str], gap: str) -> None:
    """Write *gap*, or a space where two units would run into each other."""
    before = found[-1][-1:] if found else "\n"
    if gap:
        found.append(f"{'' if before.isspace() else ' '}{gap}")
    elif not before.isspace():
        found.append(" ")


def text_units(text: str, kind: str) -> TextUnits:
    """*text*, which is of that *kind* (see `kind_of`), in units."""
    lines = text.splitlines(keepends=True)
    if (size := _head_size(lines)) > 0:
        units = [TextUnit(line, "head" if index < size else "body") for index, line in enumerate(lines)]
        return TextUnits(list(_cut(units)), "rows" if _ROWS.search("".join(lines[: size + 1])) else "lines")
    if kind in _READERS:
        units, what = _READERS[kind](lines), "lines"
    elif kind not in ("prose", "passages", "transcript") and len(lines) > 1 and len(text) <= LINE * len(lines):
        units, what = [TextUnit(line, _role(line)) for line in lines], "lines"
    else:
        units, what = [TextUnit(line) for line in lines], "sentences"
        units = _sentences_of(units, _PASSAGE if kind == "passages" else _TURN if kind == "transcript" else None)
    if kind == "table":
        what = "rows"
    return TextUnits(list(_cut(units)), what)


_ROWS = re.compile(r"^\d+ rows\s", re.MULTILINE)
_DEFINED = re.compile(r"[A-Z]{1,2} = [{(\[]")
_SAID = ("(a tree,", "(a line of blank and name")


def _head_size(lines: Sequence[str]) -> int:
    """How many lines explain the others, in what the compressors of this project write; 0 in any other text."""
    size = next((index for index, line in enumerate(lines) if not _DEFINED.match(line)), len(lines))
    for index, line in enumerate(lines[size : size + 2], size):
        if _ROWS.match(line):
            constant = index + 1 < len(lines) and lines[index + 1].startswith("all: ")
            return min(len(lines), index + 2 + constant)
    if lines and lines[0].startswith("(folded lines:"):
        return next((index + 1 for index, line in enumerate(lines) if not line.strip()), len(lines))
    return size or (len(lines) > 1 and lines[0].startswith(_SAID))


# --- lines -------------------------------------------------------------------------------------------------------

_ERROR = re.compile(
    r"Error|ERROR|Exception|FAIL|FATAL|Traceback|CRITICAL|SEVERE|DENIED"
    r"|\b(?:error|[Ff]ailed|[Ff]atal|[Ff]ailure|panic|denied|refused|timed out|[Cc]annot|[Aa]bort|[Ii]nvalid)"
)
_SUMMARY = re.compile(
    r"^=+ .*\b\d+ (?:passed|failed)|\b\d+ (?:passed|failed|errors?|warnings?|problems?|packages?)\b"
    r"|\bfiles? changed\b|\b(?:total|found|added|removed|in) \d+|^(?:total|Total|Summary|Result)\b",
)


def _role(line: str) -> str:
    if _ERROR.search(line[:2000]):
        return "error"
    return "summary" if _SUMMARY.search(line[:500]) else "body"


def _table(lines: Sequence[str]) -> list[TextUnit]:
    """The first line, and one of rules below it, explain the rows."""
    size = 1 + (len(lines) > 1 and set(lines[1].strip()) <= set("|-:+= "))
    return [TextUnit(line, "head" if index < size else "body") for index, line in enumerate(lines)]


_SIGNATURE = re.compile(
    r"\s*(?:(?:export |default |pub(?:\(\w+\))? |public |private |protected |internal |static "
    r"|async |abstract |final |override |inline |unsafe |extern )*"
    r"(?:def|class|func|fn|function|interface|struct|enum|trait|impl|type|namespace|module|record"
    r"|object|macro_rules!)\b[ \t(*<].*"
    r"|[\w<>\[\],.*&: ]+ [\w:~]+\([^;=]*\)\s*(?:const\s*)?(?:throws [\w, ]+)?\{\s*$"
    r"|(?:export )?(?:const|let|var) \w+ = (?:async )?(?:\(.*\)|\w+) =>.*)"
)
_NO_SIGNATURE = re.compile(r"\s*(?:if|for|while|switch|return|else|catch|do|with|elif|try)\b")


def _code(lines: Sequence[str]) -> list[TextUnit]:
    """Signatures, with what is indented below them."""
    units: list[TextUnit] = []
    open_ones: list[tuple[int, int]] = []  # (indentation, index) of the signatures that a line may stand under
    for index, line in enumerate(lines):
        bare = line.strip()
        depth = len(line) - len(line.lstrip())
        if not bare:
            units.append(TextUnit(line, "boiler", open_ones[-1][1] if open_ones else -1))
            continue
        while open_ones and depth <= open_ones[-1][0] and bare[0] not in ")}]":
            open_ones.pop()
        under = open_ones[-1][1] if open_ones else -1
        heading = _SIGNATURE.match(line[:500]) is not None and not _NO_SIGNATURE.match(line)
        boiler = bare.startswith(("#", "//", "* ", "/*", "*/")) and under < 0
        units.append(TextUnit(line, "heading" if heading else "boiler" if boiler else "body", under))
        if heading:
            open_ones.append((depth, index))
    return units


_FILE = re.compile(r"diff --git |\+\+\+ |--- |Index: |rename |new file|deleted file")


def _diff(lines: Sequence[str]) -> list[TextUnit]:
    """Changed lines stand under their hunk, and that under the name of its file."""
    units: list[TextUnit] = []
    file = hunk = -1
    for index, line in enumerate(lines):
        if line.startswith("diff --git "):
            file, hunk = index, -1
            units.append(TextUnit(line, "heading"))
        elif line.startswith("@@ "):
            hunk = index
            units.append(TextUnit(line, "hunk", file))
        elif hunk < 0:
            named = _FILE.match(line) is not None or line.startswith("index ")
            units.append(TextUnit(line, "boiler" if named else "body", file))
        else:
            units.append(TextUnit(line, "change" if line[:1] in "+-" else "context", hunk))
    return units


_HEADING = re.compile(r"#{1,6} \S")
_UNDERLINE = re.compile(r"([=~^*-])\1{3,}\s*$")


def _markdown(lines: Sequence[str]) -> list[TextUnit]:
    """Headings, of which each stands under the next higher one, sentences, and the lines of fences."""
    units: list[TextUnit] = []
    above: list[tuple[int, int]] = []
    fence = -1
    for index, line in enumerate(lines):
        under = above[-1][1] if above else -1
        if fence >= 0 or _FENCE.match(line):
            closes = fence >= 0 and _FENCE.match(line) is not None
            fence = len(units) if fence < 0 else fence
            units.append(TextUnit(line, "body", under, fence))
            fence = -1 if closes else fence
            continue
        level = _level(line, lines[index + 1] if index + 1 < len(lines) else "")
        if level == 0:
            rule = _UNDERLINE.match(line) is not None and bool(units) and units[-1].role == "heading"
            role = "body" if line.strip() and not rule else "boiler"
            under = len(units) - 1 if rule else under
            units.extend(TextUnit(piece, role, under) for piece in _sentences(line))
            continue
        while above and above[-1][0] >= level:
            above.pop()
        units.append(TextUnit(line, "heading", above[-1][1] if above else -1))
        above.append((level, len(units) - 1))
    return units


def _level(line: str, below: str) -> int:
    """Which level the heading *line* has; 0 if it is none."""
    if _HEADING.match(line):
        return len(line) - len(line.lstrip("#"))
    if line.strip() and _UNDERLINE.match(below) and not _UNDERLINE.match(line):
        return "=~-^*".index(below[0]) + 1
    return 0


_HEADER = re.compile(r"([A-Za-z][\w-]*): ?\S?")
_SHOWN = frozenset({"from", "subject", "date"})


def _mail(lines: Sequence[str]) -> list[TextUnit]:
    """Messages: all of a message stands under its `From:`; transport lines, quotes and signatures are told."""
    units = [TextUnit(line) for line in lines]
    sender, header, signature = -1, True, False
    for index, line in enumerate(lines):
        unit, bare = units[index], line.strip()
        begins = _HEADER.match(line) is not None and line[:5].lower() in _FIRST
        if begins and not header and _HEADER.match(lines[index + 1] if index + 1 < len(lines) else ""):
            header, sender, signature = True, -1, False
        if header:
            header = bool(bare) or index == 0
            name = line.split(":", 1)[0].lower()
            unit.role = "heading" if name in _SHOWN and line[:1].strip() else "boiler"
            sender = index if name == "from" else sender
        elif line.startswith(">"):
            unit.role = "quoted"
        elif signature or line.rstrip("\r\n") in ("-- ", "--") or set(bare) <= set("-_=*"):
            signature = signature or line.rstrip("\r\n") in ("-- ", "--")
            unit.role = "boiler"
        unit.under = sender if sender != index else -1
    return units


_FIRST = frozenset({"from:", "retur", "deliv", "recei", "date:", "to: ", "subje", "messa"})


# --- sentences ---------------------------------------------------------------------------------------------------

_ENDS = re.compile(r"[.!?…][\"')\]]*\s+|[。！？]|\n+")  # noqa: RUF001  # as in Chinese
_ABBREVIATED = re.compile(
    r"(?:\b[A-Z]|\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|vs|etc|e\.g|i\.e|approx|Fig|Jr|Inc|Ltd))\.\s+$"
)
_PASSAGE = re.compile(
    r"[\[(]?(?:Document|Passage|Source|Doc|Context|Chunk|Result)s?\s*#?\d+[\])]?(?: ?\([^)\n]{0,200}\))?[:.]?\s*"
)
_TURN = re.compile(r"(?:\[[\d:. ]+\] ?)?[A-Z][\w.'-]*(?: [\w.'-]+){0,3}(?: \([^)]{1,30}\))?: ?")


def _sentences_of(lines: Sequence[TextUnit], lead: re.Pattern[str] | None) -> list[TextUnit]:
    """Sentences, under the speaker or the title of the passage where *lead* finds one."""
    units: list[TextUnit] = []
    under = -1
    for line in lines:
        text = line.text
        if lead is not None and (match := lead.match(text)):
            under = len(units)
            units.append(TextUnit(match[0], "heading"))
            text = text[match.end() :]
        units.extend(TextUnit(piece, "body" if piece.strip() else "boiler", under) for piece in _sentences(text))
    return units


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in _ENDS.finditer(text):
        if _ABBREVIATED.search(text, max(start, end.start() - 8), end.end()):
            continue
        yield text[start : end.end()]
        start = end.end()
    if start < len(text):
        yield text[start:]


def _page(lines: Sequence[str]) -> list[TextUnit]:
    """What was a page: its first line is its title."""
    units = _markdown(lines)
    first = next((unit for unit in units if unit.text.strip()), None)
    if first is not None:
        first.role = "head"
    return units


def _cut(units: Sequence[TextUnit]) -> Iterator[TextUnit]:
    """The units, those that are too long in pieces; `under` follows."""
    if all(len(unit.text) <= LONG for unit in units):
        yield from units
        return
    moved: list[int] = []
    size = 0
    for unit in units:
        moved.append(size)
        under = moved[unit.under] if unit.under >= 0 else -1
        fence = moved[unit.fence] if unit.fence >= 0 else -1
        for piece in _pieces(unit.text):
            yield TextUnit(piece, unit.role, under, fence)
            size += 1


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > LONG:
        cut = text.rfind(" ", start, start + LONG) + 1
        cut = cut if cut > start else start + LONG
        yield text[start:cut]
        start = cut
    if start < len(text):
        yield text[start:]


_READERS: dict[str, Callable[[Sequence[str]], list[TextUnit]]] = {
    "table": _table,
    "code": _code,
    "diff": _diff,
    "markdown": _markdown,
    "html": _page,
    "mail": _mail,
}
