"""Reads the history of a local git repository."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from intendant.plugin import Connector, ConnectorCall, ConnectorError, Json, Options, operation
from intendant_connector_git._history import FORMAT, commits
from intendant_connector_git._place import Roots
from intendant_connector_git._program import Bounds, git

__all__ = ["GitConnector", "GitSettings", "Log"]

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
    """The repository's folder, or a folder inside it."""
    branch: Safe = "HEAD"
    """A branch, tag, commit, or a range such as `v1.0..v1.1`."""
    since: Date | None = None
    until: Date | None = None
    paths: list[Safe] = Field(default_factory=list)
    """Only commits that touch one of these paths, relative to the folder `repo`."""
    max: int = Field(default=1000, ge=1, le=100_000)
    """Maximum number of commits; the newest are kept."""
    merges: bool = True
    """Whether to include merge commits; they list no files."""


class GitSettings(Options):
    """Settings of the connector."""

    roots: tuple[Path, ...] = ()
    """Folders in which repositories may be read, besides the working directory."""
    working_folder: bool = True
    """Whether the working directory of the process is allowed too."""
    seconds: float = Field(default=60.0, gt=0)
    """Time limit in seconds for one git command."""
    max_bytes: int = Field(default=200_000_000, ge=1)
    """Maximum size of git's output in bytes."""


class GitConnector(Connector):
    """Reads the history of a local git repository by running the git program."""

    name = "git"
    Settings = GitSettings

    @operation(side_effects=False)
    async def log(self, parameters: Log, call: ConnectorCall) -> Json:  # it takes no input
        """List commits, newest first, with the files that each one changed.

        Returns:
            For each commit `hash`, `author`, `email`, `date` (ISO 8601 with offset), `subject`, `body`, `files`,
            `added` and `removed` (lines); for each file `path`, `folder` (the first part of its path, `.` at the
            top), `added`, `removed`, and where it applies `renamed_from` and `binary`.

        Raises:
            ConnectorError: git is missing or took too long, there is no repository, it is outside the roots, or
                the revision is not known.
        """
        repository = await self._open(parameters.repo.expanduser(), parameters.branch)
        if parameters.branch == "HEAD" and await repository.is_empty():
            return []
        code, text, messages = await repository.git(*_arguments(parameters))
        if code:
            raise _explained(repository.folder, parameters.branch, messages)
        found = await asyncio.to_thread(lambda: list(commits(text)))
        if len(found) > parameters.max:
            call.notes.append(
                f"there are more than {parameters.max} commits, and the older ones are left out: see `max`"
            )
        return [*found[: parameters.max]]

    def doubts(self, name: str, given: Mapping[str, Json]) -> Iterable[str]:  # noqa: ARG002  # there is one
        """A folder that is not there."""
        repo = given.get("repo", ".")
        if isinstance(repo, str) and "{{" not in repo and not Path(repo).expanduser().is_dir():
            yield f"{repo} is no folder; `repo` is looked for in the working folder, {Path.cwd()}"

    async def _open(self, repo: Path, branch: str) -> "_Repository":
        """The repository, all parts of which are inside the roots."""
        folders = (Path(),) if self.settings.working_folder else ()
        roots = Roots((*folders, *self.settings.roots))
        real = await asyncio.to_thread(roots.check, repo, str(repo))
        repository = _Repository(real, Bounds(self.settings.seconds, self.settings.max_bytes))
        code, text, messages = await repository.git("rev-parse", "--absolute-git-dir", "--git-common-dir")
        if code and "dubious ownership" in messages and await repository.is_trusted():
            code, text, messages = await repository.git("rev-parse", "--absolute-git-dir", "--git-common-dir")
        if code:
            raise _explained(repo, branch, messages)
        places = [real / line for line in text.splitlines()]
        if len(places) != 2:  # noqa: PLR2004  # a folder's name has a line break
            raise ConnectorError(f"the folder of the repository of {repo} has a name that cannot be read")
        await asyncio.to_thread(roots.check_repository, real, *places)
        return repository


class _Repository:
    """A folder in which git is run."""

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        self.folder = folder
        self._bounds = bounds
        self._config: tuple[str, ...] = ()

    async def git(self, *arguments: str) -> tuple[int, str, str]:
        """Run git; see `git`."""
        return await git(self.folder, *arguments, bounds=self._bounds, config=self._config)

    async def is_empty(self) -> bool:
        """True if it has no commit yet: its history is empty."""
        code, _, _ = await self.git("rev-parse", "--verify", "--quiet", "HEAD")
        return bool(code)

    async def is_trusted(self) -> bool:
        """True if the user's git settings declare the repository of another user safe; it is read then."""
        code, text, _ = await git(
            Path(Path.cwd().anchor),
            *("config", "--get-all", "-z", "safe.directory"),
            bounds=self._bounds,
            own_settings=True,
        )
        named = [] if code else [entry.removesuffix("/*") for entry in text.split("\0") if entry]
        places = {str(folder) for folder in (self.folder, *self.folder.parents)}
        if "*" not in named and not places & set(named):
            return False
        self._config = ("safe.directory=*",)
        return True


def _arguments(parameters: Log) -> list[str]:
    """The command that prints the commits."""
    arguments = [
        "log",
        "-z",
        "--numstat",
        "--find-renames",
        "--no-show-signature",
        "--no-ext-diff",
        "--no-textconv",
        "--submodule=short",
        "--no-color",
        f"--format={FORMAT}",
        f"--max-count={parameters.max + 1}",  # one more tells whether there are more
    ]
    arguments += [f"--since={parameters.since}"] if parameters.since else []
    arguments += [f"--until={parameters.until}"] if parameters.until else []
    arguments += [] if parameters.merges else ["--no-merges"]
    return [*arguments, "--end-of-options", parameters.branch, "--", *parameters.paths]


def _explained(repo: Path, branch: str, messages: str) -> ConnectorError:
    first = next((line for line in messages.splitlines() if line.startswith("fatal:")), messages.strip())
    reason = first.removeprefix("fatal: ")
    if "not a git repository" in reason:
        return ConnectorError(f"{repo} is not in a git repository", hint="`repo` is the folder of a clone")
    if "dubious ownership" in reason:
        hint = f"if you trust it: git config --global --add safe.directory '{repo.absolute()}'"
        return ConnectorError(f"{repo} belongs to another user, and git refuses to read it", hint=hint)
    if "promisor" in messages or "not allowed" in reason:
        hint = "read a clone that was made without --filter"
        return ConnectorError(f"{repo} is a partial clone, and what it lacks is not fetched", hint=hint)
    if "bad revision" in reason or "unknown revision" in reason or "bad object" in reason:
        return ConnectorError(
            f"there is no branch, tag or commit '{branch}'", hint="`git branch --all` lists branches"
        )
    return ConnectorError(f"git: {reason}")
