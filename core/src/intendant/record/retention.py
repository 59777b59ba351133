"""Which runs are kept, and for how long: classes of retention, as pure functions."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, Protocol

from intendant.config.upkeep import RetentionSettings

DAY = 86_400.0
Class = Literal["personal", "critical", "standard"]


class Ended(Protocol):
    """A run that has ended."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def agent(self) -> str: ...  # noqa: D102
    @property
    def at(self) -> float: ...  # noqa: D102
    @property
    def critical(self) -> bool: ...  # noqa: D102
    @property
    def erased(self) -> bool: ...  # noqa: D102


class Due(NamedTuple):
    """What retention asks for now."""

    prune: dict[Class, list[str]]
    """Runs whose time is over, by class, oldest first."""
    erase: list[str]
    """Runs that stay, and whose payloads go."""


def class_of(run: Ended, retention: RetentionSettings) -> Class:
    """The class of a run; that of the agent is stronger than what happened."""
    if run.agent in retention.personal_agents:
        return "personal"
    return "critical" if run.critical else "standard"


def days_of(kind: Class, retention: RetentionSettings) -> float | None:
    """For how many days a class is kept; None for ever."""
    return {
        "personal": retention.personal_days,
        "critical": retention.critical_days,
        "standard": retention.standard_days,
    }[kind]


def due(runs: Iterable[Ended], retention: RetentionSettings, now: float) -> Due:
    """What retention asks for at *now*, in seconds since 1970."""
    found = Due({"personal": [], "critical": [], "standard": []}, [])
    for run in runs:
        kind = class_of(run, retention)
        if _is_over(run.at, days_of(kind, retention), now):
            found.prune[kind].append(run.id)
        elif not run.erased and _is_over(run.at, retention.payload_days, now):
            found.erase.append(run.id)
    return found


def shortest(retention: RetentionSettings) -> float | None:
    """The least number of days after which anything is due; None for never."""
    days = (
        retention.standard_days,
        retention.critical_days,
        retention.personal_days,
        retention.payload_days,
    )
    return min((each for each in days if each is not None), default=None)


def _is_over(at: float, days: float | None, now: float) -> bool:
    return days is not None and now - at > days * DAY
