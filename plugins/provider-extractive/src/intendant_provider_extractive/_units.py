"""Text as the units that a summary is made of: sentences, and lines that stand for themselves."""

import re
from collections.abc import Iterator

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


def units(text: str) -> list[str]:
    """The units of *text* in their order, without bullets and heading marks; empty ones and rules are left out."""
    from sentencex import segment

    found: list[str] = []
    # Lone surrogates are no text; the splitter, like any provider, takes them as replacement characters.
    clean = text.encode("utf-8", "replace").decode()
    for paragraph in _paragraphs(clean):
        for sentence in segment("en", paragraph):
            pieces = _pieces(_MARK.sub("", sentence.strip()).strip())
            found.extend(piece for piece in pieces if not _RULE.fullmatch(piece))
    return found


def _paragraphs(text: str) -> Iterator[str]:
    """Runs of lines that belong together, joined by spaces."""
    run: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if run and (not stripped or not _continues(run[-1], stripped)):
            yield " ".join(run)
            run = []
        if stripped:
            run.append(stripped)
    if run:
        yield " ".join(run)


def _continues(before: str, line: str) -> bool:
    if _STANDALONE.match(line):
        return False
    if line[0].islower():
        return True
    return len(before) >= WRAPPED and before[-1] not in ".!?:;|"


def _pieces(sentence: str) -> Iterator[str]:
    while len(sentence) > MAX_UNIT:
        cut = sentence.rfind(" ", 0, MAX_UNIT)
        cut = cut if cut > 0 else MAX_UNIT
        yield sentence[:cut].strip()
        sentence = sentence[cut:]
    if sentence.strip():
        yield sentence.strip()
