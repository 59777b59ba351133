"""What an agent and its tenant may spend in all their runs together, as one process sees it.

The limits are in the store and hold for every process. So that not every call has to change the same few rows,
a process takes leases of them: slices in which it holds calls by arithmetic alone. A lease weakens nothing: each
call still has a row of its own in the store before it is sent, in the commit that journals it, and is refused if
the lease was closed meanwhile. So a crash loses no call that was sent, and what the lease held for no call is free
again when its time is over. Near a limit there are no leases; calls are held one by one.
"""

import asyncio
from dataclasses import dataclass, field
from time import monotonic, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intendant.record.rows import Room, Slice
    from intendant.record.store import Store

PAUSE = 1.0
"""Seconds until a lease is asked for again where there was none to be had."""
POLL = 0.25
"""Seconds after which one that waits looks for itself: calls of other processes end unheard."""
SWEEP_SECONDS = 5.0
"""How often a process looks for expired holds and leases, at most."""
DAY = 86_400.0


class Lease:
    """A slice of the standing budgets of one agent, held by this process.

    Args:
        taken: The slice in the store.
        until: When it ends, by the monotonic clock.
        day_ends: Seconds since 1970 when its budgets are those of yesterday.
    """

    __slots__ = ("_day_ends", "_micro", "_tokens", "_until", "id")

    def __init__(self, taken: "Slice", until: float, day_ends: float) -> None:
        self.id = taken.id
        self._tokens, self._micro = taken.tokens, taken.micro
        self._until, self._day_ends = until, day_ends

    def take(self, tokens: int, micro: int) -> bool:
        """Hold a call's worst case; False if it does not fit, or the lease has ended."""
        if tokens > self._tokens or micro > self._micro or monotonic() > self._until or time() > self._day_ends:
            return False
        self._tokens -= tokens
        self._micro -= micro
        return True

    def give(self, tokens: int, micro: int) -> None:
        """Take back what a call was held for and did not need."""
        self._tokens += tokens
        self._micro += micro


@dataclass(slots=True)
class _AgentLeases:
    """Where the calls of one agent are held."""

    lease: Lease | None = None
    rests_until: float = 0.0
    waiting: asyncio.Future[None] | None = None
    line: asyncio.Lock = field(default_factory=asyncio.Lock)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take(self, tokens: int, micro: int) -> Lease | None:
        return self.lease if self.lease is not None and self.lease.take(tokens, micro) else None


class StandingBudgets:
    """The standing budgets of one tenant, for all runs of a process.

    Args:
        store: Where they are kept.
        tenant: Whose budgets these are, besides the agents'.
        owner: The process, for the store's record.
        seconds: How long a lease lasts; 0 for no leases.
    """

    def __init__(self, store: "Store", tenant: str = "default", owner: str = "", seconds: float = 0.0) -> None:
        self._store = store
        self.tenant = tenant
        self._owner = owner
        self._seconds = seconds
        self._swept_until = 0.0
        self._by_agent: dict[str, _AgentLeases] = {}

    async def lease(self, agent: str, tokens: int, micro: int) -> Lease | None:
        """A lease in which a call's worst case is held now; None if the budgets themselves have to hold it."""
        own = self._by_agent.setdefault(agent, _AgentLeases())
        if (lease := own.take(tokens, micro)) is not None:
            return lease
        if not self._seconds or monotonic() < own.rests_until:
            return None
        async with own.lock:
            if (lease := own.take(tokens, micro)) is not None or monotonic() < own.rests_until:
                return lease
            await self._renew(own, agent, tokens, micro)
            return own.take(tokens, micro)

    async def _renew(self, own: _AgentLeases, agent: str, tokens: int, micro: int) -> None:
        from intendant.record.store import leases

        old, now, own.lease = own.lease, time(), None
        until = monotonic() + self._seconds
        old_id = None if old is None else old.id
        taken = await self._store.do(
            leases.renew(old_id, self._owner, agent, self.tenant, tokens, micro, now, self._seconds)
        )
        if taken is None:
            own.rests_until = monotonic() + PAUSE
        else:
            own.lease = Lease(taken, until, now - now % DAY + DAY)

    def drop(self, agent: str) -> None:
        """Another process closed the lease of this agent."""
        self._by_agent[agent].lease = None

    async def recall(self, agent: str) -> int:
        """Close the leases of all processes that keep something of these budgets back; returns how many."""
        from intendant.record.store import leases

        return await self._store.do(leases.recall(agent, self.tenant))

    def sweep_later(self) -> None:
        """Charge expired holds of any run in full, and end expired leases: before what is written next, without
        waiting; not more often than every `SWEEP_SECONDS`.
        """
        from intendant.record.store import holds, leases

        if monotonic() < self._swept_until:
            return
        self._swept_until = monotonic() + SWEEP_SECONDS
        now = time()
        self._store.do_later(leases.expire(now))
        self._store.do_later(holds.expire(now))

    async def room(self, agent: str) -> "tuple[Room, Room]":
        """What these budgets admit now, and what they would admit if all calls that are out cost nothing."""
        from intendant.record.store import windows

        return await self._store.do(windows.room_of(agent, self.tenant, time()))

    def turn(self, agent: str) -> asyncio.Lock:
        """Where calls stand in line that did not fit: one at a time tries again, in the order they came."""
        return self._by_agent.setdefault(agent, _AgentLeases()).line

    async def wait(self, agent: str) -> None:
        """Wait until a call of this process has ended, or a moment for those of others."""
        own = self._by_agent[agent]
        own.waiting = asyncio.get_running_loop().create_future()
        await asyncio.wait([own.waiting], timeout=POLL)
        own.waiting = None

    def freed(self, agent: str) -> None:
        """A call has ended: the first in line may look again."""
        own = self._by_agent.get(agent)
        if own is not None and own.waiting is not None and not own.waiting.done():
            own.waiting.set_result(None)

    async def close(self) -> None:
        """Give all leases back."""
        from intendant.record.store import leases

        if any(own.lease is not None for own in self._by_agent.values()):
            await self._store.do(leases.give_back(self._owner))
        self._by_agent.clear()
