"""The door to a model that one attempt at a step is given."""

from collections.abc import Callable
from time import perf_counter

from intendant.model import events
from intendant.model.errors import ProviderError
from intendant.model.requests import ModelRequest
from intendant.model.results import Compression, ModelReply, Route
from intendant.model.workflow import Json
from intendant.planning.compression import CompressionChain, to_text
from intendant.planning.planner import StepPlan
from intendant.spending.gateway import CallScope, Gateway
from intendant.spending.tokens import estimate_tokens


class StepModel:
    """Implements `ModelClient`: bound to a step's route, budget and compression policy.

    Args:
        gateway: Sends the calls.
        scope: For whom.
        plan: The step's plan.
        chain: Compresses; None where compression is switched off.
    """

    def __init__(self, gateway: Gateway, scope: CallScope, plan: StepPlan, chain: CompressionChain | None) -> None:
        self._gateway = gateway
        self._scope = scope
        self._plan = plan
        self._chain = chain
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

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Ask the model; see `ModelClient.complete`."""
        if self.route is None:
            raise ProviderError(
                f"step '{self._plan.step_id}' needs a model and no provider can be used",
                hint="set ANTHROPIC_API_KEY or OPENAI_API_KEY, or: pip install intendant-provider-extractive",
                billed=False,
            )
        return await self._gateway.complete(self._scope, self.route, request)

    async def fit(self, content: Json, *, query: str = "", share: float = 0.75, overhead: str = "") -> Compression:
        """Write *content* as text, compressed as far as the budget asks; see `ModelClient.fit`."""
        text = to_text(content)
        count, left = self._counter(), self.tokens_left
        if left is None or self._chain is None:
            tokens = 0 if left is None else count(text)
            return Compression(
                text=text, tokens_before=tokens, tokens_after=tokens, strategy="none", lossless=True
            )
        target = max(0, int(left * share) - count(overhead))
        started = perf_counter()
        fitted = await self._chain.fit(
            text, target, policy=self._plan.compression, count=count, query=query, intent=self._plan.intent
        )
        done = fitted.compression
        if done.strategy != "none" or fitted.refused:
            saved = done.saved if self._gateway.charges(self.route) else 0
            self.tokens_saved += saved
            self._scope.journal.record(
                events.TokenCompressed(
                    run_id=self._scope.journal.run_id,
                    step_id=self._plan.step_id,
                    severity="warning" if fitted.refused else "info",
                    strategy=done.strategy,
                    tokens_before=done.tokens_before,
                    tokens_after=done.tokens_after,
                    saved=saved,
                    quality=done.quality,
                    lossless=done.lossless,
                    seconds=perf_counter() - started,
                    refused=fitted.refused,
                    dropped=done.dropped,
                )
            )
        return done
