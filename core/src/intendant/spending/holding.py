"""Holds for calls: their worst case, the longest answer that fits, and the holds that dead processes left.

The worst case is the upper bound of the input tokens plus the longest answer, at the most expensive rates that may
apply: those for a prompt of that length, all of it written to the provider's prompt cache if that is possible.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from intendant import events
from intendant.hooks.providers import Bound, Hold, Provider
from intendant.model.errors import BudgetExceeded, CallInDoubt, ContextOverflow
from intendant.model.results import Route, Usage
from intendant.record.rows import HoldRow, Room
from intendant.record.store.take_over import take_over
from intendant.spending.admission import MIN_OUTPUT_TOKENS, Shape
from intendant.spending.calls import Call, settled
from intendant.spending.doubt import Fate, fate_of, is_in_doubt, policy_of
from intendant.spending.ledger import is_standing
from intendant.spending.pricing import Lane, Prices, RateCard
from intendant.spending.sizing import Counted, Sizes, texts_of
from intendant.spending.tokens import fewest_tokens

WAIT_SECONDS = 10.0
"""How long a call waits for the holds of other calls to be released, before it is shortened or refused."""

Cost = Callable[[int], int]
"""Cost of a call in micro-US$, given the tokens of its answer."""


@dataclass(frozen=True, slots=True)
class Quote:
    """The worst case of one shape of a call, computed once for each attempt."""

    shape: Shape
    provider: Provider
    input_tokens: int
    bound: Bound
    """Whether `input_tokens` is exact or an upper bound."""
    card: RateCard
    cost: Cost

    @property
    def most_output(self) -> int:
        """The longest answer that is wanted and fits the context window of the model.

        If `input_tokens` is only an upper bound, the lower bound of the input decides whether the call is refused.

        Raises:
            ContextOverflow: Not even the shortest useful answer fits beside the input.
        """
        route = self.shape.route
        window = self.provider.context_window(route.model)
        if window is None:
            return self.shape.max_output
        texts = texts_of(self.shape.request)
        taken = self.input_tokens if self.bound == "exact" else sum(map(fewest_tokens, filter(None, texts)))
        if window - taken < min(MIN_OUTPUT_TOKENS, self.shape.max_output):
            least = "" if self.bound == "exact" else "at least "
            raise ContextOverflow(
                f"the input takes {least}{taken} tokens, and {route.provider}/{route.model} reads and writes "
                f"{window} in one call",
                window=window,
                hint="give it less, or a model with a longer context window",
            )
        return min(self.shape.max_output, window - taken)

    @property
    def tokens(self) -> int:
        """Tokens of the input and of the longest answer that is wanted."""
        return self.input_tokens + self.shape.max_output if self.provider.charges else 0


class Held(NamedTuple):
    """The hold of a call, for the store and for the provider."""

    row: HoldRow
    hold: Hold
    quote: Quote

    @property
    def route(self) -> Route:
        """The provider and model of the call."""
        return self.quote.shape.route


class Holder:
    """Makes the holds for the calls of an engine.

    Args:
        sizes: Counts tokens.
        prices: What calls cost.
        timeout: Time limit of one call, in seconds.
        ask_above: Micro-US$; a person decides about a call in doubt that may have cost more.
    """

    def __init__(self, sizes: Sizes, prices: Prices, timeout: float, ask_above: int) -> None:
        self._sizes = sizes
        self._prices = prices
        self._timeout = timeout
        self._ask_above = ask_above

    def card(self, route: Route, lane: Lane = "standard") -> RateCard:
        """The rates of a route's model.

        Raises:
            ProviderError: The rates are unknown.
        """
        free = not self._sizes.provider(route).charges
        return self._prices.card(route.provider, route.model, lane, free=free)

    async def quote(self, call: Call, *, may_batch: bool) -> Quote:
        """The worst case of a call in its current shape.

        Args:
            call: The call.
            may_batch: True if the call may wait long enough for a batch.

        Raises:
            ProviderError: The price of the model is unknown.
        """
        shape = call.shapes.current
        route, provider = shape.route, self._sizes.provider(shape.route)
        call.batched = may_batch and provider.batches
        lane: Lane = "batch" if call.batched else "standard"
        card = self._prices.card(route.provider, route.model, lane, free=not provider.charges)
        if not provider.charges:
            return Quote(shape, provider, 0, "exact", card, _free)
        left = call.scope.ledger.left(call.scope.step_id)
        return _quoted(shape, provider, await self._sizes.measure(route, shape.request, left), card)

    async def hold(self, call: Call, quote: Quote) -> Held:
        """Hold the worst case of the next attempt, or take over the hold of a dead process if the same call may be
        sent again.

        Raises:
            BudgetExceeded: A budget does not admit the call.
            CallInDoubt: A process died while this call was in flight, and the policy is not to repeat it.
        """
        last = call.earlier[-1] if call.earlier else None
        call.earlier = ()
        if last and last.epoch < call.scope.journal.fence.epoch and is_in_doubt(last):
            fate = await self._decide(call, quote, last)
            if fate.waits or fate.fails:
                raise CallInDoubt(fate.key, last.micro, waits=fate.waits)
            if not fate.charged:
                return self._taken_over(call, quote, last)
        try:
            return await self._fitted(call, quote)
        except BudgetExceeded:
            if (counted := await self._counted_by_provider(quote)) is None:
                raise
        return await self._fitted(call, _quoted(quote.shape, quote.provider, counted, quote.card))

    # --- holds of dead processes ---

    async def _decide(self, call: Call, quote: Quote, found: HoldRow) -> Fate:
        """Keep the hold of a call that is sent again; charge any other one, in one commit with its event."""
        scope, route = call.scope, quote.shape.route
        same = (found.provider, found.model) == (route.provider, route.model)
        policy = policy_of(
            scope.in_doubt,
            knows_keys=same and quote.provider.knows_keys,
            micro=found.micro,
            ask_above=self._ask_above,
        )
        fate = fate_of(found, policy)
        if found.state == "held":
            keep, charge = ([], [fate.key]) if fate.charged else ([fate.key], [])
            work = take_over(scope.journal.fence.epoch, scope.ledger.expiry(), keep, charge)
            usage = Usage(output_tokens=found.tokens, micro_usd=found.micro, calls=1)
            made = route.model_copy(update={"provider": found.provider, "model": found.model})
            event = settled(scope, found.key, made, usage, "in_doubt")
            await scope.journal.commit(work, *([event] if fate.charged else []))
        return fate

    def _taken_over(self, call: Call, quote: Quote, row: HoldRow) -> Held:
        """Take over the hold of a dead process, for the same call under the same key."""
        call.scope.ledger.adopt(row)
        output = min(quote.shape.max_output, row.tokens - quote.input_tokens)
        hold = Hold(row.key, row.tokens, row.micro, output, row.model, self._timeout, quote.bound)
        return Held(row, hold, quote)

    # --- new holds ---

    async def _counted_by_provider(self, quote: Quote) -> Counted | None:
        """The input as counted by the provider, if that is below the upper bound, which does not fit."""
        if quote.bound == "exact":
            return None
        counted = await self._sizes.counted(quote.shape.route, quote.shape.request)
        return Counted(counted, "exact") if counted is not None and counted < quote.input_tokens else None

    async def _fitted(self, call: Call, quote: Quote) -> Held:
        """Hold the input and the longest answer that fits."""
        output = self._affordable(call, quote, self._clamped(call, quote))
        try:
            return await self._held(call, quote, output)
        except BudgetExceeded as error:
            if not is_standing(error):
                raise
            refused = error
        ledger, until = call.scope.ledger, monotonic() + WAIT_SECONDS
        async with ledger.standing.turn(ledger.agent):
            while fits := await self._admitted(call, quote, output, until):
                try:
                    return await self._held(call, quote, fits)
                except BudgetExceeded as error:
                    if not is_standing(error):
                        raise
                    refused = error
        raise refused

    def _clamped(self, call: Call, quote: Quote) -> int:
        """The longest answer that fits the step's tokens.

        Raises:
            BudgetExceeded: Not even the shortest useful answer fits.
        """
        scope, most = call.scope, quote.most_output
        left = scope.ledger.left(scope.step_id) if quote.provider.charges else None
        if left is None:
            return most
        if quote.input_tokens + min(most, quote.shape.min_output) > left:
            raise BudgetExceeded(
                f"step {scope.step_id}", "tokens", quote.tokens, left, input_tokens=quote.input_tokens
            )
        return min(most, left - quote.input_tokens)

    def _affordable(self, call: Call, quote: Quote, output: int) -> int:
        """The longest answer up to *output* that the remaining money pays for. If it pays for none, *output*,
        which the ledger then refuses.
        """
        room = Room(None, call.scope.ledger.micro_left(call.scope.step_id))
        return longest(room, quote.cost, quote.input_tokens, output, quote.shape.min_output) or output

    async def _admitted(self, call: Call, quote: Quote, most: int, until: float) -> int:
        """The longest answer up to *most* that the standing budgets admit after one of them refused; 0 for none.

        Calls in flight hold their worst case, and most use less. If only their holds are in the way, wait for
        them, at most until *until*.
        """
        standing, agent = call.scope.ledger.standing, call.scope.ledger.agent
        now, then = await standing.room(agent)
        fits, hoped = (
            longest(room, quote.cost, quote.input_tokens, most, quote.shape.min_output) for room in (now, then)
        )
        if fits < hoped and monotonic() < until:
            await standing.wait(agent)
            return hoped
        return fits

    async def _held(self, call: Call, quote: Quote, output: int) -> Held:
        row = self._row(call, quote, output)
        event = call.scope.log.event(
            events.TokensReserved,
            call=row.key,
            provider=row.provider,
            model=row.model,
            tokens=row.tokens,
            micro_usd=row.micro,
            estimated=quote.bound != "exact",
            bound=quote.bound,
            output_tokens=output,
            wanted_tokens=quote.shape.max_output,
        )
        await call.scope.ledger.reserve(row, event)
        call.tries += 1
        timeout = call.scope.max_wait if call.batched else min(self._timeout, max(1.0, call.seconds_left))
        return Held(row, Hold(row.key, row.tokens, row.micro, output, row.model, timeout, quote.bound), quote)

    def _row(self, call: Call, quote: Quote, output: int) -> HoldRow:
        scope, route = call.scope, quote.shape.route
        return HoldRow(
            key=call.try_key,
            run_id=scope.journal.run_id,
            step_key=scope.step_id,
            epoch=scope.journal.fence.epoch,
            scope=scope.ledger.chain(scope.step_id)[-1],
            provider=route.provider,
            model=route.model,
            tokens=quote.input_tokens + output if quote.provider.charges else 0,
            micro=quote.cost(output),
            price_version=quote.card.version,
            expires_at=scope.ledger.expiry() + (scope.max_wait if call.batched else 0),
            agent=scope.ledger.agent,
            tenant=scope.ledger.standing.tenant,
            sending=0 if call.batched else 1,
        )


def _quoted(shape: Shape, provider: Provider, counted: Counted, card: RateCard) -> Quote:
    """The quote of a shape whose input tokens are known."""
    tokens, bound = counted
    ttl = provider.cache_ttl(shape.route.model, shape.request)
    return Quote(shape, provider, tokens, bound, card, lambda output: card.worst(tokens, output, ttl))


def _free(_output: int) -> int:
    return 0


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
    # The price rises with the length of the answer, for some models in steps: bisection finds the limit for all.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= room.micro else (low, middle)
    return low
