"""The part of a run's budget that one step, or a group of steps, may spend."""

import re
from dataclasses import dataclass

from intendant.model.graph_keys import Limits


@dataclass(slots=True)
class StepBudget:
    """One step's part of a run's tokens."""

    scope: str
    limit: int
    spent: int = 0
    held: int = 0
    extra: int = 0
    """Tokens beyond its share that it drew from the pool; part of `limit`."""
    opened: bool = False
    cap: Limits | None = None
    """The budget that the workflow gives it."""
    micro: int = 0
    """Micro-US$ held and spent."""
    group: bool = False
    """True if it holds for several steps together."""

    @property
    def left(self) -> int:
        """Tokens that the step may still claim by right."""
        return self.limit - self.spent - self.held

    @property
    def growth(self) -> int | None:
        """Tokens by which the limit may still be raised; None for any number."""
        return None if self.cap is None or self.cap.tokens is None else max(0, self.cap.tokens - self.limit)


def budget_key(address: str) -> str:
    """The step whose budget a call counts to: items of a list share that of their step."""
    return _ITEM.sub("", address) if "[" in address else address


_ITEM = re.compile(r"\[[^\]]*\]")
