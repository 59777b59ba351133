"""Standing limits, as a person sets and sees them: what an agent or a tenant may spend per day and per month.

Setting one adds a row; the newest row of a scope and period is in force.
"""

import json
from time import time
from typing import Any

from sqlalchemy import Connection, func, insert, select, text, update  # noqa: TID253

from intendant.record.rows import BudgetRow, LimitRow, LimitState
from intendant.record.store import budgets, holds, leases
from intendant.record.store.bookings import CHARGES
from intendant.record.store.digests import EVERYTHING, LIMIT, NONE, WINDOW
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work, columns
from intendant.record.store.tables import budget, budget_limit, hold, lease, ledger
from intendant.record.store.windows import LIMITED, Period, forget, label_of, newest, start_of, window_of


def set_limit(
    scope: str,
    per: Period,
    tokens: int | None,
    micro: int | None,
    at: float | None = None,
    by: str | None = None,
) -> Work[tuple[int | None, int | None]]:
    """Set what *scope* may spend per period, at once and for all processes.

    What was spent earlier in the period counts. A limit below that, or below what calls in flight hold, admits no
    further call until the next period.

    Args:
        scope: `agent:NAME` or `tenant:NAME`.
        per: The period.
        tokens: Input and output tokens; None for no limit.
        micro: Micro-US$; None for no limit.
        at: When; now by default.
        by: Whose decision it is.

    Returns (when the work is done):
        The limits as they hold in this period, which may be above what was set: `(tokens, micro)`.
    """

    def work(connection: Connection) -> tuple[int | None, int | None]:
        moment = time() if at is None else at
        forget(connection)
        if connection.dialect.name == "postgresql":
            # A transaction that found no limit must end before the holds that are open can be counted.
            connection.execute(text("LOCK TABLE budget_limit IN ACCESS EXCLUSIVE MODE"))
        row = {"scope": scope, "per": per, "limit_tokens": tokens, "limit_micro": micro, "at": moment}
        row["changed_by"] = None if by is None else by[:200]
        made: Any = connection.execute(insert(budget_limit), row).inserted_primary_key
        LIMIT.note_current(session_of(connection), made[0], chain=EVERYTHING, was=NONE, run="")
        leases.dissolve_all_of(connection, scope)
        window = window_of(scope, per, moment)
        if connection.execute(select(budget.c.id).where(budget.c.id == window)).first() is None:
            _add_window(connection, window, scope, start_of(per, moment))
        return _apply(connection, window, tokens, micro)

    return work


def current(at: float | None = None) -> Work[list[LimitState]]:
    """The standing limits in force, with what is spent and held of them in the period of *at* (now)."""
    query = select(*columns(budget_limit, LimitRow)).where(newest(), LIMITED)

    def work(connection: Connection) -> list[LimitState]:
        moment = time() if at is None else at
        rows = connection.execute(query.order_by(budget_limit.c.scope, budget_limit.c.per)).all()
        return [_with_state(connection, LimitRow._make(row), moment) for row in rows]

    return work


def history(limit: int = 100) -> Work[list[LimitRow]]:
    """How limits were set, newest first."""
    query = select(*columns(budget_limit, LimitRow)).order_by(budget_limit.c.id.desc()).limit(limit)
    return lambda connection: [LimitRow._make(row) for row in connection.execute(query)]


def _with_state(connection: Connection, row: LimitRow, at: float) -> LimitState:
    window = window_of(row.scope, row.per, at)
    found = budgets.find(window)(connection) or BudgetRow(window, row.scope, None, None)
    leased = _spent_in_leases(connection, window)
    return LimitState(
        *row,
        period=label_of(row.per, at),
        spent_tokens=found.spent_tokens + leased["tokens"],
        held_tokens=found.held_tokens - leased["tokens"],
        spent_micro=found.spent_micro + leased["micro"],
        held_micro=found.held_micro - leased["micro"],
    )


def _spent_in_leases(connection: Connection, window: str) -> dict[str, int]:
    """What calls took that were held in leases: it is spent, though still held until their lease ends."""
    opened = connection.execute(select(lease.c.id, lease.c.chain).where(lease.c.state == "open"))
    ids = [found.id for found in opened if window in json.loads(found.chain)]
    sums = (func.coalesce(func.sum(hold.c[f"spent_{unit}"]), 0) for unit in budgets.UNITS)
    spent = connection.execute(select(*sums).where(hold.c.lease.in_(ids), hold.c.state != "held")).one()
    return dict(zip(budgets.UNITS, map(int, spent), strict=True))


def _add_window(connection: Connection, window: str, scope: str, start: float) -> None:
    """Add a period's budget: what was spent in the period before is spent, and what calls hold is held in it."""
    kind, _, name = scope.partition(":")
    whose = (hold.c.agent if kind == "agent" else hold.c.tenant) == name
    of_period = (whose, hold.c.created_at >= start)
    charged = (
        select(
            func.coalesce(func.sum(ledger.c.input_tokens + ledger.c.output_tokens), 0),
            func.coalesce(func.sum(ledger.c.micro), 0),
        )
        .join(hold, hold.c.key == ledger.c.hold_key)
        .where(*of_period, ledger.c.kind.in_(CHARGES))
    )
    # Locked before the ledger is summed up: a call that ends at this time must be counted in one of the two.
    still = select(hold.c.key, hold.c.chain, hold.c.tokens, hold.c.micro).where(*of_period, hold.c.state == "held")
    rows = connection.execute(still.with_for_update()).all()
    spent = connection.execute(charged).one()
    for row in rows:
        holds.move_to(connection, row.key, [*json.loads(row.chain), window])
    added = BudgetRow(
        window,
        scope,
        None,
        None,
        spent_tokens=int(spent[0]),
        spent_micro=int(spent[1]),
        held_tokens=sum(row.tokens for row in rows),
        held_micro=sum(row.micro for row in rows),
    )
    budgets.add_window(connection, added)


def _apply(
    connection: Connection, window: str, tokens: int | None, micro: int | None
) -> tuple[int | None, int | None]:
    """Set the limits of a period's budget; nowhere below what is spent and held, since that is so already."""
    (row,) = budgets.locked_rows(connection, (window,))
    session = session_of(connection)
    was = WINDOW.current(session, window)
    values: dict[str, int | None] = {}
    for unit, wanted in (("tokens", tokens), ("micro", micro)):
        used = budgets.used_of(row, unit)
        values[f"wanted_{unit}"] = wanted
        values[f"limit_{unit}"] = None if wanted is None else max(wanted, used)
    connection.execute(update(budget).where(budget.c.id == window).values(values))
    WINDOW.note_current(session, window, chain=EVERYTHING, was=was, run="")
    return values["limit_tokens"], values["limit_micro"]
