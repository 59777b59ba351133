"""The events of a run that concern its agent; `intendant.events` gives them to readers."""

from typing import Literal

from intendant.model.happening import Event


class IntensityApplied(Event):
    """An agent's intensity was taken for a prior of what was decided about its run."""

    type: Literal["intensity_applied"] = "intensity_applied"
    score: float
    """The agent's combined score when the run was planned, 0 to 10."""
    runs: int
    """How many runs it is made of; 0 where a file says it."""
    preset: str
    """`aggressive`, `balanced` or `minimal`."""
    reason: str


class MemoryRecalled(Event):
    """What the run's agent remembers was looked up. The texts stand outside the journal."""

    type: Literal["memory_recalled"] = "memory_recalled"
    kinds: tuple[str, ...]
    """Of `profile`, `run` and `pattern`, those of which anything was found."""
    entries: int
    tokens: int
    """What all of it takes, before it is made to fit its line of the budget (an estimate)."""


AgentEvent = IntensityApplied | MemoryRecalled
