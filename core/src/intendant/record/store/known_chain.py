"""What a process has verified of the chain of everything, so that it does not verify all of it for each run.

That chain has some events for every run of the database. A process that resumes many runs verifies each of its
events once, and keeps the hashes in memory. What it reads again must have the same hash, so a later change shows.
"""

import json
from array import array
from collections.abc import Sequence
from hashlib import blake2b

from intendant.record.rows import EventRow
from intendant.record.store.chain import FIRST_HASH, fault_of, is_mac, key_id, mac_of

HASH_BYTES = 32
NAME_BYTES = 8
"""Bytes of the digest of a run's id; a collision costs reading an event in vain."""


class KnownChain:
    """The verified events of the chain of everything: 32 bytes for each, and 12 for each run that it names.

    Only the thread of the writer uses it.

    Args:
        keys: Keys that events may be signed with.

    Attributes:
        keys: The keys.
        last: The number of the last verified event; 0 for none.
        signed_from: The number of the first event with a signature; None if no event has one.
    """

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self.keys = tuple(keys)
        self._by_id = {key_id(key): key for key in keys}
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.last = 0
        self.signed_from: int | None = None
        self._hashes = bytearray()
        self._names = bytearray()
        self._numbers = array("Q")

    def add(self, event: EventRow) -> bool:
        """Verify the event after the last one; returns False if it is not as it was written."""
        if fault_of(event, self.last + 1, self._hash(self.last)) or not self._is_signed(event):
            return False
        try:
            named = _runs_named(event)
        except (ValueError, TypeError, RecursionError):
            return False
        if self.signed_from is None and event.mac is not None:
            self.signed_from = event.seq
        self.last = event.seq
        self._hashes += bytes.fromhex(event.hash)
        for name in named:
            self._names += _short(name)
            self._numbers.append(event.seq)
        return True

    def has(self, event: EventRow) -> bool:
        """Whether an event that is read again is the one that was verified."""
        number = event.seq
        if not isinstance(number, int) or not 1 <= number <= self.last:
            return False
        same = event.hash == self._hash(number) and not fault_of(event, number, self._hash(number - 1))
        return same and self._is_signed(event)

    def numbers_of(self, run_id: str) -> list[int]:
        """The numbers of the events that name a run, in order. In rare cases, one names another run instead."""
        found, wanted = list[int](), _short(run_id)
        at = self._names.find(wanted)
        while at >= 0:
            if at % NAME_BYTES == 0:
                found.append(self._numbers[at // NAME_BYTES])
            at = self._names.find(wanted, at + 1)
        return found

    def _hash(self, number: int) -> str:
        return self._hashes[(number - 1) * HASH_BYTES : number * HASH_BYTES].hex() if number else FIRST_HASH

    def _is_signed(self, event: EventRow) -> bool:
        """Whether the signature of the event is valid, if it must have one."""
        if event.mac is None:
            return not self.keys or self.signed_from is None or event.seq < self.signed_from
        if not is_mac(event.mac) or not self.keys:
            return is_mac(event.mac)
        key = self._by_id.get(event.mac.partition(":")[0])
        return key is not None and mac_of(key, event.hash) == event.mac


def _runs_named(event: EventRow) -> set[str]:
    """The runs that the commitments of an event may be about."""
    named = set[str]()
    for _, key, _, *rest in json.loads(event.commits or "[]"):
        named.add(str((rest and dict(rest[0]).get("run")) or key))
    return named


def _short(name: str) -> bytes:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=NAME_BYTES).digest()
