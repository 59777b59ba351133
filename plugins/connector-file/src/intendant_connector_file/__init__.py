"""Reads and writes local files, inside the folders that are allowed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from intendant.plugin import (
    Addresses,
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
from intendant_connector_file import _archive, _flow, _read, _remote, _stream, _write
from intendant_connector_file._parameters import Append, FileSettings, List, Parse, Read, Write
from intendant_connector_file._read import How
from intendant_connector_file._remote import Bucket, Elsewhere, Store, Target

__all__ = ["Append", "FileConnector", "FileSettings", "List", "Read", "Write"]

OptionsT = TypeVar("OptionsT", bound=Options)
ResultT = TypeVar("ResultT")
WILD = frozenset("*?[")
LISTING_BYTES = 20_000_000
"""Size of one page that lists a folder of a web server."""
MANY = ("jsonl", "csv", "parquet", "mbox", "eml")
"""Formats with many records: those of several files are combined into one list."""
DATA_KEYS = {"text": "text", "json": "data", "bytes-base64": "base64"}


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
        if parameters.max_bytes > self.settings.max_bytes:
            raise ConnectorError(
                f"`max_bytes` is at most {self.settings.max_bytes}",
                hint="see the setting max_bytes of connector:file",
            )
        if _remote.is_remote(parameters.path):
            return await self._read_elsewhere(parameters, call.notes)
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
        how = How("utf-8", table, True, watch, notes)
        found: list[Json] = []
        for number, text in enumerate(texts, 1):
            name = Path("the text" if len(texts) == 1 else f"text {number}")
            value = _read.read(text.encode("utf-8", "replace"), name, parameters.format, how)
            if parameters.format in ("eml", "mbox") and isinstance(value, list):
                value = [{key: item for key, item in mail.items() if key != "path"} for mail in value]
            found.append(value)
        return found

    def doubts(self, name: str, given: Mapping[str, Json]) -> Iterator[str]:
        """Files elsewhere that the settings do not admit."""
        path, s3 = given.get("path"), given.get("s3")
        if not isinstance(path, str) or not _remote.is_remote(path) or "{{" in path:
            return
        endpoint = s3.get("endpoint") if isinstance(s3, dict) else None
        try:
            _refuse_writing(path) if name in ("write", "append") else Target.of(path).check(self.settings.places)
        except ConnectorError as error:
            yield f"{error.message}; {error.hint}"
        for url in (path, endpoint):
            if isinstance(url, str) and (refused := self._addresses().refused(url)) is not None:
                yield f"{refused.message}; {refused.hint}"

    def files(self, name: str, given: Mapping[str, Json], folder: str) -> LocalFiles | None:
        """The file, or the archive that it is in."""
        path, roots = given.get("path"), self._roots(folder)
        if isinstance(path, str) and _remote.is_remote(path):
            return None
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
        return FileRoots((*own, *self.settings.folders), self.settings.max_files, beside=beside)

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
        how = self._how(parameters, watch, call.notes)
        if (source := self._flowing(roots, paths, parameters, how.table, call.notes)) is not None:
            return source
        left = parameters.max_bytes
        found: list[tuple[str, str, Json]] = []
        for path in paths:
            watch.look()
            kind = _read.format_of(path, parameters.format)
            if kind == "parquet":
                real = roots.resolve(path)
                found.append((str(path), kind, _flow.held(_flow.parquet(real), how.table["max_cells"], path.name)))
                continue
            data = load_file(roots.resolve(path), left)
            left -= len(data)
            found.append((str(path), kind, _read.read(data, path, kind, how)))
        return _together(found) if several else found[0][2]

    def _archived(self, inside: tuple[str, str], parameters: Read, call: ConnectorCall, watch: Watch) -> Json:
        """What files within a ZIP archive hold."""
        _, paths = self._found(inside[0], call, watch)
        if len(paths) != 1:
            raise ConnectorError(
                f"{inside[0]} is not one archive", hint="name one, such as reports.zip/2026/*.csv"
            )
        how = self._how(parameters, watch, call.notes)
        return self._unpacked(self.roots(call).resolve(paths[0]), inside[1], parameters, how)

    def _how(self, parameters: Read, watch: Watch, notes: list[str]) -> How:
        table = {**parameters.table, "max_cells": self.settings.max_cells}
        content = parameters.attachments == "content"
        return How(parameters.encoding, table, parameters.links, watch, notes, content)

    def _unpacked(self, archive: Path, pattern: str, parameters: Read, how: How) -> Json:
        found: list[tuple[str, str, Json]] = []
        for name, data in _archive.members(archive, pattern, parameters.max_bytes, self.settings.max_files):
            how.watch.look()
            kind = _read.format_of(Path(name), parameters.format)
            if kind == "parquet":
                raise ConnectorError(f"{name}: Parquet is not read within an archive", hint="unpack it before")
            found.append((name, kind, _read.read(data, Path(name), kind, how)))
        return _together(found) if WILD & set(pattern) else found[0][2]

    # --- files elsewhere ---

    def _addresses(self) -> Addresses:
        return Addresses(self.settings.allow, setting=f"plugins.settings.{self.key}.allow")

    async def _read_elsewhere(self, parameters: Read, notes: list[str]) -> Json:
        if parameters.flows:
            raise ConnectorError(
                "`records: reference` takes files of this machine", hint="leave `records` out, or save them before"
            )
        place, inside = _remote.split(parameters.path)
        target = Target.of(place)
        async with self._store(target, parameters, parameters.max_bytes) as (store, look):
            entries = await _remote.chosen(store, target, self.settings.max_files, look)
            if inside and target.pattern:
                raise ConnectorError(f"{place} is not one archive", hint="name one, such as s3://b/r.zip/*.csv")
            loaded = await _remote.load_all(store, entries, parameters.max_bytes)
        work = partial(self._parsed_elsewhere, loaded, inside, notes, bool(target.pattern))
        return await self._watched(work, parameters)

    @asynccontextmanager
    async def _store(
        self, target: Target, given: Elsewhere, most: int
    ) -> AsyncIterator[tuple[Store, Callable[[], None]]]:
        """What holds the files, and what ends a search that takes too long; the time of all is bounded."""
        target.check(self.settings.places)
        seconds = self.settings.read_seconds
        store: Store
        if target.scheme == "s3":
            from intendant_connector_file._s3_files import S3Files

            store = S3Files(given.s3 or Bucket(), self._addresses(), self.settings.seconds)
        else:
            from intendant_connector_file._web_files import Reach, WebFiles

            about = {
                "allow": list(self.settings.allow),
                "seconds": self.settings.seconds,
                "max_bytes": max(most, LISTING_BYTES),
            }
            store = WebFiles(Reach(about), given.auth.headers() if given.auth else {})
        try:
            async with asyncio.timeout(seconds):
                yield store, Watch(seconds).look
        except TimeoutError:
            raise ConnectorError(
                f"reading took longer than {seconds:g} s", hint="see the setting read_seconds of connector:file"
            ) from None
        finally:
            await store.close()

    def _parsed_elsewhere(
        self,
        loaded: Sequence[tuple[str, bytes]],
        inside: str,
        notes: list[str],
        several: bool,
        parameters: Read,
        watch: Watch,
    ) -> Json:
        how, found = self._how(parameters, watch, notes), list[tuple[str, str, Json]]()
        for address, data in loaded:
            watch.look()
            path = Path(_remote.name_of(address))
            kind = _read.format_of(path, parameters.format)
            if inside or kind == "parquet":
                with TemporaryDirectory(prefix="intendant-") as folder:
                    copy = Path(folder).resolve() / path.name
                    copy.write_bytes(data)
                    if inside:
                        return self._unpacked(copy, inside, parameters, how)
                    value: Json = _flow.held(_flow.parquet(copy), self.settings.max_cells, path.name)
            else:
                value = _read.read(data, path, kind, how)
            if kind in ("mbox", "eml"):
                value = [{**mail, "path": address} for mail in value]
            found.append((address, kind, value))
        return _together(found) if several else found[0][2]

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
        """List files: path, name, size in bytes, and when they were modified (ISO 8601, UTC); web servers do not
        tell the last two, which are null.

        Raises:
            ConnectorError: The path is no pattern and not there, or outside the roots.
        """
        if _remote.is_remote(parameters.path):
            target = Target.of(parameters.path)
            async with self._store(target, parameters, LISTING_BYTES) as (store, look):
                entries = await _remote.listed(store, target, self.settings.max_files, look)
            return [
                {"path": entry.address, "name": entry.name, "size": entry.size, "modified": entry.modified}
                for entry in entries
            ]
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
        _refuse_writing(parameters.path)
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
        _refuse_writing(parameters.path)
        path, value = self.roots(call).writable(parameters.path), call.input
        kind = _write.format_of(path, parameters.format, value)
        data = _write.append(path, value, kind, parameters.encoding)
        return _write.receipt(parameters.path, data)


def _refuse_writing(path: str) -> None:
    if _remote.is_remote(path):
        raise ConnectorError(
            f"{path[:100]} is not a file of this machine, and is only read",
            hint="write it to a file here, or send it with `uses: http.put`",
            delivered=False,
        )


def _together(found: list[tuple[str, str, Json]]) -> Json:
    """Several files: the records of all in one list; for other formats, one record per file."""
    result: list[Json] = []
    for path, kind, value in found:
        if kind in MANY:
            result += value
        else:
            result.append({"path": path, DATA_KEYS[kind]: value})
    return result


def _described(path: Path) -> Json:
    about = path.stat()
    modified = datetime.fromtimestamp(about.st_mtime, UTC).isoformat()
    return {"path": str(path), "name": path.name, "size": about.st_size, "modified": modified}
