"""Answers that later runs may use again. Each function returns work for `Store.do`."""

from sqlalchemy import Connection, delete, insert, select  # noqa: TID253

from intendant.record.store.statements import Work
from intendant.record.store.tables import response

SWEPT = 100
"""At most so many answers that are too old are removed when one is kept."""


def find(key: str, now: float, seconds: float) -> Work[str | None]:
    """The answer under *key* that is not older than *seconds*, as JSON; None if there is none."""
    query = select(response.c.reply).where(
        response.c.key == key, response.c.at > now - seconds, response.c.expires_at > now
    )

    def work(connection: Connection) -> str | None:
        row = connection.execute(query).first()
        return None if row is None else str(row.reply)

    return work


def keep(key: str, reply: str, now: float, seconds: float) -> Work[None]:
    """Keep an answer for *seconds*, in place of what was kept under its key; removes some that are too old."""

    def work(connection: Connection) -> None:
        old = select(response.c.key).where(response.c.expires_at <= now).limit(SWEPT)
        connection.execute(delete(response).where(response.c.key.in_(old)))
        connection.execute(delete(response).where(response.c.key == key))
        connection.execute(insert(response), {"key": key, "reply": reply, "at": now, "expires_at": now + seconds})

    return work
