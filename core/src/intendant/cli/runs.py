"""`intendant runs`, `intendant show` and `intendant db`."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer  # noqa: TID253

from intendant.cli.shared import (
    DbOption,
    JsonOption,
    SetOption,
    app,
    command,
    load_settings,
    money,
    print_json,
)
from intendant.cli.view import RunView, summary
from intendant.model.errors import IntendantError
from intendant.model.results import Metrics, RunResult, RunStatus, StepOutcome

if TYPE_CHECKING:
    from intendant.record.store import Store

ResultT = TypeVar("ResultT")


def with_store(
    db: str | None, settings: list[str] | None, work: "Callable[[Store], Coroutine[Any, Any, ResultT]]"
) -> ResultT:
    """Do *work* with the store that runs are kept in."""
    store = _open(db, settings)
    try:
        return asyncio.run(work(store))
    finally:
        store.close()


def _open(db: str | None, settings: list[str] | None) -> "Store":
    """The store that the option, the settings or the environment name."""
    import os

    from intendant.record.store import Store

    chosen = load_settings(settings).store
    return Store(db or chosen.db or os.environ.get("INTENDANT_DB"), chosen.durability)


@command(name="runs")
def list_runs(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many.", min=1)] = 20,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """List the newest runs."""
    from intendant.record.store import runs

    rows = with_store(db, settings, lambda store: store.do(runs.list_runs(limit)))
    if as_json:
        keys = ("id", "workflow", "agent", "status", "created_at", "finished_at")
        print_json([{key: getattr(row, key) for key in keys} for row in rows])
        return
    for row in rows:
        started = datetime.fromtimestamp(row.created_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        print(f"{row.id}  {started}  {row.status:<10} {row.workflow}")
    if not rows:
        print("no runs yet; `intendant run FILE` makes one")


@command()
def show(
    run_id: Annotated[str, typer.Argument(help="The run's id, the beginning of it, or `last`.")] = "last",
    *,
    as_json: JsonOption = False,
    show_events: Annotated[bool, typer.Option("--events", help="Show every event of the journal.")] = False,
    original: Annotated[
        str | None, typer.Option("--original", help="Print the text that was compressed, by its handle.")
    ] = None,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Show a run: its steps, its figures derived again from the journal, and whether the journal is whole."""
    if original is not None:
        sys.stdout.write(with_store(db, settings, lambda store: read_original(store, run_id, original)))
        return
    found = with_store(db, settings, lambda store: read_run(store, run_id))
    if as_json:
        print_json(found)
        return
    view = RunView()
    from intendant.events import read_event

    for event in found["events"]:
        view(read_event(json.dumps(event)))
        if show_events:
            rest = {key: value for key, value in event.items() if key not in ("type", "run_id", "at", "step_id")}
            print(f"{event['at']:.3f}  {event['type']:<22} {event['step_id'] or '':<20} {json.dumps(rest)}")
    for row in view.rows.values():
        step, intent, tier, tokens, saved, cost, time, note = row.cells()
        print(f"{step:<24} {intent:<12} {tier:<9} {tokens:>7} {saved:>7} {cost:>9} {time:>9}  {note}".rstrip())
    print("\n".join(summary(_result(found))))
    broken = found["journal"]["first_broken"]
    count = found["journal"]["events"]
    print(f"journal: {count} events, " + ("the chain is whole" if broken is None else f"BROKEN at event {broken}"))
    ledger = found["ledger"]
    print(f"ledger: {ledger['tokens']} tokens, {money(ledger['micro_usd'])}, {ledger['open_holds']} holds open")


async def read_run(store: "Store", run_id: str) -> dict[str, Any]:
    """Everything that is kept of a run, as JSON.

    Raises:
        RunNotFound: There is no such run.
    """
    from intendant.record.journal import parse_events
    from intendant.record.metrics import MetricsFold
    from intendant.record.store import bookings, runs
    from intendant.record.store.chain import verify

    row = await store.do(runs.find_run(run_id))
    stored = await store.do(runs.events_of(row.id))
    fold = MetricsFold()
    for event in parse_events(stored):
        fold.add(event)
    steps: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for step in await store.do(runs.steps_of(row.id)):
        output = None if step.output is None else json.loads(step.output)
        within = any(mark in step.key for mark in "[/~")
        (inner if within else steps)[step.key] = {**json.loads(step.outcome), "output": output}
    totals = await store.do(bookings.totals_of_run(row.id))
    return {
        "run_id": row.id,
        "workflow": row.workflow,
        "agent": row.agent,
        "status": row.status,
        "inputs": json.loads(row.inputs),
        "steps": steps,
        "inner": inner,
        "metrics": fold.result().summary(),
        "ledger": totals._asdict(),
        "journal": {"events": len(stored), "first_broken": verify(stored, last_hash=row.last_hash)},
        "events": [json.loads(item.data) for item in stored],
    }


async def read_original(store: "Store", run_id: str, handle: str) -> str:
    """The text that a run compressed.

    Raises:
        RunNotFound: There is no such run.
        IntendantError: It kept no such text.
    """
    from intendant.record.store import originals, runs

    row = await store.do(runs.find_run(run_id))
    text = await store.do(originals.find(row.id, handle))
    if text is None:
        raise IntendantError(
            f"the run {row.id} kept no original '{handle}'",
            hint="the events `token_compressed` name them: intendant show RUN --events",
        )
    return text


def _result(found: dict[str, Any]) -> RunResult:
    metrics = {name: found["metrics"][name] for name in Metrics.model_fields}
    return RunResult(
        run_id=found["run_id"],
        workflow=found["workflow"],
        status=RunStatus(found["status"]),
        steps={key: StepOutcome.model_validate(value) for key, value in found["steps"].items()},
        metrics=Metrics.model_validate(metrics),
    )


db_app = typer.Typer(help="The database that runs are kept in.", no_args_is_help=True)
app.add_typer(db_app, name="db")


@db_app.command()
def upgrade(db: DbOption = None, settings: SetOption = None) -> None:
    """Migrate a database of an older version to this one. Make a copy first."""
    from intendant.cli.shared import give_up
    from intendant.model.errors import IntendantError

    try:
        store = _open(db, settings)
        store.upgrade()
        store.close()
    except IntendantError as error:
        give_up(error, as_json=False)
    print("the database is up to date")
