"""The graph of a workflow or a run: `intendant graph`, as Mermaid text or as an SVG picture."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer  # noqa: TID253

from intendant.cli.run import read_inputs
from intendant.cli.shared import DbOption, Session, SetOption, command
from intendant.pilot.diagram_nodes import nodes_of_plan, nodes_of_run
from intendant.pilot.run_record import read_run
from intendant.record.diagram_svg import Node

Format = Literal["mermaid", "svg"]


@command(name="graph")
def draw(
    what: Annotated[str, typer.Argument(help="A workflow file; or a run's id, the beginning of it, or `last`.")],
    *,
    how: Annotated[Format, typer.Option("--format", help="mermaid, or svg for a picture.")] = "mermaid",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write to a file.")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", "-i", help="key=value, as for `plan`. May be repeated.")
    ] = None,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Draw a workflow or a run. Steps show the most that they may spend, or their outcomes."""
    from intendant.record.diagram_svg import svg

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
