"""The hash chain of a run's events: each hash covers the one before, so that no event can be changed, removed or
inserted without showing. (A linear hash list, the construction that RFC 6962's trees generalise.)
"""

from collections.abc import Iterable
from hashlib import sha256

from sqlalchemy import bindparam, select  # noqa: TID253

from intendant.record.rows import EventRow, NewEvent
from intendant.record.store.session import Insert, Session
from intendant.record.store.statements import Statement
from intendant.record.store.tables import event

FIRST_HASH = "0" * 64
KNOWN_HEADS = 10_000
"""Far more than there are rows in a batch: a head whose rows are still buffered must not be evicted."""
_UNKNOWN = (-1, "")

_EVENTS = Insert(event, EventRow._fields)
_HEAD = Statement(
    select(event.c.seq, event.c.hash)
    .where(event.c.run_id == bindparam("run_id"))
    .order_by(event.c.seq.desc())
    .limit(1)
)


def link(previous: str, data: str) -> str:
    """The hash of an event: SHA-256 over the hash before it and its own JSON."""
    return sha256(f"{previous}\n{data}".encode()).hexdigest()


def verify(rows: Iterable[EventRow], *, last_hash: str | None = None) -> int | None:
    """The `seq` of the first event that was changed, removed or inserted; None if the chain is whole.

    Args:
        rows: A run's events in order.
        last_hash: The hash of the last event, as noted when the run ended: a chain whose end was cut off is
            whole in itself.
    """
    previous, expected = FIRST_HASH, 0
    for expected, row in enumerate(rows, 1):
        if row.seq != expected or row.hash != link(previous, row.data):
            return expected
        previous = row.hash
    return expected + 1 if last_hash not in (None, previous) else None


def head_of(session: Session, run_id: str) -> tuple[int, str]:
    """Number and hash of the last event that is written of a run; `(0, FIRST_HASH)` if there is none."""
    row = _HEAD.on(session, {"run_id": run_id}).fetchone()
    return (row[0], row[1]) if row else (0, FIRST_HASH)


class Chains:
    """Numbers and chains events as they are written; used by the writer's thread only."""

    def __init__(self) -> None:
        self._heads: dict[str, tuple[int, str]] = {}

    def add(self, session: Session, rows: Iterable[NewEvent]) -> None:
        """Buffer events, each behind the last one of its run."""
        for row in rows:
            run_id, data = row.run_id, row.data
            head = self._heads.pop(run_id, _UNKNOWN)
            last, previous = head_of(session, run_id) if head is _UNKNOWN else head
            seq, digest = last + 1, link(previous, data)
            session.add(_EVENTS, (run_id, seq, *row[1:], digest))
            self._heads[run_id] = (seq, digest)  # put last: the first of the dictionary is the oldest
        if len(self._heads) > KNOWN_HEADS:
            del self._heads[next(iter(self._heads))]

    def forget(self, rows: Iterable[NewEvent]) -> None:
        """The savepoint that held these was undone: read the heads again."""
        for row in rows:
            self._heads.pop(row.run_id, None)

    def clear(self) -> None:
        """A whole transaction was undone: read every head again."""
        self._heads.clear()
