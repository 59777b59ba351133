"""The outbox: deliveries to the outside, each begun and finished. Functions return work for `Store.do`."""

import json
from time import time
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update  # noqa: TID253

from intendant.record.rows import Delivery, Fence
from intendant.record.store.digests import DELIVERY, new_salt
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work
from intendant.record.store.tables import outbox


def find(key: str) -> Work[Delivery | None]:
    """The delivery under *key*, or None."""

    def work(connection: Connection) -> Delivery | None:
        query = select(outbox.c.state, outbox.c.receipt).where(outbox.c.key == key)
        row = connection.execute(query).first()
        if row is None:
            return None
        return Delivery(row.state == "done", json.loads(row.receipt) if row.receipt else None)

    return work


def begin(fence: Fence, key: str, step_key: str, operation: str) -> Work[None]:
    """Note that something outside is about to be changed."""

    def work(connection: Connection) -> None:
        row = {
            "key": key,
            "run_id": fence.run_id,
            "step_key": step_key,
            "epoch": fence.epoch,
            "operation": operation,
            "state": "begun",
            "begun_at": time(),
        }
        connection.execute(insert(outbox), row)
        DELIVERY.note_current(session_of(connection), key)

    return work


def finish(key: str, receipt: Any) -> Work[None]:
    """Note that it was changed, and the connector's result."""

    def work(connection: Connection) -> None:
        values = {"state": "done", "receipt": json.dumps(receipt), "done_at": time(), "salt": new_salt()}
        connection.execute(update(outbox).where(outbox.c.key == key).values(values))
        DELIVERY.note_current(session_of(connection), key)

    return work


def withdraw(key: str) -> Work[None]:
    """Note that it was certainly not changed; the next attempt begins anew."""

    def work(connection: Connection) -> None:
        gone = connection.execute(delete(outbox).where(outbox.c.key == key, outbox.c.state == "begun"))
        if gone.rowcount:
            DELIVERY.note_deleted(session_of(connection), key)

    return work
