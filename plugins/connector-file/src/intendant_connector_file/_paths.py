"""Which files may be touched, and finding them."""

import glob
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from intendant.plugin import ConnectorError

WILD = frozenset("*?[")


class Roots:
    """The folders that files are read from and written to.

    Args:
        folders: Relative ones are counted from the folder of the process.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [Path(folder).expanduser().resolve() for folder in folders]

    def resolve(self, path: str | Path) -> Path:
        """Where *path* really is, symbolic links followed.

        Raises:
            ConnectorError: It is outside the roots, or is no path.
        """
        real = _real(path)
        if any(real.is_relative_to(folder) for folder in self._folders):
            return real
        allowed = ", ".join(map(str, self._folders)) or "none"
        raise ConnectorError(
            f"{path} is outside the folders that may be used ({allowed})",
            hint=f"""allow it: --set plugins.settings.connector:file.roots='["{real.parent}"]'""",
        )

    def find(self, pattern: str) -> list[Path]:
        """The files that *pattern* names, sorted; a path that exists is taken literally.

        Raises:
            ConnectorError: It names something outside the roots.
        """
        path = Path(pattern).expanduser()
        if not WILD & set(pattern) or _exists(path):
            return [self.resolve(path)]
        parts = path.parts
        fixed = next(index for index, part in enumerate(parts) if WILD & set(part))
        if ".." in parts[fixed:]:
            raise ConnectorError(f"{pattern}: '..' is not allowed after a wildcard", hint="name the folder itself")
        self.resolve(Path(*parts[:fixed]))
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # pathlib's follows fewer rules
        return [real for name in found if (real := self.resolve(name)).is_file()]


def _real(path: str | Path) -> Path:
    try:
        real = Path(path).expanduser().resolve()
        with suppress(FileNotFoundError, NotADirectoryError):
            real.stat()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConnectorError(f"{str(path)[:200]!r} is no path that can be used: {reason}") from None
    return real


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def load(path: Path, most: int) -> bytes:
    """The content of a file of at most *most* bytes. *path* is resolved: a link put there since is not followed.

    Raises:
        ConnectorError: It is not there, is no regular file, is too large, or must not be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise ConnectorError(f"{path} is not there", hint=_nearest(path)) from None
    except OSError as error:
        raise ConnectorError(f"{path} cannot be read: {error.strerror}") from None
    with open(handle, "rb") as file:  # noqa: PTH123  # an open handle
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            kind = "a folder" if stat.S_ISDIR(about.st_mode) else "no regular file"
            raise ConnectorError(f"{path} is {kind}", hint="name a file, or a pattern such as folder/*.csv")
        data = file.read(most + 1)
    if len(data) > most:
        raise ConnectorError(
            f"{path} is larger than {most} bytes ({about.st_size})", hint="raise `max_bytes`, or read a part"
        )
    return data


def _nearest(path: Path) -> str:
    from difflib import get_close_matches

    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return f"the folder {path.parent} is not there either"
    close = get_close_matches(path.name, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"{path.parent} has: {', '.join(names[:8]) or 'nothing'}"
