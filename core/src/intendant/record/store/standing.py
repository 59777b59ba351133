"""Setting standing limits: work for `Store.do`."""

import json
from collections.abc import Callable
from time import time
from typing import Any

from sqlalchemy import Connection, func, insert, select, text, update  # noqa: TID253

from intendant.record.store import leases
from intendant.record.store.budgets import CHARGES
from intendant.record.store.limits import Period, forget, start_of, window_of
from intendant.record.store.tables import budget, budget_limit, hold, ledger

Work = Callable[[Connection], Any]


def set_limit(scope: str, per: Period, tokens: int | None, micro: int | None, at: float | None = None) -> Work:
    """Set what *scope* may spend per period, at once and for all processes.

    What was spent in the period already counts. A limit below that, or below what calls hold that are out, admits
    no further call until the next period.

    Args:
        scope: `agent:NAME` or `tenant:NAME`.
        per: The period.
        tokens: Input and output tokens; None for no limit.
        micro: Micro-US$; None for no limit.
        at: When; now by default.

    Returns (when the work is done):
        The limits as they hold in this period, which may be above what was set: `(tokens, micro)`.
    """

    def work(connection: Connection) -> tuple[int | None, int | None]:
        moment = time() if at is None else at
        forget(connection)
        if connection.dialect.name == "postgresql":
            # Whoever read that there was no limit has to be done before what is out can be counted.
            connection.execute(text("LOCK TABLE budget_limit IN ACCESS EXCLUSIVE MODE"))
        row = {"scope": scope, "per": per, "limit_tokens": tokens, "limit_micro": micro, "at": moment}
        connection.execute(insert(budget_limit), row)
        leases.dissolve_all_of(connection, scope)
        window = window_of(scope, per, moment)
        if connection.execute(select(budget.c.id).where(budget.c.id == window)).first() is None:
            _found(connection, window, scope, start_of(per, moment))
        return _apply(connection, window, tokens, micro)

    return work


def _found(connection: Connection, window: str, scope: str, start: float) -> None:
    """Make a period's budget with what was spent in it before, and hold in it what is out."""
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
    # Locked before the ledger is summed up: a call that ends meanwhile must be in one of the two.
    still = select(hold.c.key, hold.c.chain, hold.c.tokens, hold.c.micro).where(*of_period, hold.c.state == "held")
    rows = connection.execute(still.with_for_update()).mappings().all()
    spent = connection.execute(charged).one()
    for row in rows:
        chain = json.dumps([*json.loads(row["chain"]), window])
        connection.execute(update(hold).where(hold.c.key == row["key"]).values(chain=chain))
    values = {
        "id": window,
        "parent": scope,
        "spent_tokens": int(spent[0]),
        "spent_micro": int(spent[1]),
        "held_tokens": sum(row["tokens"] for row in rows),
        "held_micro": sum(row["micro"] for row in rows),
    }
    connection.execute(insert(budget), values)


def _apply(
    connection: Connection, window: str, tokens: int | None, micro: int | None
) -> tuple[int | None, int | None]:
    """Set the limits of a period's budget; nowhere below what is spent and held, since that is so already."""
    row = connection.execute(select(budget).where(budget.c.id == window).with_for_update()).mappings().one()
    values: dict[str, int | None] = {}
    for unit, wanted in (("tokens", tokens), ("micro", micro)):
        used = row[f"spent_{unit}"] + row[f"held_{unit}"]
        values[f"wanted_{unit}"] = wanted
        values[f"limit_{unit}"] = None if wanted is None else max(wanted, used)
    connection.execute(update(budget).where(budget.c.id == window).values(values))
    return values["limit_tokens"], values["limit_micro"]
