"""The journal as an audit trail: events of many runs, filtered, read lazily."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select  # noqa: TID253

from intendant.record.store.tables import event, run

AT_ONCE = 1000
"""Rows that are read at a time."""


class Wish(NamedTuple):
    """Which events are wanted; what is None or empty does not matter."""

    tenant: str | None = None
    run_id: str | None = None
    agent: str | None = None
    workflow: str | None = None
    kinds: Sequence[str] = ()
    severities: Sequence[str] = ()
    step: str | None = None
    since: float | None = None
    until: float | None = None
    """Exclusive."""
    limit: int | None = None
    newest: bool = False
    """The newest first; else run by run, in order."""


class AuditRow(NamedTuple):
    """An event, with what is known of its run."""

    run_id: str
    seq: int
    at: float
    type: str
    step_id: str | None
    severity: str
    agent: str
    workflow: str
    hash: str
    commits: str | None
    """Commitments to rows, as JSON: part of what the hash covers."""
    data: str
    """What no column says, as JSON; see `whole_event`."""


def audit_rows(connection: Connection, wish: Wish) -> Iterator[AuditRow]:
    """The events that are wanted."""
    names = ("run_id", "seq", "at", "type", "step_id", "severity")
    query = select(
        *(event.c[name] for name in names),
        run.c.agent,
        run.c.workflow,
        event.c.hash,
        event.c.commits,
        event.c.data,
    ).join(run, run.c.id == event.c.run_id)
    wanted = [
        (event.c.run_id, wish.run_id),
        (event.c.step_id, wish.step),
        (run.c.agent, wish.agent),
        (run.c.workflow, wish.workflow),
        (run.c.tenant, wish.tenant),
    ]
    query = query.where(*(column == value for column, value in wanted if value is not None))
    if wish.kinds:
        query = query.where(event.c.type.in_(wish.kinds))
    if wish.severities:
        query = query.where(event.c.severity.in_(wish.severities))
    if wish.since is not None:
        query = query.where(event.c.at >= wish.since)
    if wish.until is not None:
        query = query.where(event.c.at < wish.until)
    if wish.newest:
        query = query.order_by(event.c.at.desc(), event.c.run_id, event.c.seq.desc())
    else:
        query = query.order_by(event.c.run_id, event.c.seq)
    if wish.limit is not None:
        query = query.limit(wish.limit)
    # Not an option of the connection, whose later statements would be read through cursors as well.
    found = connection.execute(query, execution_options={"yield_per": AT_ONCE})
    return (AuditRow._make(row) for row in found)
