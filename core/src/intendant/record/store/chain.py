"""The hash chain of a run's events: each hash covers the one before, so that no event can be changed, removed or
inserted without showing. (A linear hash list, the construction that RFC 6962's trees generalise.) Events carry
commitments to the rows that were written with them: see `digests`.
"""

import hmac
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from time import time
from typing import Any, TypeGuard

from sqlalchemy import bindparam, select  # noqa: TID253

from intendant.record.rows import EventRow, Fence, NewEvent, said_by_columns
from intendant.record.store.digests import EVERYTHING
from intendant.record.store.session import Insert, Session
from intendant.record.store.statements import Statement
from intendant.record.store.tables import event

FIRST_HASH = "0" * 64
_MAC = re.compile("[0-9a-f]{8}:[0-9a-f]{64}")
KNOWN_HEADS = 10_000
"""Far more than there are rows in a batch: a head whose rows are still buffered must not be evicted."""
_UNKNOWN = (-1, "")
LOCK = 7_364_510_221
"""The number of PostgreSQL's advisory lock for the chain of everything."""

_EVENTS = Insert(event, EventRow._fields)
_HEAD = Statement(
    select(event.c.seq, event.c.hash)
    .where(event.c.run_id == bindparam("run_id"))
    .order_by(event.c.seq.desc())
    .limit(1)
)


def link(previous: str, data: str, commits: str | None = None, columns: str = "") -> str:
    """The hash of an event: SHA-256 over lines of text.

    Args:
        previous: The hash before it.
        data: Its own JSON, the last line.
        commits: Its commitments, the second line; None for no such line.
        columns: What its columns say, the line before the last; empty for no such line.
    """
    middle = "" if commits is None else f"{commits}\n"
    text = f"{previous}\n{middle}{columns}\n{data}" if columns else f"{previous}\n{middle}{data}"
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def verify(rows: Iterable[EventRow], *, last_hash: str | None = None) -> int | None:
    """The `seq` of the first event that was changed, removed or inserted; None if the chain is whole.

    Args:
        rows: A run's events in order.
        last_hash: The hash of the last event, as noted when the run ended: a chain whose end was cut off is
            whole in itself.
    """
    previous, expected = FIRST_HASH, 0
    for expected, row in enumerate(rows, 1):
        if fault_of(row, expected, previous):
            return expected
        previous = row.hash
    return expected + 1 if last_hash not in (None, previous) else None


def fault_of(row: EventRow, seq: int, previous: str) -> str:
    """What is wrong with an event; empty if nothing is.

    Args:
        row: The event.
        seq: The number that it should have.
        previous: The hash of the event before it.
    """
    if row.seq != seq:
        return f"the event after number {seq - 1} has number {row.seq}"
    try:
        columns = said_by_columns(row)
        if row.hash != link(previous, row.data, row.commits, columns):
            return "its hash is not that of its content"
        said = json.loads(row.data)
        twice = {} if columns else {name: said[name] for name in SAID}
    except (AttributeError, TypeError, ValueError, KeyError, RecursionError):
        return "it cannot be read"
    differing = [name for name, value in twice.items() if getattr(row, name) != value]
    return f"its column {differing[0]} differs from what it says itself" if differing else ""


SAID = ("run_id", "type", "step_id", "severity", "at")
"""Columns of an event, whose values older versions wrote into its JSON as well."""


def mac_of(key: bytes, digest: str) -> str:
    """The signature of an event: the id of the key, and the HMAC-SHA256 of its hash under that key."""
    return f"{key_id(key)}:{hmac.digest(key, digest.encode(), 'sha256').hex()}"


def is_mac(text: Any) -> TypeGuard[str]:
    """True for a text that looks like a signature."""
    return isinstance(text, str) and _MAC.fullmatch(text) is not None


@lru_cache(maxsize=16)
def key_id(key: bytes) -> str:
    """A name of a key that does not tell it."""
    return sha256(b"intendant key\n" + key).hexdigest()[:8]


def head_of(session: Session, run_id: str) -> tuple[int, str]:
    """Number and hash of the last event that is written of a chain; `(0, FIRST_HASH)` if there is none."""
    row = _HEAD.on(session, {"run_id": run_id}).fetchone()
    return (row[0], row[1]) if row else (0, FIRST_HASH)


class Chains:
    """Numbers and chains events as they are written; used by the writer's thread only.

    Args:
        key: Signs each event; None for no signatures.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key
        self._heads: dict[str, tuple[int, str]] = {}

    def add(self, session: Session, rows: Iterable[NewEvent]) -> None:
        """Buffer events, each behind the last one of its run; the first takes the commitments that wait."""
        waiting = session.commits
        for row in rows:
            run_id = row.run_id
            head = self._heads.pop(run_id, _UNKNOWN)
            last, previous = head_of(session, run_id) if head is _UNKNOWN else head
            commits = None
            if waiting and (taken := waiting.pop(run_id, None)) is not None:
                commits = f"[{','.join(taken)}]"
            seq, digest = last + 1, link(previous, row.data, commits, said_by_columns(row))
            mac = None if self._key is None else mac_of(self._key, digest)
            session.add(_EVENTS, (run_id, seq, *row[1:], digest, commits, mac))
            self._heads[run_id] = (seq, digest)  # put last: the first of the dictionary is the oldest
        if len(self._heads) > KNOWN_HEADS:
            del self._heads[next(iter(self._heads))]

    def commit_runs(self, session: Session, fence: Fence | None = None) -> None:
        """Write events for the commitments of runs that no event has taken: of the run of *fence*, or of all."""
        for chain in list(session.commits) if fence is None else [fence.run_id]:
            if chain != EVERYTHING and chain in session.commits:
                self.add(session, [recorded(chain)])

    def commit(self, session: Session) -> None:
        """Write events for all commitments that no event has taken.

        The chain of everything has no owner. Its head is read when all else is written, under a lock that other
        processes wait for, so that their events come behind.
        """
        self.commit_runs(session)
        if EVERYTHING in session.commits:
            session.flush()
            if not session.sqlite:
                session.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
            self._heads.pop(EVERYTHING, None)
            self.add(session, [recorded(EVERYTHING)])

    def forget(self, rows: Iterable[NewEvent], run_id: str | None) -> None:
        """The savepoint that held these was undone: read the heads again."""
        for row in rows:
            self._heads.pop(row.run_id, None)
        if run_id is not None:
            self._heads.pop(run_id, None)

    def clear(self) -> None:
        """A whole transaction was undone: read every head again."""
        self._heads.clear()


def recorded(chain: str, kind: str = "recorded", **said: Any) -> NewEvent:
    """An event that says nothing itself, and carries commitments."""
    return NewEvent(chain, kind, None, "info", time(), json.dumps(said))


def read_head(text: str) -> dict[str, tuple[int, str]]:
    """Parse a head in the format of `Verified.head`: the number and hash of the last event, by chain.

    Raises:
        ValueError: The text is not a head.
    """
    found: dict[str, tuple[int, str]] = {}
    for part in filter(None, text.strip().split(";")):
        chain, seq, digest = part.rsplit(":", 2)
        found[chain] = (int(seq), digest)
    return found
