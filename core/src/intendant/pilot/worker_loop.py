"""A worker: goes on with due runs, takes over those whose process has died, and starts those of triggers."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Literal, NamedTuple

from intendant.config.logs import get_logger
from intendant.hooks.dispatchers import Dispatcher
from intendant.model.errors import (
    Fenced,
    IntendantError,
    PluginLoadError,
    RunActive,
    RunExists,
    SchemaMismatch,
    StoreError,
)
from intendant.model.results import RunResult, RunStatus
from intendant.model.workflow import Workflow
from intendant.pilot.embedded_dispatch import EmbeddedDispatcher
from intendant.pilot.engine import Engine
from intendant.pilot.process_names import host_name
from intendant.pilot.resuming import may_live
from intendant.pilot.run_triggers import Firing, FolderWatch, Trigger, due_times, inputs_of
from intendant.pilot.service import OrchestrationService
from intendant.record.rows import RunRow
from intendant.record.store import liveness, runs, schedules

LOOK_SECONDS = 0.5
"""Between two looks at what is due. Other processes may make runs due at any time."""
ABANDONED_SECONDS = 1.0
"""Between two looks for runs whose process has died."""
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 3600.0
LONGEST_OUTAGE_PAUSE_SECONDS = 10.0
SUBMITTED_SECONDS = 60.0
"""A run that was submitted, and is due all the same after so long, is submitted again."""
TAKEN_SECONDS = 10.0
"""Seconds after which another worker may take a run that a worker has taken and not claimed."""
LONGEST_DRAIN_SECONDS = 86_400.0
"""A worker that is stopped waits for what it is at; a second signal does not."""
IDLE_SECONDS = 0.02
"""Between two looks of a worker that ends when nothing is due."""
LOOKED_AT = 4
"""Due runs that are looked at for each that may be executed, so that agents take turns."""
"""A run that cannot be gone on with is tried again after a pause, twice as long each time."""

log = get_logger("intendant.worker")

Kind = Literal["due", "abandoned", "trigger"]


class Done(NamedTuple):
    """Something that a worker did."""

    why: Kind
    what: str
    """The run's id, or the trigger's name."""
    result: RunResult | None = None
    error: IntendantError | None = None


def dispatcher_of(engine: Engine, name: str | None = None) -> Dispatcher:
    """The dispatcher of that name, or of the settings.

    Raises:
        PluginLoadError: None of that name is installed.
    """
    wanted = name or engine.settings.run.dispatcher
    if wanted == EmbeddedDispatcher.name:
        return EmbeddedDispatcher()
    found = engine.plugins.dispatchers.get(wanted)
    if found is None:
        hint = engine.plugins.unavailable_hint("dispatcher", wanted)
        raise PluginLoadError(f"the dispatcher '{wanted}' is not installed", hint=hint)
    return found


class Worker:
    """Goes on with the runs of one database, and one tenant: looks for those that are due or were abandoned, opens
    those of triggers, and submits them to a dispatcher, which brings them to a process.

    Several workers may share a database: each run is done by one of them.

    Args:
        engine: What runs are made with.
        triggers: What starts runs, by name.
        concurrency: How many runs this process is at, at a time.
        on_done: Called with each thing that this process did.
        dispatcher: Brings runs to processes; by default they are executed here.
    """

    def __init__(
        self,
        engine: Engine,
        triggers: Mapping[str, Trigger] | None = None,
        *,
        concurrency: int = 10,
        on_done: Callable[[Done], object] = lambda _done: None,
        dispatcher: Dispatcher | None = None,
    ) -> None:
        self._engine = engine
        self._service = OrchestrationService.of(engine)
        self._triggers = {name: one for name, one in (triggers or {}).items() if one.webhook is None}
        self._concurrency = concurrency
        self._on_done = on_done
        self._dispatcher = EmbeddedDispatcher() if dispatcher is None else dispatcher
        self._why: dict[str, tuple[Kind, str]] = {}
        self._submitted: dict[str, float] = {}
        self._failed: dict[str, Firing] = {}
        self._out: dict[str, set[float]] = {name: set() for name in self._triggers}
        self._pauses: dict[str, tuple[float, float]] = {}
        self._started = time()
        self._looked = self._outage = 0.0
        self._seen_until: dict[str, float] | None = None
        self._folders = {
            name: FolderWatch(name, trigger, self._started)
            for name, trigger in self._triggers.items()
            if trigger.folder is not None
        }

    async def run(self, *, until_idle: bool = False) -> None:
        """Work until cancelled; then let the runs that it is at start no other step, and return when these have
        ended: other workers go on with the runs at once. Cancelled a second time, it cancels the runs.

        Args:
            until_idle: Return once nothing is due.
        """
        await self._engine.store.flush()  # opened, so that its clock is known before anything is compared with it
        await self._engine.store.verify_shared()
        await self._dispatcher.start(self, worker=self._engine.worker, concurrency=self._concurrency)
        try:
            while True:
                try:
                    started = await self.look()
                except StoreError as error:
                    if until_idle or isinstance(error, SchemaMismatch):
                        raise
                    started = 0
                    await self._sit_out(error)
                else:
                    self._outage = 0.0
                health = await self._dispatcher.health()
                if until_idle and not (started or health.busy or health.waiting):
                    return
                await asyncio.sleep(IDLE_SECONDS if until_idle else LOOK_SECONDS)
        except asyncio.CancelledError:
            self._service.hand_over()
            await self._dispatcher.stop(LONGEST_DRAIN_SECONDS)
        finally:
            await self._dispatcher.stop(0.0)

    async def _sit_out(self, error: StoreError) -> None:
        """Pause while the database cannot be used, twice as long each time. The leases on what this process was at
        expire meanwhile: whichever worker is quickest goes on.
        """
        self._outage = min(2 * self._outage or LOOK_SECONDS, LONGEST_OUTAGE_PAUSE_SECONDS)
        log.warning("database_unavailable", error=error.message, again_in_seconds=self._outage)
        await asyncio.sleep(self._outage)

    async def look(self) -> int:
        """Submit what is due; returns how many runs that are new."""
        started: int = await self._due()
        if time() - self._looked > ABANDONED_SECONDS:
            self._looked = time()
            started += await self._abandoned()
        for firing in [*self._again(), *await self._firings()]:
            started += await self._fire(firing)
        return started

    # --- what there is to do ---

    def _again(self) -> list[Firing]:
        """Firings that could not start a run, whose pause is over."""
        now = time()
        over = [key for key in self._failed if self._pauses[key][0] <= now]
        return [self._failed.pop(key) for key in over]

    async def _due(self) -> int:
        now = self._engine.store.now()
        waiting = sum(until > time() for until, _ in self._pauses.values())
        query = liveness.due_runs(self._engine.tenant, now, LOOKED_AT * self._concurrency + waiting)
        found = await self._engine.store.do(query)
        return sum([await self._submit(each.id, "due", each.id, each.agent, each.priority) for each in found])

    async def _abandoned(self) -> int:
        store, tenant = self._engine.store, self._engine.tenant
        found = await store.do(liveness.maybe_abandoned(tenant, host_name(), store.now()))
        dead = [row for row in found if not may_live(row, store.now())]
        for name in {row.worker for row in dead if row.worker}:
            await self._dispatcher.reap(name)
        return sum([await self._submit(row.id, "abandoned", row.id, row.agent, row.priority) for row in dead])

    async def _submit(self, run_id: str, why: Kind, what: str, agent: str, priority: int) -> int:
        """Hand a run to the dispatcher, once; 1 if it is new."""
        now = time()
        if self._pauses.get(run_id, (0.0, 0.0))[0] > now or self._submitted.get(run_id, 0.0) > now:
            return 0
        self._why.setdefault(run_id, (why, what))
        self._submitted[run_id] = now + SUBMITTED_SECONDS
        await self._dispatcher.submit(run_id, queue=agent, priority=priority)
        return 1

    async def _firings(self) -> list[Firing]:
        if not self._triggers:
            return []
        store, tenant, now = self._engine.store, self._engine.tenant, time()
        if self._seen_until is None:
            self._seen_until = await store.do(schedules.seen_until(tenant))
        firings: list[Firing] = []
        for name, trigger in self._triggers.items():
            if (watch := self._folders.get(name)) is not None:
                firings += await asyncio.to_thread(watch.new_files, now)
                continue
            due = due_times(name, trigger, self._seen_until.get(name), now, self._started)
            if name not in self._seen_until:
                await store.do(schedules.note_seen(tenant, name, self._started))
            if due or name not in self._seen_until:
                self._seen_until[name] = now
            self._out[name].update(firing.at for firing in due)
            firings += due
        return firings

    async def _fire(self, firing: Firing) -> int:
        """Open the run that a trigger starts; 1 if it is new."""
        trigger, out = self._triggers[firing.name], self._out[firing.name]
        try:
            flow = Workflow.load(Path(trigger.flow))
            run_id = await self._service.submit(flow, inputs_of(trigger, firing), key=firing.key)
        except RunExists:
            run_id = ""  # another worker was faster, or this one before it was started again
        except IntendantError as error:
            self._failed[firing.key] = firing
            self._pause(firing.key, "trigger", firing.name, error)
            return 0
        self._pauses.pop(firing.key, None)
        # Only now: a worker that dies before finds the same times again, and their keys tell what was started.
        out.discard(firing.at)
        if not out and trigger.cron is not None:
            await self._engine.store.do(schedules.note_seen(self._engine.tenant, firing.name, firing.at))
        return await self._submit(run_id, "trigger", firing.name, flow.agent, 0) if run_id else 0

    # --- for the dispatcher ---

    async def run_segment(self, run_id: str) -> str:
        """Go on with a run until it ends or has to wait; see `Runner.run_segment`."""
        store = self._engine.store
        try:
            now = store.now()
            row = await store.do(liveness.take_due(run_id, now, now + TAKEN_SECONDS))
            if row is not None and _is_taken(row, now):
                return "elsewhere"
            result = await self._service.resume(run_id)
        except (RunActive, Fenced):
            return "elsewhere"
        except IntendantError as error:
            if await self._is_completed(run_id):
                return "elsewhere"  # another worker was faster
            why, what = self._why.get(run_id, ("due", run_id))
            self._pause(run_id, why, what, error)
            return "failed"
        finally:
            self._submitted.pop(run_id, None)
        why, what = self._why.pop(run_id, ("due", run_id))
        self._pauses.pop(run_id, None)
        self._on_done(Done(why, what, result))
        return result.status.value

    async def _is_completed(self, run_id: str) -> bool:
        store = self._engine.store
        with suppress(StoreError):  # what is wrong is told anyway
            return (await store.do(runs.find_run(run_id, self._engine.tenant))).status == RunStatus.completed.value
        return False

    def _pause(self, key: str, why: Kind, what: str, error: IntendantError) -> None:
        """What failed is tried again, after a pause that grows."""
        _, pause = self._pauses.get(key, (0.0, FIRST_PAUSE_SECONDS / 2))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        self._pauses[key] = (time() + pause, pause)
        log.warning("run_not_continued", run=what, error=error.message, again_in_seconds=pause)
        self._on_done(Done(why, what, error=error))


def _is_taken(row: RunRow, now: float) -> bool:
    """True if another worker has just taken a run, works on it, or has completed it."""
    if row.status == RunStatus.waiting.value:
        return row.due_at is not None and row.due_at > now
    if row.status == RunStatus.running.value:
        return may_live(row, now)
    return row.status == RunStatus.completed.value
