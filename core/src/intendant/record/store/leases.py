"""Leases: a process takes a slice of standing budgets, and holds calls in it without updating their rows.

A lease is taken, used up and dissolved once. Dissolving needs only the rows of its holds, so any process can do
it, even if the owner is dead: closed holds are charged, open holds move to the budgets themselves, and the rest is
free again. Each function returns work for `Store.do`.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, insert, or_, select, update  # noqa: TID253

from intendant.record.rows import BudgetRow, Slice
from intendant.record.store import budgets, holds, windows
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work
from intendant.record.store.tables import hold, lease

CALLS = 256
"""A lease holds at most the worst case of this many calls like the first one."""
PART = 8
"""A lease takes at most one eighth of the remaining budget: near a limit, calls are held one by one."""


_ACCOUNTED = ("key", "state", "chain", "tokens", "micro", "spent_tokens", "spent_micro")


def renew(
    old: str | None, owner: str, agent: str, tenant: str, tokens: int, micro: int, now: float, seconds: float
) -> Work[Slice | None]:
    """Dissolve the lease *old* and take another, in one transaction.

    Args:
        old: The id of the lease to dissolve; None for none.
        owner: The process.
        agent: The agent of the budgets.
        tenant: The tenant of the budgets.
        tokens: The worst case of the next call, in tokens.
        micro: The same in micro-US$.
        now: Seconds since 1970.
        seconds: The TTL of the lease, in seconds.

    Returns (when the work is done):
        The slice; None if there is no standing limit, or too little is left for a lease.
    """

    def work(connection: Connection) -> Slice | None:
        if old is not None:
            _dissolve(connection, old)
        scopes = windows.open_windows(connection, agent, tenant, now)
        size = _size(connection, scopes, tokens, micro) if scopes else None
        if size is None:
            return None
        taken = Slice(f"l_{uuid4().hex}", *size)
        budgets.take(connection, scopes, *size)
        row = {"id": taken.id, "owner": owner, "agent": agent, "tenant": tenant, "chain": json.dumps(scopes)}
        amounts = {"tokens": taken.tokens, "micro": taken.micro, "created_at": now, "expires_at": now + seconds}
        connection.execute(insert(lease), {**row, **amounts, "state": "open"})
        return taken

    return work


def _size(connection: Connection, scopes: Sequence[str], tokens: int, micro: int) -> tuple[int, int] | None:
    rows = budgets.locked_rows(connection, scopes)
    size = _bounded(rows, "tokens", tokens), _bounded(rows, "micro", micro)
    return None if size[0] < tokens or size[1] < micro else size


def _bounded(rows: Iterable[BudgetRow], unit: str, asked: int) -> int:
    left = (budgets.left_in(row, unit) for row in rows)
    return min([asked * CALLS, *(amount // PART for amount in left if amount is not None)])


def recall(agent: str, tenant: str) -> Work[int]:
    """Dissolve all leases on the standing budgets of an agent and its tenant; returns how many."""
    return _all(or_(lease.c.agent == agent, lease.c.tenant == tenant))


def expire(now: float) -> Work[int]:
    """Dissolve expired leases; returns how many."""
    return _all(lease.c.expires_at < now)


def give_back(owner: str) -> Work[int]:
    """Dissolve all leases of a process that ends; returns how many."""
    return _all(lease.c.owner == owner)


def _all(which: Any) -> Work[int]:
    def work(connection: Connection) -> int:
        query = select(lease.c.id).where(lease.c.state == "open", which).order_by(lease.c.id)
        ids = connection.execute(query.with_for_update()).scalars().all()
        if not ids:
            return 0
        # Every transaction locks in this order: leases, holds, budgets.
        connection.execute(select(hold.c.key).where(hold.c.lease.in_(ids)).order_by(hold.c.key).with_for_update())
        chains = connection.execute(select(lease.c.chain).where(lease.c.id.in_(ids))).scalars()
        budgets.lock(session_of(connection), sorted({scope for chain in chains for scope in json.loads(chain)}))
        return sum(_dissolve(connection, lease_id) for lease_id in ids)

    return work


def dissolve_all_of(connection: Connection, scope: str) -> None:
    """Dissolve all leases on the budgets of *scope*, such as `agent:mailer`."""
    kind, _, name = scope.partition(":")
    _all((lease.c.agent if kind == "agent" else lease.c.tenant) == name)(connection)


def _dissolve(connection: Connection, lease_id: str) -> bool:
    statement = update(lease).where(lease.c.id == lease_id, lease.c.state == "open").values(state="closed")
    found = connection.execute(statement.returning(lease.c.tokens, lease.c.micro, lease.c.chain)).first()
    if found is None:
        return False
    scopes = json.loads(found.chain)
    query = select(*(hold.c[name] for name in _ACCOUNTED)).where(hold.c.lease == lease_id)
    rows = connection.execute(query.with_for_update()).mappings().all()
    still = [row for row in rows if row["state"] == "held"]
    for row in still:
        holds.move_to(connection, row["key"], [*json.loads(row["chain"]), *scopes])
    kept = {unit: sum(row[unit] for row in still) for unit in ("tokens", "micro")}
    spent = {unit: sum(row[f"spent_{unit}"] or 0 for row in rows) for unit in ("tokens", "micro")}
    off = found.tokens - kept["tokens"], found.micro - kept["micro"]
    budgets.move(connection, scopes, *off, spent["tokens"], spent["micro"])
    return True
