"""Reads files that are too large to be held: CSV and JSONL, batch by batch, as often as they are needed."""

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any

from intendant.plugin import (
    ConnectorError,
    Json,
    RecordSource,
    Table,
    TableUnfit,
    encoding_of,
    open_parquet,
    open_regular,
)
from intendant_connector_file._cells import TypeGuess, typed_cell
from intendant_connector_file._csv import named
from intendant_connector_file._dialect import opened, rows, sniff
from intendant_connector_file._read import line_value

FORMATS = ("csv", "jsonl", "parquet")
HEAD = 1 << 20
"""Bytes of a file's beginning by which its form is told."""
ROWS = 5000
"""Records of a batch."""
LONGEST = 1 << 28
"""Characters of one cell or line."""


def source_of(
    paths: Sequence[Path], format_: str, encoding: str | None, table: Mapping[str, Any], notes: list[str]
) -> RecordSource:
    """What it takes to read the files again.

    Args:
        paths: Files of one format.
        format_: `csv` or `jsonl`.
        encoding: By default what the byte order mark says, else UTF-8.
        table: How to read a CSV.
        notes: Takes what a reader should know.

    Raises:
        ConnectorError: A file cannot be read, or its beginning is malformed.
    """
    files: list[Json] = []
    for path in paths:
        with _open(path) as file:
            digest = file_digest(file, "sha256").hexdigest()
            about = os.fstat(file.fileno())
        files.append({"path": str(path), "sha256": digest, **_stamp(about)})
    head = _head(paths[0])
    codec = encoding_of(head, encoding)
    about_all: dict[str, Json] = {"files": files, "format": format_, "encoding": encoding}
    size = sum(file["size"] for file in files)
    if format_ == "jsonl":
        first = next(_json_lines(paths[0], codec), [])
        return RecordSource(about_all, size, tuple(first[0]) if first and isinstance(first[0], dict) else ())
    if format_ == "parquet":
        return RecordSource(about_all, size, tuple(parquet_columns(paths[0])))
    about_all["table"] = {key: value for key, value in table.items() if key != "max_cells"}
    reader = _Csv(paths[0], codec, table)
    plain = len(paths) == 1 and codec == "utf-8" and not head.startswith(b"\xef\xbb\xbf") and not reader.skipped
    simple = plain and table["header"] and table["types"] == "text" and table["ragged"] == "fail"
    found = Table(str(paths[0]), reader.delimiter, tuple(reader.titles)) if simple and not reader.cut else None
    if table["types"] == "auto":
        about_all["kinds"] = _kinds(paths, encoding, table, notes)
    return RecordSource(about_all, size, tuple(reader.titles) if table["header"] else (), found)


def _stamp(about: os.stat_result) -> dict[str, Json]:
    """What changes with a file. The time of its content can be set, and is too coarse for quick changes; that of
    its entry (`changed`) cannot be set, where the system has one.
    """
    return {
        "size": about.st_size,
        "modified": about.st_mtime_ns,
        "changed": about.st_ctime_ns,
        "inode": about.st_ino,
    }


def check(about: Mapping[str, Any]) -> None:
    """Pass if the files are what they were.

    Raises:
        ConnectorError: One has changed, or is gone.
    """
    for was in about["files"]:
        path = Path(was["path"])
        with _open(path) as file:
            now = _stamp(os.fstat(file.fileno()))
            if all(was.get(name) == value for name, value in now.items()):
                continue
            same = now["size"] == was["size"] and file_digest(file, "sha256").hexdigest() == was["sha256"]
        if not same:
            raise ConnectorError(f"{path} has changed since the run read it", hint="run the workflow anew")


def batches(about: Mapping[str, Any]) -> Iterator[list[Json]]:
    """The records of all files, in their order.

    Raises:
        ConnectorError: A file has changed, or is malformed (names the line).
    """
    check(about)
    for was in about["files"]:
        path = Path(was["path"])
        if about["format"] == "parquet":
            yield from parquet(path)
            continue
        codec = encoding_of(_head(path), about["encoding"])
        if about["format"] == "jsonl":
            yield from _json_lines(path, codec)
        else:
            yield from _Csv(path, codec, about["table"]).records(about.get("kinds"))


def parquet(path: Path) -> Iterator[list[Json]]:
    """The rows of a file of Parquet as records; dates and times as texts, in ISO 8601 but for a blank.

    Raises:
        ConnectorError: It is none, or the library is not installed.
    """
    try:
        with open_parquet(str(path)) as engine:
            for rows_ in engine.rows(f"SELECT to_json(t)::VARCHAR FROM {engine.source} AS t", size=ROWS):  # noqa: S608
                yield [line_value(row[0], path.name) for row in rows_]
    except TableUnfit as error:
        raise _unreadable(path, error) from None


def held(batches_: Iterator[list[Json]], max_cells: int, name: str) -> list[Json]:
    """All records at once.

    Raises:
        ConnectorError: They have too many cells.
    """
    found: list[Json] = []
    for batch in batches_:
        found += batch
        if found and len(found) * len(found[0]) > max_cells:
            raise ConnectorError(
                f"{name}: more than {max_cells} cells",
                hint="read it with `records: reference`, or raise the setting max_cells of connector:file",
            )
    return found


def parquet_columns(path: Path) -> list[str]:
    """The names of its columns.

    Raises:
        ConnectorError: It is no file of Parquet, or the library is not installed.
    """
    try:
        with open_parquet(str(path)) as engine:
            found = [row for rows_ in engine.rows(f"DESCRIBE SELECT * FROM {engine.source}") for row in rows_]  # noqa: S608
    except TableUnfit as error:
        raise _unreadable(path, error) from None
    return [str(row[0]) for row in found]


def _unreadable(path: Path, error: TableUnfit) -> ConnectorError:
    missing = "not installed" in str(error)
    hint = "pip install intendant-connector-file[parquet]" if missing else ""
    what = (
        "Parquet needs a library that is not installed" if missing else f"it is no file of Parquet: {error}"[:300]
    )
    return ConnectorError(f"{path.name}: {what}", hint=hint)


def _open(path: Path) -> Any:
    return os.fdopen(open_regular(path, os.O_RDONLY), "rb")


def _head(path: Path) -> bytes:
    with _open(path) as file:
        head: bytes = file.read(HEAD)
    return head


def _text(path: Path, codec: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(_open(path), encoding="utf-8-sig" if codec == "utf-8" else codec, newline="")


def _json_lines(path: Path, codec: str) -> Iterator[list[Json]]:
    with _text(path, codec) as file:
        numbered = enumerate(_decoded(file, path), 1)
        while lines := list(islice(numbered, ROWS)):
            if found := [
                line_value(line, f"{path.name}, line {number}") for number, line in lines if line.strip()
            ]:
                yield found


def _decoded(file: io.TextIOWrapper, path: Path) -> Iterator[str]:
    try:
        yield from iter(lambda: file.readline(LONGEST), "")
    except UnicodeDecodeError as error:
        hint = "name the right encoding, such as `encoding: cp1252`"
        raise ConnectorError(f"{path.name} is not {file.encoding}: {error.reason}", hint=hint) from None


class _Csv:
    """One file of delimited text."""

    def __init__(self, path: Path, codec: str, table: Mapping[str, Any]) -> None:
        self.path, self.codec, self.how = path, codec, table
        with _text(path, codec) as file:
            try:
                head = file.read(HEAD)
            except UnicodeDecodeError as error:
                hint = "name the right encoding, such as `encoding: cp1252`"
                raise ConnectorError(f"{path.name} is not {codec}: byte {error.start}", hint=hint) from None
        text, chosen, self.skipped = opened(head, table["delimiter"], table.get("skip", 0))
        lines = re.split(r"(?<=[\n\r])(?!\n)", text)[:200]
        self.delimiter = chosen or sniff("".join(lines))
        first = next(rows(text, self.delimiter, path.name, first=self.skipped), (0, []))[1]
        self.cut = 0
        """Columns at the end that have no name; they must be empty."""
        self.width = len(first)
        self.titles: list[str] = [f"column_{index + 1}" for index in range(len(first))]
        if table["header"] and first:
            titles = [title.strip() for title in first]
            while len(titles) > 1 and not titles[-1] and table["names"] != "repair":
                titles.pop()
                self.cut += 1
            self.titles = named(titles, path.name, repair=table["names"] == "repair")

    def cells(self) -> Iterator[list[list[str]]]:
        """The rows below the header, in batches, each as long as the header."""
        if csv.field_size_limit() < LONGEST:
            csv.field_size_limit(LONGEST)
        with _text(self.path, self.codec) as file:
            for _ in range(self.skipped):
                file.readline()
            reader = csv.reader(_decoded(file, self.path), delimiter=self.delimiter, strict=True)
            below = (row for row in reader if row)
            try:
                if self.how["header"]:
                    next(below, None)
                while found := list(islice(below, ROWS)):
                    yield self._even(found, reader)
            except csv.Error as error:
                hint = "a quote inside a quoted value is doubled; see also `delimiter`"
                place = f"{self.path.name}, line {self.skipped + reader.line_num}"
                raise ConnectorError(f"{place}: {error}", hint=hint) from None

    def _even(self, found: list[list[str]], reader: Any) -> list[list[str]]:
        """The rows, all of the header's length; as they are where they are so already."""
        width, named_ = self.width, len(self.titles)
        if not self.cut and all(len(row) == width for row in found):
            return found
        for index, row in enumerate(found):
            odd = len(row) > width if self.how["ragged"] == "pad" else len(row) != width
            if odd or any(row[named_:]):
                near = self.skipped + reader.line_num
                raise ConnectorError(
                    f"{self.path.name}, near line {near}: {len(row)} values, but the header has {named_}",
                    hint="quote values that hold the delimiter; `ragged: pad` fills rows that are too short",
                )
            found[index] = row[:named_]
        return found

    def records(self, kinds: Sequence[str] | None) -> Iterator[list[Json]]:
        """The rows as records, or as lists where there is no header."""
        titles, header, full = self.titles, self.how["header"], len(self.titles)
        for batch in self.cells():
            values: list[Any] = batch
            if kinds is not None:
                sign = self.how.get("decimal")
                values = [
                    [typed_cell(cell, kind, sign) for cell, kind in zip(row, kinds, strict=False)] for row in batch
                ]
            if any(len(row) < full for row in batch):
                values = [row + [None] * (full - len(row)) for row in values]
            yield [dict(zip(titles, row, strict=True)) for row in values] if header else values


def _kinds(paths: Sequence[Path], encoding: str | None, table: Mapping[str, Any], notes: list[str]) -> list[str]:
    """What the columns of all files hold: `integer`, `number`, `boolean` or `text`."""
    guesses: list[TypeGuess] = []
    titles: list[str] = []
    for path in paths:
        reader = _Csv(path, encoding_of(_head(path), encoding), table)
        titles += reader.titles[len(guesses) :]
        guesses += [TypeGuess(reader.delimiter, table["decimal"]) for _ in range(len(titles) - len(guesses))]
        for batch in reader.cells():
            for index, column in enumerate(zip(*batch, strict=False)):
                guesses[index].look(column)
    name = paths[0].name
    notes += [guess.doubt(name, title) for guess, title in zip(guesses, titles, strict=True) if guess.open]
    return [guess.kind for guess in guesses]
