"""Makes content shorter and keeps what matters."""

import asyncio
from typing import Literal

from pydantic import Field

from intendant.plugin import (
    CompressionPolicy,
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
    to_text,
)
from intendant_intent_summarize._grounds import Grounds, named
from intendant_intent_summarize._mapping import Reading, joined
from intendant_intent_summarize._prompts import MAP_RULES, RULES, instructions
from intendant_intent_summarize._sizes import Cut, cut_of
from intendant_intent_summarize._source import source_of

__all__ = ["SummarizeHandler", "SummarizeParameters"]

NOTHING = "there was nothing to summarize; no model was asked"
PROMPT_TOKENS = 120
"""Tokens of a prompt about a chunk besides task, rules and data: its place, marks and the schema."""


class SummarizeParameters(Options):
    """How to summarize."""

    max_words: int | None = Field(None, ge=1, le=20_000)
    """Maximum number of words."""
    sentences: int | None = Field(None, ge=1, le=200)
    """Maximum number of sentences."""
    points: int | None = Field(None, ge=1, le=200)
    """Maximum number of bullet points; `format` then defaults to `bullets`."""
    focus: str = ""
    """What the reader wants to know, besides the prompt."""
    format: Literal["text", "bullets"] | None = None
    """`text` by default."""
    language: str = Field("", max_length=60)
    """The language of the summary, such as `French`; by default that of the data."""
    citations: bool = False
    """Whether each statement cites the lines or records that support it."""
    chunk_tokens: int | None = Field(None, ge=200, le=1_000_000)
    """Chunk size in tokens; a longer input is read in chunks. By default that happens if the whole input does not
    fit one call, and chunks have up to 8000 tokens."""

    @property
    def bullets(self) -> bool:
        """True for one point a line."""
        return self.format == "bullets" or (self.format is None and self.points is not None)


class SummarizeHandler(IntentHandler[SummarizeParameters]):
    """Summarizes the step's input, as the prompt asks.

    The data is handed over between marks that it cannot forge, and the model is told that it is data. An input
    with nothing in it gives an empty text, or null where the step has an output schema, and spends nothing.

    An input that one call does not admit is read in chunks: points of each, then a summary of those. Figures and
    names are checked against the chunk; a statement that has others is sent back once, then left out.
    """

    instructions = RULES
    spec = IntentSpec(
        name="summarize",
        summary="Make content shorter and keep what matters",
        examples=(
            "Summarize the customer feedback into key points",
            "Give me a short overview of the meeting notes",
            "Condense the report to five sentences",
            "Recap what was decided this week",
            "Write a digest of today's mails",
            "Sum up the incident log for the managers",
            "What are the main points of these tickets?",
        ),
        words=("summarize", "summary", "condense", "recap", "digest", "overview", "gist", "sum up", "key points"),
        tokens=1500,
        # A summary leaves most facts out by its nature; how many were left out before it was read, the notes say.
        compression=CompressionPolicy(floor=0.1),
        memory=True,
        reasoning=4,
        output_complexity=5,
        connects=False,
    )

    def needs_language(self, step: Step) -> bool:
        """True where the summary is to be data, or in another language than the input may be."""
        return step.output is not None

    def check(self, step: Step) -> list[str]:
        """Places are cited in a text only."""
        if step.parameters.get("citations") is True and step.output not in (None, {"type": "string"}):
            return ["`citations` are written into a text, and `output` asks for data: leave one of them out"]
        return []

    async def handle(self, request: StepRequest[SummarizeParameters]) -> StepResult:
        """Ask for the summary.

        Raises:
            StepError: A parameter is wrong, or the answer is not of the shape that was asked for.
            BudgetExceeded: The input does not fit the budget, however it is compressed.
            ProviderError: The provider refused or broke off.
        """
        wanted = request.parameters
        if _is_empty(request.input):
            return StepResult(output=None if request.step.output else "", notes=(NOTHING,))
        asked = "\n".join(part for part in (request.prompt.strip(), wanted.focus.strip()) if part)
        task, model = asked or "Summarize the data.", request.model
        tokens = await asyncio.to_thread(lambda: model.count(to_text(request.input)))
        cut = cut_of(
            model,
            tokens,
            model.count(task + MAP_RULES) + PROMPT_TOKENS,
            size=wanted.chunk_tokens,
            wanted=wanted.citations,
            answer=answer_tokens(wanted.max_words, wanted.language),
        )
        return await (self._at_once(request, task) if cut is None else self._by_chunks(request, task, tokens, cut))

    async def _at_once(self, request: StepRequest[SummarizeParameters], task: str) -> StepResult:
        """Ask about the whole input in one call."""
        wanted, schema = request.parameters, _schema(request)
        most = answer_tokens(wanted.max_words, wanted.language)
        found = await ask(
            request, system=_system(wanted), task=task, schema=schema, max_output_tokens=most, rules=""
        )
        reply = found.reply
        hint = length_hint(reply, request.model.route, most)
        output: Json = found.value if schema is not None else _text(reply, hint)
        notes = [*_notes(reply, wanted), *found.notes]
        if schema is None and reply.produced_by == "model":
            shown = f"{to_text(request.input)}\n{task}"
            if missing := await asyncio.to_thread(Grounds(shown, names=not wanted.language).missing, output):
                notes.append(f"the summary has what the input does not: {named(missing)}")
        return StepResult(output=output, notes=tuple(notes))

    async def _by_chunks(
        self, request: StepRequest[SummarizeParameters], task: str, tokens: int, cut: Cut
    ) -> StepResult:
        """Ask about each chunk, then for a summary of what was found."""
        wanted = request.parameters
        characters = max(1, cut.chunk_tokens * len(to_text(request.input)) // max(1, tokens))
        source = await asyncio.to_thread(source_of, request.input, characters)
        chunks = await asyncio.to_thread(lambda: list(source.chunks(characters)))
        reading = Reading(request, chunks, cut, task, names=not wanted.language)
        await reading.read()
        summary = await joined(
            reading,
            system=_system(wanted),
            schema=_schema(request),
            citations=wanted.citations,
            max_output_tokens=answer_tokens(wanted.max_words, wanted.language),
        )
        return StepResult(output=summary.output, notes=(*reading.notes(), *summary.notes))


def _system(wanted: SummarizeParameters) -> str:
    return instructions(wanted.max_words, wanted.sentences, wanted.points, wanted.bullets, wanted.language)


def _is_empty(value: Json) -> bool:
    if isinstance(value, dict):
        return all(_is_empty(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_empty(item) for item in value)
    return value is None or (isinstance(value, str) and not value.strip())


def _text(reply: ModelReply, hint: str) -> str:
    """The answer's text.

    Args:
        reply: The answer.
        hint: What to do where it broke off.
    """
    text = reply.text.strip()
    if text or reply.produced_by == "extractive":
        return text
    why = {"length": "before it came to write", "refusal": "but a refusal"}.get(reply.stop_reason, "at all")
    raise StepError(f"the model answered nothing {why}", hint=hint if reply.stop_reason == "length" else "")


def _schema(request: StepRequest) -> dict[str, Json] | None:
    """The answer's schema; None where plain text is wanted."""
    schema = request.step.output
    return None if schema is None or schema.get("type") == "string" else schema


def _notes(reply: ModelReply, wanted: SummarizeParameters) -> list[str]:
    notes = []
    if reply.produced_by == "extractive":
        part = "a part of the input" if reply.notes else "the whole input"
        notes.append(f"no model was asked: sentences and figures were selected from {part}")
        if wanted.language:
            notes.append(f"without a model the language stays as it was, not {wanted.language}")
        if wanted.citations:
            notes.append("without a model no places are cited")
    if reply.stop_reason == "length":
        notes.append("the summary was cut: the budget or the tier admits no longer one")
    elif reply.stop_reason == "refusal":
        notes.append("the model refused to answer in full")
    return notes
