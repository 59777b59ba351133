"""Surroundings that fail: folders of other users, output that nobody takes, disks without room."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from typer.testing import CliRunner

from intendant.cli.app import app_for

FLOW = "name: x\nsteps: [{id: a, intent: transform, input: [{a: 1}], options: {op: to_json}}]\n"
WRITES = "name: x\nsteps: [{id: a, uses: file.write, with: {path: locked/x.txt}, input: hello}]\n"
NOBODY = 65534

pytestmark = pytest.mark.skipif(os.name != "posix", reason="asks for users and devices of POSIX")


@contextmanager
def nobody():
    """Root may look into every folder: for a while, another user."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def surroundings(monkeypatch):
    """A folder in which everybody may write, with one, `locked`, in which nobody may do anything."""
    with TemporaryDirectory() as name:  # those of pytest are the user's alone
        yield from _surroundings(Path(name).resolve(), monkeypatch)


def _surroundings(folder: Path, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    (folder / "flow.yaml").write_text(FLOW)
    (folder / "writes.yaml").write_text(WRITES)
    locked = folder / "locked"
    locked.mkdir()
    for arguments in (("run", "flow.yaml", "--db", "none"), ("run", "writes.yaml", "--db", "none", "--dry")):
        assert CliRunner().invoke(app_for(arguments[:1]), arguments).exit_code == 0  # imports what is needed later
    folder.chmod(0o777)
    locked.chmod(0)
    yield folder
    locked.chmod(0o700)


def told(*arguments: str) -> tuple[int, str]:
    """The exit code of a command, and what it says."""
    with nobody():
        done = CliRunner().invoke(app_for(arguments[:1]), arguments)
    assert "unexpected" not in done.output, done.output
    return done.exit_code, done.stderr or done.stdout


def test_settings_in_a_folder_of_another_user_are_not_passed_over(surroundings, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(surroundings / "locked" / "config"))
    code, said = told("run", "flow.yaml", "--db", "none")
    assert code == 2
    assert said.splitlines()[0].endswith("locked/config/intendant, where the settings would be")
    assert "XDG_CONFIG_HOME" in said
    monkeypatch.setenv("INTENDANT_CONFIG", str(surroundings / "locked" / "x.toml"))
    code, said = told("run", "flow.yaml", "--db", "none")
    assert (code, said.splitlines()[0].rpartition(": ")[2]) == (2, "Permission denied")


@pytest.mark.parametrize("command", ["run flow.yaml", "runs"])
def test_a_database_in_a_folder_of_another_user_is_named(surroundings, monkeypatch, command) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(surroundings / "locked"))
    code, said = told(*command.split())
    assert code == 2
    assert f"{surroundings}/locked/intendant/intendant.db" in said.splitlines()[0]
    assert "hint: use another database" in said


def test_a_file_that_may_not_be_written_is_named_as_the_workflow_names_it(surroundings) -> None:
    (surroundings / "locked").chmod(0o555)
    code, said = told("run", "writes.yaml", "--db", "none")
    assert code == 1
    assert said.splitlines()[-1].endswith("locked/x.txt cannot be written: Permission denied")


# --- output ---


def intendant(folder, *arguments: str, shell: str = "") -> subprocess.CompletedProcess[str]:
    """A command as a shell starts it, with what *shell* does to its streams."""
    script = f'exec "$@" {shell}'
    return subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, "-m", "intendant", *arguments, "--db", "sqlite:///x.db"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")  # noqa: PTH110
@pytest.mark.parametrize("arguments", ["run flow.yaml", "run flow.yaml --json", "audit export"])
def test_output_that_cannot_be_written_is_one_line_and_the_run_goes_on(tmp_path, command, arguments) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    if not arguments.startswith("run "):
        command("run", "flow.yaml")
    done = intendant(tmp_path, *arguments.split(), shell="> /dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: the output cannot be written: No space left on device"]
    assert "  completed  " in command("runs").out


@pytest.mark.parametrize("shell", [">&-", "<&- >&- 2>&-"])
def test_closed_streams_are_written_to_in_vain(tmp_path, command, shell) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    done = intendant(tmp_path, "run", "flow.yaml", shell=shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  completed  " in command("runs").out
