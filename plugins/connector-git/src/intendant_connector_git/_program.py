"""Runs the git program: no shell, no transport, no program that a repository names, within bounds."""

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from intendant.plugin import ConnectorError

FLAGS = (
    "--no-pager",
    "--no-optional-locks",
    *(
        part
        for setting in (
            "core.quotePath=false",
            "i18n.logOutputEncoding=UTF-8",
            # What follows would start programs that the repository's own settings name.
            "core.fsmonitor=false",
            f"core.hooksPath={os.devnull}",
            "core.pager=cat",
            "core.sshCommand=false",
            "core.gitProxy=false",
            "core.askPass=false",
            "core.alternateRefsCommand=false",
            "credential.helper=",
            "gpg.program=false",
            "gpg.ssh.program=false",
            "gpg.x509.program=false",
            "log.showSignature=false",
            "protocol.allow=never",
            "protocol.file.allow=never",
            "protocol.ext.allow=never",
            "protocol.git.allow=never",
            "protocol.ssh.allow=never",
            "protocol.http.allow=never",
            "protocol.https.allow=never",
            "submodule.recurse=false",
            "diff.relative=false",
        )
        for part in ("-c", setting)
    ),
)
PIECE = 1 << 16
MOST_MESSAGES = 1 << 16
"""Bytes of what git says to its user that are kept."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one command of git may take."""

    seconds: float
    output: int
    """Bytes."""


async def git(
    repo: Path, *arguments: str, bounds: Bounds, config: Sequence[str] = (), own_settings: bool = False
) -> tuple[int, str, str]:
    """Run git in *repo*; it and what it started are killed if this is cancelled, or a bound is reached.

    Args:
        repo: The folder to run it in.
        arguments: The command.
        bounds: What it may take.
        config: Further settings, as `name=value`.
        own_settings: Whether the user's and the system's settings of git are read.

    Returns:
        Its exit code, output and messages. Bytes that are not UTF-8 become replacement characters.

    Raises:
        ConnectorError: git is not installed, took too long or said too much, or *repo* is no folder.
    """
    if not await asyncio.to_thread(repo.is_dir):
        raise ConnectorError(f"{repo} is no folder", hint="`repo` is the folder of a local git repository")
    process = await asyncio.create_subprocess_exec(
        _program(),
        *FLAGS,
        *(part for setting in config for part in ("-c", setting)),
        *arguments,
        cwd=repo,
        env=_environment(own_settings=own_settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(bounds.seconds) as clock:
            output, messages = await _spoken(process, bounds.output)
            await process.wait()
    except TimeoutError:
        if not clock.expired():
            raise
        raise ConnectorError(
            f"git took longer than {bounds.seconds:g} s and was stopped",
            hint="ask for less with `max`, `since` or `paths`, or raise the setting seconds of connector:git",
        ) from None
    finally:
        await _end(process)
    return process.returncode or 0, output.decode(errors="replace"), messages.decode(errors="replace")


async def _spoken(process: asyncio.subprocess.Process, most: int) -> tuple[bytes, bytes]:
    """What git writes, read side by side, so that neither pipe fills up."""
    if process.stdout is None or process.stderr is None:
        raise ConnectorError("git was started without pipes")
    async with asyncio.TaskGroup() as group:
        output = group.create_task(_read(process.stdout, most))
        messages = group.create_task(_read(process.stderr, MOST_MESSAGES))
    found = output.result()
    if len(found) > most:
        raise ConnectorError(
            f"git wrote more than {most} bytes",
            hint="ask for less with `max`, `since` or `paths`, or raise the setting max_bytes of connector:git",
        )
    return found, messages.result()[:MOST_MESSAGES]


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    """What a stream brings, until it ends or has brought more than *most*."""
    found = bytearray()
    while len(found) <= most and (piece := await stream.read(PIECE)):
        found += piece
    return bytes(found)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill git and what it started."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        await process.wait()


def _program() -> str:
    """Where git is. Relative folders of the search path are left out: they would mean the repository's own.

    Raises:
        ConnectorError: It is not installed.
    """
    folders = [
        folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(folder).is_absolute()
    ]
    found = shutil.which("git", path=os.pathsep.join(folders))
    if found is None:
        raise ConnectorError("the program 'git' is not installed", hint="see https://git-scm.com/downloads")
    return found


def _environment(*, own_settings: bool) -> dict[str, str]:
    """The environment without what would point git elsewhere, as inside a git hook, or make it ask or page."""
    dropped = ("SSH_ASKPASS", "PAGER", "EDITOR", "VISUAL")
    kept = {
        name: value
        for name, value in os.environ.items()
        if (not name.startswith("GIT_") and name not in dropped) or name == "GIT_EXEC_PATH"
    }
    settings = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
    }
    return {
        **kept,
        **({} if own_settings else settings),
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
    }
