"""Calls in doubt: sent by a process that died before the answer arrived, so that nobody knows if they were
charged.

The ledger never shows less than what such a call may have cost: it is charged in full, or stays held, until its
outcome is known.
"""

from dataclasses import dataclass

from intendant.model.workflow import InDoubt
from intendant.record.rows import HoldRow


def policy_of(wanted: InDoubt | None, *, knows_keys: bool, micro: int, ask_above: int) -> InDoubt:
    """The policy for a call in doubt.

    Args:
        wanted: The policy of the step or the settings; None for the default.
        knows_keys: True if the provider honours idempotency keys: it answers and charges a call once per key.
        micro: The worst case of the call, in micro-US$.
        ask_above: Micro-US$; a person decides about a call that may have cost more.

    Returns:
        *wanted*, but never `idempotent` if the provider ignores keys, because it would charge a second call. The
        default is `idempotent` if it honours keys, else `retry` up to *ask_above*, else `hold`.
    """
    if wanted is None or (wanted == "idempotent" and not knows_keys):
        if knows_keys:
            return "idempotent"
        return "hold" if micro > ask_above else "retry"
    return wanted


def is_in_doubt(row: HoldRow) -> bool:
    """True if a call of a dead process may have been charged and no person has decided about it."""
    return row.state in ("held", "in_doubt") and row.decided is None


@dataclass(frozen=True, slots=True)
class Fate:
    """The decision about one open hold when a run is claimed."""

    key: str
    step_key: str
    policy: InDoubt
    charged: bool
    """True if it is charged in full now; False if it stays held because the same call is sent again."""
    waits: bool
    """True if the step waits for a person."""
    fails: bool
    """True if the step fails."""


def fate_of(found: HoldRow, policy: InDoubt) -> Fate:
    """Apply *policy* to a hold: it stays held for the same call, or is charged in full."""
    return Fate(
        key=found.key,
        step_key=found.step_key,
        policy=policy,
        charged=policy != "idempotent",
        waits=policy == "hold",
        fails=policy == "fail",
    )
