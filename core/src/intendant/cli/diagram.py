"""The graph of a workflow or a run: `intendant graph`, as Mermaid text or as an SVG picture."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer  # noqa: TID253

from intendant.cli.run import read_inputs
from intendant.cli.runs import read_run
from intendant.cli.shared import DbOption, Session, SetOption, command, money

if TYPE_CHECKING:
    from intendant.model.workflow import Placed
    from intendant.planning.decided import Plan, StepPlan

Format = Literal["mermaid", "svg"]
PLANNED = "planned"
"""The state of a step that no run has come to."""


@dataclass(slots=True)
class Node:
    """A step as it is drawn."""

    key: str
    """Its path in the graph, such as `label/draft`."""
    title: str
    facts: tuple[str, ...]
    """What it does, where, and what it takes, a line each."""
    state: str = PLANNED
    needs: tuple[str, ...] = ()
    """The keys of steps of the same level that come before it."""
    inner: list["Node"] = field(default_factory=list)
    """The steps within it."""


@command(name="graph")
def draw(
    what: Annotated[str, typer.Argument(help="A workflow file; or a run's id, the beginning of one, or `last`.")],
    *,
    how: Annotated[Format, typer.Option("--format", help="mermaid, or svg for a picture.")] = "mermaid",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write to a file.")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", "-i", help="key=value, as for `plan`. May be repeated.")
    ] = None,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Draw the steps of a workflow with what they may take at most, or of a run with what became of them."""
    from intendant.cli.diagram_svg import svg

    with Session(settings, db) as session:
        if Path(what).is_file():
            flow = session.service.load(what)
            values = read_inputs(flow, inputs) if inputs else None
            title, nodes = flow.name, nodes_of_plan(session.do(session.service.plan(flow, values)))
        else:
            engine = session.engine
            found = session.do(read_run(engine.store, what, engine.tenant))
            title, nodes = f"{found['workflow']}, {found['run_id']}: {found['status']}", nodes_of_run(found)
    text = svg(title, nodes) if how == "svg" else mermaid(nodes)
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")
        print(out)


# --- what is drawn ---


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


# --- Mermaid ---

STYLES = {
    "completed": "fill:#d7f0dc,stroke:#2a7d3f,color:#12351b",
    "failed": "fill:#f9d8d6,stroke:#b3261e,color:#410e0b",
    "skipped": "fill:#eeeeee,stroke:#888888,color:#555555,stroke-dasharray:4",
    "waiting": "fill:#fdf0cf,stroke:#9a6b00,color:#3b2a00",
    "running": "fill:#d9e7fb,stroke:#1f5fbf,color:#0d2b57",
}


def mermaid(nodes: list[Node]) -> str:
    """A flow chart; groups are subgraphs."""
    lines = ["flowchart TD"]
    names: dict[str, str] = {}
    _collect(nodes, names)
    _blocks(nodes, names, lines, "  ")
    _edges(nodes, names, lines)
    lines += [f"  classDef {state} {style}" for state, style in STYLES.items()]
    return "\n".join(lines) + "\n"


def _collect(nodes: list[Node], names: dict[str, str]) -> None:
    for node in nodes:
        names[node.key] = f"s{len(names)}"
        _collect(node.inner, names)


def _blocks(nodes: list[Node], names: Mapping[str, str], lines: list[str], indent: str) -> None:
    for node in nodes:
        name, label = names[node.key], "<br/>".join(_plain(text) for text in (node.title, *node.facts))
        if node.inner:
            lines.append(f'{indent}subgraph {name}["{label}"]')
            _blocks(node.inner, names, lines, indent + "  ")
            lines.append(f"{indent}end")
        else:
            lines.append(f'{indent}{name}["{label}"]')
        if node.state in STYLES:
            lines.append(f"{indent}class {name} {node.state}")


def _edges(nodes: list[Node], names: Mapping[str, str], lines: list[str]) -> None:
    for node in nodes:
        lines.extend(f"  {names[need]} --> {names[node.key]}" for need in node.needs)
        _edges(node.inner, names, lines)


def _plain(text: str) -> str:
    """A text as it may stand between quotation marks of Mermaid."""
    shown = re.sub(r"[^\S ]|[^\w\s.,:;$%·/()\[\]'@?!=+-]", _entity, text[:200])
    return re.sub(r"\s+", " ", shown)


def _entity(found: re.Match[str]) -> str:
    return " " if found[0].isspace() else f"#{ord(found[0])};"
