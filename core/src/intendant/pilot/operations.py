"""Everything that an operator reads or decides, in one place: for dashboards, endpoints and scripts."""

from collections.abc import AsyncIterator, Callable, Sequence
from time import time
from typing import TYPE_CHECKING, Any, Literal

from intendant.config.flags import Rollout, Subject, decided
from intendant.pilot import alerting, cost_record, inspection, limit_setting, rollout_guard, settings_view
from intendant.pilot.alerting import Delivered
from intendant.pilot.rating import rate
from intendant.pilot.settings_view import KeyState, LayerValue
from intendant.record.alerts import RuleState
from intendant.record.figures import RunFigures
from intendant.record.report_page import Report
from intendant.record.rows import Scope

if TYPE_CHECKING:
    from intendant.hooks.discovery import PluginRecord
    from intendant.model.results import Usage
    from intendant.pilot.engine import Engine
    from intendant.record.diagram_svg import Node
    from intendant.record.rows import (
        AgentRow,
        ApprovalRow,
        BudgetRow,
        DoubtRow,
        EventRow,
        LimitRow,
        LimitState,
        RunRow,
    )
    from intendant.record.store.auditing import AuditRow
    from intendant.record.store.browsing import Found, Place
    from intendant.record.store.canary_counts import Tally
    from intendant.record.store.ratings import Rated
    from intendant.record.store.runs import Listed
    from intendant.record.store.setting_changes import Changed


class Operations:
    """What a service's operators look at, of the service's tenant only. (Standing budgets of agents are those of
    agents of that name in all tenants.)

    Args:
        engine: The service's engine.
    """

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    # --- runs ---

    async def runs(
        self,
        limit: int = 20,
        *,
        status: str | None = None,
        agent: str | None = None,
        workflow: str | None = None,
        since: float | None = None,
        before: float | None = None,
    ) -> "list[Listed]":
        """The newest runs first, of those that are wanted.

        Args:
            limit: How many at most.
            status: Those that stand so, such as `failed`.
            agent: Those of an agent.
            workflow: Those of a workflow, by its name.
            since: Those that began then or later, in seconds since 1970.
            before: Those that began earlier: `created_at` of the last one of the page before.
        """
        wanted = {"status": status, "agent": agent, "workflow": workflow, "since": since, "before": before}
        return await inspection.listed(self._engine, limit, **wanted)

    async def run(self, run: str) -> "RunRow":
        """A run's own row: its workflow, inputs and status, and which process is at it.

        Args:
            run: Its id, or the beginning of that; `last` for the newest.

        Raises:
            RunNotFound: There is none, or more than one.
        """
        return await inspection.find(self._engine, run)

    async def counts(self) -> dict[str, int]:
        """How many runs are `running`, and how many are `waiting`."""
        return await inspection.counts(self._engine)

    async def figures_of(self, run: str) -> RunFigures:
        """Figures of one run, step by step; items of lists are within their steps. Also of one that is running.

        Raises:
            RunNotFound: There is no such run.
        """
        return await inspection.figures_of_run(self._engine, run)

    async def newest_figures(
        self, limit: int = 100, *, agent: str | None = None, since: float | None = None
    ) -> list[RunFigures]:
        """Figures of the runs that ended last, the newest first; see `figures` for all of them."""
        return await inspection.newest_figures(self._engine, limit, agent, since)

    def watch(self, run: str, seconds: float = inspection.LOOK_SECONDS) -> AsyncIterator[RunFigures]:
        """Figures of a run now, and again whenever something has happened in it, by whatever process; ends when
        the run does, or when it waits.

        Args:
            run: Its id, or the beginning of that; `last` for the newest.
            seconds: How often its journal is looked at.

        Raises (when it is iterated):
            RunNotFound: There is no such run.
        """
        return inspection.watch(self._engine, run, seconds)

    async def record(self, run: str) -> dict[str, Any]:
        """Everything that is kept of a run, as `intendant show --json` prints it, verified.

        Raises:
            RunNotFound: There is no such run.
            RecordBroken: It was changed so that it cannot be read.
        """
        return await inspection.record(self._engine, run)

    async def step(self, run: str, address: str) -> dict[str, Any]:
        """What a step was given and gave, its attempts, calls and deliveries, as `intendant show RUN STEP --json`
        prints it.

        Args:
            run: The run's id, or the beginning of it.
            address: The step, such as `label` or `label[17]/draft`.

        Raises:
            RunNotFound: There is no such run.
            IntendantError: It has no such step.
        """
        return await inspection.step(self._engine, run, address)

    async def events(
        self,
        run: str,
        *,
        after: int = 0,
        limit: int = 1000,
        kinds: Sequence[str] = (),
        step: str | None = None,
    ) -> "list[EventRow]":
        """Events of a run in order, from number *after* + 1 on; `read_event(row.data)` parses one.

        Raises:
            RunNotFound: There is no such run.
        """
        return await inspection.events(self._engine, run, after, limit, kinds, step)

    async def graph(self, run: str, link: "Callable[[Node], str] | None" = None, *, styled: bool = True) -> str:
        """The graph of a run, as an SVG document; items of one step are drawn as one.

        Args:
            run: The run's id, or the beginning of it.
            link: Gives the address that a step leads to; None for no links.
            styled: With a style sheet in it; False for a page that has one for its classes.

        Raises:
            RunNotFound: There is no such run.
        """
        return await inspection.graph(self._engine, run, link, styled=styled)

    async def original(self, run: str, handle: str) -> str:
        """The text that a run compressed, by the handle that the event `token_compressed` names.

        Raises:
            RunNotFound: There is no such run.
            IntendantError: It kept no such text.
        """
        return await inspection.original(self._engine, run, handle)

    async def costs(
        self,
        run: str | None = None,
        *,
        by: str = "model",
        agent: str | None = None,
        since: float | None = None,
        until: float | None = None,
        estimate: bool = True,
    ) -> dict[str, Any]:
        """Where the money went, and an estimate of what was saved, as `intendant cost --json` prints it. Without a
        run it reads every event of the period.

        Args:
            run: Of this run alone.
            by: `model`, `agent`, `intent`, `day`, `tier`, or `step` of a run.
            agent: Only what this agent spent.
            since: Seconds since 1970, as for *until*, which is exclusive.
            until: See *since*.
            estimate: Estimate what was saved; without it no event is read, and `estimate` is None.

        Raises:
            RunNotFound: There is no such run.
        """
        period = (since, until)
        return await cost_record.read_costs(self._engine, run, by, period=period, agent=agent, estimate=estimate)

    # --- people's decisions ---

    async def approvals(self, run: str | None = None) -> "list[ApprovalRow]":
        """What people are asked, the oldest first; of one run, or of all."""
        return await inspection.approvals(self._engine, run)

    async def decide(
        self, run: str, step: str, verdict: Literal["approved", "denied"], *, by: str, note: str = ""
    ) -> int:
        """Decide about what a step would do. Does not go on with the run: `resume` does.

        Args:
            run: The run's id, or the beginning of it.
            step: The address, as `approvals` gives it.
            verdict: The decision.
            by: Who decides; the step's `by` is held against it.
            note: Why.

        Returns:
            How many approvals are still wanted.

        Raises:
            RunNotFound: There is no such run.
            IntendantError: Nothing is asked there, it is decided already, or this person may not decide.
        """
        return await inspection.decide(self._engine, run, step, verdict, by, note)

    async def doubts(self, *, waiting: bool = True) -> "list[DoubtRow]":
        """Calls in doubt about which nothing was decided; by default those only for which a step waits."""
        return await inspection.doubts(self._engine, waiting=waiting)

    async def decide_doubt(
        self,
        hold: str,
        decision: Literal["settle", "retry", "drop"],
        *,
        by: str,
        usage: "Usage | None" = None,
        answer: str | None = None,
    ) -> "DoubtRow":
        """Decide about a call in doubt. Does not go on with its run: `resume` does.

        Args:
            hold: Its key, or the beginning of that.
            decision: `settle`: it was charged, with *usage*; `retry`: it stays charged in full, and is asked
                again; `drop`: it never reached its provider, and is asked again.
            by: Who decides.
            usage: For `settle`: what it took.
            answer: For `settle`: what was answered; None to ask again.

        Raises:
            IntendantError: There is no such call, or figures are missing.
            RunActive: A process may be at its run.
        """
        return await inspection.decide_doubt(self._engine, hold, decision, by, usage, answer)

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

    async def report_page(self, report: Report) -> str:
        """A report as one HTML page that fetches nothing and runs no script."""
        from intendant.record.report_page import page

        return page(report)

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

    async def budgets(self, run: str) -> "list[BudgetRow]":
        """The budget of a run, then those of its steps: limits, and what is spent and held.

        Raises:
            RunNotFound: There is no such run.
        """
        return await inspection.budgets(self._engine, run)

    async def limits(self) -> "list[LimitState]":
        """Standing budgets, and what is spent and held of them."""
        return await alerting.limits_of(self._engine)

    async def set_limit(
        self, scope: str, per: Literal["day", "month"], *, tokens: int | None, usd: float | None, by: str
    ) -> "LimitState | None":
        """Set what all runs of an agent, or of the tenant, may spend per period: at once, and for all processes.
        What was spent in the period already counts.

        Args:
            scope: `agent:NAME`, or `tenant:NAME` of the service's own tenant.
            per: The period, UTC.
            tokens: Input and output tokens; None for no limit.
            usd: US$; None for no limit.
            by: Who sets it, for the log.

        Returns:
            The budget as it stands; None where no limit is left.

        Raises:
            SettingsError: There is no such scope or period, or an amount is out of range.
        """
        return await limit_setting.set_limit(self._engine, scope, per, tokens, usd, by)

    async def limit_history(self, limit: int = 50) -> "list[LimitRow]":
        """How standing budgets were set, the newest first."""
        return await limit_setting.limit_history(self._engine, limit)

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
        from intendant.record.journal import complete_event
        from intendant.record.store.auditing import Wish, audit_rows

        asked = Wish(**{**wish, "tenant": self._engine.tenant, "limit": limit, "newest": True})
        store = self._engine.store
        await store.flush()
        found = await store.do(lambda connection: list(audit_rows(connection, asked)))
        return [row._replace(data=complete_event(row)) for row in found]

    async def search(
        self, limit: int = 50, *, place: "Place | None" = None, text: str = "", **wish: Any
    ) -> "Found":
        """A page of the audit trail: events of the newest run first, and of a run the newest first. It looks at
        20,000 events at most, so that it takes the same time however many there are.

        Args:
            limit: How many events at most.
            place: Where the page before has ended: its `place`.
            text: What an event's JSON, its type or its step has to contain.
            wish: Fields of `auditing.Wish`: run_id, agent, workflow, kinds, severities, step, since, until.
        """
        return await inspection.search(self._engine, limit, place, text, wish)

    # --- plugins and agents ---

    def plugins(self) -> "list[PluginRecord]":
        """The installed plugins and those that were handed over, and what became of each."""
        from intendant.hooks.discovery import describe

        return describe(self._engine.plugins.records)

    async def agents(self) -> "list[AgentRow]":
        """Agents by name, with their scores; `service.memory(name)` has what one remembers."""
        from intendant.record.store import profiles

        return await inspection.reading(self._engine, profiles.list_agents(self._engine.tenant))
