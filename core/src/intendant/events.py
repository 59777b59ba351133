"""The events of a run, for listeners and for readers of the journal.

Every event has a `type`, a `run_id`, a `step_id` where it concerns one step, a time `at` and a `severity`.
`SCHEMA_VERSION` changes when a field is removed or changes its meaning; new optional fields do not change it.

Example:
    ```python
    from intendant import OrchestrationService, Workflow
    from intendant.events import StepExecuted

    def report(event):
        if isinstance(event, StepExecuted):
            print(event.step_id, event.usage.tokens)

    service.run_sync(Workflow.load("flow.yaml"), on_event=report)
    ```
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from intendant.model.agent_events import (
    AgentEvent,
    IntensityApplied as IntensityApplied,
    MemoryRecalled as MemoryRecalled,
)
from intendant.model.graph_events import (
    ErrorHandled as ErrorHandled,
    ItemsEnded as ItemsEnded,
    ItemsStarted as ItemsStarted,
    LoopPassed as LoopPassed,
    RollbackStarted as RollbackStarted,
    StepRolledBack as StepRolledBack,
)
from intendant.model.guarding import (
    LimitWatched as LimitWatched,
    RolloutMoved as RolloutMoved,
    ShadowDecided as ShadowDecided,
)
from intendant.model.happening import Event as Event, ItemEnded as ItemEnded, Severity
from intendant.model.pauses import (
    ApprovalDecided as ApprovalDecided,
    ApprovalRequested as ApprovalRequested,
    DoubtDecided as DoubtDecided,
    SignalTaken as SignalTaken,
    SignalWanted as SignalWanted,
    StepWaiting as StepWaiting,
    Suspended as Suspended,
    WaitStarted as WaitStarted,
)
from intendant.model.results import Failure, RunStatus, Usage
from intendant.model.routing_events import RouteCandidate as RouteCandidate, RouteDecided as RouteDecided
from intendant.model.workflow import Json

SCHEMA_VERSION = 1
"""Version of the events' fields."""


class Initialized(Event):
    """A run was planned and opened."""

    type: Literal["initialized"] = "initialized"
    workflow: str
    agent: str
    steps: int
    budget_tokens: int | None
    budget_micro_usd: int | None
    budget_strategy: str
    inputs: Json = None
    """For listeners only. The journal does not hold them: they may be erased, and it may not change."""
    planning_tokens: int = 0
    """Tokens that telling intents took; part of what the run may spend."""
    planning_micro_usd: int = 0
    settings: dict[str, str] = Field(default_factory=dict)
    """Where each setting that is not left at its default came from, by key; without values."""
    forked_from: str = ""
    settings_version: int = 0
    """The version of the database's layer of the settings; 0 where it has none."""
    flags: dict[str, bool] = Field(default_factory=dict)
    """Which flags are on for the run."""


class Resumed(Event):
    """Another process, or the same once more, goes on with a run that was broken off or did not succeed."""

    type: Literal["resumed"] = "resumed"
    worker: str
    epoch: int
    """How often the run was taken over, and one."""
    kept: int
    """Steps that were done before and are not done again."""
    budget_tokens: int | None
    budget_micro_usd: int | None
    file_changed: str = ""
    """The workflow's file, where it has changed since the run was planned: the run goes on by the plan it had."""
    corrected: bool = False
    """True if the run goes on with a corrected workflow."""


class IntentClassified(Event):
    """A step's intent was decided."""

    type: Literal["intent_classified"] = "intent_classified"
    intent: str | None
    confidence: float
    method: str
    second: str | None = None


class TokenBudgetAllocated(Event):
    """A step got its share of the tokens."""

    type: Literal["token_budget_allocated"] = "token_budget_allocated"
    tokens: int
    strategy: str


class Routed(Event):
    """A tier and model were chosen for a step."""

    type: Literal["routed"] = "routed"
    tier: str
    provider: str
    model: str
    reason: str
    difficulty: float


class StepStarted(Event):
    """An attempt at a step began."""

    type: Literal["step_started"] = "step_started"
    attempt: int = 1


class TokenCompressed(Event):
    """Content was made smaller before a call, or compressing it was refused."""

    type: Literal["token_compressed"] = "token_compressed"
    strategy: str
    tokens_before: int
    tokens_after: int
    saved: int
    """What counts as saved; 0 where no model would have been charged for the difference."""
    quality: float
    lossless: bool
    seconds: float
    refused: bool = False
    """True if what would have fitted fell below the policy's floor, so that less was taken away, or nothing."""
    dropped: tuple[str, ...] = ()
    original: str = ""
    """Handle of the original, where something was left out; `intendant show RUN --original HANDLE` prints it."""


class ContentExpanded(Event):
    """A model asked for a part of what compression had left out."""

    type: Literal["content_expanded"] = "content_expanded"
    original: str
    """Handle of the original."""
    part: str
    """What was asked for: lines such as `120-180`, or words."""
    tokens: int
    """Tokens of what was given, which count against what compression saved."""


class OverageDrawn(Event):
    """A step ran short and drew on tokens that no other step has a right to; its limit is raised by them."""

    type: Literal["overage_drawn"] = "overage_drawn"
    tokens: int
    extra: int
    """What it drew so far in all."""
    limit: int
    """What it may spend now."""


CONNECTOR = "connector"
"""In `TokensSettled.produced_by`: a connector's use was charged, and no model was asked."""


class TokensReserved(Event):
    """A model call, or a connector's use that costs money, is about to be made; its worst case is held."""

    type: Literal["tokens_reserved"] = "tokens_reserved"
    call: str
    """Idempotency key of the call."""
    provider: str
    model: str
    tokens: int
    micro_usd: int
    estimated: bool = False
    """True if the input was not counted by the model's own tokenizer."""
    bound: Literal["exact", "proven", "likely"] = "likely"
    """What `tokens` is: `exact`, the input counted by the model's own tokenizer; `proven`, an upper bound for
    every tokenizer of the stated class; `likely`, an estimate that a call may exceed."""
    output_tokens: int = 0
    """Of them, those for the answer."""
    wanted_tokens: int = 0
    """How long an answer was wanted; more than `output_tokens` where the budget did not admit it."""


class TokensSettled(Event):
    """A model call, or a connector's use that costs money, ended; what it took is charged."""

    type: Literal["tokens_settled"] = "tokens_settled"
    call: str
    provider: str
    model: str
    usage: Usage
    outcome: Literal["answered", "refused", "in_doubt", "cut_off", "replayed", "cached"]
    """`in_doubt`: charged in full, as the truth is not known; `cut_off`: a stream, charged by what came of it;
    `replayed`: paid for earlier in this run; `cached`: paid for by another run."""
    produced_by: str = "model"
    price_version: str = ""
    answered_by: str = ""
    """The model that the provider says has answered, where that is not the one that was asked."""
    corrected: str = ""
    """Why `usage` is not what the provider reported; empty if it is."""

    @property
    def is_use(self) -> bool:
        """True if a connector's use was charged, and no model was asked."""
        return self.produced_by == CONNECTOR


class CallDegraded(Event):
    """A model call is sent otherwise than it was planned: what was planned is out of order, or out of reach."""

    type: Literal["call_degraded"] = "call_degraded"
    severity: Severity = "warning"
    how: Literal["compressed", "cheaper_tier", "fallback"]
    before: str
    """Of an input, its tokens; else the model."""
    after: str
    reason: str


class DeliveryBegun(Event):
    """Something outside the run is about to be changed."""

    type: Literal["delivery_begun"] = "delivery_begun"
    operation: str
    key: str
    repeated: bool = False
    """True if an earlier attempt may have done it, and it is done again under the same key."""


class DeliveryRefused(Event):
    """A delivery certainly changed nothing: nothing was sent, or the target refused it."""

    type: Literal["delivery_refused"] = "delivery_refused"
    operation: str
    key: str


class DeliveryWithheld(Event):
    """A dry run did not deliver; the step's output says what would have been."""

    type: Literal["delivery_withheld"] = "delivery_withheld"
    operation: str
    key: str


class DeliveryFinished(Event):
    """Something outside the run was changed."""

    type: Literal["delivery_finished"] = "delivery_finished"
    operation: str
    key: str
    replayed: bool = False
    """True if an earlier attempt had already done it and it was not done again."""


class TurnStarted(Event):
    """The model of a step with tools is asked: for the tools that it wants called, or for its answer."""

    type: Literal["turn_started"] = "turn_started"
    turn: int
    """From 1; those that were made before are not made again."""
    turns: int
    answer_only: bool = False
    """True if it has to answer now."""


class ToolCalled(Event):
    """The model of a step wanted a tool called. Arguments and result stand outside the journal."""

    type: Literal["tool_called"] = "tool_called"
    turn: int
    tool: str
    operation: str = ""
    """Empty if the step has no such tool."""
    outcome: Literal["done", "failed", "refused", "repeated"]
    """`refused`: it was not called; `repeated`: it was called with the same arguments before."""
    tokens: int = 0
    seconds: float = 0.0


class HandlerExecuted(Event):
    """A handler returned, and its step goes on: with the branch that it took. Where the step ends with it,
    `StepExecuted` says so alone.
    """

    type: Literal["handler_executed"] = "handler_executed"
    intent: str
    seconds: float
    attempt: int


class StepRetried(Event):
    """An attempt failed and another will follow."""

    type: Literal["step_retried"] = "step_retried"
    severity: Severity = "warning"
    attempt: int
    failure: Failure


class StepExecuted(Event):
    """A step was completed."""

    type: Literal["step_executed"] = "step_executed"
    intent: str
    seconds: float
    handler_seconds: float | None = None
    """Of them, those of the attempt that succeeded; None where `HandlerExecuted` says it, or no handler did the
    step.
    """
    attempts: int
    usage: Usage = Usage()
    tokens_saved: int = 0
    produced_by: str = "deterministic"
    output_bytes: int = 0
    output_sha256: str = ""
    """For listeners only: the digest of an output says something of it after it was erased."""
    notes: tuple[str, ...] = ()


class StepSkipped(Event):
    """A step was not run, for the reason given."""

    type: Literal["step_skipped"] = "step_skipped"
    reason: str


class StepFailed(Event):
    """A step failed for good."""

    type: Literal["step_failed"] = "step_failed"
    severity: Severity = "critical"
    failure: Failure
    seconds: float
    attempts: int
    usage: Usage = Usage()
    cancelled: bool = False


class BudgetExceededEvent(Event):
    """A limit did not admit a call; nothing was sent."""

    type: Literal["budget_exceeded"] = "budget_exceeded"
    severity: Severity = "critical"
    scope: str
    unit: str
    asked: int
    left: int


class Recorded(Event):
    """Rows were written that no other event speaks of. Only in the journal, where it carries their digests."""

    type: Literal["recorded"] = "recorded"


class Completed(Event):
    """A run ended."""

    type: Literal["completed"] = "completed"
    status: RunStatus
    seconds: float


AnyEvent = Annotated[
    Initialized
    | Resumed
    | IntentClassified
    | TokenBudgetAllocated
    | Routed
    | RouteDecided
    | StepStarted
    | TokenCompressed
    | ContentExpanded
    | OverageDrawn
    | TokensReserved
    | TokensSettled
    | CallDegraded
    | DeliveryBegun
    | DeliveryFinished
    | DeliveryRefused
    | DeliveryWithheld
    | TurnStarted
    | ToolCalled
    | HandlerExecuted
    | StepRetried
    | StepExecuted
    | ErrorHandled
    | ItemsStarted
    | ItemsEnded
    | LoopPassed
    | RollbackStarted
    | StepRolledBack
    | ApprovalRequested
    | ApprovalDecided
    | WaitStarted
    | SignalWanted
    | SignalTaken
    | Suspended
    | StepSkipped
    | StepWaiting
    | StepFailed
    | DoubtDecided
    | BudgetExceededEvent
    | ShadowDecided
    | LimitWatched
    | RolloutMoved
    | Recorded
    | AgentEvent
    | Completed,
    Field(discriminator="type"),
]
"""Any event, told apart by `type`."""

_ADAPTER: TypeAdapter[Event] | None = None


def read_event(data: str | bytes) -> Event:
    """An event from its JSON.

    Raises:
        pydantic.ValidationError: The JSON is not an event.
    """
    global _ADAPTER  # noqa: PLW0603  # built once, on first use: building it takes milliseconds
    if _ADAPTER is None:
        _ADAPTER = TypeAdapter(AnyEvent)
    return _ADAPTER.validate_json(data)
