"""Runs that can be gone on with, as they are in the store."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from intendant import events
from intendant.model.errors import IntendantError, RecordBroken, RunActive, WorkflowError
from intendant.model.requests import MemoryContext
from intendant.model.results import RunStatus, StepOutcome
from intendant.model.workflow import ROLLBACK, Json, Limits, Workflow
from intendant.pilot.engine import Engine
from intendant.pilot.plans import record_plan
from intendant.pilot.process_names import has_ended
from intendant.planning.decided import Plan
from intendant.record.journal import Journal
from intendant.record.rows import BudgetRow, RunRow, StepRow
from intendant.record.store import erasure, runs

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
    changed_file: str = ""
    """The workflow's file, where it has changed since the run was planned."""
    other: Mapping[str, str] = field(default_factory=dict)
    """Columns of the run that get another value when it is claimed."""


async def find_resumable(engine: Engine, run: str, *, take_over: bool) -> Resumable:
    """The run whose id is or begins with *run*; the newest for `last`. What is kept of it is verified.

    Args:
        engine: Whose store it is in, and whose tenant's it must be.
        run: Its id.
        take_over: Also where another process may still be at it.

    Raises:
        RunNotFound: There is none, or more than one.
        RecordBroken: Something of it was changed by something else than Intendant.
        IntendantError: There is nothing to go on with, or somebody may be at it.
    """
    return await _read(engine, run, partial(_refuse, take_over=take_over))


async def find_kept(engine: Engine, run: str) -> Resumable:
    """The same for a run of which another one takes over what is done; whatever became of it.

    Raises:
        RunNotFound: There is none, or more than one.
        RecordBroken: Something of it was changed by something else than Intendant.
        IntendantError: It was planned by another version, or what it has done was erased.
    """
    return await _read(engine, run, lambda row, _now: _refuse_other_version(row))


async def _read(engine: Engine, run: str, refuse: Callable[[RunRow, float], None]) -> Resumable:
    store = engine.store
    row = await store.do(runs.find_run(run, engine.tenant))
    await check_record(store, row.id)
    refuse(row, store.now())
    ended = row.status in (RunStatus.failed.value, RunStatus.refused.value)
    if ended and await store.do(runs.has_step(row.id, f"~{ROLLBACK}")):
        raise IntendantError(f"run {row.id} failed and was rolled back", hint="run its workflow anew")
    if await store.do(erasure.is_erased(row.id)):
        raise IntendantError(f"what run {row.id} has done was erased", hint="run its workflow anew")
    try:
        plan = Plan.model_validate_json(row.plan)
    except ValidationError:
        raise IntendantError(f"the plan of run {row.id} cannot be read", hint="run its workflow anew") from None
    memory = None if row.memory is None else MemoryContext.model_validate_json(row.memory)
    return Resumable(row.id, row.epoch, plan, json.loads(row.inputs), memory, _changed_file(row, plan))


def file_of(workflow: Workflow) -> str | None:
    """The absolute path of a workflow's file; None if it was made in code."""
    return str(Path(workflow.document.file).absolute()) if workflow.document.file else None


def _changed_file(row: RunRow, plan: Plan) -> str:
    if row.file is None or not Path(row.file).is_file():
        return ""
    try:
        same = Workflow.load(row.file).model_dump() == plan.workflow.model_dump()
    except WorkflowError:
        same = False
    return "" if same else row.file


async def check_record(store: "Store", run_id: str) -> None:
    """Pass if all that is kept of a run is what was written.

    Raises:
        RecordBroken: It is not; says what is wrong.
    """
    found = await store.verified(run_id)
    if found.broken:
        first = found.broken[0]
        more = f", and {len(found.broken) - 1} faults more" if len(found.broken) > 1 else ""
        raise RecordBroken(
            f"the record of run {run_id} is broken: {first.table} {first.key}: {first.reason}{more}",
            hint=f"it is not used; see all of it: intendant verify {run_id}",
        )


def outcomes_of(rows: Iterable[StepRow]) -> dict[str, StepOutcome]:
    """How steps stand, by their addresses, items and steps within others included. Those that failed or were
    skipped are executed again.
    """
    outcomes: dict[str, StepOutcome] = {}
    for row in rows:
        outcome = StepOutcome.model_validate_json(row.outcome)
        if row.output is not None:
            outcome = outcome.model_copy(update={"output": row.value})
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


def amounts_of(limits: Limits | None) -> tuple[int | None, int | None]:
    """Limits in tokens and in micro-US$; None for no limit."""
    if limits is None:
        return None, None
    return limits.tokens, None if limits.usd is None else round(limits.usd * 1_000_000)


def _refuse(row: RunRow, now: float, *, take_over: bool) -> None:
    if row.status == RunStatus.completed.value:
        raise IntendantError(
            f"run {row.id} is completed",
            hint="to do its workflow again, run it anew; `intendant fork RUN --from STEP [--with FILE]` does a "
            "part of it again, or of a corrected file",
        )
    _refuse_other_version(row)
    if row.status == RunStatus.running.value and not take_over and may_live(row, now):
        raise RunActive(
            f"run {row.id} may still be worked on, by {row.worker}",
            hint="make sure that this process has ended, then resume it with take_over",
        )


def _refuse_other_version(row: RunRow) -> None:
    if row.plan_version != PLAN_VERSION:
        raise IntendantError(
            f"run {row.id} was planned by another version of Intendant", hint="run its workflow anew"
        )


def may_live(row: RunRow, now: float) -> bool:
    """False only if the owner of a run is a process of this machine that has ended, or its lease has expired.

    Args:
        row: The run.
        now: Seconds since 1970, by the database's clock.
    """
    if row.lease_until is not None and row.lease_until < now:
        return False
    return not has_ended(row.worker)


def record_resumed(
    engine: Engine,
    journal: Journal,
    plan: Plan,
    found: Resumable,
    earlier: Sequence[events.Event],
    *,
    kept: int,
    corrected: bool,
) -> None:
    """Record that a run goes on.

    Args:
        engine: What goes on with it.
        journal: The run's.
        plan: By which it goes on.
        found: The run as it was found.
        earlier: Its events until now.
        kept: How many steps are not done again.
        corrected: True if its workflow was corrected.
    """
    if not any(isinstance(event, events.Initialized) for event in earlier):
        # Its first process died between opening the run and the commit of what it said about it.
        record_plan(plan, journal, found.inputs, engine.settings)
    journal.record(
        events.Resumed,
        worker=engine.worker,
        epoch=journal.fence.epoch,
        kept=kept,
        budget_tokens=plan.budget_tokens,
        budget_micro_usd=plan.budget_micro_usd,
        file_changed=found.changed_file,
        corrected=corrected,
    )
