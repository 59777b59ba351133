"""What was left out can be had back: handles of originals, and slices of them."""

import re
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise

from intendant.model.requests import Tool
from intendant.model.workflow import Json
from intendant.text.content_kinds import kind_of
from intendant.text.units import text_units

HANDLE = 9
"""Digits of a handle, three tokens in all; no two of a run's few originals share them."""
MARK_TOKENS = 12
"""What a mark takes at most."""
SLICE_TOKENS = 400
"""What a slice takes by default."""
MOST_TOKENS = 4000
BESIDE = 2
"""Units on either side of a hit that come with it."""

EXPAND = Tool(
    name="expand",
    description="Reads on in a text that was shortened, where its mark [expand HANDLE for more] stands.",
    parameters={
        "type": "object",
        "properties": {
            "handle": {"type": "string"},
            "part": {"type": "string", "description": "line numbers such as 120-180, or words to look for"},
            "max_tokens": {"type": "integer"},
        },
        "required": ["handle", "part"],
        "additionalProperties": False,
    },
)
_LINES = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?")
_WORD = re.compile(r"\w+")


def digest_of(text: str) -> str:
    """The SHA-256 of *text*, as 64 hexadecimal digits."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def handle_of(text: str) -> str:
    """The handle of *text*: the last nine decimal digits of its SHA-256."""
    return f"{int(digest_of(text), 16) % 10**HANDLE:0{HANDLE}d}"


def mark_of(handle: str) -> str:
    """What stands in a shortened text, for a model that has `EXPAND`."""
    return f"\n[expand {handle} for more]"


def slice_of(text: str, part: str, count: Callable[[str], int], max_tokens: int = SLICE_TOKENS) -> str:
    """A part of *text*, never more than asked for.

    Args:
        text: The original.
        part: Line numbers from 1, such as `120-180`; or words, of which the lines or sentences that hold the most
            are given, with what stands beside them; nothing for the beginning.
        count: Counts tokens.
        max_tokens: What the part may take.

    Returns:
        The part below a line that says which it is; where it was cut, that is said too.
    """
    room = min(max(1, max_tokens), MOST_TOKENS)
    lines = _LINES.fullmatch(part)
    if lines is not None:
        pieces = text.splitlines(keepends=True)
        first = max(1, int(lines[1]))
        return _fitted(
            pieces, list(range(first - 1, min(len(pieces), int(lines[2] or first)))), "lines", count, room
        )
    content = text_units(text, kind_of(text))
    pieces = [unit.text for unit in content.units]
    return _fitted(pieces, _near(pieces, part), content.what, count, room)


def _near(pieces: list[str], part: str) -> list[int]:
    """The pieces that hold the most of the words, each with its neighbours; all where no word is asked for."""
    words = {word.casefold() for word in _WORD.findall(part)}
    hits = [len(words.intersection(_WORD.findall(piece.casefold()))) for piece in pieces]
    most = max(hits, default=0)
    if not most:
        return [] if words else list(range(len(pieces)))
    found: dict[int, None] = {}
    for index in (index for index, number in enumerate(hits) if number == most):
        for beside in range(max(0, index - BESIDE), min(len(pieces), index + BESIDE + 1)):
            found.setdefault(beside)
    return list(found)


def _fitted(pieces: list[str], wanted: list[int], what: str, count: Callable[[str], int], room: int) -> str:
    """The first of the *wanted* pieces that fit, in the order of the text."""
    if not wanted:
        return f"[nothing of that; the whole has {len(pieces)} {what}]"
    kept: list[int] = []
    head = f"[{what} {len(pieces)}-{len(pieces)} of {len(pieces)}; cut]\n"
    room -= count(head)
    for index in wanted:
        room -= count(pieces[index])
        if room < 0:
            break
        kept.append(index)
    if not kept:
        return f"[{what[:-1]} {wanted[0] + 1} alone is more than asked for]"
    kept.sort()
    cut = "; cut" if len(kept) < len(wanted) else ""
    gaps = {index for before, index in pairwise(kept) if index > before + 1}
    body = "".join(f"…\n{pieces[index]}" if index in gaps else pieces[index] for index in kept)
    return f"[{what} {kept[0] + 1}-{kept[-1] + 1} of {len(pieces)}{cut}]\n{body}"


def asked_of(arguments: dict[str, Json]) -> tuple[str, str, int]:
    """Handle, part and tokens of a call of `EXPAND`, whatever a model wrote there."""
    tokens = arguments.get("max_tokens")
    wanted = tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else SLICE_TOKENS
    return str(arguments.get("handle", "")), str(arguments.get("part", "")), wanted
