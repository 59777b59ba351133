"""Whether a repository lies where it may be read: its folder, its own files, and what these lead to."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from intendant.plugin import ConnectorError

MOST_STORES = 100
"""Stores of objects that a repository may borrow from."""


class Roots:
    """The folders that repositories are read in.

    Args:
        folders: Relative ones are counted from the folder of the process.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [folder.expanduser().resolve() for folder in folders]

    def check(self, path: Path, what: str) -> Path:
        """Where *path* really is, symbolic links followed.

        Raises:
            ConnectorError: It is outside the folders, or no path.
        """
        try:
            real = path.resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise ConnectorError(f"{str(path)[:200]!r} is no path that can be used: {error}") from None
        if self.holds(real):
            return real
        allowed = ", ".join(map(str, self._folders)) or "none"
        raise ConnectorError(
            f"{what} is outside the folders that may be used ({allowed})",
            hint=f"""allow it: --set plugins.settings.connector:git.roots='["{real}"]'""",
        )

    def holds(self, real: Path) -> bool:
        """True if *real* is in one of the folders."""
        return any(real.is_relative_to(folder) for folder in self._folders)

    def check_repository(self, repo: Path, git_dir: Path, common: Path) -> None:
        """See to it that all a repository is made of is inside.

        A `.git` file may name any folder, and so may links and the list of other stores. The files of a linked
        working tree lie in the repository that has made it, which has to know it.

        Args:
            repo: The folder that was asked for.
            git_dir: The repository's own folder.
            common: That of the repository which a linked working tree belongs to; else the same.

        Raises:
            ConnectorError: A part of it is outside.
        """
        real, shared = git_dir.resolve(), common.resolve()
        if self.holds(real) and self.holds(shared):
            inside = self
        elif _is_linked(real, shared, repo):
            inside = Roots((*self._folders, shared))
        else:
            self.check(real, f"the repository of {repo} ({real})")
            self.check(shared, f"the repository of {repo} ({shared})")
            return
        for store in _stores(shared / "objects"):
            inside.check(store, f"{store}, which the repository of {repo} reads from,")


def _is_linked(git_dir: Path, common: Path, repo: Path) -> bool:
    """True if the repository in *common* has made the working tree that *repo* is in."""
    if git_dir.parent.parent != common or git_dir.parent.name != "worktrees":
        return False
    try:
        back = Path((git_dir / "gitdir").read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return False
    return repo.resolve().is_relative_to(back.resolve().parent)


def _stores(objects: Path) -> Iterable[Path]:
    """Where a repository's objects are: its own folder, what links in it lead to, and the stores it borrows."""
    found: dict[Path, None] = {}
    left = [objects]
    while left and len(found) < MOST_STORES:
        store = left.pop()
        if store in found:
            continue
        found[store] = None
        yield store
        for folder in (store, store / "pack", store / "info"):
            yield from _links(folder)
        left += _borrowed(store)


def _links(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_symlink()]
    except OSError:
        return []


def _borrowed(store: Path) -> list[Path]:
    try:
        lines = (store / "info" / "alternates").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    return [store / line.strip().strip('"') for line in lines if line.strip() and not line.startswith("#")]
