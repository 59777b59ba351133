"""Standing limits: what an agent or a tenant may spend per day and per month (UTC), in whatever runs.

Setting one adds a row, the newest of a scope and period holds. Each period has a budget of its own, such as
`agent:mailer/day:2026-11-21`, made when first needed and kept: a clock that jumps back finds it as it was.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from time import time
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, bindparam, case, func, or_, select  # noqa: TID253
from sqlalchemy.dialects import postgresql, sqlite  # noqa: TID253

from intendant.record.store.statements import Statement, driver_of, names
from intendant.record.store.tables import budget, budget_limit, hold, lease

Work = Callable[[Connection], Any]
Period = Literal["day", "month"]
DAY = 86_400
MOST_KEPT = 1000
_AMOUNTS = ("spent_tokens", "held_tokens", "spent_micro", "held_micro")
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


def _newest(*where: Any) -> Any:
    ids = select(func.max(budget_limit.c.id)).where(*where)
    return budget_limit.c.id.in_(ids.group_by(budget_limit.c.scope, budget_limit.c.per))


_limited = or_(budget_limit.c.limit_tokens.is_not(None), budget_limit.c.limit_micro.is_not(None))
_label = case((budget_limit.c.per == "day", bindparam("day")), else_=bindparam("month"))
_window = budget_limit.c.scope.concat("/").concat(budget_limit.c.per).concat(":").concat(_label)
_columns = (budget_limit.c.scope, budget_limit.c.per, budget_limit.c.limit_tokens, budget_limit.c.limit_micro)
_OPEN = Statement(
    select(*_columns, budget.c.id)
    .select_from(budget_limit.outerjoin(budget, budget.c.id == _window))
    .where(_newest(budget_limit.c.scope.in_(names(2))), or_(_limited, budget.c.id.is_not(None)))
)
_ADD = {
    "sqlite": sqlite.insert(budget).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(budget).on_conflict_do_nothing(),
}


def open_windows(connection: Connection, agent: str, tenant: str, at: float) -> tuple[str, ...]:
    """The budgets of an agent and its tenant that count at the time *at*, agent first; made where missing."""
    key = (agent, tenant, int(at // DAY))
    if (known := _kept(connection).get(key)) is not None:
        return known
    scopes = {"n0": f"agent:{agent}", "n1": f"tenant:{tenant}"}
    labels = {per: label_of(per, at) for per in _FORMATS}
    ids, new = [], False
    for scope, per, tokens, micro, known in _OPEN(connection, **scopes, **labels).fetchall():
        window = known or f"{scope}/{per}:{labels[per]}"
        if known is None:
            new = True
            _open(connection, window, scope, tokens, micro)
        ids.append(window)
    found = tuple(sorted(ids))
    if not new:  # what was made just now may still be undone
        _kept(connection)[key] = found
    return found


def _kept(connection: Connection) -> dict[tuple[str, str, int], tuple[str, ...]]:
    """Budgets that this connection found before, by agent, tenant and day; none once another process, or another
    connection, has written since: SQLite counts that. On PostgreSQL nothing is kept.
    """
    if connection.dialect.name != "sqlite":
        return {}
    ((version,),) = driver_of(connection).execute("PRAGMA data_version").fetchall()
    kept = connection.info.get("windows")
    if kept is None or kept[0] != version or len(kept[1]) >= MOST_KEPT:
        kept = connection.info["windows"] = (version, {})
    found: dict[tuple[str, str, int], tuple[str, ...]] = kept[1]
    return found


def forget(connection: Connection) -> None:
    """A limit is being changed on this connection: read them again."""
    connection.info.pop("windows", None)


def _open(connection: Connection, window: str, scope: str, tokens: int | None, micro: int | None) -> None:
    limits = {"limit_tokens": tokens, "wanted_tokens": tokens, "limit_micro": micro, "wanted_micro": micro}
    add_budget(connection, {"id": window, "parent": scope, **limits})


def add_budget(connection: Connection, row: Mapping[str, Any]) -> None:
    """Add a budget, unless there is one of that id."""
    connection.execute(_ADD[connection.dialect.name], dict(row))


def current(at: float | None = None) -> Work:
    """All standing limits with what is spent and held of them in the period of *at* (now)."""

    def work(connection: Connection) -> list[dict[str, Any]]:
        moment = time() if at is None else at
        query = select(budget_limit).where(_newest(), _limited).order_by(budget_limit.c.scope, budget_limit.c.per)
        return [_with_state(connection, dict(row), moment) for row in connection.execute(query).mappings().all()]

    return work


def _with_state(connection: Connection, row: dict[str, Any], at: float) -> dict[str, Any]:
    window = window_of(row["scope"], row["per"], at)
    found = connection.execute(select(budget).where(budget.c.id == window)).mappings().first()
    state = {name: found[name] if found else 0 for name in _AMOUNTS}
    for leased, spent in _leased(connection, window):
        state[f"spent_{leased}"] += spent
        state[f"held_{leased}"] -= spent
    return {**row, "period": label_of(row["per"], at), **state}


def _leased(connection: Connection, window: str) -> Iterator[tuple[str, int]]:
    """What calls took that were held in leases: it is spent, though still held until their lease ends."""
    ids = [
        found.id
        for found in connection.execute(select(lease.c.id, lease.c.chain).where(lease.c.state == "open"))
        if window in json.loads(found.chain)
    ]
    sums = (func.coalesce(func.sum(hold.c[f"spent_{unit}"]), 0) for unit in ("tokens", "micro"))
    spent = connection.execute(select(*sums).where(hold.c.lease.in_(ids), hold.c.state != "held")).one()
    yield from zip(("tokens", "micro"), map(int, spent), strict=True)


def history(limit: int = 100) -> Work:
    """How limits were set, newest first."""

    def work(connection: Connection) -> list[dict[str, Any]]:
        query = select(budget_limit).order_by(budget_limit.c.id.desc()).limit(limit)
        return [dict(row) for row in connection.execute(query).mappings()]

    return work


@dataclass(frozen=True, slots=True)
class Room:
    """What standing budgets admit, in the tightest of them; None for no limit."""

    tokens: int | None
    micro: int | None


def room_of(agent: str, tenant: str, at: float) -> Work:
    """Two `Room`s: what the standing budgets of an agent and its tenant admit now, and what they would admit if
    all calls that are out cost nothing.
    """

    def work(connection: Connection) -> tuple[Room, Room]:
        scopes = open_windows(connection, agent, tenant, at)
        rows = connection.execute(select(budget).where(budget.c.id.in_(scopes))).mappings().all()
        now = Room(_least(rows, "tokens", "held"), _least(rows, "micro", "held"))
        return now, Room(_least(rows, "tokens"), _least(rows, "micro"))

    return work


def _least(rows: Sequence[RowMapping], unit: str, *less: str) -> int | None:
    left = [
        row[f"limit_{unit}"] - sum(row[f"{name}_{unit}"] for name in ("spent", *less))
        for row in rows
        if row[f"limit_{unit}"] is not None
    ]
    return min(left, default=None)
