"""Reads and writes local files, inside the folders that are allowed."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from intendant.plugin import Connector, ConnectorCall, ConnectorError, Json, Options, operation
from intendant_connector_file import _read, _write
from intendant_connector_file._paths import WILD, Roots, load

__all__ = ["Append", "FileConnector", "FileSettings", "List", "Read", "Write"]

ReadFormat = Literal["auto", "text", "json", "jsonl", "csv", "mbox", "eml", "bytes-base64"]
WriteFormat = Literal["auto", "text", "json", "jsonl", "csv", "markdown"]
MANY = ("jsonl", "csv", "mbox", "eml")
"""Formats of many records: those of several files are put together."""
DATA_KEYS = {"text": "text", "json": "data", "bytes-base64": "base64"}


class FileSettings(Options):
    """Settings of the connector."""

    roots: tuple[Path, ...] = (Path(),)
    """The folders in which files may be read and written; by default the folder of the process."""


class Read(Options):
    """What to read, and how."""

    path: str = Field(min_length=1)
    """A file, a folder of mails, or a pattern such as `mails/**/*.eml`."""
    format: ReadFormat = "auto"
    """By default what the name's ending stands for."""
    encoding: str | None = None
    """Of text; by default what the byte order mark says, else UTF-8."""
    max_bytes: int = Field(50_000_000, ge=0)
    """Files larger than this, together, are refused."""
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """Of a CSV; by default found out, among comma, semicolon, tab and bar."""
    header: bool = True
    """Whether the first row of a CSV has the names; without them, rows are lists."""
    ragged: Literal["fail", "pad"] = "fail"
    """Rows of a CSV that are shorter or longer than the header."""
    types: Literal["text", "auto"] = "text"
    """`auto` reads CSV columns that hold nothing but numbers, or true and false, as such."""

    @property
    def table(self) -> dict[str, Any]:
        """How to read a CSV."""
        return self.model_dump(include={"delimiter", "header", "ragged", "types"})


class List(Options):
    """Which files to list."""

    path: str = Field(min_length=1)
    """A pattern such as `inbox/*.pdf`, or a folder."""


class Write(Options):
    """Where to write, and how."""

    path: str = Field(min_length=1)
    format: WriteFormat = "auto"
    """By default what the name's ending stands for; else text for text, and JSON for data."""
    encoding: str = "utf-8"
    mode: Literal["replace", "create"] = "replace"
    """`create` refuses to write over a file of other content."""


class Append(Options):
    """Where to append, and how."""

    path: str = Field(min_length=1)
    format: WriteFormat = "auto"
    encoding: str = "utf-8"


class FileConnector(Connector):
    """Reads and writes local files: text, JSON, JSONL, CSV and mails."""

    name = "file"
    Settings = FileSettings

    @operation(side_effects=False)
    async def read(self, parameters: Read, call: ConnectorCall) -> Json:  # noqa: ARG002  # it takes no input
        """Read a file, a folder of mails, or all files that match a pattern.

        Raises:
            ConnectorError: Nothing matches, or a file is outside the roots, too large, or malformed.
        """
        return await asyncio.to_thread(self._read, parameters)

    def _read(self, parameters: Read) -> Json:
        paths = Roots(self.settings.roots).find(parameters.path)
        several = bool(WILD & set(parameters.path)) and paths != [Path(parameters.path).expanduser().resolve()]
        if len(paths) == 1 and paths[0].is_dir() and parameters.format in ("auto", "eml"):
            paths, several = sorted(file for file in paths[0].glob("*.eml") if file.is_file()), True
        if not paths:
            raise ConnectorError(
                f"no file matches {parameters.path}", hint="patterns: * in a name, ** for folders"
            )
        left = parameters.max_bytes
        found: list[tuple[Path, str, Json]] = []
        for path in paths:
            data = load(Roots(self.settings.roots).resolve(path), left)
            left -= len(data)
            kind = _read.format_of(path, parameters.format)
            found.append((path, kind, _read.read(data, path, kind, parameters.encoding, parameters.table)))
        return _together(found) if several else found[0][2]

    @operation(side_effects=False)
    async def list(self, parameters: List, call: ConnectorCall) -> Json:  # noqa: ARG002
        """List files: path, name, size in bytes, and when they were modified (ISO 8601, UTC)."""
        return await asyncio.to_thread(self._list, parameters.path)

    def _list(self, pattern: str) -> Json:
        roots = Roots(self.settings.roots)
        paths = roots.find(pattern)
        if len(paths) == 1 and paths[0].is_dir():
            paths = sorted(roots.resolve(path) for path in paths[0].iterdir() if path.is_file())
        return [_described(path) for path in paths if path.is_file()]

    @operation(side_effects=True, idempotent=True)
    async def write(self, parameters: Write, call: ConnectorCall) -> Json:
        """Write the step's input to a file, as a whole or not at all; folders that are missing are made.

        Raises:
            ConnectorError: It is outside the roots, is there already, or the input does not fit the format.
        """
        return await asyncio.to_thread(self._write, parameters, call.input)

    def _write(self, parameters: Write, value: Json) -> Json:
        path = Roots(self.settings.roots).resolve(parameters.path)
        kind = _write.format_of(path, parameters.format, value)
        data = _write.encode(value, kind, parameters.encoding)
        _write.replace(path, data, only_new=parameters.mode == "create")
        return _write.receipt(parameters.path, data)

    @operation(side_effects=True)
    async def append(self, parameters: Append, call: ConnectorCall) -> Json:
        """Write the step's input after what a file holds already; formats text, markdown, JSONL and CSV.

        Raises:
            ConnectorError: It is outside the roots, or the input does not fit the format or the columns.
        """
        return await asyncio.to_thread(self._append, parameters, call.input)

    def _append(self, parameters: Append, value: Json) -> Json:
        path = Roots(self.settings.roots).resolve(parameters.path)
        kind = _write.format_of(path, parameters.format, value)
        data = _write.append(path, value, kind, parameters.encoding)
        return _write.receipt(parameters.path, data)


def _together(found: list[tuple[Path, str, Json]]) -> Json:
    """Several files: records of all in one list; of other formats, a record for each file."""
    result: list[Json] = []
    for path, kind, value in found:
        if kind in MANY:
            result += value
        else:
            result.append({"path": str(path), DATA_KEYS[kind]: value})
    return result


def _described(path: Path) -> Json:
    about = path.stat()
    modified = datetime.fromtimestamp(about.st_mtime, UTC).isoformat()
    return {"path": str(path), "name": path.name, "size": about.st_size, "modified": modified}
