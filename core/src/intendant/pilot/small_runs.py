"""Runs that only account for what is paid beside the runs of workflows, such as telling intents."""

from time import time
from uuid import uuid4

from intendant import events
from intendant.model.results import RunStatus
from intendant.pilot.engine import Engine
from intendant.record.journal import Journal
from intendant.record.rows import RunRow
from intendant.record.store import runs


async def open_small_run(
    engine: Engine, name: str, agent: str, strategy: str, *, tokens: int | None = None, micro: int | None = None
) -> Journal:
    """Open one.

    Args:
        engine: Whose it is.
        name: What is paid for.
        agent: Who pays.
        strategy: A word for the limits: where they come from.
        tokens: The limit; None for none.
        micro: The same in micro-US$.
    """
    row = RunRow(
        id=f"c_{int(time() * 1000):012x}{uuid4().hex[:10]}",
        workflow=name,
        agent=agent,
        plan="{}",
        plan_version=0,
        inputs="{}",
        status=RunStatus.running.value,
        worker=engine.worker,
        created_at=time(),
        tenant=engine.tenant,
    )
    journal = Journal(engine.store, await engine.store.do(runs.open_run(row)))
    journal.record(
        events.Initialized,
        workflow=name,
        agent=agent,
        steps=1,
        budget_tokens=tokens,
        budget_micro_usd=micro,
        budget_strategy=strategy,
    )
    return journal


async def close_small_run(journal: Journal) -> None:
    """End it."""
    journal.record(events.Completed, status=RunStatus.completed, seconds=0.0)
    await journal.commit(runs.finish_run(journal.fence, RunStatus.completed.value))
