"""What `ls -R` prints, written shorter: small folders stand in the line of the folder that they are in.

    ./src:
    app.py forms{base.py fields.py} tests

says that `forms` is a folder with two files. Large ones keep a line of their own, under their path.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

MOST = 400
"""Characters of a folder that stands in the line of another one."""
_NAME = re.compile(r"[\w.+@~%-]+[/*]?")
_FOLDER = re.compile(r"((?:\.{1,2}|/|[\w.+@~%-]+)(?:/[\w.+@~%-]+)*/?):")


@dataclass(slots=True)
class _Folder:
    path: str
    names: list[str]
    inside: dict[str, "_Folder"] = field(default_factory=dict)
    line: str = ""
    """What is in it, with its small folders."""

    def write(self) -> None:
        """Set its line; those of the folders in it are set already."""
        self.line = " ".join(self._entry(name) for name in self.names)

    def _entry(self, name: str) -> str:
        folder = self.inside.get(name.rstrip("/"))
        return name if folder is None or folder.large() else f"{name.rstrip('/')}{{{folder.line}}}"

    def large(self) -> bool:
        """True if it has a line of its own."""
        return len(self.line) > MOST

    def own_lines(self) -> list[str]:
        """Its line under its path."""
        return [f"{self.path}:", self.line] if self.names else [f"{self.path}: nothing"]


def folders_inside(lines: Sequence[str], at: int) -> tuple[int, list[str]]:
    """How many lines from *at* on are folders with their names, and those written shorter; 0 if it is no more than
    one folder, or none is in another.
    """
    found: dict[str, _Folder] = {}
    waiting: dict[str, _Folder] = {}
    """Those whose folder above says that it has them, by the path that they will have."""
    tops: set[str] = set()
    size = 0
    while (block := _block(lines, at + size)) is not None:
        folder, taken = block
        if folder.path in found:
            break
        above = waiting.pop(folder.path, None)
        if above is None:
            tops.add(folder.path)
        else:
            above.inside[folder.path.rpartition("/")[2]] = folder
        found[folder.path] = folder
        waiting |= {f"{folder.path.rstrip('/')}/{name.rstrip('/')}": folder for name in folder.names}
        size += taken
    if len(tops) == len(found):
        return 0, []
    for folder in reversed(found.values()):
        folder.write()
    own = [folder for folder in found.values() if folder.path in tops or folder.large()]
    return size, [line for folder in own for line in folder.own_lines()]


def _block(lines: Sequence[str], at: int) -> tuple[_Folder, int] | None:
    """The folder that begins at a line, and how many lines it takes, with the blank one that ends it."""
    match = _FOLDER.fullmatch(lines[at]) if at < len(lines) else None
    if match is None:
        return None
    end = at + 1
    while end < len(lines) and _NAME.fullmatch(lines[end]):
        end += 1
    if end < len(lines) and lines[end]:
        return None
    return _Folder(match[1].rstrip("/") or "/", list(lines[at + 1 : end])), min(end + 1, len(lines)) - at
