"""Budgets: their limits, holds and spending.

A CHECK of the table enforces `spent + held <= limit`; the conditional UPDATE only avoids its error. Held tokens
are either spent or released; they never vanish.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, case, or_, select, update  # noqa: TID253

from intendant.model.errors import BudgetExceeded, StoreError
from intendant.record.rows import BudgetRow
from intendant.record.store.digests import BUDGET, EVERYTHING, NONE, WINDOW, Covered
from intendant.record.store.session import Insert, Session, buffered, session_of
from intendant.record.store.statements import Statement, Work, columns, named, names
from intendant.record.store.tables import budget

UNITS = ("tokens", "micro")
_SHOWN = {"tokens": "tokens", "micro": "micro_usd"}

# --- statements ---

_total = {unit: budget.c[f"spent_{unit}"] + budget.c[f"held_{unit}"] for unit in UNITS}


def _fits(unit: str) -> Any:
    limit = budget.c[f"limit_{unit}"]
    return or_(limit.is_(None), _total[unit] + bindparam(unit) <= limit)


@lru_cache(maxsize=32)
def _take(count: int) -> Statement:
    """Hold in each of *count* budgets that admits the amount; returns these."""
    statement = update(budget).where(budget.c.id.in_(names(count)), _fits("tokens"), _fits("micro"))
    more = {f"held_{unit}": budget.c[f"held_{unit}"] + bindparam(unit) for unit in UNITS}
    return Statement(statement.values(more).returning(budget.c.id))


@lru_cache(maxsize=32)
def _move(count: int) -> Statement:
    """Subtract `off_…` from the holds of *count* budgets, and add `on_…` to their spending."""
    values: dict[str, Any] = {}
    for unit in UNITS:
        off: Any = bindparam(f"off_{unit}")
        on: Any = bindparam(f"on_{unit}")
        values[f"held_{unit}"] = budget.c[f"held_{unit}"] - off
        values[f"spent_{unit}"] = budget.c[f"spent_{unit}"] + on
        values[f"limit_{unit}"] = _followed(unit, _total[unit] - off + on)
    return Statement(update(budget).where(budget.c.id.in_(names(count))).values(values))


def _followed(unit: str, total: Any) -> Any:
    """A limit that was set below the current total follows *total* down to the value that was set."""
    limit, wanted = budget.c[f"limit_{unit}"], budget.c[f"wanted_{unit}"]
    down = case((total > wanted, total), else_=wanted)
    return case((limit > wanted, case((total <= limit, down), else_=limit)), else_=limit)


@lru_cache(maxsize=32)
def _locked(count: int) -> Statement:
    chosen = select(budget.c.id).where(budget.c.id.in_(names(count)))
    return Statement(chosen.order_by(budget.c.id).with_for_update())


_RAISE = Statement(
    update(budget)
    .where(budget.c.id == bindparam("of"), budget.c.limit_tokens < bindparam("to"))
    .values(limit_tokens=bindparam("to"))
)
_KNOWN = Statement(select(budget.c.id).where(budget.c.id == bindparam("of")))
_ADD = Insert(budget, BudgetRow._fields)
_ADD_ONCE = Insert(budget, BudgetRow._fields, conflict="nothing")

# --- work ---


def open_budgets(rows: Sequence[BudgetRow]) -> Work[None]:
    """Add budgets that do not exist yet."""

    @buffered
    def work(connection: Connection) -> None:
        session = session_of(connection)
        for row in rows:
            session.add(_ADD, row)
            _note_new(session, BUDGET, row)

    return work


def open_with_limit(row: BudgetRow) -> Work[None]:
    """Add a budget; if it exists, raise its token limit to that of the row if this is higher."""

    @buffered
    def work(connection: Connection) -> None:
        session = session_of(connection)
        session.flush(_ADD)
        if _add_if_missing(session, row):
            _note_new(session, BUDGET, row)
        elif row.limit_tokens is not None:
            was = BUDGET.current(session, row.id)
            if _RAISE(connection, of=row.id, to=row.limit_tokens).rowcount:
                note_limits(session, row.id, was)

    return work


def _add_if_missing(session: Session, row: BudgetRow) -> bool:
    """Add a budget if there is none with this id; returns True if it was added."""
    if not session.sqlite:
        return bool(_ADD_ONCE.write(session, [row]))
    if _KNOWN.on(session, {"of": row.id}).fetchone() is not None:
        return False
    session.add(_ADD, row)  # with those of other jobs
    return True


def find(scope: str) -> Work[BudgetRow | None]:
    """Find a budget by id; None if there is none."""
    query = select(*columns(budget, BudgetRow)).where(budget.c.id == scope)

    def work(connection: Connection) -> BudgetRow | None:
        row = connection.execute(query).first()
        return None if row is None else BudgetRow._make(row)

    return work


def budgets_of_run(run_id: str) -> Work[dict[str, BudgetRow]]:
    """The budget of a run and those of its steps, by id."""
    first, last = f"step:{run_id}/", f"step:{run_id}0"  # "0" follows "/"
    of_steps = (budget.c.id > first) & (budget.c.id < last)
    query = select(*columns(budget, BudgetRow)).where(or_(budget.c.id == f"run:{run_id}", of_steps))

    def work(connection: Connection) -> dict[str, BudgetRow]:
        return {row[0]: BudgetRow._make(row) for row in connection.execute(query)}

    return work


# --- parts of other work ---


def add_window(connection: Connection, row: BudgetRow) -> None:
    """Add the budget of a day or a month, unless there is one of that id."""
    session = session_of(connection)
    _ADD_ONCE.write(session, [row])
    _note_new(session, WINDOW, row, EVERYTHING)


def _note_new(session: Session, covered: Covered, row: BudgetRow, chain: str | None = None) -> None:
    more: dict[str, Any] = {}
    if chain or session.chain == EVERYTHING:
        more = {"was": NONE, "run": run_of(row.id)}
    if row.spent_tokens or row.spent_micro:
        more["base"] = [row.spent_tokens, row.spent_micro]
    covered.note(session, [getattr(row, name) for name in covered.columns], chain, **more)


def note_limits(session: Session, scope: str, was: str) -> None:
    """Commit to the budget of a run or a step after a change of its limits."""
    more = {"was": was, "run": run_of(scope)} if session.chain == EVERYTHING else {}
    BUDGET.note_current(session, scope, **more)


def run_of(scope: str) -> str:
    """The run of a budget; empty for budgets of agents and tenants."""
    kind, _, name = scope.partition(":")
    return name.partition("/")[0] if kind in ("run", "step") else ""


def set_limits(connection: Connection, row: BudgetRow, tokens: int | None, micro: int | None) -> BudgetRow:
    """Set the limits of a run's budget; None leaves a limit unchanged.

    Raises:
        BudgetExceeded: More is spent and held already.
    """
    given = {"tokens": tokens, "micro": micro}
    changed = {unit: limit for unit, limit in given.items() if limit is not None}
    for unit, limit in changed.items():
        used = used_of(row, unit)
        if used > limit:
            raise BudgetExceeded(row.id, _SHOWN[unit], used, limit)
    if not changed:
        return row
    values = {f"limit_{unit}": limit for unit, limit in changed.items()}
    session = session_of(connection)
    was = BUDGET.current(session, row.id)
    connection.execute(update(budget).where(budget.c.id == row.id).values(values))
    note_limits(session, row.id, was)
    return BudgetRow(**{**row._asdict(), **values})


def used_of(row: BudgetRow, unit: str) -> int:
    """The sum of spending and holds."""
    return row.spent_tokens + row.held_tokens if unit == "tokens" else row.spent_micro + row.held_micro


def left_in(row: BudgetRow, unit: str) -> int | None:
    """The amount that can still be held; None for no limit."""
    limit = row.limit_tokens if unit == "tokens" else row.limit_micro
    return None if limit is None else limit - used_of(row, unit)


def locked_rows(connection: Connection, scopes: Sequence[str]) -> list[BudgetRow]:
    """Read budgets and lock them in the order of their ids."""
    query = select(*columns(budget, BudgetRow)).where(budget.c.id.in_(scopes)).order_by(budget.c.id)
    return [BudgetRow._make(row) for row in connection.execute(query.with_for_update())]


def take(connection: Connection, scopes: Sequence[str], tokens: int, micro: int) -> None:
    """Hold an amount in all of *scopes*.

    Raises:
        BudgetExceeded: A budget does not admit it; the transaction must be rolled back.
    """
    if not scopes:
        return
    session = session_of(connection)
    session.flush(_ADD)
    lock(session, scopes)
    values = {**named(scopes), "tokens": tokens, "micro": micro}
    admitted = _take(len(scopes)).on(session, values).fetchall()
    if len(admitted) < len(scopes):
        ids = {row[0] for row in admitted}
        raise _refusal(connection, [scope for scope in scopes if scope not in ids], tokens, micro)


def move(
    connection: Connection, scopes: Sequence[str], off_tokens: int, off_micro: int, on_tokens: int, on_micro: int
) -> None:
    """Subtract the `off_` amounts from the holds of *scopes*, and add the `on_` amounts to their spending."""
    if not scopes:
        return
    session = session_of(connection)
    session.flush(_ADD)
    lock(session, scopes)
    amounts = {"off_tokens": off_tokens, "off_micro": off_micro, "on_tokens": on_tokens, "on_micro": on_micro}
    _move(len(scopes)).on(session, {**named(scopes), **amounts})


def lock(session: Session, scopes: Sequence[str]) -> None:
    """Lock budgets in the order of their ids, on databases with row locks, so that two transactions cannot
    deadlock.

    Budgets of the job's own run need no lock: its fence has locked the row of the run, which all jobs of the run
    lock first. Work without a fence, such as a sweep for expired holds, may still collide; the writer then retries
    it.
    """
    if not session.sqlite and len(scopes) > 1 and any(run_of(scope) != session.chain for scope in scopes):
        _locked(len(scopes)).on(session, named(scopes)).fetchall()


def _refusal(connection: Connection, scopes: Sequence[str], tokens: int, micro: int) -> BudgetExceeded:
    """The error for the budget that admits least, of those that refused."""
    refused: list[tuple[float, BudgetExceeded]] = []
    query = select(*columns(budget, BudgetRow)).where(budget.c.id.in_(scopes))
    asked: Mapping[str, int] = {"tokens": tokens, "micro": micro}
    for row in map(BudgetRow._make, connection.execute(query)):
        for unit in UNITS:
            left = left_in(row, unit)
            if left is not None and asked[unit] > left:
                error = BudgetExceeded(row.id, _SHOWN[unit], asked[unit], left)
                refused.append((left / asked[unit], error))
    if not refused:
        raise StoreError(f"there are no budgets {', '.join(scopes)}")
    return min(refused, key=lambda item: item[0])[1]
