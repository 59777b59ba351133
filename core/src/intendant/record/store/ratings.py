"""What people say of the quality of runs and steps: work functions for `Store.do`."""

from time import time
from typing import NamedTuple

from sqlalchemy import Connection, insert, select  # noqa: TID253

from intendant.record.store.digests import EVERYTHING, NONE, RATING, new_salt
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work
from intendant.record.store.tables import rating as table, run


class Rated(NamedTuple):
    """A rating."""

    run_id: str
    step_key: str
    """Empty for the whole run."""
    rated_by: str
    at: float
    rating: int
    """From 1, useless, to 5, as wanted."""
    comment: str | None


def rate(row: Rated) -> Work[None]:
    """Add a rating; of one person about one thing the newest counts, and all stay in the record."""

    def work(connection: Connection) -> None:
        connection.execute(insert(table), row._asdict() | {"salt": new_salt()})
        key = (row.run_id, row.step_key, row.rated_by, row.at)
        RATING.note_current(session_of(connection), *key, chain=EVERYTHING, was=NONE, run=row.run_id)

    return work


def ratings(run_id: str | None = None, tenant: str | None = None, since: float | None = None) -> Work[list[Rated]]:
    """The ratings that count, oldest first: of one run, of a tenant, or since a time."""
    query = select(*(table.c[name] for name in Rated._fields)).join(run, run.c.id == table.c.run_id)
    if run_id is not None:
        query = query.where(table.c.run_id == run_id)
    if tenant is not None:
        query = query.where(run.c.tenant == tenant)
    if since is not None:
        query = query.where(table.c.at >= since)

    def work(connection: Connection) -> list[Rated]:
        found = [Rated._make(row) for row in connection.execute(query.order_by(table.c.at))]
        newest = {(row.run_id, row.step_key, row.rated_by): row for row in found}
        return sorted(newest.values(), key=lambda row: row.at)

    return work


def made_now(run_id: str, step_key: str, by: str, rating: int, comment: str | None) -> Rated:
    """A rating of now."""
    return Rated(run_id, step_key, by, time(), rating, comment)
