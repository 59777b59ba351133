"""What follows from a workflow alone, computed once and kept for later runs: hosts run the same workflow often."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from intendant.model.references import Reference
from intendant.model.requests import ModelOffer
from intendant.model.workflow import Step, Workflow
from intendant.pilot.graph import Graph
from intendant.planning.decided import Plan
from intendant.planning.graph_bounds import Items
from intendant.planning.planner import Planner
from intendant.planning.prior import Prior

MOST_KEPT = 64
"""Workflows of which an engine remembers what follows from them."""
MOST_PLANS = 8
"""Plans that are kept of one workflow."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What all frames of the same steps share."""

    steps: Mapping[str, Step]
    order: Mapping[str, int]
    graph: Graph

    @classmethod
    def of(cls, steps: Sequence[Step]) -> "Shape":
        """The shape of steps that are executed together."""
        order = {step.id: index for index, step in enumerate(steps)}
        return cls({step.id: step for step in steps}, order, Graph.of(steps))


class Grounds(NamedTuple):
    """All that a plan follows from besides its workflow, if no history, memory or classifier has a part in it."""

    planner: Planner
    """Settings and plugins: an engine that adopts other settings has another planner."""
    offers: tuple[ModelOffer, ...]
    flags: Mapping[str, bool]
    prior: Prior | None
    items: Mapping[str, Items]


@dataclass
class Prepared:
    """What follows from a workflow.

    Attributes:
        workflow: The workflow.
        is_checked: True once the engine's plugins have found nothing wrong with it.
    """

    workflow: Workflow
    is_checked: bool = False
    _shapes: dict[int, Shape] = field(default_factory=dict)
    _plans: list[tuple[Grounds, Plan]] = field(default_factory=list)

    def shape(self, steps: Sequence[Step]) -> Shape:
        """The shape of steps of the workflow that are executed together."""
        found = self._shapes.get(id(steps))
        if found is None:
            found = self._shapes[id(steps)] = Shape.of(steps)
        return found

    @cached_property
    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """The steps that each step needs, all by their paths in the graph."""
        found: dict[str, tuple[str, ...]] = {}
        for placed in self.workflow.placed:
            prefix = placed.key.removesuffix(placed.step.id)
            needs = self.shape(placed.siblings).graph.needs[placed.step.id]
            found[placed.key] = tuple(f"{prefix}{need}" for need in needs)
        return found

    @cached_property
    def references(self) -> Mapping[str, int]:
        """How many references each step makes, by its path in the graph."""
        return {
            placed.key: sum(isinstance(item, Reference) for item in placed.step.references)
            for placed in self.workflow.placed
        }

    def planned(self, grounds: Grounds) -> Plan | None:
        """The plan that was made on these grounds before; None if there was none."""
        return next((plan for known, plan in self._plans if known == grounds), None)

    def keep(self, grounds: Grounds, plan: Plan) -> None:
        """Remember a plan."""
        self._plans = [*self._plans[-MOST_PLANS + 1 :], (grounds, plan)]


class PreparedWorkflows:
    """The workflows that an engine has met last. They are told apart by identity: two that are equal may come from
    different files.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[int, Prepared] = OrderedDict()

    def of(self, workflow: Workflow) -> Prepared:
        """What follows from *workflow*."""
        found = self._known.get(id(workflow))
        if found is None:  # while it is kept, so is the workflow, and its id is no other's
            found = self._known[id(workflow)] = Prepared(workflow)
            if len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(id(workflow))
        return found
