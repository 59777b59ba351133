"""What a provider's prompt cache makes of rewriting what was already sent.

A cached prefix is read at a fraction of the input price, and only as long as its bytes are the same. Content is
therefore compressed once, when it enters a prompt, and its bytes are frozen; rewriting history loses the cache of
everything after the first changed byte, which has to be written again.
"""

import math
from dataclasses import dataclass
from typing import Literal

from intendant.model.requests import CacheMark, PromptReuse
from intendant.spending.pricing import Rates

SHORT, LONG = 270.0, 3420.0
"""Seconds for which what is kept for five minutes, and for an hour, can be counted on: a tenth and a twentieth of
the time is left for the calls themselves."""


@dataclass(frozen=True, slots=True)
class CachePrices:
    """What tokens cost beside plain input tokens."""

    write: float = 1.25
    """Of those written to the cache; Anthropic takes 1.25 times the input price for five minutes, OpenAI 1."""
    read: float = 0.1
    """Of those read from it."""


def turns_to_pay(after: int, saved: int, prices: CachePrices) -> float:
    """How many turns rewriting history takes to pay; infinite if it never does.

    Args:
        after: Tokens that were sent and stand after the first byte that changes, T.
        saved: Tokens that rewriting saves of them, S.
        prices: w to write, r to read.

    Returns:
        ((T - S) w - T r) / (S r): what is left has to be written again instead of being read, and each later turn
        reads S tokens less. 0 where it pays at once.
    """
    if saved <= 0:
        return math.inf
    at_once = (after - saved) * prices.write - after * prices.read
    if at_once <= 0:
        return 0.0
    return at_once / (saved * prices.read) if prices.read > 0 else math.inf


def rewriting_pays(after: int, saved: int, turns_left: int, prices: CachePrices) -> bool:
    """True if history that was sent should be rewritten: what it costs is saved within the turns that are left.

    Args:
        after: Tokens that were sent and stand after the first byte that changes.
        saved: Tokens that rewriting saves of them.
        turns_left: Calls that will still be made with this history.
        prices: What the provider's cache costs.
    """
    return turns_to_pay(after, saved, prices) <= turns_left


def marks_for(reuse: PromptReuse, rates: Rates) -> tuple[CacheMark, ...]:
    """What the provider should be asked to keep of a prompt whose beginning will be sent again.

    Args:
        reuse: What is sent again, how often, and after how long.
        rates: What the model's tokens cost.

    Returns:
        One mark, or none where plain input is cheaper: with n later calls, a token costs w + n r if it is kept,
        and 1 + n if it is not. What is kept for five minutes is kept for another five by each call that reads it.
    """
    plain = (1 + reuse.calls) * rates.input
    offers: dict[Literal["5m", "1h"], int] = {}
    if reuse.seconds < SHORT:
        offers["5m"] = rates.cache_write
    if reuse.seconds < LONG:
        offers["1h"] = rates.cache_write_1h
    costs = {ttl: write + reuse.calls * rates.cache_read for ttl, write in offers.items()}
    best = min(costs, key=lambda ttl: costs[ttl], default=None)
    if best is None or costs[best] >= plain:
        return ()
    return (CacheMark(messages=reuse.messages, ttl=best),)
