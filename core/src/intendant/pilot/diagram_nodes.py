"""The steps of a plan or a run as they are drawn."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from intendant.model.money import money
from intendant.record.diagram_svg import PLANNED, Node

if TYPE_CHECKING:
    from intendant.model.workflow import Placed
    from intendant.planning.decided import Plan, StepPlan


def nodes_of_plan(plan: "Plan") -> list[Node]:
    """The steps of a plan, with what they may take at most."""
    return _tree(plan, {}, {})


def nodes_of_run(found: Mapping[str, Any]) -> list[Node]:
    """The steps of a run as `read_run` gives it, with what became of them and what they took."""
    from intendant.planning.decided import Plan

    ended = {**_together(found["inner"]), **found["steps"]}
    waiting = [event for event in found["events"] if event["type"] in ("step_waiting", "approval_requested")]
    states = {event["step_id"]: "waiting" for event in waiting}
    return _tree(Plan.model_validate_json(found["plan"]), ended, states)


def _together(inner: Mapping[str, Any]) -> dict[str, Any]:
    """Steps within others by their paths in the graph; those of several items as one."""
    from intendant.spending.step_budgets import budget_key

    found: dict[str, list[Any]] = {}
    for key, outcome in inner.items():
        if not key.endswith("]"):  # an item as a whole
            found.setdefault(budget_key(key), []).append(outcome)
    return {key: outcomes[0] if len(outcomes) == 1 else _sum(outcomes) for key, outcomes in found.items()}


def _sum(outcomes: list[Any]) -> dict[str, Any]:
    states = [outcome["status"] for outcome in outcomes]
    worst = next(state for state in ("failed", "waiting", "completed", *states) if state in states)
    usage = {
        name: sum((outcome.get("usage") or {}).get(name, 0) for outcome in outcomes)
        for name in ("calls", "input_tokens", "output_tokens", "micro_usd")
    }
    return {
        "status": worst,
        "usage": usage,
        "counts": {state: states.count(state) for state in sorted(set(states))},
    }


def _tree(plan: "Plan", ended: Mapping[str, Any], states: Mapping[str, str]) -> list[Node]:
    nodes: dict[str, Node] = {}
    roots: list[Node] = []
    for placed in plan.workflow.placed:
        outcome = ended.get(placed.key)
        facts = tuple(_facts(placed, plan.by_id.get(placed.key), outcome))
        state = outcome["status"] if outcome else states.get(placed.key, PLANNED)
        known = plan.by_id.get(placed.key)
        level = {placed.key[: -len(placed.step.id)] + step.id for step in placed.siblings}
        needs = tuple(need for need in (known.needs if known else ()) if need in level)
        node = nodes[placed.key] = Node(placed.key, placed.step.title, facts, state, needs)
        (roots if placed.outer is None else nodes[placed.outer.key].inner).append(node)
    return roots


def _facts(placed: "Placed", plan: "StepPlan | None", outcome: Mapping[str, Any] | None) -> Iterator[str]:
    step = placed.step
    what = step.uses or (plan.intent if plan is not None else "")
    if plan is not None and step.uses and step.is_work:
        what = f"{plan.intent} · {step.uses}"
    if what:
        yield what
    if placed.last:
        yield "whatever happened"
    if step.is_map and outcome is not None and outcome.get("items"):
        yield f"{outcome['items']['total']} items"
    elif plan is not None and plan.items is not None:
        yield f"for {'about ' if plan.items_assumed else ''}{plan.items} items"
    if outcome is not None:
        yield from (f"{count} {state}" for state, count in outcome.get("counts", {}).items())
        usage = outcome.get("usage") or {}
        tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
        if usage.get("calls"):
            yield f"{tokens} tokens, {money(usage['micro_usd'])}"
    elif plan is not None and plan.max_tokens:
        yield f"at most {plan.max_tokens} tokens, {money(plan.max_micro_usd)}"
