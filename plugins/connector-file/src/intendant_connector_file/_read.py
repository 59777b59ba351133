"""Reads the formats."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from intendant.plugin import UNWATCHED, ConnectorError, Json, Watch, decode_text

SUFFIXES = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".mbox": "mbox",
    ".eml": "eml",
    ".parquet": "parquet",
}
_LARGE = re.compile(r"[eE]\+?\d{3}|\d{309}")
"""What a number that is too large for a double has; others need not be looked at one by one."""
LOOKS = 1000
"""Lines between two looks at the watch."""


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
        ConnectorError: It is no text, or not in that encoding; says where.
    """
    return decode_text(
        data,
        name,
        encoding,
        hint="name the right one, such as `encoding: cp1252`, or use `format: bytes-base64`",
        instead="convert it to text first, or read it with `format: bytes-base64`",
    )


def read_json(text: str, name: str) -> Json:
    """A JSON value.

    Raises:
        ConnectorError: It is not JSON; names the line.
    """
    try:
        return _loads(text)
    except json.JSONDecodeError as error:
        hint = "read it with `format: jsonl`" if error.msg == "Extra data" else ""
        place = f"line {error.lineno}, column {error.colno}"
        raise ConnectorError(f"{name}, {place}: this is not JSON: {error.msg}", hint=hint) from None
    except (ValueError, RecursionError) as error:
        raise ConnectorError(f"{name}: this is not JSON: {_reason(error)}") from None


def _loads(text: str) -> Json:
    if _LARGE.search(text) is None:
        return json.loads(text, parse_constant=_refuse)
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return "a number has too many digits" if "int_max_str_digits" in str(error) else str(error)


def read_jsonl(text: str, name: str, watch: Watch = UNWATCHED) -> list[Json]:
    """The JSON values of the lines; empty lines are no values.

    Raises:
        ConnectorError: A line is not JSON.
    """
    values: list[Json] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if number % LOOKS == 0:
            watch.look()
        if line.strip():
            values.append(line_value(line, f"{name}, line {number}"))
    return values


def line_value(line: str, place: str) -> Json:
    """The value of one line of JSONL.

    Raises:
        ConnectorError: It is not JSON; says where.
    """
    try:
        return _loads(line)
    except json.JSONDecodeError as error:
        raise ConnectorError(f"{place}: this is not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise ConnectorError(f"{place}: this is not JSON: {_reason(error)}") from None


@dataclass(frozen=True, slots=True)
class How:
    """How files are read."""

    encoding: str | None = None
    table: Mapping[str, Any] = field(default_factory=dict)
    """How to read a CSV; see `read_csv`."""
    links: bool = True
    """Whether the addresses of links in HTML mails follow their texts."""
    watch: Watch = UNWATCHED
    notes: list[str] = field(default_factory=list)
    """Takes what a reader should know."""
    content: bool = False
    """Whether attachments of mails have their content."""


def read(data: bytes, path: Path, format_: str, how: How) -> Json:
    """What a file holds.

    Args:
        data: Its bytes.
        path: Its name.
        format_: `text`, `json`, `jsonl`, `csv`, `mbox`, `eml` or `bytes-base64`.
        how: How to read it.
    """
    name = path.name
    if format_ in ("mbox", "eml"):
        return [{**mail, "path": str(path)} for mail in _mails(data, format_, how)]
    if format_ == "bytes-base64":
        return base64.b64encode(data).decode("ascii")
    text = decode(data, name, how.encoding)
    if format_ == "csv":
        from intendant_connector_file._csv import read_csv

        return read_csv(text, name, watch=how.watch, notes=how.notes, **how.table)
    if format_ == "jsonl":
        return read_jsonl(text, name, how.watch)
    return read_json(text, name) if format_ == "json" else text


def _mails(data: bytes, format_: str, how: How) -> list[dict[str, Json]]:
    from intendant.plugin import read_mail, read_mbox

    if format_ == "mbox":
        return read_mbox(data, how.watch, links=how.links, content=how.content)
    return [read_mail(data, how.watch, links=how.links, content=how.content)]
