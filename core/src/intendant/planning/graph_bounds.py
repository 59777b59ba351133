"""How often the steps of a graph are executed, and what the whole graph can spend at most."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from intendant.model.placing import tighter
from intendant.model.workflow import ON_ERROR, Json, Placed, Step, Workflow
from intendant.planning.bounds import Bound, of_run, within

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


class HasBound(Protocol):
    """A plan of a step."""

    @property
    def max_tokens(self) -> int:
        """Tokens that it can spend at most."""

    @property
    def max_micro_usd(self) -> int | None:
        """Micro-US$ that it can spend at most."""


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


def cap_of(workflow: Workflow, key: str, most: int) -> int:
    """Tokens that a step can use at most: *most*, or what it, or a step around it, has as a budget."""
    placed: Placed | None = workflow.by_key[key]
    while placed is not None:
        limits = placed.limits
        if limits is not None and limits.tokens is not None:
            most = min(most, limits.tokens)
        placed = placed.outer
    return most


def of_workflow(workflow: Workflow, plans: Mapping[str, HasBound], total: int, micro: int | None) -> Bound:
    """The upper bound of a run: of branches only the dearest is counted, since one of them is taken.

    Args:
        workflow: The workflow.
        plans: The plans of the steps that handlers do, by their paths in the graph.
        total: Tokens that the run has.
        micro: Micro-US$ that it may spend; None for no limit.
    """
    steps = (*_bounds("", workflow.steps, plans, total), *_bounds("", workflow.finally_, plans, total))
    return of_run(steps, total, micro)


def _bounds(prefix: str, steps: Sequence[Step], plans: Mapping[str, HasBound], total: int) -> Iterator[Bound]:
    """What may be spent together."""
    for step in steps:
        key = f"{prefix}{step.id}"
        if (plan := plans.get(key)) is not None:
            yield Bound(plan.max_tokens, plan.max_micro_usd)
        branches: list[Bound] = []
        for name, body, place in step.bodies():
            inner = tuple(_bounds(f"{key}/{name}", body, plans, total))
            if place[0] == "branches":
                branches.append(of_run(inner, total, None))
            elif step.budget is not None and step.is_group and not name:
                yield within(of_run(inner, total, None), step.budget)
            else:
                yield from inner
        if (flow := step.flow) is not None:
            inner = (
                *_bounds(f"{key}/", flow.workflow.steps, plans, total),
                *_bounds(f"{key}/", flow.workflow.finally_, plans, total),
            )
            limits = tighter(step.budget, flow.workflow.budget)
            yield within(of_run(inner, total, None), limits)
        if branches:
            yield max(branches, key=_dearness)


def _dearness(bound: Bound) -> tuple[bool, int, int]:
    return bound.micro_usd is None, bound.micro_usd or 0, bound.tokens
