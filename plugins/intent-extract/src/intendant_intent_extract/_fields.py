"""Pulls named fields out of texts."""

import re
from typing import Literal

from pydantic import Field, model_validator

from intendant.plugin import Json, Options, StepError
from intendant_intent_extract._kinds import Kind, find
from intendant_intent_extract._patterns import search


class FieldSpec(Options):
    """What to look for: a kind, a pattern, or a kind within what a pattern matches."""

    kind: Kind | None = None
    pattern: str | None = Field(None, min_length=1, max_length=1000)
    """A regular expression of Python."""
    group: int | str | None = None
    """Which group of the pattern; by default the first, or the whole match where it has none."""
    ignore_case: bool = False
    after: str | None = Field(None, min_length=1)
    """Looks only behind the first occurrence of this text, whatever its case."""
    all: bool = False
    """Takes all that is found, as a list, instead of the first."""
    required: bool = False
    """Fails the step where nothing is found."""
    decimal: Literal[".", ","] = "."
    """What stands before a number's decimals."""
    day_first: bool = True
    """Whether 12/5/2026 is the 12th of May."""

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
        found = re.search(re.escape(self.after), text, re.IGNORECASE)
        return "" if found is None else text[found.end() :]

    def values(self, text: str, matches: list[str | None] | None) -> list[Json]:
        """What is in *text*, or in what the pattern matched of it."""
        if self.kind is None:
            return [match for match in matches or [] if match is not None]
        places = [text] if matches is None else [match for match in matches if match is not None]
        return [
            value
            for place in places
            for value in find(self.kind, place, decimal=self.decimal, day_first=self.day_first)
        ]


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
    rows = []
    for index, text in enumerate(texts):
        row: dict[str, Json] = {}
        for name, spec in fields.items():
            found = spec.values(spec.part_of(text), matches[name][index] if name in matches else None)
            missing[name] += not found
            if not found and spec.required:
                raise StepError(
                    f"text {index}: '{name}' is not found", hint="drop `required` to have null instead"
                )
            row[name] = found if spec.all else found[0] if found else None
        rows.append(row)
    notes += [f"{name}: not found in {count} of {len(texts)}" for name, count in missing.items() if count]
    return rows


async def _matches(
    texts: list[str], fields: dict[str, FieldSpec], seconds: float
) -> dict[str, list[list[str | None]]]:
    """What the patterns matched, by field and text."""
    found: dict[str, list[list[str | None]]] = {}
    with_pattern = {name: spec for name, spec in fields.items() if spec.pattern is not None}
    for after in {spec.after for spec in with_pattern.values()}:
        group = {name: spec for name, spec in with_pattern.items() if spec.after == after}
        jobs = [
            {"pattern": spec.pattern, "flags": re.IGNORECASE if spec.ignore_case else 0, "group": spec.group}
            for spec in group.values()
        ]
        parts = [next(iter(group.values())).part_of(text) for text in texts]
        answer = await search(jobs, parts, seconds)
        for number, name in enumerate(group):
            found[name] = [row[number] for row in answer]
    return found
