"""A worker: goes on with due runs, takes over those whose process has died, and starts those of triggers."""

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from time import time
from typing import Literal, NamedTuple

from intendant.config.logs import get_logger
from intendant.model.errors import IntendantError, RunActive, RunExists
from intendant.model.results import RunResult
from intendant.model.workflow import Workflow
from intendant.pilot.engine import Engine
from intendant.pilot.resuming import may_live
from intendant.pilot.run_triggers import Firing, FolderWatch, Trigger, due_times, inputs_of
from intendant.pilot.service import OrchestrationService
from intendant.record.store import liveness, schedules

LOOK_SECONDS = 0.5
"""Between two looks at what is due. Other processes may make runs due at any time."""
ABANDONED_SECONDS = 2.0
"""Between two looks for runs whose process has died."""
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 3600.0
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


class Worker:
    """Goes on with the runs of one database, and one tenant.

    Several workers may share a database: each run is done by one of them.

    Args:
        engine: What runs are made with.
        triggers: What starts runs, by name.
        concurrency: How many runs it is at, at a time.
        on_done: Called with each thing that it did.
    """

    def __init__(
        self,
        engine: Engine,
        triggers: Mapping[str, Trigger] | None = None,
        *,
        concurrency: int = 10,
        on_done: Callable[[Done], object] = lambda _done: None,
    ) -> None:
        self._engine = engine
        self._service = OrchestrationService.of(engine)
        self._triggers = triggers or {}
        self._concurrency = concurrency
        self._on_done = on_done
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._queue: deque[Firing] = deque()
        self._failed: dict[str, Firing] = {}
        self._out: dict[str, set[float]] = {name: set() for name in self._triggers}
        self._pauses: dict[str, tuple[float, float]] = {}
        self._started = time()
        self._looked = 0.0
        self._seen_until: dict[str, float] | None = None
        self._folders = {
            name: FolderWatch(name, trigger, self._started)
            for name, trigger in self._triggers.items()
            if trigger.folder is not None
        }

    @property
    def busy(self) -> int:
        """How many runs it is at."""
        return len(self._tasks)

    async def run(self, *, until_idle: bool = False) -> None:
        """Work until cancelled; then let the runs that it is at start no other step, and return when these have
        ended: other workers go on with the runs at once. Cancelled a second time, it cancels the runs.

        Args:
            until_idle: Return once nothing is due.
        """
        try:
            while True:
                started = await self.look()
                if until_idle and not (started or self._tasks or self._queue):
                    return
                if self._tasks and (until_idle or not self._room):
                    await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(LOOK_SECONDS)
        except asyncio.CancelledError:
            self._service.hand_over()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)  # which a second one cancels
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    @property
    def _room(self) -> int:
        return max(0, self._concurrency - len(self._tasks))

    async def look(self) -> int:
        """Start what is due, as far as there is room; returns how many runs were started."""
        before = len(self._tasks)
        await self._due()
        if time() - self._looked > ABANDONED_SECONDS:
            self._looked = time()
            await self._abandoned()
        self._queue.extend([*self._again(), *await self._firings()])
        while self._queue and self._room:
            firing = self._queue.popleft()
            self._start(firing.key, "trigger", firing.name, partial(self._fire, firing))
        return len(self._tasks) - before

    def _again(self) -> list[Firing]:
        """Firings that could not start a run, whose pause is over."""
        now = time()
        over = [key for key in self._failed if self._pauses[key][0] <= now]
        return [self._failed.pop(key) for key in over]

    async def _due(self) -> None:
        room, now = self._room, time()
        if not room:
            return
        waiting = sum(until > now for until, _ in self._pauses.values())
        query = liveness.due_runs(self._engine.tenant, now, room + len(self._tasks) + waiting)
        for run in await self._engine.store.do(query):
            if not self._room:
                return
            if self._pauses.get(run.id, (0.0, 0.0))[0] <= now:
                self._start(run.id, "due", run.id, partial(self._service.resume, run.id))

    async def _abandoned(self) -> None:
        host = socket.gethostname()
        for row in await self._engine.store.do(liveness.maybe_abandoned(self._engine.tenant, host, time())):
            if not self._room:
                return
            if not may_live(row) and self._pauses.get(row.id, (0.0, 0.0))[0] <= time():
                self._start(row.id, "abandoned", row.id, partial(self._service.resume, row.id))

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

    async def _fire(self, firing: Firing) -> RunResult | None:
        trigger, out = self._triggers[firing.name], self._out[firing.name]
        result: RunResult | None = None
        try:
            flow = Workflow.load(Path(trigger.flow))
            result = await self._service.run(flow, inputs_of(trigger, firing), key=firing.key)
        except RunExists:
            pass  # another worker was faster, or this one before it was started again
        except IntendantError:
            self._failed[firing.key] = firing
            raise
        # Only now: a worker that dies before finds the same times again, and their keys tell what was started.
        out.discard(firing.at)
        if not out and trigger.cron is not None:
            await self._engine.store.do(schedules.note_seen(self._engine.tenant, firing.name, firing.at))
        return result

    def _start(self, key: str, why: Kind, what: str, work: Callable[[], Awaitable[RunResult | None]]) -> None:
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._guarded(key, why, what, work), name=f"intendant:{key}")

    async def _guarded(
        self, key: str, why: Kind, what: str, work: Callable[[], Awaitable[RunResult | None]]
    ) -> None:
        try:
            result = await work()
        except RunActive:
            return  # another worker is at it
        except IntendantError as error:
            _, pause = self._pauses.get(key, (0.0, FIRST_PAUSE_SECONDS / 2))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            self._pauses[key] = (time() + pause, pause)
            log.warning("run_not_continued", run=what, error=error.message, again_in_seconds=pause)
            self._on_done(Done(why, what, error=error))
        else:
            self._pauses.pop(key, None)
            if result is not None:
                self._on_done(Done(why, what, result))
        finally:
            del self._tasks[key]
