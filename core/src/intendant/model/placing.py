"""Where the steps of a workflow stand, in its graph and in its file."""

from typing import TYPE_CHECKING, NamedTuple

from intendant.model.graph_keys import Limits
from intendant.model.source import Path

if TYPE_CHECKING:
    from intendant.model.workflow import Step, Workflow

STATE = "state"
"""The name of a loop's state in references."""


def has_bodies(step: "Step") -> bool:
    """True if there are steps within a step, of whatever kind."""
    return step.is_composite or not (step.branches is None and step.on_error is None and step.rollback is None)


class Placed(NamedTuple):
    """A step and where it stands, in the graph and in the file."""

    key: str
    """Its path in the graph, such as `label/draft`."""
    step: "Step"
    path: Path
    """Where it stands in the document."""
    outer: "Placed | None"
    """The step that it is part of."""
    siblings: "tuple[Step, ...]"
    """The steps that are executed with it, itself among them."""
    last: bool = False
    """True for those of `finally`."""
    inside: "Workflow | None" = None
    """The sub-workflow that it is a step of, in whose document it stands; None for the workflow itself."""

    @property
    def limits(self) -> Limits | None:
        """What it, and the steps within it, may spend; of a sub-workflow, also what that says itself."""
        own, flow = self.step.budget, self.step.flow
        return own if flow is None else tighter(own, flow.workflow.budget)

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of items and states that its condition may use."""
        outer = self.outer
        if outer is None or outer.inside is not self.inside:
            return ()
        found = [*outer.variables]
        if outer.step.is_map:
            found.append(outer.step.item_name)
        if self.path[len(outer.path)] == "loop":
            found.append(STATE)
        return tuple(dict.fromkeys(found))


def place(
    found: list[Placed],
    prefix: str,
    steps: "tuple[Step, ...]",
    path: Path,
    outer: Placed | None,
    *,
    last: bool = False,
    inside: "Workflow | None" = None,
    flows: bool = True,
) -> None:
    """Add steps, and those within them behind each, to what was found.

    Args:
        found: What was found.
        prefix: What their paths in the graph begin with.
        steps: The steps.
        path: Where their list stands in the document.
        outer: The step that they are part of.
        last: They are steps of `finally`.
        inside: The sub-workflow that they are steps of.
        flows: Add the steps of sub-workflows too.
    """
    for index, step in enumerate(steps):
        placed = Placed(f"{prefix}{step.id}", step, (*path, index), outer, steps, last, inside)
        found.append(placed)
        for name, body, within in step.bodies():
            at = (*placed.path, *within)
            place(found, f"{placed.key}/{name}", body, at, placed, last=last, inside=inside, flows=flows)
        if step.flow is not None and flows:
            flow = step.flow.workflow
            place(found, f"{placed.key}/", flow.steps, ("steps",), placed, inside=flow)
            place(found, f"{placed.key}/", flow.finally_, ("finally",), placed, last=True, inside=flow)


def size_of(workflow: "Workflow") -> int:
    """How many steps a workflow has, those of its sub-workflows included each time that they are used."""
    found: list[Placed] = []
    for steps in (workflow.steps, workflow.finally_):
        place(found, "", steps, (), None, flows=False)
    return len(found) + sum(item.step.flow.workflow.size for item in found if item.step.flow is not None)


def tighter(one: Limits | None, other: Limits) -> Limits | None:
    """What both limits admit; None for no limit."""
    given = (other,) if one is None else (one, other)
    tokens = min((limits.tokens for limits in given if limits.tokens is not None), default=None)
    usd = min((limits.usd for limits in given if limits.usd is not None), default=None)
    return None if tokens is None and usd is None else Limits(tokens=tokens, usd=usd)


def is_item(address: str, step: str) -> bool:
    """True if an address is that of an item of a step, and of nothing within it."""
    rest = address.removeprefix(step)
    return rest.startswith("[") and rest.index("]") == len(rest) - 1
