"""The ledger: one row for each charge or credit of a hold. Rows are only ever added."""

import json
from time import time

from sqlalchemy import Connection, func, select  # noqa: TID253

from intendant.record.rows import HoldRow, Spent, Totals
from intendant.record.store.digests import EVERYTHING, LEDGER, NONE
from intendant.record.store.session import Insert, Session
from intendant.record.store.statements import Work
from intendant.record.store.tables import hold, ledger

Charges = dict[str, tuple[int, int]]
"""Tokens and micro-US$ by budget."""
CHARGES = ("settle", "in_doubt", "expire", "credit")
"""The kinds of rows whose sum is what was charged. (Older versions booked holds and releases as well.)"""


_ROWS = Insert(ledger, LEDGER.columns)


def book(
    session: Session, of: HoldRow, kind: str, spent: Spent, overrun: int = 0, beyond: Charges | None = None
) -> None:
    """Buffer a row for the hold *of*.

    Args:
        session: The session that writes.
        of: The hold.
        kind: One of `CHARGES`.
        spent: What is booked.
        overrun: Of it, the tokens beyond the hold.
        beyond: What budgets were charged with beyond the hold; None where the call took no more than was held.
    """
    amounts = (spent.input_tokens, spent.output_tokens, spent.micro, overrun)
    charged = None if beyond is None else json.dumps(beyond)
    made = (of.key, of.run_id, of.step_key, kind, *amounts, of.price_version, time(), charged)
    row = (session.next_id(), *made)
    session.add(_ROWS, row)
    LEDGER.note(session, row, **_whose(session, of.run_id))


def _whose(session: Session, run_id: str) -> dict[str, str]:
    return {"was": NONE, "run": run_id} if session.chain == EVERYTHING else {}


def totals_of_run(run_id: str) -> Work[Totals]:
    """What a run was charged, and how many of its holds are still open."""

    def work(connection: Connection) -> Totals:
        charged = connection.execute(
            select(
                func.coalesce(func.sum(ledger.c.input_tokens + ledger.c.output_tokens), 0),
                func.coalesce(func.sum(ledger.c.micro), 0),
            ).where(ledger.c.run_id == run_id, ledger.c.kind.in_(CHARGES))
        ).one()
        open_holds = connection.execute(
            select(func.count()).select_from(hold).where(hold.c.run_id == run_id, hold.c.state == "held")
        ).scalar_one()
        return Totals(int(charged[0]), int(charged[1]), int(open_holds))

    return work
