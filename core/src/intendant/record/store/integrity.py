"""Verifies the record: all of it, or what belongs to one run."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection  # noqa: TID253

from intendant.record.store.budgets import run_of
from intendant.record.store.digests import BUDGET, WINDOW
from intendant.record.store.known_chain import KnownChain
from intendant.record.store.session import session_of
from intendant.record.store.statements import Work
from intendant.record.store.verification import Verification, Verified

ResultT = TypeVar("ResultT")


def verify(
    run_id: str | None = None, keys: Sequence[bytes] = (), against: str = "", tenant: str | None = None
) -> Work[Verified]:
    """Verify the whole record, or one run.

    Args:
        run_id: The run; None for everything.
        keys: Keys that events may be signed with; without any, signatures are not looked at.
        against: A head that was kept elsewhere.
        tenant: Of runs of other tenants it is only said how many faults they have; None for no such limit.
    """
    return _verifying(keys, tenant, lambda verification: verification.all(run_id, against))


def verify_run(run_id: str, known: KnownChain) -> Work[Verified | None]:
    """Verify one run with what this process has verified of the chain of everything before.

    Args:
        run_id: The run.
        known: What was verified, of this database; it is added to. Its keys count.

    Returns (when the work is done):
        None if there is more to add to what is known, which is done in parts so that no other work waits for long:
        do the work again.
    """
    return _verifying(known.keys, None, lambda verification: verification.one(run_id, known))


def learn(known: KnownChain) -> Work[bool | None]:
    """Verify the next events of the chain that all runs share; returns None if there are more.

    Args:
        known: What was verified, of this database; it is added to.
    """
    return _verifying(known.keys, None, lambda verification: verification.learn(known))


def _verifying(
    keys: Sequence[bytes], tenant: str | None, verify: Callable[[Verification], ResultT]
) -> Work[ResultT]:
    def work(connection: Connection) -> ResultT:
        session = session_of(connection)
        if not session.sqlite:
            # One state of all tables, while other processes write; the writer's own transaction sees several.
            with connection.engine.connect() as one:
                snapshot = one.execution_options(isolation_level="REPEATABLE READ")
                return verify(Verification(snapshot, keys, tenant))
        session.driver.text_factory = _lenient  # bytes that are no UTF-8 are a fault, not an error
        try:
            return verify(Verification(connection, keys, tenant))
        finally:
            session.driver.text_factory = str

    return work


def _lenient(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def bases(connection: Connection) -> dict[tuple[str, str], dict[str, int]]:
    """What was spent and held of each standing budget beyond what its holds come to, as last committed to."""
    verification = Verification(connection, (), None)
    verification.everything(None, None)
    return {
        (table, key): verification.expected(table, key)[1]
        for table, key in list(verification.later)
        if table in (BUDGET.name, WINDOW.name) and not run_of(key)
    }
