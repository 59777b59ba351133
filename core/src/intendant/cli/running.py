"""`intendant run`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.shared import (
    FAILED,
    REFUSED,
    WAITING,
    DbOption,
    JsonOption,
    SetOption,
    command,
    nested_settings,
    print_json,
)
from intendant.cli.view import RunView, listener_for, live, summary
from intendant.model.errors import Problem, WorkflowError
from intendant.model.results import RunResult, RunStatus
from intendant.model.workflow import Json, Workflow

if TYPE_CHECKING:
    from intendant.pilot.service import OrchestrationService

CODES = {
    RunStatus.completed: 0,
    RunStatus.failed: FAILED,
    RunStatus.refused: REFUSED,
    RunStatus.waiting: WAITING,
    RunStatus.cancelled: FAILED,
}


@command()
def run(
    file: Annotated[Path, typer.Argument(help="The workflow file.")],
    *,
    inputs: Annotated[list[str] | None, typer.Option("--input", "-i", help="key=value. May be repeated.")] = None,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Run a workflow and show it while it runs.

    Exit codes: 0 done, 1 a step failed, 2 the file or the arguments are wrong, 3 refused for budget, 4 waiting
    for an approval.
    """
    from intendant.pilot.service import OrchestrationService

    with OrchestrationService(nested_settings(settings), db=db) as service:
        flow = service.load(file)
        values = read_inputs(flow, inputs or [])
        result = _run(service, flow, values, as_json=as_json)
    if as_json:
        print_json(as_document(result))
    else:
        print("\n".join(summary(result)))
    raise typer.Exit(CODES[result.status])


def _run(service: "OrchestrationService", flow: Workflow, values: dict[str, Json], *, as_json: bool) -> RunResult:
    view = RunView()
    if as_json:
        return service.run_sync(flow, values)
    if not sys.stdout.isatty():
        return service.run_sync(flow, values, on_event=listener_for(view))
    from rich.live import Live

    with Live(get_renderable=live(view), refresh_per_second=10):
        return service.run_sync(flow, values, on_event=view)


def read_inputs(flow: Workflow, assignments: list[str]) -> dict[str, Json]:
    """`-i key=value` options as values of the types that the workflow declares.

    Raises:
        WorkflowError: One is not `key=value`, or its value has not the declared type.
    """
    values: dict[str, Json] = {}
    problems: list[Problem] = []
    for text in assignments:
        name, equals, value = text.partition("=")
        declared = flow.inputs.get(name)
        if not equals:
            problems.append(Problem(f"'{text}' is not an input", hint="write -i key=value"))
        elif declared is None:
            values[name] = value  # checked, with a hint, together with everything else
        else:
            try:
                values[name] = declared.read(value)
            except ValueError as error:
                problems.append(Problem(f"the input '{name}': {error}"))
    if problems:
        raise WorkflowError(problems)
    return values


def as_document(result: RunResult) -> dict[str, Any]:
    """A run as one JSON document."""
    return {**result.model_dump(mode="json"), "metrics": result.metrics.summary(), "outputs": result.outputs}
