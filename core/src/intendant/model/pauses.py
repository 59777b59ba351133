"""Events of runs that wait for a person or a time; see `intendant.events`."""

from typing import Literal

from intendant.model.happening import Event, Severity
from intendant.model.results import Usage


class ApprovalRequested(Event):
    """People are asked before anything of a step happens; the run may wait for them without a process."""

    type: Literal["approval_requested"] = "approval_requested"
    ask: str = ""
    """The question; it stands outside the journal, with what was shown."""
    by: tuple[str, ...] = ()
    need: int = 1
    expires_at: float | None = None
    """Seconds since 1970 (UTC); None where there is no end."""
    otherwise: str = "deny"


class ApprovalDecided(Event):
    """An approval was decided, by people or by its time being over."""

    type: Literal["approval_decided"] = "approval_decided"
    verdict: Literal["approved", "denied", "skipped"]
    by: tuple[str, ...] = ()
    """Who decided; nobody where the time was over."""
    note: str = ""


class WaitStarted(Event):
    """A step lets time pass."""

    type: Literal["wait_started"] = "wait_started"
    until: float
    """Seconds since 1970, UTC."""


class Suspended(Event):
    """All that is left of a run waits for a person or a time; no process stays for it."""

    type: Literal["suspended"] = "suspended"
    waits: tuple[str, ...]
    """The steps that wait."""
    seconds: float
    """For how long the run was executed until then."""
    paused: bool = False


class StepWaiting(Event):
    """A step waits for a person; a run that is resumed looks at it again."""

    type: Literal["step_waiting"] = "step_waiting"
    severity: Severity = "warning"
    reason: str
    usage: Usage = Usage()


class DoubtDecided(Event):
    """A person decided what became of a call in doubt."""

    type: Literal["doubt_decided"] = "doubt_decided"
    call: str
    """Idempotency key of the call."""
    decision: Literal["settle", "retry", "drop"]
    by: str
    answered: bool = False
    """True if the answer was given as well, so that the call is not made again."""


class SignalWanted(Event):
    """A step waits until something happens outside, which a signal says."""

    type: Literal["signal_wanted"] = "signal_wanted"
    event: str
    """What the signal has to name."""
    until: float | None = None
    """Seconds since 1970 (UTC) when the step gives up; None where it does not."""


class SignalTaken(Event):
    """A step took a signal. No other step of the run gets it; its payload stands outside the journal."""

    type: Literal["signal_taken"] = "signal_taken"
    event: str
    signal: str
    """Its id."""
    by: str = ""
    """Who sent it."""
    sent_at: float = 0.0
    """Seconds since 1970, UTC."""
