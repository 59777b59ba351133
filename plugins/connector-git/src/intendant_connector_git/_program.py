"""Runs the git program: no shell, no pager, no settings of the environment, and never longer than it is wanted."""

import asyncio
import os
from pathlib import Path

from intendant.plugin import ConnectorError

FLAGS = (
    "--no-pager",
    "--no-optional-locks",
    "-c",
    "core.quotePath=false",
    "-c",
    "i18n.logOutputEncoding=UTF-8",
)


async def git(repo: Path, *arguments: str) -> tuple[int, str, str]:
    """Run git in *repo*; it is killed if this is cancelled.

    Returns:
        Its exit code, output and messages. Bytes that are not UTF-8 become replacement characters.

    Raises:
        ConnectorError: git is not installed, or *repo* is no folder.
    """
    if not await asyncio.to_thread(repo.is_dir):
        raise ConnectorError(f"{repo} is no folder", hint="`repo` is the folder of a local git repository")
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            *FLAGS,
            *arguments,
            cwd=repo,
            env=_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise ConnectorError(
            "the program 'git' is not installed", hint="see https://git-scm.com/downloads"
        ) from None
    try:
        output, messages = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace"), messages.decode(errors="replace")


def _environment() -> dict[str, str]:
    """The environment without what would point git elsewhere, as inside a git hook, or make it ask or page."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name == "GIT_EXEC_PATH"
    }
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat"}
