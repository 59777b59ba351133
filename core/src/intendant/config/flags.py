"""Feature flags: on, off, or on for a share of the subjects."""

from hashlib import sha256

from pydantic import ConfigDict, Field

from intendant.model.described import Described


class Rollout(Described):
    """A feature that is on for a share of the subjects (agents, say), always the same ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    percent: float = Field(ge=0, le=100)
    salt: str = ""
    """Another salt picks other subjects."""


Flag = bool | Rollout


def is_on(flag: Flag, subject: str) -> bool:
    """True if the feature is on for *subject*. Raising `percent` only ever adds subjects."""
    if isinstance(flag, bool):
        return flag
    digest = sha256(f"{flag.salt}:{subject}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100 < flag.percent
