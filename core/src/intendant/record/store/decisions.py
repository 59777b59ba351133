"""Calls in doubt, and what a person decides about them. Each function returns work for `Store.do`."""

from typing import Literal

from sqlalchemy import Connection, literal_column, select, update  # noqa: TID253

from intendant.model.errors import IntendantError
from intendant.record.rows import DoubtRow, HoldRow, Spent
from intendant.record.store import holds
from intendant.record.store.digests import HOLD
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work
from intendant.record.store.tables import hold, run, step

Decision = Literal["settle", "retry", "drop"]
# A constant, not a parameter: only so does the planner use the partial index.
OPEN = (hold.c.state == literal_column("'in_doubt'"), hold.c.decided.is_(None))
MOST = 10_000
"""Calls in doubt that are looked at, the oldest: there are as many as calls were in flight when processes died."""


def open_doubts(tenant: str, *, waiting: bool = True) -> Work[list[DoubtRow]]:
    """Calls in doubt about which nothing was decided, oldest first.

    Args:
        tenant: Whose runs are looked at.
        waiting: Those only for which a step waits; else all that are charged in full.
    """
    # With a limit of its own, so that the planner begins with the few rows that the partial index has.
    doubtful = select(hold).where(*OPEN).order_by(hold.c.created_at).limit(MOST).subquery()
    waits = (
        (step.c.run_id == doubtful.c.run_id) & (step.c.key == doubtful.c.step_key) & (step.c.status == "waiting")
    )
    query = (
        select(
            *(doubtful.c[name] for name in HoldRow.__slots__),
            step.c.status.label("step_status"),
            run.c.workflow,
            run.c.status,
        )
        .join(run, run.c.id == doubtful.c.run_id)
        .outerjoin(step, waits)
        .where(run.c.tenant == tenant)
        .order_by(doubtful.c.created_at, doubtful.c.key)
    )

    def work(connection: Connection) -> list[DoubtRow]:
        found = []
        for *values, step_status, workflow, status in connection.execute(query):
            waits = step_status is not None and status == "waiting"
            if waits or not waiting:
                found.append(DoubtRow(HoldRow(*values), workflow, status, waits))
        return found

    return work


def find_doubt(prefix: str, tenant: str) -> Work[DoubtRow]:
    """The call in doubt whose key is or begins with *prefix*.

    Raises (when the work is done):
        IntendantError: There is none, or more than one.
    """

    def work(connection: Connection) -> DoubtRow:
        known = open_doubts(tenant, waiting=False)(connection)
        found = [row for row in known if row.hold.key == prefix] or [
            row for row in known if row.hold.key.startswith(prefix)
        ]
        if len(found) == 1:
            return found[0]
        many = f"more than one call in doubt begins with '{prefix}'"
        raise IntendantError(
            many if found else f"there is no call in doubt '{prefix}' about which nothing was decided",
            hint="`intendant doubts --all` lists them",
        )

    return work


def decide(key: str, decision: Decision, spent: Spent | None, reply: str | None) -> Work[None]:
    """Write what was decided about a call in doubt, and charge it so.

    Args:
        key: Its hold.
        decision: `settle`: it took *spent*; `retry`: it stays charged in full; `drop`: it was never received.
        spent: What it took; for `settle` only.
        reply: Its answer, as JSON; None to ask again.

    Raises (when the work is done):
        IntendantError: Somebody else has decided meanwhile.
    """

    def work(connection: Connection) -> None:
        decided = update(hold).where(hold.c.key == key, *OPEN).values(decided=decision)
        if connection.execute(decided).rowcount == 0:
            raise IntendantError(f"about the call {key} something was decided already")
        if decision == "settle" and spent is not None:
            holds.settle(key, spent, reply)(connection)
        elif decision == "drop":
            holds.release(key)(connection)
        else:
            HOLD.note_current(session_of(connection), key)

    return work
