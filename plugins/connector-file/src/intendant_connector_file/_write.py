"""Writes the formats. A file is there as a whole, or not at all."""

import csv
import json
import os
import secrets
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from intendant.plugin import ConnectorError, Json

SUFFIXES = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".md": "markdown",
    ".markdown": "markdown",
}


def format_of(path: Path, asked: str, value: Json) -> str:
    """The format asked for, else the one of the name's ending; else text for text and JSON for data."""
    if asked != "auto":
        return asked
    return SUFFIXES.get(path.suffix.lower(), "text" if isinstance(value, str) else "json")


def encode(value: Json, format_: str, encoding: str = "utf-8") -> bytes:
    """*value* in a format.

    Raises:
        ConnectorError: It cannot be written in it.
    """
    text = _text(value, format_)
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise ConnectorError(
            f"character {error.start} cannot be written in {encoding}", hint="use `encoding: utf-8`"
        ) from None
    except LookupError:
        raise ConnectorError(f"there is no encoding '{encoding}'", hint="such as utf-8, latin-1, cp1252") from None


def _text(value: Json, format_: str) -> str:
    match format_:
        case "json":
            return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        case "jsonl":
            items = value if isinstance(value, list) else [value]
            return "".join(json.dumps(item, ensure_ascii=False, allow_nan=False) + "\n" for item in items)
        case "csv":
            return value if isinstance(value, str) else to_csv(_records(value, "csv"))
        case "markdown" if not isinstance(value, str):
            return _markdown(_records(value, "markdown"))
    if isinstance(value, str):
        return value
    hint = "write it as json, or make text of it with a transform"
    raise ConnectorError(f"format {format_} takes text, not {type(value).__name__}", hint=hint)


def _records(value: Json, format_: str) -> list[dict[str, Json]]:
    records = [value] if isinstance(value, dict) else value
    if isinstance(records, list) and all(isinstance(record, dict) for record in records):
        return records
    raise ConnectorError(f"format {format_} takes text or a list of records", hint="write it as json")


def columns_of(records: list[dict[str, Json]]) -> list[str]:
    """The fields of all records, in the order in which they first occur."""
    return list(dict.fromkeys(name for record in records for name in record))


def to_csv(records: list[dict[str, Json]], columns: list[str] | None = None, *, header: bool = True) -> str:
    """A CSV by RFC 4180, but with single line feeds. Null becomes empty, data within a field JSON."""
    names = columns_of(records) if columns is None else columns
    rows = [names] if header and names else []
    rows += [[_cell(record.get(name)) for name in names] for record in records]
    return "".join((",".join(map(_quoted, row)) or '""') + "\n" for row in rows)


def _quoted(cell: str) -> str:
    # The standard library's writer leaves a carriage return unquoted before Python 3.13.
    return '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in ',"\r\n') else cell


def _cell(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _markdown(records: list[dict[str, Json]]) -> str:
    names = columns_of(records)
    rows = [[_escaped(name) for name in names], ["---"] * len(names)]
    rows += [[_escaped(_cell(record.get(name))) for name in names] for record in records]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows) if names else ""


def _escaped(cell: str) -> str:
    return "<br>".join(cell.replace("\\", "\\\\").replace("|", "\\|").splitlines())


def replace(path: Path, data: bytes, *, only_new: bool) -> None:
    """Put *data* in place of what is there, if anything, in one step; on the disk when this returns.

    Args:
        path: The file, links resolved; folders that are missing are made.
        data: Its new content.
        only_new: Refuses to replace a file of other content.

    Raises:
        ConnectorError: The file is there already, and *only_new* is asked for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise ConnectorError(f"{path} is a folder", hint="name a file in it")
    draft = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}.tmp")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        if only_new:
            _link(draft, path, data)
        else:
            with suppress(FileNotFoundError):
                draft.chmod(path.stat().st_mode & 0o7777)
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _flush_folder(path.parent)


def _link(draft: Path, path: Path, data: bytes) -> None:
    """Gives the draft its name, unless that is taken. By an equal file it may be: a repeated delivery left it."""
    try:
        os.link(draft, path)
    except FileExistsError:
        if path.stat().st_size != len(data) or path.read_bytes() != data:
            hint = "`mode: replace` writes over it"
            raise ConnectorError(f"{path} is there already, with other content", hint=hint) from None


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere folders cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append(path: Path, value: Json, format_: str, encoding: str) -> bytes:
    """Write *value* after what is there; returns what was written.

    Raises:
        ConnectorError: A CSV has other columns than the records, or the format cannot be appended to.
    """
    if format_ == "json":
        raise ConnectorError("a JSON file cannot be appended to", hint="use the format jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:  # noqa: PTH123  # one handle to read and append
        file.seek(0)
        data = (
            _next_rows(file.readline(), value, path, encoding)
            if format_ == "csv"
            else encode(value, format_, encoding)
        )
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(-1, os.SEEK_END)
            data = data if file.read(1) == b"\n" else b"\n" + data
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return data


def _next_rows(first_line: bytes, value: Json, path: Path, encoding: str) -> bytes:
    records = _records(value, "csv")
    if not first_line.strip():
        return encode(to_csv(records), "text", encoding)
    header: list[Any] = next(csv.reader([first_line.decode(encoding).removeprefix("\ufeff")]))
    odd = [name for name in columns_of(records) if name not in header]
    if odd:
        raise ConnectorError(f"{path.name} has no column '{odd[0]}'", hint=f"it has: {', '.join(header)}")
    return encode(to_csv(records, header, header=False), "text", encoding)


def receipt(path: str, data: bytes) -> dict[str, Json]:
    """What was written, for the record."""
    return {"path": path, "bytes": len(data), "sha256": sha256(data).hexdigest()}
