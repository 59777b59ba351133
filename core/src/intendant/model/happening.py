"""What all events of a run have; `intendant.events` has the events."""

from time import time
from typing import Literal

from pydantic import ConfigDict, Field

from intendant.model.base import Frozen
from intendant.model.results import StepStatus

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


class ItemEnded(Frozen):
    """How an item of a list, or a step within it, ended."""

    step: str
    """Its address: the step, the item's key, and the step within, such as `label[17]/draft`."""
    status: StepStatus
    seconds: float = 0.0
    attempts: int = 1
    tokens: int = 0
    """Input and output tokens of its model calls."""
    code: str = ""
    """Where it failed: the stable name of the kind of error."""
