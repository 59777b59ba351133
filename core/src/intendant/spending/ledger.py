"""Holds and charges of one run: reserve → settle or release, in tokens and in money, in every budget of a chain.

The sum cannot be overspent by any number of tasks or processes: the database itself refuses (`spent + held <=
limit`). Nothing is sent before its worst case is held.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import time

from intendant.model import events
from intendant.model.errors import BudgetExceeded
from intendant.model.results import Usage
from intendant.record.journal import Journal
from intendant.record.store import budgets
from intendant.record.store.budgets import HoldRow, Spent

HOLD_SECONDS = 3600.0


@dataclass(slots=True)
class StepBudget:
    """One step's part of a run's tokens."""

    scope: str
    limit: int
    spent: int = 0
    held: int = 0
    opened: bool = False

    @property
    def left(self) -> int:
        """Tokens that the step may still claim by right."""
        return self.limit - self.spent - self.held


class RunLedger:
    """The budgets of one run.

    Args:
        journal: The run's journal.
        tokens: Limit of the run; None for none.
        micro_usd: Limit of the run; None for none.
        allocations: Tokens by step id.
        overage: True if a step that runs short may draw on tokens that no step has a right to: those never
            allocated, and those that finished steps left.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        tokens: int | None,
        micro_usd: int | None,
        allocations: dict[str, int],
        overage: bool = True,
    ) -> None:
        self._journal = journal
        self._scope = f"run:{journal.run_id}"
        self._limits = (tokens, micro_usd)
        self._overage = overage
        self._steps = {
            step_id: StepBudget(f"step:{journal.run_id}/{step_id}", limit)
            for step_id, limit in allocations.items()
        }
        self._pool = max(0, tokens - sum(allocations.values())) if tokens is not None else None

    async def open(self) -> None:
        """Create the run's budget in the store."""
        tokens, micro = self._limits
        row = {"id": self._scope, "parent": None, "limit_tokens": tokens, "limit_micro": micro}
        await self._journal.commit(budgets.open_budgets([row]))

    def left(self, step_id: str) -> int | None:
        """Tokens that a step could hold now, the common pool included; None if there is no limit."""
        if self._pool is None:
            return None
        own = self._steps[step_id].left if step_id in self._steps else 0
        return max(0, own) + (self._pool if self._overage else 0)

    async def micro_left(self) -> int | None:
        """Micro-US$ that the run may still spend; None if there is no limit."""
        if self._limits[1] is None:
            return None
        state = await self._journal.store.do(budgets.state_of(self._scope))
        return int(state["limit_micro"] - state["spent_micro"] - state["held_micro"])

    def finish(self, step_id: str) -> None:
        """A step has ended: what it leaves goes to the pool."""
        step = self._steps.get(step_id)
        if self._pool is not None and step is not None and step.left > 0:
            self._pool += step.left
            step.limit -= step.left

    async def reserve(self, row: HoldRow, event: events.TokensReserved) -> None:
        """Hold a call's worst case, in one commit with its event.

        Raises:
            BudgetExceeded: A budget does not admit it. Nothing is held.
        """
        step = await self._open_step(row.step_key)
        left = self.left(row.step_key) or 0
        missing = row.tokens - step.left if self._pool is not None else 0
        # Claimed before anything is awaited: a call beside this one must not count on the same tokens.
        step.held += row.tokens
        held: asyncio.Future[None] | None = None
        try:
            if missing > 0:
                await self._draw(step, missing, row.tokens, left)
            held = asyncio.ensure_future(
                self._journal.commit(budgets.reserve(row, self.chain(row.step_key)), event)
            )
            await asyncio.shield(held)
        except asyncio.CancelledError:
            if held is None:
                step.held -= row.tokens
            else:
                await self._undo(row, step, held)
            raise
        except BaseException:
            step.held -= row.tokens
            raise

    async def _undo(self, row: HoldRow, step: StepBudget, held: "asyncio.Future[None]") -> None:
        """A call was cancelled while its hold was being made: wait for the truth, and give it back."""
        try:
            await held
        except BudgetExceeded:
            step.held -= row.tokens
            return
        nothing = events.TokensSettled(
            run_id=row.run_id,
            step_id=row.step_key,
            call=row.key,
            provider=row.provider,
            model=row.model,
            usage=Usage(),
            outcome="refused",
        )
        await self.release(row, nothing)

    async def _open_step(self, step_id: str) -> StepBudget:
        step = self._steps.setdefault(step_id, StepBudget(f"step:{self._journal.run_id}/{step_id}", 0))
        if not step.opened:
            step.opened = True
            limit = step.limit if self._pool is not None else None
            row = {"id": step.scope, "parent": self._scope, "limit_tokens": limit, "limit_micro": None}
            await self._journal.commit(budgets.open_budgets([row]))
        return step

    async def _draw(self, step: StepBudget, missing: int, asked: int, left: int) -> None:
        """Let a step that runs short have tokens of the pool."""
        if not self._overage or self._pool is None or missing > self._pool:
            raise BudgetExceeded(step.scope, "tokens", asked, left)
        self._pool -= missing
        step.limit += missing
        await self._journal.commit(budgets.raise_limit(step.scope, missing))

    async def settle(
        self,
        row: HoldRow,
        spent: Spent,
        reply: str | None,
        event: events.TokensSettled,
        *,
        in_doubt: bool = False,
    ) -> None:
        """Charge what a call took and keep its answer, in one commit with its event."""
        work = budgets.settle(row.key, self.chain(row.step_key), spent, reply, in_doubt=in_doubt)
        await self._journal.commit(work, event)
        step = self._steps[row.step_key]
        step.held -= row.tokens
        step.spent += spent.tokens
        beyond = spent.tokens - row.tokens
        if beyond > 0:
            self._overrun(row, beyond, max(0, -step.left))

    def _overrun(self, row: HoldRow, tokens: int, missing: int) -> None:
        """A call took more than its worst case: the pool pays as far as it can, and that is an event."""
        if self._pool is not None:
            self._pool = max(0, self._pool - missing)
        self._journal.record(
            events.BudgetExceededEvent(
                run_id=row.run_id,
                step_id=row.step_key,
                scope=f"hold of {row.provider}/{row.model}",
                unit="tokens",
                asked=row.tokens + tokens,
                left=row.tokens,
            )
        )

    async def release(self, row: HoldRow, event: events.TokensSettled) -> None:
        """Give a hold back, in one commit with its event."""
        await self._journal.commit(budgets.release(row.key, self.chain(row.step_key)), event)
        self._steps[row.step_key].held -= row.tokens

    def chain(self, step_id: str) -> Sequence[str]:
        """The budgets a call of this step must fit, in the fixed order in which they are locked."""
        return (self._scope, f"step:{self._journal.run_id}/{step_id}")

    @staticmethod
    def expiry() -> float:
        """When a hold made now expires."""
        return time() + HOLD_SECONDS
