"""Takes over the holds that a dead process left open."""

from collections.abc import Sequence

from sqlalchemy import Connection, update  # noqa: TID253

from intendant.record.store import holds
from intendant.record.store.digests import HOLD
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work
from intendant.record.store.tables import hold


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
