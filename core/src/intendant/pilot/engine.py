"""What all runs of one process share: settings, plugins, database, prices, gateway and planner."""

import asyncio
import os
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from intendant.config.secrets import Secrets, SecretSource
from intendant.config.settings import Settings, default_db
from intendant.hooks.bases import Extension, Plugin
from intendant.hooks.questions import Questions
from intendant.hooks.registry import Plugins
from intendant.model.errors import IntendantError, SettingsError, StoreError
from intendant.pilot.prepared import PreparedWorkflows
from intendant.pilot.process_names import process_name
from intendant.pilot.steering import Steering
from intendant.planning.planner import Planner
from intendant.spending.gateway import Gateway
from intendant.spending.pricing import Prices
from intendant.spending.standing import StandingBudgets

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from intendant.record.store import Store

MICRO = 1_000_000
"""Micro-US$ in a US$."""


class Engine:
    """The parts that runs are made with. Several engines may live in one process; they share nothing.

    The database, the gateway and the standing budgets are opened when they are first used.

    Args:
        settings: Settings, or a nested map of those that differ from the environment and the defaults. No file is
            read unless `Settings.load()` is handed over.
        plugins: Plugins handed over; they win over installed ones of the same name.
        discover: Use installed plugins.
        db: Database URL, `none` for memory only; stronger than the setting `store.db`.
        secrets: Finds `{{ secrets.NAME }}` before the environment is asked: takes a name, gives its value or None.
        executor: Where large texts are compressed: any of `concurrent.futures`, of processes or machines too; not
            shut down by this. By default `run.processes` of its own, or a thread.

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
        secrets: SecretSource | None = None,
        executor: "Executor | None" = None,
    ) -> None:
        self.settings = settings if isinstance(settings, Settings) else Settings.load(settings, file=None)
        self.secrets = Secrets(self.settings.secrets, secrets)
        chosen = self.settings.plugins
        self.plugins = Plugins(
            plugins,
            discover=discover,
            block=chosen.block,
            only=chosen.only,
            required=(*chosen.require, *_named(self.settings)),
            order=chosen.order,
            settings=chosen.settings,
            secrets=self.secrets,
        )
        self.questions = Questions(self.plugins.manager)
        self.prices = Prices(self.settings.prices.models, factors=self.settings.prices.factors)
        self.planner = Planner(self.plugins, self.settings, self.prices)
        self.prepared = PreparedWorkflows()
        extensions = self.plugins.extensions.values()
        self.observers = tuple(
            each.on_event for each in extensions if type(each).on_event is not Extension.on_event
        )
        self.steering = Steering(self)
        self._db = db or self.settings.store.db or os.environ.get("INTENDANT_DB") or None
        self._process = os.getpid()
        self._store: Store | None = None
        self._gateway: Gateway | None = None
        self._standing: StandingBudgets | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._executor = executor
        self._processes: Executor | None = None

    def adopt(self, settings: Settings) -> None:
        """Go by other values of live settings, from the next run on. What is no decision of a run (plugins,
        prices, the store, how calls are sent) stays as the engine was made with it.
        """
        self.settings = settings
        self.planner = Planner(self.plugins, settings, self.prices)

    @property
    def tenant(self) -> str:
        """Whose runs these are; runs of other tenants are as if they were not there."""
        return self.settings.budget.tenant

    @property
    def worker(self) -> str:
        """The name under which this process owns runs: `host:pid`."""
        return process_name()

    @property
    def store_url(self) -> str:
        """The database's URL, or `none`."""
        return self._db or default_db()

    @property
    def store_exists(self) -> bool:
        """True if using the store does not create a database: planning must change nothing."""
        if self._store is not None:
            return True
        try:
            url = self.store_url
        except SettingsError:  # the user has no folder for one
            return False
        path = url.removeprefix("sqlite:///")
        try:
            return path != "none" and (path == url or Path(path).is_file())
        except PermissionError:
            hint = "use another database URL, or a folder of this user's"
            raise StoreError(f"this user may not look into the folder of {path}", hint=hint) from None

    @property
    def store(self) -> "Store":
        """The database.

        Raises:
            IntendantError: The process was forked after the database was opened.
        """
        if self._store is None:
            from intendant.record.store import Store

            self._process = os.getpid()
            chosen = self.settings.store
            self._store = Store(self._db, chosen.durability, chosen.key_file)
        elif self._process != os.getpid():
            # Neither the writer's thread nor its connection survives a fork.
            raise IntendantError(
                "the process was forked after the service was used", hint="make the service in the child process"
            )
        return self._store

    @property
    def gateway(self) -> Gateway:
        """The only way to a model."""
        if self._gateway is None:
            self._gateway = Gateway(
                self.plugins.providers,
                self.prices,
                self.settings.run.call_timeout,
                round(self.settings.budget.ask_above_usd * MICRO),
                self.settings.calls,
                self.settings.routing.providers,
            )
        return self._gateway

    @property
    def executor(self) -> "Executor | None":
        """Where large texts are compressed; None for a thread."""
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        if self._executor is None and self._processes is None and (count := self.settings.run.processes):
            # A fork would take over locks of the store's thread.
            self._processes = ProcessPoolExecutor(count, get_context("spawn"))
        return self._executor or self._processes

    @property
    def standing(self) -> StandingBudgets:
        """What the tenant and its agents may spend in all their runs."""
        if self._standing is None:
            budget = self.settings.budget
            owner = f"{self.worker}:{uuid4().hex[:8]}"
            self._standing = StandingBudgets(self.store, budget.tenant, owner, budget.lease_seconds)
        return self._standing

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nothing waits for; `aclose` does."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait for all that was begun with `later`."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def aclose(self) -> None:
        """Give leases and connections back, and commit what is left. The engine can be used again."""
        await self.settled()
        if self._processes is not None:
            self._processes.shutdown(wait=False, cancel_futures=True)
            self._processes = None
        if self._gateway is not None:
            await self._gateway.close()
        for provider in self.plugins.providers.values():
            await provider.close()
        for connector in self.plugins.connectors.values():
            await connector.close()
        if self._standing is not None:
            with suppress(StoreError):  # a lease that cannot be given back expires
                await self._standing.close()
        if self._store is not None:
            await asyncio.to_thread(self._store.close)
        self._gateway = self._standing = self._store = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()


def _named(settings: Settings) -> Iterator[str]:
    """Plugins that the settings name, and that therefore must load."""
    if settings.source_of("budget.strategy") != "the default":
        yield f"budget:{settings.budget.strategy}"
