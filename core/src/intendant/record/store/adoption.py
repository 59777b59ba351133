"""Commits to what an older version has written, as it is when its database is migrated."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection  # noqa: TID253

from intendant.record.store import tables
from intendant.record.store.chain import Chains, recorded
from intendant.record.store.digests import BUDGET, COVERED, EVERYTHING, NONE, RUN, WINDOW, Covered, commitment
from intendant.record.store.reconciling import Sums
from intendant.record.store.session import Session, session_of

AT_ONCE = 500
"""Commitments of one event."""


def adopt(connection: Connection, key: bytes | None = None) -> int:
    """Commit to every row of every covered table; returns how many there are.

    From then on a change shows. What happened to them before does not: only the events of a run were chained.
    """
    session, chains = session_of(connection), Chains(key)
    salt = "lower(hex(randomblob(16)))" if session.sqlite else "replace(gen_random_uuid()::text, '-', '')"
    for covered in COVERED:
        if "salt" in covered.columns:
            session.driver.execute(f'UPDATE "{covered.table.name}" SET salt = {salt}')  # noqa: S608  # names of ours
    sums = Sums(_rows(session, tables.lease))
    for row in _rows(session, tables.hold):
        sums.add_hold(row, of_run=row["run_id"])
    for row in _rows(session, tables.ledger):
        sums.add_charge(row, of_run=row["run_id"])
    waiting: list[str] = []
    count = 0
    for text in _commitments(session, sums):
        waiting.append(text)
        count += 1
        if len(waiting) >= AT_ONCE:
            _write(session, chains, waiting)
    if waiting:
        _write(session, chains, waiting)
    return count


def _write(session: Session, chains: Chains, waiting: list[str]) -> None:
    session.commits[EVERYTHING] = list(waiting)
    chains.add(session, [recorded(EVERYTHING, "adopted", rows=len(waiting))])
    session.flush()
    waiting.clear()


def _commitments(session: Session, sums: Sums) -> Iterator[str]:
    for covered in COVERED:
        if covered.table is tables.budget:
            continue
        for row in _rows(session, covered.table):
            run_id = row["id"] if covered is RUN else row.get("run_id", "")
            yield _commitment(covered, row, {"was": NONE, "run": run_id})
    for row in _rows(session, tables.budget):
        kind, _, name = row["id"].partition(":")
        of_run = kind in ("run", "step")
        derived = sums.of(row["id"])
        base = [
            row[column] - derived[column]
            for column in ("spent_tokens", "spent_micro", "held_tokens", "held_micro")
        ]
        more = {"was": NONE, "run": name.partition("/")[0] if of_run else "", "base": base}
        yield _commitment(BUDGET if of_run else WINDOW, row, more)


def _commitment(covered: Covered, row: dict[str, Any], more: dict[str, Any]) -> str:
    values = [row[name] for name in covered.columns]
    return commitment(covered.name, covered.key_of(values), covered.digest(values), more)


def _rows(session: Session, table: Any) -> list[dict[str, Any]]:
    names = [column.name for column in table.columns]
    quoted = ", ".join(f'"{name}"' for name in names)
    found = session.driver.execute(f'SELECT {quoted} FROM "{table.name}"').fetchall()  # noqa: S608  # names of ours
    return [dict(zip(names, row, strict=True)) for row in found]
