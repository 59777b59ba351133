"""Where the steps of a workflow stand, in its graph and in its file."""

from typing import TYPE_CHECKING, NamedTuple

from intendant.model.source import Path

if TYPE_CHECKING:
    from intendant.model.workflow import Step

STATE = "state"
"""The name of a loop's state in references."""


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

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of items and states that its condition may use."""
        outer = self.outer
        if outer is None:
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
) -> None:
    """Add steps, and those within them behind each, to what was found."""
    for index, step in enumerate(steps):
        placed = Placed(f"{prefix}{step.id}", step, (*path, index), outer, steps, last)
        found.append(placed)
        for name, body, within in step.bodies():
            place(found, f"{placed.key}/{name}", body, (*placed.path, *within), placed, last=last)
