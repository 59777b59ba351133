"""Keeps the records that match. No model is asked."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from intendant.plugin import (
    CompressionPolicy,
    Expression,
    ExpressionFailed,
    IntentHandler,
    IntentSpec,
    Json,
    Options,
    Step,
    StepError,
    StepRequest,
    StepResult,
    condition_faults,
)
from intendant.records import as_list, caseless, field_of, identity_of, record_name

__all__ = ["ContainsAny", "FilterHandler", "FilterParameters"]

NAMES = ("item", "index", "values")
PAUSE = 500
"""Records between two looks at whether the step was cancelled."""


class ContainsAny(Options):
    """Matches records of which one of `fields` contains one of `words`, whatever the case.

    Text contains a word as a part; a list contains it as an element. A field that is null or absent contains none.
    """

    fields: list[str] = Field(min_length=1)
    words: str | list[str]
    """A list, or one text with commas between the words."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """The words, trimmed and folded to one case; empty ones are left out."""
        words = self.words.split(",") if isinstance(self.words, str) else self.words
        return tuple(caseless(word.strip()) for word in words if word.strip())


class FilterParameters(Options):
    """Parameters of a filter; they apply in this order."""

    where: str | None = None
    """A CEL condition on `item`, `index` and `values`."""
    values: dict[str, Json] = Field(default_factory=dict)
    """What the condition may use as `values.<name>`; the place for references."""
    contains_any: ContainsAny | None = None
    unique_by: str | list[str] | None = None
    """Fields whose values may occur once only; `*` for the whole record."""
    keep: Literal["first", "last"] = "first"
    """Which of several alike is kept."""
    offset: int = Field(0, ge=0)
    limit: int | None = Field(None, ge=0)
    on_error: Literal["fail", "drop", "keep"] = "fail"
    """What happens to a record whose condition cannot be evaluated."""


class FilterHandler(IntentHandler[FilterParameters]):
    """Keeps the records that match a condition, drops duplicates, and limits how many there are."""

    spec = IntentSpec(
        name="filter",
        summary="Keep the records that match, drop duplicates, limit",
        examples=(
            "Keep only the orders above 100 euros",
            "Remove duplicate contacts by e-mail address",
            "Exclude cancelled bookings",
            "Only the mails that mention a complaint or a refund",
            "Take the first ten unread messages",
            "Leave out every row without a customer number",
            "Select the tickets that are still open",
        ),
        words=("filter", "keep", "only", "exclude", "remove", "drop", "select", "where", "without", "duplicates"),
        tokens=600,
        compression=CompressionPolicy(strategy="structural", floor=0.80),
        reasoning=3.0,
        output_complexity=4.0,
        tier_bias=-0.5,
    )

    def needs_model(self, step: Step) -> bool:  # noqa: ARG002  # the same for each
        """Never."""
        return False

    def check(self, step: Step) -> list[str]:
        """What is wrong with the step, seen before it runs."""
        if step.uses is not None:
            return ["a filter uses no connector: read in an extract step, and give its output as `input`"]
        found = [] if "input" in step.model_fields_set else ["`input` is missing: the list of records to filter"]
        given = step.with_
        if not any(name in given for name in ("where", "contains_any", "unique_by", "limit", "offset")):
            found.append("nothing to filter by: give `where`, `contains_any`, `unique_by`, `limit` or `offset`")
        return found + condition_faults(given.get("where"), NAMES, "where")

    async def handle(self, request: StepRequest[FilterParameters]) -> StepResult:
        """The kept records, in their order; the notes count what was dropped and why.

        Raises:
            StepError: The input is no list, or a record's condition cannot be evaluated.
        """
        options = request.parameters
        items = as_list(request.input)
        notes: list[str] = []
        kept = await _matching(items, options, notes)
        kept = _containing(kept, options.contains_any, items)
        kept = _unique(kept, options, items, notes)
        end = None if options.limit is None else options.offset + options.limit
        output = [items[index] for index in kept[options.offset : end]]
        notes.insert(0, f"kept {len(output)} of {len(items)} records, dropped {len(items) - len(output)}")
        return StepResult(output=output, notes=tuple(notes))


async def _matching(items: list[Json], options: FilterParameters, notes: list[str]) -> list[int]:
    """Positions of the records that meet the condition."""
    if options.where is None:
        return list(range(len(items)))
    condition = Expression(options.where, NAMES)
    kept: list[int] = []
    failed: list[str] = []
    for index, item in enumerate(items):
        if index % PAUSE == 0:
            await asyncio.sleep(0)
        try:
            wanted = await condition.test_async(item=item, index=index, values=options.values)
        except ExpressionFailed as error:
            wanted = options.on_error == "keep"
            failed.append(f"{record_name(item, index)}: {error.message}")
            if options.on_error == "fail":
                raise StepError(failed[0], hint=_hint(error.message)) from None
        if wanted:
            kept.append(index)
    if failed:
        deed = {"drop": "dropped", "keep": "kept"}[options.on_error]
        notes.append(f"{len(failed)} could not be evaluated and were {deed}; the first: {failed[0]}")
    return kept


def _hint(message: str) -> str:
    if "Key not found" in message:
        return "write has(item.field) && … where a field may be absent, or set on_error: drop"
    return "convert with double(…) or string(…), test for null, or set on_error: drop"


def _containing(kept: list[int], wanted: ContainsAny | None, items: list[Json]) -> list[int]:
    if wanted is None:
        return kept
    words = wanted.wanted
    return [
        index for index in kept if any(_contains(field_of(items[index], name), words) for name in wanted.fields)
    ]


def _contains(value: Json, words: tuple[str, ...]) -> bool:
    if isinstance(value, list):
        return any(isinstance(part, str) and caseless(part.strip()) in words for part in value)
    text = caseless(value) if isinstance(value, str) else ""
    return any(word in text for word in words)


def _unique(kept: list[int], options: FilterParameters, items: list[Json], notes: list[str]) -> list[int]:
    if options.unique_by is None:
        return kept
    fields = [options.unique_by] if isinstance(options.unique_by, str) else options.unique_by
    order: Iterable[int] = kept if options.keep == "first" else reversed(kept)
    chosen = sorted(_once(order, fields, items))
    if len(chosen) < len(kept):
        notes.append(
            f"{len(kept) - len(chosen)} duplicates by {', '.join(fields)}, of which the {options.keep} is kept"
        )
    return chosen


def _once(order: Iterable[int], fields: list[str], items: list[Json]) -> Iterator[int]:
    """Positions in *order* without those whose fields were seen. A record without any of the fields is alone."""
    seen = set()
    for index in order:
        values = [items[index]] if fields == ["*"] else [field_of(items[index], name) for name in fields]
        key = tuple(identity_of(value) for value in values)
        if all(value is None for value in values) and fields != ["*"]:
            yield index
        elif key not in seen:
            seen.add(key)
            yield index
