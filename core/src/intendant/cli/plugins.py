"""`intendant plugins`."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer  # noqa: TID253

from intendant.cli.shared import FAILED, JsonOption, SetOption, command, load_settings, print_json

if TYPE_CHECKING:
    from intendant.hooks.discovery import PluginRecord


@command()
def plugins(
    *,
    as_json: JsonOption = False,
    check: Annotated[bool, typer.Option("--check", help="Import each one and show what fails.")] = False,
    settings: SetOption = None,
) -> None:
    """List the installed plugins and their states. Without --check none is imported."""
    from intendant.hooks import discovery
    from intendant.hooks.discovery import PluginState

    chosen = load_settings(settings).plugins
    records = discovery.list_plugins(block=chosen.block, only=chosen.only)
    if check:
        from intendant.hooks.registry import Plugins

        twice = [record for record in records if record.state is PluginState.duplicate]
        block = [*chosen.block, *(record.key for record in twice)]
        tried = Plugins(block=block, only=chosen.only, settings=chosen.settings).records
        records = [record for record in tried if record.key not in {other.key for other in twice}] + twice
    for key in discovery.unknown_blocks(records, chosen.block):
        print(f"warning: {key} is to be blocked, and is not installed", file=sys.stderr)
    records = discovery.describe(records)
    if as_json:
        print_json([asdict(record) for record in records])
    else:
        _show(records)
    bad = (PluginState.failed, PluginState.incompatible, PluginState.duplicate)
    if any(record.state in bad for record in records):
        raise typer.Exit(FAILED)


def _show(records: list["PluginRecord"]) -> None:
    rows = [("kind", "name", "distribution", "version", "state", "reason")]
    rows += [
        (record.kind, record.name, record.distribution, record.version, record.state.value, record.reason)
        for record in records
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[5]]).rstrip())
    if len(rows) == 1:
        print("none; install some: pip install intendant-intent-filter")
