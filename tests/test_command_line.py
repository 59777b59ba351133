"""The command imports what the command line names, and knows all its commands."""

import subprocess
import sys

import pytest
import typer

from intendant.cli.app import MODULES, app_for


def names(app: typer.Typer) -> list[str]:
    """The commands and groups of an application."""
    group = typer.main.get_command(app)
    return list(group.commands)


def loaded(*arguments: str) -> set[str]:
    """The modules with commands that the command imports for *arguments*, in a process of its own."""
    code = f"import sys; from intendant.cli.app import app_for; app_for({list(arguments)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name for name in MODULES if f"intendant.cli.{name}" in done.stdout.split()}


def test_the_table_names_every_command_of_every_module() -> None:
    assert sorted(names(app_for())) == sorted(name for commands in MODULES.values() for name in commands)


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["plugins"], {"plugins"}),
        (["-v", "plugins", "--json"], {"plugins"}),
        (["--config", "run", "plugins"], {"plugins"}),
        (["trust", "plan"], {"trust", "plan", "run"}),  # `plan` reads inputs as `run` does
        (["--version"], set()),
    ],
)
def test_only_what_is_named_is_imported(arguments, needed) -> None:
    assert loaded(*arguments) == needed


@pytest.mark.parametrize("arguments", [[], ["--help"], ["rnu", "plan"], ["-v"]])
def test_where_no_command_is_named_all_are_there(arguments) -> None:
    assert loaded(*arguments) == set(MODULES)


def test_a_mistyped_command_is_told_what_is_close() -> None:
    done = subprocess.run([sys.executable, "-m", "intendant", "verfy"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "verify" in done.stderr
