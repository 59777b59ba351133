"""Reads the formats."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intendant.plugin import ConnectorError, Json

SUFFIXES = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".mbox": "mbox",
    ".eml": "eml",
}
MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
"""Byte order marks, and the encodings they stand for."""


def format_of(path: Path, asked: str) -> str:
    """The format asked for, or the one that the name's ending stands for; text if it stands for none."""
    return asked if asked != "auto" else SUFFIXES.get(path.suffix.lower(), "text")


def decode(data: bytes, name: str, encoding: str | None) -> str:
    """The text of *data*, without a byte order mark.

    Args:
        data: What the file holds.
        name: What to call it in messages.
        encoding: By default what the byte order mark says, else UTF-8.

    Raises:
        ConnectorError: It is not in that encoding; says where.
    """
    chosen = encoding or next((codec for mark, codec in MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(chosen).removeprefix("\ufeff")
    except LookupError:
        raise ConnectorError(f"there is no encoding '{chosen}'", hint="such as utf-8, latin-1, cp1252") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = "name the right one, such as `encoding: cp1252`, or use `format: bytes-base64`"
        raise ConnectorError(f"{name}, line {line}: byte {error.start} is not {chosen}", hint=hint) from None


def read_json(text: str, name: str) -> Json:
    """A JSON value.

    Raises:
        ConnectorError: It is not JSON; names the line.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        hint = "read it with `format: jsonl`" if error.msg == "Extra data" else ""
        place = f"line {error.lineno}, column {error.colno}"
        raise ConnectorError(f"{name}, {place}: this is not JSON: {error.msg}", hint=hint) from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise ConnectorError(f"{name}: this is not JSON: {reason}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def read_jsonl(text: str, name: str) -> list[Json]:
    """The JSON values of the lines; empty lines are no values.

    Raises:
        ConnectorError: A line is not JSON.
    """
    lines = enumerate(text.split("\n"), start=1)
    return [_line(line, f"{name}, line {number}") for number, line in lines if line.strip()]


def _line(line: str, place: str) -> Json:
    try:
        return json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or "it is nested too deep, or holds what JSON does not allow"
        raise ConnectorError(f"{place}: this is not JSON: {reason}") from None


def read(data: bytes, path: Path, format_: str, encoding: str | None, table: dict[str, Any]) -> Json:
    """What a file holds.

    Args:
        data: Its bytes.
        path: Its name.
        format_: `text`, `json`, `jsonl`, `csv`, `mbox`, `eml` or `bytes-base64`.
        encoding: Of text formats.
        table: How to read a CSV; see `read_csv`.
    """
    name = path.name
    if format_ in ("mbox", "eml"):
        from intendant_connector_file._mail import read_mail, read_mbox

        return read_mbox(data) if format_ == "mbox" else [read_mail(data)]
    if format_ == "bytes-base64":
        return base64.b64encode(data).decode("ascii")
    text = decode(data, name, encoding)
    if format_ == "csv":
        from intendant_connector_file._csv import read_csv

        return read_csv(text, name, **table)
    readers: dict[str, Callable[[str, str], Json]] = {"json": read_json, "jsonl": read_jsonl}
    return readers[format_](text, name) if format_ in readers else text
