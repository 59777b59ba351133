"""Reshapes, converts and computes without a model; rewrites, translates and ranks as a prompt asks one."""

import asyncio

from pydantic import ValidationError

from intendant.plugin import (
    CompressionPolicy,
    IntentHandler,
    IntentSpec,
    Step,
    StepError,
    StepRequest,
    StepResult,
    prompt_clash,
)
from intendant_intent_transform._parameters import OPS, TransformParameters, faults_of
from intendant_intent_transform._prompts import SYSTEM, TEXT_RULES

__all__ = ["OPS", "TransformHandler", "TransformParameters"]


class TransformHandler(IntentHandler[TransformParameters]):
    """Reshapes records, converts between formats, and computes fields, one operation after the other.

    With a `prompt` and no operations, a model rewrites a text, or each of several records, or ranks them.
    """

    instructions = f"{SYSTEM} {TEXT_RULES}"
    spec = IntentSpec(
        name="transform",
        summary="Reshape, convert and compute records",
        examples=(
            "Convert the list of rows to JSON",
            "Rename the columns and compute the gross price",
            "Sort the commits by date and format them as a table",
            "Turn the nested attachments into one row each",
            "Parse the dates and calculate the days until the deadline",
            "Reshape the spreadsheet into records",
            "Format the results as a Markdown table",
            "Split the text into lines",
        ),
        words=(
            "transform",
            "convert",
            "format",
            "map",
            "reshape",
            "restructure",
            "rename",
            "sort",
            "flatten",
            "parse",
            "split",
            "compute",
            "render",
        ),
        tokens=800,
        compression=CompressionPolicy(strategy="structural", floor=0.85),
        reasoning=4.0,
        output_complexity=5.0,
        connects=False,
    )

    def needs_model(self, step: Step) -> bool:
        """True where a prompt alone says what to make of the input."""
        return step.prompt is not None and "do" not in step.parameters and "op" not in step.parameters

    def batches(self, step: Step) -> bool:
        """True where a model is asked for each record of a list; not for one value of a shape."""
        return self.needs_model(step) and (step.output is None or step.output.get("type") == "string")

    def needs_language(self, step: Step) -> bool:
        """True where a model is asked: its answer is data of a given shape."""
        return self.needs_model(step)

    def check(self, step: Step) -> list[str]:
        """What is wrong with the step, seen before it runs."""
        found = [] if "input" in step.model_fields_set else ["`input` is missing: what to transform"]
        if step.prompt is None and "do" not in step.parameters and "op" not in step.parameters:
            found.append("give either `do`, a list of operations, or `op`, a single one, or a `prompt`")
        found += prompt_clash(step.parameters, step.prompt, ("do", "op"))
        try:
            given = TransformParameters.model_validate(step.parameters).given
        except ValidationError:
            return found  # reported where it stands
        return found + [fault for place, item in given for fault in faults_of(place, item, resolved=False)]

    async def handle(self, request: StepRequest[TransformParameters]) -> StepResult:
        """What the last operation gives.

        Raises:
            StepError: An operation is wrong, or does not fit what it is given; names it.
            BudgetExceeded: The budget does not admit asking a model.
            ProviderError: The provider refused or broke off, or none can be used.
        """
        if self.needs_model(request.step):
            from intendant_intent_transform._model import rewritten

            return await rewritten(request)
        operations = request.parameters.operations()
        value = request.input
        notes: list[str] = []
        for place, operation in operations:
            await asyncio.sleep(0)  # a chance to be cancelled
            said: list[str] = []
            try:
                value = await operation.apply(value, said)
            except StepError as error:
                raise StepError(f"{place}: {error.message}", hint=error.hint) from None
            notes += [f"{place}: {note}" for note in said]
        return StepResult(output=value, notes=tuple(notes))
