"""Originals of what was compressed, kept as long as their run. Each function returns work for `Store.do`."""

from time import time
from typing import Any

from sqlalchemy import Connection, insert, select  # noqa: TID253

from intendant.record.store.digests import ORIGINAL, new_salt
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work
from intendant.record.store.tables import original


def keep(run_id: str, handle: str, text: str) -> Work[None]:
    """Keep *text* under *handle*; the same text once."""

    def work(connection: Connection) -> None:
        if connection.execute(_row(run_id, handle)).first() is None:
            row = {"run_id": run_id, "handle": handle, "text": text, "at": time(), "salt": new_salt()}
            connection.execute(insert(original), row)
            ORIGINAL.note_current(session_of(connection), run_id, handle)

    return work


def find(run_id: str, handle: str) -> Work[str | None]:
    """The text that a run kept under *handle*, or None."""

    def work(connection: Connection) -> str | None:
        row = connection.execute(_row(run_id, handle)).first()
        return None if row is None or row.text is None else str(row.text)

    return work


def _row(run_id: str, handle: str) -> Any:
    return select(original.c.text).where(original.c.run_id == run_id, original.c.handle == handle)
