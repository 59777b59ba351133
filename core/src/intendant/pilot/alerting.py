"""What operators look at: figures of runs, how the rules of alerts stand, and their delivery."""

from collections.abc import Sequence
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from intendant.model.errors import IntendantError, SettingsError
from intendant.model.workflow import Workflow
from intendant.record import alerts
from intendant.record.alerts import Rated, RuleState
from intendant.record.figures import RunFigures
from intendant.record.rows import Scope

if TYPE_CHECKING:
    from intendant.pilot.engine import Engine
    from intendant.record.rows import LimitState
    from intendant.record.store.ratings import Rated as RatingRow

MOST_MISSING = 5000
"""Figures of so many runs of an earlier version are made anew at most, when they are asked for."""


async def figures(engine: "Engine", scope: Scope) -> list[RunFigures]:
    """The figures of a tenant's runs that ended within a scope, in the order in which they ended. Those of runs of
    an earlier version are made first.
    """
    from intendant.record.store import run_figures

    store = engine.store
    while missing := await store.do(run_figures.missing(engine.tenant)):
        for run_id in missing[:MOST_MISSING]:
            await store.do(run_figures.compute(run_id, engine.tenant))
        if len(missing) < run_figures.AT_ONCE:
            break
    return await store.do(run_figures.figures_within(scope._replace(tenant=engine.tenant)))


async def run_figures_of(engine: "Engine", run: str) -> RunFigures:
    """The figures of one run, also of one that has not ended.

    Raises:
        RunNotFound: There is no such run.
    """
    from intendant.record.figures import figures_of
    from intendant.record.journal import read_events
    from intendant.record.store import runs

    row = await engine.store.do(runs.find_run(run, engine.tenant))
    found = figures_of(await read_events(engine.store, row.id))
    found.run_id = row.id
    return found


async def ratings_of(engine: "Engine", run: str | None = None, since: float | None = None) -> "list[RatingRow]":
    """The ratings that count, of one run or of a tenant's."""
    from intendant.record.store import ratings

    return await engine.store.do(ratings.ratings(run, engine.tenant, since))


async def limits_of(engine: "Engine") -> "list[LimitState]":
    """Standing budgets of the tenant and of agents, and what is spent and held of them now."""
    from intendant.record.store import limits

    own = f"tenant:{engine.tenant}"
    rows = await engine.store.do(limits.current())
    return [row for row in rows if row.scope == own or not row.scope.startswith("tenant:")]


async def rules(engine: "Engine", now: float | None = None) -> list[RuleState]:
    """How each rule of alerts stands; those that are raised first.

    Args:
        engine: The engine.
        now: Seconds since 1970; the time of now by default.
    """
    settings = await engine.steering.refresh(now=True)
    moment = time() if now is None else now
    since = moment - alerts.LOOKBACK * settings.alerts.window_seconds
    found = await figures(engine, Scope(since=since, until=moment + 1))
    ratings = [Rated(row.at, row.rating) for row in await ratings_of(engine, since=since)]
    return alerts.evaluate(settings, found, moment, ratings=ratings, limits=await limits_of(engine))


class Delivered(NamedTuple):
    """What became of an alert."""

    state: RuleState
    outcome: str
    """`delivered`, `before` (it was delivered since it is raised), `silent`, or why it failed."""


async def deliver(engine: "Engine", states: Sequence[RuleState], now: float | None = None) -> list[Delivered]:
    """Deliver alerts that are raised by the connector that `alerts.uses` names, each once while it is raised, or
    again after `alerts.LOOKBACK` windows. Each delivery is a run of its own: recorded, and never made twice.

    Raises:
        SettingsError: No connector is named, or it cannot be used so.
    """
    settings, moment = engine.settings, time() if now is None else now
    if settings.alerts.uses is None:
        raise SettingsError(
            "alerts have no connector to be delivered by",
            hint="set alerts.uses=webhook.post and alerts.parameters.… in intendant.toml",
        )
    return [await _deliver(engine, state, moment) for state in alerts.raised(states)]


async def _deliver(engine: "Engine", state: RuleState, now: float) -> Delivered:
    from intendant.pilot.service import OrchestrationService
    from intendant.record.store import runs

    if state.silent_until is not None:
        return Delivered(state, "silent")
    name = f"alert {state.key}"
    lookback = now - alerts.LOOKBACK * engine.settings.alerts.window_seconds
    since = max(lookback, state.since or lookback)
    wanted = runs.Wanted(engine.tenant, "completed", alerts.AGENT, name, since)
    if await engine.store.do(runs.list_runs(1, wanted)):
        return Delivered(state, "before")
    inputs = {"text": said(state), "alert": dict(alerts.as_json(state))}
    service = OrchestrationService.of(engine)
    try:
        result = await service.run(_workflow(engine, name), inputs)
    except IntendantError as error:
        return Delivered(state, error.message)
    failures = [outcome.failure.message for outcome in result.steps.values() if outcome.failure is not None]
    return Delivered(state, failures[0] if failures else "delivered")


def _workflow(engine: "Engine", name: str) -> Workflow:
    chosen = engine.settings.alerts
    step: dict[str, Any] = {"id": "deliver", "uses": chosen.uses, "with": chosen.parameters}
    step["input"] = "{{ inputs.text }}"
    inputs = {"text": {"type": "string"}, "alert": {"type": "any"}}
    flow = {"name": name, "agent": alerts.AGENT, "inputs": inputs, "steps": [step]}
    return Workflow.model_validate(flow)


def said(state: RuleState) -> str:
    """An alert in words."""
    since = (
        ""
        if state.since is None
        else datetime.fromtimestamp(state.since, UTC).strftime(" since %Y-%m-%d %H:%M UTC")
    )
    about = f" ({state.subject})" if state.subject else ""
    return f"{state.rule}{about}: {state.text}{since}"
