"""`intendant plugins`."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer  # noqa: TID253

from intendant.cli.shared import FAILED, JsonOption, SetOption, command, load_settings, print_json
from intendant.model.errors import SettingsError

if TYPE_CHECKING:
    from intendant.config.settings import PluginSettings
    from intendant.hooks.discovery import PluginRecord


@command()
def plugins(
    name: Annotated[
        str | None,
        typer.Argument(help="A plugin, such as http or intent:filter: shows its options and an example."),
    ] = None,
    *,
    as_json: JsonOption = False,
    check: Annotated[bool, typer.Option("--check", help="Import each plugin and show which ones fail.")] = False,
    settings: SetOption = None,
) -> None:
    """List installed plugins, or show the options of one. Listing imports none of them."""
    from intendant.hooks import discovery
    from intendant.hooks.discovery import PluginState

    chosen = load_settings(settings).plugins
    if name is not None:
        _one(name, chosen, as_json=as_json)
        return
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


def _one(name: str, chosen: "PluginSettings", *, as_json: bool) -> None:
    """Show the plugins of that name: their options, types, defaults and an example."""
    import shutil
    from difflib import get_close_matches

    from intendant.hooks import discovery
    from intendant.hooks.reference import as_lines, readme_of, reference_of

    records = discovery.describe(discovery.list_plugins(block=chosen.block, only=chosen.only))
    wanted = [record for record in records if name in (record.key, record.name, record.distribution)]
    if not wanted:
        close = get_close_matches(
            name, [*(record.name for record in records), *(record.key for record in records)]
        )
        hint = f"did you mean '{close[0]}'?" if close else "`intendant plugins` lists what is installed"
        raise SettingsError(f"no plugin '{name}' is installed", hint=hint)
    found, states = discovery.load(wanted)
    references = [reference_of(plugin(), readme_of(record.distribution)) for record, plugin in found]
    if as_json:
        print_json([asdict(reference) for reference in references])
    else:
        width = shutil.get_terminal_size().columns
        print("\n\n".join("\n".join(as_lines(reference, width)) for reference in references))
    broken = [record for record in states if record.key not in {record.key for record, _ in found}]
    for record in broken:
        print(f"{record.key} cannot be used: {record.reason or record.state.value}", file=sys.stderr)
    if broken:
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
