"""Runs that can be gone on with, as they are in the store."""

import json
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from intendant.model.errors import IntendantError, RunActive
from intendant.model.requests import MemoryContext
from intendant.model.results import RunStatus, StepOutcome
from intendant.model.workflow import Json
from intendant.planning.planner import Plan
from intendant.record.rows import BudgetRow, RunRow, StepRow
from intendant.record.store import runs

if TYPE_CHECKING:
    from intendant.record.store import Store

PLAN_VERSION = 1
"""Of the plans that are stored with runs; a run of another version cannot be gone on with."""


@dataclass(frozen=True, slots=True)
class Resumable:
    """A run that can be resumed."""

    run_id: str
    epoch: int
    plan: Plan
    inputs: dict[str, Json]
    memory: MemoryContext | None


async def find_resumable(store: "Store", run: str, *, take_over: bool) -> Resumable:
    """The run whose id is or begins with *run*; the newest for `last`.

    Args:
        store: Where it is kept.
        run: Its id.
        take_over: Also where another process may still be at it.

    Raises:
        RunNotFound: There is none, or more than one.
        IntendantError: There is nothing to go on with, or somebody may be at it.
    """
    row = await store.do(runs.find_run(run))
    _refuse(row, take_over=take_over)
    try:
        plan = Plan.model_validate_json(row.plan)
    except ValidationError:
        raise IntendantError(f"the plan of run {row.id} cannot be read", hint="run its workflow anew") from None
    memory = None if row.memory is None else MemoryContext.model_validate_json(row.memory)
    return Resumable(row.id, row.epoch, plan, json.loads(row.inputs), memory)


def outcomes_of(rows: Iterable[StepRow]) -> dict[str, StepOutcome]:
    """How steps stand, by their addresses, items and steps within others included. Those that failed or were
    skipped are executed again.
    """
    outcomes: dict[str, StepOutcome] = {}
    for row in rows:
        outcome = StepOutcome.model_validate_json(row.outcome)
        if row.output is not None:
            outcome = outcome.model_copy(update={"output": json.loads(row.output)})
        outcomes[row.key] = outcome
    return outcomes


def with_limits(plan: Plan, budget: BudgetRow | None, tokens: int | None, micro: int | None) -> Plan:
    """The plan with the limits that hold now: those of the run's *budget*, or the ones given where it has none
    yet. An earlier resume may have changed them.
    """
    if budget is not None:
        now: dict[str, int | None] = {"budget_tokens": budget.limit_tokens, "budget_micro_usd": budget.limit_micro}
    else:
        given = {"budget_tokens": tokens, "budget_micro_usd": micro}
        now = {name: limit for name, limit in given.items() if limit is not None}
    return plan.model_copy(update=now)


def _refuse(row: RunRow, *, take_over: bool) -> None:
    if row.status == RunStatus.completed.value:
        raise IntendantError(f"run {row.id} is completed", hint="to do its workflow again, run it anew")
    if row.plan_version != PLAN_VERSION:
        raise IntendantError(
            f"run {row.id} was planned by another version of Intendant", hint="run its workflow anew"
        )
    if row.status == RunStatus.running.value and not take_over and _may_live(row.worker or ""):
        raise RunActive(
            f"run {row.id} may still be worked on, by {row.worker}",
            hint="make sure that this process has ended, then resume it with take_over",
        )


def _may_live(worker: str) -> bool:
    """False only if it is certain that a process, `host:pid`, has ended: a process of this machine."""
    host, _, pid = worker.rpartition(":")
    if host != socket.gethostname() or not pid.isdecimal():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
