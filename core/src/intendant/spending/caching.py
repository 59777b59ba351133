"""What a provider's prompt cache makes of rewriting what was already sent.

A cached prefix is read at a fraction of the input price, and only as long as its bytes are the same. Content is
therefore compressed once, when it enters a prompt, and its bytes are frozen; rewriting history loses the cache of
everything after the first changed byte, which has to be written again.
"""

import math
from dataclasses import dataclass


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
