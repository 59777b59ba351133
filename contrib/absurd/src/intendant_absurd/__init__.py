"""A dispatcher on absurd: its queue, SQL functions in PostgreSQL, brings runs to workers on several machines.

Absurd moves ids, and keeps no result: what steps gave, and what they cost, is in Intendant's own tables. A process
that dies loses its claim on a task when the claim expires, and absurd gives the task to another.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING, Any

from pydantic import Field

from intendant import SettingsError
from intendant.plugin import Dispatcher, DispatcherHealth, Options, Runner, drained

if TYPE_CHECKING:
    from absurd_sdk import AsyncAbsurd, AsyncTaskContext
    from psycopg import AsyncConnection

__all__ = ["AbsurdDispatcher", "AbsurdSettings"]

log = logging.getLogger("intendant.absurd")
TASK = "intendant_run_segment"
REMEMBERED = 10_000
"""Tasks whose ids a process remembers, so that a run that waits in the queue is not put there again."""
ATTEMPTS = 1_000_000
"""How often a task may lose its process: as often as it likes."""
LONGEST_PAUSE = 5.0
"""Seconds between two attempts to reach a database that is away, at most."""


class AbsurdSettings(Options):
    """Where absurd keeps its queue."""

    url: str = ""
    """The URL of a PostgreSQL database in which `absurdctl init` was called, such as that of `store.db`."""
    queue: str = Field(default="intendant", min_length=1, max_length=57)
    """The name of absurd's queue. It is created where it is missing."""
    poll_seconds: float = Field(default=0.25, gt=0, le=60)
    """Between two looks at the queue."""
    claim_seconds: int = Field(default=20, ge=2, le=3600)
    """After so long without a sign of life, what a process was at is given to another."""


class AbsurdDispatcher(Dispatcher):
    """Brings runs to workers through a queue of absurd."""

    name = "absurd"
    Settings = AbsurdSettings

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._absurd: AsyncAbsurd | None = None
        self._connection: AsyncConnection[Any] | None = None
        self._runner: Runner | None = None
        self._lanes: list[asyncio.Task[None]] = []
        self._busy: dict[str, asyncio.Task[str]] = {}
        self._tasks: OrderedDict[str, str] = OrderedDict()
        self._stopping = False
        self._connecting = asyncio.Lock()

    async def start(self, runner: Runner, *, worker: str, concurrency: int) -> None:
        """Connect to the database, and take runs from the queue.

        Raises:
            SettingsError: No database is set, it cannot be reached, or absurd is not installed in it.
        """
        from psycopg import OperationalError
        from psycopg.errors import InvalidSchemaName, UndefinedFunction

        settings: AbsurdSettings = self.settings
        if not settings.url:
            raise SettingsError(
                "the dispatcher 'absurd' has no database",
                hint='set plugins.settings."dispatcher:absurd".url to the URL of a PostgreSQL database',
            )
        self._runner, self._stopping, self._connecting = runner, False, asyncio.Lock()
        try:
            await (await self._connected()).create_queue()
        except BaseException as error:
            await self._disconnect()
            if isinstance(error, InvalidSchemaName | UndefinedFunction):
                raise SettingsError(
                    "absurd is not installed in the database of the dispatcher 'absurd'",
                    hint="call `absurdctl init -d URL` once (pip install absurdctl)",
                ) from error
            if isinstance(error, OperationalError):
                message = f"the database of the dispatcher 'absurd' cannot be reached: {error}"
                raise SettingsError(message) from error
            raise
        self._lanes = [
            asyncio.create_task(self._lane(f"{worker}/{number}"), name=f"intendant:absurd-{number}")
            for number in range(concurrency)
        ]

    async def stop(self, drain: float) -> None:
        """Take no other run, wait for those that this process is at, and disconnect."""
        self._stopping = True
        if self._absurd is not None:
            self._absurd.stop_worker()
        await drained(self._busy.values(), drain)
        # The lanes end by themselves: a query that is cancelled would leave the connection in an unknown state.
        await drained(self._lanes, self.settings.poll_seconds + LONGEST_PAUSE)
        self._lanes = []
        await self._disconnect()
        self._runner = None

    async def submit(
        self,
        run_id: str,
        *,
        queue: str = "default",  # noqa: ARG002  # absurd has no turns of its own
        priority: int = 0,  # noqa: ARG002  # and no priorities
        not_before: float | None = None,
    ) -> None:
        """Put a run into the queue, unless this process has put it there, and no process has begun it since."""
        if self._absurd is None or self._stopping:
            return
        absurd = await self._connected()
        if (known := self._tasks.get(run_id)) is not None:
            seen = await absurd.fetch_task_result(known)
            if seen is not None and seen.state in {"pending", "sleeping"}:
                return
        spawned = await absurd.spawn(TASK, {"run": run_id, "not_before": not_before}, max_attempts=ATTEMPTS)
        self._tasks[run_id] = str(spawned["task_id"])
        while len(self._tasks) > REMEMBERED:
            self._tasks.popitem(last=False)

    async def cancel_hint(self, run_id: str) -> None:
        """Cancel the task by which this process has submitted the run. One that has begun ends by itself."""
        task = self._tasks.get(run_id)
        if task is None or self._absurd is None or run_id in self._busy:
            return
        absurd = await self._connected()
        seen = await absurd.fetch_task_result(task)
        if seen is not None and seen.state in {"pending", "sleeping"}:
            await absurd.cancel_task(task)

    async def reap(self, worker: str) -> int:  # noqa: ARG002  # absurd knows by itself
        """Nothing: absurd gives a task to another process when its claim has expired."""
        return 0

    async def health(self) -> DispatcherHealth:
        """How many runs are in the queue, and how many this process is at."""
        from psycopg import sql

        if self._absurd is None:
            return DispatcherHealth(False, 0, 0, "it is not started")
        table = sql.Identifier("absurd", f"t_{self.settings.queue}")
        query = sql.SQL("SELECT count(*) FROM {} WHERE state IN ('pending', 'sleeping')").format(table)
        try:
            async with await self._open() as connection:
                (waiting,) = await (await connection.execute(query)).fetchone() or (0,)
        except Exception as error:  # noqa: BLE001  # whatever a database's driver raises
            return DispatcherHealth(False, 0, len(self._busy), f"{type(error).__name__}: {error}")
        return DispatcherHealth(True, waiting, len(self._busy))

    # --- the connection ---

    async def _open(self) -> "AsyncConnection[Any]":
        from psycopg import AsyncConnection

        return await AsyncConnection.connect(_plain(self.settings.url), autocommit=True)

    async def _connected(self) -> "AsyncAbsurd":
        """A client with a connection that was not lost; tasks that are being executed keep theirs."""
        from absurd_sdk import AsyncAbsurd

        async with self._connecting:
            if self._absurd is None or self._connection is None or self._connection.closed:
                self._connection = await self._open()
                self._absurd = AsyncAbsurd(self._connection, queue_name=self.settings.queue)
                self._absurd.register_task(TASK)(self._execute)
            return self._absurd

    async def _disconnect(self) -> None:
        connection, self._connection, self._absurd = self._connection, None, None
        if connection is not None:
            await connection.close()

    # --- execution ---

    async def _lane(self, name: str) -> None:
        """Take one run after the other. Several lanes of one client are what its own concurrency is not: that
        begins no task before all of the batch before have ended.
        """
        pause = self.settings.poll_seconds
        while not self._stopping:
            try:
                absurd = await self._connected()
                await absurd.start_worker(
                    worker_id=name,
                    claim_timeout=self.settings.claim_seconds,
                    poll_interval=self.settings.poll_seconds,
                )
                pause = self.settings.poll_seconds
            except Exception as error:  # noqa: BLE001  # the database is away, or another lane has noticed it
                log.warning("the queue of absurd cannot be read, next try in %g s: %s", pause, error)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, 2 * pause)

    async def _execute(self, asked: Mapping[str, Any], context: "AsyncTaskContext") -> str:
        """What absurd executes: goes on with a run; returns its status."""
        run_id, not_before = asked["run"], asked["not_before"]
        if not_before is not None and not_before > time():
            await context.sleep_until("not before", not_before)
        runner = self._runner
        if runner is None or self._stopping or run_id in self._busy:
            return "elsewhere"  # a worker's next look finds it
        self._busy[run_id] = task = asyncio.ensure_future(runner.run_segment(run_id))
        beats = asyncio.create_task(self._beat(context))
        try:
            return await task
        except Exception as error:  # noqa: BLE001  # it is not absurd that tries again
            return f"failed: {type(error).__name__}"
        finally:
            del self._busy[run_id]
            beats.cancel()
            with suppress(asyncio.CancelledError):
                await beats

    async def _beat(self, context: "AsyncTaskContext") -> None:
        """Keep the claim while the run is gone on with. A claim that is lost costs nothing but a second look."""
        while True:
            await asyncio.sleep(self.settings.claim_seconds / 3)
            try:
                await context.heartbeat(self.settings.claim_seconds)
            except Exception as error:  # noqa: BLE001  # the epoch of the run refuses what comes too late
                log.warning("a claim of absurd could not be extended: %s", error)


def _plain(url: str) -> str:
    """A URL without the name of a driver, which psycopg does not know."""
    scheme, _, rest = url.partition("://")
    return f"postgresql://{rest}" if scheme.startswith("postgres") else url
