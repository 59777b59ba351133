"""Runs that can be gone on with, as they are in the store."""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from intendant.model.errors import IntendantError
from intendant.model.requests import MemoryContext
from intendant.model.results import RunStatus, StepOutcome, StepStatus
from intendant.model.workflow import Json
from intendant.planning.planner import Plan

if TYPE_CHECKING:
    from intendant.record.store import Store

PLAN_VERSION = 1
"""Of the plans that are stored with runs; a run of another version cannot be gone on with."""


@dataclass(frozen=True, slots=True)
class Resumable:
    """A run, and what was done of it."""

    run_id: str
    plan: Plan
    inputs: dict[str, Json]
    memory: MemoryContext | None
    outcomes: Mapping[str, StepOutcome]
    """The steps that are completed; those that failed or were skipped are looked at again."""


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
    row = await store.find_run(run)
    _refuse(row, take_over=take_over)
    try:
        plan = Plan.model_validate_json(row["plan"])
    except ValidationError:
        raise IntendantError(f"the plan of run {row['id']} cannot be read", hint="run its workflow anew") from None
    memory = None if row["memory"] is None else MemoryContext.model_validate_json(row["memory"])
    outcomes: dict[str, StepOutcome] = {}
    for step in await store.steps_of(row["id"]):
        if step["status"] == StepStatus.completed.value:
            outcome = StepOutcome.model_validate_json(step["outcome"])
            outcomes[step["key"]] = outcome.model_copy(update={"output": json.loads(step["output"])})
    return Resumable(row["id"], plan, json.loads(row["inputs"]), memory, outcomes)


def _refuse(row: Mapping[str, Any], *, take_over: bool) -> None:
    if row["status"] == RunStatus.completed.value:
        raise IntendantError(f"run {row['id']} is completed", hint="to do its workflow again, run it anew")
    if row["plan_version"] != PLAN_VERSION:
        raise IntendantError(
            f"run {row['id']} was planned by another version of Intendant", hint="run its workflow anew"
        )
    if row["status"] == RunStatus.running.value and not take_over and _may_live(row["worker"] or ""):
        raise IntendantError(
            f"run {row['id']} may still be worked on, by {row['worker']}",
            hint="see that this process has ended, or take the run over from it: --take-over",
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
