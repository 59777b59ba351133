"""Pages of runs and events, each read through an index and bounded in what it looks at: work functions for
`Store.do`, or for `spend_report.apart`.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, desc, func, or_, select  # noqa: TID253

from intendant.record.figures import RunFigures
from intendant.record.rows import BudgetRow, EventRow
from intendant.record.store.auditing import AuditRow, Wish
from intendant.record.store.run_figures import ended
from intendant.record.store.statements import Work, columns
from intendant.record.store.tables import budget, event, run, run_figure

MOST_SCANNED = 20_000
"""Events that one page of a search looks at, at most."""
RUNS_AT_ONCE = 200


class Place(NamedTuple):
    """Where a search goes on: before this event of this run."""

    began: float
    """When the run began, in seconds since 1970."""
    run_id: str
    seq: int


class Found(NamedTuple):
    """A page of a search.

    Attributes:
        rows: Events, those of the newest run first, and of a run the newest first.
        place: Where the search goes on; None where it has come to its end.
        scanned: How many events it has looked at.
    """

    rows: list[AuditRow]
    place: Place | None
    scanned: int


class _Head(NamedTuple):
    id: str
    agent: str
    workflow: str
    began: float


def search(wish: Wish, place: Place | None = None, text: str = "", most: int = MOST_SCANNED) -> Work[Found]:
    """Events that are wanted, from a place on backwards. A page ends where it is full, or where it has looked at
    *most* events: then it may be short, or empty, and *place* goes on.

    Args:
        wish: Which events; `limit` is the length of a page, 50 where it is None.
        place: Where the page before has ended.
        text: What the event's JSON, its type or its step has to contain.
        most: How many events are looked at.
    """
    limit = wish.limit or 50

    def work(connection: Connection) -> Found:
        rows: list[AuditRow] = []
        left = most
        with closing(_heads(connection, wish, place)) as heads:
            for head in heads:
                upper = _upper(connection, head, place)
                while upper > 0:
                    if left <= 0 or len(rows) >= limit:
                        return Found(rows, Place(head.began, head.id, upper + 1), most - left)
                    lower = max(0, upper - left)
                    some = _events(connection, head, wish, (lower, upper), text, limit - len(rows))
                    rows += some
                    full = len(rows) >= limit
                    reached = rows[-1].seq - 1 if full else lower
                    left -= upper - reached
                    upper = reached
        return Found(rows, None, most - left)

    return work


def _upper(connection: Connection, head: _Head, place: Place | None) -> int:
    if place is not None and head.id == place.run_id:
        return place.seq - 1
    return connection.execute(select(func.max(event.c.seq)).where(event.c.run_id == head.id)).scalar() or 0


def _heads(connection: Connection, wish: Wish, place: Place | None) -> Generator[_Head, None, None]:
    """The runs that are looked through, the newest first."""
    query = select(run.c.id, run.c.agent, run.c.workflow, run.c.created_at)
    query = query.order_by(desc(run.c.created_at), desc(run.c.id))
    same = [("tenant", wish.tenant), ("agent", wish.agent), ("workflow", wish.workflow), ("id", wish.run_id)]
    query = query.where(*(run.c[name] == value for name, value in same if value is not None))
    if wish.until is not None:
        query = query.where(run.c.created_at < wish.until)
    if wish.since is not None:
        query = query.where(or_(run.c.finished_at.is_(None), run.c.finished_at >= wish.since))
    if place is not None:
        query = query.where(run.c.created_at <= place.began)
    # Closed where it is not read to its end: a cursor that a server keeps goes on until then.
    with connection.execute(query, execution_options={"yield_per": RUNS_AT_ONCE}) as found:
        for row in found:
            head = _Head._make(row)
            if place is None or (head.began, head.id) <= (place.began, place.run_id):
                yield head


def _events(
    connection: Connection, head: _Head, wish: Wish, between: tuple[int, int], text: str, limit: int
) -> list[AuditRow]:
    lower, upper = between
    names = ("seq", "at", "type", "step_id", "severity", "hash", "commits", "data")
    query = select(*(event.c[name] for name in names)).where(
        event.c.run_id == head.id, event.c.seq > lower, event.c.seq <= upper
    )
    query = _wanted(query, wish, text).order_by(desc(event.c.seq)).limit(limit)
    return [
        AuditRow(
            run_id=head.id,
            seq=row.seq,
            at=row.at,
            type=row.type,
            step_id=row.step_id,
            severity=row.severity,
            agent=head.agent,
            workflow=head.workflow,
            hash=row.hash,
            commits=row.commits,
            data=row.data,
        )
        for row in connection.execute(query)
    ]


def _wanted(query: Select[Any], wish: Wish, text: str) -> Select[Any]:
    if wish.kinds:
        query = query.where(event.c.type.in_(wish.kinds))
    if wish.severities:
        query = query.where(event.c.severity.in_(wish.severities))
    if wish.step is not None:
        query = query.where(event.c.step_id == wish.step)
    if wish.since is not None:
        query = query.where(event.c.at >= wish.since)
    if wish.until is not None:
        query = query.where(event.c.at < wish.until)
    if text:
        within = (event.c.data, event.c.type, event.c.step_id)
        query = query.where(or_(*(column.contains(text, autoescape=True) for column in within)))
    return query


def events_between(
    run_id: str,
    after: int = 0,
    limit: int = 1000,
    kinds: Sequence[str] = (),
    step: str | None = None,
) -> Work[list[EventRow]]:
    """Events of a run in order, from one number on.

    Args:
        run_id: The run.
        after: The number of the last event that is known.
        limit: How many at most.
        kinds: Only of these types.
        step: Only of this step.
    """
    query = select(*columns(event, EventRow)).where(event.c.run_id == run_id, event.c.seq > after)
    query = _wanted(query, Wish(kinds=kinds, step=step), "").order_by(event.c.seq).limit(limit)
    return lambda connection: [EventRow._make(row) for row in connection.execute(query)]


def budgets_of(run_id: str, limit: int = 200) -> Work[list[BudgetRow]]:
    """The budget of a run, then those of its steps by their addresses."""
    steps = f"step:{run_id}/"
    own = select(*columns(budget, BudgetRow)).where(budget.c.id == f"run:{run_id}")
    # A range rather than LIKE, so that the primary key finds it: `0` follows `/`.
    query = select(*columns(budget, BudgetRow)).where(budget.c.id >= steps, budget.c.id < f"{steps[:-1]}0")
    query = query.order_by(budget.c.id).limit(limit)

    def work(connection: Connection) -> list[BudgetRow]:
        rows = [*connection.execute(own), *connection.execute(query)]
        return [BudgetRow._make(row) for row in rows]

    return work


def newest_figures(
    tenant: str, limit: int, agent: str | None = None, since: float | None = None
) -> Work[list[RunFigures]]:
    """The figures of the runs that ended last, the newest first."""
    query = select(run_figure.c.figures).where(run_figure.c.tenant == tenant)
    if agent is not None:
        query = query.where(run_figure.c.agent == agent)
    if since is not None:
        query = query.where(run_figure.c.at >= since)
    query = query.order_by(desc(run_figure.c.at)).limit(limit)

    def work(connection: Connection) -> list[RunFigures]:
        return ended(connection.execute(query).scalars())

    return work


def status_counts(tenant: str) -> Work[dict[str, int]]:
    """How many runs of a tenant are being executed, and how many wait."""
    count = select(func.count()).select_from(run).where(run.c.tenant == tenant)

    def work(connection: Connection) -> dict[str, int]:
        found = {each: count.where(run.c.status == each) for each in ("running", "waiting")}
        return {each: int(connection.execute(query).scalar_one()) for each, query in found.items()}

    return work
