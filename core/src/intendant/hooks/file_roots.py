"""Which files connectors may touch, and finding them."""

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fnmatch import translate
from functools import lru_cache
from pathlib import Path

from intendant.model.errors import ConnectorError

WILD = frozenset("*?[")
SYSTEM = tuple(Path(folder) for folder in ("/dev", "/proc", "/sys"))
"""Where files are no data: reading them may wait for ever, or give keys away from the environment of a process."""
SETTINGS = "intendant.toml"
_AGENTS = "agents"
_CODE = frozenset((".py", ".pyc", ".pyd", ".pyi", ".pyw", ".pth", ".so", ".dll", ".dylib", ".egg-link"))
MAX_FILES = 100_000


def _refused(message: str, hint: str = "") -> ConnectorError:
    """An error before anything was changed."""
    return ConnectorError(message, hint=hint, delivered=False)


def _nothing() -> None:
    """Looks at nothing."""


class FileRoots:
    """The folders that files are read from and written to.

    Args:
        folders: Relative ones are counted from the folder of the process.
        max_files: The most files that a pattern may find.
        owner: The key of the connector whose settings `roots` and `max_files` these are; errors name them.
        beside: The folder of the workflow's file (`ConnectorCall.folder`), where `locate` looks first. It has to
            be one of *folders*, or lie in one.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        max_files: int = MAX_FILES,
        *,
        owner: str = "connector:file",
        beside: str = "",
    ) -> None:
        self._owner = owner
        self._folders = list(dict.fromkeys(Path(folder).expanduser().resolve() for folder in folders))
        self._max_files = max_files
        self._beside = Path(beside) if beside and Path(beside) != Path.cwd() else None

    def locate(
        self, path: str, notes: list[str] | None = None, look: Callable[[], None] = _nothing
    ) -> tuple[str, list[Path]]:
        """The path as it was found, beside the workflow's file or else in the working folder, and its files as of
        `find`.

        Args:
            path: A path or a pattern.
            notes: Told where it was found in the working folder.
            look: As of `find`.

        Raises:
            ConnectorError: As for `find`.
        """
        if self._beside is None or Path(path).expanduser().is_absolute():
            return path, self.find(path, look)
        beside = str(self._beside / path)
        found = self.find(beside, look)
        if any(file.exists() for file in found):
            return beside, found
        there = self.find(path, look)
        if any(file.exists() for file in there):
            if notes is not None:
                notes.append(f"{path} was read in the working folder: it is not beside the workflow file")
            return path, there
        return (beside, found) if found else (path, there)

    def places(self, path: str) -> list[Path]:
        """Where `locate` looks for a path, links followed: beside the workflow's file, then in the working folder.

        Raises:
            ConnectorError: It is no path.
        """
        bases = [Path()] if self._beside is None else [self._beside, Path()]
        return list(dict.fromkeys(_real(base / Path(path).expanduser()) for base in bases))

    def check(self, path: str) -> None:
        """Pass if a path can be read as things are; a pattern may find nothing today and something tomorrow.

        Raises:
            ConnectorError: It is not there, or as for `locate`.
        """
        _, found = self.locate(path)
        if (WILD & set(path) and not found) or any(map(_exists, found)):
            return
        where = "neither beside the workflow file nor in the working folder" if self._beside else "not there"
        raise _refused(f"{path} is {where}", hint=_nearest(found[0]))

    def resolve(self, path: str | Path) -> Path:
        """Where *path* really is, symbolic links followed.

        Raises:
            ConnectorError: It is outside the roots, belongs to the system, or is no path.
        """
        real = _real(path)
        if not any(real.is_relative_to(folder) for folder in self._folders):
            allowed = ", ".join(map(str, self._folders)) or "none"
            raise _refused(
                f"{path} is outside the folders that may be used ({allowed})",
                hint=f"""allow it: --set plugins.settings.{self._owner}.roots='["{real.parent}"]'""",
            )
        system = next((folder for folder in SYSTEM if real.is_relative_to(folder)), None)
        if system is not None and not any(folder.is_relative_to(system) for folder in self._folders):
            raise _refused(
                f"{path} is under {system}, which holds no data but the state of this machine",
                hint="copy what you need to a file elsewhere, or name a folder under it in `roots`",
            )
        return real

    def writable(self, path: str | Path) -> Path:
        """Where *path* really is, if a workflow may write there.

        Raises:
            ConnectorError: As for `resolve`, or it would change how programs behave: settings of Intendant, what
                belongs to git, or code that this process runs.
        """
        real = self.resolve(path)
        what = _forbidden(real)
        if what is not None:
            raise _refused(
                f"{path} is {what}, which no workflow may write",
                hint="write to another name, and put it in place by hand",
            )
        with suppress(OSError):
            if not stat.S_ISREG(real.stat().st_mode) and not real.is_dir():
                raise _refused(f"{path} is no regular file", hint="write to another name")
        return real

    def find(self, pattern: str, look: Callable[[], None] = _nothing) -> list[Path]:
        """The files that *pattern* names, sorted; a path that exists is taken literally. *look* is called between
        folders, and may raise to end the search.

        Raises:
            ConnectorError: It names something outside the roots, or more files than are admitted.
        """
        path = Path(pattern).expanduser()
        if not WILD & set(pattern) or _exists(path):
            return [self.resolve(path)]
        parts = path.parts
        fixed = next(index for index, part in enumerate(parts) if WILD & set(part))
        if ".." in parts[fixed:]:
            raise _refused(f"{pattern}: '..' is not allowed after a wildcard", hint="name the folder itself")
        start = Path(*parts[:fixed])
        self.resolve(start)
        names = self._names(pattern, start, parts[fixed:], look)
        return [real for name in sorted(names, key=str) if (real := self.resolve(name)).is_file()]

    def _names(self, pattern: str, start: Path, parts: Sequence[str], look: Callable[[], None]) -> set[Path]:
        wanted = [part for index, part in enumerate(parts) if part != "**" or parts[index - 1 : index] != ("**",)]
        names: set[Path] = set()
        try:
            for name in _matching(start, wanted, look):
                names.add(name)
                if len(names) > self._max_files:
                    raise _refused(
                        f"{pattern} finds more than {self._max_files} files",
                        hint=f"name fewer, or raise the setting max_files of {self._owner}",
                    )
        except RecursionError:
            raise _refused(f"{pattern}: the folders are nested too deep") from None
        return names


def _matching(folder: Path, parts: Sequence[str], look: Callable[[], None]) -> Iterator[Path]:
    """What the parts of a pattern lead to. `**` goes into folders, not through links: those may go round."""
    look()
    first, *rest = parts
    if first == "**":
        yield from _matching(folder, rest or ["*"], look)
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _matching(folder / entry.name, parts, look)
    elif not WILD & set(first):
        found = folder / first
        if rest:
            yield from _matching(found, rest, look)
        elif _exists(found):
            yield found
    else:
        matches = re.compile(translate(first)).match
        for entry in _entries(folder):
            hidden = entry.name.startswith(".") and not first.startswith(".")
            if matches(entry.name) and not hidden:
                found = folder / entry.name
                if not rest:
                    yield found
                elif found.is_dir():
                    yield from _matching(found, rest, look)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # a folder that may not be read holds no file that may be
        return []


def _real(path: str | Path) -> Path:
    try:
        real = Path(path).expanduser().resolve()
        with suppress(FileNotFoundError, NotADirectoryError):
            real.stat()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refused(f"{str(path)[:200]!r} is no path that can be used: {reason}") from None
    return real


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


# --- what no workflow may write ------------------------------------------------------------------------------


def _forbidden(real: Path) -> str | None:
    """What a file is that no workflow may write; None for any other. Case does not count, as on some disks."""
    parts = [part.casefold().rstrip(". ") for part in real.parts]
    named = os.environ.get("INTENDANT_CONFIG")
    is_agent = parts[-2:-1] == [_AGENTS] and parts[-1].endswith(".toml")
    if parts[-1] == SETTINGS or is_agent or (named and real == Path(named).resolve()):
        return "a settings file of Intendant"
    if ".git" in parts or parts[-1] == ".gitmodules" or any(map(_is_repository, real.parents)):
        return "part of a git repository's own files"
    if any(real.is_relative_to(folder) for folder in _installed(sys.prefix, tuple(sys.path))):
        return "in a folder of installed programs"
    if real.suffix.lower() in _CODE and (real.parent in _searched() or _is_loaded(real.parent)):
        return "code that this process would run"
    return None


def _is_repository(folder: Path) -> bool:
    """True for a git repository without a working tree."""
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


@lru_cache(maxsize=8)
def _installed(prefix: str, searched: Sequence[str]) -> frozenset[Path]:
    """Folders that hold nothing but programs: packages, the standard library, commands, headers.

    The virtual environment as a whole is not one: a project may live in the same folder (`python -m venv .`).
    """
    import sysconfig

    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts", "include")}
    folders |= {entry for entry in searched if Path(entry).name in ("site-packages", "dist-packages")}
    folders |= {str(Path(prefix, name)) for name in ("lib", "lib64", "include", "pyvenv.cfg")}
    return frozenset(Path(folder).resolve() for folder in folders)


def _searched() -> set[Path]:
    """Folders in which an `import` looks."""
    return {Path(entry or ".").resolve() for entry in sys.path}


def _is_loaded(folder: Path) -> bool:
    """True for the folder of a package of which a module was imported."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and Path(file).parent == folder and (hasattr(module, "__path__") or "." in module.__name__):
            return True
    return False


# --- reading -------------------------------------------------------------------------------------------------


def load_file(path: Path, most: int) -> bytes:
    """The content of a file of at most *most* bytes. *path* is resolved: a link put there since is not followed.

    Raises:
        ConnectorError: It is not there, is no regular file, is too large, or must not be read.
    """
    with open(open_regular(path, os.O_RDONLY), "rb") as file:  # a handle
        data = file.read(most + 1)
        size = os.fstat(file.fileno()).st_size
    if len(data) > most:
        raise _refused(f"{path} is larger than {most} bytes ({size})", hint="raise `max_bytes`, or read a part")
    return data


def open_regular(path: Path, flags: int, mode: int = 0o666) -> int:
    """A handle of a regular file. A pipe is not waited for, and a link is not followed.

    Raises:
        ConnectorError: It is not there, is no regular file, or must not be opened.
    """
    safe = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags | safe, mode)
    except FileNotFoundError:
        raise _refused(f"{path} is not there", hint=_nearest(path)) from None
    except OSError as error:
        raise _refused(f"{path} cannot be opened: {error.strerror}") from None
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        what = "a folder" if stat.S_ISDIR(kind) else "no regular file"
        raise _refused(f"{path} is {what}", hint="name a file, or a pattern such as folder/*.csv")
    return handle


def _nearest(path: Path) -> str:
    from difflib import get_close_matches

    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return f"the folder {path.parent} is not there either"
    close = get_close_matches(path.name, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"{path.parent} has: {', '.join(names[:8]) or 'nothing'}"
