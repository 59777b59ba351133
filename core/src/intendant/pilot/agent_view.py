"""What is known of the agent of a workflow before it runs."""

import json
from dataclasses import dataclass, field

from intendant.config.agent_files import NOBODY, AgentDefinition, Allowance, file_of, trusted_definition
from intendant.config.flags import is_on
from intendant.model.errors import IntendantError, WorkflowError
from intendant.model.graph_keys import Limits
from intendant.model.workflow import Workflow
from intendant.pilot.engine import Engine
from intendant.planning.allowance import budgeted, outside
from intendant.planning.decided import Plan
from intendant.planning.intensity import ENOUGH_RUNS
from intendant.planning.prior import Prior
from intendant.record.rows import AgentRow
from intendant.record.store import profiles


@dataclass(frozen=True, slots=True)
class AgentView:
    """What is known of an agent.

    Attributes:
        name: Its name.
        allowance: What its runs may do and take.
        prior: Its intensity, where that is to tip the scales.
        row: What the database has of it; None if nothing.
    """

    name: str
    allowance: Allowance = field(default_factory=Allowance)
    prior: Prior | None = None
    row: AgentRow | None = None

    def admit(self, workflow: Workflow, usual: Limits) -> Workflow:
        """The workflow with the budget that its run gets.

        Raises:
            WorkflowError: It does what its agent may not do; carries every problem.
        """
        if not self.allowance.known:
            return workflow
        if problems := outside(workflow, self.allowance):
            raise WorkflowError(problems)
        return budgeted(workflow, self.allowance, usual)


async def agent_of(engine: Engine, name: str, folder: str = "") -> AgentView:
    """What is known of an agent: its file beside the workflow, its row in the database, its intensity.

    Args:
        engine: Whose database and settings count.
        name: The agent.
        folder: Where its workflow's file is.

    Raises:
        SettingsError: Its file is wrong, or not trusted.
    """
    if name == NOBODY:
        return AgentView(name)
    path = file_of(folder, name)
    said = () if path is None else (("file", trusted_definition(path)),)
    row = await engine.store.do(profiles.find(engine.tenant, name)) if engine.store_exists else None
    allowance = Allowance(said=(*said, *_kept(row)), file="" if path is None else str(path))
    return AgentView(name, allowance, _prior(engine, name, allowance, row), row)


def _kept(row: AgentRow | None) -> tuple[tuple[str, AgentDefinition], ...]:
    if row is None or row.definition is None:
        return ()
    return (("database", AgentDefinition.model_validate_json(row.definition)),)


def _prior(engine: Engine, name: str, allowance: Allowance, row: AgentRow | None) -> Prior | None:
    """The agent's intensity as a prior: as it is said, else as it was measured in enough runs."""
    said = allowance.intensity
    if said is False or not is_on(engine.settings.flags.agent_prior_enabled, name):
        return None
    if said is not True:
        return Prior(score=float(said), source="as its definition says")
    if row is None or row.scores is None or row.runs < ENOUGH_RUNS:
        return None
    score = json.loads(row.scores)["combined"]
    return Prior(score=score, runs=row.runs, source=f"of {row.runs} runs")


async def refuse_beyond(engine: Engine, plan: Plan, limits: Limits | None) -> None:
    """Refuse to raise a run's limits beyond what its agent may get.

    Raises:
        IntendantError: They are beyond it.
        SettingsError: The agent's file is wrong, or not trusted.
    """
    if limits is None:
        return
    view = await agent_of(engine, plan.workflow.agent, plan.folder)
    most = view.allowance.limits
    for unit in ("tokens", "usd"):
        asked, limit = getattr(limits, unit), getattr(most, unit)
        if asked is not None and limit is not None and asked > limit:
            raise IntendantError(
                f"the agent '{view.name}' may get at most {limit:,} {unit} a run", hint="give the run less"
            )
