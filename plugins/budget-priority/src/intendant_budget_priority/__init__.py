"""Shares tokens by the importance of intents."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from intendant.plugin import BudgetLine, BudgetRequest, Options, WeightedShares

__all__ = ["PrioritySettings", "PriorityStrategy"]

WEIGHTS: Mapping[str, float] = {
    "generate": 1.5,
    "validate": 1.3,
    "extract": 1.2,
    "conditional": 0.5,
    "filter": 0.5,
}
LEAST_CONFIDENCE = 0.05
"""A step whose intent is a mere guess still has to be done."""


class PrioritySettings(Options):
    """Settings of the strategy `priority`."""

    weights: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    """Weight by intent, over the built-in ones; an intent without one weighs 1."""


class PriorityStrategy(WeightedShares):
    """Each step's part is its intent's weight, times the classifier's confidence, times the critical factor.

    Baselines play no part. What a step cannot take because of its cap flows to the others (water-filling), so
    nothing is stranded.
    """

    name = "priority"
    Settings = PrioritySettings

    def weight(self, line: BudgetLine, request: BudgetRequest) -> float:
        """Importance of the intent, confidence and critical factor."""
        settings: PrioritySettings = self.settings
        importance = settings.weights.get(line.intent, WEIGHTS.get(line.intent, 1.0))
        sure = max(line.confidence, LEAST_CONFIDENCE)
        return importance * sure * (request.critical_factor if line.critical else 1.0)
