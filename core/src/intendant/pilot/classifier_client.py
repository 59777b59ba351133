"""The model client of classifiers: metered and recorded as a small run of its own, opened when first used."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from intendant.model.errors import IntendantError
from intendant.model.requests import ModelRequest
from intendant.model.results import Compression, ModelReply, Route, Usage
from intendant.model.workflow import Json
from intendant.planning.compression import to_text
from intendant.record.journal import Journal
from intendant.spending.calls import CallScope, OnText
from intendant.spending.gateway import Gateway
from intendant.spending.ledger import RunLedger
from intendant.spending.standing import StandingBudgets

STEP = "classify"


class ClassifierModelClient:
    """Implements `ModelClient` for the classifiers of one workflow.

    Args:
        gateway: Sends the calls.
        route: The model.
        tokens: What classifying may take in all.
        micro_usd: What it may cost; None for no limit.
        agent: The agent that is charged.
        standing: Returns what the agent and its tenant may spend; called when first needed.
        open_run: Opens the run that records the calls.
    """

    def __init__(
        self,
        gateway: Gateway,
        route: Route,
        tokens: int,
        micro_usd: int | None,
        agent: str,
        standing: Callable[[], StandingBudgets],
        open_run: Callable[[], Awaitable[Journal]],
    ) -> None:
        self._gateway = gateway
        self._route = route
        self._tokens = tokens
        self._micro_usd = micro_usd
        self._agent = agent
        self._standing = standing
        self._open_run = open_run
        self._scope: CallScope | None = None
        self._opening = asyncio.Lock()

    @property
    def route(self) -> Route | None:
        """The model that is asked."""
        return self._route

    @property
    def tokens_left(self) -> int | None:
        """Tokens that may still be spent."""
        return self._tokens if self._scope is None else self._scope.ledger.left(STEP)

    @property
    def tokens_total(self) -> int | None:
        """Tokens that may be spent in all."""
        return self._tokens

    @property
    def context_window(self) -> int | None:
        """Tokens that the model reads and writes at most in one call; None if that is not known."""
        return self._gateway.context_window(self._route)

    def count(self, text: str) -> int:
        """Tokens of *text* for the model."""
        return self._gateway.counter(self._route)(text)

    def stronger(self) -> None:
        """None: what stays unsure is told as such."""

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelReply:
        """Ask the model; see `ModelClient.complete`."""
        async with self._opening:
            if self._scope is None:
                journal = await self._open_run()
                ledger = RunLedger(
                    journal,
                    tokens=self._tokens,
                    micro_usd=self._micro_usd,
                    allocations={STEP: self._tokens},
                    agent=self._agent,
                    standing=self._standing(),
                )
                await ledger.open()
                self._scope = CallScope(journal, ledger, STEP)
        return await self._gateway.complete(self._scope, self._route, request, on_text=on_text)

    async def fit(
        self,
        content: Json,
        *,
        query: str = "",  # noqa: ARG002  # part of the protocol
        share: float = 0.75,
        overhead: str = "",
        context: Sequence[tuple[str, str]] = (),  # noqa: ARG002
        room: int | None = None,
    ) -> Compression:
        """Text that fits as it is; classifiers shorten what they ask themselves.

        Raises:
            IntendantError: It does not fit.
        """
        text = to_text(content)
        tokens, left = self.count(text), self.tokens_left
        most = None if left is None else left * share if room is None else room
        if most is not None and tokens + self.count(overhead) > most:
            raise IntendantError(f"{tokens} tokens do not fit into the {left} that are left for classifying")
        return Compression(text=text, tokens_before=tokens, tokens_after=tokens, strategy="none", lossless=True)

    @property
    def usage(self) -> Usage:
        """What the calls took."""
        return self._scope.usage if self._scope is not None else Usage()

    @property
    def journal(self) -> Journal | None:
        """The journal of the calls; None if there were none."""
        return self._scope.journal if self._scope is not None else None
