"""Reads the history of a local git repository."""

import asyncio
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from intendant.plugin import Connector, ConnectorCall, ConnectorError, Json, Options, operation
from intendant_connector_git._history import FORMAT, commits
from intendant_connector_git._program import git

__all__ = ["GitConnector", "Log"]

_WHEN = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?( ?(Z|[+-]\d{2}:?\d{2}))?)?"
    r"|\d{1,6} (second|minute|hour|day|week|month|year)s? ago|yesterday"
)


def _no_option(value: str) -> str:
    if value.startswith("-"):
        raise ValueError(f"'{value}' begins with '-', which git would take for an option")
    if "\0" in value:
        raise ValueError("a NUL character is not allowed")
    return value


def _date(value: str) -> str:
    # git takes any text for some date, "garbage" for now, so that nobody would notice a typing error.
    if not _WHEN.fullmatch(value):
        raise ValueError(f"'{value}' is no date: write 2026-03-31, 2026-03-31T08:00:00+01:00 or '2 weeks ago'")
    return value


Safe = Annotated[str, AfterValidator(_no_option)]
Date = Annotated[str, AfterValidator(_no_option), AfterValidator(_date)]


class Log(Options):
    """Which commits to read."""

    repo: Path = Path()
    """The repository's folder, or one inside it."""
    branch: Safe = "HEAD"
    """A branch, tag, commit, or a range such as `v1.0..v1.1`."""
    since: Date | None = None
    until: Date | None = None
    paths: list[Safe] = Field(default_factory=list)
    """Only commits that touch one of these, counted from the folder `repo`."""
    max: int = Field(1000, ge=1, le=100_000)
    """Commits at most, the newest."""
    merges: bool = True
    """Whether merge commits are among them; they list no files."""


class GitConnector(Connector):
    """Reads the history of a local git repository by running the git program."""

    name = "git"

    @operation(side_effects=False)
    async def log(self, parameters: Log, call: ConnectorCall) -> Json:  # noqa: ARG002  # it takes no input
        """Commits, newest first, with the files that each one changed.

        Returns:
            For each commit `hash`, `author`, `email`, `date` (ISO 8601 with offset), `subject`, `body`, `files`,
            `added` and `removed` (lines); for each file `path`, `folder` (the first part of its path, `.` at the
            top), `added`, `removed`, and where it applies `renamed_from` and `binary`.

        Raises:
            ConnectorError: git is missing, there is no repository, or the revision is not known.
        """
        repo = parameters.repo.expanduser()
        if await self._is_empty(repo, parameters.branch):
            return []
        arguments = [
            "log",
            "-z",
            "--numstat",
            "--find-renames",
            "--no-show-signature",
            "--no-ext-diff",
            "--no-textconv",
        ]
        arguments += ["--no-color", f"--format={FORMAT}", f"--max-count={parameters.max}"]
        arguments += [f"--since={parameters.since}"] if parameters.since else []
        arguments += [f"--until={parameters.until}"] if parameters.until else []
        arguments += [] if parameters.merges else ["--no-merges"]
        code, text, messages = await git(
            repo, *arguments, "--end-of-options", parameters.branch, "--", *parameters.paths
        )
        if code:
            raise _explained(repo, parameters.branch, messages)
        return await asyncio.to_thread(lambda: list(commits(text)))

    async def _is_empty(self, repo: Path, branch: str) -> bool:
        """True for a repository that has no commit yet, which has a history, though an empty one."""
        code, _, messages = await git(repo, "rev-parse", "--git-dir")
        if code:
            raise _explained(repo, branch, messages)
        code, _, _ = await git(repo, "rev-parse", "--verify", "--quiet", "HEAD")
        return bool(code) and branch == "HEAD"


def _explained(repo: Path, branch: str, messages: str) -> ConnectorError:
    first = next((line for line in messages.splitlines() if line.startswith("fatal:")), messages.strip())
    reason = first.removeprefix("fatal: ")
    if "not a git repository" in reason:
        return ConnectorError(f"{repo} is not in a git repository", hint="`repo` is the folder of a clone")
    if "dubious ownership" in reason:
        hint = f"if you trust it: git config --global --add safe.directory '{repo.absolute()}'"
        return ConnectorError(f"{repo} belongs to another user, and git refuses to read it", hint=hint)
    if "bad revision" in reason or "unknown revision" in reason or "bad object" in reason:
        return ConnectorError(
            f"there is no branch, tag or commit '{branch}'", hint="`git branch --all` lists branches"
        )
    return ConnectorError(f"git: {reason}")
