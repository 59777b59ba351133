"""The ledger: one row for each charge or credit of a hold. Rows are only ever added."""

import json
from time import time
from typing import NamedTuple

from sqlalchemy import Connection, func, select  # noqa: TID253

from intendant.record.rows import Spent, Totals
from intendant.record.store.session import Insert, Session
from intendant.record.store.statements import Work
from intendant.record.store.tables import hold, ledger

CHARGES = ("settle", "in_doubt", "expire", "credit")
"""The kinds of rows whose sum is what was charged. (Older versions booked holds and releases as well.)"""


class Closed(NamedTuple):
    """A hold as it was when it was closed."""

    key: str
    tokens: int
    micro: int
    chain: str
    lease: str | None
    run_id: str
    step_key: str
    price_version: str

    @property
    def scopes(self) -> tuple[str, ...]:
        """The budgets that it was held in itself."""
        return tuple(json.loads(self.chain))


_COLUMNS = (
    "hold_key",
    "run_id",
    "step_key",
    "kind",
    "input_tokens",
    "output_tokens",
    "micro",
    "overrun_tokens",
    "price_version",
    "at",
)
_ROWS = Insert(ledger, _COLUMNS)


def book(session: Session, of: Closed, kind: str, spent: Spent, overrun: int = 0) -> None:
    """Buffer a row for the hold *of*; *overrun* are the tokens of *spent* beyond it."""
    amounts = (spent.input_tokens, spent.output_tokens, spent.micro, overrun)
    session.add(_ROWS, (of.key, of.run_id, of.step_key, kind, *amounts, of.price_version, time()))


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
