"""The gateway: the only path to a model. It counts, holds, sends, settles, prices and records every call.

`complete` first looks for an answer that was already paid for: a replay of this run, or the response cache.
Otherwise `_answered` tries until it gets one. If the budgets refuse, it uses the next shape (see `admission`).
After a transient error it retries, no sooner than the provider asks. If the model stays unhealthy, it falls back
to the model of another provider for the same tier. `_try` is one attempt: circuit breaker, rate limits, hold,
send, settle.
"""

import asyncio
from asyncio import sleep
from collections.abc import Mapping, Sequence
from functools import partial
from time import monotonic, time
from typing import Literal

from intendant.config.logs import get_logger
from intendant.config.settings import CallSettings
from intendant.hooks.providers import Provider
from intendant.hooks.redaction import redacted
from intendant.model.errors import BudgetExceeded, IntendantError, ProviderError, RequestAdapted
from intendant.model.requests import ModelRequest
from intendant.model.results import ModelReply, Route, Usage
from intendant.record.rows import Spent
from intendant.record.store import holds, responses
from intendant.spending.admission import Shapes, Shrink
from intendant.spending.alternatives import Alternatives
from intendant.spending.batching import BatchLanes
from intendant.spending.caching import marks_for
from intendant.spending.calls import (
    Call,
    CallScope,
    OnText,
    give_key_back,
    label_of,
    next_key,
    record_degraded,
    response_key,
    settled,
)
from intendant.spending.holding import Held, Holder, Quote
from intendant.spending.kept_replies import read_reply, write_reply
from intendant.spending.pricing import Prices
from intendant.spending.reply_check import CheckedReply, checked_reply, refused
from intendant.spending.retrying import Backoff
from intendant.spending.sizing import Sizes
from intendant.spending.streaming import LiveMeter
from intendant.spending.traffic import Traffic

log = get_logger("intendant.gateway")
RETRY_SECONDS = 0.5
LONGEST_WAIT = 10.0
"""Seconds. If a provider asks for a longer wait, the call falls back to another provider, if there is one."""
MAX_FORMS = 6
"""How many other forms of a call are sent if a server refuses only its form."""
MIN_BATCH_WAIT = 60.0
"""Seconds. A call that may wait no longer than this is sent directly, not in a batch."""


class Gateway:
    """Sends model calls.

    Args:
        providers: The providers, by name.
        prices: The prices of models.
        call_timeout: Time limit of one attempt, in seconds.
        ask_above: Micro-US$; a person decides about a call in doubt that may have cost more.
        calls: Settings of retries, rate limits and caches.
        preferred: Names of the providers to fall back to first.
        batches: Sends calls that may wait.
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
        self._sizes = Sizes(providers, self._settings.token_bound)
        self._holder = Holder(self._sizes, prices, call_timeout, ask_above)
        self._traffic = Traffic(self._settings)
        self._alternatives = Alternatives(providers, prices, preferred)
        self._batches = batches or BatchLanes()
        self.counter = self._sizes.counter
        self.input_tokens = self._sizes.input_tokens
        self.tool_tokens = self._sizes.tool_tokens

    def offers_tools(self, route: Route | None) -> bool:
        """True if the models of the route's provider can call tools."""
        return route is not None and self._sizes.provider(route).tools

    async def held_tokens(self, route: Route, request: ModelRequest, room: int | None) -> int:
        """Tokens that will be held for the input of a request if *room* tokens are left."""
        return (await self._sizes.measure(route, request, room)).tokens

    def charges(self, route: Route | None) -> bool:
        """True if calls to *route* use tokens and money."""
        return route is not None and self._sizes.provider(route).charges

    def context_window(self, route: Route | None) -> int | None:
        """The context window of the route's model, in tokens; None if it is unknown."""
        return None if route is None else self._sizes.provider(route).context_window(route.model)

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
        shrink: Shrink | None = None,
    ) -> ModelReply:
        """Send a call.

        Args:
            scope: The attempt that is charged.
            route: The model. If it fails, the call falls back to other providers' models for its tier.
            request: The request.
            on_text: Callback for pieces of the answer as they arrive. After it was called there is no retry: the
                text cannot be taken back.
            shrink: Compresses the input further if the budgets refuse it; None if nothing can be compressed.

        Raises:
            BudgetExceeded: No shape of the call fits the budgets; nothing was sent.
            ProviderError: The provider refused the call or broke it off.
            ModelRefused: The model refused to answer; the call was charged.
            CallInDoubt: A process died while this call was in flight, and the policy is not to repeat it.
        """
        provider = self._sizes.provider(route)
        self._check_able(provider, route, request)
        if request.max_output_tokens is not None and (more := provider.thinking_tokens(route.model, request)):
            request = request.model_copy(update={"max_output_tokens": request.max_output_tokens + more})
        shapes = Shapes(route, request, shrink, self._alternatives.cheaper)
        deadline = monotonic() + self._settings.deadline + scope.max_wait
        call = Call(scope, next_key(scope, request), shapes, on_text, deadline)
        if scope.journal.fence.epoch > 1 or scope.ledger.tried(call.key):  # otherwise this process knows all calls
            call.earlier = await scope.journal.store.do(holds.holds_of_call(call.key))
            call.tries = len(call.earlier)
        if (reply := self._replayed(call)) is None and scope.cache_ttl:
            reply = await self._cached(call)
        if reply is None:
            try:
                return self._accepted(await self._answered(call))
            except BudgetExceeded:
                give_key_back(scope, request)
                raise
        call.show(self._accepted(reply).text)
        return reply

    def _accepted(self, reply: ModelReply) -> ModelReply:
        """Return a settled reply if it is an answer.

        Raises:
            ModelRefused: The model refused to answer.
        """
        if reply.stop_reason == "refusal" and self._settings.refusals == "fail":
            raise refused(reply)
        return reply

    def _check_able(self, provider: Provider, route: Route, request: ModelRequest) -> None:
        """Check that the models of the route's provider can take the request.

        Raises:
            ProviderError: They cannot; nothing was sent.
        """
        if not provider.images and any(message.images for message in request.messages):
            raise ProviderError(f"{route.provider} cannot be shown pictures", billed=False)
        if not provider.tools and request.tools:
            raise ProviderError(f"{route.provider} cannot be offered tools", billed=False)

    # --- answers that were already paid for ---

    def _replayed(self, call: Call) -> ModelReply | None:
        """The answer of an earlier attempt at the same call."""
        for row in call.earlier:
            if row.state == "settled" and row.reply:
                reply = read_reply(row.reply)
                return self._reused(call, row.key, reply, Usage(), "replayed")
        return None

    async def _cached(self, call: Call) -> ModelReply | None:
        """The answer of another run to the same request."""
        scope = call.scope
        if scope.generation:
            return None
        key = self._response_key(call)
        found = await scope.journal.store.do(responses.find(key, time(), scope.cache_ttl))
        if found is None:
            return None
        reply = read_reply(found)
        return self._reused(call, call.key, reply, reply.usage, "cached").model_copy(update={"usage": Usage()})

    def _reused(
        self, call: Call, key: str, reply: ModelReply, usage: Usage, outcome: Literal["replayed", "cached"]
    ) -> ModelReply:
        """Record that an answer is reused."""
        scope, route = call.scope, call.shapes.current.route
        made = route.model_copy(update={"provider": reply.provider, "model": reply.model})
        scope.produced_by = label_of(reply)
        scope.journal.append(settled(scope, key, made, usage, outcome, produced_by=reply.produced_by))
        return reply

    def _response_key(self, call: Call) -> str:
        shape = call.shapes.current
        return response_key(call.scope.ledger.standing.tenant, shape.route, shape.request, shape.max_output)

    # --- attempts ---

    async def _answered(self, call: Call) -> ModelReply:
        """Try until there is an answer, or no shape, retry or fallback is left."""
        while True:
            try:
                return await self._try(call)
            except BudgetExceeded as refused:
                reduction = await call.shapes.reduce(refused)
                if reduction is False:
                    raise (refused if call.failure is None else _not_again(call.failure, refused)) from None
                if reduction is not None:
                    record_degraded(call.scope, *reduction, str(refused))
            except RequestAdapted as error:
                # The provider now uses another form. These attempts do not count as retries.
                call.forms += 1
                if call.forms > MAX_FORMS:
                    raise ProviderError(error.message, billed=False, at_fault=False) from None
            except ProviderError as error:
                if call.shown:
                    raise
                call.failure = error
                if (delay := self._retry_delay(call, error)) is not None:
                    await sleep(delay)
                elif not self._fall_back(call, error):
                    raise

    def _retry_delay(self, call: Call, error: ProviderError) -> float | None:
        """Seconds until the next retry with the same model; None for no retry."""
        if call.backoff is None:
            call.backoff = self._backoff(call)
        asked = error.retry_after or 0.0
        if not error.retryable or (asked > LONGEST_WAIT and self._fallbacks(call)):
            return None
        return call.backoff.next_delay(asked)

    def _backoff(self, call: Call) -> Backoff:
        return Backoff(
            attempts=self._settings.attempts,
            delay=RETRY_SECONDS,
            jitter=RETRY_SECONDS / 2,
            max_delay=LONGEST_WAIT,
            deadline=call.deadline,
        )

    def _fall_back(self, call: Call, error: ProviderError) -> bool:
        """Move the call to the next candidate; returns False if there is none, or if it would fail as well."""
        if not error.at_fault or not self._fallbacks(call):
            return False
        failed, candidate = call.shapes.current.route, self._fallbacks(call).pop(0)
        before, after = (f"{route.provider}/{route.model}" for route in (failed, candidate))
        record_degraded(call.scope, "fallback", before, after, error.message)
        call.shapes.move_to(candidate)
        call.backoff = self._backoff(call)
        return True

    def _fallbacks(self, call: Call) -> list[Route]:
        """The candidates that a call can still fall back to."""
        if call.fallbacks is None:
            found = self._alternatives.fallbacks(call.shapes.current.route) if self._settings.fallback else ()
            call.fallbacks = [route for route in found if self._is_able(route, call.shapes.current.request)]
        return call.fallbacks

    def _is_able(self, route: Route, request: ModelRequest) -> bool:
        try:
            self._check_able(self._sizes.provider(route), route, request)
        except ProviderError:
            return False  # such as a model without vision, for a request with images
        return True

    async def _try(self, call: Call) -> ModelReply:
        """Hold, send and settle a call in its current shape."""
        route = call.shapes.current.route
        self._traffic.admit(route.provider, route.model)
        await _warm(self._sizes.provider(route))
        quote = await self._quoted(call)
        try:
            # Wait for the rate limits before holding, so that nothing is held while it waits.
            async with self._traffic.gate(route.provider).passing(quote.tokens):
                held = await self._holder.hold(call, quote)
                reply = await self._sent(call, held)
        except ProviderError as error:
            self._traffic.note(route.provider, route.model, error)
            raise
        self._traffic.note(route.provider, route.model, None)
        return self._settled(call, held, reply)

    async def _quoted(self, call: Call) -> Quote:
        """The worst case of the call, with the prompt cache marks that save money."""
        shape = call.shapes.current
        if shape.request.reuse is not None and not shape.request.cache_marks and self._settings.prompt_cache:
            rates = self._holder.card(shape.route).at(self._sizes.input_tokens(shape.route, shape.request))
            marks = marks_for(shape.request.reuse, rates)
            call.shapes.with_request(shape.request.model_copy(update={"cache_marks": marks}))
        return await self._holder.quote(call, may_batch=call.scope.max_wait >= MIN_BATCH_WAIT and call.tries == 0)

    async def _sent(self, call: Call, held: Held) -> CheckedReply:
        """Send the call and return the answer. On any error, close the hold before raising it.

        Raises:
            ProviderError: There is no answer.
        """
        provider, hold, request = held.quote.provider, held.hold, held.quote.shape.request
        call.scope.ledger.note_try(call.key)
        meter = None
        if call.on_text is not None and not call.batched:
            meter = LiveMeter(hold, self._sizes.upper(held.route), call.show)
        try:
            if call.batched:
                sending = partial(call.scope.ledger.sending, held.row)
                return self._checked(await self._batches.answer(provider, hold, request, sending), held)
            async with asyncio.timeout(hold.timeout):
                if meter is None:
                    return self._checked(await provider.complete(hold, request), held)
                return self._checked(await provider.stream(hold, request, meter), held)
        except TimeoutError as error:
            self._close(call, held, meter, error)
            message = f"{held.route.provider}/{held.route.model} did not answer in {hold.timeout:g} s"
            raise ProviderError(message, retryable=True) from None
        except Exception as error:
            self._close(call, held, meter, error)
            if isinstance(error, IntendantError):
                raise
            log.warning("plugin_raised", plugin=provider.key, exc_info=error)
            raise ProviderError(
                f"the provider '{provider.name}' raised {type(error).__name__}: {redacted(str(error))}",
                hint="this is a fault of the plugin; report it there",
            ) from error
        except BaseException as error:
            self._close(call, held, meter, error)
            raise

    def _checked(self, reply: object, held: Held) -> CheckedReply:
        """Check that a reply can be charged and stored.

        Raises:
            ProviderError: It cannot; the provider may have charged it all the same.
        """
        return checked_reply(
            reply,
            held.route,
            held.quote.shape.request,
            held.hold,
            max_bytes=self._settings.max_reply_bytes,
            charges=held.quote.provider.charges,
        )

    # --- the end of an attempt ---

    def _settled(self, call: Call, held: Held, checked: CheckedReply) -> ModelReply:
        """Charge an answer and store it, so that it is never paid for twice."""
        scope, row, route, reply = call.scope, held.row, held.route, checked.reply
        reported = reply.usage if held.quote.provider.charges else Usage()
        price = held.quote.card.price(reported)
        usage = reported.model_copy(update={"micro_usd": price.micro_usd, "calls": 1})
        reply = reply.model_copy(update={"usage": usage})
        text, fault = _stored(reply)
        spent = Spent(usage.input_tokens, usage.output_tokens, usage.micro_usd)
        event = settled(
            scope,
            row.key,
            route,
            usage,
            "answered",
            produced_by=reply.produced_by,
            price_version=price.version,
            answered_by=checked.answered_by,
            corrected=checked.corrected,
        )
        scope.usage += usage
        scope.produced_by = label_of(reply)
        scope.ledger.settle(row, spent, text, event)
        if fault:
            message = f"{route.provider}/{route.model} answered what cannot be stored: {fault}"
            raise ProviderError(message, hint="this is a fault of the provider's plugin; the call was charged")
        request = held.quote.shape.request
        if held.quote.bound != "exact" and not request.tools:  # providers add their own text to tools
            self._sizes.observe(route, held.quote.input_tokens, usage.input_tokens, request)
        if scope.cache_ttl and reply.stop_reason == "end" and text is not None:
            key = self._response_key(call)
            scope.journal.store.do_later(responses.keep(key, text, time(), scope.cache_ttl))
        return reply

    def _close(self, call: Call, held: Held, meter: LiveMeter | None, error: BaseException) -> None:
        """Close the hold of a failed attempt: release it if the provider certainly charged nothing, charge a
        stream by what arrived, and charge everything else in full until the real cost is known.
        """
        scope, row, route = call.scope, held.row, held.route
        if scope.ledger.is_queued(row) or (isinstance(error, ProviderError) and not error.billed):
            scope.ledger.release(row, settled(scope, row.key, route, Usage(), "refused"))
            return
        arrived = None if meter is None else meter.charge
        if arrived is None:
            usage = Usage(output_tokens=row.tokens, micro_usd=row.micro, calls=1)
            scope.ledger.charge(row, settled(scope, row.key, route, usage, "in_doubt"))
        else:
            price = self._holder.card(route).price(arrived)
            usage = arrived.model_copy(update={"micro_usd": min(row.micro, price.micro_usd), "calls": 1})
            spent = Spent(usage.input_tokens, usage.output_tokens, usage.micro_usd)
            event = settled(scope, row.key, route, usage, "cut_off", price_version=price.version)
            scope.ledger.cut_off(row, spent, event)
        scope.usage += usage


def _stored(reply: ModelReply) -> tuple[str | None, str]:
    """A reply as JSON, or None and the reason. The call is charged in either case."""
    try:
        return write_reply(reply), ""
    except Exception as error:  # noqa: BLE001  # it may contain objects of a plugin
        return None, f"{type(error).__name__}: {redacted(str(error))}"


async def _warm(provider: Provider) -> None:
    """Prepare a provider before anything is held.

    Raises:
        ProviderError: The provider cannot be used; nothing was sent.
    """
    try:
        await provider.warm()
    except IntendantError:
        raise
    except Exception as error:
        log.warning("plugin_raised", plugin=provider.key, exc_info=error)
        message = f"the provider '{provider.name}' cannot be used: {type(error).__name__}: {redacted(str(error))}"
        raise ProviderError(message, billed=False, at_fault=True) from error


def _not_again(failure: ProviderError, refused: BudgetExceeded) -> ProviderError:
    """The error of a failed attempt if the budgets do not admit another one: failed attempts may be charged."""
    return ProviderError(
        f"{failure.message}; another try is not admitted: {refused.message}",
        hint=failure.hint or refused.hint,
        billed=failure.billed,
        at_fault=failure.at_fault,
    )
