"""`intendant run`, `intendant resume` and `intendant fork`."""

import json
import sys
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer  # noqa: TID253

from intendant.cli.shared import (
    FAILED,
    INTERRUPTED,
    REFUSED,
    WAITING,
    DbOption,
    FullOption,
    JsonOption,
    Session,
    SetOption,
    VerboseOption,
    command,
    print_json,
)
from intendant.cli.terminal import Printable, make_console
from intendant.cli.view import RunView, listener_for, live, summary
from intendant.events import Event
from intendant.model.errors import Problem, StoreError, WorkflowError, amount
from intendant.model.results import RunResult, RunStatus
from intendant.model.workflow import MAX_AMOUNT, MAX_USD, Json, Limits, Workflow

if TYPE_CHECKING:
    from intendant.pilot.engine import Engine

WaitOption = Annotated[
    bool, typer.Option("--wait", help="Keep running until what the run waits for has been decided or is due.")
]
CODES = {
    RunStatus.completed: 0,
    RunStatus.failed: FAILED,
    RunStatus.refused: REFUSED,
    RunStatus.overrun: REFUSED,
    RunStatus.waiting: WAITING,
    RunStatus.cancelled: INTERRUPTED,
}

LARGE = 100_000
"""Characters of an output up to which `--json` prints it."""


@command()
def run(
    file: Annotated[Path, typer.Argument(help="The workflow file; `-` reads it from standard input.")],
    *,
    inputs: Annotated[list[str] | None, typer.Option("--input", "-i", help="key=value. May be repeated.")] = None,
    dry: Annotated[
        bool, typer.Option("--dry", help="Change nothing outside: deliveries are only described.")
    ] = False,
    wait: WaitOption = False,
    as_json: JsonOption = False,
    full: FullOption = False,
    db: DbOption = None,
    settings: SetOption = None,
    verbose: VerboseOption = False,  # noqa: ARG001  # its callback does the work
) -> None:
    """Run a workflow and show its progress.

    Exit codes: 0 completed, 1 a step failed, 2 the file or the arguments are wrong, 3 refused for budget, or
    overrun, 4 waiting for a person, a signal or a time.
    """
    with Session(settings, db) as session:
        flow = session.service.load(file)
        values = read_inputs(flow, inputs or [])
        work = partial(session.service.run, flow, values, dry=dry, wait=wait)
        kept = session.engine.store_url != "none"  # without a record a reference would lead nowhere
        result = _shown(session, work, as_json=as_json)
    _end(result, as_json=as_json, full=full, kept=kept)


@command()
def resume(
    run: Annotated[str, typer.Argument(help="The run's id, the beginning of it, or `last`.")],
    *,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Take the run over even if another process may still be executing it."),
    ] = False,
    corrected: Annotated[
        Path | None,
        typer.Option(
            "--with",
            metavar="FILE",
            help="A corrected file with which to continue; finished steps stay as they are.",
        ),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="A new limit for the whole run, in tokens.", min=0, max=MAX_AMOUNT)
    ] = None,
    usd: Annotated[float | None, typer.Option(help="The same in US$.", min=0, max=MAX_USD)] = None,
    wait: WaitOption = False,
    as_json: JsonOption = False,
    full: FullOption = False,
    db: DbOption = None,
    settings: SetOption = None,
    verbose: VerboseOption = False,  # noqa: ARG001  # its callback does the work
) -> None:
    """Continue a run that was interrupted or did not succeed.

    Completed steps are not repeated, and what was paid for is not paid for again. Exit codes are those of `run`.
    """
    limits = Limits(tokens=tokens, usd=usd)
    with Session(settings, db) as session:
        flow = None if corrected is None else session.service.load(corrected)
        work = partial(session.service.resume, run, take_over=take_over, limits=limits, workflow=flow, wait=wait)
        earlier = session.do(_earlier(session.engine, run))
        result = _shown(session, work, earlier, as_json=as_json)
    _end(result, as_json=as_json, full=full)


@command()
def fork(
    run: Annotated[str, typer.Argument(help="The run's id, the beginning of it, or `last`.")],
    *,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="STEP",
            help="The step to start from: label, label[17] (an item, a pass of a loop) or label[17]/draft.",
        ),
    ],
    inputs: Annotated[
        list[str] | None, typer.Option("--input", "-i", help="key=value: an input that changes. May be repeated.")
    ] = None,
    changed: Annotated[
        Path | None, typer.Option("--with", metavar="FILE", help="A changed workflow file.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="The limit of the new run, in tokens.", min=0, max=MAX_AMOUNT)
    ] = None,
    usd: Annotated[float | None, typer.Option(help="The same in US$.", min=0, max=MAX_USD)] = None,
    dry: Annotated[
        bool, typer.Option("--dry", help="Change nothing outside: deliveries are only described.")
    ] = False,
    wait: WaitOption = False,
    as_json: JsonOption = False,
    full: FullOption = False,
    db: DbOption = None,
    settings: SetOption = None,
    verbose: VerboseOption = False,  # noqa: ARG001  # its callback does the work
) -> None:
    """Run again from a step on, as a new run. Results that do not depend on the step are reused at no cost.

    Deliveries that depend on the step are made again; --dry shows them first. Exit codes are those of `run`.
    """
    with Session(settings, db) as session:
        flow = None if changed is None else session.service.load(changed)
        values: dict[str, Json] = {}
        if inputs:
            values = read_inputs(flow or session.do(_workflow_of(session.engine, run)), inputs)
        limits = Limits(tokens=tokens, usd=usd)
        work = partial(
            session.service.fork, run, start, inputs=values, workflow=flow, limits=limits, dry=dry, wait=wait
        )
        result = _shown(session, work, as_json=as_json)
    _end(result, as_json=as_json, full=full)


async def _workflow_of(engine: "Engine", run: str) -> Workflow:
    from intendant.pilot.resuming import find_kept

    return (await find_kept(engine, run)).plan.workflow


def _end(result: RunResult, *, as_json: bool, full: bool, kept: bool = True) -> NoReturn:
    if as_json:
        print_json(as_document(result, full=full or not kept))
    else:
        from intendant.cli.step_view import block

        given = result.returned if isinstance(result.returned, dict) else {}
        told = (line for name, value in given.items() for line in block(f"returned {name}", value, full=full))
        print("\n".join([*summary(result), *told]))
    raise typer.Exit(CODES[result.status])


async def _earlier(engine: "Engine", run: str) -> list[Event]:
    """What happened in a run until now."""
    from intendant.pilot.resuming import check_record
    from intendant.record.journal import read_events
    from intendant.record.store import runs

    row = await engine.store.do(runs.find_run(run, engine.tenant))
    await check_record(engine.store, row.id)
    return await read_events(engine.store, row.id)


def _shown(
    session: Session,
    work: Callable[..., Coroutine[Any, Any, RunResult]],
    earlier: Iterable[Event] = (),
    *,
    as_json: bool,
) -> RunResult:
    """Do the work and show it meanwhile, below what happened *earlier*."""
    view = RunView()
    for event in earlier:
        view(event)
    try:
        result = _watched(session, work, view, as_json=as_json)
    except KeyboardInterrupt:
        print("\n".join(_cancelled(view)), file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    except StoreError as error:
        raise _broken_off(view, error) from None
    if view.file_changed:
        print(
            f"note: {view.file_changed} has changed since this run was planned; the run goes by the plan it had\n"
            f"    hint: to go on with the changed file: intendant resume {view.run_id} --with {view.file_changed}",
            file=sys.stderr,
        )
    return result


def _broken_off(view: RunView, error: StoreError) -> StoreError:
    """The error of a run whose database failed, with what to do then; that of a run that is another's as it is."""
    if not view.run_id or type(error) is not StoreError:
        return error
    hint = error.hint or "what was committed is kept"
    return StoreError(
        f"run {view.run_id} was broken off: {error.message}",
        hint=f"{hint}; when the database can be written again: intendant resume {view.run_id}",
    )


def _cancelled(view: RunView) -> list[str]:
    """What is said of a run that a signal cancelled."""
    if not view.run_id:
        return ["cancelled before the run began"]
    tokens = sum(row.tokens for row in view.rows.values())
    micro = sum(row.micro_usd for row in view.rows.values())
    return [
        f"cancelled: run {view.run_id}; {tokens} tokens, {amount('micro_usd', micro)} were charged",
        f"    to go on with it: intendant resume {view.run_id}",
    ]


def _watched(
    session: Session, work: Callable[..., Coroutine[Any, Any, RunResult]], view: RunView, *, as_json: bool
) -> RunResult:
    if as_json:
        return session.do(work(on_event=view))
    if not sys.stdout.isatty():
        return session.do(work(on_event=listener_for(view)))
    from rich.live import Live

    draw = live(view)
    with Live(get_renderable=lambda: Printable(draw()), refresh_per_second=10, console=make_console()):
        return session.do(work(on_event=view))


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
                example = _TYPED.get(declared.type, "")
                hint = f"write it as JSON: -i '{name}={example}'" if example else ""
                problems.append(Problem(f"the input '{name}': {error}", hint=hint))
    if problems:
        raise WorkflowError(problems)
    return values


_TYPED = {"array": '["a", "b"]', "object": '{"a": 1}', "number": "12.5", "integer": "12", "boolean": "true"}
"""A value of each type that is not written as text."""


def as_document(result: RunResult, *, full: bool = True) -> dict[str, Any]:
    """A run as one JSON document; outputs of more than `LARGE` characters as references, unless *full*."""
    document = {**result.model_dump(mode="json"), "metrics": result.metrics.summary(), "outputs": result.outputs}
    handled = {key: failure.model_dump(mode="json") for key, failure in result.handled.items()}
    document = {**document, "handled": handled, "waits": result.waits}
    if full:
        return document
    for key, step in document["steps"].items():
        text = json.dumps(step["output"], ensure_ascii=False)
        if len(text) > LARGE:
            shown = {"$output": f"intendant show {result.run_id} {key} --full", "characters": len(text)}
            step["output"] = shown
            document["outputs"] = {**document["outputs"], **({key: shown} if key in document["outputs"] else {})}
    return document
