"""Feature flags: on, off, or on for a share of the subjects."""

from hashlib import sha256
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from intendant.model.described import Described


class Rollout(Described):
    """A feature that is on for a share of the subjects (agents or users), always the same ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    percent: float = Field(ge=0, le=100)
    """Of the subjects; raising it only ever adds subjects."""
    salt: str = ""
    """Another salt picks other subjects."""
    by: Literal["agent", "user"] = "agent"
    """Whose the share is; runs that name no user count by their agent."""
    allow: tuple[str, ...] = ()
    """Subjects for which it is on."""
    deny: tuple[str, ...] = ()
    """Subjects for which it is off, whatever `allow` says."""
    tenants: dict[str, float] = Field(default_factory=dict)
    """Percent of the subjects of one tenant, by tenant, in place of `percent`."""
    guarded: str = ""
    """When the guard began to watch it; empty where nothing does. Set by `intendant flags canary`."""


Flag = bool | Rollout
"""On, off, or on for a share of the subjects."""


class Subject(NamedTuple):
    """Whose run it is."""

    agent: str
    user: str | None = None
    tenant: str = "default"


def is_on(flag: Flag, subject: Subject | str) -> bool:
    """True if the feature is on for *subject*: an agent, or an agent with a user and a tenant."""
    if isinstance(flag, bool):
        return flag
    who = Subject(subject) if isinstance(subject, str) else subject
    name = who.user if flag.by == "user" and who.user is not None else who.agent
    if name in flag.deny:
        return False
    if name in flag.allow:
        return True
    digest = sha256(f"{flag.salt}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100 < flag.tenants.get(who.tenant, flag.percent)


def decided(flags: BaseModel, subject: Subject) -> dict[str, bool]:
    """Which of *flags*, the section of the settings, are on for *subject*."""
    values = {name: getattr(flags, name) for name in type(flags).__pydantic_fields__}
    return {name: flag if isinstance(flag, bool) else is_on(flag, subject) for name, flag in values.items()}
