"""Pulls named fields out of texts."""

import asyncio
import re
from collections.abc import Iterator
from itertools import islice
from typing import Literal

from pydantic import Field, model_validator

from intendant.plugin import Json, Options, StepError, day_of
from intendant.records import composed
from intendant_intent_extract._kinds import Kind, Sign, find
from intendant_intent_extract._patterns import search

PAUSE = 200
"""Texts between two looks at whether the step was cancelled."""


class FieldSpec(Options):
    """What to look for: a kind, a pattern, or a kind within the matches of a pattern."""

    kind: Kind | None = None
    pattern: str | None = Field(default=None, min_length=1, max_length=1000)
    """A Python regular expression."""
    group: int | str | None = None
    """The pattern's group to return; by default the first one, or the whole match if there are no groups."""
    ignore_case: bool = False
    after: str | None = Field(default=None, min_length=1)
    """Searches only after the first occurrence of this text, ignoring case."""
    all: bool = False
    """Whether to return all matches as a list, instead of the first."""
    required: bool = False
    """Whether the step fails if nothing is found."""
    decimal: Sign | None = None
    """The decimal separator. The default is a point, unless a number can only be read with a comma; an ambiguous
    number is null."""
    thousands: Literal[" ", ".", ",", "'"] | None = None
    """The thousands separator; a space must be declared."""
    day_first: bool | None = None
    """Whether 12/5/2026 is the 12th of May. Without this option it is null; 12.5.2026 is always the 12th of
    May."""

    @model_validator(mode="after")
    def _usable(self) -> "FieldSpec":
        if self.kind is None and self.pattern is None:
            raise ValueError("give `kind` or `pattern`")
        if self.pattern is not None and "{{" not in self.pattern:
            self._try(self.pattern)
        return self

    def _try(self, pattern: str) -> None:
        try:
            compiled = re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"the pattern is wrong: {error}") from None
        known = {*range(compiled.groups + 1), *compiled.groupindex}
        if self.group is not None and self.group not in known:
            raise ValueError(f"the pattern has no group {self.group!r}")

    def part_of(self, text: str) -> str:
        """Where to look."""
        if self.after is None:
            return text
        found = re.search(re.escape(composed(self.after)), text, re.IGNORECASE)
        return "" if found is None else text[found.end() :]

    def values(self, text: str, matches: list[str | None] | None, doubts: list[str]) -> list[Json]:
        """What is in *text*, or in what the pattern matched of it: all of it, or the first.

        Args:
            text: Where to look.
            matches: What the pattern matched; None without a pattern.
            doubts: Gets what can be read in two ways.
        """
        return list(islice(self._each(text, matches, doubts), None if self.all else 1))

    def _each(self, text: str, matches: list[str | None] | None, doubts: list[str]) -> Iterator[Json]:
        places = [text] if matches is None else [match for match in matches if match is not None]
        if self.kind is None:
            yield from places
            return
        told = {"decimal": self.decimal, "thousands": self.thousands, "day_first": self.day_first}
        for place in places:
            # A pattern names the text that is the date: `20261203` is no other figure there.
            whole = day_of(place) if self.kind == "date" and matches is not None and place[:8].isdigit() else None
            if whole is not None and whole.value is not None:
                yield whole.value.isoformat()
                continue
            yield from find(self.kind, place, doubts=doubts, **told)  # type: ignore[arg-type]  # each its own


async def pull(
    texts: list[str], fields: dict[str, FieldSpec], seconds: float, notes: list[str]
) -> list[dict[str, Json]]:
    """The fields of each text; null where nothing is found, or an empty list.

    Args:
        texts: Where to look.
        fields: What to look for, by name.
        seconds: What the patterns may take for all texts together.
        notes: Gets a count of what was not found.

    Raises:
        StepError: A required field is not found, or the patterns take too long.
    """
    matches = await _matches(texts, fields, seconds)
    missing = dict.fromkeys(fields, 0)
    doubts: dict[str, list[str]] = {name: [] for name in fields}
    rows = []
    for index, text in enumerate(texts):
        if index % PAUSE == 0:
            await asyncio.sleep(0)  # a chance to be cancelled
        row: dict[str, Json] = {}
        for name, spec in fields.items():
            known = len(doubts[name])
            found = spec.values(
                spec.part_of(text), matches[name][index] if name in matches else None, doubts[name]
            )
            missing[name] += not found
            if spec.required and (not found or len(doubts[name]) > known):
                raise _required(name, index, doubts[name][known:])
            row[name] = found if spec.all else found[0] if found else None
        rows.append(row)
    notes += [f"{name}: not found in {count} of {len(texts)}" for name, count in missing.items() if count]
    for name, unclear in doubts.items():
        if unclear:
            notes.append(f"{name}: {len(unclear)} can be read in two ways and are null; the first: {unclear[0]}")
    return rows


def _required(name: str, index: int, doubts: list[str]) -> StepError:
    if doubts:
        return StepError(f"text {index}: '{name}' can be read in two ways: {doubts[0]}")
    return StepError(f"text {index}: '{name}' is not found", hint="drop `required` to have null instead")


async def _matches(
    texts: list[str], fields: dict[str, FieldSpec], seconds: float
) -> dict[str, list[list[str | None]]]:
    """What the patterns matched, by field and text."""
    found: dict[str, list[list[str | None]]] = {}
    with_pattern = {name: spec for name, spec in fields.items() if spec.pattern is not None}
    for after in {spec.after for spec in with_pattern.values()}:
        group = {name: spec for name, spec in with_pattern.items() if spec.after == after}
        jobs = [
            {
                "pattern": composed(spec.pattern or ""),
                "flags": re.IGNORECASE if spec.ignore_case else 0,
                "group": spec.group,
            }
            for spec in group.values()
        ]
        parts = [next(iter(group.values())).part_of(text) for text in texts]
        answer = await search(jobs, parts, seconds)
        for number, name in enumerate(group):
            found[name] = [row[number] for row in answer]
    return found
