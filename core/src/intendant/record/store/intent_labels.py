"""Remembered classifications: the intent of a step, as a model answered or a person corrected it."""

from collections.abc import Iterable
from time import time
from typing import Literal

from sqlalchemy import Connection, delete, insert, select  # noqa: TID253

from intendant.record.store.statements import Work
from intendant.record.store.tables import classification

AT_ONCE = 500
"""Keys in one query: databases limit the parameters of a statement."""


def find(keys: Iterable[str]) -> Work[dict[str, str]]:
    """The classifications under *keys*, as JSON; those that are missing are left out."""
    wanted = sorted(set(keys))

    def work(connection: Connection) -> dict[str, str]:
        found: dict[str, str] = {}
        for start in range(0, len(wanted), AT_ONCE):
            within = classification.c.key.in_(wanted[start : start + AT_ONCE])
            query = select(classification.c.key, classification.c.answer).where(within)
            found |= {row.key: row.answer for row in connection.execute(query)}
        return found

    return work


def keep(key: str, kind: Literal["answer", "correction"], answer: str) -> Work[None]:
    """Remember a classification, in place of what was remembered under its key."""

    def work(connection: Connection) -> None:
        connection.execute(delete(classification).where(classification.c.key == key))
        row = {"key": key, "kind": kind, "answer": answer, "at": time()}
        connection.execute(insert(classification), row)

    return work
