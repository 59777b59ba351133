"""A dispatcher on DBOS: its queue, in PostgreSQL, brings runs to workers on several machines.

DBOS moves ids, and keeps no result: what steps gave, and what they cost, is in Intendant's own tables. It does not
notice that a machine is dead; workers do, by the leases of runs, and `reap` puts what it was at back into the
queue.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from threading import Lock
from time import time
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import Field

from intendant import SettingsError
from intendant.plugin import Dispatcher, DispatcherHealth, Options, Runner, drained

if TYPE_CHECKING:
    from dbos import DBOS

__all__ = ["DbosDispatcher", "DbosSettings"]

ResultT = TypeVar("ResultT")
QUEUE = "intendant"
VERSION = "intendant-1"
"""Of what is in DBOS's tables. Workers of several versions of Intendant share them: ids are all that they hold."""
MIDDLE = 1_000_000
"""DBOS's priorities are above 0, and lower ones come first."""
_ONE = Lock()
"""DBOS is one for each process."""


class DbosSettings(Options):
    """Where DBOS keeps its queue."""

    url: str = ""
    """The URL of a PostgreSQL database, such as that of `store.db`."""
    table_schema: str = "dbos"
    """The schema of DBOS's tables."""
    poll_seconds: float = Field(default=0.1, gt=0, le=60)
    """Between two looks at the queue."""


class DbosDispatcher(Dispatcher):
    """Brings runs to workers through a queue of DBOS."""

    name = "dbos"
    Settings = DbosSettings
    _running: ClassVar["DbosDispatcher | None"] = None

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._dbos: type[DBOS] | None = None
        self._runner: Runner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker = ""
        self._busy: dict[str, asyncio.Task[str]] = {}
        self._stopping = False
        self._pool = ThreadPoolExecutor(2, "intendant-dbos")

    async def start(self, runner: Runner, *, worker: str, concurrency: int) -> None:
        """Connect to DBOS, and take runs from its queue.

        Raises:
            SettingsError: No database is set, or another dispatcher of this process uses DBOS.
        """
        settings: DbosSettings = self.settings
        if not settings.url:
            raise SettingsError(
                "the dispatcher 'dbos' has no database",
                hint='set plugins.settings."dispatcher:dbos".url to the URL of a PostgreSQL database',
            )
        with _ONE:
            if DbosDispatcher._running not in (None, self):
                raise SettingsError("this process has a dispatcher on DBOS already", hint="stop that one first")
            DbosDispatcher._running = self
        self._runner, self._worker, self._loop = runner, worker, asyncio.get_running_loop()
        self._stopping = False
        try:
            await self._call(self._launch, worker, concurrency)
        except BaseException:
            self._let_go()
            raise

    def _launch(self, worker: str, concurrency: int) -> None:
        from dbos import DBOS, DBOSConfig

        settings: DbosSettings = self.settings
        config: DBOSConfig = {
            "name": QUEUE,
            "system_database_url": _plain(settings.url),
            "dbos_system_schema": settings.table_schema,
            "application_version": VERSION,
            "executor_id": worker,
            "log_level": "WARNING",
            "run_migrations": True,
        }
        _workflow()
        DBOS(config=config)
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=concurrency,
            polling_interval_sec=settings.poll_seconds,
            on_conflict="always_update",
        )
        self._dbos = DBOS

    async def stop(self, drain: float) -> None:
        """Take no other run, wait for those that this process is at, and disconnect."""
        if self._dbos is None:
            return
        self._stopping = True
        await drained(self._busy.values(), drain)
        dbos, self._dbos = self._dbos, None
        try:
            await self._call(partial(dbos.destroy, workflow_completion_timeout_sec=2))
        finally:
            self._let_go()

    def _let_go(self) -> None:
        self._runner = None
        with _ONE:
            DbosDispatcher._running = None

    async def _call(self, work: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Do something of DBOS in a thread of our own: its `async` methods make their own pool of threads that of
        the event loop, which is the host's, and shut it down.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *arguments))

    async def submit(
        self,
        run_id: str,
        *,
        queue: str = "default",  # noqa: ARG002  # DBOS's queue has no turns of its own
        priority: int = 0,
        not_before: float | None = None,
    ) -> None:
        """Put a run into the queue, unless it is there."""
        if self._dbos is None:
            return
        await self._call(self._enqueue, run_id, priority, not_before)

    def _enqueue(self, run_id: str, priority: int, not_before: float | None) -> None:
        from dbos import DBOS, SetEnqueueOptions

        delay = None if not_before is None else max(0.0, not_before - time())
        order = min(2**31 - 1, max(1, MIDDLE - priority))
        known: dict[str, Any] = {"deduplication_id": run_id, "duplication_policy": "return-existing"}
        with SetEnqueueOptions(**known, priority=order, delay_seconds=delay):
            DBOS.enqueue_workflow(QUEUE, _workflow(), run_id)

    async def cancel_hint(self, run_id: str) -> None:
        """Nothing: a run that was cancelled ends at once when it is begun."""

    async def reap(self, worker: str) -> int:
        """Put what a dead process was at back into the queue."""
        if self._dbos is None or worker == self._worker:
            return 0
        return await self._call(self._reap, worker)

    @staticmethod
    def _reap(worker: str) -> int:
        from dbos import DBOS

        ids = [each.workflow_id for each in DBOS.list_workflows(status="PENDING", executor_id=worker)]
        if ids:
            DBOS.resume_workflows(ids)
        return len(ids)

    async def health(self) -> DispatcherHealth:
        """How many runs are in the queue, and how many this process is at."""
        if self._dbos is None:
            return DispatcherHealth(False, 0, 0, "it is not started")
        try:
            listed = partial(self._dbos.list_queued_workflows, queue_name=QUEUE, status=["ENQUEUED", "DELAYED"])
            waiting = await self._call(listed)
        except Exception as error:  # noqa: BLE001  # whatever a database's driver raises
            return DispatcherHealth(False, 0, len(self._busy), f"{type(error).__name__}: {error}")
        return DispatcherHealth(True, len(waiting), len(self._busy))

    # --- in DBOS's own event loop ---

    async def _execute(self, run_id: str) -> str:
        """Go on with a run in the loop of the service; returns its status."""
        loop = self._loop
        if loop is None or self._runner is None or self._stopping:
            return "elsewhere"  # a worker's next look finds it
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._segment(run_id), loop))

    async def _segment(self, run_id: str) -> str:
        runner = self._runner
        if runner is None or self._stopping or run_id in self._busy:
            return "elsewhere"
        task = asyncio.ensure_future(runner.run_segment(run_id))
        self._busy[run_id] = task
        try:
            return await task
        finally:
            del self._busy[run_id]


async def _segment(run_id: str) -> str:
    """What DBOS executes: goes on with a run in whichever process took it."""
    running = DbosDispatcher._running  # noqa: SLF001  # its own
    if running is None:
        return "elsewhere"
    try:
        return await running._execute(run_id)  # noqa: SLF001  # its own
    except asyncio.CancelledError:
        return "elsewhere"  # this process stops
    except Exception as error:  # noqa: BLE001  # DBOS would note a pickled error
        return f"failed: {type(error).__name__}"


@cache
def _workflow() -> Any:
    """The workflow, made known to DBOS once; its registry outlives a shutdown."""
    from dbos import DBOS

    return DBOS.workflow(name="intendant_run_segment", max_recovery_attempts=1_000_000)(_segment)


def _plain(url: str) -> str:
    """A URL without the name of a driver: DBOS has its own."""
    scheme, _, rest = url.partition("://")
    return f"postgresql://{rest}" if scheme.startswith("postgres") else url
