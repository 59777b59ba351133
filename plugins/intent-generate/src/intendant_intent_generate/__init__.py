"""Writes new text, or data of a given shape; or fills a template without asking a model."""

import asyncio
from typing import Literal

from pydantic import Field

from intendant import BudgetExceeded
from intendant.plugin import (
    Compression,
    IntentHandler,
    IntentSpec,
    Json,
    Message,
    ModelReply,
    ModelRequest,
    Options,
    Schema,
    Step,
    StepError,
    StepRequest,
    StepResult,
    answer_tokens,
    length_hint,
    marked,
)
from intendant_intent_generate._answers import Answer, read
from intendant_intent_generate._prompts import correction, instructions
from intendant_intent_generate._template import fill

__all__ = ["GenerateHandler", "GenerateParameters"]


class GenerateParameters(Options):
    """Parameters of a generated text."""

    template: str | None = None
    """Filled from the input without asking a model: `{field}` stands for a field's value."""
    max_words: int | None = Field(None, ge=1, le=50_000)
    """The most words it may have."""
    tone: str = Field("", max_length=200)
    """Such as `friendly` or `formal, for customers`."""
    format: Literal["text", "markdown", "html"] = "text"
    language: str = Field("", max_length=60)
    """By default that of the prompt."""
    allow_extractive: bool = False
    """Whether the input may be written into a plain list where no language model can be asked. Otherwise the step
    fails then: what people read would be data that was not meant for them."""


class GenerateHandler(IntentHandler[GenerateParameters]):
    """Writes what the prompt asks for, about the step's input if there is one.

    With an output schema the answer is data of that shape; an answer that does not fit is sent back once.
    """

    spec = IntentSpec(
        name="generate",
        summary="Write new text or data",
        examples=(
            "Write a welcome message for the new customer",
            "Draft a reply to the complaint",
            "Compose release notes from the list of changes",
            "Create a product description",
            "Generate a report on the quarter's sales",
            "Write three subject lines for the newsletter",
            "Propose a title for the article",
        ),
        words=("write", "draft", "compose", "generate", "create", "author", "propose", "reply"),
        tokens=2500,
        reasoning=8,
        memory=True,
        output_complexity=7,
    )

    def needs_model(self, step: Step) -> bool:
        """False for a template."""
        return step.parameters.get("template") is None

    def check(self, step: Step) -> list[str]:
        """A step that neither says what to write nor has a template cannot be done."""
        if self.needs_model(step) and not _task(step, step.prompt or ""):
            return ["say what to write: give the step a `prompt`, or `with: {template: …}`"]
        return []

    async def handle(self, request: StepRequest[GenerateParameters]) -> StepResult:
        """Write the text.

        Raises:
            StepError: A parameter is wrong, the template names a field that is not there, no language model could
                be asked, or the answer is not of the shape that was asked for.
            BudgetExceeded: The input does not fit the budget, however it is compressed.
            ProviderError: The provider refused or broke off.
        """
        wanted = request.parameters
        if wanted.template is not None:
            notes = (
                ["the input has no records, so the template was filled for none"] if request.input == [] else []
            )
            return StepResult(output=fill(wanted.template, request.input), notes=tuple(notes))
        asked, fitted = await self._ask(request, wanted)
        schema = asked.json_schema
        reply = await request.model.complete(asked)
        _require_language(reply, wanted)
        notes = _notes(fitted, reply)
        if schema is None:
            hint = length_hint(reply, request.model.route, asked.max_output_tokens)
            return StepResult(output=_text(reply, hint), notes=tuple(notes))
        answer = await asyncio.to_thread(read, reply, Schema(schema))
        if answer.problems:
            answer = await self._again(request, asked, reply, answer)
            notes.append("the first answer did not match the schema and was sent back once")
        return StepResult(output=answer.value, notes=tuple(notes))

    async def _ask(self, request: StepRequest, wanted: GenerateParameters) -> tuple[ModelRequest, Compression]:
        schema = request.step.output
        schema = None if schema is None or schema.get("type") == "string" else schema
        layout = wanted.format if schema is None else "json"
        system = instructions(wanted.max_words, wanted.tone, layout, wanted.language)
        task = _task(request.step, request.prompt)
        fitted = await request.model.fit(request.input, query=task, overhead=marked(task, "") + system)
        asked = ModelRequest(
            system=system,
            messages=(Message(content=marked(task, fitted.text)),),
            json_schema=schema,
            max_output_tokens=answer_tokens(wanted.max_words, wanted.language),
            source=request.input,
            task="generate",
        )
        return asked, fitted

    async def _again(self, request: StepRequest, asked: ModelRequest, reply: ModelReply, first: Answer) -> Answer:
        """Send an answer that does not match back, once."""
        said = reply.text.strip() or "(nothing)"
        messages = (
            *asked.messages,
            Message(role="assistant", content=said),
            Message(content=correction(first.problems)),
        )
        try:
            second = await request.model.complete(asked.model_copy(update={"messages": messages}))
        except BudgetExceeded as error:
            message = f"the answer does not match the schema ({'; '.join(first.problems)})"
            raise StepError(message, hint=f"no tokens are left to ask again: {error.message}") from None
        answer = await asyncio.to_thread(read, second, Schema(asked.json_schema or {}))
        if answer.problems:
            raise StepError(
                f"the answer does not match the schema, twice: {'; '.join(answer.problems)}",
                hint="make the schema simpler, or the prompt clearer",
            )
        return answer


def _task(step: Step, prompt: str) -> str:
    """What to write: the prompt, else the step's description, else its name."""
    return prompt.strip() or step.description.strip() or step.name.strip()


def _require_language(reply: ModelReply, wanted: GenerateParameters) -> None:
    """Refuse an answer that no language model wrote, unless the step admits it.

    Raises:
        StepError: It does not.
    """
    if reply.produced_by == "extractive" and not wanted.allow_extractive:
        raise StepError(
            "no language model could be asked, and without one the input would be given out as it is",
            hint="set ANTHROPIC_API_KEY or OPENAI_API_KEY, fill a `template`, or say `allow_extractive: true` to "
            "have the input written into a plain list",
        )


def _text(reply: ModelReply, hint: str) -> Json:
    """The answer's text.

    Args:
        reply: The answer.
        hint: What to do where it broke off.
    """
    if reply.text.strip():
        return reply.text.strip()
    raise StepError("the model wrote nothing", hint=hint if reply.stop_reason == "length" else "")


def _notes(fitted: Compression, reply: ModelReply) -> list[str]:
    notes = []
    if fitted.strategy != "none" and reply.produced_by == "model":
        kept = "" if fitted.lossless else f", {fitted.quality:.0%} of its facts kept"
        dropped = f"; dropped: {'; '.join(fitted.dropped)}" if fitted.dropped else ""
        notes.append(
            f"the input was compressed by {fitted.strategy} from {fitted.tokens_before} to "
            f"{fitted.tokens_after} tokens{kept}{dropped}"
        )
    if reply.produced_by == "extractive":
        notes.append("no model was asked: the input was written into a plain template")
    notes += reply.notes
    if reply.stop_reason == "length":
        notes.append("the text was cut: the budget or the tier admits no longer one")
    elif reply.stop_reason == "refusal":
        notes.append("the model refused to answer in full")
    return notes
