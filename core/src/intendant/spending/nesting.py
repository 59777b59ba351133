"""Nested runs, started within a step: they also count against the budgets around that step."""

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
    """The step that started a nested run.

    A process that resumes only the nested run does not know it. The limit of the nested run still applies: it is
    at most what the outer step had left at the start.
    """

    ledger: "RunLedger"
    """The ledger of the outer run."""
    step_id: str

    @property
    def chain(self) -> Sequence[str]:
        """The budgets around the step, outermost first, without its own: that grows only by holds of the step
        itself.
        """
        return self.ledger.chain(self.step_id)[:-1]

    @property
    def left(self) -> int | None:
        """Tokens that the step can hold now; None for no limit."""
        return self.ledger.left(self.step_id)

    @property
    def micro_left(self) -> int | None:
        """Micro-US$ that the step may still spend; None for no limit."""
        return self.ledger.micro_left(self.step_id)

    def claim(self, tokens: int, micro: int) -> None:
        """Add the holds of the nested run; negative amounts release them."""
        self.ledger.claim_inside(self.step_id, tokens, micro)

    def spend(self, spent: Spent) -> None:
        """Add the spending of the nested run."""
        self.ledger.spend_inside(self.step_id, spent)


_STEP: ContextVar[OuterStep | None] = ContextVar("intendant_step", default=None)


@contextmanager
def inside(ledger: "RunLedger", step_id: str) -> Iterator[None]:
    """A context in which this task, and tasks that it starts, start runs nested in this step."""
    token = _STEP.set(OuterStep(ledger, step_id))
    try:
        yield
    finally:
        _STEP.reset(token)


def outer_step(store: "Store") -> OuterStep | None:
    """The step of the current task, if its run is in *store*: a call cannot be held in two databases."""
    found = _STEP.get()
    return found if found is not None and found.ledger.store is store else None


def least(*limits: int | None) -> int | None:
    """The lowest of several limits; None means no limit."""
    return min((limit for limit in limits if limit is not None), default=None)
