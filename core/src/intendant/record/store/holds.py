"""The life cycle of a hold: reserve, then settle, charge or release.

A hold is closed exactly once: settled with the usage that the provider reports, released if nothing was charged,
or charged in full if the usage is unknown. In the last case `settle` or `release` book a credit once it is known.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter, itemgetter
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, case, select, update  # noqa: TID253

from intendant.model.errors import StoreError
from intendant.record.rows import BudgetRow, HoldRow, Spent
from intendant.record.store import budgets, windows
from intendant.record.store.bookings import Charges, book
from intendant.record.store.digests import EVERYTHING, HOLD, NONE, new_salt
from intendant.record.store.session import Insert, Session, buffered, session_of
from intendant.record.store.statements import Statement, Work, columns, named, names
from intendant.record.store.tables import budget, hold, lease

Outcome = Literal["settled", "credited", "closed"]
"""Closed now; charged in full earlier and credited now; or closed earlier and left unchanged."""
TRIES = 8
"""How many attempts at a call one query looks for."""
NOTHING = Spent(0, 0, 0)


class LeaseLost(StoreError):
    """Another process has closed the lease in which a call should be held; nothing is held."""


# --- statements ---

_FIELDS = HoldRow.__slots__
_HOLDS = Insert(hold, _FIELDS)
_values = attrgetter(*_FIELDS)
_CHAIN, _LEASED = _FIELDS.index("chain"), _FIELDS.index("lease")
_covered = itemgetter(*(_FIELDS.index(name) for name in HOLD.columns))
"""The fields of a hold that its digest covers."""
_LEASE = Statement(
    select(lease.c.state, lease.c.chain).where(lease.c.id == bindparam("id")).with_for_update(read=True)
)
_TRIES = Statement(select(*columns(hold, HoldRow)).where(hold.c.key.in_(names(TRIES))))
_OVERDUE = Statement(
    select(hold.c.key, hold.c.sending)
    .where(hold.c.state == "held", hold.c.expires_at < bindparam("now"))
    .order_by(hold.c.expires_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


def _closing(state: str) -> Statement:
    """Close a hold that is in *state*; of two concurrent attempts, only one gets the row."""
    within = {
        f"spent_{unit}": case(
            (bindparam(f"now_{unit}") < hold.c[unit], bindparam(f"now_{unit}")), else_=hold.c[unit]
        )
        for unit in ("tokens", "micro")
    }
    statement = update(hold).where(hold.c.key == bindparam("of"), hold.c.state == state)
    values = {"state": bindparam("into"), "reply": bindparam("answer"), "salt": bindparam("new_salt"), **within}
    return Statement(statement.values(values).returning(*columns(hold, HoldRow)))


_CLOSE, _CORRECT = _closing("held"), _closing("in_doubt")


# --- work ---


def reserve(
    row: HoldRow, chain: Sequence[str], lease_id: str | None = None, prepare: Work[None] | None = None
) -> Work[None]:
    """Hold the worst case of a call in every budget of *chain* and in every standing budget, or in none.

    Args:
        row: The hold; this sets its `chain` and `lease`.
        chain: The budgets of the run and the step.
        lease_id: The lease that covers the standing budgets of the agent and the tenant; None to hold the call in
            these directly. In either case the hold has its own row before the call is sent, which survives a
            crash: a lease replaces UPDATEs of contended rows, never the record of a call.
        prepare: Work to do first, in the same transaction.

    Raises (when the work is done):
        BudgetExceeded: A budget does not admit it; names the budget that admits least.
        LeaseLost: Another process closed the lease.
    """

    @buffered
    def work(connection: Connection) -> None:
        if prepare is not None:
            prepare(connection)
        scopes = tuple(chain)
        if lease_id is not None:
            _check_lease(connection, lease_id)
        else:
            scopes += windows.open_windows(connection, row.agent, row.tenant, row.created_at)
        budgets.take(connection, scopes, row.tokens, row.micro)
        session, values = session_of(connection), list(_values(row))
        values[_CHAIN], values[_LEASED] = json.dumps(scopes), lease_id
        session.add(_HOLDS, values)
        HOLD.note(session, _covered(values), **_whose(session, row.run_id, NONE))

    return work


def _check_lease(connection: Connection, lease_id: str) -> None:
    found = _LEASE(connection, id=lease_id).fetchone()
    if found is None or found[0] != "open":
        raise LeaseLost(f"the lease {lease_id} was closed")


def settle(key: str, spent: Spent, reply: str | None) -> Work[Outcome]:
    """Replace a hold by the actual usage, exactly once.

    A hold that has expired, and was charged in full, is credited. A call that used more than was held, which a
    correct worst case rules out, is charged up to the limits, so that no later call is admitted; the rest is
    booked as an overrun, which reports show.
    """

    @buffered
    def work(connection: Connection) -> Outcome:
        closed = _close(connection, _CLOSE, key, "settled", spent, reply)
        if closed is not None:
            within = min(spent.tokens, closed.tokens), min(spent.micro, closed.micro)
            budgets.move(connection, closed.scopes, closed.tokens, closed.micro, *within)
            _book_charge(connection, closed, "settle", spent, spent)
            return "settled"
        return _correct(connection, key, "settled", spent, reply)

    return work


def charge(key: str, kind: Literal["in_doubt", "expire"] = "in_doubt") -> Work[Outcome]:
    """Charge a hold in full, exactly once, because the usage is unknown. `settle` or `release` correct it."""

    @buffered
    def work(connection: Connection) -> Outcome:
        everything = Spent(0, 2**62, 2**62)  # clamped to what was held
        closed = _close(connection, _CLOSE, key, "in_doubt", everything, None)
        if closed is None:
            return "closed"
        budgets.move(connection, closed.scopes, closed.tokens, closed.micro, closed.tokens, closed.micro)
        book(session_of(connection), closed, kind, Spent(0, closed.tokens, closed.micro))
        return "settled"

    return work


def release(key: str) -> Work[Outcome]:
    """Release a hold because nothing was charged. A hold that was charged in full is credited."""

    @buffered
    def work(connection: Connection) -> Outcome:
        closed = _close(connection, _CLOSE, key, "released", NOTHING, None)
        if closed is not None:
            budgets.move(connection, closed.scopes, closed.tokens, closed.micro, 0, 0)
            return "settled"
        return _correct(connection, key, "released", NOTHING, None)

    return work


def expire(now: float, limit: int = 500) -> Work[int]:
    """Charge expired holds in full, and release those of calls that were never sent; returns how many.

    Args:
        now: Seconds since 1970. A clock that runs ahead does no harm: a hold that is charged too early is credited
            when its call ends.
        limit: Maximum number of holds in one transaction.
    """

    def work(connection: Connection) -> int:
        found = _OVERDUE(connection, now=now, most=limit).fetchall()
        closed = (charge(key, "expire") if sending else release(key) for key, sending in found)
        return sum(close(connection) == "settled" for close in closed)

    return work


def holds_of_call(base: str) -> Work[list[HoldRow]]:
    """The holds of a call and of its repetitions (keys `base`, `base~1`, …), in the order of their tries."""

    def work(connection: Connection) -> list[HoldRow]:
        found: list[HoldRow] = []
        while len(found) % TRIES == 0:
            # By their whole keys: SQLite uses no index for LIKE, and PostgreSQL's order of `~` is the locale's.
            keys = [f"{base}~{number}" if number else base for number in range(len(found), len(found) + TRIES)]
            rows = {row[0]: HoldRow(*row) for row in _TRIES(connection, **named(keys)).fetchall()}
            found += [rows[key] for key in keys if key in rows]
            if not rows:
                break
        return found

    return work


def mark_sending(key: str) -> Work[None]:
    """Note that a call that had to queue is sent now: from here on it may be charged.

    Raises (when the work is done):
        StoreError: Its hold is not open any more.
    """

    def work(connection: Connection) -> None:
        statement = update(hold).where(hold.c.key == key, hold.c.state == "held").values(sending=1)
        if connection.execute(statement).rowcount == 0:
            raise StoreError(f"the hold {key} was closed before its call was sent")
        HOLD.note_current(session_of(connection), key)

    return work


def move_to(connection: Connection, key: str, scopes: Sequence[str]) -> None:
    """Hold a call in *scopes* themselves from now on, and in no lease, whichever process owns its run."""
    session = session_of(connection)
    was = HOLD.current(session, key)
    values = {"chain": json.dumps(scopes), "lease": None}
    connection.execute(update(hold).where(hold.c.key == key).values(values))
    row = connection.execute(select(hold.c.run_id).where(hold.c.key == key)).one()
    HOLD.note_current(session, key, chain=EVERYTHING, was=was, run=row.run_id)


# --- closing ---


def _close(
    connection: Connection, statement: Statement, key: str, into: str, spent: Spent, reply: str | None
) -> HoldRow | None:
    """The hold, closed now; None if it is not in the state that *statement* closes."""
    session = session_of(connection)
    session.flush(_HOLDS)
    was = HOLD.current(session, key) if session.chain == EVERYTHING else NONE
    values: dict[str, Any] = {"of": key, "into": into, "answer": reply}
    values |= {"new_salt": None if reply is None else new_salt()}
    values |= {"now_tokens": spent.tokens, "now_micro": spent.micro}
    row: Any = statement.on(session, values).fetchone()
    if row is None:
        return None
    closed = HoldRow(*row)
    HOLD.note(session, _covered(row), **_whose(session, closed.run_id, was))
    return closed


def _whose(session: Session, run_id: str, was: str) -> dict[str, str]:
    """What a commitment says besides, where it is not in the chain of the hold's run."""
    return {"was": was, "run": run_id} if session.chain == EVERYTHING else {}


def _correct(connection: Connection, key: str, into: str, spent: Spent, reply: str | None) -> Outcome:
    """Credit a hold that was charged in full: a row of the ledger with the difference, usually below zero."""
    closed = _close(connection, _CORRECT, key, into, spent, reply)
    if closed is None:
        return "closed"
    scopes = (*closed.scopes, *_standing_of(connection, closed))
    within = min(spent.tokens, closed.tokens), min(spent.micro, closed.micro)
    budgets.move(connection, scopes, 0, 0, within[0] - closed.tokens, within[1] - closed.micro)
    difference = replace(
        spent, output_tokens=spent.output_tokens - closed.tokens, micro=spent.micro - closed.micro
    )
    _book_charge(connection, closed, "credit", spent, difference)
    return "credited"


def _standing_of(connection: Connection, closed: HoldRow) -> tuple[str, ...]:
    """The budgets in which the hold's lease was accounted for already; none while the lease is open."""
    found = None if closed.lease is None else _LEASE(connection, id=closed.lease).fetchone()
    return tuple(json.loads(found[1])) if found is not None and found[0] == "closed" else ()


def _book_charge(connection: Connection, closed: HoldRow, kind: str, spent: Spent, booked: Spent) -> None:
    """Book *booked* for a call that took *spent*, and charge what went beyond its hold."""
    more_tokens, more_micro = spent.tokens - closed.tokens, spent.micro - closed.micro
    beyond = None
    if more_tokens > 0 or more_micro > 0:
        beyond = _charge_more(connection, closed, max(0, more_tokens), max(0, more_micro))
    book(session_of(connection), closed, kind, booked, max(0, more_tokens), beyond)


def _charge_more(connection: Connection, closed: HoldRow, tokens: int, micro: int) -> Charges:
    """Charge what went beyond a hold, in each budget up to its limit; returns what each was charged with."""
    found = None if closed.lease is None else _LEASE(connection, id=closed.lease).fetchone()
    scopes = {*closed.scopes, *(json.loads(found[1]) if found else ())}
    charged: Charges = {}
    for row in budgets.locked_rows(connection, tuple(scopes)):
        more = min(tokens, _free(row, "tokens", tokens)), min(micro, _free(row, "micro", micro))
        values = {"spent_tokens": row.spent_tokens + more[0], "spent_micro": row.spent_micro + more[1]}
        connection.execute(update(budget).where(budget.c.id == row.id).values(values))
        charged[row.id] = more
    return charged


def _free(row: BudgetRow, unit: str, unlimited: int) -> int:
    left = budgets.left_in(row, unit)
    return max(0, unlimited if left is None else left)
