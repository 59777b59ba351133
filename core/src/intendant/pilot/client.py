"""The door to a model that one attempt at a step is given."""

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Literal, NamedTuple

from intendant import events
from intendant.model.errors import BudgetExceeded, ProviderError
from intendant.model.requests import MemoryContext, Message, ModelRequest, PromptReuse
from intendant.model.results import Compression, ModelReply, Route, ToolCall
from intendant.model.workflow import Json
from intendant.planning import receipts
from intendant.planning.compression import CompressionChain, Fitted, to_text
from intendant.planning.memory import fit_memory
from intendant.planning.planner import StepPlan
from intendant.record.store import originals
from intendant.spending.calls import MIN_OUTPUT_TOKENS, CallScope, OnText, degraded
from intendant.spending.gateway import Gateway
from intendant.spending.tokens import estimate_tokens

MEMORY_OVERHEAD = 8
"""Tokens by which the joint text of memory and instructions may be more than both."""
FROZEN = 64
"""Texts of a run that are remembered in the bytes in which they were sent."""
USEFUL_ANSWER = 0.25
"""An answer is shortened to this part of what was wanted before the input is compressed further for it; to less
only where nothing else helps."""


class Shared:
    """What the steps of a run share: what is known before it, and what was compressed in it, so that the same
    content
    is sent in the same bytes; a provider's prompt cache reads only what has not changed.

    Args:
        memory: What is known before the run.
        goal: What the run is for; decides what is kept of that.
    """

    def __init__(self, memory: MemoryContext | None = None, goal: str = "") -> None:
        self._memory = memory
        self._goal = goal
        self._memories: dict[tuple[str, int], Compression] = {}
        self._texts: dict[tuple[str, ...], Fitted] = {}

    async def memory(
        self, chain: CompressionChain | None, model: str, room: int, count: Callable[[str], int]
    ) -> tuple[Compression | None, bool]:
        """What is known, in at most *room* tokens of *model*, and whether it was written now; None if nothing
        is.
        """
        if self._memory is None or room <= 0:
            return None, False
        key = (model, room)
        new = key not in self._memories
        if new:
            self._memories[key] = await fit_memory(chain, self._memory, room, count, query=self._goal)
        return self._memories[key], new

    def find(self, key: tuple[str, ...], target: int) -> Fitted | None:
        """What was written for *key*, if it takes at most *target* tokens."""
        found = self._texts.get(key)
        return found if found is not None and found.compression.tokens_after <= target else None

    def keep(self, key: tuple[str, ...], fitted: Fitted) -> None:
        """Remember it; the oldest is forgotten."""
        if fitted.compression.strategy == "none":
            return
        self._texts[key] = fitted
        if len(self._texts) > FROZEN:
            del self._texts[next(iter(self._texts))]


class _Fit(NamedTuple):
    """A text that was written for a call."""

    text: str
    query: str
    context: tuple[tuple[str, str], ...]
    done: Compression


class StepModel:
    """Implements `ModelClient`: bound to a step's route, budget and compression policy.

    Args:
        gateway: Sends the calls.
        scope: For whom.
        plan: The step's plan.
        chain: Compresses; None where compression is switched off.
        shared: What the steps of the run share.
        on_text: Told of answers in words while they are written, where a call names nobody else.
    """

    def __init__(
        self,
        gateway: Gateway,
        scope: CallScope,
        plan: StepPlan,
        chain: CompressionChain | None,
        shared: "Shared | None" = None,
        on_text: OnText | None = None,
    ) -> None:
        self._gateway = gateway
        self._scope = scope
        self._plan = plan
        self._chain = chain
        self._on_text = on_text
        self._shared = shared if shared is not None else Shared()
        self._originals: dict[str, str] = {}
        self._fits: list[_Fit] = []
        self.tokens_saved = 0

    @property
    def route(self) -> Route | None:
        """Which model is behind the door."""
        return self._plan.route

    @property
    def tokens_left(self) -> int | None:
        """Tokens that the step may still spend."""
        return self._scope.ledger.left(self._plan.step_id)

    def count(self, text: str) -> int:
        """Tokens of *text* for that model."""
        return self._counter()(text)

    def _counter(self) -> Callable[[str], int]:
        return estimate_tokens if self.route is None else self._gateway.counter(self.route)

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Ask the model; see `ModelClient.complete`."""
        if self.route is None:
            raise ProviderError(
                f"step '{self._plan.step_id}' needs a model and no provider can be used",
                hint="set ANTHROPIC_API_KEY or OPENAI_API_KEY, or: pip install intendant-provider-extractive",
                billed=False,
            )
        if on_text is None and request.json_schema is None:
            on_text = self._on_text
        request = await self._reminded(self.route, request)
        if not self._marked(request):
            return await self._admitted(self.route, request, on_text)
        return await self._expanding(self.route, request, on_text)

    async def _admitted(self, route: Route, request: ModelRequest, on_text: OnText | None) -> ModelReply:
        """The answer to what the budget admits of a request.

        The rungs, each tried when the one before it was refused: a shorter answer, but a useful one; a shorter
        input, from the texts that `fit` wrote for it; a cheaper model, where money is what is missing; the
        shortest answer of all.

        Raises:
            BudgetExceeded: None of them fits.
        """
        send = partial(self._gateway.complete, self._scope, on_text=on_text, number=self._scope.next_call())
        wanted = min(request.max_output_tokens or route.max_output_tokens, route.max_output_tokens)
        useful = max(MIN_OUTPUT_TOKENS, int(USEFUL_ANSWER * wanted))
        try:
            return await send(route, request, least_output=useful)
        except BudgetExceeded as error:
            refused = error
        smaller = await self._smaller(request, refused.asked - wanted + useful - refused.left, refused)
        if smaller is not None:
            request = smaller
            try:
                return await send(route, request, least_output=useful)
            except BudgetExceeded as error:
                refused = error
        for leg in self._gateway.alternatives.cheaper(route) if refused.unit == "micro_usd" else ():
            self._degraded("cheaper_tier", route.model, leg.model, refused)
            route = leg
            try:
                return await send(route, request, least_output=useful)
            except BudgetExceeded as error:
                refused = error
        return await send(route, request, least_output=MIN_OUTPUT_TOKENS)

    def _degraded(
        self, how: Literal["compressed", "cheaper_tier"], before: str, after: str, why: Exception
    ) -> None:
        self._scope.journal.append(degraded(self._scope, how, before, after, str(why)))

    async def _smaller(self, request: ModelRequest, excess: int, why: BudgetExceeded) -> ModelRequest | None:
        """The request with its compressed texts made shorter by *excess* tokens, or by half where money is what is
        missing; None if that cannot be.
        """
        contents = [message.content for message in request.messages]
        used = [fit for fit in self._fits if any(fit.done.text in content for content in contents)]
        whole = sum(fit.done.tokens_after for fit in used)
        if self._chain is None or not whole:
            return None
        part = max(0.0, 1 - excess / whole) if why.unit == "tokens" else 0.5
        before = after = self._gateway.input_tokens(self._plan.route, request) if self._plan.route else 0
        for fit in used:
            done = await self._refitted(self._chain, fit, int(part * fit.done.tokens_after))
            contents = [content.replace(fit.done.text, done.text) for content in contents]
            after -= fit.done.tokens_after - done.tokens_after
        if after >= before:
            return None
        self._degraded("compressed", str(before), str(after), why)
        messages = [
            message.model_copy(update={"content": content})
            for message, content in zip(request.messages, contents, strict=True)
        ]
        return request.model_copy(update={"messages": tuple(messages)})

    async def _refitted(self, chain: CompressionChain, fit: "_Fit", target: int) -> Compression:
        """A text that was fitted, made still shorter; as it is, where that loses too much."""
        started = perf_counter()
        fitted = await self._fitted(chain, fit.text, target, self._counter(), fit.query, fit.context)
        if fitted.compression.tokens_after >= fit.done.tokens_after:
            return fit.done
        handle = await self._stashed(fit.text, fitted.compression)
        # What was saved before is on record; this is what is saved beyond it.
        more = fitted.compression.model_copy(update={"tokens_before": fit.done.tokens_after})
        self._record(Fitted(more, fitted.refused), handle, perf_counter() - started)
        return self._with_mark(fitted.compression, handle, self._counter())

    async def _reminded(self, route: Route, request: ModelRequest) -> ModelRequest:
        """The request with what is known before the run, first, so that all calls begin with the same bytes."""
        room, model = self._plan.memory_tokens, f"{route.provider}/{route.model}"
        known, new = await self._shared.memory(self._chain, model, room - MEMORY_OVERHEAD, self._counter())
        if known is None or not known.text:
            return request
        if new and known.strategy != "none":
            self._record(Fitted(known), "", 0.0)
        return request.model_copy(update={"system": f"{known.text}{request.system}"})

    def _marked(self, request: ModelRequest) -> bool:
        """True if the request holds a mark that the model may redeem."""
        if request.tools or not self._expansions:
            return False
        marks = [receipts.mark_of(handle) for handle in self._originals]
        return any(mark in message.content for message in request.messages for mark in marks)

    @property
    def _expansions(self) -> int:
        return self._plan.compression.expansions if self._gateway.offers_tools(self.route) else 0

    async def _expanding(self, route: Route, request: ModelRequest, on_text: OnText | None) -> ModelReply:
        """Ask, and give parts of what was left out, as often as the policy says; then the model has to answer."""
        messages = request.messages
        for left in range(self._expansions, -1, -1):
            choice = {"tools": (receipts.EXPAND,), "tool_choice": "auto" if left else "none"}
            reuse = PromptReuse(messages=len(messages), calls=left) if left else None
            asked = request.model_copy(update={"messages": messages, "reuse": reuse, **choice})
            # What a model says beside a call of the tool is no part of the answer.
            reply = await self._admitted(route, asked, None if left else on_text)
            if not reply.calls:
                break
            said = Message(role="assistant", content=reply.text, calls=reply.calls, raw=reply.raw)
            results = [Message(role="tool", content=self._expanded(call), answers=call.id) for call in reply.calls]
            messages = (*messages, said, *results)
        return reply

    def _expanded(self, call: ToolCall) -> str:
        """The part that a call asks for, recorded: it counts against what compression saved."""
        handle, part, wanted = receipts.asked_of(call.arguments)
        text = self._originals.get(handle)
        if call.name != receipts.EXPAND.name or text is None:
            return f"[there is no '{handle}'; known: {', '.join(self._originals)}]"
        given = receipts.slice_of(text, part, self._counter(), wanted)
        tokens = self.count(given)
        if self._gateway.charges(self.route):
            self.tokens_saved -= tokens
            self._scope.log.record(events.ContentExpanded, original=handle, part=part, tokens=tokens)
        return given

    async def fit(
        self,
        content: Json,
        *,
        query: str = "",
        share: float = 0.75,
        overhead: str = "",
        context: Sequence[tuple[str, str]] = (),
    ) -> Compression:
        """Write *content* as text, compressed as far as the budget asks; see `ModelClient.fit`."""
        text = to_text(content)
        count, left = self._counter(), self.tokens_left
        target = self._target(count, text, left, share, overhead)
        if target is None or self._chain is None:
            tokens = 0 if left is None else count(text)
            return Compression(
                text=text, tokens_before=tokens, tokens_after=tokens, strategy="none", lossless=True
            )
        started = perf_counter()
        fitted = await self._fitted(self._chain, text, target, count, query, context)
        if fitted.compression.strategy == "none" and not fitted.refused:
            return fitted.compression
        handle = await self._stashed(text, fitted.compression)
        self._record(fitted, handle, perf_counter() - started)
        done = self._with_mark(fitted.compression, handle, count)
        self._fits.append(_Fit(text, query, tuple(context), done))
        return done

    async def _fitted(
        self,
        chain: CompressionChain,
        text: str,
        target: int,
        count: Callable[[str], int],
        query: str,
        context: Sequence[tuple[str, str]],
    ) -> Fitted:
        """The text as it was written before in this run, if that fits; else compressed now."""
        policy = self._plan.compression
        model = f"{self.route.provider}/{self.route.model}" if self.route else ""
        known = receipts.digest_of(repr(context)) if context else ""
        key = (receipts.digest_of(text), query, model, policy.model_dump_json(), known)
        earlier = self._shared.find(key, target)
        if earlier is not None:
            return earlier
        fitted = await chain.fit(
            text,
            target,
            policy=policy,
            count=count,
            query=query,
            intent=self._plan.intent,
            model=self._rewriter(),
            context=context,
        )
        self._shared.keep(key, fitted)
        return fitted

    def _rewriter(self) -> "StepModel | None":
        """A door to the model that may rewrite content, with the same budget."""
        if self._plan.rewriting is None or not self._gateway.charges(self._plan.rewriting):
            return None
        plan = self._plan.model_copy(update={"route": self._plan.rewriting, "rewriting": None, "memory_tokens": 0})
        return StepModel(self._gateway, self._scope, plan, None)

    def _target(
        self, count: Callable[[str], int], text: str, left: int | None, share: float, overhead: str
    ) -> int | None:
        """Tokens that the text may take; None if there is no limit to them."""
        policy = self._plan.compression
        aimed = int(policy.target * count(text)) if policy.target < 1 else None
        if left is None:
            return aimed
        expansions = self._expansions
        room = int((left - self._plan.memory_tokens) * share) // (1 + expansions) - count(overhead)
        if expansions:
            offered = self._gateway.tool_tokens(self.route, (receipts.EXPAND,)) if self.route else 0
            room -= receipts.MARK_TOKENS + offered + receipts.SLICE_TOKENS
        return max(0, room if aimed is None else min(room, aimed))

    async def _stashed(self, text: str, done: Compression) -> str:
        """The handle of the original, which is kept before anything is sent; none where all of it is there."""
        if done.lossless or done.preserving:
            return ""
        handle = receipts.handle_of(text)
        journal = self._scope.journal
        await journal.commit(originals.keep(journal.run_id, handle, text))
        self._originals[handle] = text
        return handle

    def _with_mark(self, done: Compression, handle: str, count: Callable[[str], int]) -> Compression:
        """The text with the mark that a model needs to ask for more, where it may ask."""
        if not handle or not self._expansions:
            return done
        text = done.text + receipts.mark_of(handle)
        return done.model_copy(update={"text": text, "tokens_after": count(text)})

    def _record(self, fitted: Fitted, handle: str, seconds: float) -> None:
        done = fitted.compression
        saved = done.saved if self._gateway.charges(self.route) else 0
        self.tokens_saved += saved
        self._scope.log.record(
            events.TokenCompressed,
            severity="warning" if fitted.refused else "info",
            strategy=done.strategy,
            tokens_before=done.tokens_before,
            tokens_after=done.tokens_after,
            saved=saved,
            quality=done.quality,
            lossless=done.lossless,
            seconds=seconds,
            refused=fitted.refused,
            dropped=done.dropped,
            original=handle,
        )
