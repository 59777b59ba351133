"""The figures of agents: updated as their runs end, and explained."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from intendant.config.agent_files import NOBODY
from intendant.config.settings import AgentSettings
from intendant.model.results import RunStatus
from intendant.pilot.engine import Engine
from intendant.planning.decided import Plan
from intendant.planning.intensity import WINDOW, Design, Intensity, Observation, intensity_of
from intendant.planning.run_facts import ObservationFold
from intendant.record.rows import Fence
from intendant.record.store import profiles, runs

if TYPE_CHECKING:
    from intendant.record.store.statements import Work

COUNTED = frozenset({RunStatus.completed, RunStatus.failed, RunStatus.refused, RunStatus.overrun})
"""Ends that say something of an agent: a run that waits has not ended, and one that was cancelled was stopped by
somebody.
"""


def ending(
    engine: Engine,
    plan: Plan,
    fence: Fence,
    status: RunStatus,
    fold: ObservationFold | None,
    due: float | None = None,
) -> "Work[None]":
    """Work that notes how a run ended, and what that makes of its agent; *due* is when a waiting run goes on."""
    agent = plan.workflow.agent
    if fold is None or not counts(plan, status):
        return runs.finish_run(fence, status.value, due)
    chosen = engine.settings.agents

    def compute(rows: Sequence[str], count: int) -> str:
        return to_json(computed(rows, count, chosen))

    observed = json.dumps(fold.result()._asdict())
    return profiles.finish_run(fence, status.value, engine.tenant, agent, observed, compute, WINDOW)


def counts(plan: Plan, status: RunStatus) -> bool:
    """True if a run that ended so says something of its agent."""
    return status in COUNTED and is_rated(plan)


def is_rated(plan: Plan) -> bool:
    """True if a run says something of its agent."""
    return not plan.dry and plan.workflow.agent != NOBODY


@lru_cache(maxsize=2000)
def observation(data: str) -> Observation:
    """An observation from its JSON; cached, since each end of a run reads those before it again."""
    values = json.loads(data)
    return Observation(**{**values, "design": Design(*values["design"])})


def computed(rows: Sequence[str], count: int, settings: AgentSettings) -> Intensity:
    """The figures of observations as JSON, the newest first, of an agent with *count* runs."""
    ranges = {key: (low, high) for key, (low, high) in settings.ranges.items()}
    return intensity_of([observation(row) for row in rows], count, half_life=settings.half_life, ranges=ranges)


def to_json(figures: Intensity) -> str:
    """The scores that are kept beside an agent; all else is computed from its observations again."""
    kept = ("runs", "creation", "execution", "combined", "band", "multiplier")
    return json.dumps({name: getattr(figures, name) for name in kept} | {"measures": figures.measures._asdict()})


def as_map(figures: Intensity) -> Mapping[str, Any]:
    """All of it, for `--json`."""
    return {
        **figures._asdict(),
        "growth": figures.growth._asdict(),
        "measures": figures.measures._asdict(),
        "components": [
            {**component._asdict(), "factors": [factor._asdict() for factor in component.factors]}
            for component in figures.components
        ],
    }
