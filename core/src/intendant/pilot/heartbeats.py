"""Heartbeats: a process says that it is still at a run, and hears whether the run is to pause."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import time

from intendant.config.logs import get_logger
from intendant.model.errors import IntendantError
from intendant.pilot.frames import RunState
from intendant.record.store import liveness

LEASE_SECONDS = 20.0
"""After this without a heartbeat another process may take a run over."""
BEAT_SECONDS = 2.0
"""Between two heartbeats."""

log = get_logger("intendant.heartbeats")


def lease_until() -> float:
    """Until when a process that says now that it lives owns a run, in seconds since 1970."""
    return time() + LEASE_SECONDS


@asynccontextmanager
async def beating(run: RunState) -> AsyncIterator[None]:
    """Send heartbeats of a run while the block is executed, and pause the run once that is asked for."""
    task = asyncio.create_task(_beat(run), name=f"intendant:heartbeats:{run.journal.run_id}")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _beat(run: RunState) -> None:
    journal = run.journal
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        try:
            if await journal.store.do(liveness.beat(journal.fence, lease_until())):
                run.pause()
        except IntendantError as error:
            # The run's own next write meets the same fault, and says so; this task only misses one beat.
            log.warning("heartbeat_failed", run_id=journal.run_id, error=str(error))
