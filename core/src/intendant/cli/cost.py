"""`intendant cost`: where the money went, and what orchestration saved."""

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.cost_view import NO_RUNS, show_costs
from intendant.cli.days import DAY_SECONDS, end_of, start_of
from intendant.cli.prices import models_of
from intendant.cli.shared import DbOption, JsonOption, Session, SetOption, command, print_json
from intendant.model.errors import RunNotFound, StoreError

if TYPE_CHECKING:
    from intendant.pilot.engine import Engine
    from intendant.record.rows import Charged, Scope
    from intendant.spending.costs import Saved


class By(StrEnum):
    """What calls are put together by."""

    agent = "agent"
    intent = "intent"
    model = "model"
    day = "day"
    tier = "tier"
    step = "step"


@command()
def cost(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run's id, the beginning of it, or `last`; else all runs."),
    ] = None,
    *,
    by: Annotated[By | None, typer.Option("--by", help="Put together by this; model, or step of a run.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="From this day on (UTC): 2026-11-21.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Up to this day, that included (UTC).")] = None,
    agent: Annotated[str | None, typer.Option(help="Only what this agent spent.")] = None,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Show where the money went, and an estimate of what orchestration saved.

    What was spent is what the ledger says, to the micro-dollar; what was saved is an estimate.
    """
    period = start_of(since, "--since"), end_of(until, "--until")
    chosen = by or (By.model if run is None else By.step)
    with Session(settings, db) as session:
        if _is_there(session.engine, run, named=db is not None):
            found = session.do(read_costs(session.engine, run, chosen.value, period=period, agent=agent))
        else:
            found = _nothing(chosen.value, period, agent)
    if as_json:
        print_json(found)
    else:
        show_costs(found)


def _is_there(engine: "Engine", run: str | None, *, named: bool) -> bool:
    """True if there is a database: looking must not make one.

    Raises:
        StoreError: There is none, and it was named: that is a mistake.
        RunNotFound: There is none, and a run of it is wanted.
    """
    url = engine.store_url
    path = url.removeprefix("sqlite:///")
    if path in (url, "", ":memory:") or Path(path).is_file():
        return True
    if named:
        raise StoreError(f"there is no database {path}", hint="`intendant run FILE --db URL` makes one")
    if run is not None:
        raise RunNotFound(f"there is no run '{run}'", hint=NO_RUNS)
    return False


def _nothing(by: str, period: tuple[float | None, float | None], agent: str | None) -> dict[str, Any]:
    from intendant.record.rows import Scope
    from intendant.spending.costs import Saved

    return _document(Scope(None, agent, *period), by, [], (0, 0, 0), Saved(), classified=False)


async def read_costs(
    engine: "Engine",
    run: str | None = None,
    by: Any = "model",
    *,
    period: tuple[float | None, float | None] = (None, None),
    agent: str | None = None,
) -> dict[str, Any]:
    """Where the money went, as JSON.

    Args:
        engine: The engine whose store is read, and whose models and prices the estimate rests on.
        run: A run's id, the beginning of it, or `last`; None for all.
        by: See `By`.
        period: From when, and before when, in seconds since 1970; None for no end.
        agent: Only what this agent spent.

    Raises:
        RunNotFound: There is no such run.
    """
    from intendant.record.rows import Scope
    from intendant.record.store import runs, spend_report
    from intendant.spending.costs import SavingsFold

    row = None if run is None else await engine.store.do(runs.find_run(run, engine.tenant))
    scope = Scope(row.id if row else None, agent, *period, engine.tenant)
    models = {name: tuple(models_of(engine, name).values()) for name in engine.plugins.providers}

    def work(connection: Any) -> dict[str, Any]:
        groups = spend_report.sums(connection, scope, by)
        fold = SavingsFold(models, engine.settings.prices.models, scope, engine.settings.prices.factors)
        for event in spend_report.journal_rows(connection, scope):
            fold.add(event)
        held = spend_report.still_held(connection, scope)
        classified = scope.run_id is not None and spend_report.classified_apart(connection, scope.run_id)
        return _document(scope, by, groups, held, fold.result(), classified=classified)

    await engine.store.flush()  # it is opened, and migrated where it is our own
    if engine.store_url == "none":
        return await engine.store.do(work)
    return await asyncio.to_thread(spend_report.apart, engine.store_url, work)


# --- as JSON ---


def _document(
    scope: "Scope",
    by: str,
    groups: list["Charged"],
    held: tuple[int, int, int],
    saved: "Saved",
    *,
    classified: bool,
) -> dict[str, Any]:
    from intendant.record.rows import Charged

    totals = (sum(getattr(row, name) for row in groups) for name in Charged._fields[1:])
    total = Charged("total", *totals)
    return {
        "run_id": scope.run_id,
        "agent": scope.agent,
        "since": _moment(scope.since),
        "until": _moment(scope.until),
        "by": by,
        "groups": [_group(row, by, total) for row in groups],
        "total": _group(total, "", total),
        "held": dict(zip(("calls", "tokens", "micro_usd"), held, strict=True)),
        "estimate": _estimate(total, saved, classified=classified),
    }


def _moment(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()


def _group(row: "Charged", by: str, total: "Charged") -> dict[str, Any]:
    figures = row._asdict()
    if by == "day":
        figures["group"] = datetime.fromtimestamp(int(row.group) * DAY_SECONDS, UTC).strftime("%Y-%m-%d")
    return {**figures, "share": row.micro_usd / total.micro_usd if total.micro_usd else None}


def _estimate(total: "Charged", saved: "Saved", *, classified: bool) -> dict[str, Any]:
    """What orchestration saved; null where that is not known."""
    known = not saved.missing
    whole = saved.micro_usd if known else None
    less = None if whole is None else whole - total.micro_usd
    return {
        "known": known,
        "without_micro_usd": whole,
        "spent_micro_usd": total.micro_usd,
        "saved_micro_usd": less,
        "saved_share": less / whole if whole and less is not None else None,
        "calls": saved.calls,
        "reused_calls": saved.reused,
        "free_calls": saved.free,
        "added_tokens": saved.added_tokens,
        "against_micro_usd": {**saved.against, "in_doubt": total.in_doubt_micro_usd},
        "models": saved.models,
        "prices_missing": sorted(saved.missing),
        "classified_in_another_run": classified,
        "basis": BASIS,
    }


BASIS = (
    "the same answered calls, each with its content uncompressed, without prompt cache and batches, on the "
    "dearest model that its provider has for a tier now, at the prices of its hour; as many tokens out, and "
    "counted alike by all models; answers that were used again asked for again"
)
