"""Where the money went: sums over the ledger, and the events of calls in the order in which they happened.

What was charged is what the ledger says, call by call; the journal only says what a call was for. A call belongs
to the day (UTC) on which it was held, as in the budgets of days and months, whenever it was charged or credited.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import (  # noqa: TID253
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Subquery,
    case,
    cast,
    create_engine,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.exc import SQLAlchemyError  # noqa: TID253
from sqlalchemy.pool import NullPool  # noqa: TID253

from intendant.model.errors import StoreError
from intendant.record.rows import Charged, JournalRow, Scope
from intendant.record.store.bookings import CHARGES
from intendant.record.store.statements import Work, json_text
from intendant.record.store.tables import event, hold, ledger, run, step
from intendant.record.store.windows import DAY

By = Literal["agent", "intent", "model", "day", "tier", "step"]
WorkT = TypeVar("WorkT")
CLASSIFYING = "(classification)"
"""Calls that classify the steps of a workflow; they have a run of their own, and no step."""
UNKNOWN = "(not known)"
AT_ONCE = 2000
"""Rows read at a time."""
CALL_EVENTS = (
    "step_started",
    "tokens_reserved",
    "tokens_settled",
    "token_compressed",
    "content_expanded",
)
"""The events that say what calls were for."""


def apart(url: str, work: Work[WorkT]) -> WorkT:
    """Do *work*, which only reads, on a connection of its own: it sees one state, and writers need not wait for
    it.

    Args:
        url: A database that exists.
        work: What to do.

    Raises:
        StoreError: The database cannot be read.
    """
    sqlite, engine = url.startswith("sqlite"), _reader(url, Path.cwd())
    try:
        with engine.connect() as connection:
            if sqlite:
                connection.exec_driver_sql("BEGIN")  # its driver begins none for SELECT
            return work(connection)
    except SQLAlchemyError as error:
        short = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StoreError(f"the database {engine.url!r} cannot be read: {short}") from None


@lru_cache(maxsize=8)
def _reader(url: str, folder: Path) -> Engine:  # noqa: ARG001  # an engine keeps the file that a relative path named
    """An engine that keeps no connection, but the statements that it compiled; one for each working *folder*."""
    if url.startswith("sqlite"):
        return create_engine(url, poolclass=NullPool)
    return create_engine(url, poolclass=NullPool, isolation_level="REPEATABLE READ")


def sums(connection: Connection, scope: Scope, by: By) -> list[Charged]:
    """What was charged, by group; the dearest first, days in their order."""
    calls = _calls(connection, scope, by)
    doubtful = calls.c.state == "in_doubt"
    figures = (
        func.sum(case((calls.c.state == "released", 0), else_=1)),
        func.sum(calls.c.input_tokens),
        func.sum(calls.c.cached_tokens),
        func.sum(calls.c.output_tokens),
        func.sum(calls.c.micro),
        func.sum(case((doubtful, 1), else_=0)),
        func.sum(case((doubtful, calls.c.input_tokens + calls.c.output_tokens), else_=0)),
        func.sum(case((doubtful, calls.c.micro), else_=0)),
        func.sum(calls.c.overrun),
        func.sum(case((calls.c.micro > calls.c.held, calls.c.micro - calls.c.held), else_=0)),
    )
    query = select(calls.c.group, *figures).group_by(calls.c.group)
    rows = [Charged(row[0], *map(int, row[1:])) for row in connection.execute(query)]
    if by == "day":
        return sorted(rows)
    return sorted(rows, key=lambda row: (-row.micro_usd, -row.input_tokens - row.output_tokens, row.group))


def still_held(connection: Connection, scope: Scope) -> tuple[int, int, int]:
    """Calls in flight, and what is held for them: calls, tokens, micro-US$."""
    figures = (func.count(), func.coalesce(func.sum(hold.c.tokens), 0), func.coalesce(func.sum(hold.c.micro), 0))
    within = _within(scope, hold.c.run_id, hold.c.agent, hold.c.created_at, hold.c.tenant)
    where = [hold.c.state == "held", *within]
    calls, tokens, micro = connection.execute(select(*figures).where(*where)).one()
    return int(calls), int(tokens), int(micro)


def journal_rows(connection: Connection, scope: Scope) -> Iterator[JournalRow]:
    """The events of calls and their steps, run by run, read lazily.

    A run that overlaps the period is returned as a whole: only its events say when a call was held.
    """
    figures = (event.c.run_id, event.c.step_id, event.c.type, event.c.at, event.c.data)
    query = select(*figures).where(event.c.type.in_(CALL_EVENTS))
    chosen = []
    if scope.agent is not None:
        chosen.append(run.c.agent == scope.agent)
    if scope.tenant is not None:
        chosen.append(run.c.tenant == scope.tenant)
    if scope.since is not None:
        chosen.append(or_(run.c.finished_at.is_(None), run.c.finished_at >= scope.since))
    if scope.until is not None:
        chosen.append(run.c.created_at < scope.until)
    if chosen:
        query = query.where(event.c.run_id.in_(select(run.c.id).where(*chosen)))
    if scope.run_id is not None:
        query = query.where(event.c.run_id == scope.run_id)
    classifying = set(connection.execute(select(run.c.id).where(run.c.plan_version == 0)).scalars())
    ordered = query.order_by(event.c.run_id, event.c.seq)
    for row in connection.execute(ordered, execution_options={"yield_per": AT_ONCE}):
        yield JournalRow(row[0], row[1] or "", row[2], row[3], row[4], row[0] in classifying)


def classified_apart(connection: Connection, run_id: str) -> bool:
    """True if the intents of the run's workflow were asked of a model, in a run that is not this one."""
    own = select(run.c.workflow, run.c.agent, run.c.created_at).where(run.c.id == run_id)
    found = connection.execute(own).one()
    query = select(run.c.id).where(
        run.c.plan_version == 0,
        run.c.workflow == f"classification of {found.workflow}",
        run.c.agent == found.agent,
        run.c.created_at <= found.created_at,
    )
    return connection.execute(query.limit(1)).first() is not None


# --- one row a call ---


def _calls(connection: Connection, scope: Scope, by: By) -> Subquery:
    """A row for each call that was ever charged, with its group."""
    names = ("input_tokens", "output_tokens", "micro")
    charged = select(
        ledger.c.hold_key,
        func.min(ledger.c.run_id).label("run_id"),
        func.min(ledger.c.step_key).label("step_key"),
        func.min(ledger.c.at).label("at"),
        *(func.sum(ledger.c[name]).label(name) for name in names),
        func.sum(ledger.c.overrun_tokens).label("overrun"),
    ).where(ledger.c.kind.in_(CHARGES))
    if scope.run_id is not None:
        charged = charged.where(ledger.c.run_id == scope.run_id)
    sum_of = charged.group_by(ledger.c.hold_key).subquery()
    # Outer joins: a charge is shown even where what it was for is gone.
    joined = sum_of.outerjoin(hold, hold.c.key == sum_of.c.hold_key).outerjoin(run, run.c.id == sum_of.c.run_id)
    if by in ("intent", "tier"):
        of_call = (step.c.run_id == sum_of.c.run_id) & (step.c.key == sum_of.c.step_key)
        joined = joined.outerjoin(step, of_call)
    at = func.coalesce(hold.c.created_at, sum_of.c.at)
    agent = func.coalesce(hold.c.agent, run.c.agent)
    tenant = func.coalesce(hold.c.tenant, run.c.tenant)
    cached = func.coalesce(_number(connection, hold.c.reply, "usage", "cached_tokens"), 0)
    known: dict[str, ColumnElement[Any]] = {"agent": agent, "day": _day(connection, at)}
    group = known[by] if by in known else _group(connection, scope, by, sum_of)
    columns = (
        (group if by == "day" else func.coalesce(group, UNKNOWN)).label("group"),
        hold.c.state,
        func.coalesce(hold.c.micro, sum_of.c.micro).label("held"),
        cached.label("cached_tokens"),
        *(sum_of.c[name] for name in (*names, "overrun")),
    )
    # The run is chosen above, where the ledger has an index for it.
    return select(*columns).select_from(joined).where(*_within(scope, None, agent, at, tenant)).subquery()


def _within(
    scope: Scope,
    run_id: Any,
    agent: ColumnElement[str],
    at: ColumnElement[float],
    tenant: ColumnElement[str],
) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if scope.run_id is not None and run_id is not None:
        where.append(run_id == scope.run_id)
    if scope.agent is not None:
        where.append(agent == scope.agent)
    if scope.tenant is not None:
        where.append(tenant == scope.tenant)
    if scope.since is not None:
        where.append(at >= scope.since)
    if scope.until is not None:
        where.append(at < scope.until)
    return where


def _group(connection: Connection, scope: Scope, by: By, sum_of: Subquery) -> ColumnElement[str]:
    """What a call is put under; null where that is not known."""
    if by == "model":
        return hold.c.provider.concat("/").concat(hold.c.model)
    if by == "intent":
        return _decided(connection, sum_of, "intent", "intent_classified")
    if by == "tier":
        return _decided(connection, sum_of, "tier", "routed")
    if scope.run_id is not None:
        return sum_of.c.step_key
    return func.coalesce(run.c.workflow, UNKNOWN).concat(" / ").concat(sum_of.c.step_key)


def _decided(connection: Connection, sum_of: Subquery, name: str, said_by: str) -> ColumnElement[str]:
    """What was decided about a call's step: as its outcome says, or where it has none yet, the journal."""
    said = (
        select(json_text(connection, event.c.data, name))
        .where(event.c.run_id == sum_of.c.run_id, event.c.step_id == sum_of.c.step_key, event.c.type == said_by)
        .order_by(event.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    outcome = func.coalesce(json_text(connection, step.c.outcome, name), said)
    return case((run.c.plan_version == 0, CLASSIFYING), else_=outcome)


def _number(connection: Connection, column: Any, *path: str) -> ColumnElement[int]:
    return cast(json_text(connection, column, *path), BigInteger)


def _day(connection: Connection, at: ColumnElement[float]) -> ColumnElement[int]:
    """The number of the day (UTC); other databases round where SQLite cuts off."""
    days = at / literal_column(str(DAY))
    return cast(days if connection.dialect.name == "sqlite" else func.floor(days), Integer)
