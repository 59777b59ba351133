"""Reads and writes local files, inside the folders that are allowed."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from intendant.plugin import (
    Connector,
    ConnectorCall,
    ConnectorError,
    FileRoots,
    Json,
    LocalFiles,
    Options,
    RecordSource,
    RecordStream,
    Watch,
    codec_of,
    load_file,
    operation,
)
from intendant_connector_file import _archive, _flow, _read, _stream, _write
from intendant_connector_file._csv import MAX_CELLS

__all__ = ["Append", "FileConnector", "FileSettings", "List", "Read", "Write"]

OptionsT = TypeVar("OptionsT", bound=Options)
ResultT = TypeVar("ResultT")
ReadFormat = Literal["auto", "text", "json", "jsonl", "csv", "parquet", "mbox", "eml", "bytes-base64"]
WriteFormat = Literal["auto", "text", "json", "jsonl", "csv", "markdown"]
WholeFormat = Literal["auto", "text", "json", "jsonl", "csv", "markdown", "bytes-base64"]
WILD = frozenset("*?[")
MAX_FILES = 100_000
MANY = ("jsonl", "csv", "parquet", "mbox", "eml")
"""Formats with many records: those of several files are combined into one list."""
DATA_KEYS = {"text": "text", "json": "data", "bytes-base64": "base64"}


class FileSettings(Options):
    """Settings of the connector."""

    roots: tuple[Path, ...] = ()
    """Folders in which files may be read and written, besides the working directory."""
    working_folder: bool = True
    """Whether the working directory of the process is allowed too."""
    max_bytes: int = Field(default=1_000_000_000, ge=0)
    """Upper limit for a step's own `max_bytes`."""
    max_cells: int = Field(default=MAX_CELLS, ge=1)
    """Maximum number of cells (rows times columns) of one CSV file."""
    max_flow_bytes: int = Field(default=1_000_000_000_000, ge=0)
    """Maximum size in bytes of the files of one step whose records are streamed; they are never in memory as a
    whole."""
    max_files: int = Field(default=MAX_FILES, ge=1)
    """Maximum number of files that a pattern may match."""
    read_seconds: float = Field(default=120.0, gt=0)
    """Time limit in seconds for reading the files of one step."""


class Table(Options):
    """How to read a CSV."""

    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """CSV: the delimiter; by default detected (comma, semicolon, tab or bar)."""
    skip: int = Field(default=0, ge=0, le=1000)
    """CSV: number of lines to skip before the table, such as lines that name an account."""
    header: bool = True
    """CSV: whether the first row contains the column names; if not, rows are lists."""
    ragged: Literal["fail", "pad"] = "fail"
    """CSV: what to do about rows that are shorter or longer than the header."""
    names: Literal["strict", "repair"] = "strict"
    """CSV: `repair` makes up names for columns without a name or with a duplicate one: `column_4`, `name_2`."""
    types: Literal["text", "auto"] = "text"
    """CSV: `auto` converts columns that contain only numbers, or only true and false."""
    decimal: Literal[".", ","] | None = None
    """CSV: the decimal separator of numbers, with `types: auto`; `1.234,50` or `1,234.50` is then a number too.
    The default is a point; a column in which `1.234` is ambiguous stays text."""

    @property
    def table(self) -> dict[str, Any]:
        """These parameters alone."""
        return self.model_dump(include=set(Table.model_fields))


class _Place(Options):
    """Which files to read."""

    path: str = Field(min_length=1)
    """A file, a folder of mails, or a pattern such as `mails/**/*.eml`; `reports.zip/2026/*.csv` reads from inside
    an archive."""
    format: ReadFormat = "auto"
    """By default determined by the file extension."""
    encoding: str | None = None
    """Text encoding; by default what the byte order mark says, else UTF-8."""
    max_bytes: int = Field(default=50_000_000, ge=0)
    """Maximum total size of the files in bytes. Larger files are refused; records of CSV and JSONL are streamed
    instead, unless the step sets this limit itself."""
    records: Literal["auto", "list", "reference"] = "auto"
    """CSV and JSONL: `reference` leaves the records in the file, and later steps stream them; `list` reads all of
    them now. `auto` decides by size."""


class Read(Table, _Place):
    """What to read, and how."""

    links: bool = True
    """HTML mails: whether the address of a link is added after its text."""
    attachments: Literal["names", "content"] = "names"
    """Mails: `content` adds to each attachment its content in Base64, and as `file` a name to save it under."""

    @property
    def flows(self) -> bool | None:
        """Whether records are streamed: always, never, or (None) if they are too many for memory."""
        if self.records == "auto":
            return False if "max_bytes" in self.model_fields_set else None
        return self.records == "reference"


class Parse(Table):
    """What the text is, and how to read it."""

    format: Literal["csv", "json", "jsonl", "eml", "mbox"] = "csv"


class List(Options):
    """Which files to list."""

    path: str = Field(min_length=1)
    """A pattern such as `inbox/*.pdf`, or a folder."""


class Write(Options):
    """Where to write, and how."""

    path: str = Field(min_length=1)
    format: WholeFormat = "auto"
    """By default determined by the file extension; otherwise text for text, and JSON for data."""
    encoding: str = "utf-8"
    mode: Literal["replace", "create"] = "replace"
    """`create` refuses to overwrite a file with different content."""


class Append(Options):
    """Where to append, and how."""

    path: str = Field(min_length=1)
    format: WriteFormat = "auto"
    encoding: str | None = None
    """By default the encoding of the file: what its byte order mark says, else UTF-8."""


class FileConnector(Connector):
    """Reads and writes local files: text, JSON, JSONL, CSV and mails."""

    name = "file"
    Settings = FileSettings

    @operation(side_effects=False)
    async def read(self, parameters: Read, call: ConnectorCall) -> Json | RecordSource:
        """Read a file, a folder of mails, or all files that match a pattern.

        A relative path is resolved in the folder of the workflow file first, then in the working directory. Large
        CSV and JSONL files are streamed: the steps that follow read them record by record.

        Raises:
            ConnectorError: Nothing matches, or a file is outside the roots, too large, or malformed.
        """
        return await self._watched(partial(self._read, call), parameters)

    @operation(side_effects=False)
    async def parse(self, parameters: Parse, call: ConnectorCall) -> Json:
        """Parse text that a step already has, such as an API response or a field; no file is read.

        Returns:
            What `read` gives of such a file; for a list of texts, a list of that.

        Raises:
            ConnectorError: The input is no text, or malformed.
        """
        texts = call.input if isinstance(call.input, list) else [call.input]
        if not all(isinstance(text, str) for text in texts):
            raise ConnectorError("the input is no text", hint="give the step the text as its `input`")
        found = await self._watched(partial(self._parsed, texts, call.notes), parameters)
        return found if isinstance(call.input, list) else found[0]

    def _parsed(self, texts: list[str], notes: list[str], parameters: Parse, watch: Watch) -> list[Json]:
        table = {**parameters.table, "max_cells": self.settings.max_cells}
        how = _read.How("utf-8", table, True, watch, notes)
        found: list[Json] = []
        for number, text in enumerate(texts, 1):
            name = Path("the text" if len(texts) == 1 else f"text {number}")
            value = _read.read(text.encode("utf-8", "replace"), name, parameters.format, how)
            if parameters.format in ("eml", "mbox") and isinstance(value, list):
                value = [{key: item for key, item in mail.items() if key != "path"} for mail in value]
            found.append(value)
        return found

    def files(self, name: str, given: Mapping[str, Json], folder: str) -> LocalFiles | None:
        """The file, or the archive that it is in."""
        path, roots = given.get("path"), self._roots(folder)
        if not isinstance(path, str) or not path:
            return LocalFiles(roots, writes=("{{ }}",) if name in ("write", "append") else ())
        if name in ("write", "append"):
            return LocalFiles(roots, writes=(path,))
        inside = _archive.split(path)
        return LocalFiles(roots, reads=(path if inside is None else inside[0],))

    def roots(self, call: ConnectorCall) -> FileRoots:
        """Where files may be: the working directory, the workflow file's folder, and the setting `roots`."""
        return self._roots(call.folder)

    def _roots(self, folder: str) -> FileRoots:
        own = [Path(), Path(folder)] if self.settings.working_folder else []
        beside = folder if own else ""
        return FileRoots((*own, *self.settings.roots), self.settings.max_files, beside=beside)

    def _found(self, path: str, call: ConnectorCall, watch: Watch) -> tuple[str, list[Path]]:
        """The path, as found in the workflow file's folder or the working directory, and the files."""
        return self.roots(call).locate(path, call.notes, watch.look)

    def open_records(self, about: Mapping[str, Json]) -> Iterator[list[Json]]:
        """The records of files again."""
        return _flow.batches(about)

    def check_records(self, about: Mapping[str, Json]) -> None:
        """Pass if the files are what they were."""
        _flow.check(about)

    async def _watched(self, work: Callable[[OptionsT, Watch], ResultT], parameters: OptionsT) -> ResultT:
        """Work in a thread that ends soon after nobody waits for it any more."""
        watch = Watch(self.settings.read_seconds)
        try:
            return await asyncio.to_thread(work, parameters, watch)
        except asyncio.CancelledError:
            watch.stop()
            raise

    def _read(self, call: ConnectorCall, parameters: Read, watch: Watch) -> Json | RecordSource:
        if parameters.max_bytes > self.settings.max_bytes:
            raise ConnectorError(
                f"`max_bytes` is at most {self.settings.max_bytes}",
                hint="see the setting max_bytes of connector:file",
            )
        roots = self.roots(call)
        if (inside := _archive.split(parameters.path)) is not None:
            return self._archived(inside, parameters, call, watch)
        place, paths = self._found(parameters.path, call, watch)
        several = bool(WILD & set(parameters.path)) and paths != [Path(place).expanduser().resolve()]
        if len(paths) == 1 and paths[0].is_dir() and parameters.format in ("auto", "eml"):
            paths, several = sorted(file for file in paths[0].glob("*.eml") if file.is_file()), True
        if not paths:
            raise ConnectorError(
                f"no file matches {parameters.path}", hint="patterns: * in a name, ** for folders"
            )
        table = {**parameters.table, "max_cells": self.settings.max_cells}
        if (source := self._flowing(roots, paths, parameters, table, call.notes)) is not None:
            return source
        how = _read.How(
            parameters.encoding, table, parameters.links, watch, call.notes, parameters.attachments == "content"
        )
        left = parameters.max_bytes
        found: list[tuple[Path, str, Json]] = []
        for path in paths:
            watch.look()
            kind = _read.format_of(path, parameters.format)
            if kind == "parquet":
                real = roots.resolve(path)
                found.append((path, kind, _flow.held(_flow.parquet(real), table["max_cells"], path.name)))
                continue
            data = load_file(roots.resolve(path), left)
            left -= len(data)
            found.append((path, kind, _read.read(data, path, kind, how)))
        return _together(found) if several else found[0][2]

    def _archived(self, inside: tuple[str, str], parameters: Read, call: ConnectorCall, watch: Watch) -> Json:
        """What files within a ZIP archive hold."""
        _, paths = self._found(inside[0], call, watch)
        if len(paths) != 1:
            raise ConnectorError(
                f"{inside[0]} is not one archive", hint="name one, such as reports.zip/2026/*.csv"
            )
        archive = self.roots(call).resolve(paths[0])
        how = _read.How(
            parameters.encoding,
            {**parameters.table, "max_cells": self.settings.max_cells},
            parameters.links,
            watch,
            call.notes,
            parameters.attachments == "content",
        )
        found: list[tuple[Path, str, Json]] = []
        bounds = (parameters.max_bytes, self.settings.max_files)
        for name, data in _archive.members(archive, inside[1], *bounds):
            watch.look()
            kind = _read.format_of(Path(name), parameters.format)
            if kind == "parquet":
                raise ConnectorError(f"{name}: Parquet is not read within an archive", hint="unpack it before")
            found.append((Path(name), kind, _read.read(data, Path(name), kind, how)))
        return _together(found) if WILD & set(inside[1]) else found[0][2]

    def _flowing(
        self,
        roots: FileRoots,
        paths: Sequence[Path],
        parameters: Read,
        table: Mapping[str, Any],
        notes: list[str],
    ) -> RecordSource | None:
        """The contents of the files as streamed records; None if they are to be read at once."""
        formats = {_read.format_of(path, parameters.format) for path in paths}
        able = len(formats) == 1 and formats <= set(_flow.FORMATS)
        if parameters.flows is False or not able:
            if parameters.flows and not able:
                raise ConnectorError(
                    "`records: reference` takes files of one format, csv or jsonl",
                    hint="read the others in a step of their own",
                )
            return None
        real = [roots.resolve(path) for path in paths]
        size = sum(path.stat().st_size for path in real if path.is_file())
        if not parameters.flows and size <= parameters.max_bytes:
            return None
        if size > self.settings.max_flow_bytes:
            raise ConnectorError(
                f"the files have {size} bytes, more than {self.settings.max_flow_bytes}",
                hint="see the setting max_flow_bytes of connector:file",
            )
        return _flow.source_of(real, formats.pop(), parameters.encoding, table, notes)

    @operation(side_effects=False)
    async def list(self, parameters: List, call: ConnectorCall) -> Json:
        """List files: path, name, size in bytes, and when they were modified (ISO 8601, UTC).

        Raises:
            ConnectorError: The path is no pattern and not there, or outside the roots.
        """
        return await self._watched(partial(self._list, call), parameters)

    def _list(self, call: ConnectorCall, parameters: List, watch: Watch) -> Json:
        roots = self.roots(call)
        _, paths = self._found(parameters.path, call, watch)
        roots.check(parameters.path)  # an empty list would hide a slip of the pen
        if len(paths) == 1 and paths[0].is_dir():
            paths = sorted(roots.resolve(path) for path in paths[0].iterdir() if path.is_file())
        return [_described(path) for path in paths if path.is_file()]

    @operation(side_effects=True, idempotent=True, flows=True)
    async def write(self, parameters: Write, call: ConnectorCall) -> Json:
        """Write the step's input to a file atomically; missing folders are created.

        Raises:
            ConnectorError: It is outside the roots, is there already, is a file that no workflow may write, or the
                input does not fit the format.
        """
        return await asyncio.to_thread(self._write, parameters, call)

    def _write(self, parameters: Write, call: ConnectorCall) -> Json:
        path, value = self.roots(call).writable(parameters.path), call.input
        kind = _write.format_of(path, parameters.format, value)
        if isinstance(value, RecordStream):
            parts = _stream.encoded(value, kind, codec_of(parameters.encoding))
            return {
                "path": parameters.path,
                **_write.replace_by(path, parts, only_new=parameters.mode == "create"),
            }
        data = _write.encode(value, kind, parameters.encoding)
        _write.replace(path, data, only_new=parameters.mode == "create")
        return _write.receipt(parameters.path, data)

    @operation(side_effects=True)
    async def append(self, parameters: Append, call: ConnectorCall) -> Json:
        """Append the step's input to a file; formats text, markdown, JSONL and CSV.

        Raises:
            ConnectorError: It is outside the roots, is a file that no workflow may write, or the input does not
                fit the format or the columns.
        """
        return await asyncio.to_thread(self._append, parameters, call)

    def _append(self, parameters: Append, call: ConnectorCall) -> Json:
        path, value = self.roots(call).writable(parameters.path), call.input
        kind = _write.format_of(path, parameters.format, value)
        data = _write.append(path, value, kind, parameters.encoding)
        return _write.receipt(parameters.path, data)


def _together(found: list[tuple[Path, str, Json]]) -> Json:
    """Several files: the records of all in one list; for other formats, one record per file."""
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
