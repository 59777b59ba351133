"""How often somebody may be wrong about a token."""

import hashlib
import hmac
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

MOST_WRONG = 10
"""Different wrong tokens of one address, within `WINDOW_SECONDS`."""
WINDOW_SECONDS = 300.0
MOST_ADDRESSES = 10_000
"""Addresses that are remembered; those that were wrong last are kept."""


class Attempts:
    """Counts the wrong tokens of each address (of IPv6 its /64), in memory.

    The same wrong token again is counted once: it tells a guesser nothing, and a script that was set up wrong must
    not keep the people of its machine from signing in.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._wrong: OrderedDict[str, dict[bytes, float]] = OrderedDict()

    def wait(self, address: str) -> int:
        """Seconds until this address may try again; 0 where it may now."""
        wrong = self._recent(_place(address))
        if len(wrong) < MOST_WRONG:
            return 0
        return int(min(wrong.values()) + WINDOW_SECONDS - self._clock()) + 1

    def failed(self, address: str, token: str) -> None:
        """Note a wrong token."""
        place = _place(address)
        wrong = self._recent(place)
        # Not the token itself, which may be a slip away from a right one.
        digest = hmac.digest(self._key, token.encode("utf-8", "surrogatepass"), hashlib.sha256)
        wrong.setdefault(digest, self._clock())
        self._wrong[place] = wrong
        self._wrong.move_to_end(place)
        while len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)

    def _recent(self, place: str) -> dict[bytes, float]:
        since = self._clock() - WINDOW_SECONDS
        return {digest: at for digest, at in self._wrong.get(place, {}).items() if at > since}


def _place(address: str) -> str:
    try:
        read = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(read, ipaddress.IPv6Address):
        return str(read.ipv4_mapped or ipaddress.ip_network((int(read), 64), strict=False))
    return str(read)
