"""How often the steps of a graph are executed, and what the whole graph can spend at most."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from intendant.model.placing import has_bodies, tighter
from intendant.model.results import Usage
from intendant.model.workflow import ON_ERROR, ROLLBACK, Json, Placed, Step, Workflow
from intendant.planning.bounds import Bound, of_run
from intendant.planning.curves import Curve, either, together

ASSUMED_ITEMS = 10
"""Items of a list that is not known before the run."""
USUAL_PASSES = 4
"""Passes of a loop with which the shares of its steps are reckoned, at most."""


class Items(NamedTuple):
    """How often a step is executed."""

    times: int = 1
    counted: bool = False
    """True if it is executed for items."""
    assumed: bool = False
    """True if a list is not known before the run."""
    usual: int = 1
    """How often it usually is: few loops take all passes that they may."""

    def times_of(self, other: "Items") -> "Items":
        """For each item of the one, the items of the other."""
        counted, assumed = self.counted or other.counted, self.assumed or other.assumed
        return Items(self.times * other.times, counted, assumed, self.usual * other.usual)


def items_of(workflow: Workflow, inputs: Mapping[str, Json]) -> dict[str, Items]:
    """How often each step is executed, by its path in the graph."""
    known = {name: declared.default for name, declared in workflow.inputs.items() if not declared.required}
    known |= dict(inputs)
    found: dict[str, Items] = {}
    for placed in workflow.placed:
        outer = _around(placed, placed.outer, found) if placed.outer is not None else Items()
        found[placed.key] = outer.times_of(_own(placed.step, known)) if placed.step.is_map else outer
    return found


def _around(placed: Placed, outer: Placed, found: Mapping[str, Items]) -> Items:
    """How often what a step is part of is executed."""
    place = placed.path[len(outer.path)] if outer.inside is placed.inside else "flow"
    if place == ON_ERROR and outer.step.is_map:  # the whole list failed, not one of its items
        return found[outer.outer.key] if outer.outer is not None else Items()
    if place == "loop" and (loop := outer.step.loop) is not None:
        return found[outer.key].times_of(Items(loop.max, True, usual=min(loop.max, USUAL_PASSES)))
    return found[outer.key]


def _own(step: Step, inputs: Mapping[str, Json]) -> Items:
    """The items of one list: as it is written, or as an input gives it; else assumed."""
    given = step.for_each
    if isinstance(given, str):
        name = given.strip().removeprefix("{{").removesuffix("}}").strip()
        given = inputs.get(name.removeprefix("inputs.")) if name.startswith("inputs.") else None
    known = isinstance(given, list)
    count = len(given) if known else ASSUMED_ITEMS
    return Items(count, True, not known, count)


def is_idle(workflow: Workflow, key: str) -> bool:
    """True for a step that undoes another one, where no workflow around it says that anything is undone."""
    undoes, placed = False, workflow.by_key[key]
    flows = [workflow]
    while (outer := placed.outer) is not None:
        if placed.inside is not None:
            flows.append(placed.inside)
        undoes = undoes or (outer.inside is placed.inside and placed.path[len(outer.path)] == ROLLBACK)
        placed = outer
    return undoes and all(flow.on_failure == "keep" for flow in flows)


def cap_of(workflow: Workflow, key: str, most: int) -> int:
    """Tokens that a step can use at most: *most*, or what it, or a step around it, has as a budget."""
    placed: Placed | None = workflow.by_key[key]
    while placed is not None:
        limits = placed.limits
        if limits is not None and limits.tokens is not None:
            most = min(most, limits.tokens)
        placed = placed.outer
    return most


def of_workflow(
    workflow: Workflow, bounds: Mapping[str, Bound], total: int, micro: int | None, planning: Usage
) -> Bound:
    """The upper bound of a run. Of branches one is counted, since one of them is taken: what it would cost to take
    the dearest, for each number of tokens. A budget of a step holds for all that is within it.

    Args:
        workflow: The workflow.
        bounds: What the steps that handlers do can spend without budgets of their own, by path in the graph.
        total: Tokens that the run has.
        micro: Micro-US$ that it may spend; None for no limit.
        planning: What telling the intents of its steps took.
    """
    planned = Curve.of(planning.tokens, planning.micro_usd)
    return of_run((planned, *_curves("", workflow, bounds, undone=False)), total, micro)


def _curves(prefix: str, workflow: Workflow, bounds: Mapping[str, Bound], *, undone: bool) -> Iterator[Curve]:
    """What the steps of a workflow may spend; *undone* if that around it may be rolled back, and it with that."""
    undone = undone or workflow.on_failure == "rollback"
    for step in workflow.steps:
        yield _curve(prefix, step, bounds, undone=undone)
    for step in workflow.finally_:
        yield _curve(prefix, step, bounds, undone=False)


def _curve(prefix: str, step: Step, bounds: Mapping[str, Bound], *, undone: bool) -> Curve:
    """What a step may spend, and all that is within it."""
    key = f"{prefix}{step.id}"
    own = bounds.get(key)
    parts = [] if own is None else [Curve.of(own.tokens, own.micro_usd)]
    if step.budget is None and not has_bodies(step):
        return parts[0] if parts else Curve()
    branches: list[Curve] = []
    after: dict[str, Curve] = {}
    for name, body, place in step.bodies():
        if place[0] == ROLLBACK and not undone:
            continue
        curve = together(_curve(f"{key}/{name}", inner, bounds, undone=undone) for inner in body)
        if place[0] == "branches":
            branches.append(curve)
        elif name:
            after[name] = curve
        else:
            parts.append(curve)
    limits = step.budget
    if step.flow is not None:
        parts.append(together(_curves(f"{key}/", step.flow.workflow, bounds, undone=undone)))
        limits = tighter(limits, step.flow.workflow.budget)
    parts.append(either(branches))
    # What failed is not rolled back. Of a list, some items may be, where it failed as a whole.
    parts += after.values() if step.is_map else [either(list(after.values()))]
    whole = together(parts)
    return whole if limits is None else whole.cut(limits.tokens, limits.micro_usd)
