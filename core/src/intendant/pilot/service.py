"""The engine of a process: settings, plugins, store and gateway, shared by all its runs."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import uuid4

from intendant.config.settings import Settings
from intendant.hooks.plugin import Plugin
from intendant.hooks.registry import Plugins
from intendant.model.errors import Fenced, IntendantError, Problem, StoreError, WorkflowError
from intendant.model.events import Event
from intendant.model.requests import MemoryContext
from intendant.model.results import RunResult, StepOutcome
from intendant.model.workflow import Json, Limits, Workflow
from intendant.pilot.classifying import ClassificationDesk
from intendant.pilot.graph import Graph, check, check_classified
from intendant.pilot.orchestrator import WorkflowOrchestrator
from intendant.pilot.segments import run_segment
from intendant.planning.planner import Plan, Planner
from intendant.spending.gateway import Gateway
from intendant.spending.pricing import Prices
from intendant.spending.standing import StandingBudgets

if TYPE_CHECKING:
    from intendant.record.store import Store

Listener = Callable[[Event], None]
TextListener = Callable[[str, str], object]
ResultT = TypeVar("ResultT")


class OrchestrationService:
    """Plans and runs workflows. Several may live in one process; they share nothing.

    Example:
        ```python
        async with OrchestrationService(db="none") as service:
            result = await service.run(Workflow.load("flow.yaml"), {"folder": "mails"})
        ```

    Args:
        settings: Settings, or a nested map of those that differ from the sources `Settings.load` reads.
        plugins: Plugins handed over; they win over installed ones of the same name.
        discover: Use installed plugins.
        db: Database URL, `none` for memory only; stronger than the setting `store.db`.

    Raises:
        PluginLoadError: A plugin that was asked for cannot be used.
        SettingsError: A setting is wrong.
    """

    def __init__(
        self,
        settings: Settings | Mapping[str, Any] | None = None,
        *,
        plugins: Sequence[Plugin] = (),
        discover: bool = True,
        db: str | None = None,
    ) -> None:
        self.settings = settings if isinstance(settings, Settings) else Settings.load(settings)
        chosen = self.settings.plugins
        self.plugins = Plugins(
            plugins,
            discover=discover,
            block=chosen.block,
            only=chosen.only,
            required=(*chosen.require, *_named(self.settings)),
            order=chosen.order,
            settings=chosen.settings,
        )
        self._db = db or self.settings.store.db or os.environ.get("INTENDANT_DB") or None
        self._runner: asyncio.Runner | None = None
        self.worker = f"{socket.gethostname()}:{os.getpid()}"

    @cached_property
    def store(self) -> "Store":
        """The database; opened when first used."""
        from intendant.record.store import Store

        return Store(self._db, self.settings.store.durability)

    @property
    def store_url(self) -> str:
        """The database's URL, or `none`."""
        from intendant.config.settings import default_db

        return self._db or default_db()

    @cached_property
    def prices(self) -> Prices:
        """What calls cost."""
        return Prices(self.settings.prices.models)

    @cached_property
    def gateway(self) -> Gateway:
        """The door through which tokens are spent."""
        ask_above = round(self.settings.budget.ask_above_usd * 1_000_000)
        return Gateway(
            self.plugins.providers,
            self.prices,
            self.settings.run.call_timeout,
            ask_above,
            self.settings.calls,
            self.settings.routing.providers,
        )

    @cached_property
    def standing(self) -> StandingBudgets:
        """What the tenant and its agents may spend in all their runs."""
        budget = self.settings.budget
        return StandingBudgets(self.store, budget.tenant, f"{self.worker}:{uuid4().hex[:8]}", budget.lease_seconds)

    @cached_property
    def planner(self) -> Planner:
        """Makes plans."""
        return Planner(self.plugins, self.settings, self.prices)

    def load(self, path: str | Path, inputs: Mapping[str, Json] | None = None) -> Workflow:
        """Read a workflow file and check it against what is installed, all mistakes in one go.

        Args:
            path: The file.
            inputs: Values to check as well.

        Raises:
            WorkflowError: The file or the inputs are wrong; carries every problem.
        """
        try:
            flow = Workflow.load(path)
        except WorkflowError as error:
            problems = list(error.problems)
            if error.draft is not None:
                problems += self._problems(error.draft, inputs)
            far = 10**9
            known = dict.fromkeys(sorted(problems, key=lambda p: (p.line or far, p.column or 0)))
            raise WorkflowError(list(known)) from None
        if problems := self._problems(flow, inputs):
            raise WorkflowError(problems)
        return flow

    def _problems(self, flow: Workflow, inputs: Mapping[str, Json] | None) -> list[Problem]:
        try:
            check(flow, self.plugins, inputs)
        except WorkflowError as error:
            return list(error.problems)
        return []

    async def plan(
        self, workflow: Workflow, inputs: Mapping[str, Json] | None = None, *, ask_model: bool = False
    ) -> Plan:
        """Decide everything about *workflow* without doing anything.

        Args:
            workflow: The workflow.
            inputs: Values to check as well; None checks the workflow alone.
            ask_model: Let classifiers ask a model, which costs tokens and is recorded; a run does so by itself.

        Raises:
            WorkflowError: The workflow or its inputs are wrong; carries every problem.
        """
        return await self.plan_graph(workflow, check(workflow, self.plugins, inputs), ask_model=ask_model)

    async def plan_graph(self, workflow: Workflow, graph: Graph, *, ask_model: bool, memory: bool = False) -> Plan:
        """Decide everything about a workflow that was checked."""
        strategy = self.plugins.budgets.get(self.settings.budget.strategy)
        history = {}
        if strategy is not None and strategy.uses_history:
            from intendant.record.store import runs

            history = await self.store.do(runs.usage_history(workflow.agent))
        desk = ClassificationDesk(self)
        door = desk.door(workflow) if ask_model else None
        try:
            plan = await self.planner.plan(
                workflow,
                graph.needs,
                graph.references,
                history=history,
                known=await desk.known(workflow.steps),
                model=door,
                memory=memory,
            )
        except IntendantError:
            await desk.close(door)
            raise
        await desk.finish(door, plan)
        check_classified(workflow, self.plugins, {step.step_id: step.intent for step in plan.steps})
        return plan

    def orchestrator(
        self, on_event: Listener | Iterable[Listener] = (), on_text: TextListener | None = None
    ) -> WorkflowOrchestrator:
        """A run to be driven step by step; for the arguments see `run`."""
        return WorkflowOrchestrator(self, (on_event,) if callable(on_event) else on_event, on_text)

    async def run(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Json] | None = None,
        *,
        memory: MemoryContext | None = None,
        on_event: Listener | Iterable[Listener] = (),
        on_text: TextListener | None = None,
    ) -> RunResult:
        """Plan and execute *workflow*.

        Args:
            workflow: The workflow.
            inputs: Values for its inputs.
            memory: What is known before the run; steps of intents that want it are told, within a budget line of
                its own (`budget.memory_tokens`).
            on_event: Called with each event; must be quick.
            on_text: Called with a step's id and the next piece of what a model writes for it, while it is written.
                A call of which something was shown is not tried again by itself; the step may be (`retry`).

        Returns:
            The result; steps that failed are in it, and the status says so.

        Raises:
            WorkflowError: The workflow or its inputs are wrong; nothing has run.
            IntendantError: The flag `orchestration_enabled` is off.
            asyncio.CancelledError: The run was cancelled; it has ended and is recorded as cancelled.
        """
        flight = self.orchestrator(on_event, on_text)
        if not await flight.initialize(workflow, inputs, memory):
            raise IntendantError(
                "the flag orchestration_enabled is off", hint="set flags.orchestration_enabled=true"
            )
        return await self._flown(flight)

    async def resume(
        self,
        run: str,
        *,
        take_over: bool = False,
        limits: Limits | None = None,
        on_event: Listener | Iterable[Listener] = (),
        on_text: TextListener | None = None,
    ) -> RunResult:
        """Go on with a run that was broken off or did not succeed; for the arguments see
        `WorkflowOrchestrator.resume` and `run`.

        Example:
            ```python
            result = await service.resume("last", limits=Limits(tokens=50_000))
            ```

        Raises:
            RunNotFound: There is no such run.
            IntendantError: It is completed, or another process may be at it.
            asyncio.CancelledError: The run was cancelled; it has ended and is recorded as cancelled.
        """
        flight = self.orchestrator(on_event, on_text)
        await flight.resume(run, take_over=take_over, limits=limits)
        return await self._flown(flight)

    async def _flown(self, flight: WorkflowOrchestrator) -> RunResult:
        """Execute what is left of a run, and end it."""
        try:
            await run_segment(flight, self.settings.run.max_parallel)
        except asyncio.CancelledError:
            await flight.complete(cancelled=True)
            raise
        except Fenced:
            raise  # it is another process's run now
        except Exception:
            with suppress(StoreError):  # the database may be what failed
                await flight.complete(failed=True)
            raise
        return await flight.complete()

    # --- for scripts ---

    def run_sync(self, workflow: Workflow, inputs: Mapping[str, Json] | None = None, **options: Any) -> RunResult:
        """`run` for code without an event loop."""
        return self._loop().run(self.run(workflow, inputs, **options))

    def resume_sync(self, run: str, **options: Any) -> RunResult:
        """`resume` for code without an event loop."""
        return self._loop().run(self.resume(run, **options))

    def plan_sync(
        self, workflow: Workflow, inputs: Mapping[str, Json] | None = None, *, ask_model: bool = False
    ) -> Plan:
        """`plan` for code without an event loop."""
        return self._loop().run(self.plan(workflow, inputs, ask_model=ask_model))

    def orchestrator_sync(
        self, on_event: Listener | Iterable[Listener] = (), on_text: TextListener | None = None
    ) -> "SyncOrchestrator":
        """`orchestrator` for code without an event loop."""
        return SyncOrchestrator(self.orchestrator(on_event, on_text), self._loop())

    def do_sync(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run a coroutine in this engine's own loop, for code without one."""
        return self._loop().run(work)

    def _loop(self) -> asyncio.Runner:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._runner is None:
                self._runner = asyncio.Runner()
            return self._runner
        raise IntendantError("an event loop is running", hint="await the method without `_sync`")

    async def aclose(self) -> None:
        """Give connections back and write what is left."""
        if "gateway" in self.__dict__:
            await self.gateway.close()
            del self.__dict__["gateway"]
        for provider in self.plugins.providers.values():
            await provider.close()
        if "standing" in self.__dict__:
            with suppress(StoreError):  # a lease that cannot be given back ends by itself
                await self.standing.close()
            del self.__dict__["standing"]
        if "store" in self.__dict__:
            await asyncio.to_thread(self.store.close)
            del self.__dict__["store"]

    def close(self) -> None:
        """`aclose` for code without an event loop."""
        self._loop().run(self.aclose())
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _named(settings: Settings) -> Iterator[str]:
    """Plugins that the settings name, and that therefore must load."""
    if settings.source_of("budget.strategy") != "the default":
        yield f"budget:{settings.budget.strategy}"


class SyncOrchestrator:
    """`WorkflowOrchestrator` for code without an event loop."""

    def __init__(self, flight: WorkflowOrchestrator, runner: asyncio.Runner) -> None:
        self._flight = flight
        self._runner = runner
        self.is_active = flight.is_active
        self.metadata = flight.metadata
        self.wants = flight.wants
        self.skip = flight.skip

    @property
    def run_id(self) -> str:
        """See `WorkflowOrchestrator.run_id`."""
        return self._flight.run_id

    @property
    def plan(self) -> Plan:
        """See `WorkflowOrchestrator.plan`."""
        return self._flight.plan

    @property
    def outcomes(self) -> Mapping[str, StepOutcome]:
        """See `WorkflowOrchestrator.outcomes`."""
        return self._flight.outcomes

    def initialize(
        self,
        workflow: Workflow,
        inputs: Mapping[str, Json] | None = None,
        memory: MemoryContext | None = None,
    ) -> bool:
        """See `WorkflowOrchestrator.initialize`."""
        return self._runner.run(self._flight.initialize(workflow, inputs, memory))

    def execute_step(self, step_id: str, **given: Json) -> Any:
        """See `WorkflowOrchestrator.execute_step`."""
        return self._runner.run(self._flight.execute_step(step_id, **given))

    def complete(self) -> RunResult:
        """See `WorkflowOrchestrator.complete`."""
        return self._runner.run(self._flight.complete())

    def reset(self) -> None:
        """See `WorkflowOrchestrator.reset`."""
        self._runner.run(self._flight.reset())


def run(
    workflow: Workflow | str | Path,
    inputs: Mapping[str, Json] | None = None,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    db: str | None = None,
    memory: MemoryContext | None = None,
    on_event: Listener | Iterable[Listener] = (),
    on_text: TextListener | None = None,
) -> RunResult:
    """Run a workflow, from a script.

    Args:
        workflow: The workflow, or the path of its file.
        inputs: Values for its inputs.
        settings: Settings that differ from the usual sources.
        db: Where the run is kept: a database URL, or `none`.
        memory: What is known before the run.
        on_event: Called with each event.
        on_text: Called with a step's id and the next piece of what a model writes for it.

    Raises:
        WorkflowError: The workflow or its inputs are wrong; nothing has run.

    Example:
        ```python
        result = intendant.run("flow.yaml", {"folder": "mails"})
        print(result.outputs["report"])
        ```
    """
    flow = workflow if isinstance(workflow, Workflow) else Workflow.load(workflow)
    with OrchestrationService(settings, db=db) as service:
        return service.run_sync(flow, inputs, memory=memory, on_event=on_event, on_text=on_text)
