"""Calls in doubt: sent by a process that died before it knew the answer. Whether they were charged is not known.

What the ledger says of one is never less than what it may have cost: until its fate is known it is charged in
full, or still held.
"""

from dataclasses import dataclass

from intendant.model.workflow import InDoubt
from intendant.record.rows import HoldRow


def policy_of(wanted: InDoubt | None, *, knows_keys: bool, micro: int, ask_above: int) -> InDoubt:
    """What becomes of a call in doubt.

    Args:
        wanted: What the step or the settings say; None for the default.
        knows_keys: The provider answers and charges a call once, however often it is sent under its key.
        micro: What the call costs at worst, in micro-US$.
        ask_above: A call that may have cost more than this waits for a person.

    Returns:
        *wanted*, but never `idempotent` where the provider does not know keys: there the same call again is a
        second call, and is treated as one. By default `idempotent` where it does, else `retry` up to *ask_above*,
        else `hold`.
    """
    if wanted is None or (wanted == "idempotent" and not knows_keys):
        if knows_keys:
            return "idempotent"
        return "hold" if micro > ask_above else "retry"
    return wanted


def is_in_doubt(row: HoldRow) -> bool:
    """True if a call of a dead process may have been charged, and no person has decided about it."""
    return row.state in ("held", "in_doubt") and row.decided is None


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to one open hold when a run is claimed."""

    key: str
    step_key: str
    policy: InDoubt
    charged: bool
    """True if it is charged in full now; False if it stays held, for the same call to be sent again."""
    waits: bool
    """True if the step waits for a person."""
    fails: bool
    """True if the step fails."""


def fate_of(found: HoldRow, policy: InDoubt) -> Fate:
    """What *policy* means for a hold: it stays held for the same call again, or is charged in full."""
    return Fate(
        key=found.key,
        step_key=found.step_key,
        policy=policy,
        charged=policy != "idempotent",
        waits=policy == "hold",
        fails=policy == "fail",
    )
