"""Plans: what was decided about a workflow and its steps."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

from pydantic import Field

from intendant.model.requests import CompressionPolicy
from intendant.model.results import Classification, Route
from intendant.model.workflow import Frozen, Placed, Workflow
from intendant.planning.graph_bounds import Items
from intendant.planning.prior import Prior


class StepPlan(Frozen):
    """What was decided about one step."""

    step_id: str
    name: str
    intent: str
    classification: Classification
    needs: tuple[str, ...]
    """Steps that come first."""
    needs_model: bool
    tokens: int
    """The step's share of the run's tokens, those for memory included."""
    memory_tokens: int = 0
    """Of these, what the step may be told of what is known before the run."""
    compression: CompressionPolicy
    difficulty: float
    factors: Mapping[str, float]
    route: Route | None
    """None for steps that ask no model, or where no provider can be used."""
    estimated_micro_usd: int | None
    """Cost if the step uses all its tokens, a quarter of them for the answer; None if the price is not known."""
    max_tokens: int = 0
    """Tokens that the step can spend at most, what it may draw on included."""
    max_micro_usd: int | None = None
    """Micro-US$ that it can spend at most; None if a price is not known."""
    rewriting: Route | None = None
    """The model that may rewrite the step's input where selecting from it loses too much."""
    max_output_tokens: int | None = None
    """The longest answer, as the step says; wins over what its handler asks for."""
    temperature: float | None = None
    """As the step says."""
    items: int | None = None
    """How often the step is executed, as a step for each item of a list or within one; None for once."""
    items_assumed: bool = False
    """True if the list is not known before the run."""
    turns: int = 1
    """Of a step with tools: how many model calls it may make to come to its answer."""
    escalation: Route | None = None
    """The model of a stronger tier, asked where answers of `route` do not fit; None if there is none."""
    side_effects: bool
    """True if the step may change something outside the run."""
    warnings: tuple[str, ...] = ()


class ShadowDecision(Frozen):
    """What would have been decided about a step of a run in shadow mode."""

    step_id: str
    what: Literal["sharing", "routing"]
    wanted: str
    """What would have been: tokens, or `tier: provider/model`."""
    instead: str
    """What is done."""
    saved_micro_usd: int | None = None
    """What it would have saved of the step's estimated cost; below zero where it would have been dearer; None
    where a price is not known."""


class Plan(Frozen):
    """What was decided about a workflow."""

    workflow: Workflow
    steps: tuple[StepPlan, ...]
    budget_tokens: int
    budget_micro_usd: int | None
    strategy: str
    folder: str = ""
    """The folder of the workflow's file, where relative paths are looked for first."""
    unallocated: int
    """Tokens that no step has a right to."""
    planning_tokens: int = 0
    """Tokens that telling intents took; part of what the run may spend."""
    planning_micro_usd: int = 0
    max_tokens: int = 0
    """Tokens that the run can spend at most."""
    max_micro_usd: int | None = None
    """Micro-US$ that it can spend at most; None if a price is not known and no limit is set."""
    dry: bool = False
    """Its steps change nothing outside."""
    forked_from: str = ""
    """The run that it goes on from, and the step that it begins with, as `r_…/draft`."""
    origin: str = ""
    """The first of the runs that it was forked from: its items have the digests of that one."""
    flags: Mapping[str, bool] = Field(default_factory=dict)
    """Which flags are on for this run; it keeps them when it is resumed."""
    candidates: tuple[Route, ...] = ()
    """The models among which steps that name none are routed when they run: those of the tiers, cheapest first,
    and those of the policy. Empty where routing is off.
    """
    shadowed: tuple[ShadowDecision, ...] = ()
    """What would have been decided otherwise, in shadow mode."""
    prior: Prior | None = None
    """What was known of the agent, and tipped the scales; None where nothing was, or where that is switched
    off.
    """

    @property
    def estimated_micro_usd(self) -> int | None:
        """Sum of the steps' estimates; None if a price is not known."""
        costs = [step.estimated_micro_usd for step in self.steps]
        return None if None in costs else sum(cost or 0 for cost in costs)

    @cached_property
    def by_id(self) -> Mapping[str, StepPlan]:
        """The steps' plans by step id."""
        return {step.step_id: step for step in self.steps}


def control(placed: Placed, needs: Sequence[str], items: Items) -> StepPlan:
    """The plan of a step that no handler does: a group, a wait, or a question to people."""
    step = placed.step
    kinds = {"flow": step.flow, "loop": step.loop, "group": step.steps, "wait": step.wait}
    kind = next((name for name, given in kinds.items() if given is not None), "approve")
    return StepPlan(
        step_id=placed.key,
        name=step.title,
        intent=kind,
        classification=Classification(intent=None, confidence=1.0),
        needs=tuple(needs),
        needs_model=False,
        tokens=0,
        compression=CompressionPolicy(),
        difficulty=0.0,
        factors={},
        route=None,
        estimated_micro_usd=0,
        items=items.times if items.counted else None,
        items_assumed=items.assumed,
        side_effects=False,
    )


def warned(plan: StepPlan, workflow: Workflow) -> StepPlan:
    """The plan of a step, with a warning where it needs several steps that have conditions: it may never run; and
    where it says how it is undone, and nothing is.
    """
    placed = workflow.by_key[plan.step_id]
    step = placed.step
    if step.rollback is not None and "rollback" not in {
        flow.on_failure for flow in (workflow, placed.inside or workflow)
    }:
        text = "its `rollback` never runs: the workflow has to say `on_failure: rollback`"
        plan = plan.model_copy(update={"warnings": (*plan.warnings, text)})
    under = [need for need in plan.needs if workflow.by_key[need].step.when is not None]
    if step.join != "all" or len(under) <= 1:
        return plan
    names = " and ".join(f"'{workflow.by_key[need].step.id}'" for need in under)
    text = (
        f"it runs only where all of {names} do, which have conditions; to run after any of them, write `join: any`"
    )
    return plan.model_copy(update={"warnings": (*plan.warnings, text)})


def in_order(
    workflow: Workflow,
    work: Mapping[str, StepPlan],
    needs: Mapping[str, Sequence[str]],
    items: Mapping[str, Items],
) -> tuple[StepPlan, ...]:
    """The plans of all steps, those that no handler does included."""
    steps = (
        work.get(placed.key) or control(placed, needs[placed.key], items[placed.key]) for placed in workflow.placed
    )
    return tuple(warned(step, workflow) for step in steps)
