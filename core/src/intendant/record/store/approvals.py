"""What runs ask people, and what these decide: work functions for `Store.do`.

A decision is written by any process, without owning the run; what goes on with the run reads it, and puts it
into the run's journal.
"""

import json
from time import time

from sqlalchemy import Connection, func, select, update  # noqa: TID253

from intendant.model.errors import IntendantError
from intendant.record.rows import ApprovalRow, DecisionRow, Fence
from intendant.record.store import liveness
from intendant.record.store.digests import APPROVAL, DECISION, EVERYTHING, new_salt
from intendant.record.store.session import Insert, session_of
from intendant.record.store.statements import Work, columns
from intendant.record.store.tables import approval, decision, run

OPEN = ("running", "waiting")


_ASK = Insert(approval, APPROVAL.columns, conflict="update")
_DECIDE = Insert(decision, DECISION.columns, conflict="update")


def ask(row: ApprovalRow) -> Work[None]:
    """Ask people, in place of what they were asked before about the same step."""

    def work(connection: Connection) -> None:
        session = session_of(connection)
        values = (*row[:-1], new_salt(), row.denials)
        _ASK.write(session, [values])
        APPROVAL.note(session, values)

    return work


def find(run_id: str, step_key: str) -> Work[tuple[ApprovalRow, list[DecisionRow]] | None]:
    """What was asked about a step, and what was decided about that so far; None if nothing was asked."""

    def work(connection: Connection) -> tuple[ApprovalRow, list[DecisionRow]] | None:
        row = _find(connection, run_id, step_key)
        return None if row is None else (row, _decisions(connection, row))

    return work


def _find(connection: Connection, run_id: str, step_key: str, *, lock: bool = False) -> ApprovalRow | None:
    query = select(*columns(approval, ApprovalRow)).where(
        approval.c.run_id == run_id, approval.c.step_key == step_key
    )
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else ApprovalRow._make(row)


def _decisions(connection: Connection, row: ApprovalRow) -> list[DecisionRow]:
    """The decisions about what is asked now, oldest first."""
    query = select(*columns(decision, DecisionRow)).where(
        decision.c.run_id == row.run_id,
        decision.c.step_key == row.step_key,
        decision.c.input_sha256 == row.input_sha256,
    )
    return [DecisionRow._make(found) for found in connection.execute(query.order_by(decision.c.at))]


def close(fence: Fence, step_key: str, verdict: str) -> Work[None]:
    """Note what an approval came to; no decision is taken after that."""

    def work(connection: Connection) -> None:
        own = (approval.c.run_id == fence.run_id, approval.c.step_key == step_key)
        connection.execute(update(approval).where(*own).values(verdict=verdict))
        APPROVAL.note_current(session_of(connection), fence.run_id, step_key)

    return work


def open_approvals(run_id: str | None = None, tenant: str | None = None) -> Work[list[ApprovalRow]]:
    """What people are asked now, oldest first; of one run, or of all of a tenant that can go on."""
    query = (
        select(*columns(approval, ApprovalRow))
        .join(run, run.c.id == approval.c.run_id)
        .where(approval.c.verdict.is_(None), run.c.status.in_(OPEN))
        .order_by(approval.c.asked_at)
    )
    if run_id is not None:
        query = query.where(approval.c.run_id == run_id)
    if tenant is not None:
        query = query.where(run.c.tenant == tenant)
    return lambda connection: [ApprovalRow._make(row) for row in connection.execute(query)]


def count(run_id: str) -> Work[int]:
    """Decisions about a run's steps so far."""
    query = select(func.count()).select_from(decision).where(decision.c.run_id == run_id)
    return lambda connection: int(connection.execute(query).scalar_one())


def decide(run_id: str, step_key: str, by: str, verdict: str, note: str = "") -> Work[int]:
    """Write down what a person decided; what the same person decided before is replaced.

    Returns (when the work is done):
        How many approvals are still wanted; 0 where it is denied.

    Raises (when the work is done):
        IntendantError: Nothing is asked about this step, it is decided already, or this person may not decide.
    """

    def work(connection: Connection) -> int:
        row = _find(connection, run_id, step_key, lock=True)
        if row is None:
            raise IntendantError(
                f"nothing is asked about step '{step_key}' of run {run_id}",
                hint="`intendant approvals` lists what is asked",
            )
        session = session_of(connection)
        _refuse(row, by, session.clock.now())
        key = (run_id, step_key, by, row.input_sha256)
        was = DECISION.current(session, *key)
        values = (*key, verdict, note, time(), new_salt())
        _DECIDE.write(session, [values])
        DECISION.note(session, values, chain=EVERYTHING, was=was, run=run_id)
        said = [item.verdict for item in _decisions(connection, row)]
        denied = said.count("denied") >= (row.denials or 1)
        wanted = 0 if denied else max(0, row.need - said.count("approved"))
        if not wanted:
            liveness.wake(connection, run_id)
        return wanted

    return work


def _refuse(row: ApprovalRow, by: str, now: float) -> None:
    if row.verdict is not None or (row.expires_at is not None and row.expires_at <= now):
        raise IntendantError(
            f"step '{row.step_key}' of run {row.run_id} is decided already: "
            f"{row.verdict or 'the time to decide is over'}"
        )
    deciders = json.loads(row.deciders)
    if deciders and by not in deciders:
        raise IntendantError(
            f"'{by}' may not decide about step '{row.step_key}'", hint=f"these may: {', '.join(deciders)}"
        )
