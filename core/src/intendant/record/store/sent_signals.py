"""Signals, sent to runs and taken by their steps: work functions for `Store.do`.

A signal is written by any process, without owning the run, and stays until a step takes it, which happens once.
"""

from typing import Any

from sqlalchemy import Connection, func, select, update  # noqa: TID253

from intendant.model.errors import IntendantError
from intendant.record.rows import Fence, SignalRow
from intendant.record.store import liveness
from intendant.record.store.digests import EVERYTHING, NONE, SIGNAL, new_salt
from intendant.record.store.session import Insert, session_of
from intendant.record.store.statements import Work, columns
from intendant.record.store.tables import run, signal

MOST = 10_000
"""Signals that a run may have that no step took."""


class SignalGone(IntendantError):
    """Another step of the run took the signal."""


_SEND = Insert(signal, SIGNAL.columns)


def send(row: SignalRow) -> Work[bool]:
    """Store a signal; False if one with its id was sent to the run before, which then holds.

    Raises (when the work is done):
        IntendantError: The run is completed, or too many signals wait in it.
    """

    def work(connection: Connection) -> bool:
        known = select(signal.c.id).where(signal.c.run_id == row.run_id, signal.c.id == row.id)
        status = connection.execute(select(run.c.status).where(run.c.id == row.run_id).with_for_update()).scalar()
        if connection.execute(known).first() is not None:
            return False
        if status == "completed":
            raise IntendantError(f"run {row.run_id} is completed: nothing in it waits any more")
        if connection.execute(_count(row.run_id).where(signal.c.taken_by.is_(None))).scalar_one() >= MOST:
            raise IntendantError(f"run {row.run_id} has {MOST} signals already that no step took")
        session = session_of(connection)
        found: dict[str, Any] = {**row._asdict(), "salt": new_salt()}
        values = [found.get(name) for name in SIGNAL.columns]
        _SEND.write(session, [values])
        SIGNAL.note(session, values, chain=EVERYTHING, was=NONE, run=row.run_id)
        liveness.wake(connection, row.run_id)
        return True

    return work


def find(run_id: str, step_key: str, digest: str, event: str) -> Work[SignalRow | None]:
    """The signal that a step took before, else the oldest of this name that no step took; None if there is none.

    Args:
        run_id: The run.
        step_key: The address of the step.
        digest: Of the item that it works on.
        event: What the signal has to name.
    """
    query = select(*columns(signal, SignalRow)).where(signal.c.run_id == run_id).order_by(signal.c.at, signal.c.id)
    before = query.where(signal.c.taken_by == step_key, signal.c.taken_sha256 == digest).limit(1)
    free = query.where(signal.c.event == event, signal.c.taken_by.is_(None)).limit(1)

    def work(connection: Connection) -> SignalRow | None:
        row = connection.execute(before).first() or connection.execute(free).first()
        return None if row is None else SignalRow._make(row)

    return work


def take(fence: Fence, signal_id: str, step_key: str, digest: str) -> Work[None]:
    """Let a step have a signal, and no other one.

    Raises (when the work is done):
        SignalGone: Another step took it meanwhile.
    """

    def work(connection: Connection) -> None:
        own = (signal.c.run_id == fence.run_id, signal.c.id == signal_id, signal.c.taken_by.is_(None))
        taken = connection.execute(update(signal).where(*own).values(taken_by=step_key, taken_sha256=digest))
        if taken.rowcount == 0:
            raise SignalGone(f"another step took the signal {signal_id} of run {fence.run_id}")
        SIGNAL.note_current(session_of(connection), fence.run_id, signal_id)

    return work


def count(run_id: str) -> Work[int]:
    """Signals that a run was sent so far."""
    return lambda connection: int(connection.execute(_count(run_id)).scalar_one())


def _count(run_id: str) -> Any:
    return select(func.count()).select_from(signal).where(signal.c.run_id == run_id)
