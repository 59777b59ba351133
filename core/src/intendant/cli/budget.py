"""`intendant budget`: standing limits of agents and tenants, what is left of them, and their history."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.runs import with_store
from intendant.cli.shared import DbOption, JsonOption, SetOption, app, command, print_json
from intendant.model.errors import SettingsError
from intendant.model.workflow import MAX_AMOUNT, MAX_USD
from intendant.pilot.process_names import user_name

if TYPE_CHECKING:
    from intendant.record.rows import LimitState
    from intendant.record.store import Store

budget_app = typer.Typer(help="What agents and tenants may spend in all their runs.", no_args_is_help=True)
app.add_typer(budget_app, name="budget")

AmountOption = Annotated[str | None, typer.Option(metavar="N|none")]


class Per(StrEnum):
    """The periods of a limit, UTC."""

    day = "day"
    month = "month"


@command(name="set", group=budget_app)
def set_budget(
    scope: Annotated[str, typer.Argument(help="agent:NAME or tenant:NAME.")],
    *,
    per: Annotated[Per, typer.Option(help="The period, in UTC.")],
    tokens: AmountOption = None,
    usd: AmountOption = None,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Set a limit, effective immediately for all processes. Omitted amounts stay unchanged; `none` removes one.

    What was spent in the period already counts.
    """
    if scope.partition(":")[0] not in ("agent", "tenant") or not scope.partition(":")[2]:
        raise SettingsError(f"'{scope}' has no budget", hint="write agent:NAME or tenant:NAME")
    if tokens is None and usd is None:
        raise SettingsError("no limit is given", hint="add --tokens N, --usd X, or both; `none` takes one away")
    given = (_amount("--tokens", tokens, 1, MAX_AMOUNT), _amount("--usd", usd, 1_000_000, MAX_USD))
    row = with_store(db, settings, lambda store: _set(store, scope, per.value, (tokens, usd), given))
    none = {"scope": scope, "per": per.value, "limit_tokens": None, "limit_micro": None}
    if as_json:
        print_json(none if row is None else row._asdict())
        return
    print(f"{scope} has no limit" if row is None else _line(row))


def _amount(option: str, text: str | None, factor: int, most: float) -> int | None:
    if text is None or text == "none":
        return None
    try:
        value = float(text.replace(",", "").replace("_", ""))
    except ValueError:
        value = -1.0
    if not 0 <= value <= most or (factor == 1 and value != int(value)):
        raise SettingsError(f"'{text}' is no amount for {option}", hint=f"write {option} 50000, or {option} none")
    return round(value * factor)


async def _set(
    store: "Store",
    scope: str,
    per: Any,
    texts: tuple[str | None, str | None],
    given: tuple[int | None, int | None],
) -> "LimitState | None":
    """Set a limit; None if none is left."""
    from intendant.record.store import limits

    known = [row for row in await store.do(limits.current()) if (row.scope, row.per) == (scope, per)]
    before = (known[0].limit_tokens, known[0].limit_micro) if known else (None, None)
    tokens, micro = [old if text is None else new for text, new, old in zip(texts, given, before, strict=True)]
    await store.do(limits.set_limit(scope, per, tokens, micro, by=user_name()))
    rows = [row for row in await store.do(limits.current()) if (row.scope, row.per) == (scope, per)]
    return rows[0] if rows else None


@command(name="show", group=budget_app)
def show_budgets(*, as_json: JsonOption = False, db: DbOption = None, settings: SetOption = None) -> None:
    """Show every limit, with the amounts spent and held in the current period."""
    from intendant.record.store import limits

    rows = with_store(db, settings, lambda store: store.do(limits.current()))
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    for row in rows:
        print(_line(row))
    if not rows:
        print("no limits yet; `intendant budget set agent:NAME --tokens N --per day` sets one")


def _line(row: "LimitState") -> str:
    parts = [f"{row.scope:<24} {row.per:<6} {row.period:<11}"]
    tokens = (row.limit_tokens, row.spent_tokens, row.held_tokens, _tokens)
    micro = (row.limit_micro, row.spent_micro, row.held_micro, _usd)
    for limit, spent, held, show in (tokens, micro):
        used = show(spent) + (f" (+ {show(held)} held)" if held else "")
        of = "no limit" if limit is None else f"of {show(limit)}"
        share = f", {(spent + held) / limit:.1%}" if limit else ""
        parts.append(f"{used} {of}{share}")
    return "  ".join(parts)


def _tokens(amount: int) -> str:
    return f"{amount:,} tokens"


def _usd(micro: int) -> str:
    return f"${micro / 1_000_000:,.4f}"


@command(name="history", group=budget_app)
def show_history(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Maximum number to show.", min=1)] = 20,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Show the history of limits, newest first."""
    from intendant.record.store import limits

    rows = with_store(db, settings, lambda store: store.do(limits.history(limit)))
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    for row in rows:
        at = datetime.fromtimestamp(row.at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        tokens = "no limit" if row.limit_tokens is None else _tokens(row.limit_tokens)
        usd = "no limit" if row.limit_micro is None else _usd(row.limit_micro)
        by = f"  by {row.changed_by}" if row.changed_by else ""
        print(f"{at}  {row.scope:<24} {row.per:<6} {tokens:>18} {usd:>14}{by}")
    if not rows:
        print("no limit was ever set")
