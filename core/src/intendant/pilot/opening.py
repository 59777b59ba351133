"""What a run is opened with: its row, its ledger, and what its steps are executed with."""

import json
from collections.abc import Mapping
from time import time

from intendant.model.errors import IntendantError
from intendant.model.requests import MemoryContext
from intendant.model.results import RunStatus
from intendant.model.workflow import Json
from intendant.pilot.client import Shared
from intendant.pilot.engine import Engine
from intendant.pilot.execution import RunContext
from intendant.pilot.limit_watch import enforced_limits
from intendant.pilot.resuming import PLAN_VERSION, file_of
from intendant.pilot.sandbox import Bounds
from intendant.planning.compression import CompressionChain
from intendant.planning.decided import Plan
from intendant.planning.run_routing import RunRouter
from intendant.planning.shadowing import acting
from intendant.record.journal import Journal
from intendant.record.rows import RunRow
from intendant.spending.ledger import RunLedger
from intendant.spending.nesting import outer_step


def new_row(
    engine: Engine, run_id: str, plan: Plan, inputs: Mapping[str, Json], memory: MemoryContext | None
) -> RunRow:
    """The row of a run that this process opens."""
    return RunRow(
        id=run_id,
        workflow=plan.workflow.name,
        agent=plan.workflow.agent,
        plan=plan.model_dump_json(by_alias=True, exclude_unset=True),
        plan_version=PLAN_VERSION,
        inputs=json.dumps(inputs),
        memory=None if memory is None else memory.model_dump_json(),
        status=RunStatus.running.value,
        worker=engine.worker,
        created_at=time(),
        tenant=engine.tenant,
        file=file_of(plan.workflow),
    )


def ledger_of(engine: Engine, plan: Plan, journal: Journal) -> RunLedger:
    """The ledger of a run, with the limits that hold for it."""
    budget = engine.settings.budget
    limits = enforced_limits(plan, journal, budget.run_limit)
    return RunLedger(
        journal,
        tokens=limits[0],
        micro_usd=limits[1],
        spent=(plan.planning_tokens, plan.planning_micro_usd),
        allocations={step.step_id: step.tokens for step in plan.steps if step.needs_model},
        overage=budget.overage_allowed,
        threshold=budget.overage_threshold,
        agent=plan.workflow.agent,
        standing=engine.standing,
        caps={item.key: item.limits for item in plan.workflow.placed if item.limits is not None},
        outer=outer_step(journal.store),
    )


def context_of(
    engine: Engine, plan: Plan, journal: Journal, ledger: RunLedger, memory: MemoryContext | None
) -> RunContext:
    """What the steps of a run are executed with."""
    settings, workflow = engine.settings, plan.workflow
    return RunContext(
        plugins=engine.plugins,
        questions=engine.questions,
        settings=settings,
        gateway=engine.gateway,
        journal=journal,
        ledger=ledger,
        chain=_chain(engine, plan),
        shared=Shared(memory, workflow.description or workflow.name),
        bounds=Bounds(settings.run.compute_seconds, settings.run.compute_megabytes),
        secrets=engine.secrets,
        dry=plan.dry,
        folder=plan.folder,
        router=router_of(engine, plan),
    )


def router_of(engine: Engine, plan: Plan) -> RunRouter | None:
    """Chooses models for the steps of a run; None where routing is off for it."""
    if not plan.candidates:
        return None
    router = engine.planner.router(plan.workflow, acting(plan.flags), plan.prior)
    return RunRouter(router, plan.candidates, engine.prices, engine.plugins.providers, engine.planner.policy)


def _chain(engine: Engine, plan: Plan) -> CompressionChain | None:
    """Compresses; None where compression is switched off for the run."""
    on = plan.flags or engine.planner.flags_of(plan.workflow)  # a run of an earlier version has none
    if not on["compression_enabled"]:
        return None
    own = engine.settings.compression.calibration
    return CompressionChain(
        engine.questions,
        shadow=on["shadow"],
        calibration="" if own is None else str(own),
        executor=engine.executor,
    )


def switched_off() -> IntendantError:
    """Why no run is opened where the master switch is off."""
    return IntendantError("the flag orchestration_enabled is off", hint="set flags.orchestration_enabled=true")
