"""The command `intendant`, with the commands that are asked for.

Each module of commands adds its own to `shared.app` when it is imported. Most of what a short command takes is
importing, so only what the command line names is imported.
"""

from collections.abc import Sequence
from importlib import import_module

import typer  # noqa: TID253  # this module is the command line

from intendant.cli.shared import app

__all__ = ["MODULES", "app_for"]

MODULES: dict[str, tuple[str, ...]] = {
    "agents": ("agents",),
    "alerts": ("alerts",),
    "approve": ("approvals", "approve", "deny", "pause", "cancel"),
    "audit": ("audit",),
    "budget": ("budget",),
    "classify": ("classify",),
    "compress": ("compress",),
    "config": ("config",),
    "cost": ("cost",),
    "db": ("db",),
    "diagram": ("graph",),
    "doubts": ("doubts",),
    "flags": ("flags",),
    "memory": ("memory",),
    "new": ("new",),
    "plan": ("plan", "schema"),
    "plugins": ("plugins",),
    "prices": ("prices",),
    "rate": ("rate",),
    "report": ("report",),
    "route": ("route",),
    "run": ("run", "resume", "fork"),
    "runs": ("runs", "show"),
    "signal": ("signal",),
    "trust": ("trust",),
    "verify": ("verify",),
    "worker": ("worker",),
}
"""The modules of this package that hold commands, and which, in the order of `--help`."""


def app_for(arguments: list[str] | None = None) -> typer.Typer:
    """The application with the commands that *arguments* may mean; with all of them where that is not clear.

    Args:
        arguments: What was typed after `intendant`; None for all commands.
    """
    modules = list(MODULES) if arguments is None else _modules(arguments)
    for module in modules:
        import_module(f"intendant.cli.{module}")
    if arguments is not None and len(modules) == len(MODULES):  # none of ours is named: it may be an extension's
        from intendant.cli.extension_commands import add_extension_commands

        add_extension_commands(app, {command for commands in MODULES.values() for command in commands})
    return app


def _modules(arguments: list[str]) -> Sequence[str]:
    words = arguments[2:] if arguments[:1] == ["--config"] else arguments
    first = next((word for word in words if not word.startswith("-")), None)
    named = [module for module, commands in MODULES.items() if set(commands) & set(words)]
    known = {command for commands in MODULES.values() for command in commands}
    # The first word may be the value of an option; if it is no command at all, the help lists them all.
    if first in known:
        return named
    return [] if arguments == ["--version"] else list(MODULES)
