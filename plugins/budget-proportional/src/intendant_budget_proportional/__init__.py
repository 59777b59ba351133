"""Shares tokens in proportion to what steps of their intents usually take."""

from intendant.plugin import Allocation, BudgetLine, BudgetRequest, BudgetStrategy, share

__all__ = ["ProportionalStrategy"]


class ProportionalStrategy(BudgetStrategy):
    """Each step's part is its intent's baseline, times the critical factor for critical steps.

    What a step cannot take because of its cap flows to the others (water-filling), so nothing is stranded.
    """

    name = "proportional"

    def allocate(self, request: BudgetRequest) -> Allocation:
        """The shares; their sum is the smaller of the total and the sum of the caps."""
        lines = [line for line in request.lines if line.needs_tokens]
        tokens = share(
            request.total,
            {line.step_id: _weight(line, request.critical_factor) for line in lines},
            caps={line.step_id: line.cap for line in lines},
            floors={line.step_id: line.floor for line in lines},
        )
        return Allocation(
            tokens=tokens, strategy=self.name, unallocated=max(0, request.total) - sum(tokens.values())
        )


def _weight(line: BudgetLine, critical_factor: float) -> float:
    """A step of an intent whose baseline is 0 still needs something, if it asks a model."""
    return max(line.baseline, 1) * (critical_factor if line.critical else 1.0)
