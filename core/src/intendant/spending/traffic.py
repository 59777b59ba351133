"""When calls may be sent: the rate limits of providers, and models that are out of order. Within one process."""

import asyncio
from asyncio import sleep
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from intendant.config.settings import CallSettings, RateLimit
from intendant.model.errors import ProviderError

WINDOW = 60.0
"""Seconds over which a provider's limits are counted; any window of that length is kept, wherever it begins."""


class RateGate:
    """Lets calls to one provider through, in the order in which they came.

    Args:
        limit: What the provider admits.
        now: Seconds of a clock that never goes back.
    """

    def __init__(self, limit: RateLimit, now: Callable[[], float] | None = None) -> None:
        self._limit = limit
        self._now = now or monotonic
        self._sent: deque[tuple[float, int]] = deque()
        self._tokens = 0
        self._paused_until = 0.0
        self._turn = asyncio.Lock()
        self._room = None if limit.concurrent is None else asyncio.Semaphore(limit.concurrent)

    def pause(self, seconds: float) -> None:
        """The provider asked to wait: nothing is sent for so long."""
        self._paused_until = max(self._paused_until, self._now() + seconds)

    def delay(self, tokens: int) -> float:
        """Seconds until a call of *tokens* may be sent."""
        now = self._now()
        while self._sent and self._sent[0][0] <= now - WINDOW:
            self._tokens -= self._sent.popleft()[1]
        until = self._paused_until
        requests, most = self._limit.requests_per_minute, self._limit.tokens_per_minute
        if requests is not None and len(self._sent) >= requests:
            until = max(until, self._sent[-requests][0] + WINDOW)
        if most is not None and self._sent and self._tokens + tokens > most:
            until = max(until, self._when_free(self._tokens + tokens - most))
        return max(0.0, until - now)

    def _when_free(self, missing: int) -> float:
        """When calls of *missing* tokens will have left the window; all of them, for a call beyond any limit."""
        for at, tokens in self._sent:
            missing -= tokens
            if missing <= 0:
                return at + WINDOW
        return self._sent[-1][0] + WINDOW

    @asynccontextmanager
    async def passing(self, tokens: int) -> AsyncIterator[None]:
        """Waits for a turn; held while the call is out.

        Args:
            tokens: What the call may take at worst, as providers count it.
        """
        if self._room is None:
            await self._enter(tokens)
            yield
            return
        async with self._room:
            await self._enter(tokens)
            yield

    async def _enter(self, tokens: int) -> None:
        async with self._turn:
            while (seconds := self.delay(tokens)) > 0:  # noqa: ASYNC110  # a clock, not somebody, ends this
                await sleep(seconds)
            self._sent.append((self._now(), tokens))
            self._tokens += tokens


@dataclass(slots=True)
class Breaker:
    """Whether one model is asked: not for a while after it failed some times in a row; then one call tries it.

    Args:
        failures: How many in a row.
        seconds: How long.
    """

    failures: int
    seconds: float
    now: Callable[[], float] = monotonic
    _failed: int = field(default=0, init=False)
    _until: float = field(default=0.0, init=False)

    @property
    def closed_for(self) -> float:
        """Seconds for which it is not asked; 0 if it is."""
        return max(0.0, self._until - self.now())

    def admit(self) -> bool:
        """True if a call may be sent now. The one that tries a model again keeps others off meanwhile."""
        if self._failed < self.failures:
            return True
        if self.closed_for > 0:
            return False
        self._until = self.now() + self.seconds
        return True

    def failed(self) -> None:
        """A call failed, and the model is at fault."""
        self._failed += 1
        if self._failed >= self.failures:
            self._until = self.now() + self.seconds

    def worked(self) -> None:
        """The model answered, or refused what was wrong in itself."""
        self._failed, self._until = 0, 0.0


class Traffic:
    """The gates and breakers of one engine.

    Args:
        settings: How calls are sent.
        now: Seconds of a clock that never goes back.
    """

    def __init__(self, settings: CallSettings, now: Callable[[], float] | None = None) -> None:
        self._settings = settings
        self._now = now or monotonic
        self._gates: dict[str, RateGate] = {}
        self._breakers: dict[tuple[str, str], Breaker] = {}

    def gate(self, provider: str) -> RateGate:
        """The gate of a provider."""
        if provider not in self._gates:
            limits: Mapping[str, RateLimit] = self._settings.limits
            self._gates[provider] = RateGate(limits.get(provider, RateLimit()), self._now)
        return self._gates[provider]

    def breaker(self, provider: str, model: str) -> Breaker:
        """The breaker of a model."""
        key = (provider, model)
        if key not in self._breakers:
            settings = self._settings
            self._breakers[key] = Breaker(settings.breaker_failures, settings.breaker_seconds, self._now)
        return self._breakers[key]

    def admit(self, provider: str, model: str) -> None:
        """Pass if a model may be asked.

        Raises:
            ProviderError: It failed too often; nothing was sent.
        """
        breaker = self.breaker(provider, model)
        if not breaker.admit():
            raise ProviderError(
                f"{provider}/{model} failed {self._settings.breaker_failures} times in a row and is not asked for "
                f"another {breaker.closed_for:.0f} s",
                hint="set up another provider to fall back on, or run the step again later",
                billed=False,
                at_fault=True,
            )

    def note(self, provider: str, model: str, error: ProviderError | None) -> None:
        """What became of a call: *error*, or an answer."""
        breaker = self.breaker(provider, model)
        if error is not None and error.at_fault:
            breaker.failed()
        else:
            breaker.worked()
        if error is not None and error.retry_after:
            self.gate(provider).pause(error.retry_after)
