"""Which runs are being executed, which are due, and which should pause: work functions for `Store.do`.

This is not part of the record: it tells processes what to do, not what happened.
"""

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, case, func, literal, literal_column, or_, select, update  # noqa: TID253

from intendant.model.errors import IntendantError
from intendant.record.rows import Fence, RunRow
from intendant.record.store.session import session_of
from intendant.record.store.statements import Statement, Work, columns
from intendant.record.store.tables import budget, event, run

WAITING = run.c.status == literal_column("'waiting'")
RUNNING = run.c.status == literal_column("'running'")
"""Literals, not parameters: SQLite would not use a partial index for a parameter."""


class Due(NamedTuple):
    """A run that a worker should resume."""

    id: str
    due_at: float
    agent: str
    priority: int


def beat(fence: Fence, until: float | None) -> Work[bool]:
    """Renew the lease of a run; returns True if a pause was requested.

    Nothing changes if the process no longer owns the run.

    Args:
        fence: The epoch in which the process owns the run.
        until: When the lease expires, in seconds since 1970.
    """
    own = (run.c.id == fence.run_id, run.c.epoch == fence.epoch, run.c.status == "running")
    change = update(run).where(*own).values(lease_until=until)
    asked = select(run.c.pause_requested).where(*own)

    def work(connection: Connection) -> bool:
        connection.execute(change)
        return bool(connection.execute(asked).scalar())

    return work


def wake(connection: Connection, run_id: str) -> None:
    """Make a run due now, in the transaction that writes what it was waiting for."""
    connection.execute(update(run).where(run.c.id == run_id).values(due_at=session_of(connection).clock.now()))


def pause(run_id: str) -> Work[str]:
    """Request a pause of a run; returns its status.

    Raises (when the work is done):
        IntendantError: The run has ended.
    """
    found = select(run.c.status).where(run.c.id == run_id).with_for_update()

    def work(connection: Connection) -> str:
        status = str(connection.execute(found).scalar_one())
        if status not in ("running", "waiting"):
            raise IntendantError(f"run {run_id} is {status}: there is nothing to pause")
        connection.execute(update(run).where(run.c.id == run_id).values(pause_requested=1))
        return status

    return work


def due_runs(tenant: str, now: float, limit: int) -> Work[list[Due]]:
    """The waiting runs of a tenant that are due and not paused: by priority, then the longest due first."""
    query = (
        select(run.c.id, run.c.due_at, run.c.agent, run.c.priority)
        .where(WAITING, run.c.due_at <= now, run.c.pause_requested == 0, run.c.tenant == tenant)
        .order_by(run.c.priority.desc(), run.c.due_at)
        .limit(limit)
    )
    return lambda connection: [Due._make(row) for row in connection.execute(query)]


_TAKE_DUE = Statement(
    update(run)
    .where(run.c.id == bindparam("of"), WAITING, run.c.due_at <= bindparam("now"))
    .values(due_at=bindparam("later"))
)
_OF_RUN = Statement(select(*columns(run, RunRow)).where(run.c.id == bindparam("of")))


def take_due(run_id: str, now: float, until: float) -> Work[RunRow | None]:
    """Postpone a run that waits and is due, so that other workers leave it alone.

    To claim a run, a worker first reads and verifies its whole record: only one worker needs to. This is no lock,
    the epoch of a claim decides which worker owns the run. If a worker dies before its claim, the run is due again
    at *until*.

    Args:
        run_id: The run.
        now: The database's time, in seconds since 1970.
        until: When other workers may take it.

    Returns (when the work is done):
        None if it was postponed; else the run as it is: another worker may have taken it, or work on it.
    """

    def work(connection: Connection) -> RunRow | None:
        if _TAKE_DUE(connection, of=run_id, now=now, later=until).rowcount:
            return None
        row = _OF_RUN(connection, of=run_id).fetchone()
        return None if row is None else RunRow._make(row)

    return work


def next_due(tenant: str) -> Work[float | None]:
    """When the next waiting run of a tenant is due; None if there is none."""
    query = (
        select(run.c.due_at)
        .where(
            WAITING,
            run.c.due_at.is_not(None),
            run.c.pause_requested == 0,
            run.c.tenant == tenant,
        )
        .order_by(run.c.due_at)
        .limit(1)
    )
    return lambda connection: connection.execute(query).scalar()


class AtWork(NamedTuple):
    """A run that a process is executing."""

    run_id: str
    workflow: str
    agent: str
    worker: str | None
    since: float
    """When the process started the run or took it over, in seconds since 1970."""
    lease_until: float | None
    held_tokens: int
    held_micro: int


def at_work(tenant: str) -> Work[list[AtWork]]:
    """The runs that are being executed, by process, with the holds of their calls."""
    began = (
        select(func.max(event.c.at))
        .where(event.c.run_id == run.c.id, event.c.type.in_(("initialized", "resumed")))
        .scalar_subquery()
    )
    query = (
        select(
            run.c.id,
            run.c.workflow,
            run.c.agent,
            run.c.worker,
            func.coalesce(began, run.c.created_at),
            run.c.lease_until,
            func.coalesce(budget.c.held_tokens, 0),
            func.coalesce(budget.c.held_micro, 0),
        )
        .select_from(run.outerjoin(budget, budget.c.id == literal("run:") + run.c.id))
        .where(RUNNING, run.c.tenant == tenant)
        .order_by(run.c.worker, run.c.created_at)
    )
    return lambda connection: [AtWork._make(row) for row in connection.execute(query)]


def queue_of(tenant: str, now: float) -> Work[tuple[int, int]]:
    """The numbers of a tenant's runs that are due, and that wait for a time or a person."""
    due = case((run.c.due_at <= now, 1), else_=0)
    query = select(func.coalesce(func.sum(due), 0), func.count()).where(WAITING, run.c.tenant == tenant)

    def work(connection: Connection) -> tuple[int, int]:
        found, waiting = connection.execute(query).one()
        return int(found), int(waiting) - int(found)

    return work


def maybe_abandoned(tenant: str, host: str, now: float) -> Work[list[RunRow]]:
    """Runs whose owner has stopped sending heartbeats, or is a process of *host*, which the caller can check."""
    query = select(*columns(run, RunRow)).where(
        RUNNING,
        run.c.tenant == tenant,
        or_(run.c.lease_until < now, run.c.worker.startswith(f"{host}:", autoescape=True)),
    )
    return lambda connection: [RunRow._make(row) for row in connection.execute(query)]
