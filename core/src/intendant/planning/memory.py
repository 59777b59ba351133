"""What is known before a run begins, written into a budget line of its own."""

from collections.abc import Callable

from intendant.model.requests import CompressionPolicy, MemoryContext
from intendant.model.results import Compression
from intendant.planning.compression import CompressionChain

KEPT_RUNS = 2
"""The newest runs, which are compressed only where nothing else is left to be."""
LEAST = 40
"""Tokens below which older runs and notes are left out rather than cut to shreds."""


async def fit_memory(
    chain: CompressionChain | None,
    memory: MemoryContext,
    room: int,
    count: Callable[[str], int],
    *,
    query: str = "",
) -> Compression:
    """Write *memory* as text of at most *room* tokens.

    The profile and the newest two runs stand as they are as long as they fit; older runs and notes are compressed
    into what they leave.

    Args:
        chain: Compresses; without one, what does not fit is left out.
        memory: What is known.
        room: Tokens of its line.
        count: Counts tokens.
        query: What the run is for; decides what is kept of the rest.
    """
    first = _section("Profile", (memory.profile,)) + _section("Last runs", memory.runs[:KEPT_RUNS])
    rest = _section("Known", memory.notes) + _section("Earlier runs", memory.runs[KEPT_RUNS:])
    before = count(first + rest)
    if before <= room:
        return _done(first + rest, before, before, "none")
    left = room - count(first)
    if left < LEAST:
        text = first if left >= 0 else await _smaller(chain, first, room, count, query)
        dropped = ("older runs and notes",) if rest else ()
        return _done(text, before, count(text), "memory", dropped)
    text = first + await _smaller(chain, rest, left, count, query)
    return _done(text, before, count(text), "memory", ("parts of older runs and notes",))


async def _smaller(
    chain: CompressionChain | None, text: str, room: int, count: Callable[[str], int], query: str
) -> str:
    """The text in *room* tokens; nothing of it where it cannot be made to fit."""
    if chain is None:
        return ""
    policy = CompressionPolicy(floor=0.0)
    fitted = await chain.fit(text, room, policy=policy, count=count, query=query)
    return fitted.compression.text if fitted.compression.tokens_after <= room else ""


def _section(title: str, items: tuple[str, ...]) -> str:
    said = [item.strip() for item in items if item.strip()]
    return "\n".join([f"# {title}", *said, "", ""]) if said else ""


def _done(text: str, before: int, after: int, strategy: str, dropped: tuple[str, ...] = ()) -> Compression:
    whole = strategy == "none"
    return Compression(
        text=text,
        tokens_before=before,
        tokens_after=after,
        strategy=strategy,
        lossless=whole,
        quality=1.0 if whole else after / before,
        dropped=dropped,
    )
