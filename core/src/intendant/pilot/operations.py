"""Everything that an operator reads or decides, in one place: for dashboards, endpoints and scripts."""

from collections.abc import Sequence
from time import time
from typing import TYPE_CHECKING, Any

from intendant.config.flags import Rollout, Subject, decided
from intendant.pilot import alerting, rollout_guard, settings_view
from intendant.pilot.alerting import Delivered
from intendant.pilot.rating import rate
from intendant.pilot.settings_view import KeyState, LayerValue
from intendant.record.alerts import RuleState
from intendant.record.figures import RunFigures
from intendant.record.report_page import Report
from intendant.record.rows import Scope

if TYPE_CHECKING:
    from intendant.pilot.engine import Engine
    from intendant.record.rows import LimitState
    from intendant.record.store.auditing import AuditRow
    from intendant.record.store.canary_counts import Tally
    from intendant.record.store.ratings import Rated
    from intendant.record.store.setting_changes import Changed


class Operations:
    """What a service's operators look at, of the service's tenant only. (Standing budgets of agents are those of
    agents of that name in all tenants.)

    Args:
        engine: The service's engine.
    """

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    # --- figures ---

    async def figures(
        self, *, agent: str | None = None, since: float | None = None, until: float | None = None
    ) -> list[RunFigures]:
        """Figures of runs that ended, in the order in which they ended.

        Args:
            agent: Only this agent's.
            since: Seconds since 1970, as for *until*, which is exclusive.
            until: See *since*.
        """
        return await alerting.figures(self._engine, Scope(None, agent, since, until))

    async def report(
        self,
        run: str | None = None,
        *,
        agent: str | None = None,
        since: float | None = None,
        until: float | None = None,
        period: str = "",
    ) -> Report:
        """What one run, or runs that ended, came to; `record.report_page.page` makes a page of it.

        Raises:
            RunNotFound: There is no such run.
        """
        engine = self._engine
        if run is not None:
            figures = await alerting.run_figures_of(engine, run)
            rated = await alerting.ratings_of(engine, figures.run_id)
            said = f"{figures.workflow}, {figures.status or 'running'}"
            return Report(f"Run {figures.run_id}", said, [figures], (), [one.rating for one in rated], time())
        states = await self.rules()
        runs = await self.figures(agent=agent, since=since, until=until)
        ids = {one.run_id for one in runs}
        rated = [one for one in await alerting.ratings_of(engine, since=since) if one.run_id in ids]
        title = "All agents" if agent is None else f"Agent {agent}"
        threshold = engine.settings.classification.threshold
        return Report(title, period, runs, states, [one.rating for one in rated], time(), threshold)

    async def prometheus(self) -> str:
        """Figures, standing budgets and alerts in the text format of Prometheus."""
        from intendant.record.prometheus import exposition

        return exposition(await self.figures(), await self.limits(), await self.rules())

    # --- alerts, ratings, budgets ---

    async def rules(self) -> list[RuleState]:
        """How each rule of alerts stands; those that are raised first."""
        return await alerting.rules(self._engine)

    async def deliver(self, states: Sequence[RuleState]) -> list[Delivered]:
        """Deliver alerts that are raised, each once; see `alerts.uses`.

        Raises:
            SettingsError: No connector is named, or it cannot be used so.
        """
        return await alerting.deliver(self._engine, states)

    async def rate(
        self, run: str, rating: int, *, step: str | None = None, comment: str = "", by: str | None = None
    ) -> "Rated":
        """See `OrchestrationService.rate`; returns the row."""
        return await rate(self._engine, run, rating, step=step, comment=comment, by=by)

    async def ratings(self, run: str | None = None) -> "list[Rated]":
        """The ratings that count."""
        return await alerting.ratings_of(self._engine, run)

    async def limits(self) -> "list[LimitState]":
        """Standing budgets, and what is spent and held of them."""
        return await alerting.limits_of(self._engine)

    # --- settings and flags ---

    async def settings(self) -> list[KeyState]:
        """Every key as it is in force; `service.steering` changes them."""
        await self._engine.steering.refresh(now=True)
        return settings_view.states(self._engine)

    async def setting(self, key: str) -> tuple[KeyState, list[LayerValue]]:
        """One key, and what each layer says of it, the strongest first.

        Raises:
            SettingsError: There is no such key.
        """
        await self._engine.steering.refresh(now=True)
        state = settings_view.one_state(self._engine, key)
        return state, settings_view.layers_of(self._engine, state)

    async def history(self, limit: int = 50) -> "list[Changed]":
        """What was changed in the database's layer, the newest first."""
        return await self._engine.steering.history(limit)

    async def flags(self, agent: str, user: str | None = None) -> dict[str, bool]:
        """Which flags are on for a run of an agent."""
        settings = await self._engine.steering.refresh(now=True)
        return decided(settings.flags, Subject(agent, user, self._engine.tenant))

    async def rollouts(self) -> "dict[str, tuple[Rollout, Tally]]":
        """Features under guard, and what was counted of them."""
        await self._engine.steering.refresh(now=True)
        return await rollout_guard.tallies(self._engine)

    async def start_rollout(self, flag: str, *, by: str, rollout: Rollout | None = None) -> int:
        """Roll a feature out under guard; see `rollout_guard.start`."""
        return await rollout_guard.start(self._engine, flag, by=by, rollout=rollout)

    # --- the audit trail ---

    async def audit(self, limit: int = 100, **wish: Any) -> "list[AuditRow]":
        """The newest events that are wanted, the newest first.

        Args:
            limit: How many at most.
            wish: Fields of `auditing.Wish`: run_id, agent, workflow, kinds, severities, step, since, until.
        """
        from intendant.record.store.auditing import Wish, audit_rows

        asked = Wish(**{**wish, "tenant": self._engine.tenant, "limit": limit, "newest": True})
        store = self._engine.store
        await store.flush()
        return await store.do(lambda connection: list(audit_rows(connection, asked)))
