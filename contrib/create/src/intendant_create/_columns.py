"""The columns of tables that a sentence names, and what of a clause follows from them without a model."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from intendant_create._words import BEST, DROPS, plain

Json = Any
MOST_BYTES = 65_536
"""Of a file that are read for its header."""
SAMPLE = 50
"""Rows that are looked at, to tell numbers from words."""
MOST_VALUES = 20
"""Values of a column that are states or kinds: of more, none is looked for in a sentence."""
LEAST_LETTERS = 3
"""Of such a value."""


class Columns:
    """Names of columns, which of them hold numbers, and the values of those that hold a few words."""

    def __init__(
        self,
        names: Sequence[str] = (),
        numbers: Sequence[str] = (),
        values: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.names = list(names)
        self.numbers = set(numbers)
        self.values = dict(values or {})
        self._seen: list[set[str]] = []

    def update(self, other: "Columns") -> None:
        """Add those of another table."""
        self._seen.append(set(other.names))
        self.names += [name for name in other.names if name not in self.names]
        self.numbers |= other.numbers
        self.values |= other.values

    def named(self, said: str) -> dict[tuple[str, bool], list[str]]:
        """The values that a clause names, by column and whether they are those that are not wanted."""
        found: dict[tuple[str, bool], list[str]] = {}
        for column, values in self.values.items():
            for value in values:
                match = re.search(rf"(?P<not>{_NOT})?(?<!\w){re.escape(plain(value))}{_ENDING}(?!\w)", said)
                if match is not None and self.find([plain(value)]) is None:
                    found.setdefault((column, match["not"] is not None), []).append(value)
        return found

    def find(self, words: Sequence[str]) -> str | None:
        """The first column that one of *words* names, in the singular or the plural."""
        known = {plain(name).replace("_", ""): name for name in self.names}
        for word in words:
            bare = word.replace("_", "")
            for form in (
                bare,
                bare.removesuffix("s"),
                bare.removesuffix("es"),
                bare.removesuffix("n"),
                f"{bare}s",
            ):
                if form in known:
                    return known[form]
        return None

    def shared(self) -> str | None:
        """The only column that all tables have; None if there is not just one."""
        both = set.intersection(*self._seen) if len(self._seen) > 1 else set()
        return next(iter(both)) if len(both) == 1 else None


def columns_of(folder: str, path: str) -> Columns:
    """The columns of a table in a file; none where it cannot be read."""
    try:
        with (Path(folder) / path).open(encoding="utf-8-sig", newline="") as file:
            head = file.read(MOST_BYTES)
    except (OSError, ValueError):
        return Columns()
    whole = head.splitlines()[: None if len(head) < MOST_BYTES else -1]
    lines = whole[: SAMPLE + 1]
    try:
        dialect: Any = csv.Sniffer().sniff("\n".join(lines[:5]), ",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows = list(csv.reader(lines, dialect))
    if not rows:
        return Columns()
    names, body = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    numbers = [name for at, name in enumerate(names) if body and all(_is_number(row[at]) for row in body)]
    words = [name for name in names if name not in numbers]
    return Columns(names, numbers, _values(csv.DictReader(whole, dialect=dialect), words))


def _values(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, list[str]]:
    """The values of columns that hold a few words again and again."""
    times: dict[str, Counter[str]] = {name: Counter() for name in columns}
    for row in rows:
        for name, counted in times.items():
            if isinstance(value := row.get(name), str) and len(counted) <= MOST_VALUES:
                counted[value.strip()] += 1
    return {
        name: [
            value for value in counted if len(value) >= LEAST_LETTERS and value.lower() not in ("true", "false")
        ]
        for name, counted in times.items()
        if len(counted) <= MOST_VALUES and max(counted.values(), default=0) > 1
    }


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(?:[.,]\d+)?", text.strip()) is not None


# --- options ---

_ABOVE = re.compile(
    r"\b(?:above|over|more than|greater than|at least|uber|mehr als|mindestens|plus de|superieur\w* a|mas de|"
    r"mayor\w* (?:de|que|a)|piu di|maggior\w* di|mais de|maior\w* que|meer dan)\s+(?P<number>\d+(?:[.,]\d+)?)"
)
_BELOW = re.compile(
    r"\b(?:below|under|less than|smaller than|at most|unter|weniger als|hochstens|moins de|inferieur\w* a|"
    r"menos de|menor\w* (?:de|que|a)|meno di|minor\w* di|menor\w* que|minder dan)\s+(?P<number>\d+(?:[.,]\d+)?)"
)
_BEST = re.compile(
    r"\b(?:the )?(?:first|top|best|ersten|besten|premiers|primeros|primi|eerste)\s+(?P<number>\d+)\b"
)
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "ten": 10, "twenty": 20, "zehn": 10, "dix": 10}
_MEASURES: Mapping[str, str] = {
    "sum": r"\b(?:sum|total|summier|addier|somme|suma|somma|some|tel op)",
    "mean": r"\b(?:average|mean|durchschnitt|moyenne|promedi|media|gemiddel)",
    "max": r"\b(?:max|highest|largest|hochst|maxim)",
    "min": r"\b(?:min\b|lowest|smallest|niedrigst|minim)",
}
_PER = re.compile(r"\b(?:per|by|je|pro|nach|par|por)\s+(?P<name>[\w_]+)")
_NOT = (
    r"\b(?:not|no|non|without|except|but|excluding|other than|nicht|keine?|ohne|ausser|sauf|sans|pas|sin|salvo|"
    r"excepto|no|senza|tranne|sem|nao|exceto|niet|zonder|behalve)\s+(?:(?:the|die|der|den|les|los|las|le|gli|os|as|de)\s+)?"
)
"""Before what is not wanted."""
_ENDING = r"(?:e[nrsm]?|s)?"
"""Of a value that a sentence inflects, such as `offene` for `offen`."""
_WITHOUT = re.compile(
    r"\b(?:without|missing|ohne|sans|sin|senza|sem|zonder)\s+(?:an?|eine?n?|une?|una?|um|een)?\s*(?P<name>\w+)"
)


def options_of(action: str, text: str, words: Sequence[str], columns: Columns) -> tuple[dict[str, Json], bool]:
    """What of a clause can be done without a model, and whether one is needed all the same."""
    said = plain(text)
    if action == "aggregate":
        return _aggregate(said, words, columns)
    if action == "filter":
        return _filter(said, words, columns)
    if action == "translate":
        return _shape(said, words, columns)
    if action == "classify":
        return {}, True
    return {}, True


def _aggregate(said: str, words: Sequence[str], columns: Columns) -> tuple[dict[str, Json], bool]:
    groups = [found for match in _PER.finditer(said) if (found := columns.find([match["name"]]))]
    number = columns.find([word for word in words if columns.find([word]) in columns.numbers])
    measure = next((name for name, pattern in _MEASURES.items() if re.search(pattern, said)), None)
    asked = bool(_PER.search(said)) and not groups
    if asked or not columns.names:
        return {}, True
    grouped: dict[str, Json] = {"group_by": groups} if groups else {}
    if measure is None:
        return {**grouped, "measures": {"count": {"count": True}}}, False
    if number is None:
        return {}, True
    return {**grouped, "measures": {number: {measure: number}}}, False


def _filter(said: str, words: Sequence[str], columns: Columns) -> tuple[dict[str, Json], bool]:
    if re.search(r"\b(?:dup|dedup|doppel|dopplung|doublon|duplic|dubbel)", said):
        key = columns.find([match["name"] for match in _PER.finditer(said)])
        return {"unique_by": [key] if key else "*"}, False
    found: list[tuple[str, str]] = []
    for pattern, sign, other in ((_ABOVE, ">", "<="), (_BELOW, "<", ">=")):
        if (match := pattern.search(said)) is not None:
            number = columns.find([word for word in words if columns.find([word]) in columns.numbers])
            if number is None:
                return {}, True  # of what is not said
            item, limit = f"item[{_quoted(number)}]", match["number"].replace(",", ".")
            found.append((f"{item} {sign} {limit}", f"{item} {other} {limit}"))
    if (match := _WITHOUT.search(said)) is not None and (empty := columns.find([match["name"]])) is not None:
        item = f"item[{_quoted(empty)}]"
        found.append((f"({item} == null || {item} == '')", f"{item} != null && {item} != ''"))
    found += [_among(column, values, wanted=not no) for (column, no), values in columns.named(said).items()]
    if found:
        return {"where": _together(found, drop=any(word in DROPS for word in words))}, False
    if (match := _BEST.search(said)) is not None:
        return {"limit": int(match["number"])}, False
    wanted = any(word in BEST for word in words)
    limit = next((_NUMBERS[word] for word in words if wanted and word in _NUMBERS), None)
    return ({}, True) if limit is None else ({"limit": limit}, False)


def _together(conditions: Sequence[tuple[str, str]], *, drop: bool) -> str:
    """One condition for what stays, of conditions and their opposites."""
    if len(conditions) == 1:
        return conditions[0][drop]
    both = " && ".join(condition for condition, _ in conditions)
    return f"!({both})" if drop else both


def _among(column: str, values: Sequence[str], *, wanted: bool) -> tuple[str, str]:
    """That a column has one of the values, and the opposite; the other way round where they are not *wanted*."""
    item, listed = f"item[{_quoted(column)}]", ", ".join(map(_quoted, values))
    alone = len(values) == 1
    there = f"{item} == {listed}" if alone else f"{item} in [{listed}]"
    other = f"{item} != {listed}" if alone else f"!({item} in [{listed}])"
    return (there, other) if wanted else (other, there)


def _quoted(name: str) -> str:
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _shape(said: str, words: Sequence[str], columns: Columns) -> tuple[dict[str, Json], bool]:
    if re.search(r"\b(?:sort|order|sortier|trie|ordena|ordina|sorteer)", said):
        key = columns.find([match["name"] for match in _PER.finditer(said)] or list(words))
        if key is not None:
            down = key in columns.numbers and re.search(r"\b(?:best|top|largest|highest|desc)", said)
            return {"op": "sort", "by": [f"-{key}" if down else key]}, False
    if re.search(r"\b(?:to|in|nach|en|naar|para)\s+json\b", said):
        return {"op": "to_json"}, False
    return {}, True
