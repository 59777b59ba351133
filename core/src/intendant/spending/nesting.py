"""Runs that are started inside a step: what they hold and spend counts in the budgets around that step as well."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intendant.record.rows import Spent

if TYPE_CHECKING:
    from intendant.record.store import Store
    from intendant.spending.ledger import RunLedger


@dataclass(frozen=True, slots=True)
class OuterStep:
    """The step in which a run was started.

    A process that resumes the inner run alone does not know it: the inner run's own limit, no more than the outer
    step had left when it began, holds on.
    """

    ledger: "RunLedger"
    """Of the outer run."""
    step_id: str

    @property
    def chain(self) -> Sequence[str]:
        """The budgets around the step, outermost first. Its own is not among them: that grows only by holds of the
        step itself.
        """
        return self.ledger.chain(self.step_id)[:-1]

    @property
    def left(self) -> int | None:
        """Tokens that the step could hold now; None if there is no limit."""
        return self.ledger.left(self.step_id)

    @property
    def micro_left(self) -> int | None:
        """Micro-US$ that the step may still spend; None if there is no limit."""
        return self.ledger.micro_left(self.step_id)

    def claim(self, tokens: int, micro: int) -> None:
        """Count what the inner run holds; negative amounts give it back."""
        self.ledger.claim_inside(self.step_id, tokens, micro)

    def spend(self, spent: Spent) -> None:
        """Count what the inner run has spent."""
        self.ledger.spend_inside(self.step_id, spent)


_STEP: ContextVar[OuterStep | None] = ContextVar("intendant_step", default=None)


@contextmanager
def inside(ledger: "RunLedger", step_id: str) -> Iterator[None]:
    """Runs that are started meanwhile, in this task and those that it starts, are inside of this step."""
    token = _STEP.set(OuterStep(ledger, step_id))
    try:
        yield
    finally:
        _STEP.reset(token)


def outer_step(store: "Store") -> OuterStep | None:
    """The step around the current task, if its run is in *store*: there are no holds in two databases at once."""
    found = _STEP.get()
    return found if found is not None and found.ledger.store is store else None


def least(*limits: int | None) -> int | None:
    """The lowest of limits, of which None is none."""
    return min((limit for limit in limits if limit is not None), default=None)
