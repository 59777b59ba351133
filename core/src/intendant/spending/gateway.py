"""The gateway: the only door through which tokens are spent, and the only caller of providers.

For each call: count the input, clamp the output to what the budget admits, look the call up (one that was paid
for is never paid again), hold its worst case, ask the provider, settle by the provider's own figures.
"""

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import Any, Literal

from intendant.hooks.outside import Hold, Provider
from intendant.model import events
from intendant.model.errors import BudgetExceeded, CallInDoubt, IntendantError, PluginLoadError, ProviderError
from intendant.model.requests import Message, ModelRequest, Tool
from intendant.model.results import ModelReply, Route, Usage
from intendant.model.retrying import retrying
from intendant.model.workflow import InDoubt
from intendant.record.journal import Journal
from intendant.record.store import budgets, doubts
from intendant.record.store.budgets import HoldRow, Spent
from intendant.record.store.doubts import OpenHold
from intendant.record.store.limits import Room
from intendant.spending.doubt import Fate, fate_of, policy_of
from intendant.spending.ledger import RunLedger, is_standing
from intendant.spending.pricing import Price, Prices
from intendant.spending.tokens import MESSAGE_OVERHEAD, CountCorrection, TokenCounter, counter_for

MIN_OUTPUT_TOKENS = 16
"""A call that could not answer with at least this much is not worth its input."""
WAIT_SECONDS = 10.0
"""How long a call waits for others that hold what it needs; then it is shortened or refused."""
ATTEMPTS = 3
RETRY_SECONDS = 0.5


Earlier = Sequence[Mapping[str, Any]]
"""The holds of earlier tries at a call, in their order."""
Cost = Callable[[int], int]
"""Micro-US$ of a call for an answer of so many tokens."""


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
    in_doubt: InDoubt | None = None
    """What becomes of a call that was out when its process died; None for the default."""


class Gateway:
    """Sends model calls.

    Args:
        providers: By name.
        prices: What calls cost.
        call_timeout: Seconds for one call.
        ask_above: Micro-US$; a call in doubt that may have cost more waits for a person.
    """

    def __init__(
        self, providers: Mapping[str, Provider], prices: Prices, call_timeout: float, ask_above: int = 50_000
    ) -> None:
        self._providers = providers
        self._prices = prices
        self._timeout = call_timeout
        self._corrections = CountCorrection()
        self._ask_above = ask_above

    def counter(self, route: Route) -> TokenCounter:
        """Counts tokens for the model of *route*."""
        counter = counter_for(self._provider(route).token_counting(route.model))
        factor = 1.0 if counter.exact else self._corrections.factor(f"{route.provider}/{route.model}")
        if factor == 1.0:
            return counter
        return TokenCounter(lambda text: math.ceil(factor * counter(text)), exact=False)

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
        texts = [request.system, schema, *map(_sent, request.messages)]
        return self.tool_tokens(route, request.tools) + sum(
            count(text) + MESSAGE_OVERHEAD for text in texts if text
        )

    def tool_tokens(self, route: Route, tools: Sequence[Tool]) -> int:
        """Tokens that offering *tools* takes in each call, counted from above."""
        if not tools:
            return 0
        count = self.counter(route)
        own = self._provider(route).token_counting(route.model).tools
        return own + sum(count(tool.model_dump_json()) + MESSAGE_OVERHEAD for tool in tools)

    async def complete(self, scope: CallScope, route: Route, request: ModelRequest) -> ModelReply:
        """Send a call, with retries of what may pass; each try has its own hold.

        Raises:
            BudgetExceeded: A limit does not admit it; nothing was sent.
            ProviderError: The provider refused or broke off.
        """
        provider = self._provider(route)
        base = _call_key(scope, route, request)
        scope.calls += 1
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

    def _replay(self, scope: CallScope, earlier: Earlier, route: Route) -> ModelReply | None:
        """The answer of a call that was made before."""
        for row in earlier:
            if row["state"] == "settled" and row["reply"]:
                reply = ModelReply.model_validate_json(row["reply"])
                scope.produced_by = _label(reply)
                scope.journal.record(_settled(scope, row["key"], route, Usage(), "replayed", reply.produced_by))
                return reply
        return None

    async def _once(
        self, scope: CallScope, provider: Provider, route: Route, request: ModelRequest, base: str
    ) -> ModelReply:
        earlier = await scope.journal.store.do(budgets.holds_of_call(base))
        if (known := self._replay(scope, earlier, route)) is not None:
            return known
        row, hold = await self._again(scope, provider, route, request, base, earlier)
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
        return await asyncio.shield(self._settle(scope, provider, route, request, row, hold, reply))

    async def _again(
        self,
        scope: CallScope,
        provider: Provider,
        route: Route,
        request: ModelRequest,
        base: str,
        earlier: Earlier,
    ) -> tuple[HoldRow, Hold]:
        """A hold for the next try at a call; the one of a dead process, where the same call may be sent again.

        Raises:
            CallInDoubt: A process died while this call was out, and the policy is not to repeat it.
        """
        last = earlier[-1] if earlier else None
        if last and last["epoch"] < scope.journal.fence.epoch and last["state"] in ("held", "in_doubt"):
            fate = await self._decide(scope, provider, last)
            if fate.waits or fate.fails:
                raise CallInDoubt(fate.key, last["micro"], waits=fate.waits)
            if not fate.charged:
                return self._taken_over(scope, route, request, last)
        return await self._hold(scope, provider, route, request, f"{base}~{len(earlier)}" if earlier else base)

    async def _decide(self, scope: CallScope, provider: Provider, found: Mapping[str, Any]) -> Fate:
        """Keep the hold of a call that is sent again; charge any other, in one commit with its event."""
        opened = OpenHold(*(found[name] for name in OpenHold.__slots__))
        policy = policy_of(
            scope.in_doubt, knows_keys=provider.knows_keys, micro=opened.micro, ask_above=self._ask_above
        )
        fate = fate_of(opened, policy)
        if found["state"] == "held":
            keep, charge = ([], [fate.key]) if fate.charged else ([fate.key], [])
            work = doubts.take_over(scope.journal.fence.epoch, scope.ledger.expiry(), keep, charge)
            await scope.journal.commit(work, *([_in_doubt(scope, opened)] if fate.charged else []))
        return fate

    def _taken_over(
        self, scope: CallScope, route: Route, request: ModelRequest, found: Mapping[str, Any]
    ) -> tuple[HoldRow, Hold]:
        """A dead process's hold as one of ours: held once, for the same call under the same key."""
        row = HoldRow(**{name: found[name] for name in HoldRow.__slots__})
        scope.ledger.adopt(row)
        wanted = min(request.max_output_tokens or route.max_output_tokens, route.max_output_tokens)
        output = min(wanted, row.tokens - self.input_tokens(route, request))
        return row, Hold(row.key, row.tokens, row.micro, output, route.model, self._timeout)

    async def _hold(
        self, scope: CallScope, provider: Provider, route: Route, request: ModelRequest, key: str
    ) -> tuple[HoldRow, Hold]:
        counted = self.input_tokens(route, request)
        output = self._clamp(scope, route, request, counted)
        output = await self._affordable(scope, provider, route, counted, output)
        try:
            return await self._held(scope, provider, route, counted, output, key)
        except BudgetExceeded as error:
            if not is_standing(error):
                raise
            refused = error
        until = monotonic() + WAIT_SECONDS
        async with scope.ledger.standing.turn(scope.ledger.agent):
            while fits := await self._admitted(scope, provider, route, counted, output, until):
                try:
                    return await self._held(scope, provider, route, counted, fits, key)
                except BudgetExceeded as error:
                    if not is_standing(error):
                        raise
                    refused = error
        raise refused

    async def _held(
        self, scope: CallScope, provider: Provider, route: Route, counted: int, output: int, key: str
    ) -> tuple[HoldRow, Hold]:
        row = self._row(scope, provider, route, Usage(input_tokens=counted, output_tokens=output), key)
        await scope.ledger.reserve(row, self._reserved(row, route))
        return row, Hold(key, row.tokens, row.micro, output, route.model, self._timeout)

    async def _admitted(
        self, scope: CallScope, provider: Provider, route: Route, counted: int, wanted: int, until: float
    ) -> int:
        """The longest answer up to *wanted* that the standing budgets admit after one refused; 0 for none.

        Calls that are out hold their worst case, and most will take less: where that is what is missing, waits
        for them, but not beyond *until*.
        """
        cost = self._costs(provider, route, counted)
        now, then = await scope.ledger.standing.room(scope.ledger.agent)
        fits, most = (_longest(room, cost, counted, wanted) for room in (now, then))
        if fits < most and monotonic() < until:
            await scope.ledger.standing.wait(scope.ledger.agent)
            return most
        return fits

    def _row(self, scope: CallScope, provider: Provider, route: Route, worst: Usage, key: str) -> HoldRow:
        price = self._price(provider, route, worst)
        return HoldRow(
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
            agent=scope.ledger.agent,
            tenant=scope.ledger.standing.tenant,
        )

    def _reserved(self, row: HoldRow, route: Route) -> events.TokensReserved:
        return events.TokensReserved(
            run_id=row.run_id,
            step_id=row.step_key,
            call=row.key,
            provider=row.provider,
            model=row.model,
            tokens=row.tokens,
            micro_usd=row.micro,
            estimated=not self.counter(route).exact,
        )

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
        room = Room(None, await scope.ledger.micro_left())
        return _longest(room, self._costs(provider, route, counted), counted, output) or output

    def _costs(self, provider: Provider, route: Route, counted: int) -> Cost:
        """Micro-US$ of the call for an answer of so many tokens."""
        return lambda output: (
            self._price(provider, route, Usage(input_tokens=counted, output_tokens=output)).micro_usd
        )

    def _price(self, provider: Provider, route: Route, usage: Usage) -> Price:
        return self._prices.of(route.provider, route.model, usage, free=provider.produced_by == "extractive")

    async def _settle(
        self,
        scope: CallScope,
        provider: Provider,
        route: Route,
        request: ModelRequest,
        row: HoldRow,
        hold: Hold,
        reply: ModelReply,
    ) -> ModelReply:
        price = self._price(provider, route, reply.usage)
        usage = reply.usage.model_copy(update={"micro_usd": price.micro_usd, "calls": 1})
        reply = reply.model_copy(update={"usage": usage})
        spent = Spent(usage.input_tokens, usage.output_tokens, usage.micro_usd)
        event = _settled(scope, row.key, route, usage, "answered", reply.produced_by, price.version)
        await scope.ledger.settle(row, spent, reply.model_dump_json(), event)
        scope.usage += usage
        scope.produced_by = _label(reply)
        if not request.tools:  # The words around tools are the provider's own, and no text of ours.
            model = f"{route.provider}/{route.model}"
            expected = int((row.tokens - hold.max_output_tokens) / self._corrections.factor(model))
            self._corrections.observe(model, expected, usage.input_tokens)
        return reply

    async def _close_failed(self, scope: CallScope, row: HoldRow, route: Route, error: BaseException) -> None:
        """Release what was certainly not charged; charge all else in full, until the truth is known."""
        if isinstance(error, ProviderError) and not error.billed:
            await scope.ledger.release(row, _settled(scope, row.key, route, Usage(), "refused"))
            return
        usage = Usage(output_tokens=row.tokens, micro_usd=row.micro, calls=1)
        await scope.ledger.charge(row, _settled(scope, row.key, route, usage, "in_doubt"))
        scope.usage += usage


def _longest(room: Room, cost: Cost, counted: int, most: int) -> int:
    """The longest answer up to *most* tokens that fits beside *counted* ones; 0 if it would be too short."""
    high = most if room.tokens is None else min(most, room.tokens - counted)
    low = min(most, MIN_OUTPUT_TOKENS)
    if high < low or (room.micro is not None and cost(low) > room.micro):
        return 0
    if room.micro is None or cost(high) <= room.micro:
        return high
    # Prices rise with the answer's length, in steps for some models: bisection finds the border for all.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= room.micro else (low, middle)
    return low


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


def _in_doubt(scope: CallScope, opened: OpenHold) -> events.TokensSettled:
    return events.TokensSettled(
        run_id=scope.journal.run_id,
        step_id=scope.step_id,
        call=opened.key,
        provider=opened.provider,
        model=opened.model,
        usage=Usage(output_tokens=opened.tokens, micro_usd=opened.micro, calls=1),
        outcome="in_doubt",
    )


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
