"""The text of an answer: selected units, digests and filled templates, within what may be written."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from intendant.plugin import estimate_tokens
from intendant_provider_extractive._asked import Asked
from intendant_provider_extractive._digest import digest, names_of, prose_field, records_of
from intendant_provider_extractive._rank import Ranking
from intendant_provider_extractive._units import Unit, owned_units

MAX_UNITS = 20_000
"""Of a longer text the first are read, and that is said."""
USUAL = (3, 8)
"""Units of a summary for which no number was asked: the root of the text's, within these."""
MOST = 100
"""Units of any summary."""
SPARE_TRIES = 30
"""Units that are passed over because they do not fit, before the search ends."""
LINE_TOKENS = 3
"""What a line's mark and end may take."""


@dataclass(frozen=True, slots=True)
class Composed:
    """An answer."""

    text: str
    cut: bool = False
    """True if something that was wanted did not fit."""
    notes: tuple[str, ...] = ()
    """What a reader should know of it."""


def summary(material: object, asked: Asked, limit: int) -> Composed:
    """A summary of *material* in at most *limit* tokens."""
    material = _parsed(material)
    records = records_of(material)
    if records is not None:
        return _of_records(records, asked, limit)
    if isinstance(material, Mapping):
        return _joined([_Line(f"{key}: {_brief(value)}") for key, value in material.items()], asked, limit)
    found, unread = _units_of(material)
    if not found:
        return Composed("")
    made = _select(found, asked, limit)
    note = [_Line(f"(of the first {len(found)} sentences; {unread} were not read)")] if unread else []
    return replace(_joined([*made.lines, *note], asked, limit, cut=made.cut), notes=_unread(found, unread))


def filled(material: object, limit: int) -> Composed:
    """The plain template for data: how many records, then each as one line of `key: value`."""
    material = _parsed(material)
    records = records_of(material)
    if records is not None:
        lines = [
            "- " + " · ".join(f"{key}: {_brief(value)}" for key, value in record.items()) for record in records
        ]
        head = "1 record:" if len(records) == 1 else f"{len(records)} records:"
        return _whole_lines([head, *lines], limit, "records")
    if isinstance(material, Mapping):
        return _whole_lines([f"- {key}: {_brief(value)}" for key, value in material.items()], limit, "fields")
    found, unread = _units_of(material)
    made = _whole_lines([unit.text for unit in found], limit, "sentences")
    return replace(made, notes=(*made.notes, *_unread(found, unread)))


def _unread(found: Sequence[Unit], unread: int) -> tuple[str, ...]:
    return (f"only the first {len(found)} sentences were read; {unread} were not",) if unread else ()


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    follows: bool = False
    """True if it goes on with the text that the line before it is of."""


@dataclass(frozen=True, slots=True)
class _Selected:
    lines: list[_Line]
    cut: bool


def _select(found: Sequence[Unit], asked: Asked, limit: int) -> _Selected:
    """The best units that fit, in the order of the text; equal ones once."""
    wanted = asked.units or max(USUAL[0], min(USUAL[1], round(math.sqrt(len(found)))))
    tokens_left, words_left = limit, math.inf if asked.words is None else asked.words
    chosen: dict[str, int] = {}
    best, passed = None, 0
    for index in Ranking([unit.text for unit in found], asked.query).best():
        if len(chosen) >= min(wanted, MOST) or passed > SPARE_TRIES:
            break
        unit = found[index].labelled
        best = best or unit
        tokens, length = estimate_tokens(unit) + LINE_TOKENS, len(unit.split())
        if found[index].text in chosen:
            continue
        if tokens > tokens_left or length > words_left:
            passed += 1
            continue
        chosen[found[index].text] = index
        tokens_left -= tokens
        words_left -= length
    if not chosen:
        beginning = _shortened(best or found[0].labelled, limit - LINE_TOKENS, asked.words)
        return _Selected([_Line(beginning)], cut=True)
    lines = _labelled([found[index] for index in sorted(chosen.values())])
    return _Selected(lines, cut=passed > 0 and len(chosen) < wanted)


def _labelled(chosen: Sequence[Unit]) -> list[_Line]:
    """The units' texts; of several with one owner the first says whose they are."""
    lines: list[_Line] = []
    before = ("", -1)
    for unit in chosen:
        whose = (unit.owner, unit.group)
        lines.append(_Line(unit.text, follows=True) if whose == before else _Line(unit.labelled))
        before = whose
    return lines


def _of_records(records: Sequence[Mapping[str, Any]], asked: Asked, limit: int) -> Composed:
    lines = [_Line(line) for line in digest(records)]
    field = prose_field(records)
    if field is None:
        return _joined(lines[: asked.units], asked, limit)
    names = names_of(records, field)
    units = [
        unit
        for group, (name, record) in enumerate(zip(names, records, strict=True))
        for unit in owned_units(str(record.get(field) or ""), name, group)
    ]
    found, unread = units[:MAX_UNITS], max(0, len(units) - MAX_UNITS)
    left = limit - estimate_tokens(lines[0].text) - LINE_TOKENS
    if not found or left <= LINE_TOKENS:
        return _joined(lines[:1], asked, limit, cut=True)
    made = _select(found, asked, left)
    return replace(_joined([lines[0], *made.lines], asked, limit, cut=made.cut), notes=_unread(found, unread))


def _units_of(material: object) -> tuple[list[Unit], int]:
    """The units, and how many there are beyond those that are read. Each element of a list is a text by itself."""
    if isinstance(material, list):
        texts = [item if isinstance(item, str) else _brief(item) for item in material if item is not None]
    else:
        texts = [material if isinstance(material, str) else _brief(material)]
    found = [unit for group, text in enumerate(texts) for unit in owned_units(text, group=group)]
    return found[:MAX_UNITS], max(0, len(found) - MAX_UNITS)


def _parsed(material: object) -> object:
    if isinstance(material, str) and material.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(material)
        except (ValueError, RecursionError):
            return material
    return material


def _brief(value: object) -> str:
    if isinstance(value, str):
        return " ".join(value.split())
    try:
        return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
    except RecursionError:
        return "(nested too deep to show)"


def _joined(lines: Sequence[_Line], asked: Asked, limit: int, *, cut: bool = False) -> Composed:
    """As many whole lines as fit: bullets, or lines, or a paragraph for each text if all end like sentences."""
    words_left = math.inf if asked.words is None else asked.words
    kept: list[_Line] = []
    for line in lines:
        tokens, length = estimate_tokens(line.text) + LINE_TOKENS, len(line.text.split())
        if tokens > limit or length > words_left:
            cut = True
            break
        kept.append(line)
        limit -= tokens
        words_left -= length
    if not kept and lines:
        return Composed(_shortened(lines[0].text, limit, asked.words), cut=True)
    if asked.bullets:
        return Composed("\n".join(f"- {line.text}" for line in kept), cut)
    runs_on = all(line.text[-1:] in ".!?…。！？" for line in kept)  # noqa: RUF001  # as in Chinese
    pieces = (f"{' ' if line.follows and runs_on else chr(10)}{line.text}" for line in kept)
    return Composed("".join(pieces).strip(), cut)


def _whole_lines(lines: Sequence[str], limit: int, what: str) -> Composed:
    """As many whole lines as fit; how many do not is said in a last one."""
    costs = [estimate_tokens(line) + LINE_TOKENS for line in lines]
    if sum(costs) <= limit:
        return Composed("\n".join(lines))
    left, kept = limit - estimate_tokens(f"({len(lines)} more {what} do not fit)") - LINE_TOKENS, 0
    while kept < len(lines) and costs[kept] <= left:
        left -= costs[kept]
        kept += 1
    text = "\n".join([*lines[:kept], f"({len(lines) - kept} more {what} do not fit)"])
    return Composed(text if estimate_tokens(text) <= limit else _shortened(text, limit, None), cut=True)


def _shortened(unit: str, limit: int, words: int | None) -> str:
    """The beginning of *unit* that fits, cut between words."""
    parts = unit.split()
    low, high = 0, min(len(parts), words or len(parts))
    while low < high:
        middle = (low + high + 1) // 2
        if estimate_tokens(" ".join(parts[:middle]) + " …") <= limit:
            low = middle
        else:
            high = middle - 1
    return " ".join(parts[:low]) + (" …" if 0 < low < len(parts) else "")
