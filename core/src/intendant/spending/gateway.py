"""The gateway: the only door through which tokens are spent, and the only caller of providers.

For each call: count the input, clamp the output to what the budget admits, look the call up (one that was paid
for is never paid again), hold its worst case, ask the provider, settle by the provider's own figures.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from intendant.hooks.outside import Hold, Provider
from intendant.model import events
from intendant.model.errors import BudgetExceeded, IntendantError, PluginLoadError, ProviderError
from intendant.model.requests import Message, ModelRequest
from intendant.model.results import ModelReply, Route, Usage
from intendant.model.retrying import retrying
from intendant.record.journal import Journal
from intendant.record.store import budgets
from intendant.record.store.budgets import HoldRow, Spent
from intendant.spending.ledger import RunLedger
from intendant.spending.pricing import Price, Prices
from intendant.spending.tokens import MESSAGE_OVERHEAD, TokenCounter, counter_for

MIN_OUTPUT_TOKENS = 16
"""A call that could not answer with at least this much is not worth its input."""
ATTEMPTS = 3
RETRY_SECONDS = 0.5


@dataclass(slots=True)
class CallScope:
    """For whom calls are made: one attempt at a step."""

    journal: Journal
    ledger: RunLedger
    step_id: str
    calls: int = 0
    """Calls made in this attempt; the n-th call of each attempt has the same idempotency key."""
    generation: int = 0
    """Raised when an attempt failed because of the answers it got: then they are asked for anew."""
    usage: Usage = field(default_factory=Usage)
    produced_by: str = "deterministic"


class Gateway:
    """Sends model calls.

    Args:
        providers: By name.
        prices: What calls cost.
        call_timeout: Seconds for one call.
    """

    def __init__(self, providers: Mapping[str, Provider], prices: Prices, call_timeout: float) -> None:
        self._providers = providers
        self._prices = prices
        self._timeout = call_timeout

    def counter(self, route: Route) -> TokenCounter:
        """Counts tokens for the model of *route*."""
        return counter_for(self._provider(route).token_counting(route.model))

    def offers_tools(self, route: Route | None) -> bool:
        """True if models behind *route* can be offered tools."""
        return route is not None and self._provider(route).tools

    def charges(self, route: Route | None) -> bool:
        """True if a model is behind *route*; what a provider without one reads costs nothing."""
        return route is not None and self._provider(route).produced_by == "model"

    def input_tokens(self, route: Route, request: ModelRequest) -> int:
        """Tokens of a request, counted from above."""
        count = self.counter(route)
        schema = json.dumps(request.json_schema) if request.json_schema else ""
        tools = [tool.model_dump_json() for tool in request.tools]
        texts = [request.system, schema, *tools, *map(_sent, request.messages)]
        return sum(count(text) + MESSAGE_OVERHEAD for text in texts if text)

    async def complete(self, scope: CallScope, route: Route, request: ModelRequest) -> ModelReply:
        """Send a call, with retries of what may pass; each try has its own hold.

        Raises:
            BudgetExceeded: A limit does not admit it; nothing was sent.
            ProviderError: The provider refused or broke off.
        """
        provider = self._provider(route)
        base = _call_key(scope, route, request)
        scope.calls += 1
        if (reply := await self._replay(scope, base, route)) is not None:
            return reply
        return await retrying(
            lambda: self._once(scope, provider, route, request, base),
            again=_may_pass,
            attempts=ATTEMPTS,
            delay=RETRY_SECONDS,
            jitter=RETRY_SECONDS,
            longest=10.0,
        )

    def _provider(self, route: Route) -> Provider:
        try:
            return self._providers[route.provider]
        except KeyError:
            raise PluginLoadError(
                f"the provider '{route.provider}' is not installed",
                hint=f"pip install intendant-provider-{route.provider}",
            ) from None

    async def _replay(self, scope: CallScope, base: str, route: Route) -> ModelReply | None:
        """The answer of a call that was made before."""
        for row in await scope.journal.store.do(budgets.holds_of_call(base)):
            if row["state"] == "settled" and row["reply"]:
                reply = ModelReply.model_validate_json(row["reply"])
                scope.produced_by = _label(reply)
                scope.journal.record(_settled(scope, row["key"], route, Usage(), "replayed", reply.produced_by))
                return reply
        return None

    async def _once(
        self, scope: CallScope, provider: Provider, route: Route, request: ModelRequest, base: str
    ) -> ModelReply:
        earlier = len(await scope.journal.store.do(budgets.holds_of_call(base)))
        key = f"{base}~{earlier}" if earlier else base
        row, hold = await self._hold(scope, provider, route, request, key)
        try:
            async with asyncio.timeout(self._timeout):
                reply = await provider.complete(hold, request)
            reply = _checked(reply, route)
        except BaseException as error:
            await asyncio.shield(self._close_failed(scope, row, route, error))
            if isinstance(error, TimeoutError):
                message = f"{route.provider}/{route.model} did not answer in {self._timeout:g} s"
                raise ProviderError(message, retryable=True) from None
            raise
        return await asyncio.shield(self._settle(scope, provider, route, row, reply))

    async def _hold(
        self, scope: CallScope, provider: Provider, route: Route, request: ModelRequest, key: str
    ) -> tuple[HoldRow, Hold]:
        counted = self.input_tokens(route, request)
        output = self._clamp(scope, route, request, counted)
        output = await self._affordable(scope, provider, route, counted, output)
        worst = Usage(input_tokens=counted, output_tokens=output)
        price = self._price(provider, route, worst)
        row = HoldRow(
            key=key,
            run_id=scope.journal.run_id,
            step_key=scope.step_id,
            epoch=scope.journal.fence.epoch,
            scope=scope.ledger.chain(scope.step_id)[-1],
            provider=route.provider,
            model=route.model,
            tokens=worst.tokens,
            micro=price.micro_usd,
            price_version=price.version,
            expires_at=scope.ledger.expiry(),
        )
        event = events.TokensReserved(
            run_id=scope.journal.run_id,
            step_id=scope.step_id,
            call=key,
            provider=route.provider,
            model=route.model,
            tokens=worst.tokens,
            micro_usd=price.micro_usd,
            estimated=not self.counter(route).exact,
        )
        await scope.ledger.reserve(row, event)
        hold = Hold(key, worst.tokens, price.micro_usd, output, route.model, self._timeout)
        return row, hold

    def _clamp(self, scope: CallScope, route: Route, request: ModelRequest, counted: int) -> int:
        """The longest answer that is wanted and fits."""
        wanted = min(request.max_output_tokens or route.max_output_tokens, route.max_output_tokens)
        left = scope.ledger.left(scope.step_id)
        if left is None:
            return wanted
        if counted + min(wanted, MIN_OUTPUT_TOKENS) > left:
            raise BudgetExceeded(f"step {scope.step_id}", "tokens", counted + wanted, left)
        return min(wanted, left - counted)

    async def _affordable(
        self, scope: CallScope, provider: Provider, route: Route, counted: int, output: int
    ) -> int:
        """The longest answer up to *output* that the money left pays for; *output* where none does."""
        left = await scope.ledger.micro_left()

        def cost(tokens: int) -> int:
            usage = Usage(input_tokens=counted, output_tokens=tokens)
            return self._price(provider, route, usage).micro_usd

        if left is None or cost(output) <= left or cost(MIN_OUTPUT_TOKENS) > left:
            return output
        # Prices rise with the answer's length, in steps for some models: bisection finds the border for all.
        low, high = MIN_OUTPUT_TOKENS, output
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if cost(middle) <= left else (low, middle)
        return low

    def _price(self, provider: Provider, route: Route, usage: Usage) -> Price:
        return self._prices.of(route.provider, route.model, usage, free=provider.produced_by == "extractive")

    async def _settle(
        self, scope: CallScope, provider: Provider, route: Route, row: HoldRow, reply: ModelReply
    ) -> ModelReply:
        price = self._price(provider, route, reply.usage)
        usage = reply.usage.model_copy(update={"micro_usd": price.micro_usd, "calls": 1})
        reply = reply.model_copy(update={"usage": usage})
        spent = Spent(usage.input_tokens, usage.output_tokens, usage.micro_usd)
        event = _settled(scope, row.key, route, usage, "answered", reply.produced_by, price.version)
        await scope.ledger.settle(row, spent, reply.model_dump_json(), event)
        scope.usage += usage
        scope.produced_by = _label(reply)
        return reply

    async def _close_failed(self, scope: CallScope, row: HoldRow, route: Route, error: BaseException) -> None:
        """Release what was certainly not charged; charge all else in full, until the truth is known."""
        if isinstance(error, ProviderError) and not error.billed:
            await scope.ledger.release(row, _settled(scope, row.key, route, Usage(), "refused"))
            return
        usage = Usage(output_tokens=row.tokens, micro_usd=row.micro, calls=1)
        event = _settled(scope, row.key, route, usage, "in_doubt")
        await scope.ledger.settle(row, Spent(0, row.tokens, row.micro), None, event, in_doubt=True)
        scope.usage += usage


def _checked(reply: object, route: Route) -> ModelReply:
    """What a provider returned, if it is a reply; it may have been charged all the same."""
    if isinstance(reply, ModelReply):
        return reply
    message = f"the provider '{route.provider}' returned {type(reply).__name__}, not a ModelReply"
    raise ProviderError(message, hint="this is a fault of the plugin; report it there")


def _may_pass(error: Exception) -> bool:
    return isinstance(error, IntendantError) and error.retryable


def _label(reply: ModelReply) -> str:
    return "extractive" if reply.produced_by == "extractive" else f"model:{reply.provider}/{reply.model}"


def _sent(message: Message) -> str:
    """What is sent of a turn: its text, or all of the provider's own form."""
    return message.content if message.raw is None else json.dumps(message.raw, ensure_ascii=False)


def _call_key(scope: CallScope, route: Route, request: ModelRequest) -> str:
    """The same for the same call of the same step, in whatever attempt and whatever process."""
    content = request.model_dump_json(exclude={"max_output_tokens"})
    number = f"{scope.generation}.{scope.calls}"
    parts = (scope.journal.run_id, scope.step_id, number, route.provider, route.model, content)
    return sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _settled(
    scope: CallScope,
    key: str,
    route: Route,
    usage: Usage,
    outcome: Literal["answered", "refused", "in_doubt", "replayed"],
    produced_by: str = "model",
    price_version: str = "",
) -> events.TokensSettled:
    return events.TokensSettled(
        run_id=scope.journal.run_id,
        step_id=scope.step_id,
        call=key,
        provider=route.provider,
        model=route.model,
        usage=usage,
        outcome=outcome,
        produced_by=produced_by,
        price_version=price_version,
    )
