"""Takes over the holds that a dead process left open."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select, update  # noqa: TID253

from intendant.record.rows import HoldRow
from intendant.record.store import holds
from intendant.record.store.digests import HOLD
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work, columns
from intendant.record.store.tables import hold, ledger


class Left(NamedTuple):
    """What a dead process left of a run."""

    unsent: list[HoldRow]
    """Holds of calls that were queued, and never sent."""
    overrun: bool
    """True if a call of the run took more than was held for it."""


def left_by(run_id: str, epoch: int) -> Work[Left]:
    """What owners of a run before *epoch* left."""
    waits = (hold.c.run_id == run_id, hold.c.epoch < epoch, hold.c.state == "held", hold.c.sending == 0)
    unsent = select(*columns(hold, HoldRow)).where(*waits)
    beyond = select(ledger.c.id).where(ledger.c.run_id == run_id, ledger.c.beyond.is_not(None)).limit(1)

    def work(connection: Connection) -> Left:
        rows = [HoldRow(*row) for row in connection.execute(unsent)]
        return Left(rows, connection.execute(beyond).first() is not None)

    return work


def release_all(keys: Sequence[str]) -> Work[None]:
    """Give holds back whose calls were never sent."""

    def work(connection: Connection) -> None:
        for key in keys:
            holds.release(key)(connection)

    return work


def take_over(epoch: int, expires_at: float, keep: Sequence[str], charge: Sequence[str]) -> Work[list[str]]:
    """Decide holds of a dead process, in one transaction under the claimer's fence.

    Args:
        epoch: The claimer's epoch, which the holds that are kept get.
        expires_at: When those expire now.
        keep: Holds of calls that are sent again under the same key: they stay as they are, held once.
        charge: Holds that are charged in full, until their usage is known.

    Returns (when the work is done):
        The keys that were still open; the others were settled or charged before.
    """

    def work(connection: Connection) -> list[str]:
        done = []
        for key in keep:
            statement = update(hold).where(hold.c.key == key, hold.c.state == "held")
            if connection.execute(statement.values(epoch=epoch, expires_at=expires_at)).rowcount:
                HOLD.note_current(session_of(connection), key)
                done.append(key)
        done += [key for key in charge if holds.charge(key)(connection) == "settled"]
        return done

    return work
