"""The budgets of standing limits: what an agent or a tenant may spend per day and month (UTC), in all its runs.

Each period has a budget of its own, such as `agent:mailer/day:2026-11-21`, made when it is first needed and kept:
a clock that jumps back finds it as it was.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, case, func, or_, select  # noqa: TID253

from intendant.record.rows import BudgetRow, Room
from intendant.record.store import budgets
from intendant.record.store.session import session_of
from intendant.record.store.statements import Statement, Work, columns, names
from intendant.record.store.tables import budget, budget_limit

Period = Literal["day", "month"]
DAY = 86_400
MOST_KEPT = 1000
_FORMATS: dict[str, str] = {"day": "%Y-%m-%d", "month": "%Y-%m"}


def label_of(per: str, at: float) -> str:
    """The day or month, UTC, in which *at* lies: `2026-11-21`, `2026-11`."""
    return _label_of_day(per, int(at // DAY))


@lru_cache(maxsize=16)
def _label_of_day(per: str, day: int) -> str:
    return datetime.fromtimestamp(day * DAY, UTC).strftime(_FORMATS[per])


def window_of(scope: str, per: str, at: float) -> str:
    """The id of the budget of *scope* at the time *at*."""
    return f"{scope}/{per}:{label_of(per, at)}"


def start_of(per: str, at: float) -> float:
    """When the day or month of *at* began."""
    moment = datetime.fromtimestamp(at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (moment.replace(day=1) if per == "month" else moment).timestamp()


def newest(*where: Any) -> Any:
    """Of the rows of `budget_limit` that match *where*, those in force: the newest of each scope and period."""
    ids = select(func.max(budget_limit.c.id)).where(*where)
    return budget_limit.c.id.in_(ids.group_by(budget_limit.c.scope, budget_limit.c.per))


LIMITED = or_(budget_limit.c.limit_tokens.is_not(None), budget_limit.c.limit_micro.is_not(None))
_label = case((budget_limit.c.per == "day", bindparam("day")), else_=bindparam("month"))
_window = budget_limit.c.scope.concat("/").concat(budget_limit.c.per).concat(":").concat(_label)
_columns = (budget_limit.c.scope, budget_limit.c.per, budget_limit.c.limit_tokens, budget_limit.c.limit_micro)
_OPEN = Statement(
    select(*_columns, budget.c.id)
    .select_from(budget_limit.outerjoin(budget, budget.c.id == _window))
    .where(newest(budget_limit.c.scope.in_(names(2))), or_(LIMITED, budget.c.id.is_not(None)))
)


def open_windows(connection: Connection, agent: str, tenant: str, at: float) -> tuple[str, ...]:
    """The budgets of an agent and its tenant that count at the time *at*, agent first; made where missing."""
    key, session = (agent, tenant, int(at // DAY)), session_of(connection)
    if session.windows_hold and (kept := session.windows.get(key)) is not None:
        return kept
    scopes = {"n0": f"agent:{agent}", "n1": f"tenant:{tenant}"}
    labels = {per: label_of(per, at) for per in _FORMATS}
    ids, new = [], False
    for scope, per, tokens, micro, known in _OPEN.on(session, {**scopes, **labels}).fetchall():
        window = known or f"{scope}/{per}:{labels[per]}"
        if known is None:
            new = True
            _open(connection, window, scope, tokens, micro)
        ids.append(window)
    found = tuple(sorted(ids))
    # What was made just now may still be undone.
    if session.windows_hold and not new:
        if len(session.windows) >= MOST_KEPT:
            session.windows.clear()
        session.windows[key] = found
    return found


def forget(connection: Connection) -> None:
    """A limit is being changed on this connection: read them again."""
    session_of(connection).windows.clear()


def _open(connection: Connection, window: str, scope: str, tokens: int | None, micro: int | None) -> None:
    row = BudgetRow(window, scope, tokens, micro, wanted_tokens=tokens, wanted_micro=micro)
    budgets.add_window(connection, row)


def room_of(agent: str, tenant: str, at: float) -> Work[tuple[Room, Room]]:
    """What the standing budgets of an agent and its tenant admit now, and what they would admit if all calls in
    flight cost nothing.
    """

    def work(connection: Connection) -> tuple[Room, Room]:
        scopes = open_windows(connection, agent, tenant, at)
        query = select(*columns(budget, BudgetRow)).where(budget.c.id.in_(scopes))
        rows = [BudgetRow._make(row) for row in connection.execute(query)]
        idle = [row._replace(held_tokens=0, held_micro=0) for row in rows]
        return _least(rows), _least(idle)

    return work


def _least(rows: Sequence[BudgetRow]) -> Room:
    """What the tightest of *rows* admits, in each unit."""
    return Room(*(_tightest(budgets.left_in(row, unit) for row in rows) for unit in budgets.UNITS))


def _tightest(amounts: Iterable[int | None]) -> int | None:
    return min((amount for amount in amounts if amount is not None), default=None)
