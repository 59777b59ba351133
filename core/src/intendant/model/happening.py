"""What all events of a run have; `intendant.events` has the events."""

from time import time
from typing import Literal

from pydantic import ConfigDict, Field

from intendant.model.base import Frozen

Severity = Literal["info", "warning", "critical"]


class Event(Frozen):
    """Something that happened in a run."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str
    run_id: str = ""
    """Set by the journal."""
    step_id: str | None = None
    at: float = Field(default_factory=time)
    """Seconds since 1970, UTC."""
    severity: Severity = "info"
