"""What survives a compression, measured: weighted recall of the atoms that readers cannot do without.

Atoms are numbers, identifiers, addresses, names, negations and error lines. Each distinct atom of the original
counts once, by its kind's weight; it survives if it still stands in the result.
"""

import re
from collections.abc import Iterator
from re import Pattern

WEIGHTS: dict[str, float] = {
    "number": 1.0,
    "address": 1.5,
    "identifier": 1.0,
    "name": 0.7,
    "negation": 0.5,
    "error": 2.0,
}

_PATTERNS: dict[str, Pattern[str]] = {
    "address": re.compile(r"https?://[^\s<>\"')\]]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "number": re.compile(r"(?<![\w.])[-+]?\d+(?:[.,:/-]\d+)*%?"),
    "identifier": re.compile(r"\b(?=\w*[A-Za-z])\w*(?:_\w+|\d\w*|[a-z][A-Z]\w*)\b"),
    "name": re.compile(r"\b[A-Z][a-z]{2,}\b"),
    "error": re.compile(r"\b\w*(?:Error|Exception|FAILED|FATAL|Traceback|panic)\w*\b"),
}
_NEGATION = re.compile(r"\b(?:not|no|never|none|cannot|without|neither|nor)\b|n't\b", re.IGNORECASE)
MAX_ATOMS = 50_000


def atoms(text: str) -> Iterator[tuple[str, str]]:
    """The distinct atoms of *text* as (kind, text); at most `MAX_ATOMS` of a kind."""
    for kind, pattern in _PATTERNS.items():
        seen: set[str] = set()
        for match in pattern.finditer(text):
            if match[0] not in seen:
                seen.add(match[0])
                yield kind, match[0]
            if len(seen) >= MAX_ATOMS:
                break


def recall(original: str, result: str) -> float:
    """Weighted share of the original's atoms that stand in *result*; 1.0 if it has none."""
    if original == result:
        return 1.0
    kept_atoms = set(atoms(result))
    whole = kept = 0.0
    for atom in atoms(original):
        weight = WEIGHTS[atom[0]]
        whole += weight
        # Re-encoding may change what stands around an atom and so the kind it is read as.
        kept += weight if atom in kept_atoms or atom[1] in result else 0.0
    negations = len(_NEGATION.findall(original))
    if negations:
        weight = WEIGHTS["negation"] * negations
        whole += weight
        kept += weight * min(1.0, len(_NEGATION.findall(result)) / negations)
    return kept / whole if whole else 1.0
