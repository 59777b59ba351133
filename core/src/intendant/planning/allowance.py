"""Whether a workflow keeps to what its agent may do."""

from collections.abc import Iterator, Sequence
from typing import Any

from intendant.config.agent_files import Allowance
from intendant.model.errors import Problem
from intendant.model.graph_keys import Limits
from intendant.model.source import Path
from intendant.model.workflow import Placed, Workflow


def outside(workflow: Workflow, allowance: Allowance) -> list[Problem]:
    """Everything in *workflow* that its agent may not do, each with its place and the reason."""
    return [*_operations(workflow, allowance), *_budget(workflow, allowance.limits)]


def budgeted(workflow: Workflow, allowance: Allowance, usual: Limits) -> Workflow:
    """The workflow with the budget that its run gets: its own, else its agent's, else the *usual* one; the last
    within what the agent may have at most.
    """
    own, agent, most = workflow.budget, allowance.budget, allowance.limits
    tokens = _first(own.tokens, agent.tokens, usual.tokens)
    usd = _first(own.usd, agent.usd, usual.usd)
    if most.tokens is not None:
        tokens = most.tokens if tokens is None else min(tokens, most.tokens)
    if most.usd is not None:
        usd = most.usd if usd is None else min(usd, most.usd)
    return workflow.model_copy(update={"budget": Limits(tokens=tokens, usd=usd)})


def _first(*amounts: Any) -> Any:
    return next((amount for amount in amounts if amount is not None), None)


def _operations(workflow: Workflow, allowance: Allowance) -> Iterator[Problem]:
    for placed in workflow.placed:
        for operation, path in _used(placed):
            if not allowance.allows(operation):
                yield workflow.document.problem(
                    f"the agent '{workflow.agent}' may not use {operation}",
                    path,
                    hint=f"it may use {_listed(allowance, operation)}; {_where(allowance)}",
                    step=placed.step.id,
                )


def _used(placed: Placed) -> Iterator[tuple[str, Path]]:
    """The operations of a step and of its tools, and where they stand."""
    if placed.step.uses:
        yield placed.step.uses, (*placed.path, "uses")
    for number, tool in enumerate(placed.step.tools):
        yield tool.uses, (*placed.path, "tools", number)


def _listed(allowance: Allowance, operation: str) -> str:
    """What the definition that refuses says."""
    tools: Sequence[str] = next(each.tools or () for _, each in allowance.said if not each.allows(operation))
    return ", ".join(tools) or "no connector"


def _budget(workflow: Workflow, most: Limits) -> Iterator[Problem]:
    pairs = (("tokens", workflow.budget.tokens, most.tokens), ("usd", workflow.budget.usd, most.usd))
    for unit, asked, limit in pairs:
        if asked is not None and limit is not None and asked > limit:
            most_said = f"the agent '{workflow.agent}' may get at most {limit:,} {unit} a run"
            yield workflow.document.problem(
                f"{most_said}, and this asks for {asked:,}",
                ("budget", unit),
                hint=f"ask for less, or raise `limits.{unit}` of the agent",
            )


def _where(allowance: Allowance) -> str:
    places = [allowance.file if origin == "file" else "the database" for origin, _ in allowance.said]
    return f"see {' and '.join(places)}"
