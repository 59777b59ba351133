"""The typed rows that leave the store. They know no database, so that any wing may import them cheaply.

Tuples where rows are only read; `HoldRow` is a dataclass because callers make one with most fields defaulted.
Amounts of money are micro-US$, times are seconds since 1970 (UTC). Fields that end in JSON text say so.
"""

import json
from dataclasses import dataclass, field
from time import time
from typing import Any, Literal, NamedTuple

from intendant.model.workflow import Json
from intendant.record.packing import unpacked

HoldState = Literal["held", "settled", "released", "in_doubt"]


class Fence(NamedTuple):
    """The epoch under which a process owns a run; a write under an older one is refused."""

    run_id: str
    epoch: int


class RunRow(NamedTuple):
    """A run."""

    id: str
    workflow: str
    agent: str
    plan: str
    """The workflow and every decision, as JSON; the store compresses it where it is long."""
    plan_version: int
    inputs: str
    """As JSON."""
    status: str
    created_at: float
    worker: str | None = None
    memory: str | None = None
    """A `MemoryContext` as JSON."""
    epoch: int = 1
    finished_at: float | None = None
    events: int | None = None
    """Events in the journal when the run ended."""
    last_hash: str | None = None
    """Hash of the last of them."""
    tenant: str = "default"
    file: str | None = None
    """The workflow's file; None for a workflow that was made in code."""
    lease_until: float | None = None
    """When the lease of its owner expires; None where that has none."""
    due_at: float | None = None
    """When a run that waits is to be gone on with; None for not before something is decided."""
    pause_requested: int = 0
    priority: int = 0
    """Workers take runs of higher ones first."""


class StepRow(NamedTuple):
    """A step that has ended."""

    key: str
    """Its path in the graph."""
    status: str
    attempt: int
    output: str | None
    """As JSON; compressed where it is long."""
    outcome: str
    """The `StepOutcome` without its output, as JSON."""
    finished_at: float

    @property
    def value(self) -> Json:
        """The output; null where there is none, or where it was erased."""
        return None if self.output is None else json.loads(unpacked(self.output))


class NewEvent(NamedTuple):
    """An event that is to be written; the store adds its number and its hash."""

    run_id: str
    type: str
    step_id: str | None
    severity: str
    at: float
    data: str
    """What no column says, as JSON: fields of the event that are not at their default."""


class EventRow(NamedTuple):
    """An event as stored."""

    run_id: str
    seq: int
    type: str
    step_id: str | None
    severity: str
    at: float
    data: str
    """What no column says, as JSON; `whole_event` has all of it. Older versions kept the event as a whole."""
    hash: str
    """See `chain.link`."""
    commits: str | None = None
    """Commitments to rows that were written with it, as JSON."""
    mac: str | None = None
    """Its signature, where there is a key."""


_WRITE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def said_by_columns(row: Any) -> str:
    """What the columns of an event say, as JSON, for its hash; empty where `data` has all of it."""
    data: str = row.data
    if data.startswith(WHOLE):
        return ""
    return _WRITE([row.run_id, row.type, row.step_id, row.severity, row.at + 0.0])  # as the database returns it


WHOLE = '{"type":'
"""What the JSON of a whole event begins with."""


def whole_event(row: Any) -> str:
    """An event as JSON that `read_event` parses, of its row; fields at their default may be left out."""
    data: str = row.data
    if data.startswith(WHOLE):
        return data
    said = {"type": row.type, "run_id": row.run_id, "step_id": row.step_id, "at": row.at, "severity": row.severity}
    head = _WRITE(said)
    return head if data == "{}" else f"{head[:-1]},{data[1:]}"


class Claimed(NamedTuple):
    """A run that was claimed, as it was found."""

    fence: Fence
    run: RunRow
    steps: list[StepRow]
    """The steps that have ended, however they ended."""
    events: list[EventRow]
    budget: "BudgetRow | None"
    """The run's own budget, after its limits were changed; None if its last owner died before it made one."""


class BudgetRow(NamedTuple):
    """A budget."""

    id: str
    """Such as `run:r_01…`, `step:r_01…/draft` or `agent:mailer/day:2026-11-21`."""
    parent: str | None
    limit_tokens: int | None
    limit_micro: int | None
    wanted_tokens: int | None = None
    """A standing limit as it was set; the limit itself is higher while more than this is spent and held."""
    wanted_micro: int | None = None
    spent_tokens: int = 0
    spent_micro: int = 0
    held_tokens: int = 0
    held_micro: int = 0


@dataclass(frozen=True, slots=True)
class HoldRow:
    """The hold of one try at a model call: its worst case, and later what was charged."""

    key: str
    """Idempotency key of the try."""
    run_id: str
    step_key: str
    epoch: int
    scope: str
    """The lowest budget of the chain."""
    provider: str
    model: str
    tokens: int
    micro: int
    price_version: str
    expires_at: float
    agent: str = "default"
    tenant: str = "default"
    created_at: float = field(default_factory=time)
    state: HoldState = "held"
    chain: str = "[]"
    """The budgets that it is held in itself, as JSON."""
    lease: str | None = None
    """The lease that holds it in the standing budgets."""
    spent_tokens: int | None = None
    """What is charged for it, up to what was held."""
    spent_micro: int | None = None
    reply: str | None = None
    """The provider's answer as JSON, so that a call that was paid for is never paid for again."""
    sending: int = 1
    """0 while the call has to queue and was not sent."""
    decided: str | None = None
    """What a person decided about a call in doubt: `settle`, `retry` or `drop`."""
    salt: str | None = None
    """Under which the digest of the reply is made."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """The budgets that it is held in itself."""
        return tuple(json.loads(self.chain))


@dataclass(frozen=True, slots=True)
class Spent:
    """What a call took."""

    input_tokens: int
    output_tokens: int
    micro: int

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


class Totals(NamedTuple):
    """What the ledger says of a run."""

    tokens: int
    micro_usd: int
    open_holds: int


class Slice(NamedTuple):
    """A lease that was taken: a slice of standing budgets."""

    id: str
    tokens: int
    micro: int


class Room(NamedTuple):
    """What standing budgets admit, in the tightest of them; None for no limit."""

    tokens: int | None
    micro: int | None


class LimitRow(NamedTuple):
    """A standing limit, as it was set."""

    id: int
    scope: str
    """`agent:NAME` or `tenant:NAME`."""
    per: str
    limit_tokens: int | None
    limit_micro: int | None
    at: float
    changed_by: str | None
    """The name of the person or program that set it; None where that is not known."""


class LimitState(NamedTuple):
    """A standing limit that is in force, and what is spent and held of it in its period."""

    id: int
    scope: str
    per: str
    limit_tokens: int | None
    limit_micro: int | None
    at: float
    changed_by: str | None
    period: str
    """Such as `2026-11-21` or `2026-11`."""
    spent_tokens: int
    held_tokens: int
    spent_micro: int
    held_micro: int


class Delivery(NamedTuple):
    """A change to the outside."""

    done: bool
    """False if it was begun, and may or may not have happened."""
    receipt: Any
    """The connector's result (JSON); None while it is not done."""


class ApprovalRow(NamedTuple):
    """What people are asked before anything of a step happens."""

    run_id: str
    step_key: str
    ask: str
    deciders: str
    """Who may decide, as a JSON list; anybody where it is empty."""
    need: int
    """How many have to approve."""
    otherwise: str
    """What holds when the time is over: `deny`, `approve` or `skip`; or `ask`: others are asked then."""
    shown: str
    """What would be done and cost, as JSON."""
    input_sha256: str
    """Of what is shown: decisions are about this alone."""
    asked_at: float
    expires_at: float | None = None
    verdict: str | None = None
    """What it came to: `approved`, `denied` or `skipped`; None while it is open."""
    denials: int | None = None
    """How many denials deny; None for one."""


class DecisionRow(NamedTuple):
    """What a person decided about a step."""

    run_id: str
    step_key: str
    decided_by: str
    input_sha256: str
    """Of what was shown."""
    verdict: str
    note: str
    at: float


class SignalRow(NamedTuple):
    """What somebody said has happened outside, for a run that waits for it or will."""

    run_id: str
    id: str
    event: str
    payload: str | None
    """As JSON; None where it was erased."""
    sent_by: str
    at: float
    taken_by: str | None = None
    """The address of the step that took it; None while it is stored."""


class Scope(NamedTuple):
    """Which calls a report is about; None for all."""

    run_id: str | None = None
    agent: str | None = None
    since: float | None = None
    until: float | None = None
    """Exclusive."""
    tenant: str | None = None


class Charged(NamedTuple):
    """What calls took together."""

    group: str | int
    """For `day` the number of days since 1970."""
    calls: int
    input_tokens: int
    cached_tokens: int
    """Of the input tokens, those read from a provider's prompt cache."""
    output_tokens: int
    micro_usd: int
    in_doubt_calls: int
    """Calls that are charged in full because their usage is not known."""
    in_doubt_tokens: int
    in_doubt_micro_usd: int
    overrun_tokens: int
    """What calls took beyond their holds."""
    overrun_micro_usd: int


class JournalRow(NamedTuple):
    """An event of a model call or its step, as reports read it."""

    run_id: str
    step_id: str
    type: str
    at: float
    data: str
    """The event as JSON."""
    classifies: bool
    """True if its run only classifies the steps of another."""


class DoubtRow(NamedTuple):
    """A call in doubt about which nothing was decided."""

    hold: HoldRow
    workflow: str
    run_status: str
    waits: bool
    """True if a step waits for the decision."""


class AgentRow(NamedTuple):
    """An agent."""

    id: int
    tenant: str
    name: str
    runs: int
    """How many there were in all that were counted."""
    memories: int
    """How many it has."""
    scores: str | None
    """As they were after its newest run, as JSON."""
    definition: str | None
    """What the database says of it, as JSON."""
    updated_at: float


class MemoryRow(NamedTuple):
    """Something that an agent remembers."""

    id: int
    kind: str
    """`profile`, `run`, `note` or `pattern`."""
    text: str
    importance: int
    """1 to 10."""
    evidence: str
    """The ids of the runs that it is drawn from, as a JSON list."""
    source: str
    """`person`, `host` or `run`."""
    subject: str | None
    """What it is about, where there is one of it: a run's id, or the name of a pattern."""
    created_at: float
    used_at: float | None = None
    """When a run was told of it last."""
    uses: int = 0
    """How many runs were told of it."""
