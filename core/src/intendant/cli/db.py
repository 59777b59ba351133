"""`intendant db`: the database in which runs are stored."""

from time import time
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.runs import open_store, with_store
from intendant.cli.shared import (
    DbOption,
    JsonOption,
    Session,
    SetOption,
    app,
    command,
    load_settings,
    print_json,
)
from intendant.pilot.process_names import user_name

if TYPE_CHECKING:
    from intendant.pilot.engine import Engine
    from intendant.record.retention import Due
    from intendant.record.store import Store
    from intendant.record.store.pruning import Stored

db_app = typer.Typer(help="The database in which runs are stored.", no_args_is_help=True)
app.add_typer(db_app, name="db")
KIBIBYTE = 1024


@command(name="upgrade", group=db_app)
def upgrade(db: DbOption = None, settings: SetOption = None) -> None:
    """Migrate a database of an older version to this version. Make a backup first."""
    store = open_store(db, settings)
    store.upgrade()
    store.close()
    print("the database is up to date")


@command(name="erase", group=db_app)
def erase_payloads(
    run: Annotated[str, typer.Argument(help="The run's id, the beginning of it, or `last`.")],
    *,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Erase a run's inputs, outputs, model answers and originals. The journal and the costs are kept."""
    from intendant.record.store import erasure, runs

    chosen = load_settings(settings)

    async def work(store: "Store") -> tuple[str, int]:
        row = await store.do(runs.find_run(run, chosen.budget.tenant))
        return row.id, await store.do(erasure.erase(row.id, user_name()))

    run_id, count = with_store(db, chosen, work)
    if as_json:
        print_json({"run_id": run_id, "rows": count})
    else:
        print(f"erased: the payloads of {count} rows of run {run_id}")


@command(name="storage", group=db_app)
def show_storage(*, as_json: JsonOption = False, db: DbOption = None, settings: SetOption = None) -> None:
    """Show the size of each table, and the average size of a model call."""
    from intendant.record.store import pruning

    rows = with_store(db, settings, lambda store: store.do(pruning.storage()))
    total = sum(row.bytes for row in rows)
    calls = next(row.rows for row in rows if row.table == "hold")
    per_call = round(total / calls) if calls else None
    if as_json:
        print_json({"bytes": total, "bytes_per_call": per_call, "tables": [row._asdict() for row in rows]})
        return
    for row in rows:
        if row.rows:
            print(f"{row.table:<16} {row.rows:>10,} rows {_size(row.bytes):>12}")
    shown = "" if per_call is None else f", {_size(per_call)} for each of {calls:,} model calls"
    print(f"{'in all':<16} {'':>10}      {_size(total):>12}{shown}")


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):  # noqa: B007  # the last one that fits
        if size < KIBIBYTE:
            break
        size /= KIBIBYTE
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


@command(name="prune", group=db_app)
def prune_runs(
    *,
    dry: Annotated[bool, typer.Option("--dry", help="Only show what would be removed.")] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="Return the freed space to the system (SQLite).")
    ] = False,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Prune runs whose retention period is over, and erase payloads, according to the settings `retention`.

    Standing budgets still count what the runs spent; `verify` reports how many were pruned. Runs that may continue
    stay.
    """
    with Session(settings, db) as session:
        found = session.do(_prune(session.engine, dry=dry, compact=compact))
    if as_json:
        print_json(found)
        return
    word = "would go" if dry else "gone"
    for kind, count in found["pruned"].items():
        print(f"{kind:<10} {count:>8,} runs {word}")
    print(f"{'payloads':<10} {found['erased']:>8,} runs {'would be' if dry else 'are'} without them")
    if found["stayed"]:
        print(f"{found['stayed']:,} runs stayed: a call of them is open, or they are inside a run that stays")
    print(f"{_size(found['bytes_before'])} before, {_size(found['bytes_after'])} after")


async def _prune(engine: "Engine", *, dry: bool, compact: bool) -> dict[str, Any]:
    from intendant.record.retention import DAY, due, shortest
    from intendant.record.store import pruning

    retention = (await engine.steering.refresh(now=True)).retention
    store, now = engine.store, time()
    before: list[Stored] = await store.do(pruning.storage())
    least = shortest(retention)
    old = [] if least is None else await store.do(pruning.candidates(engine.tenant, now - least * DAY))
    wanted = due(old, retention, now)
    said: dict[str, int] = {kind: len(ids) for kind, ids in wanted.prune.items()}
    gone, erased = (sum(said.values()), len(wanted.erase)) if dry else await _carry_out(store, wanted)
    if compact and not dry:
        await store.flush()
        pruning.compact(store.url)
    after: list[Stored] = await store.do(pruning.storage())
    return {
        "dry": dry,
        "pruned": said,
        "stayed": sum(said.values()) - gone,
        "erased": erased,
        "bytes_before": sum(row.bytes for row in before),
        "bytes_after": sum(row.bytes for row in after),
    }


async def _carry_out(store: "Store", wanted: "Due") -> tuple[int, int]:
    """Prune and erase; returns how many runs are gone, and of how many the payloads."""
    from intendant.record.store import erasure, pruning

    by, gone = user_name(), 0
    ids = [run_id for of_class in wanted.prune.values() for run_id in of_class]
    for start in range(0, len(ids), pruning.AT_ONCE):
        gone += len(await store.do(pruning.prune(ids[start : start + pruning.AT_ONCE], by)))
    for run_id in wanted.erase:
        await store.do(erasure.erase(run_id, by))
    return gone, len(wanted.erase)
