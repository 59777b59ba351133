"""The row of a new run."""

import json
from collections.abc import Mapping
from time import time

from intendant.model.requests import MemoryContext
from intendant.model.results import RunStatus
from intendant.model.workflow import Json
from intendant.pilot.engine import Engine
from intendant.pilot.resuming import PLAN_VERSION, file_of
from intendant.planning.decided import Plan
from intendant.record.rows import RunRow


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
