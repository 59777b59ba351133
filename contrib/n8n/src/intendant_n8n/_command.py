"""The command `intendant import n8n`."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer  # noqa: TID253  # this module is a part of the command line

from intendant import IntendantError, SyncOrchestrationService, Workflow, WorkflowError
from intendant_n8n._convert import Imported, convert_checked


def import_n8n(
    file: Annotated[Path, typer.Argument(help="An exported workflow of n8n.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write; else standard output.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what became of each node as JSON.")] = False,
) -> None:
    """Make a workflow file of an exported workflow of n8n, and say what became of each node.

    A node that cannot be translated becomes a step that asks a person; it is listed with the reason. Check the
    file with `intendant plan`.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise IntendantError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        message = f"{file} is not JSON: {error}"
        raise IntendantError(message, hint="export the workflow again") from None
    with SyncOrchestrationService(db="none") as service:
        made = convert_checked(document, file.stem, partial(problems_of, service))
    if out is not None:
        out.write_text(made.text(), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(_document(made), ensure_ascii=False, indent=2))
        return
    if out is None:
        typer.echo(made.text(), nl=False)
    typer.echo("\n".join(_report(made, out)), err=out is None)


def problems_of(service: SyncOrchestrationService, text: str) -> dict[str, str]:
    """What is wrong with a workflow's steps, by their ids."""
    try:
        service.plan(Workflow.parse(text))
    except WorkflowError as error:
        return {problem.step: problem.message for problem in error.problems if problem.step}
    return {}


def _document(made: Imported) -> dict[str, object]:
    nodes = [
        {
            "node": one.node.name,
            "type": one.node.full,
            "became": one.how,
            "note": one.note,
            "without": one.without,
        }
        for one in made.outcomes
    ]
    return {"workflow": made.workflow, "nodes": nodes, "schedules": list(made.schedules)}


def _report(made: Imported, out: Path | None) -> list[str]:
    counted = [one for one in made.outcomes if one.note != "a note"]
    figures = f"{made.count('mapped')} mapped, {made.count('http')} through http"
    lines = [f"{len(counted)} nodes: {figures}, {made.count('placeholder')} to be replaced by hand"]
    lines += [
        f"  {one.how}: '{one.node.name}' ({one.node.full}): {one.note}"
        for one in counted
        if one.how in ("placeholder", "left out")
    ]
    lines += [f"  {one.how} {one.without}: '{one.node.name}' ({one.node.full})" for one in counted if one.without]
    lines += [f'  started at times: cron = "{cron}" in a file of triggers' for cron in made.schedules]
    if out is not None:
        lines.append(f"written: {out}; next: intendant plan {out}")
    return lines
