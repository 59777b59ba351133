"""Shares tokens by the importance of intents."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from intendant.plugin import Allocation, BudgetLine, BudgetRequest, BudgetStrategy, Options, share

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


class PriorityStrategy(BudgetStrategy):
    """Each step's part is its intent's weight, times the classifier's confidence, times the critical factor.

    Baselines play no part. What a step cannot take because of its cap flows to the others (water-filling), so
    nothing is stranded.
    """

    name = "priority"
    Settings = PrioritySettings

    def allocate(self, request: BudgetRequest) -> Allocation:
        """The shares; their sum is the smaller of the total and the sum of the caps."""
        lines = [line for line in request.lines if line.needs_tokens]
        tokens = share(
            request.total,
            {line.step_id: self._weight(line, request.critical_factor) for line in lines},
            caps={line.step_id: line.cap for line in lines},
            floors={line.step_id: line.floor for line in lines},
        )
        return Allocation(
            tokens=tokens, strategy=self.name, unallocated=max(0, request.total) - sum(tokens.values())
        )

    def _weight(self, line: BudgetLine, critical_factor: float) -> float:
        settings: PrioritySettings = self.settings
        importance = settings.weights.get(line.intent, WEIGHTS.get(line.intent, 1.0))
        sure = max(line.confidence, LEAST_CONFIDENCE)
        return importance * sure * (critical_factor if line.critical else 1.0)
