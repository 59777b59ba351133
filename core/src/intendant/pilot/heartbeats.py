"""Heartbeats renew the lease of a process on a run, and fetch a request to pause the run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from intendant.config.logs import get_logger
from intendant.model.errors import IntendantError
from intendant.pilot.frames import RunState
from intendant.record.store import liveness

LEASE_SECONDS = 20.0
"""TTL of a lease: without a heartbeat for so long, another process may take the run over."""
BEAT_SECONDS = 2.0
"""Between two heartbeats."""

log = get_logger("intendant.heartbeats")


def lease_until(now: float, *, beats: bool = True) -> float | None:
    """When a lease expires that is renewed *now*, in seconds since 1970; None for a run without heartbeats."""
    return now + LEASE_SECONDS if beats else None


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
            if await journal.store.do(liveness.beat(journal.fence, lease_until(journal.store.now()))):
                run.pause()
        except IntendantError as error:
            # The run's own next write meets the same fault, and says so; this task only misses one beat.
            log.warning("heartbeat_failed", run_id=journal.run_id, error=str(error))
