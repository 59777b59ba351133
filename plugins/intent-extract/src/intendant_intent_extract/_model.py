"""Asks a model for the data, where language has to be understood."""

from intendant.plugin import (
    Json,
    StepError,
    StepRequest,
    StepResult,
    ask,
    json_in,
    length_hint,
    why_no_json,
)
from intendant_intent_extract._prompts import ROLE, SYSTEM

HINT = "retry the step, or make its prompt clearer or its `output` schema simpler"


async def answer(request: StepRequest, *, evidence: bool = False) -> StepResult:
    """The model's answer: of the step's `output` shape, else any JSON value. One that is not is sent back once,
    then asked of the next stronger tier.

    Raises:
        StepError: There is nothing to read, or the answer is not JSON.
    """
    if request.input in (None, "", [], {}):
        raise StepError("there is nothing to extract from: the input is empty", hint="give the step an `input`")
    schema = request.step.output
    task = request.prompt or "Extract what the schema asks for."
    if schema is not None and evidence:
        from intendant_intent_extract._evidence import answered

        return await answered(request, schema)
    if schema is not None:
        found = await ask(request, system=ROLE, task=task, schema=schema)
        return StepResult(output=found.value, notes=found.notes)
    found = await ask(request, system=SYSTEM, task=task, schema=None, check=_faults, rules="")
    if found.reply.data is not None:
        return StepResult(output=found.reply.data, notes=found.notes)
    if found.reply.stop_reason == "length":  # what is complete in it may not be all
        hint = length_hint(found.reply, request.model.route)
        raise StepError("the model's answer broke off at its length limit", hint=hint)
    if faults := _faults(found.reply.text):  # a provider that asks no model is not asked again
        raise StepError(faults[0], hint=HINT)
    return StepResult(output=json_in(found.reply.text), notes=found.notes)


def _faults(text: Json) -> tuple[str, ...]:
    """What is wrong with an answer that is to be JSON; nothing where there is some in it."""
    said = str(text)
    if json_in(said) is not None or said.strip() == "null":
        return ()
    shown = " ".join(said.split())[:80]
    return (f"the model's answer is not JSON ({why_no_json(said)}): {shown!r}",)
