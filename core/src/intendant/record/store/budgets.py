"""Budgets and holds as transactions: each function returns work for `Store.do`.

The invariant `spent + held <= limit` is a CHECK of the table; the conditional UPDATEs only make its refusal
polite. Held tokens become spent, or free again, but never vanish.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, or_, select, update  # noqa: TID253

from intendant.model.errors import BudgetExceeded
from intendant.record.store.tables import budget, hold, ledger

Work = Callable[[Connection], Any]


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


def open_budgets(rows: Sequence[Mapping[str, Any]]) -> Work:
    """Add budgets: maps with `id`, `parent`, `limit_tokens`, `limit_micro`."""

    def work(connection: Connection) -> None:
        if rows:
            connection.execute(insert(budget), [dict(row) for row in rows])

    return work


def raise_limit(scope: str, tokens: int) -> Work:
    """Add *tokens* to the limit of a budget."""

    def work(connection: Connection) -> None:
        statement = update(budget).where(budget.c.id == scope, budget.c.limit_tokens.is_not(None))
        connection.execute(statement.values(limit_tokens=budget.c.limit_tokens + tokens))

    return work


def reserve(row: HoldRow, chain: Sequence[str]) -> Work:
    """Hold the worst case of a call in every budget of *chain*, or in none.

    Raises (when the work is done):
        BudgetExceeded: A budget of the chain does not admit it.
    """

    def work(connection: Connection) -> None:
        for scope in chain:
            taken = connection.execute(
                update(budget)
                .where(
                    budget.c.id == scope,
                    or_(
                        budget.c.limit_tokens.is_(None),
                        budget.c.spent_tokens + budget.c.held_tokens + row.tokens <= budget.c.limit_tokens,
                    ),
                    or_(
                        budget.c.limit_micro.is_(None),
                        budget.c.spent_micro + budget.c.held_micro + row.micro <= budget.c.limit_micro,
                    ),
                )
                .values(held_tokens=budget.c.held_tokens + row.tokens, held_micro=budget.c.held_micro + row.micro)
            )
            if taken.rowcount == 0:
                raise _refusal(connection, scope, row)
        values = {name: getattr(row, name) for name in HoldRow.__slots__}
        connection.execute(insert(hold), {**values, "state": "held", "created_at": time()})
        _book(connection, row.key, "reserve", Spent(0, row.tokens, row.micro))

    return work


def _refusal(connection: Connection, scope: str, row: HoldRow) -> BudgetExceeded:
    found = connection.execute(select(budget).where(budget.c.id == scope)).mappings().one()
    if found["limit_tokens"] is not None:
        left = found["limit_tokens"] - found["spent_tokens"] - found["held_tokens"]
        if row.tokens > left:
            return BudgetExceeded(scope, "tokens", row.tokens, left)
    left = found["limit_micro"] - found["spent_micro"] - found["held_micro"]
    return BudgetExceeded(scope, "micro_usd", row.micro, left)


def settle(key: str, chain: Sequence[str], spent: Spent, reply: str | None, *, in_doubt: bool = False) -> Work:
    """Turn a hold into what was spent; once only.

    A call that took more than was held (which a correct worst case rules out) is charged as far as the limits
    admit, so that no later call passes; what is beyond the hold is booked as overrun, where it cannot go unseen.
    """

    def work(connection: Connection) -> bool:
        held = connection.execute(select(hold).where(hold.c.key == key)).mappings().one()
        state = "in_doubt" if in_doubt else "settled"
        closed = connection.execute(
            update(hold).where(hold.c.key == key, hold.c.state == "held").values(state=state, reply=reply)
        )
        if closed.rowcount == 0:
            return False
        _free(connection, chain, held, min(spent.tokens, held["tokens"]), min(spent.micro, held["micro"]))
        _charge_more(connection, chain, spent.tokens - held["tokens"], spent.micro - held["micro"])
        overrun = max(0, spent.tokens - held["tokens"])
        _book(connection, key, "in_doubt" if in_doubt else "settle", spent, overrun)
        return True

    return work


def release(key: str, chain: Sequence[str]) -> Work:
    """Give a hold back: nothing was charged."""

    def work(connection: Connection) -> None:
        held = connection.execute(select(hold).where(hold.c.key == key)).mappings().one()
        closed = connection.execute(
            update(hold).where(hold.c.key == key, hold.c.state == "held").values(state="released")
        )
        if closed.rowcount:
            _free(connection, chain, held, 0, 0)
            _book(connection, key, "release", Spent(0, 0, 0))

    return work


def _free(connection: Connection, chain: Sequence[str], held: RowMapping, tokens: int, micro: int) -> None:
    connection.execute(
        update(budget)
        .where(budget.c.id.in_(chain))
        .values(
            held_tokens=budget.c.held_tokens - held["tokens"],
            held_micro=budget.c.held_micro - held["micro"],
            spent_tokens=budget.c.spent_tokens + tokens,
            spent_micro=budget.c.spent_micro + micro,
        )
    )


def _charge_more(connection: Connection, chain: Sequence[str], tokens: int, micro: int) -> None:
    """Charge what went beyond a hold, in each budget up to its limit."""
    if tokens <= 0 and micro <= 0:
        return
    for row in connection.execute(select(budget).where(budget.c.id.in_(chain))).mappings().all():
        more = {"spent_tokens": max(0, tokens), "spent_micro": max(0, micro)}
        for unit in ("tokens", "micro"):
            limit = row[f"limit_{unit}"]
            if limit is not None:
                free = limit - row[f"spent_{unit}"] - row[f"held_{unit}"]
                more[f"spent_{unit}"] = min(more[f"spent_{unit}"], max(0, free))
        values = {name: row[name] + amount for name, amount in more.items()}
        connection.execute(update(budget).where(budget.c.id == row["id"]).values(values))


def _book(connection: Connection, key: str, kind: str, spent: Spent, overrun: int = 0) -> None:
    """A row of the ledger; only ever added."""
    row = connection.execute(
        select(hold.c.run_id, hold.c.step_key, hold.c.price_version).where(hold.c.key == key)
    ).one()
    connection.execute(
        insert(ledger),
        {
            "hold_key": key,
            "run_id": row.run_id,
            "step_key": row.step_key,
            "kind": kind,
            "input_tokens": spent.input_tokens,
            "output_tokens": spent.output_tokens,
            "micro": spent.micro,
            "overrun_tokens": overrun,
            "price_version": row.price_version,
            "at": time(),
        },
    )


def holds_of_call(base: str) -> Work:
    """The holds of a call and of its repetitions (keys `base`, `base~1`, …), oldest first."""

    def work(connection: Connection) -> list[dict[str, Any]]:
        query = select(hold).where(or_(hold.c.key == base, hold.c.key.startswith(f"{base}~", autoescape=True)))
        rows = connection.execute(query.order_by(hold.c.created_at)).mappings()
        return [dict(row) for row in rows]

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
            ).where(ledger.c.run_id == run_id, ledger.c.kind.in_(("settle", "in_doubt")))
        ).one()
        open_holds = connection.execute(
            select(func.count()).select_from(hold).where(hold.c.run_id == run_id, hold.c.state == "held")
        ).scalar_one()
        return {"tokens": int(charged[0]), "micro_usd": int(charged[1]), "open_holds": int(open_holds)}

    return work
