"""Figures of runs that have ended, so that dashboards need not read every event: work functions for `Store.do`.

They are computed from the journal and can be made anew at any time; the record does not commit to them.
"""

import json
from collections.abc import Iterable, Iterator
from time import time
from typing import Any

from sqlalchemy import Connection, Select, desc, literal_column, select  # noqa: TID253

from intendant.record.figures import RunFigures, figures_of
from intendant.record.packing import packed, unpacked
from intendant.record.rows import Scope
from intendant.record.store.runs import events_of
from intendant.record.store.session import Insert, session_of
from intendant.record.store.statements import Work
from intendant.record.store.tables import run, run_figure as table

_SAVE = Insert(table, ["run_id", "tenant", "agent", "at", "figures"], conflict="update")
AT_ONCE = 1000
"""Runs that are read at a time."""
UNREADABLE = "unreadable"
"""The status of a run whose journal cannot be read."""


def save(figures: RunFigures, tenant: str) -> Work[None]:
    """Write the figures of a run that has ended, in place of those of an earlier end."""
    at = figures.at or time()
    text = json.dumps(figures.as_json(), ensure_ascii=False, separators=(",", ":"))

    def work(connection: Connection) -> None:
        _SAVE.write(session_of(connection), [(figures.run_id, tenant, figures.agent, at, packed(text))])

    return work


def with_figures(finish: Work[None], figures: RunFigures, tenant: str) -> Work[None]:
    """Do the work that ends a run, and write its figures."""
    saving = save(figures, tenant)

    def work(connection: Connection) -> None:
        finish(connection)
        saving(connection)

    return work


def figures_within(scope: Scope) -> Work[list[RunFigures]]:
    """The figures of runs that ended within a scope, in the order in which they ended."""

    def work(connection: Connection) -> list[RunFigures]:
        return ended(_texts(connection, scope))

    return work


def ended(texts: Iterable[str]) -> list[RunFigures]:
    """Figures as they are stored, of runs that ended: earlier versions kept some of runs that wait."""
    found = (RunFigures.of_json(json.loads(unpacked(text))) for text in texts)
    return [one for one in found if one.status]


def _texts(connection: Connection, scope: Scope) -> Iterator[str]:
    query = select(table.c.figures).order_by(table.c.at)
    if scope.run_id is not None:
        query = query.where(table.c.run_id == scope.run_id)
    if scope.tenant is not None:
        query = query.where(table.c.tenant == scope.tenant)
    if scope.agent is not None:
        query = query.where(table.c.agent == scope.agent)
    if scope.since is not None:
        query = query.where(table.c.at >= scope.since)
    if scope.until is not None:
        query = query.where(table.c.at < scope.until)
    yield from connection.execute(query).scalars().yield_per(AT_ONCE)


def missing(tenant: str, limit: int = AT_ONCE) -> Work[list[str]]:
    """Runs of a tenant that ended and have no figures: those of earlier versions, the newest first."""
    query = missing_query(tenant).limit(limit)
    return lambda connection: list(connection.execute(query).scalars())


def missing_query(tenant: str) -> Select[Any]:
    """What `missing` asks the database: answered by indexes alone."""
    # A run that waits has stopped, and not ended: its figures are kept when it does.
    waits = select(run.c.id).where(run.c.tenant == tenant, run.c.status == "waiting")
    return (
        select(run.c.id)
        .outerjoin(table, table.c.run_id == run.c.id)
        .where(run.c.tenant == tenant, run.c.finished_at.is_not(None), table.c.run_id.is_(None))
        # Those that only tell intents are within others. A constant, so that the partial index is used.
        .where(run.c.plan_version > literal_column("0"), run.c.id.not_in(waits))
        .order_by(desc(run.c.created_at))
    )


def compute(run_id: str, tenant: str) -> Work[RunFigures]:
    """Make the figures of a run from its journal, and write them."""

    def work(connection: Connection) -> RunFigures:
        from intendant.record.journal import parse_events

        try:
            found = figures_of(parse_events(events_of(run_id)(connection)))
        except ValueError:  # its journal was changed by something else; `verify` says what
            found = RunFigures(status=UNREADABLE)
        found.run_id = run_id
        save(found, tenant)(connection)
        return found

    return work
