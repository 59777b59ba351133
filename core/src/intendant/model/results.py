"""The answers to the five questions, and what a step and a run come to."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from intendant.model.workflow import Frozen, Json


class Signal(Frozen):
    """One reason for a classification, in words that a user understands."""

    text: str
    """Such as "the connector operation file.read reads data"."""
    intent: str
    weight: float
    """How much it counts; larger counts more, below zero against."""


class Classification(Frozen):
    """Which intent a step has.

    `intent` is None where the step is not a step of work (a trigger, a wait, a note).
    """

    intent: str | None
    confidence: float = Field(ge=0, le=1)
    """The probability that `intent` is right."""
    second: str | None = None
    margin: float = 1.0
    """How far `intent` is ahead of `second`, as a difference of probabilities."""
    signals: tuple[Signal, ...] = ()
    method: str = "explicit"
    """Who decided: `explicit` (the step says it) or the classifier's name."""


class Allocation(Frozen):
    """How a run's tokens are shared among its steps."""

    tokens: Mapping[str, int]
    """Tokens by step id; a step that needs none may be absent."""
    strategy: str
    unallocated: int = 0
    """Tokens of the run that no step may claim by right; steps that run short draw on them."""


class Compression(Frozen):
    """Content made smaller."""

    text: str
    tokens_before: int
    tokens_after: int
    strategy: str
    """The compressor's name; `none` where nothing was done."""
    lossless: bool
    """True if the original can be had back from `text` alone."""
    preserving: bool = False
    """True if only form went, such as markup, padding or colours, and all content is there."""
    quality: float = Field(default=1.0, ge=0, le=1)
    """Expected share of the critical facts that survive (numbers, names, negations, errors)."""
    dropped: tuple[str, ...] = ()
    """What was left out, in words."""
    spent: int = 0
    """Tokens that a model took to make it."""

    @property
    def saved(self) -> int:
        """Tokens saved, less those spent on saving them; below zero if that was more."""
        return self.tokens_before - self.tokens_after - self.spent


class Route(Frozen):
    """Which model does a step."""

    tier: str
    provider: str
    model: str
    max_output_tokens: int
    reason: str
    temperature: float | None = None
    pinned: bool = False
    """True if the step names the model: no other one is asked instead."""


class Usage(Frozen):
    """Tokens of model calls as the provider reported them, and what they cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the input tokens, those read from the provider's prompt cache."""
    cache_write_tokens: int = 0
    """Of the input tokens, those written to that cache, to be kept for some minutes."""
    cache_write_1h_tokens: int = 0
    """Of the input tokens, those written to it to be kept for an hour."""
    reasoning_tokens: int = 0
    """Of the output tokens, those that the model took to think."""
    micro_usd: int = 0
    """Cost in millionths of a US dollar."""
    calls: int = 0

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        if not other.model_fields_set or not self.model_fields_set:
            return self if self.model_fields_set else other
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in Usage.__pydantic_fields__})


class ToolCall(Frozen):
    """A model asks for something before it answers."""

    id: str
    """The provider's own id, which the result must name."""
    name: str
    arguments: dict[str, Json]
    malformed: str = ""
    """What the model wrote for arguments where that is no JSON object: nothing is called then."""


StopReason = Literal["end", "length", "tool", "refusal", "other"]
"""Why an answer ended: the model was done, its length limit, a tool it wants called, a refusal, or something
else."""


class ModelReply(Frozen):
    """What a provider answered."""

    text: str
    usage: Usage
    model: str
    provider: str
    produced_by: str = "model"
    """`model`, or the word of a provider that computes answers without one."""
    stop_reason: StopReason = "end"
    data: Json = None
    """The parsed answer where a schema was asked for."""
    reasoning: str = Field(default="", repr=False)
    """What the model thought before it answered, as far as the provider shows it; no part of `text`."""
    answered_by: str = ""
    """The model that the provider says has answered; empty if it does not say."""
    notes: tuple[str, ...] = ()
    """What the step's reader should know of the answer, such as what of the input was not read."""
    request_id: str = ""
    """The provider's id of the HTTP request, which its support asks for; else that of the response."""
    response_id: str = ""
    """The provider's id of the response; empty if it gives none."""
    batch_id: str = ""
    """The provider's id of the batch that the call was sent in; empty for a call sent by itself."""
    lane: Literal["standard", "batch"] = "standard"
    """How it was sent: at once, or among calls that may wait and cost less."""
    calls: tuple[ToolCall, ...] = ()
    """Tools that the model wants called before it goes on."""
    raw: Json = Field(default=None, repr=False)
    """Where there are calls: the answer in the provider's own form, which has to be sent back with their
    results."""


class StepResult(Frozen):
    """What a handler did."""

    output: Json
    """Any JSON value; later steps refer to it as `steps.<id>.output`."""
    notes: tuple[str, ...] = ()
    """What a reader should know: rows skipped, values missing, an answer that was cut."""


class StepStatus(StrEnum):
    """Where a step stands."""

    pending = "pending"
    running = "running"
    completed = "completed"
    failed = "failed"
    skipped = "skipped"
    waiting = "waiting"
    """A person has to decide, or a time has to come."""
    cancelled = "cancelled"


class RunStatus(StrEnum):
    """Where a run stands."""

    running = "running"
    completed = "completed"
    failed = "failed"
    refused = "refused"
    """A step could not be done within the budget."""
    overrun = "overrun"
    """A call took more than was held for it, as its provider reports: the budget was not kept."""
    waiting = "waiting"
    """All that is left waits for a person or a time."""
    cancelled = "cancelled"


class Failure(Frozen):
    """Why a step failed."""

    error: str
    """The error's class."""
    message: str
    hint: str = ""
    code: str = ""
    """Stable name of the kind of error: `IntendantError.code`, or `plugin_raised`."""


PAUSED = "paused"
"""Why a step waits that was not started because somebody asked the run to pause."""


class StepOutcome(Frozen):
    """A step as a run left it."""

    step_id: str
    name: str
    status: StepStatus
    intent: str | None = None
    output: Json = None
    notes: tuple[str, ...] = ()
    failure: Failure | None = None
    produced_by: str = "deterministic"
    """`deterministic` (no call), `model:<provider>/<model>`, the word of a provider that asks no model, or `host`.
    """
    tier: str | None = None
    usage: Usage = Usage()
    tokens_saved: int = 0
    seconds: float = 0.0
    attempts: int = 0
    reason: str = ""
    """Why the step was not executed: why it was skipped, what it waits for, or where it was taken over from."""
    in_doubt: bool = False
    """True if it waits for a decision about a model call that may have been paid for (`intendant doubts`)."""
    handled: bool = False
    """True if it failed and the workflow says what is done then (`on_error`)."""
    input_sha256: str = ""
    """Of an item: the digest of what it is."""
    due: float | None = None
    """Seconds since 1970 (UTC) when what it waits for is over; None if that is not known."""
    items: "ItemCounts | None" = None
    """Of a step that was executed for each item of a list."""

    @property
    def is_done(self) -> bool:
        """True if it is not done again when the run is resumed."""
        return self.status is StepStatus.completed or self.handled


class ItemCounts(Frozen):
    """What became of the items of a list."""

    total: int
    completed: int
    failed: int = 0
    skipped: int = 0
    """Of them, those whose steps were skipped by a person's word."""


class Metrics(Frozen):
    """Figures of a run, all derived from its journal."""

    steps_completed: int = 0
    steps_failed: int = 0
    steps_skipped: int = 0
    tokens_used: int = 0
    """Input and output tokens of all model calls."""
    tokens_saved: int = 0
    """Tokens that compression took away before a call."""
    calls: int = 0
    calls_cached: int = 0
    """Calls that were not made, because another run's answer to the same request was used again."""
    tokens_cached: int = 0
    """What those would have taken."""
    micro_usd: int = 0
    budget_tokens: int | None = None
    compression_seconds: float = 0.0
    step_seconds: float = 0.0
    """Sum of the latencies of the steps that ran."""
    seconds: float = 0.0
    """Wall time of the run."""

    @property
    def budget_utilisation(self) -> float | None:
        """Tokens used / tokens granted; None where the run has no limit."""
        return self.tokens_used / self.budget_tokens if self.budget_tokens else None

    @property
    def mean_step_seconds(self) -> float:
        """Mean latency of the steps that ran; not wall time / steps, which parallel steps falsify."""
        ran = self.steps_completed + self.steps_failed
        return self.step_seconds / ran if ran else 0.0

    @property
    def savings(self) -> float:
        """Saved / (used + saved): the share of what would have been used."""
        whole = self.tokens_used + self.tokens_saved
        return self.tokens_saved / whole if whole else 0.0

    @property
    def success_rate(self) -> float | None:
        """Steps completed / steps that ran; None if none ran."""
        ran = self.steps_completed + self.steps_failed
        return self.steps_completed / ran if ran else None

    def summary(self) -> dict[str, Any]:
        """All figures, derived ones included, as one flat map."""
        return {
            **self.model_dump(),
            "budget_utilisation": self.budget_utilisation,
            "mean_step_seconds": self.mean_step_seconds,
            "savings": self.savings,
            "success_rate": self.success_rate,
        }


class RunResult(Frozen):
    """What a run came to."""

    run_id: str
    workflow: str
    status: RunStatus
    steps: Mapping[str, StepOutcome]
    metrics: Metrics
    inputs: Mapping[str, Json] = Field(default_factory=dict)
    returned: Json = None
    """What the workflow's `returns` says; null where it has none, or where the run did not end well."""
    failure: Failure | None = None
    """Why the run itself failed, where no step did."""
    rolled_back: Mapping[str, Failure | None] = Field(default_factory=dict)
    """The steps that were undone (`on_failure: rollback`), by address, and why that failed where it did."""

    @property
    def outputs(self) -> dict[str, Json]:
        """Each completed step's output by step id; that of a failed one where the workflow gives it another."""
        return {key: step.output for key, step in self.steps.items() if step.is_done}

    @property
    def failures(self) -> dict[str, Failure]:
        """Why steps failed, by step id; without those of which the workflow says what is done then."""
        return {
            key: step.failure for key, step in self.steps.items() if step.failure is not None and not step.handled
        }

    @property
    def handled(self) -> dict[str, Failure]:
        """Why those steps failed of which the workflow says what is done then (`on_error`)."""
        return {key: step.failure for key, step in self.steps.items() if step.failure is not None and step.handled}

    @property
    def waits(self) -> dict[str, str]:
        """What the run waits for, by the ids of the steps that wait."""
        return {key: step.reason for key, step in self.steps.items() if step.status is StepStatus.waiting}
