"""Erases the payloads of a run. What happened stays, and so does the chain: an erasure is a commitment in it."""

from time import time
from typing import Any

from sqlalchemy import Connection, func, select, update  # noqa: TID253

from intendant.model.errors import RunActive
from intendant.record.store import memories
from intendant.record.store.digests import (
    APPROVAL,
    DECISION,
    DELIVERY,
    EVERYTHING,
    HOLD,
    NONE,
    ORIGINAL,
    RATING,
    RUN,
    SIGNAL,
    STEP,
    Covered,
    commitment,
)
from intendant.record.store.session import Session, session_of
from intendant.record.store.statements import Work
from intendant.record.store.tables import run, step
from intendant.text.grams import terms_of

PAYLOADS: dict[Covered, dict[str, Any]] = {
    RUN: {"inputs": "{}", "memory": None},
    STEP: {"output": None},
    HOLD: {"reply": None},
    DELIVERY: {"receipt": None},
    ORIGINAL: {"text": None},
    RATING: {"comment": None},
    APPROVAL: {"ask": "", "shown": "{}"},
    DECISION: {"note": ""},
    SIGNAL: {"payload": None},
}
"""Columns that are erased, and what takes their place."""


def erase(run_id: str, by: str) -> Work[int]:
    """Erase inputs, memory, outputs, replies, receipts, originals and payloads of signals of a run, comments of
    ratings, and what people were shown and noted; returns of how many rows. What its agent remembers of it is
    deleted too.

    The salts under which their digests were made go too: what is left of a digest says nothing of a payload.

    Args:
        run_id: The run.
        by: Who erases them.

    Raises (when the work is done):
        RunActive: A process may be at the run.
    """

    def work(connection: Connection) -> int:
        status = connection.execute(select(run.c.status).where(run.c.id == run_id).with_for_update()).scalar()
        if status == "running":
            raise RunActive(f"run {run_id} may still be worked on", hint="let it end first: intendant resume RUN")
        session = session_of(connection)
        memories.forget_run(connection, run_id, terms_of)
        if session.sqlite:
            session.driver.execute("PRAGMA secure_delete = ON")  # freed bytes are overwritten
        asked = (APPROVAL, DECISION) if status == "waiting" else ()  # a person still needs them
        count = sum(_erased(connection, session, one, run_id) for one in PAYLOADS if one not in asked)
        if count:
            said = {"was": NONE, "run": run_id, "by": by, "at": time(), "rows": count}
            session.commit_to(commitment("erased", run_id, NONE, said), EVERYTHING)
        return count

    return work


def _erased(connection: Connection, session: Session, covered: Covered, run_id: str) -> int:
    table, values = covered.table, {**PAYLOADS[covered], "salt": None}
    whose = table.c.id if covered is RUN else table.c.run_id
    keys = list(table.primary_key)
    chosen = select(*keys).where(whose == run_id, table.c.salt.is_not(None))
    rows = [tuple(row) for row in connection.execute(chosen)]
    for key in rows:
        was = covered.current(session, *key)
        named = [column == value for column, value in zip(keys, key, strict=True)]
        connection.execute(update(table).where(*named).values(values))
        covered.note_current(session, *key, chain=EVERYTHING, was=was, run=run_id)
    return len(rows)


def is_erased(run_id: str) -> Work[bool]:
    """True if outputs of completed steps of a run were erased."""
    query = select(func.count()).where(
        step.c.run_id == run_id, step.c.status == "completed", step.c.output.is_(None)
    )
    return lambda connection: bool(connection.execute(query).scalar())
