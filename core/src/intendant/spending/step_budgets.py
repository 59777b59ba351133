"""The part of a run's budget that one step, or a group of steps, may spend."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

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


def group_names(caps: Iterable[str], steps: Collection[str]) -> Iterator[tuple[str, str]]:
    """The budgets that hold for several steps, by the keys of the steps whose they are.

    A step that calls models itself has a budget of its own besides; then that of all within it has another name.

    Args:
        caps: The steps that have budgets.
        steps: The steps that call models.
    """
    around = {above for key in steps for above in _above(key)}
    for key in caps:
        if key not in steps:
            yield key, key
        elif key in around:
            yield key, f"{key}/"


def groups_around(key: str) -> Iterator[str]:
    """The names that budgets for several steps have whose part a step may be, outermost first."""
    for above in _above(key):
        yield above
        yield f"{above}/"
    yield f"{key}/"


def _above(key: str) -> Iterator[str]:
    parts = key.split("/")
    return ("/".join(parts[:length]) for length in range(1, len(parts)))


@lru_cache(maxsize=4096)
def budget_key(address: str) -> str:
    """The step whose budget a call counts to: items of a list share that of their step."""
    return _ITEM.sub("", address) if "[" in address else address


_ITEM = re.compile(r"\[[^\]]*\]")
