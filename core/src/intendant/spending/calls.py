"""Model calls: the step they belong to, their idempotency keys, and the events that record them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import Literal

from intendant import events
from intendant.config.logs import get_logger
from intendant.model.errors import ProviderError
from intendant.model.requests import ModelRequest
from intendant.model.results import ModelReply, Route, Usage
from intendant.model.workflow import InDoubt
from intendant.record.journal import Journal, StepLog
from intendant.record.rows import HoldRow
from intendant.spending.admission import Shapes
from intendant.spending.ledger import RunLedger
from intendant.spending.retrying import Backoff

Outcome = Literal["answered", "refused", "in_doubt", "cut_off", "replayed", "cached"]
Degradation = Literal["compressed", "cheaper_tier", "fallback"]
OnText = Callable[[str], object]
log = get_logger("intendant.gateway")
NOT_IN_KEYS = frozenset({"max_output_tokens", "cache_marks", "reuse"})
"""Fields of a request that do not change its content."""


@dataclass(slots=True)
class CallScope:
    """One attempt at a step; its model calls are charged to that step."""

    journal: Journal
    ledger: RunLedger
    step_id: str
    calls: int = 0
    """Calls made in this attempt."""
    asked: Counter[str] = field(default_factory=Counter)
    """How often each content was sent in this attempt, by digest. The n-th call with the same content has the same
    idempotency key in each attempt, whatever the order of concurrent calls."""
    generation: int = 0
    """Incremented when an attempt failed because of its answers, so that the next one gets new answers."""
    usage: Usage = field(default_factory=Usage)
    produced_by: str = "deterministic"
    in_doubt: InDoubt | None = None
    """The policy for a call that was in flight when its process died; None for the default."""
    cache_ttl: float = 0.0
    """The TTL of the tenant's response cache, in seconds; 0 for no cache."""
    max_wait: float = 0.0
    """How long the call may wait for a batch, in seconds; 0 to send it directly."""
    log: StepLog = field(init=False)
    """The journal of the step."""

    def __post_init__(self) -> None:
        self.log = self.journal.step(self.step_id)


@dataclass(slots=True)
class Call:
    """One model call, with all its attempts."""

    scope: CallScope
    key: str
    """The idempotency key: the same for the same call of a step in each attempt and process, for any model."""
    shapes: Shapes
    """The shapes in which it may be sent."""
    on_text: OnText | None
    deadline: float
    """When the call must have ended, by the monotonic clock."""
    tries: int = 0
    """Attempts so far, including those of earlier processes; each has its own hold."""
    earlier: Sequence[HoldRow] = ()
    """The holds of attempts of other processes, until the next attempt has examined them."""
    shown: bool = False
    """True once a part of an answer was shown: it cannot be taken back, so there is no retry."""
    batched: bool = False
    """True while the call is sent in a batch."""
    failure: ProviderError | None = None
    """The error of the last attempt, if there is another one."""
    forms: int = 0
    """How often a server refused only the form of the call."""
    backoff: Backoff | None = None
    """The backoff of the current candidate; None until it has failed, which is rare."""
    fallbacks: list[Route] | None = None
    """The remaining candidates; None until the first one has failed, which is rare."""

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.deadline - monotonic())

    @property
    def try_key(self) -> str:
        """The key of the next attempt."""
        return f"{self.key}~{self.tries}" if self.tries else self.key

    def show(self, piece: str) -> None:
        """Pass a piece of the answer to the callback."""
        if self.on_text is None:
            return
        self.shown = True
        try:
            self.on_text(piece)
        except Exception:
            log.exception("callback_failed", callback=repr(self.on_text))
            self.on_text = None  # the answer is paid for: a faulty callback must not lose it


def next_key(scope: CallScope, request: ModelRequest) -> str:
    """The idempotency key of the next call in an attempt at a step."""
    content = _digest(request.model_dump_json(exclude=set(NOT_IN_KEYS)))
    number = scope.asked[content]
    scope.asked[content] += 1
    scope.calls += 1
    return _digest(scope.journal.run_id, scope.step_id, f"{scope.generation}.{number}", content)


def give_key_back(scope: CallScope, request: ModelRequest) -> None:
    """Free the key of a call that was refused before it was sent, for the next one with the same content."""
    scope.asked[_digest(request.model_dump_json(exclude=set(NOT_IN_KEYS)))] -= 1


def response_key(tenant: str, route: Route, request: ModelRequest, max_output: int) -> str:
    """The key of an answer in the response cache of *tenant*; it differs for each request."""
    content = request.model_dump_json(exclude=set(NOT_IN_KEYS))
    return _digest(tenant, route.provider, route.model, str(max_output), str(route.temperature), content)


def _digest(*parts: str) -> str:
    return sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def label_of(reply: ModelReply) -> str:
    """The label of what produced an answer, as in the outcomes of steps."""
    return f"model:{reply.provider}/{reply.model}" if reply.produced_by == "model" else reply.produced_by


def settled(
    scope: CallScope,
    key: str,
    route: Route,
    usage: Usage,
    outcome: Outcome,
    *,
    produced_by: str = "model",
    price_version: str = "",
    answered_by: str = "",
    corrected: str = "",
) -> events.TokensSettled:
    """The event of a call that has ended."""
    return scope.log.event(
        events.TokensSettled,
        call=key,
        provider=route.provider,
        model=route.model,
        usage=usage,
        outcome=outcome,
        produced_by=produced_by,
        price_version=price_version,
        answered_by=answered_by,
        corrected=corrected,
    )


def record_degraded(scope: CallScope, how: Degradation, before: str, after: str, reason: str) -> None:
    """Record that a call is sent in another shape, or to another model, than planned."""
    scope.log.record(events.CallDegraded, how=how, before=before, after=after, reason=reason)
