"""Commands that installed extensions add to `intendant`."""

from collections.abc import Callable, Iterator, Mapping

import typer  # noqa: TID253

from intendant.cli.shared import command, load_settings
from intendant.config.logs import get_logger
from intendant.hooks import discovery
from intendant.hooks.bases import Extension

log = get_logger("intendant.extensions")


def add_extension_commands(app: typer.Typer, own: set[str]) -> None:
    """Add the commands of all installed extensions. One that cannot be loaded is logged, and adds none.

    Args:
        app: Where they are added.
        own: The names of commands that extensions cannot take.
    """
    groups: dict[str, typer.Typer] = {}
    for extension, name, function in _commands():
        first, _, rest = name.partition(" ")
        if first in own:
            log.error("command_refused", command=name, extension=extension, reason="Intendant has it already")
            continue
        if rest and first not in groups:
            groups[first] = typer.Typer(no_args_is_help=True, help="Commands that extensions add.")
            app.add_typer(groups[first], name=first)
        command(name=rest or first, group=groups.get(first))(function)


def _commands() -> Iterator[tuple[str, str, Callable[..., object]]]:
    chosen = load_settings(None).plugins
    records = discovery.list_plugins(block=chosen.block, only=chosen.only, kinds=("extension",))
    classes, _ = discovery.load(records)
    for record, cls in classes:
        try:
            made = cls(chosen.settings.get(record.key))
            added: Mapping[str, Callable[..., object]] = made.commands() if isinstance(made, Extension) else {}
        except Exception:
            # An extension's own code; the other commands go on.
            log.exception("extension_failed", extension=record.key)
            continue
        yield from ((record.key, name, function) for name, function in added.items())
