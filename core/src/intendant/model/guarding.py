"""Events of operation: shadow mode, watched limits, rollouts that are guarded; see `intendant.events`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from intendant.model.happening import Event, Severity


class ShadowDecided(Event):
    """What would have been decided about a step; shadow mode changes nothing."""

    type: Literal["shadow_decided"] = "shadow_decided"
    what: Literal["sharing", "routing", "compression"]
    wanted: str
    """What would have been done."""
    instead: str
    """What was done."""
    saved_tokens: int = 0
    """Input tokens that it would have saved."""
    saved_micro_usd: int | None = None
    """Micro-US$ that it would have saved, as estimated when the run was planned; None where that is not known."""


class LimitWatched(Event):
    """A run goes on beyond its budget because `budget.run_limit` is `watch`: it would have been refused."""

    type: Literal["limit_watched"] = "limit_watched"
    severity: Severity = "warning"
    scope: str
    unit: Literal["tokens", "micro_usd"]
    limit: int
    spent: int
    """What the run has spent with the call that went beyond."""


class RolloutMoved(Event):
    """The guard of a rollout moved a flag on, or back, after this run."""

    type: Literal["rollout_moved"] = "rollout_moved"
    flag: str
    before: float
    """Percent of the subjects."""
    after: float
    reason: str
    figures: Mapping[str, Mapping[str, int]] = Field(default_factory=dict)
    """By criterion: samples and bad ones, of runs with the feature (`on`) and without (`off`)."""
