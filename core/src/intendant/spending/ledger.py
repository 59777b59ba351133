"""Holds and charges of one run: reserve → settle or release, in tokens and in money, in each budget of the chain
tenant → agent → run → step.

No number of tasks or processes can overspend a budget: the database enforces `spent + held <= limit`. No request
is sent before its worst case is held.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from time import time
from typing import TYPE_CHECKING

from intendant import events
from intendant.model.errors import BudgetExceeded
from intendant.model.graph_keys import Limits
from intendant.model.results import Usage
from intendant.record.journal import Journal
from intendant.record.rows import BudgetRow, HoldRow, Spent
from intendant.record.store import budgets, holds, take_over
from intendant.record.store.holds import LeaseLost
from intendant.record.store.statements import Work
from intendant.spending.nesting import OuterStep, least
from intendant.spending.standing import Lease, StandingBudgets
from intendant.spending.step_budgets import StepBudget, budget_key, group_names, groups_around

if TYPE_CHECKING:
    from intendant.record.store import Store

UNDOES = "/rollback/"
"""Part of the keys of rollback steps, which run after all others when a run has failed."""
HOLD_SECONDS = 3600.0
"""A hold that stays open longer is charged in full. If its call ends later, the difference is credited."""


def is_standing(error: BaseException) -> bool:
    """True if a standing budget, that of an agent or a tenant, refused the call."""
    return isinstance(error, BudgetExceeded) and error.scope.startswith(("agent:", "tenant:"))


class RunLedger:
    """The budgets of one run.

    Args:
        journal: The run's journal.
        tokens: Token limit of the run; None for no limit.
        micro_usd: Limit of the run in micro-US$; None for no limit.
        allocations: Tokens by step id.
        spent: Tokens and micro-US$ that planning has used; they count against the limits of the run.
        overage: True if a step that runs short may draw on the pool: tokens that were never allocated, and those
            that finished steps did not use.
        threshold: Limit of that, as a multiple of the step's share; None for no limit.
        agent: The agent of the run.
        standing: The standing budgets of the agent and its tenant.
        caps: Budgets that the workflow sets, by path of the step. All steps of a group share its budget.
        outer: The step that started this run, if any.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        tokens: int | None,
        micro_usd: int | None,
        allocations: dict[str, int],
        spent: tuple[int, int] = (0, 0),
        overage: bool = True,
        threshold: float | None = None,
        agent: str = "default",
        standing: StandingBudgets | None = None,
        caps: Mapping[str, Limits] | None = None,
        outer: OuterStep | None = None,
    ) -> None:
        self._journal = journal
        self.agent = agent
        self.standing = StandingBudgets(journal.store) if standing is None else standing
        self._scope = f"run:{journal.run_id}"
        if outer is not None:
            tokens, micro_usd = least(tokens, outer.left), least(micro_usd, outer.micro_left)
        self._outer = outer
        self._limits = (tokens, micro_usd)
        self._overage = overage
        self._threshold = None if threshold is None else Fraction(str(threshold))
        self._leased: dict[str, Lease] = {}
        self._spent = spent
        self._micro = spent[1]
        self._tried: set[str] = set()
        self._queued: set[str] = set()
        self.overrun = False
        """True if a call used more than was held for it."""
        caps = caps or {}
        self._steps = {
            step_id: StepBudget(self._scope_of(step_id), limit, cap=caps.get(step_id))
            for step_id, limit in allocations.items()
        }
        self._groups = {
            name: StepBudget(self._scope_of(name), caps[key].tokens or 0, cap=caps[key], group=True)
            for key, name in group_names(caps, allocations)
        }
        self._above: dict[str, tuple[StepBudget, ...]] = {}
        self._nested = any("/" in key for key in allocations)
        self._pool = max(0, tokens - spent[0] - sum(allocations.values())) if tokens is not None else None

    async def open(self, finished: Collection[str] = ()) -> None:
        """Create the budget of the run in the store, or load it if another process has created it, and close the
        holds of dead processes.

        Args:
            finished: Steps that have ended; their unused tokens go to the pool.
        """
        tokens, micro = self._limits
        row = BudgetRow(
            self._scope,
            f"agent:{self.agent}",
            tokens,
            micro,
            spent_tokens=self._spent[0],
            spent_micro=self._spent[1],
        )
        rows = [row, *(self._row_of(group) for group in self._groups.values())]
        if self._journal.fence.epoch == 1:  # committed before any hold in it
            self._journal.commit_later(budgets.open_budgets(rows))
        else:
            for opened in rows:
                await self._journal.commit(budgets.open_with_limit(opened))
            await self._release_unsent()
            self._restore(await self._journal.store.do(budgets.budgets_of_run(self._journal.run_id)), finished)
        self.standing.sweep_later()

    async def _release_unsent(self) -> None:
        """Release the holds of a dead process for calls that were queued but never sent."""
        journal = self._journal
        left = await journal.store.do(take_over.left_by(journal.run_id, journal.fence.epoch))
        self.overrun = left.overrun
        if left.unsent:
            said = [
                journal.step(row.step_key).event(
                    events.TokensSettled,
                    call=row.key,
                    provider=row.provider,
                    model=row.model,
                    usage=Usage(),
                    outcome="refused",
                )
                for row in left.unsent
            ]
            await journal.commit(take_over.release_all([row.key for row in left.unsent]), *said)

    def _restore(self, states: Mapping[str, BudgetRow], finished: Collection[str]) -> None:
        """Add what earlier owners of the run spent and held."""
        own = states[self._scope]
        self._micro = own.spent_micro + own.held_micro
        for scope, state in states.items():
            if scope == self._scope:
                continue
            step_id = scope.partition("/")[2]
            if (group := self._groups.get(step_id)) is not None:
                group.spent, group.held, group.opened = state.spent_tokens, state.held_tokens, True
                group.micro = state.spent_micro + state.held_micro
                continue
            step = self._steps.setdefault(step_id, StepBudget(scope, 0))
            step.extra = max(0, (state.limit_tokens or 0) - step.limit)
            step.limit += step.extra
            step.spent, step.held, step.opened = state.spent_tokens, state.held_tokens, True
            step.micro = state.spent_micro + state.held_micro
        for step_id in finished:
            if (done := self._steps.get(step_id)) is not None:
                done.limit = done.spent + done.held
        if self._limits[0] is not None:
            # Spending of nested runs counts in the budget of this run, but in that of no step.
            of_steps = sum(step.spent + step.held for step in self._steps.values())
            inside = max(0, own.spent_tokens + own.held_tokens - self._spent[0] - of_steps)
            given = sum(step.limit for step in self._steps.values())
            self._pool = max(0, self._limits[0] - self._spent[0] - given - inside)

    def _scope_of(self, key: str) -> str:
        return f"step:{self._journal.run_id}/{key}"

    def _row_of(self, step: StepBudget) -> BudgetRow:
        """The row of a step's budget in the store."""
        cap = step.cap
        tokens = None if self._pool is None or step.group else step.limit
        if tokens is None and cap is not None:
            tokens = cap.tokens
        return BudgetRow(step.scope, self._scope, tokens, None if cap is None else cap.micro_usd)

    def _groups_of(self, key: str) -> tuple[StepBudget, ...]:
        """The budgets of the groups that contain a step, outermost first."""
        found = self._above.get(key)
        if found is None:
            found = tuple(self._groups[name] for name in groups_around(key) if name in self._groups)
            self._above[key] = found
        return found

    def left(self, step_id: str) -> int | None:
        """Tokens that a step can hold now, including the pool; None for no limit."""
        key = budget_key(step_id)
        step, lefts = self._steps.get(key), []
        if self._pool is not None:
            own = 0 if step is None else max(0, step.left)
            lefts.append(own + (self._drawable(step) if self._overage else 0))
        elif step is not None and step.cap is not None and step.cap.tokens is not None:
            lefts.append(max(0, step.cap.tokens - step.spent - step.held))
        lefts += [
            max(0, group.cap.tokens - group.spent - group.held)
            for group in self._groups_of(key)
            if group.cap is not None and group.cap.tokens is not None
        ]
        return least(*lefts, None if self._outer is None else self._outer.left)

    def total(self, step_id: str) -> int | None:
        """Tokens that a step can hold now, plus those it holds or has spent; None for no limit."""
        left, step = self.left(step_id), self._steps.get(budget_key(step_id))
        return left if left is None or step is None else left + step.spent + step.held

    def _drawable(self, step: StepBudget | None) -> int:
        """Tokens that a step may draw from the pool."""
        pool = self._pool or 0
        if step is not None and step.growth is not None:
            pool = min(pool, step.growth)
        if self._threshold is None:
            return pool
        share, extra = (0, 0) if step is None else (step.limit - step.extra, step.extra)
        return min(pool, max(0, int(share * (self._threshold - 1)) - extra))

    def note_try(self, call: str) -> None:
        """Note that a call with this key is being sent."""
        self._tried.add(call)

    def tried(self, call: str) -> bool:
        """True if this process has sent a call with this key."""
        return call in self._tried

    def micro_left(self, step_id: str) -> int | None:
        """Micro-US$ that a step may still spend; None for no limit.

        One process owns the run at a time, so its own count is right. The database enforces the limit all the
        same.
        """
        key = budget_key(step_id)
        lefts = [] if self._limits[1] is None else [self._limits[1] - self._micro]
        step = self._steps.get(key)
        lefts += [
            budget.cap.micro_usd - budget.micro
            for budget in (*self._groups_of(key), *((step,) if step is not None else ()))
            if budget.cap is not None and budget.cap.micro_usd is not None
        ]
        found = least(*lefts, None if self._outer is None else self._outer.micro_left)
        return None if found is None else max(0, found)

    def finish(self, step_id: str) -> None:
        """Return the unused tokens of a step that has ended, and of the steps within it, to the pool; rollback
        steps keep theirs.
        """
        inner = f"{step_id}/"
        names = [key for key in self._steps if key.startswith(inner)] if self._nested else []
        for name in (step_id, *(name for name in names if UNDOES not in name[len(step_id) :])):
            self._finish(name)

    def _finish(self, key: str) -> None:
        step = self._steps.get(key)
        if self._pool is not None and step is not None and step.left > 0:
            self._pool += step.left
            step.limit -= step.left

    async def reserve(self, row: HoldRow, event: events.TokensReserved) -> None:
        """Hold the worst case of a call, in one commit with its event.

        The same commit opens the budget of the step, and adds to it what the step draws from the pool.

        Raises:
            BudgetExceeded: A budget does not admit it. Nothing is held.
        """
        key = budget_key(row.step_key)
        step = self._steps.setdefault(key, StepBudget(self._scope_of(key), 0))
        drawn = self._draw(row, step)
        # Claim the tokens before the first await, so that no concurrent call counts on them.
        self._claim(row, step)
        try:
            await self._make(row, self._prepared(step, drawn), [event, *self._drawn_event(row, drawn)])
        except asyncio.CancelledError:
            # The reservation was submitted and will be committed; the release follows it.
            self._journal.commit_later(holds.release(row.key))
            self._unclaim(row, step)
            raise
        except BaseException:
            self._unclaim(row, step)
            self._undo_draw(step, drawn)
            raise
        step.opened = True
        if not row.sending:
            self._queued.add(row.key)

    def _draw(self, row: HoldRow, step: StepBudget) -> int:
        """Take tokens from the pool for a step that runs short; returns how many.

        Raises:
            BudgetExceeded: The pool has too few, or the step may not draw that many.
        """
        missing = row.tokens - step.left if self._pool is not None else 0
        if self._pool is None or missing <= 0:
            return 0
        if not self._overage or missing > self._drawable(step):
            raise BudgetExceeded(step.scope, "tokens", row.tokens, self.left(row.step_key) or 0)
        self._pool -= missing
        step.limit += missing
        step.extra += missing
        return missing

    def _undo_draw(self, step: StepBudget, drawn: int) -> None:
        if self._pool is not None:
            self._pool += drawn
            step.limit -= drawn
            step.extra -= drawn

    def _prepared(self, step: StepBudget, drawn: int) -> Work[None] | None:
        """Work that sets the limit of the step's budget in the store before a hold; None if it is set."""
        if step.opened and not drawn:
            return None
        # Another call of the step may have opened it meanwhile, whatever became of that call.
        return budgets.open_with_limit(self._row_of(step))

    def _drawn_event(self, row: HoldRow, drawn: int) -> list[events.Event]:
        if not drawn:
            return []
        step = self._steps[budget_key(row.step_key)]
        log = self._journal.step(row.step_key)
        return [log.event(events.OverageDrawn, tokens=drawn, extra=step.extra, limit=step.limit)]

    def _claim(self, row: HoldRow, step: StepBudget, sign: int = 1) -> None:
        for budget in (step, *self._groups_of(budget_key(row.step_key))):
            budget.held += sign * row.tokens
            budget.micro += sign * row.micro
        self._micro += sign * row.micro
        if self._outer is not None:
            self._outer.claim(sign * row.tokens, sign * row.micro)

    def _unclaim(self, row: HoldRow, step: StepBudget) -> None:
        self._claim(row, step, -1)

    async def _make(self, row: HoldRow, prepare: Work[None] | None, said: Sequence[events.Event]) -> None:
        """Make a hold: in a lease where there is one, else in each standing budget itself."""
        recalled = False
        while True:
            lease = await self.standing.lease(self.agent, row.tokens, row.micro)
            work = holds.reserve(row, self.chain(row.step_key), None if lease is None else lease.id, prepare)
            try:
                await self._journal.commit(work, *said)
            except LeaseLost:
                self.standing.drop(self.agent)
            except BaseException as error:
                if lease is not None:
                    lease.give(row.tokens, row.micro)
                # What leases keep back, here or in another process, may be what is missing.
                if recalled or not await self._recall(error):
                    raise
                recalled = True
            else:
                if lease is not None:
                    self._leased[row.key] = lease
                return

    async def sending(self, row: HoldRow) -> None:
        """Note that a call that had to queue is sent now.

        Raises:
            Fenced: Another process owns the run now.
            StoreError: Its hold was closed meanwhile; it must not be sent.
        """
        self._queued.discard(row.key)
        await self._journal.commit(holds.mark_sending(row.key))

    def is_queued(self, row: HoldRow) -> bool:
        """True if a call was not sent yet, and so cannot have been charged."""
        return row.key in self._queued

    def adopt(self, row: HoldRow) -> None:
        """A hold that a dead process left is ours now; it was counted when the run was taken over."""
        self._steps.setdefault(budget_key(row.step_key), StepBudget(row.scope, 0)).opened = True

    async def _recall(self, error: BaseException) -> bool:
        return is_standing(error) and await self.standing.recall(self.agent) > 0

    # A call ends without waiting for its commit, which the writer begins within milliseconds: whatever its answer
    # leads to (the next hold, a delivery, the end of the run) is committed after it, in order. A process that dies
    # before leaves a hold, which is in doubt like that of any call in flight, and never charged with too little.

    def settle(self, row: HoldRow, spent: Spent, reply: str | None, event: events.TokensSettled) -> None:
        """Charge what a call took and keep its answer, in one commit with its event."""
        self._journal.commit_later(holds.settle(row.key, spent, reply), event)
        step = self._close(row, spent)
        beyond = spent.tokens - row.tokens
        if beyond > 0 or spent.micro > row.micro:
            self._overrun(row, max(0, beyond), spent.micro - row.micro, max(0, -step.left))

    def cut_off(self, row: HoldRow, spent: Spent, event: events.TokensSettled) -> None:
        """Charge what came of a stream that broke off, in one commit with its event."""
        self._journal.commit_later(holds.settle(row.key, spent, None), event)
        self._close(row, spent)

    def charge(self, row: HoldRow, event: events.TokensSettled) -> None:
        """Charge a call in full, in one commit with its event: what it took is not known."""
        self._journal.commit_later(holds.charge(row.key), event)
        self._close(row, Spent(0, row.tokens, row.micro))

    def release(self, row: HoldRow, event: events.TokensSettled) -> None:
        """Give a hold back, in one commit with its event."""
        self._journal.commit_later(holds.release(row.key), event)
        self._close(row, Spent(0, 0, 0))

    def _close(self, row: HoldRow, spent: Spent) -> StepBudget:
        self._queued.discard(row.key)
        lease = self._leased.pop(row.key, None)
        if lease is not None:
            lease.give(max(0, row.tokens - spent.tokens), max(0, row.micro - spent.micro))
        self.standing.freed(self.agent)
        key = budget_key(row.step_key)
        step = self._steps[key]
        self._unclaim(row, step)
        for budget in (step, *self._groups_of(key)):
            budget.spent += spent.tokens
            budget.micro += spent.micro
        self._micro += spent.micro
        if self._outer is not None:
            self._outer.spend(spent)
        return step

    # --- runs inside a step ---

    def claim_inside(self, step_id: str, tokens: int, micro: int) -> None:
        """Count what a run inside a step holds; it takes from the pool what the step has no right to."""
        key = budget_key(step_id)
        step = self._steps.setdefault(key, StepBudget(self._scope_of(key), 0))
        for budget in (step, *self._groups_of(key)):
            budget.held += tokens
            budget.micro += micro
        self._micro += micro
        if self._pool is not None and step.left < 0:
            drawn = min(-step.left, self._pool)
            self._undo_draw(step, -drawn)
        if self._outer is not None:
            self._outer.claim(tokens, micro)

    def spend_inside(self, step_id: str, spent: Spent) -> None:
        """Count what a run inside a step has spent; what it held was given back before."""
        key = budget_key(step_id)
        for budget in (self._steps[key], *self._groups_of(key)):
            budget.spent += spent.tokens
            budget.micro += spent.micro
        self._micro += spent.micro
        if self._outer is not None:
            self._outer.spend(spent)

    def _overrun(self, row: HoldRow, tokens: int, micro: int, missing: int) -> None:
        """A call took more than its worst case: the pool pays as far as it can, and that is an event."""
        self.overrun = True
        if self._pool is not None:
            self._pool = max(0, self._pool - missing)
        unit, asked, left = ("tokens", row.tokens + tokens, row.tokens)
        if tokens <= 0:
            unit, asked, left = "micro_usd", row.micro + micro, row.micro
        self._journal.step(row.step_key).record(
            events.BudgetExceededEvent,
            scope=f"hold of {row.provider}/{row.model}",
            unit=unit,
            asked=asked,
            left=left,
        )

    def chain(self, step_id: str) -> Sequence[str]:
        """The budgets that a call of this step must fit: those around the run, that of the run, that of the step
        last.
        """
        key = budget_key(step_id)
        around = () if self._outer is None else self._outer.chain
        return (*around, self._scope, *(group.scope for group in self._groups_of(key)), self._scope_of(key))

    @property
    def store(self) -> "Store":
        """The store of the budgets."""
        return self._journal.store

    @staticmethod
    def expiry() -> float:
        """When a hold made now expires."""
        return time() + HOLD_SECONDS
