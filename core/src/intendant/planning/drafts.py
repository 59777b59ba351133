"""Steps of work while they are planned."""

from typing import NamedTuple

from intendant.model.graph_keys import ToolUse
from intendant.model.requests import IntentSpec
from intendant.model.results import Classification
from intendant.model.workflow import Step
from intendant.planning.difficulty import difficulty
from intendant.planning.graph_bounds import Items


class Draft(NamedTuple):
    """A step of work, before it has tokens and a model."""

    step: Step
    spec: IntentSpec
    classification: Classification
    needs_model: bool
    memory: int
    """Tokens for what is known before the run."""
    items: Items
    references: int

    @property
    def difficulty(self) -> float:
        """For sharing tokens; for routing, flags may leave factors out."""
        return difficulty(self.step, self.spec, references=self.references)[0]


def changes_outside(tool: ToolUse) -> bool:
    """True if the model may change something outside with it."""
    return tool.effects != "none" or tool.approve is not None
