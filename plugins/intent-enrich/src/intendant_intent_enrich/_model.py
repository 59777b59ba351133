"""Fills fields by asking a model about each record."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from intendant.plugin import Json, ModelAnswers, StepError, StepRequest, StepResult, ask, ask_each
from intendant.records import is_nothing
from intendant_intent_enrich._parameters import EnrichParameters

SYSTEM = "You add fields to records: labels, scores, what a text is about, as is asked."
TEXT = "text"
"""The field that holds an item which is text, not a record."""
EXAMPLES = 3
"""Records from which the model tells which fields a task adds."""
NAMES: dict[str, Json] = {
    "type": "object",
    "properties": {"fields": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 8}},
    "required": ["fields"],
    "additionalProperties": False,
}


async def annotated(request: StepRequest[EnrichParameters]) -> StepResult:
    """The records with the fields that the model fills; null where a record does not tell.

    Raises:
        StepError: The input holds no records, or no answer fits.
    """
    options = request.parameters
    items = request.input if isinstance(request.input, list) else [request.input]
    records = [_record(item, index) for index, item in enumerate(items)]
    if not records:
        return StepResult(output=[], notes=("there were no records; no model was asked",))
    names = list(options.fields or options.allowed) or await _names(request, records)
    meaning = options.fields if isinstance(options.fields, dict) else {}
    told = "".join(f"\n- {name}: {text}" for name, text in meaning.items())
    task = f"Of each item: {request.prompt}{told}\nA field is null where the item does not tell."
    properties = {name: _schema(options.allowed.get(name)) for name in names}
    found = await ask_each(request, items, system=SYSTEM, task=task, properties=properties)
    output = [_added(record, answer, names, options) for record, answer in zip(records, found.values, strict=True)]
    notes = (f"added {', '.join(names)}", *_unknown(found, names), *found.notes)
    return StepResult(output=output if isinstance(request.input, list) else output[0], notes=notes)


async def _names(request: StepRequest[EnrichParameters], records: Sequence[Mapping[str, Json]]) -> list[str]:
    """The fields that the task asks for, where the step does not name them: asked once, of a few records."""
    task = (
        f"A task will be done for each of many such items: {request.prompt}\n"
        "Name the fields that its result adds to an item, in snake_case, as few as the task asks for."
    )
    few = replace(request, input=list(records[:EXAMPLES]))
    found = await ask(few, system=SYSTEM, task=task, schema=NAMES)
    names = found.value["fields"] if isinstance(found.value, dict) else []
    return [str(name) for name in names] if isinstance(names, list) else []


def _schema(allowed: list[Json] | None) -> Json:
    if allowed is None:
        return {"type": ["string", "number", "boolean", "null"]}
    return {"enum": [*(value for value in allowed if value is not None), None]}


def _record(item: Json, index: int) -> dict[str, Json]:
    if isinstance(item, dict):
        return item
    if isinstance(item, str):
        return {TEXT: item}
    raise StepError(f"element {index} of the input is {type(item).__name__}, not a record or text")


def _added(
    record: dict[str, Json], answer: Mapping[str, Json] | None, names: Sequence[str], options: EnrichParameters
) -> dict[str, Json]:
    given: dict[str, Json] = {name: None if answer is None else answer[name] for name in names}
    if options.into is not None:
        return {**record, options.into: given}
    kept = options.overwrite
    fields = {options.prefix + name: value for name, value in given.items()}
    return record | {
        name: value
        for name, value in fields.items()
        if name not in record or kept is True or (kept == "null" and is_nothing(record[name]))
    }


def _unknown(found: ModelAnswers, names: Sequence[str]) -> list[str]:
    """How often a field is not known."""
    counts = {name: sum(answer is None or answer[name] is None for answer in found.values) for name in names}
    return [f"{name}: unknown of {count} records" for name, count in counts.items() if count]
