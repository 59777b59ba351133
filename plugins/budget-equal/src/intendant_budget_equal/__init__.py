"""Shares tokens equally."""

from intendant.plugin import BudgetLine, BudgetRequest, WeightedShares

__all__ = ["EqualStrategy"]


class EqualStrategy(WeightedShares):
    """Each step that asks a model gets the same, critical or not, as far as its cap allows.

    What a step cannot take because of its cap flows to the others (water-filling), so nothing is stranded.
    """

    name = "equal"

    def weight(self, line: BudgetLine, request: BudgetRequest) -> float:  # noqa: ARG002  # all weigh the same
        """The same for each."""
        return 1.0
