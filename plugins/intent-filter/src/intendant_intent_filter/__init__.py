"""Keeps the records that match: by conditions, without a model, or by a prompt that a model judges each by."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from intendant.plugin import (
    ANSWER_RULES,
    CompressionPolicy,
    ExpressionFailed,
    IntentHandler,
    IntentSpec,
    Json,
    Step,
    StepError,
    StepRequest,
    StepResult,
    ask_each,
    condition_faults,
    is_reference,
    prompt_clash,
)
from intendant.records import as_list, field_of, identity_of, record_name
from intendant_intent_filter._conditions import NAMES, Condition, contains, hint_of
from intendant_intent_filter._parameters import ContainsAny, FilterParameters
from intendant_intent_filter._sets import Between, Members, SimilarBy, Window, tests_of, told_by, without_similar

__all__ = ["Between", "ContainsAny", "FilterHandler", "FilterParameters", "Members", "SimilarBy", "Window"]

OPTIONS = (
    "where",
    "contains_any",
    "between",
    "only_in",
    "not_in",
    "unique_by",
    "similar_by",
    "window",
    "limit",
    "offset",
)
"""Parameters that filter without a model."""
SYSTEM = "You judge records: whether each is one to keep, by what is asked."
REASONS = 50
"""Reasons that the notes show."""
PAUSE = 500
"""Records between two looks at whether the step was cancelled."""


class FilterHandler(IntentHandler[FilterParameters]):
    """Keeps the records that match a condition, drops duplicates, and limits how many there are.

    With a `prompt` and none of these, a model judges each record.
    """

    instructions = f"{SYSTEM} {ANSWER_RULES}"
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
        connects=False,
    )

    def flows(self, step: Step) -> bool:
        """True without a model, unless all records have to be seen before the first is kept."""
        given = step.parameters
        whole = given.get("keep") == "last" or any(name in given for name in ("similar_by", "window"))
        return not self.needs_model(step) and not whole

    def needs_model(self, step: Step) -> bool:
        """True where a prompt alone says what to keep."""
        return step.prompt is not None and not any(name in step.parameters for name in OPTIONS)

    def batches(self, step: Step) -> bool:
        """True where a model is asked, about the records of each call."""
        return self.needs_model(step)

    def check(self, step: Step) -> list[str]:
        """What is wrong with the step, seen before it runs."""
        found = [] if "input" in step.model_fields_set else ["`input` is missing: the list of records to filter"]
        given = step.parameters
        if step.prompt is None and not any(name in given for name in OPTIONS):
            found.append("nothing to filter by: give `where`, `contains_any`, `unique_by`, `limit`, or a `prompt`")
        found += prompt_clash(given, step.prompt, OPTIONS)
        return found + condition_faults(given.get("where"), NAMES, "where")

    async def handle(self, request: StepRequest[FilterParameters]) -> StepResult:
        """The kept records, in their order; the notes count what was dropped and why.

        Raises:
            StepError: The input is no list, or a record cannot be judged.
            BudgetExceeded: The budget does not admit asking a model.
            ProviderError: The provider refused or broke off, or none can be used.
        """
        if self.needs_model(request.step):
            return await _judged(request)
        options = request.parameters
        if is_reference(request.input):
            from intendant_intent_filter._flow import filtered

            return await filtered(request)
        items = as_list(request.input)
        notes: list[str] = []
        kept = await _matching(items, options, notes)
        kept = _containing(kept, options.contains_any, items)
        tests = tests_of(options.between, options.only_in, options.not_in)
        for test in tests:
            kept = [index for index in kept if test(items[index])]
        notes += [*told_by(tests), *_nowhere(items, options)]
        kept = _unique(kept, options, items, notes)
        if options.similar_by is not None:
            kept = await without_similar(options.similar_by, kept, items, notes)
        if options.window is not None:
            kept = options.window.first(kept, items, notes)
        end = None if options.limit is None else options.offset + options.limit
        output = [items[index] for index in kept[options.offset : end]]
        notes.insert(0, f"kept {len(output)} of {len(items)} records, dropped {len(items) - len(output)}")
        return StepResult(output=output, notes=tuple(notes))


async def _judged(request: StepRequest[FilterParameters]) -> StepResult:
    """The records that a model would keep."""
    items = as_list(request.input)
    if not items:
        return StepResult(output=[], notes=("there were no records; no model was asked",))
    task = f"Which of these items are to be kept? {request.prompt}\n`keep` is null where the item does not tell."
    keep: Json = {"type": ["boolean", "null"]}
    properties: dict[str, Json] = {"keep": keep}
    if request.parameters.reasons:
        properties = {"reason": {"type": "string", "maxLength": 300}, **properties}
        task += " `reason` says in one sentence why it is to be kept or not."
    found = await ask_each(request, items, system=SYSTEM, task=task, properties=properties)
    wanted = [None if answer is None else answer["keep"] for answer in found.values]
    unknown = [index for index, value in enumerate(wanted) if value is None]
    policy = request.parameters.unknown
    if unknown and policy == "fail":
        raise StepError(
            f"{record_name(items[unknown[0]], unknown[0])}: the model cannot tell whether to keep it",
            hint="unknown: keep or unknown: drop lets it pass",
        )
    kept = [items[index] for index, value in enumerate(wanted) if (policy == "keep" if value is None else value)]
    notes = [f"kept {len(kept)} of {len(items)} records, dropped {len(items) - len(kept)}"]
    if unknown:
        deed = {"keep": "kept", "drop": "dropped"}[policy]
        notes.append(f"of {len(unknown)} records the model cannot tell; they were {deed}")
    said = [(index, answer) for index, answer in enumerate(found.values) if answer is not None]
    if request.parameters.reasons:
        notes += [f"{record_name(items[index], index)}: {answer['reason']}" for index, answer in said[:REASONS]]
    return StepResult(output=kept, notes=(*notes, *found.notes))


async def _matching(items: list[Json], options: FilterParameters, notes: list[str]) -> list[int]:
    """Positions of the records that meet the condition."""
    if options.where is None:
        return list(range(len(items)))
    condition = Condition(options.where, options.values)
    kept: list[int] = []
    failed: list[str] = []
    for index, item in enumerate(items):
        if index % PAUSE == 0:
            await asyncio.sleep(0)
        try:
            wanted = await condition.test(item, index)
        except ExpressionFailed as error:
            wanted = options.on_error == "keep"
            failed.append(f"{record_name(item, index)}: {error.message}")
            if options.on_error == "fail":
                raise StepError(failed[0], hint=hint_of(error.message)) from None
        if wanted:
            kept.append(index)
    if failed:
        deed = {"drop": "dropped", "keep": "kept"}[options.on_error]
        notes.append(f"{len(failed)} could not be evaluated and were {deed}; the first: {failed[0]}")
    return kept


def _nowhere(items: list[Json], options: FilterParameters) -> Iterator[str]:
    """Fields by which records are told apart and which no record has: mostly they are written wrong."""
    asked: list[tuple[str, Sequence[str]]] = [
        ("contains_any", () if options.contains_any is None else options.contains_any.fields),
        ("window", [] if options.window is None else options.window.names),
        ("unique_by", options.unique_names if options.unique_by is not None else ()),
    ]
    for name, members in (("only_in", options.only_in), ("not_in", options.not_in)):
        by = None if members is None else members.by
        asked.append((name, [by] if isinstance(by, str) else by or ()))
    for option, fields in asked:
        absent = [
            field for field in fields if field != "*" and all(field_of(item, field) is None for item in items)
        ]
        if items and absent and len(absent) == len(fields):
            yield f"no record has a {' or '.join(absent)}, by which `{option}` goes"


def _containing(kept: list[int], wanted: ContainsAny | None, items: list[Json]) -> list[int]:
    if wanted is None:
        return kept
    words = wanted.wanted
    return [
        index for index in kept if any(contains(field_of(items[index], name), words) for name in wanted.fields)
    ]


def _unique(kept: list[int], options: FilterParameters, items: list[Json], notes: list[str]) -> list[int]:
    if options.unique_by is None:
        return kept
    fields = options.unique_names
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
