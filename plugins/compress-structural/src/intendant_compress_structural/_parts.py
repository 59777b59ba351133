"""Documents that hold JSON among other text: each JSON part is written as what takes the fewest tokens."""

import json
import re
from collections.abc import Callable, Iterator

from intendant_compress_structural._loading import MAX_TEXT, MOST_DEPTH
from intendant_compress_structural._writing import encodings

LEAST_CHARACTERS = 120
"""Characters from which a part is looked at."""
MOST_FAILURES = 50
"""Beginnings that turn out to be no JSON, after which no more are tried."""
_BEGINNING = re.compile(r"^(?=[{\[]\s*(?:[\"{\[\d\]}-]|true|false|null))", re.MULTILINE)
_DECODER = json.JSONDecoder()


def with_smaller_parts(text: str, count: Callable[[str], int]) -> str | None:
    """*text* with its JSON parts in fewer tokens; None if there are none.

    A part begins a line without indentation, ends one, and is longer than one line: that leaves code alone.
    """
    if len(text) > MAX_TEXT:
        return None
    pieces: list[str] = []
    at = 0
    for start, end in _parts(text):
        part = text[start:end]
        tokens, best = min(((count(one), one) for one in encodings(part)), default=(0, part))
        if best != part and tokens < count(part):
            pieces += [text[at:start], best]
            at = end
    return "".join([*pieces, text[at:]]) if pieces else None


def _parts(text: str) -> Iterator[tuple[int, int]]:
    at = failures = 0
    while failures < MOST_FAILURES and (found := _BEGINNING.search(text, at)) is not None:
        start = found.end()
        end = _end(text, start)
        if end is None:
            failures += 1
            at = start + 1
            continue
        if end - start >= LEAST_CHARACTERS and "\n" in text[start:end]:
            yield start, end
        at = end


def _end(text: str, start: int) -> int | None:
    """Where the JSON that begins at *start* ends; None if there is none, or it goes on in the line."""
    if text.count("[", start, start + MOST_DEPTH) == MOST_DEPTH:
        return None
    try:
        _, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return end if text[end : end + 1] in ("", "\n", "\r") else None
