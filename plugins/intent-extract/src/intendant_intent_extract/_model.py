"""Asks a model for the data, where language has to be understood."""

from intendant.plugin import (
    Json,
    Message,
    ModelReply,
    ModelRequest,
    Route,
    StepError,
    StepRequest,
    StepResult,
    ask,
    compression_notes,
    json_in,
    length_hint,
    marked,
    why_no_json,
)
from intendant_intent_extract._prompts import ROLE, SYSTEM

HINT = "retry the step, or make its prompt clearer or its `output` schema simpler"


async def answer(request: StepRequest, *, evidence: bool = False) -> StepResult:
    """The model's answer: of the step's `output` shape, checked, else any JSON value.

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
    fitted = await request.model.fit(request.input, query=task, overhead=SYSTEM + marked(task, ""))
    reply = await request.model.complete(
        ModelRequest(
            system=SYSTEM,
            messages=(Message(content=marked(task, fitted.text)),),
            source=request.input,
            task="extract",
        )
    )
    output = _parsed(reply, request.model.route)
    return StepResult(output=output, notes=(*compression_notes(fitted), *reply.notes))


def _parsed(reply: ModelReply, route: Route | None) -> Json:
    if reply.data is not None:
        return reply.data
    if reply.stop_reason == "length":
        raise StepError("the model's answer broke off at its length limit", hint=length_hint(reply, route))
    if (found := json_in(reply.text)) is not None or reply.text.strip() == "null":
        return found
    shown = " ".join(reply.text.split())[:80]
    raise StepError(f"the model's answer is not JSON ({why_no_json(reply.text)}): {shown!r}", hint=HINT)
