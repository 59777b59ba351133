"""`intendant runs` and `intendant show`."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer  # noqa: TID253

from intendant.cli.shared import (
    BROKEN,
    DbOption,
    JsonOption,
    SetOption,
    command,
    load_settings,
    money,
    print_json,
)
from intendant.cli.view import RunView, summary
from intendant.model.errors import IntendantError
from intendant.model.results import Metrics, RunResult, RunStatus, StepOutcome, StepStatus
from intendant.pilot.run_record import UNREADABLE, broken_record, read_original, read_run

if TYPE_CHECKING:
    from intendant.config.settings import Settings
    from intendant.record.store import Store

ResultT = TypeVar("ResultT")


def with_store(
    db: str | None,
    settings: "Settings | list[str] | None",
    work: "Callable[[Store], Coroutine[Any, Any, ResultT]]",
    key_file: str | None = None,
) -> ResultT:
    """Do *work* with the store that runs are kept in; a *key_file* takes the place of the setting."""
    store = open_store(db, settings, key_file)
    try:
        return asyncio.run(work(store))
    finally:
        store.close()


def open_store(db: str | None, settings: "Settings | list[str] | None", key_file: str | None = None) -> "Store":
    """The store that the option, the settings or the environment name."""
    import os

    from intendant.record.store import Store

    chosen = (load_settings(settings) if settings is None or isinstance(settings, list) else settings).store
    url = db or chosen.db or os.environ.get("INTENDANT_DB")
    return Store(url, chosen.durability, key_file or chosen.key_file)


@command(name="runs")
def list_runs(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Maximum number to show.", min=1)] = 20,
    status: Annotated[RunStatus | None, typer.Option("--status", help="Only those with this status.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only those of this agent.")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="Only those of this workflow.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DAY", help="Only those started on this day (UTC) or later.")
    ] = None,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """List the newest runs, with their tokens and costs."""
    from intendant.record.store import runs

    chosen = load_settings(settings)
    wanted = runs.Wanted(
        tenant=chosen.budget.tenant,
        status=None if status is None else status.value,
        agent=agent,
        workflow=workflow,
        since=None if since is None else _day(since),
    )
    rows = with_store(db, chosen, lambda store: store.do(runs.list_runs(limit, wanted)))
    if as_json:
        keys = ("id", "workflow", "agent", "status", "created_at", "finished_at", "tokens", "micro_usd")
        print_json([{key: getattr(row, key) for key in keys} | {"seconds": row.seconds} for row in rows])
        return
    for row in rows:
        started = datetime.fromtimestamp(row.created_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        took = "-" if row.seconds is None else f"{row.seconds:.1f} s"
        print(f"{row.id}  {started}  {row.status:<10} {took:>9} {money(row.micro_usd):>9}  {row.workflow}")
    if not rows:
        none = "no such runs" if wanted != runs.Wanted(chosen.budget.tenant) else "no runs yet"
        print(f"{none}; `intendant run FILE` makes one")


def _day(text: str) -> float:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise IntendantError(f"--since: '{text}' is no day", hint="write 2026-11-21") from None


@command()
def show(
    run_id: Annotated[str, typer.Argument(help="The run's id, the beginning of it, or `last`.")] = "last",
    step: Annotated[
        str | None, typer.Argument(help="A step, such as label or label[17]/draft: shows its input and output.")
    ] = None,
    *,
    full: Annotated[bool, typer.Option("--full", help="For a step: print long values in full.")] = False,
    as_json: JsonOption = False,
    show_events: Annotated[bool, typer.Option("--events", help="Show every event of the journal.")] = False,
    original: Annotated[
        str | None, typer.Option("--original", help="Print the original of a compressed text, by its handle.")
    ] = None,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Show a run's steps and figures. Figures are recomputed from the journal, and the record is verified.

    Exit codes: 0, or 5 if the record is broken.
    """
    chosen = load_settings(settings)
    tenant = chosen.budget.tenant
    if original is not None:
        sys.stdout.write(with_store(db, chosen, lambda store: read_original(store, run_id, original, tenant)))
        return
    found = with_store(db, chosen, lambda store: read_run(store, run_id, tenant))
    plan = found.pop("plan")
    if step is not None:
        _show_step(found, plan, step, full=full, as_json=as_json)
    elif as_json:
        print_json(found)
    else:
        try:
            _show(found, show_events=show_events)
        except UNREADABLE as error:
            raise broken_record(found["run_id"], found["journal"]["broken"], error) from None
    if found["journal"]["broken"]:
        raise typer.Exit(BROKEN)


def _show_step(found: dict[str, Any], plan: str, step: str, *, full: bool, as_json: bool) -> None:
    from intendant.cli.step_view import lines, step_of

    told = step_of(found, plan, step)
    if as_json:
        print_json(told)
    else:
        print("\n".join(lines(told, full=full)))


def _show(found: dict[str, Any], *, show_events: bool) -> None:
    view = RunView()
    from intendant.events import read_event

    for event in found["events"]:
        view(read_event(json.dumps(event)))
        if show_events:
            rest = {key: value for key, value in event.items() if key not in ("type", "run_id", "at", "step_id")}
            print(f"{event['at']:.3f}  {event['type']:<22} {event['step_id'] or '':<20} {json.dumps(rest)}")
    for key, told in found["steps"].items():
        if told["reason"] and told["status"] == StepStatus.completed:
            view.rows[key].status, view.rows[key].note = StepStatus.completed, told["reason"]
    for row in view.rows.values():
        step, intent, tier, tokens, saved, cost, time, note = row.cells()
        print(f"{step:<24} {intent:<12} {tier:<9} {tokens:>7} {saved:>7} {cost:>9} {time:>9}  {note}".rstrip())
    print("\n".join(summary(_result(found))))
    broken, count = found["journal"]["broken"], found["journal"]["events"]
    print(f"journal: {count} events, " + ("BROKEN" if broken else "the chain is whole"))
    for fault in broken:
        print(f"broken: {fault['table']} {fault['key']}: {fault['reason']}")
    ledger = found["ledger"]
    print(f"ledger: {ledger['tokens']} tokens, {money(ledger['micro_usd'])}, {ledger['open_holds']} holds open")


def _result(found: dict[str, Any]) -> RunResult:
    metrics = {name: found["metrics"][name] for name in Metrics.model_fields}
    undone = [event for event in found["events"] if event["type"] == "step_rolled_back"]
    return RunResult(
        run_id=found["run_id"],
        workflow=found["workflow"],
        status=RunStatus(found["status"]),
        steps={key: StepOutcome.model_validate(value) for key, value in found["steps"].items()},
        metrics=Metrics.model_validate(metrics),
        rolled_back={event["step_id"]: event.get("failure") for event in undone},
    )
