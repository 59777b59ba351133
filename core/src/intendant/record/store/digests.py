"""Digests of whole rows, by which the chains of events commit to every table that says what happened.

A *commitment* is a table, the key of a row and the digest of that row; it stands in the column `commits` of the
event that was written with the row, under the event's hash. The last commitment to a row says what it has to be.

A digest covers all columns but those that change without meaning (`live`), and those that can be computed from
other rows (`derived`), which is how they are checked. Payloads go in by a digest of their own under the row's
salt: without the salt the digest says nothing of them, so that both can be erased.

Columns are digested in the order of the table, and nulls at the end are left out: a new column that is null in
older rows, at the end of its table, changes no digest.
"""

from collections.abc import Sequence
from hashlib import sha256
from json import JSONEncoder
from os import urandom
from typing import Any

from sqlalchemy import Float, Table  # noqa: TID253

from intendant.record.store import tables
from intendant.record.store.session import Session

EVERYTHING = "*"
"""The chain of what belongs to no single run, or is written by a process that does not own the run: which runs
there are and how they ended, standing limits, holds that expired, what was erased.
"""
NONE = ""
"""The digest of a row that is not there."""
_WRITE = JSONEncoder(default=repr).encode
"""`json.dumps`, which makes an encoder for each call."""


class Covered:
    """A table to whose rows the record commits.

    Args:
        table: The table.
        key: The columns that name a row.
        payload: Columns that may be erased; digested under the row's salt.
        live: Columns that the record does not cover.
        derived: Columns that are checked by computing them.

    Attributes:
        name: What commitments call the table.
        columns: The columns that a digest covers, in order.
    """

    __slots__ = ("_floats", "_key", "_payload", "_salt", "_select", "columns", "name", "table")

    def __init__(
        self,
        table: Table,
        key: Sequence[str],
        *,
        payload: Sequence[str] = (),
        live: Sequence[str] = (),
        derived: Sequence[str] = (),
        name: str = "",
    ) -> None:
        self.table = table
        self.name = name or table.name
        self.columns = tuple(column.name for column in table.columns if column.name not in (*live, *derived))
        self._key = tuple(key)
        self._payload = tuple(self.columns.index(column) for column in payload)
        self._salt = self.columns.index("salt") if payload else None
        self._floats = tuple(
            index for index, column in enumerate(self.columns) if isinstance(table.c[column].type, Float)
        )
        quoted = ", ".join(f'"{column}"' for column in self.columns)
        self._select = f'SELECT {quoted} FROM "{table.name}" WHERE '  # noqa: S608  # names of ours

    def key_of(self, values: Sequence[Any]) -> str:
        """The key of a row, of all its covered columns."""
        return "/".join(str(values[self.columns.index(column)]) for column in self._key)

    def digest(self, values: Sequence[Any]) -> str:
        """The digest of a row, of all its covered columns."""
        made = list(values)
        if self._salt is not None:
            salt = made[self._salt] or ""
            for index in self._payload:
                if made[index] is not None:
                    made[index] = payload_digest(salt, made[index])
        for index in self._floats:
            if isinstance(made[index], int):
                made[index] = float(made[index])  # as the database returns it
        while made and made[-1] is None:
            made.pop()
        made.append(self.name)
        return sha256(_WRITE(made).encode()).hexdigest()

    def rows(self, session: Session, where: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The covered columns of the rows for which *where* holds; `?` stands for a value."""
        found: list[tuple[Any, ...]] = session.execute(self._select + where, tuple(values)).fetchall()
        return found

    def current(self, session: Session, *key: Any) -> str:
        """The digest of a row as it is in the database; `NONE` if it is not there."""
        found = self.rows(session, " AND ".join(f'"{column}" = ?' for column in self._key), key)
        return self.digest(found[0]) if found else NONE

    def note(self, session: Session, values: Sequence[Any], chain: str | None = None, **more: Any) -> None:
        """Commit to a row as it is written now.

        Args:
            session: The session that writes it.
            values: Its covered columns.
            chain: The run whose chain commits; None for that of the job.
            more: What else the commitment says; see `commitment`.
        """
        text = commitment(self.name, self.key_of(values), self.digest(values), more)
        session.commit_to(text, chain)

    def note_current(self, session: Session, *key: Any, chain: str | None = None, **more: Any) -> None:
        """Commit to a row as it is in the database; for work that is not on the hot path."""
        found = self.rows(session, " AND ".join(f'"{column}" = ?' for column in self._key), key)
        if found:
            self.note(session, found[0], chain, **more)

    def note_deleted(self, session: Session, *key: Any, chain: str | None = None, **more: Any) -> None:
        """Commit to a row being there no more."""
        session.commit_to(commitment(self.name, "/".join(map(str, key)), NONE, more), chain)


def commitment(table: str, key: str, digest: str, more: dict[str, Any] | None = None) -> str:
    """A commitment as JSON: `[table, key, digest]`, and an object with what else is known.

    `was`: the digest before, in the chain of everything; `run`: the run of the row there; `base`: what was spent
    and held of a budget when it was opened: tokens and micro-US$ spent, tokens and micro-US$ held.
    """
    return _WRITE([table, key, digest, more] if more else [table, key, digest])


def payload_digest(salt: str, text: str) -> str:
    """The digest of a payload under its row's salt."""
    return sha256(f"{salt}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()


def new_salt() -> str:
    """A salt for the payloads of one row."""
    return urandom(16).hex()


RUN = Covered(
    tables.run,
    ["id"],
    payload=["inputs", "memory"],
    live=["worker", "lease_until", "wait_for", "cancel_requested", "due_at", "pause_requested"],
)
STEP = Covered(tables.step, ["run_id", "key"], payload=["output"])
HOLD = Covered(tables.hold, ["key"], payload=["reply"], live=["expires_at"])
LEDGER = Covered(tables.ledger, ["id"])
BUDGET = Covered(tables.budget, ["id"], derived=["held_tokens", "spent_tokens", "held_micro", "spent_micro"])
WINDOW = Covered(
    tables.budget,
    ["id"],
    name="window",
    derived=["held_tokens", "spent_tokens", "limit_tokens", "held_micro", "spent_micro", "limit_micro"],
)
"""Budgets of a day or a month; their limits follow what they were set to (`wanted`) and what is spent."""
LIMIT = Covered(tables.budget_limit, ["id"])
DELIVERY = Covered(tables.outbox, ["key"], payload=["receipt"])
ORIGINAL = Covered(tables.original, ["run_id", "handle"], payload=["text"])
APPROVAL = Covered(tables.approval, ["run_id", "step_key"], payload=["ask", "shown"])
DECISION = Covered(tables.decision, ["run_id", "step_key", "decided_by", "input_sha256"], payload=["note"])
RATING = Covered(tables.rating, ["run_id", "step_key", "rated_by", "at"], payload=["comment"])
PRUNED = Covered(tables.pruned, ["run_id"])
SIGNAL = Covered(tables.signal, ["run_id", "id"], payload=["payload"])

_TOLD = (APPROVAL, DECISION, SIGNAL, RATING)
COVERED = (RUN, STEP, HOLD, LEDGER, BUDGET, WINDOW, LIMIT, DELIVERY, ORIGINAL, *_TOLD, PRUNED)
OUTSIDE = {
    "event": "it is the chain itself",
    "lease": "slices of budgets for some seconds; the budgets are computed with them",
    "classification": "answers that are remembered, not what happened",
    "response": "answers that are cached",
    "schedule": "how far workers have come; the runs that they started are covered",
    "setting_change": "settings; each run says which version of them it went by",
    "run_figure": "computed from the journal when a run ends",
    "canary_count": "counted when runs end",
    "agent": "figures that are computed from runs, and definitions",
    "observation": "computed from the record of its run",
    "memory": "what may be changed and deleted at any time",
    "memory_term": "the index of memory",
    "memory_vector": "where embedders place memories, computed from them",
}
"""Tables to whose rows the record does not commit, and why."""
