"""The tables, the same on SQLite and PostgreSQL. Changes need a migration beside them."""

from sqlalchemy import (  # noqa: TID253  # this wing is itself imported lazily
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

HEAD = "0019"
"""The migration these tables correspond to."""
VERSION_TABLE = "intendant_version"
"""Ours alone: a host's own alembic in the same database uses another."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_KEY = String(300)
_ID = BigInteger().with_variant(Integer(), "sqlite")
"""An id of a table that grows with each run or call. SQLite numbers INTEGER columns alone, of 64 bits."""
_OPEN = "state = 'held'"
_ENDED = "finished_at IS NOT NULL AND plan_version > 0"
_OF_ENDED = ("tenant", "created_at", "id", "finished_at", "plan_version")
_DOUBTFUL = "state = 'in_doubt'"
_LEASED = "lease IS NOT NULL"
_WAITING = "status = 'waiting'"
_RUNNING = "status = 'running'"

run = Table(
    "run",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("workflow", Text, nullable=False),
    Column("agent", _KEY, nullable=False),
    Column("plan", Text, nullable=False),  # the workflow and every decision, as JSON
    Column("plan_version", Integer, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("epoch", Integer, nullable=False),  # raised when the run is claimed; writes of older epochs are refused
    Column("worker", _KEY),
    Column("lease_until", Float),
    Column("wait_for", Text),
    Column("cancel_requested", Integer, nullable=False, server_default="0"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("events", Integer),  # how many there were when the run ended, and the hash of the last one
    Column("last_hash", String(64)),
    Column("memory", Text),  # a MemoryContext, as JSON
    Column("tenant", _KEY, nullable=False, server_default="default"),
    Column("salt", String(32)),
    Column("file", Text),  # the workflow's file, to tell whether it has changed since
    Column("due_at", Float),  # when a run that waits is to be gone on with; null for not before somebody decides
    Column("pause_requested", Integer, nullable=False, server_default="0"),
    Index("ix_run_created_at", "created_at"),
    Index("ix_run_tenant", "tenant", "created_at"),
    Index("ix_run_status", "tenant", "status", "created_at"),
    Index("ix_run_ended", *_OF_ENDED, sqlite_where=text(_ENDED), postgresql_where=text(_ENDED)),
    Index("ix_run_due", "tenant", "due_at", sqlite_where=text(_WAITING), postgresql_where=text(_WAITING)),
    Index("ix_run_running", "tenant", "lease_until", sqlite_where=text(_RUNNING), postgresql_where=text(_RUNNING)),
)

step = Table(
    "step",
    metadata,
    Column("run_id", _KEY, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("key", _KEY, primary_key=True),  # the path in the graph
    Column("status", String(20), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("output", Text),
    Column("outcome", Text, nullable=False),  # the whole StepOutcome but its output, as JSON
    Column("finished_at", Float),
    Column("salt", String(32)),
)

budget = Table(
    "budget",
    metadata,
    Column("id", _KEY, primary_key=True),  # such as run:r_01…, step:r_01…/draft or agent:mailer/day:2026-11-21
    Column("parent", _KEY),
    Column("limit_tokens", BigInteger),
    Column("held_tokens", BigInteger, nullable=False, server_default="0"),
    Column("spent_tokens", BigInteger, nullable=False, server_default="0"),
    Column("limit_micro", BigInteger),
    Column("held_micro", BigInteger, nullable=False, server_default="0"),
    Column("spent_micro", BigInteger, nullable=False, server_default="0"),
    Column("wanted_tokens", BigInteger),  # what a standing limit is set to; where more was spent or held when it
    Column("wanted_micro", BigInteger),  # was lowered, the limit follows down to this as holds are closed
    CheckConstraint("held_tokens >= 0 AND held_micro >= 0", name="held"),
    CheckConstraint("spent_tokens >= 0 AND spent_micro >= 0", name="spent"),
    CheckConstraint("limit_tokens IS NULL OR spent_tokens + held_tokens <= limit_tokens", name="tokens"),
    CheckConstraint("limit_micro IS NULL OR spent_micro + held_micro <= limit_micro", name="micro"),
)

budget_limit = Table(
    "budget_limit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("scope", _KEY, nullable=False),  # such as agent:mailer or tenant:default
    Column("per", String(12), nullable=False),  # day, month
    Column("limit_tokens", BigInteger),  # the newest row of a scope and period holds; null is no limit
    Column("limit_micro", BigInteger),
    Column("at", Float, nullable=False),
    Column("changed_by", String(200)),
    CheckConstraint("per IN ('day', 'month')", name="per"),
    Index("ix_budget_limit_scope", "scope", "per", "id"),
)

lease = Table(
    "lease",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("owner", _KEY, nullable=False),  # the process
    Column("agent", _KEY, nullable=False),
    Column("tenant", _KEY, nullable=False),
    Column("chain", Text, nullable=False),  # the standing budgets it is a slice of, as JSON
    Column("tokens", BigInteger, nullable=False),  # held for it in each of them
    Column("micro", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),  # open, closed
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    CheckConstraint("state IN ('open', 'closed')", name="state"),
    Index("ix_lease_state", "state", "expires_at"),
)

hold = Table(
    "hold",
    metadata,
    Column("key", _KEY, primary_key=True),  # idempotency key of the call it pays for
    Column("run_id", _KEY, nullable=False),
    Column("step_key", _KEY, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("scope", _KEY, nullable=False),  # the lowest budget of the chain
    Column("provider", _KEY, nullable=False),
    Column("model", _KEY, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("micro", BigInteger, nullable=False),
    Column("price_version", _KEY, nullable=False),
    Column("state", String(12), nullable=False),  # held, settled, released, in_doubt
    Column("reply", Text),  # the provider's answer, so that a paid call is never paid again
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("agent", _KEY, nullable=False, server_default="default"),
    Column("tenant", _KEY, nullable=False, server_default="default"),
    Column("chain", Text, nullable=False, server_default="[]"),  # the budgets it is held in itself, as JSON
    Column("lease", _KEY),  # the lease that holds it, or held it when it was closed, in the standing budgets
    Column("spent_tokens", BigInteger),  # what is charged for it now, up to what was held
    Column("spent_micro", BigInteger),
    Column("sending", Integer, nullable=False, server_default="1"),  # 0 while the call queues, and is not sent
    Column("decided", String(12)),  # what a person decided about a call in doubt: settle, retry, drop
    Column("salt", String(32)),
    CheckConstraint("state IN ('held', 'settled', 'released', 'in_doubt')", name="state"),
    Index("ix_hold_run_id", "run_id"),
    Index("ix_hold_open", "expires_at", sqlite_where=text(_OPEN), postgresql_where=text(_OPEN)),
    Index("ix_hold_doubt", "created_at", sqlite_where=text(_DOUBTFUL), postgresql_where=text(_DOUBTFUL)),
    Index("ix_hold_lease", "lease", sqlite_where=text(_LEASED), postgresql_where=text(_LEASED)),
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("hold_key", _KEY, nullable=False),
    Column("run_id", _KEY, nullable=False),
    Column("step_key", _KEY, nullable=False),
    Column("kind", String(12), nullable=False),  # settle, in_doubt, expire, credit
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("micro", BigInteger, nullable=False),
    Column("overrun_tokens", BigInteger, nullable=False, server_default="0"),
    Column("price_version", _KEY, nullable=False),
    Column("at", Float, nullable=False),
    Column("beyond", Text),  # what each budget was charged with beyond the hold, as JSON: {id: [tokens, micro]}
    Index("ix_ledger_run_id", "run_id"),
)

event = Table(
    "event",
    metadata,
    Column("run_id", _KEY, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("type", String(40), nullable=False),
    Column("step_id", _KEY),
    Column("severity", String(10), nullable=False),
    Column("at", Float, nullable=False),
    Column("data", Text, nullable=False),
    Column("hash", String(64), nullable=False),  # SHA-256 of the one before, this one's commits and its data
    Column("commits", Text),  # digests of rows that were written with it or since the one before, as JSON
    Column("mac", String(80)),  # where there is a key: its id, and the HMAC of the hash
)

classification = Table(
    "classification",
    metadata,
    Column(
        "key", _KEY, primary_key=True
    ),  # SHA-256 of a step, and for answers of models of the installed intents too
    Column("kind", String(12), nullable=False),  # answer (of a model), correction (of a person)
    Column("answer", Text, nullable=False),  # a Classification, as JSON
    Column("at", Float, nullable=False),
    CheckConstraint("kind IN ('answer', 'correction')", name="kind"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("key", _KEY, primary_key=True),  # idempotency key of the delivery
    Column("run_id", _KEY, nullable=False),
    Column("step_key", _KEY, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("operation", _KEY, nullable=False),
    Column("state", String(12), nullable=False),  # begun, done
    Column("receipt", Text),
    Column("begun_at", Float, nullable=False),
    Column("done_at", Float),
    Column("salt", String(32)),
    CheckConstraint("state IN ('begun', 'done')", name="state"),
)

approval = Table(
    "approval",
    metadata,
    Column("run_id", _KEY, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("step_key", _KEY, primary_key=True),
    Column("ask", Text, nullable=False),
    Column("deciders", Text, nullable=False),  # who may decide, as a JSON list; anybody where it is empty
    Column("need", Integer, nullable=False),
    Column("otherwise", String(12), nullable=False),  # deny, approve, skip, ask (others)
    Column("shown", Text, nullable=False),  # what would be done and cost, as JSON
    Column("input_sha256", String(64), nullable=False),  # of what is shown: decisions are for this alone
    Column("asked_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("verdict", String(12)),  # approved, denied, skipped; null while it is open
    Column("salt", String(32)),
    Column("denials", Integer),  # how many denials deny; null for one
)

decision = Table(
    "decision",
    metadata,
    Column("run_id", _KEY, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("step_key", _KEY, primary_key=True),
    Column("decided_by", _KEY, primary_key=True),
    Column("input_sha256", String(64), primary_key=True),  # of what was shown; about anything else it says nothing
    Column("verdict", String(12), nullable=False),  # approved, denied
    Column("note", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("salt", String(32)),
    CheckConstraint("verdict IN ('approved', 'denied')", name="verdict"),
)

signal = Table(
    "signal",
    metadata,
    Column("run_id", _KEY, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("id", _KEY, primary_key=True),  # as the sender gives it, so that a signal that is sent again is one
    Column("event", _KEY, nullable=False),
    Column("payload", Text),  # as JSON; null where it was erased
    Column("sent_by", _KEY, nullable=False),
    Column("at", Float, nullable=False),
    Column("salt", String(32)),
    Column("taken_by", _KEY),  # the step that took it; null while it is stored
    Column("taken_sha256", String(64)),  # of the item that the step works on
)

original = Table(
    "original",
    metadata,
    Column("run_id", _KEY, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("handle", String(64), primary_key=True),  # made of the SHA-256 of the text
    Column("text", Text),  # null where it was erased
    Column("at", Float, nullable=False),
    Column("salt", String(32)),
)

response = Table(
    "response",
    metadata,
    Column("key", String(64), primary_key=True),  # SHA-256 of the tenant, the model and the whole request
    Column("reply", Text, nullable=False),  # a ModelReply, as JSON
    Column("at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Index("ix_response_expires_at", "expires_at"),
)

schedule = Table(
    "schedule",
    metadata,
    Column("tenant", _KEY, primary_key=True),
    Column("name", _KEY, primary_key=True),  # of the trigger
    Column("seen_until", Float, nullable=False),  # the time up to which a worker has seen to it
)

setting_change = Table(
    "setting_change",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("tenant", _KEY, nullable=False),
    Column("version", Integer, nullable=False),  # keys that were changed together have the same
    Column("key", _KEY, nullable=False),  # dotted
    Column("value", Text),  # as JSON; null where the key is set no more
    Column("changed_by", _KEY, nullable=False),
    Column("at", Float, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Index("uq_setting_change", "tenant", "version", "key", unique=True),
)

rating = Table(
    "rating",
    metadata,
    Column("run_id", _KEY, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("step_key", _KEY, primary_key=True),  # empty for the whole run
    Column("rated_by", _KEY, primary_key=True),
    Column("at", Float, primary_key=True),  # the newest of a person counts
    Column("rating", Integer, nullable=False),
    Column("comment", Text),
    Column("salt", String(32)),
    CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
)

pruned = Table(
    "pruned",
    metadata,
    Column("run_id", _KEY, primary_key=True),  # only of these may events and charges be deleted: see `triggers`
    Column("at", Float, nullable=False),
    Column("pruned_by", _KEY, nullable=False),
)

run_figure = Table(
    "run_figure",
    metadata,
    Column("run_id", _KEY, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("tenant", _KEY, nullable=False),
    Column("agent", _KEY, nullable=False),
    Column("at", Float, nullable=False),  # when the run ended
    Column("figures", Text, nullable=False),  # RunFigures as JSON: computed from the journal
    Index("ix_run_figure_at", "tenant", "at"),
)

canary_count = Table(
    "canary_count",
    metadata,
    Column("tenant", _KEY, primary_key=True),
    Column("flag", _KEY, primary_key=True),
    Column("began", _KEY, primary_key=True),  # when the guard began, as the flag says
    Column("stage", Integer, primary_key=True),  # percent
    Column("arm", String(8), primary_key=True),  # on, off
    Column("criterion", String(20), primary_key=True),
    Column("samples", BigInteger, nullable=False),
    Column("bad", BigInteger, nullable=False),
)

agent = Table(
    "agent",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("tenant", _KEY, nullable=False),
    Column("name", _KEY, nullable=False),
    Column("runs", Integer, nullable=False, server_default="0"),
    Column("memories", Integer, nullable=False, server_default="0"),  # how many it has
    Column("scores", Text),  # as they were after its newest run, as JSON
    Column("definition", Text),  # an agent's file, as JSON
    Column("updated_at", Float, nullable=False),
    UniqueConstraint("tenant", "name", name="uq_agent_name"),
)

observation = Table(
    "observation",
    metadata,
    Column("run_id", _KEY, primary_key=True),
    Column("agent_id", Integer, ForeignKey("agent.id", ondelete="CASCADE"), nullable=False),
    Column("data", Text, nullable=False),  # what the run was like, as JSON; the agent's figures are made of them
    Column("at", Float, nullable=False),  # when the run began
    Index("ix_observation_agent", "agent_id", "at", "run_id"),
)

memory = Table(
    "memory",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("agent_id", Integer, ForeignKey("agent.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(12), nullable=False),  # profile, run, note, pattern
    Column("text", Text, nullable=False),
    Column("importance", Integer, nullable=False),  # 1 to 10
    Column("evidence", Text, nullable=False),  # the runs that it is drawn from, as a JSON list
    Column("source", String(12), nullable=False),  # person, host, run
    Column("subject", Text),  # what it is about, where there is one of it: a run's id, or a name of a pattern
    Column("created_at", Float, nullable=False),
    Column("used_at", Float),
    Column("uses", Integer, nullable=False, server_default="0"),
    CheckConstraint("importance BETWEEN 1 AND 10", name="importance"),
    UniqueConstraint("agent_id", "subject", name="uq_memory_subject"),
    Index("ix_memory_agent", "agent_id", "kind", "id"),
    sqlite_autoincrement=True,  # an id that was deleted is not given again
)

memory_vector = Table(
    "memory_vector",
    metadata,
    Column("agent_id", Integer, primary_key=True, autoincrement=False),
    Column("memory_id", _ID, primary_key=True, autoincrement=False),
    Column("space", String(200), nullable=False),  # whose places they are: an embedder and its space
    Column("place", LargeBinary, nullable=False),  # floats of four bytes, little-endian, of length 1
    sqlite_with_rowid=False,
)

memory_term = Table(
    "memory_term",
    metadata,
    Column("agent_id", Integer, primary_key=True, autoincrement=False),
    Column("term", BigInteger, primary_key=True, autoincrement=False),  # of a part of a word: see `text.grams`
    Column("memory_id", _ID, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
