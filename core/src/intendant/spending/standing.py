"""Standing budgets, as one process sees them: the limits of an agent and its tenant across all their runs.

The limits are in the store and apply to every process. To keep calls from contending for the same few rows, a
process takes leases: slices in which it holds calls by arithmetic alone. A lease weakens no guarantee. Each call
still has its own row in the store before it is sent, in the commit that journals it, and is refused if the lease
was closed in the meantime. A crash therefore loses no call that was sent, and the unused part of a lease is free
again when it expires. Near a limit there are no leases; calls are held one by one.
"""

import asyncio
from dataclasses import dataclass, field
from time import monotonic, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intendant.record.rows import Room, Slice
    from intendant.record.store import Store

PAUSE = 1.0
"""Seconds until the next request for a lease after one was refused."""
POLL = 0.25
"""Seconds between polls of a waiting call: it is not notified when calls of other processes end."""
SWEEP_SECONDS = 5.0
"""Shortest time between two sweeps for expired holds and leases, in seconds."""
DAY = 86_400.0


class Lease:
    """A slice of the standing budgets of one agent, held by this process.

    Args:
        taken: The slice in the store.
        until: When it expires, by the monotonic clock.
        day_ends: The end of the day of its budgets, in seconds since 1970.
    """

    __slots__ = ("_day_ends", "_micro", "_tokens", "_until", "id")

    def __init__(self, taken: "Slice", until: float, day_ends: float) -> None:
        self.id = taken.id
        self._tokens, self._micro = taken.tokens, taken.micro
        self._until, self._day_ends = until, day_ends

    def take(self, tokens: int, micro: int) -> bool:
        """Hold the worst case of a call; returns False if it does not fit or the lease has expired."""
        if tokens > self._tokens or micro > self._micro or monotonic() > self._until or time() > self._day_ends:
            return False
        self._tokens -= tokens
        self._micro -= micro
        return True

    def give(self, tokens: int, micro: int) -> None:
        """Return the unused part of a hold to the lease."""
        self._tokens += tokens
        self._micro += micro


@dataclass(slots=True)
class _AgentLeases:
    """The lease and the queue of one agent."""

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
        store: The store of the budgets.
        tenant: The tenant.
        owner: The name of this process, for the store.
        seconds: The TTL of a lease, in seconds; 0 for no leases.
    """

    def __init__(self, store: "Store", tenant: str = "default", owner: str = "", seconds: float = 0.0) -> None:
        self._store = store
        self.tenant = tenant
        self._owner = owner
        self._seconds = seconds
        self._swept_until = 0.0
        self._by_agent: dict[str, _AgentLeases] = {}

    async def lease(self, agent: str, tokens: int, micro: int) -> Lease | None:
        """A lease that now holds the worst case of a call; None if the budgets themselves must hold it."""
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
        """Forget the lease of an agent, which another process has closed."""
        self._by_agent[agent].lease = None

    async def recall(self, agent: str) -> int:
        """Close the leases of all processes on these budgets; returns how many."""
        from intendant.record.store import leases

        return await self._store.do(leases.recall(agent, self.tenant))

    def sweep_later(self) -> None:
        """Queue the charging of expired holds, of any run, and the closing of expired leases; at most once every
        `SWEEP_SECONDS`.
        """
        from intendant.record.store import holds, leases

        if monotonic() < self._swept_until:
            return
        self._swept_until = monotonic() + SWEEP_SECONDS
        now = time()
        self._store.do_later(leases.expire(now))
        self._store.do_later(holds.expire(now))

    async def room(self, agent: str) -> "tuple[Room, Room]":
        """The room in these budgets now, and the room if all calls in flight cost nothing."""
        from intendant.record.store import windows

        return await self._store.do(windows.room_of(agent, self.tenant, time()))

    def turn(self, agent: str) -> asyncio.Lock:
        """The lock that queues calls that did not fit: they retry one at a time, in order."""
        return self._by_agent.setdefault(agent, _AgentLeases()).line

    async def wait(self, agent: str) -> None:
        """Wait until a call of this process ends, or until the next poll."""
        own = self._by_agent[agent]
        own.waiting = asyncio.get_running_loop().create_future()
        await asyncio.wait([own.waiting], timeout=POLL)
        own.waiting = None

    def freed(self, agent: str) -> None:
        """Wake the first waiting call, because a call has ended."""
        own = self._by_agent.get(agent)
        if own is not None and own.waiting is not None and not own.waiting.done():
            own.waiting.set_result(None)

    async def close(self) -> None:
        """Return all leases."""
        from intendant.record.store import leases

        if any(own.lease is not None for own in self._by_agent.values()):
            await self._store.do(leases.give_back(self._owner))
        self._by_agent.clear()
