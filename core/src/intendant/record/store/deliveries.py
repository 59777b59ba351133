"""Deliveries as transactions: the outbox. Each function returns work for `Store.do`."""

import json
from collections.abc import Callable
from time import time
from typing import Any

from sqlalchemy import Connection, insert, select, update  # noqa: TID253

from intendant.record.store.tables import outbox
from intendant.record.store.writer import Fence

Work = Callable[[Connection], Any]


def find(key: str) -> Work:
    """The delivery under *key*: `{"state": "begun" or "done", "receipt": …}`, or None."""

    def work(connection: Connection) -> dict[str, Any] | None:
        row = connection.execute(select(outbox).where(outbox.c.key == key)).mappings().first()
        if row is None:
            return None
        return {"state": row["state"], "receipt": json.loads(row["receipt"]) if row["receipt"] else None}

    return work


def begin(fence: Fence, key: str, step_key: str, operation: str) -> Work:
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

    return work


def finish(key: str, receipt: Any) -> Work:
    """Note that it was changed, and what came back."""

    def work(connection: Connection) -> None:
        values = {"state": "done", "receipt": json.dumps(receipt), "done_at": time()}
        connection.execute(update(outbox).where(outbox.c.key == key).values(values))

    return work
