"""Rewrites, translates, converts and ranks by asking a model."""

from intendant.plugin import (
    Json,
    StepError,
    StepRequest,
    StepResult,
    ask,
    ask_each,
    length_hint,
)
from intendant_intent_transform._prompts import SYSTEM, TEXT_RULES

GROWTH = 1.5
"""Tokens of a result for each token of its item: translations grow."""
RESULT: dict[str, Json] = {"result": {"type": ["object", "array", "string", "number", "boolean", "null"]}}


async def rewritten(request: StepRequest) -> StepResult:
    """The input as the prompt wants it: text for a text, a list for a list, else a value of the `output` shape.

    Raises:
        StepError: No answer fits, or the model wrote nothing.
    """
    value, shape = request.input, request.step.output
    if value in (None, "", [], {}):
        return StepResult(output=value, notes=("the input is empty; no model was asked",))
    if shape is not None and shape.get("type") != "string":
        found = await ask(request, system=SYSTEM, task=request.prompt, schema=shape)
        return StepResult(output=found.value, notes=found.notes)
    if isinstance(value, list):
        return await _each(request, value)
    return await _text(request)


async def _each(request: StepRequest, items: list[Json]) -> StepResult:
    """Each item as the prompt wants it; in the model's order where one call saw them all, as ranking needs."""
    task = (
        f"Of each item: {request.prompt}\n`result` is the item as it is to be, in the form that it has: text "
        "stays text, a record stays a record with the same fields unless the task says otherwise. It is null "
        "where the item itself stays as it is. Where the task is to rank or sort, give the answers in that order."
    )
    found = await ask_each(request, items, system=SYSTEM, task=task, properties=RESULT, growth=GROWTH)
    output: list[Json] = []
    for index in _order(found.order, len(items)):
        answer = found.values[index]
        changed = None if answer is None else answer["result"]
        output.append(items[index] if changed is None else changed)
    same = sum(answer is None for answer in found.values)
    notes = (f"{same} items got no answer and stay as they were",) if same else ()
    return StepResult(output=output, notes=(*notes, *found.notes))


def _order(given: tuple[int, ...], count: int) -> list[int]:
    """The model's order; items without an answer come last."""
    return [*given, *(index for index in range(count) if index not in set(given))]


async def _text(request: StepRequest) -> StepResult:
    """A text, or one record written as text."""
    system = f"{SYSTEM} {TEXT_RULES}"
    found = await ask(request, system=system, task=request.prompt, schema=None, check=_empty, rules="")
    if not found.value:
        raise StepError("the model wrote nothing", hint=length_hint(found.reply, request.model.route))
    cut = ("the text was cut at its length limit",) if found.reply.stop_reason == "length" else ()
    return StepResult(output=found.value, notes=(*found.notes, *cut))


def _empty(text: Json) -> tuple[str, ...]:
    return () if text else ("the model wrote nothing",)
