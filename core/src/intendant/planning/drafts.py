"""Steps of work while they are planned."""

from collections.abc import Sequence
from typing import NamedTuple

from intendant.model.graph_keys import ToolUse
from intendant.model.requests import BudgetLine, IntentSpec
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


def leaving_room(lines: Sequence[BudgetLine], total: int, per_step: int) -> tuple[BudgetLine, ...]:
    """The lines, of which those of steps that are executed many times have half of the tokens by right at most.

    How often they are executed is mostly assumed. The other half is for the steps beside them, and what these do
    not need is there for all to draw on.

    Args:
        lines: The steps that share tokens.
        total: Tokens to share.
        per_step: What one execution has by right at most.
    """
    many = [line for line in lines if line.cap > per_step]
    if len(lines) == 1 or not many:
        return tuple(lines)
    most = max(per_step, total // 2 // len(many))
    return tuple(
        line.model_copy(update={"cap": min(line.cap, most)}) if line.cap > per_step else line for line in lines
    )


def changes_outside(tool: ToolUse) -> bool:
    """True if the model may change something outside with it."""
    return tool.effects != "none" or tool.approve is not None
