"""Makes content shorter and keeps what matters."""

from typing import Literal

from pydantic import Field

from intendant.plugin import (
    Compression,
    CompressionPolicy,
    IntentHandler,
    IntentSpec,
    Json,
    Message,
    ModelReply,
    ModelRequest,
    Options,
    StepError,
    StepRequest,
    StepResult,
    answer_tokens,
    length_hint,
)
from intendant_intent_summarize._answers import parsed
from intendant_intent_summarize._prompts import instructions, question

__all__ = ["SummarizeHandler", "SummarizeParameters"]

NOTHING = "there was nothing to summarize; no model was asked"


class SummarizeParameters(Options):
    """Parameters of a summary."""

    max_words: int | None = Field(None, ge=1, le=20_000)
    """The most words it may have."""
    sentences: int | None = Field(None, ge=1, le=200)
    """The most sentences it may have."""
    points: int | None = Field(None, ge=1, le=200)
    """The most bullet points it may have; with these, `format` is `bullets` unless it is given."""
    focus: str = ""
    """What the reader wants to know, besides the prompt."""
    format: Literal["text", "bullets"] | None = None
    """`text` by default."""
    language: str = Field("", max_length=60)
    """The language of the summary, such as `French`; the data's own by default."""

    @property
    def bullets(self) -> bool:
        """True for one point a line."""
        return self.format == "bullets" or (self.format is None and self.points is not None)


class SummarizeHandler(IntentHandler[SummarizeParameters]):
    """Summarizes the step's input, as the prompt asks.

    The data is handed over between marks that it cannot forge, and the model is told that it is data. An input
    with nothing in it gives an empty text, or null where the step has an output schema, and spends nothing.
    """

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
    )

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
        system = instructions(wanted.max_words, wanted.sentences, wanted.points, wanted.bullets, wanted.language)
        asked = "\n".join(part for part in (request.prompt.strip(), wanted.focus.strip()) if part)
        fitted = await request.model.fit(request.input, query=asked, overhead=question(asked, "") + system)
        schema = _schema(request)
        most = answer_tokens(wanted.max_words, wanted.language)
        reply = await request.model.complete(
            ModelRequest(
                system=system,
                messages=(Message(content=question(asked, fitted.text)),),
                json_schema=schema,
                max_output_tokens=most,
                source=request.input,
                task="summarize",
            )
        )
        hint = length_hint(reply, request.model.route, most)
        output: Json = _text(reply, hint) if schema is None else parsed(reply, hint)
        return StepResult(output=output, notes=tuple(_notes(fitted, reply, wanted)))


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


def _notes(fitted: Compression, reply: ModelReply, wanted: SummarizeParameters) -> list[str]:
    notes = []
    if fitted.strategy != "none" and reply.produced_by == "model":
        kept = "" if fitted.lossless else f", {fitted.quality:.0%} of its facts kept"
        dropped = f"; dropped: {'; '.join(fitted.dropped)}" if fitted.dropped else ""
        notes.append(
            f"the input was compressed by {fitted.strategy} from {fitted.tokens_before} to "
            f"{fitted.tokens_after} tokens{kept}{dropped}"
        )
    if reply.produced_by == "extractive":
        part = "a part of the input" if reply.notes else "the whole input"
        notes.append(f"no model was asked: sentences and figures were selected from {part}")
        if wanted.language:
            notes.append(f"without a model the language stays as it was, not {wanted.language}")
    notes += reply.notes
    if reply.stop_reason == "length":
        notes.append("the summary was cut: the budget or the tier admits no longer one")
    elif reply.stop_reason == "refusal":
        notes.append("the model refused to answer in full")
    return notes
