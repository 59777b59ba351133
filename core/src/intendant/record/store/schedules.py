"""Up to which time a worker has seen to each trigger: work functions for `Store.do`."""

from sqlalchemy import Connection, select  # noqa: TID253

from intendant.record.store.statements import Work
from intendant.record.store.tables import schedule


def seen_until(tenant: str) -> Work[dict[str, float]]:
    """For each trigger of a tenant the time, in seconds since 1970, up to which it was seen to."""
    query = select(schedule.c.name, schedule.c.seen_until).where(schedule.c.tenant == tenant)
    return lambda connection: {str(name): float(until) for name, until in connection.execute(query)}


def note_seen(tenant: str, name: str, until: float) -> Work[None]:
    """Note that a trigger was seen to up to *until*."""

    def work(connection: Connection) -> None:
        own = (schedule.c.tenant == tenant, schedule.c.name == name)
        changed = connection.execute(schedule.update().where(*own).values(seen_until=until))
        if changed.rowcount == 0:
            connection.execute(schedule.insert().values(tenant=tenant, name=name, seen_until=until))

    return work
