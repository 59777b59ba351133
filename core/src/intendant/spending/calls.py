"""What a model call is: the step it belongs to, its idempotency key, and the events that record it."""

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
"""Fields of a request that do not change what is asked."""


@dataclass(slots=True)
class CallScope:
    """One attempt at a step, to which model calls are charged."""

    journal: Journal
    ledger: RunLedger
    step_id: str
    calls: int = 0
    """Calls made in this attempt."""
    asked: Counter[str] = field(default_factory=Counter)
    """How often each content was asked in this attempt, by digest. The n-th call with the same content has the
    same idempotency key in each attempt, in whatever order calls that overlap are made."""
    generation: int = 0
    """Raised when an attempt failed because of the answers it got, so that the next one asks anew."""
    usage: Usage = field(default_factory=Usage)
    produced_by: str = "deterministic"
    in_doubt: InDoubt | None = None
    """What happens to a call that was in flight when its process died; None for the default."""
    cache_ttl: float = 0.0
    """How old, in seconds, an answer to the same request of any run of the tenant may be; 0: no response cache."""
    max_wait: float = 0.0
    """How many seconds an answer may take, so that a batch may carry the call; 0: it is wanted now."""
    log: StepLog = field(init=False)
    """The journal of the step."""

    def __post_init__(self) -> None:
        self.log = self.journal.step(self.step_id)


@dataclass(slots=True)
class Call:
    """One model call, through all its tries."""

    scope: CallScope
    key: str
    """The same for the same call of the same step, in every attempt and process, and for every model."""
    shapes: Shapes
    """In which shape it is sent."""
    on_text: OnText | None
    deadline: float
    """When it has to be over, by the monotonic clock."""
    tries: int = 0
    """Tries so far, those of earlier processes included; each has a hold of its own."""
    earlier: Sequence[HoldRow] = ()
    """The holds of tries that other processes or attempts made, until the next try has examined them."""
    shown: bool = False
    """True once a part of an answer was shown: it cannot be taken back, so there is no retry."""
    batched: bool = False
    """True while it is sent in a batch."""
    failure: ProviderError | None = None
    """Why the last try failed, where there will be another."""
    forms: int = 0
    """How often a server refused its form only."""
    backoff: Backoff | None = None
    """Of the candidate that is asked; None until it has failed, which is rare."""
    fallbacks: list[Route] | None = None
    """The candidates that are left; None until the first one has failed, which is rare."""

    @property
    def seconds_left(self) -> float:
        """Seconds until it has to be over."""
        return max(0.0, self.deadline - monotonic())

    @property
    def try_key(self) -> str:
        """The key of the next try."""
        return f"{self.key}~{self.tries}" if self.tries else self.key

    def show(self, piece: str) -> None:
        """Pass a piece of the answer on."""
        if self.on_text is None:
            return
        self.shown = True
        try:
            self.on_text(piece)
        except Exception:
            log.exception("callback_failed", callback=repr(self.on_text))
            self.on_text = None  # the answer is paid for: a faulty callback must not lose it


def next_key(scope: CallScope, request: ModelRequest) -> str:
    """The idempotency key of the next call of an attempt at a step."""
    content = _digest(request.model_dump_json(exclude=set(NOT_IN_KEYS)))
    number = scope.asked[content]
    scope.asked[content] += 1
    scope.calls += 1
    return _digest(scope.journal.run_id, scope.step_id, f"{scope.generation}.{number}", content)


def give_key_back(scope: CallScope, request: ModelRequest) -> None:
    """A call was refused before it was sent: the next one with the same content has its key."""
    scope.asked[_digest(request.model_dump_json(exclude=set(NOT_IN_KEYS)))] -= 1


def response_key(tenant: str, route: Route, request: ModelRequest, max_output: int) -> str:
    """The key of an answer in the response cache of *tenant*: the same for the same request only."""
    content = request.model_dump_json(exclude=set(NOT_IN_KEYS))
    return _digest(tenant, route.provider, route.model, str(max_output), str(route.temperature), content)


def _digest(*parts: str) -> str:
    return sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def label_of(reply: ModelReply) -> str:
    """What produced an answer, as outcomes of steps say it."""
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
    """The event of a call that ended."""
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
