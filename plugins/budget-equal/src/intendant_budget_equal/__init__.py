"""Shares tokens equally."""

from intendant.plugin import Allocation, BudgetRequest, BudgetStrategy, share

__all__ = ["EqualStrategy"]


class EqualStrategy(BudgetStrategy):
    """Each step that asks a model gets the same, critical or not, as far as its cap allows.

    What a step cannot take because of its cap flows to the others (water-filling), so nothing is stranded.
    """

    name = "equal"

    def allocate(self, request: BudgetRequest) -> Allocation:
        """The shares; their sum is the smaller of the total and the sum of the caps."""
        lines = [line for line in request.lines if line.needs_tokens]
        tokens = share(
            request.total,
            {line.step_id: 1.0 for line in lines},
            caps={line.step_id: line.cap for line in lines},
            floors={line.step_id: line.floor for line in lines},
        )
        return Allocation(
            tokens=tokens, strategy=self.name, unallocated=max(0, request.total) - sum(tokens.values())
        )
