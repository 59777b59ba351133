"""The hash chain of a run's events: each event's hash covers the one before, so that none can be changed,
removed or put in without showing. (The construction of RFC 6962's predecessors: a linear hash list.)
"""

from collections.abc import Iterable
from hashlib import sha256

from sqlalchemy import Connection, bindparam, desc, insert, select  # noqa: TID253

from intendant.record.rows import EventRow, NewEvent
from intendant.record.store.statements import Statement
from intendant.record.store.tables import event

FIRST_HASH = "0" * 64
KNOWN_HEADS = 1000

_EVENT = Statement(insert(event).values({name: bindparam(name) for name in event.c.keys()}))  # noqa: SIM118


def link(previous: str, data: str) -> str:
    """The hash of an event: SHA-256 over the hash before it and its own JSON."""
    return sha256(f"{previous}\n{data}".encode()).hexdigest()


def verify(rows: Iterable[EventRow], *, last_hash: str | None = None) -> int | None:
    """The `seq` of the first event that was changed, removed or put in; None if the chain is whole.

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


class Chains:
    """Numbers and chains events as they are written; used by the writer's thread only."""

    def __init__(self) -> None:
        self._heads: dict[str, tuple[int, str]] = {}

    def insert(self, connection: Connection, rows: Iterable[NewEvent]) -> None:
        """Write events, each behind the last one of its run."""
        for row in rows:
            _EVENT(connection, **self._link(connection, row)._asdict())

    def forget(self, rows: Iterable[NewEvent]) -> None:
        """The transaction that held these was undone: read the heads again."""
        for row in rows:
            self._heads.pop(row.run_id, None)

    def clear(self) -> None:
        """A whole transaction was undone: read every head again."""
        self._heads.clear()

    def _link(self, connection: Connection, row: NewEvent) -> EventRow:
        run_id = row.run_id
        head = self._heads.pop(run_id, None)
        if head is None:
            head = self._read(connection, run_id)
        seq, digest = head[0] + 1, link(head[1], row.data)
        self._heads[run_id] = (seq, digest)
        if len(self._heads) > KNOWN_HEADS:
            del self._heads[next(iter(self._heads))]
        return EventRow(run_id, seq, *row[1:], hash=digest)

    @staticmethod
    def _read(connection: Connection, run_id: str) -> tuple[int, str]:
        query = select(event.c.seq, event.c.hash).where(event.c.run_id == run_id)
        row = connection.execute(query.order_by(desc(event.c.seq)).limit(1)).first()
        return (row[0], row[1]) if row else (0, FIRST_HASH)
