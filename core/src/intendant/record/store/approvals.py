"""What runs ask people, and what these decide: work functions for `Store.do`.

A decision is written by any process, without owning the run; what goes on with the run reads it, and puts it
into the run's journal.
"""

import json
from time import time
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update  # noqa: TID253

from intendant.model.errors import IntendantError
from intendant.record.rows import ApprovalRow, DecisionRow, Fence
from intendant.record.store.commitments import APPROVAL, DECISION, EVERYTHING, NONE
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work, columns
from intendant.record.store.tables import approval, decision, run

OPEN = ("running", "waiting")


def ask(row: ApprovalRow) -> Work[None]:
    """Ask people, in place of what they were asked before about the same step: decisions about that are void."""

    def work(connection: Connection) -> None:
        session = session_of(connection)
        own = (approval.c.run_id == row.run_id, approval.c.step_key == row.step_key)
        connection.execute(delete(approval).where(*own))
        for earlier in _decisions(connection, row.run_id, row.step_key):
            _forget(connection, row.run_id, row.step_key, earlier.decided_by)
        connection.execute(insert(approval), row._asdict())
        APPROVAL.note_current(session, row.run_id, row.step_key)

    return work


def find(run_id: str, step_key: str) -> Work[tuple[ApprovalRow, list[DecisionRow]] | None]:
    """What was asked about a step, and what was decided so far; None if nothing was asked."""

    def work(connection: Connection) -> tuple[ApprovalRow, list[DecisionRow]] | None:
        query = select(*columns(approval, ApprovalRow))
        row = connection.execute(query.where(approval.c.run_id == run_id, approval.c.step_key == step_key)).first()
        if row is None:
            return None
        return ApprovalRow._make(row), _decisions(connection, run_id, step_key)

    return work


def _decisions(connection: Connection, run_id: str, step_key: str) -> list[DecisionRow]:
    query = select(*columns(decision, DecisionRow)).where(
        decision.c.run_id == run_id, decision.c.step_key == step_key
    )
    return [DecisionRow._make(row) for row in connection.execute(query.order_by(decision.c.at))]


def close(fence: Fence, step_key: str, verdict: str) -> Work[None]:
    """Note what an approval came to; no decision is taken after that."""

    def work(connection: Connection) -> None:
        own = (approval.c.run_id == fence.run_id, approval.c.step_key == step_key)
        connection.execute(update(approval).where(*own).values(verdict=verdict))
        APPROVAL.note_current(session_of(connection), fence.run_id, step_key)

    return work


def open_approvals(run_id: str | None = None) -> Work[list[ApprovalRow]]:
    """What people are asked now, oldest first; of one run, or of all that can go on."""
    query = (
        select(*columns(approval, ApprovalRow))
        .join(run, run.c.id == approval.c.run_id)
        .where(approval.c.verdict.is_(None), run.c.status.in_(OPEN))
        .order_by(approval.c.asked_at)
    )
    if run_id is not None:
        query = query.where(approval.c.run_id == run_id)
    return lambda connection: [ApprovalRow._make(row) for row in connection.execute(query)]


def count(run_id: str) -> Work[int]:
    """Decisions about a run's steps so far."""
    query = select(func.count()).select_from(decision).where(decision.c.run_id == run_id)
    return lambda connection: int(connection.execute(query).scalar_one())


def decide(run_id: str, step_key: str, by: str, verdict: str, note: str = "") -> Work[int]:
    """Write down what a person decided; what the same person decided before is replaced.

    Returns (when the work is done):
        How many approvals are still wanted; 0 after a denial.

    Raises (when the work is done):
        IntendantError: Nothing is asked about this step, it is decided already, or this person may not decide.
    """

    def work(connection: Connection) -> int:
        query = select(*columns(approval, ApprovalRow)).where(
            approval.c.run_id == run_id, approval.c.step_key == step_key
        )
        found = connection.execute(query.with_for_update()).first()
        row = None if found is None else ApprovalRow._make(found)
        if row is None:
            raise IntendantError(
                f"nothing is asked about step '{step_key}' of run {run_id}",
                hint="`intendant approvals` lists what is asked",
            )
        _refuse(row, by)
        _forget(connection, run_id, step_key, by)
        values: dict[str, Any] = {"run_id": run_id, "step_key": step_key, "decided_by": by}
        connection.execute(insert(decision), values | {"verdict": verdict, "note": note, "at": time()})
        more = {"was": NONE, "run": run_id}
        DECISION.note_current(session_of(connection), run_id, step_key, by, chain=EVERYTHING, **more)
        approved = sum(item.verdict == "approved" for item in _decisions(connection, run_id, step_key))
        return 0 if verdict == "denied" else max(0, row.need - approved)

    return work


def _forget(connection: Connection, run_id: str, step_key: str, by: str) -> None:
    """Take a decision back. The chain of everything commits to decisions: who decides does not own the run."""
    session = session_of(connection)
    was = DECISION.current(session, run_id, step_key, by)
    if was != NONE:
        own = (decision.c.run_id == run_id, decision.c.step_key == step_key, decision.c.decided_by == by)
        connection.execute(delete(decision).where(*own))
        DECISION.note_deleted(session, run_id, step_key, by, chain=EVERYTHING, was=was, run=run_id)


def _refuse(row: ApprovalRow, by: str) -> None:
    if row.verdict is not None or (row.expires_at is not None and row.expires_at <= time()):
        raise IntendantError(
            f"step '{row.step_key}' of run {row.run_id} is decided already: "
            f"{row.verdict or 'the time to decide is over'}"
        )
    deciders = json.loads(row.deciders)
    if deciders and by not in deciders:
        raise IntendantError(
            f"'{by}' may not decide about step '{row.step_key}'", hint=f"these may: {', '.join(deciders)}"
        )
