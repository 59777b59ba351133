"""Text as the units that a summary is made of: sentences, and lines that stand for themselves."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_UNIT = 1200
"""Characters; what is longer is no sentence and is cut into pieces at spaces."""
_STANDALONE = re.compile(
    r"\s*(?:[-*+•]\s|\d+[.)]\s|#{1,6}\s|>|\|)|\s*\[?\d{4}-\d{2}-\d{2}|\s*\d{1,2}:\d{2}|\s*[\w-]{1,20}:\s"
)
"""Lines that begin so are not the continuation of the line before: list items, headings, dates, `Name: …`."""
_MARK = re.compile(r"^\s*(?:[-*+•]\s+|#{1,6}\s+|>\s*)")
_RULE = re.compile(r"[\s\-=_*|:+~]*")
WRAPPED = 50
"""A line shorter than this was hardly broken because it was full."""
_NAME = r"[^\W\d_a-z][\w.'-]{0,20}(?: [^\W\d_a-z][\w.'-]{0,20}){0,3}"
_OWNER = re.compile(
    rf"\s*(?P<label>(?:[^\s@:(]{{1,64}}@[^\s:(]{{1,200}}|{_NAME})(?: \([^()\n]{{0,120}}\))?): +(?=\S)"
)
"""A line that says whose text follows: an address, or a name in capitals, and a colon."""
_PARTED = re.compile(r"\s*(?:#{1,6}\s|[-=_*]{3,}\s*$)")
"""A heading or a rule: what follows is nobody's until a line says so."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One sentence or line, and whose it is."""

    text: str
    owner: str = ""
    """The address, name or title that stands before the text it is from; empty if there is none."""
    group: int = 0
    """Which part of the material it is from. Nothing is ever put together of two parts."""

    @property
    def labelled(self) -> str:
        """The text with its owner before it, unless it begins with that."""
        return self.text if not self.owner or self.text.startswith(self.owner) else f"{self.owner}: {self.text}"


def units(text: str) -> list[str]:
    """The units of *text* in their order, without bullets and heading marks; empty ones and rules are left out."""
    return [unit.text for unit in owned_units(text)]


def owned_units(text: str, owner: str = "", group: int = 0) -> list[Unit]:
    """The units of *text*, each with whose it is.

    An address with a colon at the beginning of a line owns what follows until the next such line; a name owns its
    paragraph.

    Args:
        text: The text.
        owner: Whose all of it is; empty if the text itself says.
        group: Which part of the material the text is.
    """
    from sentencex import segment

    found: list[Unit] = []
    # Lone surrogates are no text; the splitter, like any provider, takes them as replacement characters.
    clean = text.encode("utf-8", "replace").decode()
    for paragraph in _paragraphs(clean):
        for sentence in segment("en", paragraph.text):
            pieces = _pieces(_MARK.sub("", sentence.strip()).strip())
            kept = (piece for piece in pieces if not _RULE.fullmatch(piece))
            found.extend(Unit(piece, owner or paragraph.owner, group) for piece in kept)
    return found


@dataclass(frozen=True, slots=True)
class _Paragraph:
    text: str
    owner: str


def _paragraphs(text: str) -> Iterator[_Paragraph]:
    """Runs of lines that belong together, joined by spaces."""
    run: list[str] = []
    owner, lasting = "", False
    for line in text.splitlines():
        stripped = line.strip()
        begins = _OWNER.match(line)
        if _PARTED.match(line):
            owner, lasting = "", False
        if run and (not stripped or begins is not None or not _continues(run[-1], stripped)):
            yield _Paragraph(" ".join(run), owner)
            run = []
        if begins is not None and (not lasting or "@" in begins["label"]):
            owner, lasting = begins["label"], "@" in begins["label"]
        elif not stripped and not lasting:
            owner = ""
        if stripped:
            run.append(stripped)
    if run:
        yield _Paragraph(" ".join(run), owner)


def _continues(before: str, line: str) -> bool:
    if _STANDALONE.match(line) or len(before) < WRAPPED:
        return False
    return line[0].islower() or before[-1] not in ".!?:;|"


def _pieces(sentence: str) -> Iterator[str]:
    while len(sentence) > MAX_UNIT:
        cut = sentence.rfind(" ", 0, MAX_UNIT)
        cut = cut if cut > 0 else MAX_UNIT
        yield sentence[:cut].strip()
        sentence = sentence[cut:]
    if sentence.strip():
        yield sentence.strip()
