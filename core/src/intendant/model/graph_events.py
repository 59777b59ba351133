"""Events of steps that are made of others: lists, loops, rollbacks; `intendant.events` has all events."""

from typing import Literal

from intendant.model.happening import Event, ItemEnded, Severity
from intendant.model.results import Failure


class ErrorHandled(Event):
    """A step failed for good, and the workflow says what is done then: the run goes on."""

    type: Literal["error_handled"] = "error_handled"
    severity: Severity = "warning"
    how: Literal["continue", "output", "steps"]
    failure: Failure


class ItemsStarted(Event):
    """A step begins to be executed for each item of a list."""

    type: Literal["items_started"] = "items_started"
    total: int
    """Items of the list."""
    kept: int = 0
    """Of them, those that were done before and are not done again."""


class ItemsEnded(Event):
    """Items of a step ended; those that end within a moment are told of together."""

    type: Literal["items_ended"] = "items_ended"
    items: tuple[ItemEnded, ...]


class LoopPassed(Event):
    """The steps of a loop were executed once more."""

    type: Literal["loop_passed"] = "loop_passed"
    number: int
    """Of the pass, from 1."""
    most: int
    """Passes at most."""
    again: bool
    """True if the loop's condition still holds."""


class RollbackStarted(Event):
    """A run, or the sub-workflow of a step, failed: what its completed steps have done is undone."""

    type: Literal["rollback_started"] = "rollback_started"
    severity: Severity = "warning"
    steps: int
    """How many steps say how they are undone."""


class StepRolledBack(Event):
    """What a step has done was undone, or that failed."""

    type: Literal["step_rolled_back"] = "step_rolled_back"
    severity: Severity = "warning"
    failure: Failure | None = None
