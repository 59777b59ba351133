"""Reads files within a ZIP archive, without unpacking it: by pattern, in bounds of size and number."""

import os
import re
from collections.abc import Iterator
from fnmatch import translate
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from intendant.plugin import ConnectorError, open_regular

_INSIDE = re.compile(r"(?i)^(?P<archive>.*?\.zip)[/\\](?P<inside>.+)$", re.DOTALL)
RATIO = 1000
"""How many times as large as in the archive a file may be: more is no file that anybody has packed."""


def split(path: str) -> tuple[str, str] | None:
    """An archive and the pattern within it, of `reports.zip/2026/*.csv`; None for a path that goes into none."""
    found = _INSIDE.match(path)
    if found is None or Path(found["archive"]).expanduser().is_dir():
        return None
    return found["archive"], found["inside"].replace("\\", "/")


def members(archive: Path, pattern: str, most_bytes: int, most_files: int) -> Iterator[tuple[str, bytes]]:
    """The files that match, in the order of their names, with what they hold.

    Args:
        archive: Its path, links resolved.
        pattern: `*` within a folder, `**` for folders.
        most_bytes: Of all of them together, unpacked.
        most_files: How many there may be.

    Raises:
        ConnectorError: It is no archive, nothing matches, a file is encrypted or broken, or there is too much.
    """
    wanted = _Match(pattern)
    try:
        with os.fdopen(open_regular(archive, os.O_RDONLY), "rb") as file, ZipFile(file) as opened:
            chosen = sorted(
                (info for info in opened.infolist() if not info.is_dir() and wanted(info.filename)),
                key=lambda info: info.filename,
            )
            _check(chosen, archive.name, pattern, most_bytes, most_files)
            left = most_bytes
            for info in chosen:
                with opened.open(info) as member:
                    data = member.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise _too_large(archive.name, most_bytes)
                yield info.filename, data
    except (BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError) as error:
        raise ConnectorError(f"{archive.name} cannot be read as a ZIP archive: {error}"[:300]) from None


def _check(chosen: list[ZipInfo], name: str, pattern: str, most_bytes: int, most_files: int) -> None:
    if not chosen:
        raise ConnectorError(f"no file in {name} matches {pattern}", hint="patterns: * in a name, ** for folders")
    if len(chosen) > most_files:
        raise ConnectorError(f"{len(chosen)} files in {name} match, more than {most_files}")
    if any(info.flag_bits & 1 for info in chosen):
        raise ConnectorError(f"{name} has files that are encrypted", hint="unpack it before")
    if sum(info.file_size for info in chosen) > most_bytes:
        raise _too_large(name, most_bytes)
    for info in chosen:
        if info.file_size > RATIO * max(info.compress_size, 1):
            raise ConnectorError(f"{info.filename} in {name} is {RATIO} times as large as it is packed: refused")


def _too_large(name: str, most: int) -> ConnectorError:
    return ConnectorError(
        f"the files in {name} have more than {most} bytes unpacked", hint="name fewer, or raise `max_bytes`"
    )


class _Match:
    """Whether a name within an archive is meant: part by part, so that `*` stays within a folder."""

    def __init__(self, pattern: str) -> None:
        if pattern.endswith("**"):
            pattern += "/*"
        parts = PurePosixPath(pattern).parts
        self._parts = [
            None if part == "**" else re.compile(translate(part))
            for index, part in enumerate(parts)
            if part != "**" or parts[index - 1 : index] != ("**",)
        ]

    def __call__(self, name: str) -> bool:
        parts = PurePosixPath(name).parts
        states = {0}
        for part in parts:
            after = {state for state in states if state < len(self._parts) and self._parts[state] is None}
            states |= {state + 1 for state in after}  # `**` may stand for no folder
            after |= {
                state + 1
                for state in states
                if state < len(self._parts) and (known := self._parts[state]) is not None and known.match(part)
            }
            states = after
        return len(self._parts) in states
