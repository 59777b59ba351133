"""Where the money went, and an estimate of what orchestration saved, as JSON."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from intendant.config.logs import get_logger

if TYPE_CHECKING:
    from intendant.pilot.engine import Engine
    from intendant.record.rows import Charged, Scope
    from intendant.spending.costs import Saved

log = get_logger("intendant.plugins")
DAY_SECONDS = 86_400


async def read_costs(
    engine: "Engine",
    run: str | None = None,
    by: Any = "model",
    *,
    period: tuple[float | None, float | None] = (None, None),
    agent: str | None = None,
    estimate: bool = True,
) -> dict[str, Any]:
    """Where the money went, as JSON.

    Args:
        engine: The engine whose store is read, and whose models and prices the estimate rests on.
        run: A run's id, the beginning of it, or `last`; None for all.
        by: `model`, `agent`, `intent`, `day`, `tier`, or `step` of a run.
        period: From when, and before when, in seconds since 1970; None for no end.
        agent: Only what this agent spent.
        estimate: Estimate what was saved, for which every event is read; else `estimate` is None.

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
        for event in spend_report.journal_rows(connection, scope) if estimate else ():
            fold.add(event)
        held = spend_report.still_held(connection, scope)
        classified = scope.run_id is not None and spend_report.classified_apart(connection, scope.run_id)
        found = cost_document(scope, by, groups, held, fold.result(), classified=classified)
        return found if estimate else {**found, "estimate": None}

    await engine.store.flush()  # it is opened, and migrated where it is our own
    if engine.store_url == "none":
        return await engine.store.do(work)
    return await asyncio.to_thread(spend_report.apart, engine.store_url, work)


def cost_document(
    scope: "Scope",
    by: str,
    groups: list["Charged"],
    held: tuple[int, int, int],
    saved: "Saved",
    *,
    classified: bool,
) -> dict[str, Any]:
    """The document that `read_costs` gives, of what was found."""
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


def models_of(engine: "Engine", provider: str) -> dict[str, str]:
    """A provider's model for each tier; tiers may name another one in their settings."""
    try:
        models = dict(engine.plugins.providers[provider].models())
    except Exception:
        log.exception("plugin_raised", plugin=f"provider:{provider}")
        models = {}
    for tier in engine.plugins.tiers.values():
        wanted, _, model = str(getattr(tier.settings, "model", None) or "").partition("/")
        if wanted == provider:
            models[tier.name] = model
    order = [*engine.plugins.tiers, *models]
    return {tier: models[tier] for tier in order if tier in models}
