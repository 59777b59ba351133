"""The gateway: the only door through which tokens are spent, and the only caller of providers.

For each call: look it up (one that was paid for is never paid again), count its input, clamp its answer to what
the budget admits, wait for its turn, hold its worst case, ask the provider, settle by the provider's own figures.
What may pass is tried again; a model that is out of order makes way for another provider's. Each try has a hold
of its own, and no library below makes any by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from time import monotonic, time

from intendant.config.settings import CallSettings
from intendant.hooks.providers import Provider
from intendant.model.errors import IntendantError, ProviderError
from intendant.model.requests import ModelRequest
from intendant.model.results import ModelReply, Route, Usage
from intendant.record.rows import Spent
from intendant.record.store import holds, responses
from intendant.spending.alternatives import Alternatives
from intendant.spending.batching import BatchLanes
from intendant.spending.caching import marks_for
from intendant.spending.calls import (
    MIN_OUTPUT_TOKENS,
    Call,
    CallScope,
    Earlier,
    OnText,
    degraded,
    exact_key,
    key_of,
    label_of,
    settled,
)
from intendant.spending.holding import Held, Holder, wanted
from intendant.spending.pricing import Prices
from intendant.spending.retrying import retrying
from intendant.spending.sizing import Sizes
from intendant.spending.streaming import LiveMeter
from intendant.spending.traffic import Traffic

RETRY_SECONDS = 0.5
LONGEST_WAIT = 10.0
"""A wait that a provider asks for and that is longer than this is not waited where another provider can be asked.
"""
LEAST_SLACK = 60.0
"""A call that may wait for less is sent at once."""


class Gateway:
    """Sends model calls.

    Args:
        providers: By name.
        prices: What calls cost.
        call_timeout: Seconds for one try.
        ask_above: Micro-US$; a call in doubt that may have cost more waits for a person.
        calls: How calls are sent.
        preferred: Names of providers to fall back on first.
        batches: Where calls go that may wait.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        prices: Prices,
        call_timeout: float,
        ask_above: int = 50_000,
        calls: CallSettings | None = None,
        preferred: Sequence[str] = (),
        batches: BatchLanes | None = None,
    ) -> None:
        self._settings = calls or CallSettings()
        self._sizes = Sizes(providers)
        self._holder = Holder(self._sizes, prices, call_timeout, ask_above)
        self._traffic = Traffic(self._settings)
        self.alternatives = Alternatives(providers, prices, preferred)
        self._batches = batches or BatchLanes()
        self.counter = self._sizes.counter
        self.input_tokens = self._sizes.input_tokens
        self.tool_tokens = self._sizes.tool_tokens

    def offers_tools(self, route: Route | None) -> bool:
        """True if models behind *route* can be offered tools."""
        return route is not None and self._sizes.provider(route).tools

    def charges(self, route: Route | None) -> bool:
        """True if a model is behind *route*; what a provider without one reads costs nothing."""
        return route is not None and self._sizes.provider(route).produced_by == "model"

    async def close(self) -> None:
        """Stop waiting for batches."""
        await self._batches.close()

    async def complete(
        self,
        scope: CallScope,
        route: Route,
        request: ModelRequest,
        *,
        on_text: OnText | None = None,
        least_output: int = MIN_OUTPUT_TOKENS,
        number: int | None = None,
    ) -> ModelReply:
        """Send a call.

        Args:
            scope: For whom.
            route: The model; those that other providers have for its tier are asked where it does not answer.
            request: What it is asked.
            on_text: Told of the answer piece by piece, while it is written. Once a piece was shown there is no
                other try: it cannot be taken back.
            least_output: The call is refused if the budget does not admit an answer of so many tokens.
            number: Which call of the attempt this is, from `scope.next_call()`, where it may have to be sent in
                more than one shape; by default the next one.

        Raises:
            BudgetExceeded: A limit does not admit it; nothing was sent.
            ProviderError: The provider refused or broke off.
            CallInDoubt: A process died while this call was out, and the policy is not to repeat it.
        """
        self._check_able(route, request)
        key = key_of(scope, request, scope.next_call() if number is None else number)
        until = monotonic() + self._settings.deadline + scope.slack
        call = Call(scope, request, key, least_output, on_text, until)
        call.earlier = await self._earlier(call)
        if (known := self._replayed(call, route)) is not None:
            return self._shown(call, known)
        if (known := await self._kept(call, route)) is not None:
            return self._shown(call, known)
        call.number = len(call.earlier)
        return await self._answered(call, route)

    def _check_able(self, leg: Route, request: ModelRequest) -> None:
        """Pass if models behind *leg* can be asked this.

        Raises:
            ProviderError: They cannot; nothing was sent.
        """
        provider = self._sizes.provider(leg)
        if not provider.images and any(message.images for message in request.messages):
            raise ProviderError(f"{leg.provider} cannot be shown pictures", billed=False)
        if not provider.tools and request.tools:
            raise ProviderError(f"{leg.provider} cannot be offered tools", billed=False)

    # --- what was paid for already ---

    async def _earlier(self, call: Call) -> Earlier:
        """The holds of earlier tries at the call: of this process, or of those that had its run before."""
        scope = call.scope
        if scope.journal.fence.epoch == 1 and not scope.ledger.tried(call.key):
            return ()  # the run's first owner knows all its own calls
        return await scope.journal.store.do(holds.holds_of_call(call.key))

    def _replayed(self, call: Call, route: Route) -> ModelReply | None:
        """The answer of a call that was made before."""
        scope = call.scope
        for row in call.earlier:
            if row.state == "settled" and row.reply:
                reply = ModelReply.model_validate_json(row.reply)
                made = route.model_copy(update={"provider": reply.provider, "model": reply.model})
                scope.produced_by = label_of(reply)
                scope.journal.append(settled(scope, row.key, made, Usage(), "replayed", reply.produced_by))
                return reply
        return None

    async def _kept(self, call: Call, route: Route) -> ModelReply | None:
        """The answer that another run got to the very same request, where the step allows that."""
        scope = call.scope
        if not scope.keep_seconds or scope.generation:
            return None
        key = self._exact_key(call, route)
        found = await scope.journal.store.do(responses.find(key, time(), scope.keep_seconds))
        if found is None:
            return None
        reply = ModelReply.model_validate_json(found)
        scope.produced_by = label_of(reply)
        scope.journal.append(settled(scope, call.key, route, reply.usage, "cached", reply.produced_by))
        return reply.model_copy(update={"usage": Usage()})

    def _exact_key(self, call: Call, route: Route) -> str:
        return exact_key(call.scope.ledger.standing.tenant, route, call.request, wanted(call, route))

    @staticmethod
    def _shown(call: Call, reply: ModelReply) -> ModelReply:
        if call.on_text is not None:
            call.on_text(reply.text)
        return reply

    # --- tries ---

    async def _answered(self, call: Call, route: Route) -> ModelReply:
        """The answer of the first model that gives one."""
        # Looked for when the first does not answer: most do.
        others = cache(lambda: list(self._others(route, call.request)))
        leg = route
        while True:
            try:
                return await self._tried(call, leg, others)
            except ProviderError as error:
                if not error.at_fault or call.shown or not others():
                    raise
                failed, leg = leg, others().pop(0)
                before, after = (f"{item.provider}/{item.model}" for item in (failed, leg))
                call.scope.journal.append(degraded(call.scope, "fallback", before, after, error.message))

    def _others(self, route: Route, request: ModelRequest) -> Iterator[Route]:
        """The models that may be asked the same where that of *route* does not answer."""
        for leg in self.alternatives.fallbacks(route) if self._settings.fallback else ():
            with suppress(ProviderError):  # one that cannot see pictures is no stand-in for one that can
                self._check_able(leg, request)
                yield leg

    async def _tried(self, call: Call, leg: Route, others: Callable[[], Sequence[Route]]) -> ModelReply:
        """The answer of one model, asked as often as the settings say."""

        def again(error: Exception) -> bool:
            if call.shown or not (isinstance(error, IntendantError) and error.retryable):
                return False
            return _asked_wait(error) <= LONGEST_WAIT or not others()

        return await retrying(
            lambda: self._once(call, leg),
            again=again,
            attempts=self._settings.attempts,
            delay=RETRY_SECONDS,
            jitter=RETRY_SECONDS / 2,
            longest=LONGEST_WAIT,
            at_least=_asked_wait,
            until=call.until,
        )

    async def _once(self, call: Call, leg: Route) -> ModelReply:
        provider = self._sizes.provider(leg)
        self._traffic.admit(leg.provider, leg.model)
        call.request = self._marked(call.request, leg)
        call.batched = provider.batches and call.scope.slack >= LEAST_SLACK and call.number == 0
        counted = self._sizes.input_tokens(leg, call.request)
        try:
            async with (
                self._traffic.gate(leg.provider).passing(counted + wanted(call, leg)),
                self._held(call, leg, counted) as (held, meter),
            ):
                reply = _checked(await self._sent(call, provider, held, meter), leg)
        except ProviderError as error:
            self._traffic.note(leg.provider, leg.model, error)
            raise
        self._traffic.note(leg.provider, leg.model, None)
        return await self._settle(call, leg, held, reply)

    @asynccontextmanager
    async def _held(self, call: Call, leg: Route, counted: int) -> AsyncIterator[tuple[Held, LiveMeter | None]]:
        """The hold of one try; closed by what came of it if that is no answer."""
        held = await self._holder.hold(call, leg, counted)
        call.scope.ledger.note_try(call.key)
        meter = None
        if call.on_text is not None and not call.batched:
            meter = LiveMeter(held.hold, self._sizes.counter(leg), _listener(call))
        try:
            yield held, meter
        except BaseException as error:
            self._close(call, leg, held, meter, error)
            if isinstance(error, TimeoutError):
                message = f"{leg.provider}/{leg.model} did not answer in {held.hold.timeout:g} s"
                raise ProviderError(message, retryable=True) from None
            raise

    async def _sent(self, call: Call, provider: Provider, held: Held, meter: LiveMeter | None) -> ModelReply:
        if call.batched:
            return await self._batches.answer(provider, held.hold, call.request)
        async with asyncio.timeout(held.hold.timeout):
            if meter is None:
                return await provider.complete(held.hold, call.request)
            return await provider.stream(held.hold, call.request, meter)

    def _marked(self, request: ModelRequest, leg: Route) -> ModelRequest:
        """The request, with marks of what the provider should keep, where its prices make that pay."""
        if request.reuse is None or request.cache_marks or not self._settings.prompt_cache:
            return request
        rates = self._holder.card(leg).at(self._sizes.input_tokens(leg, request))
        return request.model_copy(update={"cache_marks": marks_for(request.reuse, rates)})

    # --- ends ---

    async def _settle(self, call: Call, leg: Route, held: Held, reply: ModelReply) -> ModelReply:
        scope, row = call.scope, held.row
        price = self._holder.card(leg, reply.lane).price(reply.usage)
        usage = reply.usage.model_copy(update={"micro_usd": price.micro_usd, "calls": 1})
        reply = reply.model_copy(update={"usage": usage})
        text = reply.model_dump_json()
        spent = Spent(usage.input_tokens, usage.output_tokens, usage.micro_usd)
        event = settled(scope, row.key, leg, usage, "answered", reply.produced_by, price.version)
        scope.usage += usage
        scope.produced_by = label_of(reply)
        await scope.ledger.settle(row, spent, text, event)
        if not call.request.tools:  # The words around tools are the provider's own, and no text of ours.
            self._sizes.observe(leg, held.input_tokens, usage.input_tokens)
        if scope.keep_seconds and reply.stop_reason == "end":
            key = self._exact_key(call, leg)
            scope.journal.store.do_later(responses.keep(key, text, time(), scope.keep_seconds))
        return reply

    def _close(self, call: Call, leg: Route, held: Held, meter: LiveMeter | None, error: BaseException) -> None:
        """Release what was certainly not charged; charge a stream by what came of it, and all else in full, until
        the truth is known.
        """
        scope, row = call.scope, held.row
        if isinstance(error, ProviderError) and not error.billed:
            scope.ledger.release(row, settled(scope, row.key, leg, Usage(), "refused"))
            return
        taken = None if meter is None else meter.charge
        if taken is None:
            usage = Usage(output_tokens=row.tokens, micro_usd=row.micro, calls=1)
            scope.ledger.charge(row, settled(scope, row.key, leg, usage, "in_doubt"))
        else:
            price = self._holder.card(leg).price(taken)
            usage = taken.model_copy(update={"micro_usd": min(row.micro, price.micro_usd), "calls": 1})
            spent = Spent(usage.input_tokens, usage.output_tokens, usage.micro_usd)
            event = settled(scope, row.key, leg, usage, "cut_off", price_version=price.version)
            scope.ledger.cut_off(row, spent, event)
        scope.usage += usage


def _listener(call: Call) -> OnText:
    def told(piece: str) -> None:
        call.shown = True
        if call.on_text is not None:
            call.on_text(piece)

    return told


def _checked(reply: object, leg: Route) -> ModelReply:
    """What a provider returned, if it is a reply; it may have been charged all the same."""
    if isinstance(reply, ModelReply):
        return reply
    message = f"the provider '{leg.provider}' returned {type(reply).__name__}, not a ModelReply"
    raise ProviderError(message, hint="this is a fault of the plugin; report it there")


def _asked_wait(error: Exception) -> float:
    """Seconds that a provider asks to wait."""
    return (error.retry_after or 0.0) if isinstance(error, ProviderError) else 0.0
