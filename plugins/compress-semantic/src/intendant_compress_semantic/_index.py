"""Whom and what the left out units name: where a reader needs to look into the whole, this says so."""

import re
from collections.abc import Sequence

from intendant.plugin import TextUnit

SHARE = 0.1
"""Of the tokens that may be left, the part that is left for an index."""
A_TOKEN = 3
"""Characters, in names and addresses."""
_NAMED = re.compile(r"https?://[^\s<>\")\]`]+|\b[A-Z][\w.&'-]*\w(?: [A-Z][\w.&'-]*\w)+")
_ELSEWHERE = ("boiler", "heading")


def index(units: Sequence[TextUnit], kept: Sequence[int], body: str, room: int) -> str:
    """A line of about *room* characters with the names and addresses of the units that are not *kept*, as far as
    *body* does not have them; empty if there are none.
    """
    there = frozenset(kept)
    found: dict[str, None] = {}
    for place, unit in enumerate(units):
        if place in there or unit.role in _ELSEWHERE or room <= 0:
            continue
        for match in _NAMED.finditer(unit.text):
            name = match[0].rstrip(".,;:'")
            if name not in found and len(name) + 2 <= room and name not in body:
                found[name] = None
                room -= len(name) + 2
    return f"[named there: {', '.join(found)}]\n" if found else ""
