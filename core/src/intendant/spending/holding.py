"""Setting a call's worst case aside: what it is, how much of an answer fits, and what a dead process left behind.

The worst case is the input counted from above and the longest answer, at the dearest of the rates that may apply:
for a prompt of that length, and for all of it being written to the provider's prompt cache where it may be.
"""

import math
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from intendant import events
from intendant.config.logs import get_logger
from intendant.hooks.providers import Hold
from intendant.model.errors import BudgetExceeded, CallInDoubt, ProviderError
from intendant.model.results import Route
from intendant.record.rows import HoldRow, Room
from intendant.record.store.take_over import take_over
from intendant.spending.calls import MIN_OUTPUT_TOKENS, Call, in_doubt
from intendant.spending.doubt import Fate, fate_of, policy_of
from intendant.spending.ledger import is_standing
from intendant.spending.pricing import Lane, Prices, RateCard
from intendant.spending.sizing import Sizes

WAIT_SECONDS = 10.0
"""How long a call waits for others that hold what it needs; then it is shortened or refused."""
COUNT_MARGIN = 1.02
"""Providers' own counts are "estimates", by their documentation; what they charge was seen to differ by 1 %."""

Cost = Callable[[int], int]
"""Micro-US$ of a call for an answer of so many tokens."""

log = get_logger("intendant.gateway")


class Held(NamedTuple):
    """A call's worst case, set aside: for the store, and for the provider."""

    row: HoldRow
    hold: Hold

    @property
    def input_tokens(self) -> int:
        """What is held for the input."""
        return self.row.tokens - self.hold.max_output_tokens


class Holder:
    """Makes the holds of an engine.

    Args:
        sizes: Counts tokens.
        prices: What calls cost.
        timeout: Seconds for one call.
        ask_above: Micro-US$; a call in doubt that may have cost more waits for a person.
    """

    def __init__(self, sizes: Sizes, prices: Prices, timeout: float, ask_above: int) -> None:
        self._sizes = sizes
        self._prices = prices
        self._timeout = timeout
        self._ask_above = ask_above

    def card(self, route: Route, lane: Lane = "standard") -> RateCard:
        """The rates of a route's model.

        Raises:
            ProviderError: They are not known.
        """
        free = self._sizes.provider(route).produced_by == "extractive"
        return self._prices.card(route.provider, route.model, lane, free=free)

    async def hold(self, call: Call, leg: Route, counted: int) -> Held:
        """Set the next try at a call aside; or take over the hold of a dead process, where the same call may be
        sent again.

        Args:
            call: The call.
            leg: The model that is asked.
            counted: Tokens of its input, from above.

        Raises:
            BudgetExceeded: A limit does not admit it.
            CallInDoubt: A process died while this call was out, and the policy is not to repeat it.
        """
        last = call.earlier[-1] if call.earlier else None
        call.earlier = ()
        if last and last.epoch < call.scope.journal.fence.epoch and last.state in ("held", "in_doubt"):
            fate = await self._decide(call, leg, last)
            if fate.waits or fate.fails:
                raise CallInDoubt(fate.key, last.micro, waits=fate.waits)
            if not fate.charged:
                return self._taken_over(call, leg, counted, last)
        return await self._new(call, leg, counted)

    # --- what a dead process left ---

    async def _decide(self, call: Call, leg: Route, found: HoldRow) -> Fate:
        """Keep the hold of a call that is sent again; charge any other, in one commit with its event."""
        scope = call.scope
        same = (found.provider, found.model) == (leg.provider, leg.model)
        knows_keys = same and self._sizes.provider(leg).knows_keys
        policy = policy_of(scope.in_doubt, knows_keys=knows_keys, micro=found.micro, ask_above=self._ask_above)
        fate = fate_of(found, policy)
        if found.state == "held":
            keep, charge = ([], [fate.key]) if fate.charged else ([fate.key], [])
            work = take_over(scope.journal.fence.epoch, scope.ledger.expiry(), keep, charge)
            await scope.journal.commit(work, *([in_doubt(scope, found)] if fate.charged else []))
        return fate

    def _taken_over(self, call: Call, leg: Route, counted: int, row: HoldRow) -> Held:
        """A dead process's hold as one of ours: held once, for the same call under the same key."""
        call.scope.ledger.adopt(row)
        output = min(wanted(call, leg), row.tokens - counted)
        return Held(row, Hold(row.key, row.tokens, row.micro, output, leg.model, self._timeout))

    # --- a new one ---

    async def _new(self, call: Call, leg: Route, counted: int) -> Held:
        try:
            return await self._fitted(call, leg, counted, most=wanted(call, leg))
        except BudgetExceeded as error:
            if (exact := await self._recounted(leg, call, counted)) is None:
                raise
            refused = error
        try:
            return await self._fitted(call, leg, exact, most=wanted(call, leg))
        except BudgetExceeded:
            raise refused from None

    async def _recounted(self, leg: Route, call: Call, counted: int) -> int | None:
        """The input as the provider counts it, if that is less; asked only where the count from above is too
        much.
        """
        if self._sizes.counter(leg).exact:
            return None
        try:
            found = await self._sizes.provider(leg).count_tokens(leg.model, call.request)
        except ProviderError as error:
            log.info("count_failed", provider=leg.provider, model=leg.model, error=error.message)
            return None
        exact = None if found is None else math.ceil(found * COUNT_MARGIN) + 1
        return exact if exact is not None and exact < counted else None

    async def _fitted(self, call: Call, leg: Route, counted: int, most: int) -> Held:
        """A hold for *counted* tokens of input and the longest answer that fits."""
        output = self._clamp(call, counted, most)
        output = self._affordable(call, leg, counted, output)
        try:
            return await self._held(call, leg, counted, output)
        except BudgetExceeded as error:
            if not is_standing(error):
                raise
            refused = error
        scope, until = call.scope, monotonic() + WAIT_SECONDS
        async with scope.ledger.standing.turn(scope.ledger.agent):
            while fits := await self._admitted(call, leg, counted, output, until):
                try:
                    return await self._held(call, leg, counted, fits)
                except BudgetExceeded as error:
                    if not is_standing(error):
                        raise
                    refused = error
        raise refused

    def _clamp(self, call: Call, counted: int, most: int) -> int:
        """The longest answer up to *most* tokens that fits the step's tokens."""
        scope = call.scope
        left = scope.ledger.left(scope.step_id)
        if left is None:
            return most
        if counted + min(most, call.least_output) > left:
            raise BudgetExceeded(f"step {scope.step_id}", "tokens", counted + most, left)
        return min(most, left - counted)

    def _affordable(self, call: Call, leg: Route, counted: int, output: int) -> int:
        """The longest answer up to *output* that the money left pays for; *output* where none does."""
        room, cost = Room(None, call.scope.ledger.micro_left), self._costs(call, leg, counted)
        return longest(room, cost, counted, output, call.least_output) or output

    async def _admitted(self, call: Call, leg: Route, counted: int, most: int, until: float) -> int:
        """The longest answer up to *most* that the standing budgets admit after one refused; 0 for none.

        Calls that are out hold their worst case, and most will take less: where that is what is missing, waits
        for them, but not beyond *until*.
        """
        scope, cost = call.scope, self._costs(call, leg, counted)
        now, then = await scope.ledger.standing.room(scope.ledger.agent)
        fits, hoped = (longest(room, cost, counted, most, call.least_output) for room in (now, then))
        if fits < hoped and monotonic() < until:
            await scope.ledger.standing.wait(scope.ledger.agent)
            return hoped
        return fits

    async def _held(self, call: Call, leg: Route, counted: int, output: int) -> Held:
        row = self._row(call, leg, counted, output)
        event = call.scope.log.event(
            events.TokensReserved,
            call=row.key,
            provider=row.provider,
            model=row.model,
            tokens=row.tokens,
            micro_usd=row.micro,
            estimated=not self._sizes.counter(leg).exact,
            output_tokens=output,
            wanted_tokens=wanted(call, leg),
        )
        await call.scope.ledger.reserve(row, event)
        call.number += 1
        timeout = call.scope.slack if call.batched else min(self._timeout, max(1.0, call.left))
        return Held(row, Hold(row.key, row.tokens, row.micro, output, leg.model, timeout))

    def _row(self, call: Call, leg: Route, counted: int, output: int) -> HoldRow:
        scope = call.scope
        return HoldRow(
            key=call.try_key,
            run_id=scope.journal.run_id,
            step_key=scope.step_id,
            epoch=scope.journal.fence.epoch,
            scope=scope.ledger.chain(scope.step_id)[-1],
            provider=leg.provider,
            model=leg.model,
            tokens=counted + output,
            micro=self._costs(call, leg, counted)(output),
            price_version=self._card_of(call, leg).version,
            expires_at=scope.ledger.expiry() + (scope.slack if call.batched else 0),
            agent=scope.ledger.agent,
            tenant=scope.ledger.standing.tenant,
        )

    def _card_of(self, call: Call, leg: Route) -> RateCard:
        return self.card(leg, "batch" if call.batched else "standard")

    def _costs(self, call: Call, leg: Route, counted: int) -> Cost:
        """Micro-US$ of the call for an answer of so many tokens."""
        card = self._card_of(call, leg)
        ttl = self._sizes.provider(leg).cache_ttl(leg.model, call.request)
        return lambda output: card.worst(counted, output, ttl)


def wanted(call: Call, leg: Route) -> int:
    """The longest answer that is wanted of *leg*."""
    return min(call.request.max_output_tokens or leg.max_output_tokens, leg.max_output_tokens)


def longest(room: Room, cost: Cost, counted: int, most: int, least: int = MIN_OUTPUT_TOKENS) -> int:
    """The longest answer up to *most* tokens that fits beside *counted* ones; 0 if it would be shorter than
    *least*.
    """
    high = most if room.tokens is None else min(most, room.tokens - counted)
    low = min(most, least)
    if high < low or (room.micro is not None and cost(low) > room.micro):
        return 0
    if room.micro is None or cost(high) <= room.micro:
        return high
    # Prices rise with the answer's length, in steps for some models: bisection finds the border for all.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= room.micro else (low, middle)
    return low
