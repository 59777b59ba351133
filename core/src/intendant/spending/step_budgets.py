"""Budgets of steps and of groups of steps, within the budget of their run."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from intendant.model.graph_keys import Limits


@dataclass(slots=True)
class StepBudget:
    """The budget of one step, or of a group of steps."""

    scope: str
    limit: int
    spent: int = 0
    held: int = 0
    extra: int = 0
    """Tokens drawn from the pool beyond the step's share; included in `limit`."""
    opened: bool = False
    cap: Limits | None = None
    """The budget that the workflow sets."""
    micro: int = 0
    """Micro-US$ held and spent."""
    group: bool = False
    """True if several steps share it."""

    @property
    def left(self) -> int:
        """Tokens left without drawing from the pool."""
        return self.limit - self.spent - self.held

    @property
    def growth(self) -> int | None:
        """Tokens by which the limit may still grow; None for no bound."""
        return None if self.cap is None or self.cap.tokens is None else max(0, self.cap.tokens - self.limit)


def group_names(caps: Iterable[str], steps: Collection[str]) -> Iterator[tuple[str, str]]:
    """The names of the budgets that several steps share, each with the key of the step that sets it.

    A step that calls models itself also has its own budget; the shared one then has another name.

    Args:
        caps: Keys of the steps that set a budget.
        steps: Keys of the steps that call models.
    """
    around = {above for key in steps for above in _above(key)}
    for key in caps:
        if key not in steps:
            yield key, key
        elif key in around:
            yield key, f"{key}/"


def groups_around(key: str) -> Iterator[str]:
    """The possible names of the shared budgets that a step belongs to, outermost first."""
    for above in _above(key):
        yield above
        yield f"{above}/"
    yield f"{key}/"


def _above(key: str) -> Iterator[str]:
    parts = key.split("/")
    return ("/".join(parts[:length]) for length in range(1, len(parts)))


@lru_cache(maxsize=4096)
def budget_key(address: str) -> str:
    """The key of the budget that a call counts against: items of a list share the budget of their step."""
    return _ITEM.sub("", address) if "[" in address else address


_ITEM = re.compile(r"\[[^\]]*\]")
