"""Writes new text, or data of a given shape; or fills a template without asking a model."""

from typing import Literal

from pydantic import Field

from intendant.plugin import (
    IntentHandler,
    IntentSpec,
    Json,
    ModelReply,
    Options,
    Step,
    StepError,
    StepRequest,
    StepResult,
    answer_tokens,
    ask,
    length_hint,
)
from intendant_intent_generate._guard import Guard, GuardRule, require
from intendant_intent_generate._prompts import RULES, instructions
from intendant_intent_generate._template import fill

__all__ = ["GenerateHandler", "GenerateParameters", "Guard", "GuardRule"]


class GenerateParameters(Options):
    """How to generate the text."""

    template: str | None = None
    """A template that is filled from the input without asking a model; `{field}` is replaced by a field's
    value."""
    max_words: int | None = Field(None, ge=1, le=50_000)
    """Maximum number of words."""
    tone: str = Field("", max_length=200)
    """The tone, such as `friendly` or `formal, for customers`."""
    format: Literal["text", "markdown", "html"] = "text"
    language: str = Field("", max_length=60)
    """The language of the text; by default that of the prompt."""
    guard: Guard | None = None
    """Checks that the text must pass."""
    allow_extractive: bool = False
    """Whether the input may be written as a plain list if no language model is available. Otherwise the step
    fails, because people would read data that was not meant for them."""


class GenerateHandler(IntentHandler[GenerateParameters]):
    """Writes what the prompt asks for, about the step's input if there is one.

    With an output schema the answer is data of that shape; an answer that does not fit is sent back once, then
    asked of the next stronger tier.
    """

    instructions = RULES
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
        connects=False,
    )

    def needs_model(self, step: Step) -> bool:
        """False for a template."""
        return step.parameters.get("template") is None

    def needs_language(self, step: Step) -> bool:
        """True unless the step says that its input may be given out as a list."""
        return step.output is not None or not step.parameters.get("allow_extractive")

    def check(self, step: Step) -> list[str]:
        """A step that neither says what to write nor has a template cannot be done."""
        if self.needs_model(step) and not _task(step, step.prompt or ""):
            return ["say what to write: give the step a `prompt`, or `with: {template: …}`"]
        return Guard.faults(step.parameters.get("guard"))

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
            text = fill(wanted.template, request.input)
            return StepResult(output=text, notes=(*notes, *await _guarded(wanted, text, request.input)))
        schema = request.step.output
        schema = None if schema is None or schema.get("type") == "string" else schema
        layout = wanted.format if schema is None else "json"
        most = answer_tokens(wanted.max_words, wanted.language)
        guard = wanted.guard
        enforced = guard is not None and guard.on_break == "fail"
        found = await ask(
            request,
            system=instructions(wanted.max_words, wanted.tone, layout, wanted.language),
            task=_task(request.step, request.prompt),
            schema=schema,
            check=guard.checker(request.input) if guard is not None and enforced else _empty,
            max_output_tokens=most,
            rules="",
        )
        reply = found.reply
        _require_language(reply, wanted)
        if schema is None and not found.value:
            hint = length_hint(reply, request.model.route, most) if reply.stop_reason == "length" else ""
            raise StepError("the model wrote nothing", hint=hint)
        broken = await _guarded(wanted, found.value, request.input)
        return StepResult(output=found.value, notes=(*found.notes, *_notes(reply), *broken))


async def _guarded(wanted: GenerateParameters, value: Json, source: Json) -> list[str]:
    """What a text that nobody is asked again about breaks, where the step only reports that.

    Raises:
        StepError: It breaks something, and the step does not admit it.
    """
    if wanted.guard is None:
        return []
    problems = await wanted.guard.checker(source)(value)
    if wanted.guard.on_break == "fail":
        require(problems)
    return [f"the text does not keep to its guard: {problem}" for problem in problems]


def _empty(value: Json) -> tuple[str, ...]:
    return () if value != "" else ("the model wrote nothing",)


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


def _notes(reply: ModelReply) -> list[str]:
    notes = []
    if reply.produced_by == "extractive":
        notes.append("no model was asked: the input was written into a plain template")
    if reply.stop_reason == "length":
        notes.append("the text was cut: the budget or the tier admits no longer one")
    elif reply.stop_reason == "refusal":
        notes.append("the model refused to answer in full")
    return notes
