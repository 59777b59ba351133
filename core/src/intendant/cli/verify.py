"""`intendant verify`: whether what is kept of runs is what was written."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.runs import with_store
from intendant.cli.shared import BROKEN, DbOption, JsonOption, SetOption, command, load_settings, print_json
from intendant.model.errors import SettingsError

if TYPE_CHECKING:
    from intendant.record.store import Store
    from intendant.record.store.verification import Broken, Verified

SHOWN = 50
"""Faults that are printed; `--json` has all of them."""


@command()
def verify(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="The run's id, the beginning of it, or `last`; by default everything."
        ),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Verify everything (the default).")] = False,
    key_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A file of the keys with which the record is signed, one per line."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="HEAD", help="A head that was stored elsewhere, or a file that contains it."),
    ] = None,
    head: Annotated[bool, typer.Option("--head", help="Only print the head, to store it elsewhere.")] = False,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Verify that the record is unchanged. Every row of every table of the record is checked.

    Exit codes: 0 intact, 2 the arguments are wrong, 5 broken.
    """
    if run is not None and everything:
        raise SettingsError("a run is named, and --all is given", hint="leave one of them out")
    kept = _kept(against)
    chosen = load_settings(settings)
    tenant = chosen.budget.tenant
    found, run_id = with_store(db, chosen, lambda store: _verified(store, run, tenant, kept), key_file)
    if as_json:
        print_json(_document(found, run_id))
    elif head:
        _show_faults(found)
        print(found.head)
    else:
        _show(found)
    if found.broken:
        raise typer.Exit(BROKEN)


def _kept(against: str | None) -> str:
    """The head that is meant: as text, or in a file."""
    if against is None:
        return ""
    from intendant.record.store.chain import read_head

    try:
        path = Path(against)
        text = path.read_text(encoding="utf-8").strip() if ":" not in against and path.is_file() else against
        read_head(text)
    except (OSError, ValueError):
        raise SettingsError(
            f"'{against[:80]}' is no head, nor a file that holds one", hint="intendant verify --head prints one"
        ) from None
    return text


async def _verified(store: "Store", run: str | None, tenant: str, kept: str) -> "tuple[Verified, str | None]":
    from intendant.record.store import integrity, runs

    row = None if run is None else await store.do(runs.find_run(run, tenant))
    run_id = None if row is None else row.id
    found = await store.do(integrity.verify(run_id, store.keys, kept, tenant))
    return found, run_id


def _show(found: "Verified") -> None:
    counts = f"{found.runs} runs, {found.events} events, {found.rows} rows"
    print(f"{'BROKEN' if found.broken else 'whole'}: {counts}")
    for note in found.notes:
        print(f"note: {note}")
    _show_faults(found)


def _show_faults(found: "Verified") -> None:
    for fault in found.broken[:SHOWN]:
        print(f"broken: {line_of(fault)}", file=sys.stderr)
    if len(found.broken) > SHOWN:
        print(f"and {len(found.broken) - SHOWN} faults more: --json lists them", file=sys.stderr)


def line_of(fault: "Broken") -> str:
    """A fault as a line of text, without control characters that a changed row may hold."""
    whose = f" (run {fault.run_id})" if fault.run_id and fault.run_id not in fault.key else ""
    text = f"{fault.table} {fault.key}{whose}: {fault.reason}"
    return "".join(char if char.isprintable() else "�" for char in text)


def _document(found: "Verified", run_id: str | None) -> dict[str, Any]:
    return {
        "whole": not found.broken,
        "run_id": run_id,
        "runs": found.runs,
        "events": found.events,
        "rows": found.rows,
        "broken": [
            {key: value.encode("utf-8", "replace").decode() for key, value in fault._asdict().items()}
            for fault in found.broken
        ],
        "notes": found.notes,
        "head": found.head,
    }
