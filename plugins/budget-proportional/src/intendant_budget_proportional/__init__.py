"""Shares tokens in proportion to what steps of their intents usually take."""

from intendant.plugin import BudgetLine, BudgetRequest, WeightedShares

__all__ = ["ProportionalStrategy"]


class ProportionalStrategy(WeightedShares):
    """Each step's part is its intent's baseline, times the critical factor for critical steps.

    What a step cannot take because of its cap flows to the others (water-filling), so nothing is stranded.
    """

    name = "proportional"

    def weight(self, line: BudgetLine, request: BudgetRequest) -> float:
        """The baseline; a step of an intent whose baseline is 0 still needs something, if it asks a model."""
        return max(line.baseline, 1) * (request.critical_factor if line.critical else 1.0)
