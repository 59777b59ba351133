"""Writes the formats. A file is there as a whole, or not at all."""

import base64
import json
import os
import re
import secrets
from codecs import getincrementaldecoder
from collections.abc import Iterable
from contextlib import suppress
from filecmp import cmp
from hashlib import sha256
from pathlib import Path
from typing import IO
from unicodedata import normalize

from intendant.plugin import ConnectorError, Json, codec_of, encoding_of, open_regular
from intendant.records import describe_value
from intendant_connector_file._csv import MAX_CELLS
from intendant_connector_file._dialect import Dialect, dialect_of

SHOWN = 80
"""Characters of a value that a message shows."""
HEAD = 1 << 20
"""Bytes of a file by which it is told how to append to it."""

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
    if format_ == "bytes-base64":
        return _bytes(value)
    return encoded(_text(value, format_), codec_of(encoding))


def _bytes(value: Json) -> bytes:
    """The bytes that a text in Base64 stands for."""
    try:
        if isinstance(value, str):
            return base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        pass  # told below
    raise ConnectorError(
        f"format bytes-base64 takes a text in Base64, not {describe_value(value)[:SHOWN]}",
        hint="such as the `content` of a mail's attachment, or what `file.read` gives with the same format",
        delivered=False,
    )


def encoded(text: str, codec: str) -> bytes:
    """*text* as bytes.

    Raises:
        ConnectorError: A character cannot be written in that encoding.
    """
    try:
        return text.encode(codec)
    except UnicodeEncodeError as error:
        raise ConnectorError(
            f"character {error.start} cannot be written in {codec}", hint="use `encoding: utf-8`"
        ) from None


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


def to_csv(
    records: list[dict[str, Json]],
    columns: list[str] | None = None,
    *,
    header: bool = True,
    dialect: Dialect = Dialect(),  # noqa: B008  # it is frozen
) -> str:
    """A CSV by RFC 4180, but with single line feeds unless *dialect* has others.

    Null becomes empty, data within a field JSON.

    Raises:
        ConnectorError: Records times columns are more than `MAX_CELLS`.
    """
    names = columns_of(records) if columns is None else columns
    if len(records) * len(names) > MAX_CELLS:
        raise ConnectorError(
            f"{len(records)} records with {len(names)} different fields are more than {MAX_CELLS} cells",
            hint="write fewer at once, or write them as jsonl",
        )
    rows = [names] if header and names else []
    rows += [[_cell(record.get(name), dialect.decimal) for name in names] for record in records]
    return "".join(_row(row, dialect) for row in rows)


def _row(row: list[str], dialect: Dialect) -> str:
    special = (dialect.delimiter, '"', "\r", "\n")
    # The standard library's writer leaves a carriage return unquoted before Python 3.13.
    cells = [
        '"' + cell.replace('"', '""') + '"' if dialect.quote_all or any(sign in cell for sign in special) else cell
        for cell in row
    ]
    return (dialect.delimiter.join(cells) or '""') + dialect.newline


def _cell(value: Json, decimal: str = ".") -> str:
    if value is None:
        return ""
    if isinstance(value, float) and decimal != ".":
        return json.dumps(value).replace(".", decimal)
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
    replace_by(path, [data], only_new=only_new)


def replace_by(path: Path, parts: Iterable[bytes], *, only_new: bool) -> dict[str, Json]:
    """`replace` with data that comes in parts; returns its size and digest."""
    if path.is_dir():
        raise ConnectorError(f"{path} is a folder", hint="name a file in it")
    draft = path.with_name(f".{path.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:  # the draft is no name that anybody knows
        raise ConnectorError(f"{path} cannot be written: {error.strerror}", delivered=False) from None
    digest, size = sha256(), 0
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
                digest.update(part)
                size += len(part)
            file.flush()
            os.fsync(handle)
        if only_new:
            _link(draft, path)
        else:
            with suppress(FileNotFoundError):
                draft.chmod(path.stat().st_mode & 0o7777)
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _flush_folder(path.parent)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _link(draft: Path, path: Path) -> None:
    """Gives the draft its name, unless that is taken. By an equal file it may be: a repeated delivery left it."""
    try:
        os.link(draft, path)
    except FileExistsError:
        if not cmp(draft, path, shallow=False):
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


def append(path: Path, value: Json, format_: str, encoding: str | None) -> bytes:
    """Write *value* after what is there, in the encoding and, for a CSV, in the dialect of that.

    Args:
        path: The file, links resolved; folders that are missing are made.
        value: What to write.
        format_: Any but `json`.
        encoding: By default what the file's byte order mark says, else UTF-8.

    Returns:
        What was written.

    Raises:
        ConnectorError: A CSV has other columns than the records, or the format cannot be appended to.
    """
    if format_ == "json":
        raise ConnectorError("a JSON file cannot be appended to", hint="use the format jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "r+b") as file:  # noqa: PTH123  # a handle
        head = file.read(HEAD)
        codec = encoding_of(head, encoding)
        start = _beginning(head, codec, path.name, whole=len(head) < HEAD)
        text = _next_rows(start, value, path) if format_ == "csv" and start.strip() else _text(value, format_)
        end = _line_end(start)
        size = file.seek(0, os.SEEK_END)
        if size and not _ends_line(file, size, plain_codec(codec, head)):
            text = end + text
        data = encoded(text, plain_codec(codec, head) if size else codec)
        file.seek(0, os.SEEK_END)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return data


def plain_codec(codec: str, head: bytes) -> str:
    """The codec that adds to text which has a byte order mark already."""
    big = head.startswith((b"\xfe\xff", b"\x00\x00\xfe\xff"))
    if codec in ("utf-16", "utf-32"):
        return f"{codec}-{'be' if big else 'le'}"
    return "utf-8" if codec == "utf-8-sig" else codec


def _beginning(head: bytes, codec: str, name: str, *, whole: bool) -> str:
    """The text of the file's beginning; a character that is cut at its end is left out."""
    decoder = getincrementaldecoder(codec)()
    try:
        return decoder.decode(head, whole).removeprefix("\ufeff")
    except UnicodeDecodeError:
        hint = "name the file's encoding, such as `encoding: cp1252`, so that all of it is in one"
        raise ConnectorError(f"{name} is not {codec}", hint=hint) from None


def _line_end(start: str) -> str:
    found = re.search(r"\r\n|\r|\n", start)
    return found[0] if found else "\n"


def _ends_line(file: IO[bytes], size: int, codec: str) -> bool:
    """True if the file's last character ends a line."""
    width = len("\n".encode(codec))
    file.seek(-min(width, size), os.SEEK_END)
    return file.read(width) in ("\n".encode(codec), "\r".encode(codec))


def _next_rows(start: str, value: Json, path: Path) -> str:
    """The records as further rows of the table that begins with *start*."""
    records = _records(value, "csv")
    dialect, header = dialect_of(start)
    titles = [title.strip() for title in header]
    columns = {normalize("NFC", title): title for title in titles}
    if len(columns) < len(titles):
        twice = next(title for title in titles if titles.count(title) > 1)
        raise ConnectorError(f"{path.name}: the header has '{twice}' twice", hint="rename one of the columns")
    renamed = [
        {columns.get(normalize("NFC", name), name): item for name, item in record.items()} for record in records
    ]
    odd = [name for name in columns_of(renamed) if name not in titles]
    if odd:
        raise ConnectorError(f"{path.name} has no column '{odd[0]}'", hint=f"it has: {', '.join(titles)}")
    return to_csv(renamed, titles, header=False, dialect=dialect)


def receipt(path: str, data: bytes) -> dict[str, Json]:
    """What was written, for the record."""
    return {"path": path, "bytes": len(data), "sha256": sha256(data).hexdigest()}
