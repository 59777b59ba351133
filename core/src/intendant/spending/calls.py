"""What a model call is: for whom, under which key, and the events that record it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import Literal

from intendant import events
from intendant.model.requests import ModelRequest
from intendant.model.results import ModelReply, Route, Usage
from intendant.model.workflow import InDoubt
from intendant.record.journal import Journal, StepLog
from intendant.record.rows import HoldRow
from intendant.spending.ledger import RunLedger

MIN_OUTPUT_TOKENS = 16
"""A call that could not answer with at least this much is not worth its input."""
Outcome = Literal["answered", "refused", "in_doubt", "cut_off", "replayed", "cached"]
OnText = Callable[[str], object]
Earlier = Sequence[HoldRow]
"""The holds of earlier tries at a call, in their order."""


@dataclass(slots=True)
class CallScope:
    """For whom calls are made: one attempt at a step."""

    journal: Journal
    ledger: RunLedger
    step_id: str
    calls: int = 0
    """Calls made in this attempt; the n-th call of each attempt has the same idempotency key."""
    generation: int = 0
    """Raised when an attempt failed because of the answers it got: then they are asked for anew."""
    usage: Usage = field(default_factory=Usage)
    produced_by: str = "deterministic"
    in_doubt: InDoubt | None = None
    """What becomes of a call that was out when its process died; None for the default."""
    keep_seconds: float = 0.0
    """How old an answer to the very same request, of whatever run, may be to be used again; 0: never."""
    slack: float = 0.0
    """How many seconds an answer may take, so that it may be had for less; 0: it is wanted now."""

    log: StepLog = field(init=False)
    """The journal of the step."""

    def __post_init__(self) -> None:
        self.log = self.journal.step(self.step_id)

    def next_call(self) -> int:
        """The number of the attempt's next call."""
        self.calls += 1
        return self.calls - 1


@dataclass(slots=True)
class Call:
    """One call, through all its tries."""

    scope: CallScope
    request: ModelRequest
    key: str
    """The same for the same call of the same step, in whatever attempt and whatever process, of whatever model."""
    least_output: int
    on_text: OnText | None
    until: float
    """When it has to be over, by the monotonic clock."""
    number: int = 0
    """Tries so far, those of earlier processes included; each has a hold of its own."""
    earlier: Earlier = ()
    """The holds of tries that other processes or attempts made, until the next one has looked at them."""
    shown: bool = False
    """True once a part of an answer was shown: it cannot be taken back, so that there is no other try."""
    batched: bool = False
    """True while it is to be sent among those that may wait."""

    @property
    def left(self) -> float:
        """Seconds until it has to be over."""
        return max(0.0, self.until - monotonic())

    @property
    def try_key(self) -> str:
        """The key of the next try."""
        return f"{self.key}~{self.number}" if self.number else self.key


def key_of(scope: CallScope, request: ModelRequest, number: int) -> str:
    """The idempotency key of a call: the *number*-th of an attempt at a step."""
    content = request.model_dump_json(exclude={"max_output_tokens", "cache_marks", "reuse"})
    return _digest(scope.journal.run_id, scope.step_id, f"{scope.generation}.{number}", content)


def exact_key(tenant: str, route: Route, request: ModelRequest, most: int) -> str:
    """The key of an answer that any run of *tenant* may use again: it is to the very same request."""
    content = request.model_dump_json(exclude={"max_output_tokens", "cache_marks", "reuse"})
    return _digest(tenant, route.provider, route.model, str(most), str(route.temperature), content)


def _digest(*parts: str) -> str:
    return sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def label_of(reply: ModelReply) -> str:
    """Who wrote an answer, as steps say it."""
    return "extractive" if reply.produced_by == "extractive" else f"model:{reply.provider}/{reply.model}"


def in_doubt(scope: CallScope, opened: HoldRow) -> events.TokensSettled:
    """A call of a dead process is charged in full."""
    return scope.log.event(
        events.TokensSettled,
        call=opened.key,
        provider=opened.provider,
        model=opened.model,
        usage=Usage(output_tokens=opened.tokens, micro_usd=opened.micro, calls=1),
        outcome="in_doubt",
    )


def settled(
    scope: CallScope,
    key: str,
    route: Route,
    usage: Usage,
    outcome: Outcome,
    produced_by: str = "model",
    price_version: str = "",
) -> events.TokensSettled:
    """A call ended."""
    return scope.log.event(
        events.TokensSettled,
        call=key,
        provider=route.provider,
        model=route.model,
        usage=usage,
        outcome=outcome,
        produced_by=produced_by,
        price_version=price_version,
    )


def degraded(
    scope: CallScope, how: Literal["compressed", "cheaper_tier", "fallback"], before: str, after: str, reason: str
) -> events.CallDegraded:
    """A call is sent otherwise than it was planned."""
    return scope.log.event(events.CallDegraded, how=how, before=before, after=after, reason=reason)
