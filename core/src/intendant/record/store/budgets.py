"""Budgets and holds as transactions: each function returns work for `Store.do`.

The invariant `spent + held <= limit` is a CHECK of the table; the conditional UPDATE only makes its refusal
polite. Held tokens become spent, or free again, but never vanish. A hold is closed exactly once: settled by the
provider's figures, released where nothing was charged, or charged in full where the truth is not known; that last
is put right by a credit when it is. Rows of the ledger are only ever added.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from time import time
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, bindparam, case, func, insert, or_, select, update  # noqa: TID253

from intendant.model.errors import BudgetExceeded, StoreError
from intendant.record.store import limits
from intendant.record.store.statements import Statement, named, names
from intendant.record.store.tables import budget, hold, lease, ledger

Work = Callable[[Connection], Any]
Outcome = Literal["settled", "credited", "closed"]
"""What became of a hold: charged; charged in full before, and credited now; or closed already, and left alone."""
TRIES = 8
"""So many tries at a call are looked for at a time."""
CHARGES = ("settle", "in_doubt", "expire", "credit")
"""The kinds of ledger rows, whose sum is what was charged. (Older versions booked holds and releases as well.)"""


class LeaseLost(StoreError):
    """The lease that was to hold a call was closed by another process; nothing is held."""


@dataclass(frozen=True, slots=True)
class HoldRow:
    """A hold to be made."""

    key: str
    run_id: str
    step_key: str
    epoch: int
    scope: str
    provider: str
    model: str
    tokens: int
    micro: int
    price_version: str
    expires_at: float
    agent: str = "default"
    tenant: str = "default"
    created_at: float = field(default_factory=time)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a call took."""

    input_tokens: int
    output_tokens: int
    micro: int

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


NOTHING = Spent(0, 0, 0)


class Closed(NamedTuple):
    """A hold as it was when it was closed."""

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


# --- statements ---

_total = {unit: budget.c[f"spent_{unit}"] + budget.c[f"held_{unit}"] for unit in ("tokens", "micro")}


def _fits(unit: str) -> Any:
    limit = budget.c[f"limit_{unit}"]
    return or_(limit.is_(None), _total[unit] + bindparam(unit) <= limit)


@lru_cache(maxsize=32)
def _take(count: int) -> Statement:
    """Hold in each of *count* budgets that admits it; returns those that do."""
    statement = update(budget).where(budget.c.id.in_(names(count)), _fits("tokens"), _fits("micro"))
    more = {f"held_{unit}": budget.c[f"held_{unit}"] + bindparam(unit) for unit in ("tokens", "micro")}
    return Statement(statement.values(more).returning(budget.c.id))


@lru_cache(maxsize=32)
def _move(count: int) -> Statement:
    """Take `off_…` away from what is held in *count* budgets, and add `on_…` to what is spent."""
    values: dict[str, Any] = {}
    for unit in ("tokens", "micro"):
        off: Any = bindparam(f"off_{unit}")
        on: Any = bindparam(f"on_{unit}")
        values[f"held_{unit}"] = budget.c[f"held_{unit}"] - off
        values[f"spent_{unit}"] = budget.c[f"spent_{unit}"] + on
        values[f"limit_{unit}"] = _followed(unit, _total[unit] - off + on)
    return Statement(update(budget).where(budget.c.id.in_(names(count))).values(values))


def _followed(unit: str, total: Any) -> Any:
    """A limit that was lowered below what was spent or held follows *total* down to what it was set to."""
    limit, wanted = budget.c[f"limit_{unit}"], budget.c[f"wanted_{unit}"]
    down = case((total > wanted, total), else_=wanted)
    return case((limit > wanted, case((total <= limit, down), else_=limit)), else_=limit)


@lru_cache(maxsize=32)
def _locked(count: int) -> Statement:
    chosen = select(budget.c.id).where(budget.c.id.in_(names(count)))
    return Statement(chosen.order_by(budget.c.id).with_for_update())


_HOLD = Statement(insert(hold).values({name: bindparam(name) for name in hold.c.keys() if name != "reply"}))  # noqa: SIM118
_BOOK = Statement(insert(ledger).values({name: bindparam(name) for name in ledger.c.keys() if name != "id"}))  # noqa: SIM118
_LEASE = Statement(
    select(lease.c.state, lease.c.chain).where(lease.c.id == bindparam("id")).with_for_update(read=True)
)


_TRIES = Statement(select(hold).where(hold.c.key.in_(names(TRIES))))


def _closing(state: str) -> Statement:
    """Close a hold that is in *state*; of two who try, one gets its row."""
    within = {
        f"spent_{unit}": case(
            (bindparam(f"now_{unit}") < hold.c[unit], bindparam(f"now_{unit}")), else_=hold.c[unit]
        )
        for unit in ("tokens", "micro")
    }
    statement = update(hold).where(hold.c.key == bindparam("of"), hold.c.state == state)
    values = {"state": bindparam("into"), "reply": bindparam("answer"), **within}
    return Statement(statement.values(values).returning(*(hold.c[name] for name in Closed._fields)))


_CLOSE, _CORRECT = _closing("held"), _closing("in_doubt")


# --- work ---


def open_budgets(rows: Sequence[dict[str, Any]]) -> Work:
    """Add budgets: maps with `id`, `parent`, `limit_tokens`, `limit_micro`; what is there stays as it is."""

    def work(connection: Connection) -> None:
        for row in rows:
            limits.add_budget(connection, row)

    return work


def raise_limit(scope: str, tokens: int) -> Work:
    """Add *tokens* to the limit of a budget."""

    def work(connection: Connection) -> None:
        statement = update(budget).where(budget.c.id == scope, budget.c.limit_tokens.is_not(None))
        connection.execute(statement.values(limit_tokens=budget.c.limit_tokens + tokens))

    return work


def set_limits(scope: str, tokens: int | None, micro: int | None) -> Work:
    """Set the limits of a budget; None leaves one as it is.

    Raises (when the work is done):
        BudgetExceeded: More is spent and held already.
    """

    def work(connection: Connection) -> None:
        row = connection.execute(select(budget).where(budget.c.id == scope)).mappings().one()
        for unit, limit in (("tokens", tokens), ("micro", micro)):
            used = row[f"spent_{unit}"] + row[f"held_{unit}"]
            if limit is not None and used > limit:
                raise BudgetExceeded(scope, "tokens" if unit == "tokens" else "micro_usd", used, limit)
        values = {"limit_tokens": tokens, "limit_micro": micro}
        changed = {name: value for name, value in values.items() if value is not None}
        if changed:
            connection.execute(update(budget).where(budget.c.id == scope).values(changed))

    return work


def states_of_run(run_id: str) -> Work:
    """The rows of a run's budget and of its steps', by id."""
    first, last = f"step:{run_id}/", f"step:{run_id}0"  # "0" follows "/"
    of_steps = (budget.c.id > first) & (budget.c.id < last)

    def work(connection: Connection) -> dict[str, dict[str, Any]]:
        rows = connection.execute(select(budget).where(or_(budget.c.id == f"run:{run_id}", of_steps)))
        return {row["id"]: dict(row) for row in rows.mappings()}

    return work


def reserve(row: HoldRow, chain: Sequence[str], lease_id: str | None = None) -> Work:
    """Hold the worst case of a call in every budget of *chain* and in every standing one, or in none.

    Args:
        row: The hold.
        chain: The budgets of the run and the step.
        lease_id: The lease that holds it in the standing budgets of its agent and tenant; None to hold it there
            itself. Either way the hold has a row of its own before the call is sent, which is what a crash leaves
            to be found: a lease replaces UPDATEs of rows that many processes want, never the record of a call.

    Raises (when the work is done):
        BudgetExceeded: A budget does not admit it: the one that admits least.
        LeaseLost: The lease was closed by another process.
    """

    def work(connection: Connection) -> None:
        scopes = tuple(chain)
        if lease_id is not None:
            _check_lease(connection, lease_id)
        else:
            scopes += limits.open_windows(connection, row.agent, row.tenant, row.created_at)
        take(connection, scopes, row.tokens, row.micro)
        values = {name: getattr(row, name) for name in HoldRow.__slots__}
        _HOLD(
            connection,
            **values,
            state="held",
            chain=json.dumps(scopes),
            lease=lease_id,
            spent_tokens=None,
            spent_micro=None,
        )

    return work


def _check_lease(connection: Connection, lease_id: str) -> None:
    found = _LEASE(connection, id=lease_id).fetchone()
    if found is None or found[0] != "open":
        raise LeaseLost(f"the lease {lease_id} was closed")


def take(connection: Connection, scopes: Sequence[str], tokens: int, micro: int) -> None:
    """Hold in all of *scopes*.

    Raises:
        BudgetExceeded: One does not admit it; then the transaction must be undone.
    """
    if not scopes:
        return
    lock(connection, scopes)
    admitted = _take(len(scopes))(connection, **named(scopes), tokens=tokens, micro=micro).fetchall()
    if len(admitted) < len(scopes):
        ids = {row[0] for row in admitted}
        raise _refusal(connection, [scope for scope in scopes if scope not in ids], tokens, micro)


def lock(connection: Connection, scopes: Sequence[str]) -> None:
    """Lock budgets in the order of their ids where a database locks rows: else two may wait in a circle."""
    if connection.dialect.name == "postgresql" and len(scopes) > 1:
        _locked(len(scopes))(connection, **named(scopes)).fetchall()


def _refusal(connection: Connection, scopes: Sequence[str], tokens: int, micro: int) -> BudgetExceeded:
    """Names the budget that admits least of those that refused."""
    refused: list[tuple[float, BudgetExceeded]] = []
    for row in connection.execute(select(budget).where(budget.c.id.in_(scopes))).mappings():
        for unit, asked in (("tokens", tokens), ("micro", micro)):
            if row[f"limit_{unit}"] is None:
                continue
            left = row[f"limit_{unit}"] - row[f"spent_{unit}"] - row[f"held_{unit}"]
            if asked > left:
                shown = "tokens" if unit == "tokens" else "micro_usd"
                refused.append((left / asked, BudgetExceeded(row["id"], shown, asked, left)))
    if not refused:
        raise StoreError(f"there are no budgets {', '.join(scopes)}")
    return min(refused, key=lambda item: item[0])[1]


def settle(key: str, spent: Spent, reply: str | None) -> Work:
    """Turn a hold into what was spent, once only; returns an `Outcome`.

    A hold that was charged in full meanwhile, because it expired, is credited. A call that took more than was held
    (which a correct worst case rules out) is charged as far as the limits admit, so that no later call passes;
    what is beyond the hold is booked as overrun, where it cannot go unseen.
    """

    def work(connection: Connection) -> Outcome:
        values = {"of": key, "answer": reply, "now_tokens": spent.tokens, "now_micro": spent.micro}
        row = _CLOSE(connection, **values, into="settled").fetchone()
        if row is not None:
            closed = Closed(*row)
            within = min(spent.tokens, closed.tokens), min(spent.micro, closed.micro)
            _free(connection, closed.scopes, closed.tokens, closed.micro, *within)
            _book_charge(connection, closed, key, "settle", spent, spent)
            return "settled"
        row = _CORRECT(connection, **values, into="settled").fetchone()
        if row is not None:
            _credit(connection, Closed(*row), key, spent)
            return "credited"
        return "closed"

    return work


def charge(key: str, kind: Literal["in_doubt", "expire"] = "in_doubt") -> Work:
    """Charge a hold in full, once only: the truth is not known; returns an `Outcome`.

    `settle` puts it right when it is.
    """

    def work(connection: Connection) -> Outcome:
        everything = 2**62  # clamped to what was held
        values = {"of": key, "answer": None, "now_tokens": everything, "now_micro": everything}
        row = _CLOSE(connection, **values, into="in_doubt").fetchone()
        if row is None:
            return "closed"
        closed = Closed(*row)
        _free(connection, closed.scopes, closed.tokens, closed.micro, closed.tokens, closed.micro)
        _book(connection, closed, key, kind, Spent(0, closed.tokens, closed.micro))
        return "settled"

    return work


def release(key: str) -> Work:
    """Give a hold back: nothing was charged; returns an `Outcome`. One that was charged in full is credited."""

    def work(connection: Connection) -> Outcome:
        values = {"of": key, "answer": None, "now_tokens": 0, "now_micro": 0, "into": "released"}
        row = _CLOSE(connection, **values).fetchone()
        if row is not None:
            closed = Closed(*row)
            _free(connection, closed.scopes, closed.tokens, closed.micro, 0, 0)
            return "settled"
        row = _CORRECT(connection, **values).fetchone()
        if row is not None:
            _credit(connection, Closed(*row), key, NOTHING)
            return "credited"
        return "closed"

    return work


def expire(now: float, limit: int = 500) -> Work:
    """Charge holds whose time is over in full; returns how many.

    Args:
        now: Seconds since 1970. A clock that runs ahead does no harm: what is charged too early is credited when
            its call ends.
        limit: At most so many in one transaction.
    """

    def work(connection: Connection) -> int:
        overdue = select(hold.c.key).where(hold.c.state == "held", hold.c.expires_at < now)
        chosen = overdue.order_by(hold.c.expires_at).limit(limit).with_for_update(skip_locked=True)
        keys = connection.execute(chosen).scalars().all()
        return sum(charge(key, "expire")(connection) == "settled" for key in keys)

    return work


def _credit(connection: Connection, closed: Closed, key: str, spent: Spent) -> None:
    """Put a hold right that was charged in full: a row of the ledger with the difference, below zero as a rule."""
    scopes = (*closed.scopes, *_standing_of(connection, closed))
    within = min(spent.tokens, closed.tokens), min(spent.micro, closed.micro)
    _free(connection, scopes, 0, 0, within[0] - closed.tokens, within[1] - closed.micro)
    difference = Spent(spent.input_tokens, spent.output_tokens - closed.tokens, spent.micro - closed.micro)
    _book_charge(connection, closed, key, "credit", spent, difference)


def _standing_of(connection: Connection, closed: Closed) -> tuple[str, ...]:
    """The budgets in which the hold's lease was accounted for already; none while the lease is open."""
    found = None if closed.lease is None else _LEASE(connection, id=closed.lease).fetchone()
    return tuple(json.loads(found[1])) if found is not None and found[0] == "closed" else ()


def _free(
    connection: Connection, scopes: Sequence[str], off_tokens: int, off_micro: int, on_tokens: int, on_micro: int
) -> None:
    if scopes:
        lock(connection, scopes)
        amounts = {"off_tokens": off_tokens, "off_micro": off_micro, "on_tokens": on_tokens, "on_micro": on_micro}
        _move(len(scopes))(connection, **named(scopes), **amounts)


move = _free
"""Take amounts off what is held in budgets, and add amounts to what is spent there."""


def _book_charge(connection: Connection, closed: Closed, key: str, kind: str, spent: Spent, booked: Spent) -> None:
    """Book a charge, and what went beyond the hold."""
    more_tokens, more_micro = spent.tokens - closed.tokens, spent.micro - closed.micro
    if more_tokens > 0 or more_micro > 0:
        _charge_more(connection, closed, more_tokens, more_micro)
    _book(connection, closed, key, kind, booked, max(0, more_tokens))


def _charge_more(connection: Connection, closed: Closed, tokens: int, micro: int) -> None:
    """Charge what went beyond a hold, in each budget up to its limit."""
    found = None if closed.lease is None else _LEASE(connection, id=closed.lease).fetchone()
    scopes = {*closed.scopes, *(json.loads(found[1]) if found else ())}
    query = select(budget).where(budget.c.id.in_(scopes)).order_by(budget.c.id).with_for_update()
    for row in connection.execute(query).mappings().all():
        more = {"spent_tokens": max(0, tokens), "spent_micro": max(0, micro)}
        for unit in ("tokens", "micro"):
            limit = row[f"limit_{unit}"]
            if limit is not None:
                free = limit - row[f"spent_{unit}"] - row[f"held_{unit}"]
                more[f"spent_{unit}"] = min(more[f"spent_{unit}"], max(0, free))
        values = {name: row[name] + amount for name, amount in more.items()}
        connection.execute(update(budget).where(budget.c.id == row["id"]).values(values))


def _book(connection: Connection, of: Closed, key: str, kind: str, spent: Spent, overrun: int = 0) -> None:
    """A row of the ledger; only ever added."""
    _BOOK(
        connection,
        hold_key=key,
        run_id=of.run_id,
        step_key=of.step_key,
        kind=kind,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        micro=spent.micro,
        overrun_tokens=overrun,
        price_version=of.price_version,
        at=time(),
    )


# --- questions ---


def holds_of_call(base: str) -> Work:
    """The holds of a call and of its repetitions (keys `base`, `base~1`, …), in the order of their tries."""

    def work(connection: Connection) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while len(found) % TRIES == 0:
            # By their whole keys: SQLite uses no index for LIKE, and PostgreSQL's order of `~` is the locale's.
            keys = [f"{base}~{number}" if number else base for number in range(len(found), len(found) + TRIES)]
            rows = {row[0]: row for row in _TRIES(connection, **named(keys)).fetchall()}
            found += [dict(zip(hold.c.keys(), rows[key], strict=True)) for key in keys if key in rows]
            if not rows:
                break
        return found

    return work


def state_of(scope: str) -> Work:
    """A budget's row, or None."""

    def work(connection: Connection) -> dict[str, Any] | None:
        row = connection.execute(select(budget).where(budget.c.id == scope)).mappings().first()
        return dict(row) if row else None

    return work


def totals_of_run(run_id: str) -> Work:
    """What the ledger says of a run: tokens and micro-US$ charged, and holds still open."""

    def work(connection: Connection) -> dict[str, int]:
        charged = connection.execute(
            select(
                func.coalesce(func.sum(ledger.c.input_tokens + ledger.c.output_tokens), 0),
                func.coalesce(func.sum(ledger.c.micro), 0),
            ).where(ledger.c.run_id == run_id, ledger.c.kind.in_(CHARGES))
        ).one()
        open_holds = connection.execute(
            select(func.count()).select_from(hold).where(hold.c.run_id == run_id, hold.c.state == "held")
        ).scalar_one()
        return {"tokens": int(charged[0]), "micro_usd": int(charged[1]), "open_holds": int(open_holds)}

    return work
