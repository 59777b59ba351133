"""Events of routing: which model a step is sent to, and why; `intendant.events` has all events."""

from collections.abc import Mapping
from typing import Literal

from intendant.model.happening import Event
from intendant.model.workflow import Frozen


class RouteCandidate(Frozen):
    """A model that could have been asked."""

    tier: str
    provider: str
    model: str
    micro_usd: int | None = None
    """What the call is expected to cost, in micro-US$; None if the price is not known."""
    score: float | None = None
    """The quality that the policy expects of it, 0 to 1; None where it says nothing of the model."""
    refused: str = ""
    """Why it was not asked: `excluded`, `budget` or `window`; empty where it could be."""

    @property
    def name(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"


class RouteDecided(Event):
    """The model of an attempt at a step was chosen, by what the step is given. Everything that the choice depends
    on is here, so that `intendant route check RUN` makes it again.
    """

    type: Literal["route_decided"] = "route_decided"
    intent: str
    difficulty: float
    """Of the resolved step, 0 to 10, the agent's part included."""
    factors: Mapping[str, float]
    by_tiers: str
    """The tier that takes steps of this difficulty."""
    candidates: tuple[RouteCandidate, ...]
    """Cheapest tier first."""
    ask: tuple[str, ...]
    """The models that are asked, in turn, as `provider/model`; more than one must agree."""
    last: str = ""
    """Decides where they do not agree."""
    agree: int = 2
    reason: str
    policy: str = ""
    """Digest of the policy that was asked; empty for none."""
    novel: bool = False
    """True if the prompt is unlike what the policy was learned from, so that the tiers decided."""
    excluded: tuple[str, ...] = ()
    """Tiers whose answers had failed."""

    @property
    def tier(self) -> str:
        """That of the first model that is asked."""
        return next((each.tier for each in self.candidates if each.name == self.ask[0]), self.by_tiers)
