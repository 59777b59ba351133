"""The ids of runs."""

from time import time
from uuid import uuid4

from intendant.text.hashing import digest_of


def new_run_id() -> str:
    """An id that no other run has; ids sort by the time when they were made."""
    return f"r_{int(time() * 1000):012x}{uuid4().hex[:10]}"


def run_id_of(key: str, tenant: str) -> str:
    """The id of the one run of a tenant that has an idempotency key."""
    digest = digest_of(f"{tenant}\n{key}")
    return f"k_{digest[:22]}"
