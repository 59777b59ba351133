"""Takes whole runs out of the database when their time is over: the only way in which events and charges go.

What is left of a run is a row in `pruned` and a commitment in the chain of everything, so that the record still
verifies, and says which runs are gone, when and by whom. What standing budgets were charged stays: the part of the
runs that go is added to the base that is committed to with each of them.
"""

from collections.abc import Collection, Sequence
from time import time
from typing import Any, NamedTuple

from sqlalchemy import Connection, create_engine, delete, func, insert, or_, select, text  # noqa: TID253

from intendant.record.store import tables
from intendant.record.store.digests import BUDGET, EVERYTHING, NONE, PRUNED, WINDOW
from intendant.record.store.integrity import bases
from intendant.record.store.reconciling import Sums, scopes_of
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work
from intendant.record.store.verification import BASE

ENDED = ("completed", "failed", "refused", "overrun", "cancelled")
"""Only runs that ended so are pruned: others may go on."""
AT_ONCE = 200
"""Runs of one transaction."""


class Candidate(NamedTuple):
    """A run that has ended."""

    id: str
    agent: str
    at: float
    """When it ended, seconds since 1970."""
    critical: bool
    """True if one of its events is critical."""
    erased: bool
    """True if its payloads are gone already."""


def candidates(tenant: str, before: float) -> Work[list[Candidate]]:
    """Runs of a tenant that ended before a time, the oldest first."""
    run, event = tables.run, tables.event
    critical = select(event.c.run_id).where(event.c.run_id == run.c.id, event.c.severity == "critical").exists()
    at = func.coalesce(run.c.finished_at, run.c.created_at)
    query = (
        select(run.c.id, run.c.agent, at, critical, run.c.salt.is_(None))
        .where(run.c.tenant == tenant, run.c.status.in_(ENDED), at < before)
        .order_by(run.c.created_at)
    )
    return lambda connection: [
        Candidate(row[0], row[1], row[2], bool(row[3]), bool(row[4])) for row in connection.execute(query)
    ]


def prune(run_ids: Collection[str], by: str) -> Work[list[str]]:
    """Delete runs and everything that belongs to them, in one transaction; returns those that are gone.

    A run stays where a call of it is still open, where it is not ended, or where it was started inside a step of a
    run that stays.

    Args:
        run_ids: The runs, at most `AT_ONCE`.
        by: Who prunes.
    """

    def work(connection: Connection) -> list[str]:
        going = _going(connection, list(run_ids))
        if not going:
            return []
        _keep_standing_budgets(connection, going)
        session, at = session_of(connection), time()
        for run_id in going:
            connection.execute(insert(tables.pruned), {"run_id": run_id, "at": at, "pruned_by": by})
            PRUNED.note_current(session, run_id, chain=EVERYTHING, was=NONE, run=run_id)
            _delete(connection, run_id)
        return going

    return work


def _going(connection: Connection, run_ids: Sequence[str]) -> list[str]:
    run, hold = tables.run, tables.hold
    ended = select(run.c.id).where(run.c.id.in_(run_ids), run.c.status.in_(ENDED)).order_by(run.c.created_at)
    found = list(connection.execute(ended.with_for_update()).scalars())
    chains: dict[str, set[str]] = {run_id: set() for run_id in found}
    stay: set[str] = set()
    query = select(hold.c.run_id, hold.c.state, hold.c.chain).where(hold.c.run_id.in_(found))
    for run_id, state, chain in connection.execute(query):
        if state == "held":
            stay.add(run_id)
        chains[run_id] |= {scope for scope in scopes_of(chain) if scope.startswith("run:")}
    around = {scope.removeprefix("run:") for each in chains.values() for scope in each} - set(found)
    there = set(connection.execute(select(run.c.id).where(run.c.id.in_(around))).scalars())
    while True:  # what is inside a run that stays, stays
        kept = {f"run:{run_id}" for run_id in stay | there}
        more = {run_id for run_id in found if run_id not in stay and chains[run_id] & kept}
        if not more:
            return [run_id for run_id in found if run_id not in stay]
        stay |= more


def _keep_standing_budgets(connection: Connection, going: Sequence[str]) -> None:
    """Commit to standing budgets anew, with what the runs have taken in their bases."""
    session = session_of(connection)
    leases = [dict(row) for row in connection.execute(select(tables.lease)).mappings()]
    before, after = Sums(leases), Sums(leases)
    scopes: set[str] = set()
    closed = {lease["id"]: scopes_of(lease["chain"]) for lease in leases}
    for table, add in ((tables.hold, after.add_hold), (tables.ledger, after.add_charge)):
        for row in connection.execute(select(table).where(table.c.run_id.in_(going))).mappings():
            add(dict(row), of_run=row["run_id"])
            if table is tables.hold:
                scopes |= {*scopes_of(row["chain"]), *closed.get(row["lease"], ())}
            else:
                scopes |= set(scopes_of_charge(row["beyond"]))
    standing = sorted(scope for scope in scopes if not scope.startswith(("run:", "step:")))
    known = bases(connection)
    for scope in standing:
        covered = BUDGET if (BUDGET.name, scope) in known else WINDOW
        was = covered.current(session, scope)
        if was == NONE:
            continue
        base = known.get((covered.name, scope), {})
        more = [base.get(name, 0) + after.of(scope)[name] - before.of(scope)[name] for name in BASE]
        covered.note_current(session, scope, chain=EVERYTHING, was=was, base=more)


def scopes_of_charge(beyond: str | None) -> list[str]:
    """The budgets that a charge beyond its hold went to."""
    import json

    found = json.loads(beyond or "{}")
    return list(found) if isinstance(found, dict) else []


def _delete(connection: Connection, run_id: str) -> None:
    for table in (tables.event, tables.ledger, tables.hold, tables.outbox):
        connection.execute(delete(table).where(table.c.run_id == run_id))
    budget, first = tables.budget, f"step:{run_id}/"
    steps = (budget.c.id > first) & (budget.c.id < f"step:{run_id}0")  # "0" follows "/"
    connection.execute(delete(budget).where(or_(budget.c.id == f"run:{run_id}", steps)))
    connection.execute(delete(tables.run).where(tables.run.c.id == run_id))  # the rest goes with it


def compact(url: str) -> None:
    """Give the space that SQLite has free back to the system, on a connection of its own; nothing elsewhere, where
    the server does that by itself.
    """
    if not url.startswith("sqlite:///"):
        return
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text("VACUUM"))
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    finally:
        engine.dispose()


class Stored(NamedTuple):
    """What a table takes."""

    table: str
    rows: int
    bytes: int
    """On PostgreSQL with its indexes; on SQLite the content, without free space and indexes."""


def storage() -> Work[list[Stored]]:
    """What each table takes, the largest first."""

    def work(connection: Connection) -> list[Stored]:
        found = [_stored(connection, table) for table in tables.metadata.sorted_tables]
        return sorted(found, key=lambda one: -one.bytes)

    return work


def _stored(connection: Connection, table: Any) -> Stored:
    rows = int(connection.execute(select(func.count()).select_from(table)).scalar_one())
    if connection.dialect.name != "sqlite":
        size = connection.execute(select(func.pg_total_relation_size(table.name))).scalar_one()
        return Stored(table.name, rows, int(size))
    length = sum((func.coalesce(func.length(column), 1) for column in table.columns), start=0 * func.length(""))
    return Stored(
        table.name, rows, int(connection.execute(select(func.coalesce(func.sum(length), 0))).scalar_one())
    )
