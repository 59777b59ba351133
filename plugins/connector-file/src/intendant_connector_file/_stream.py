"""Writes records that are too many to be held, batch by batch."""

from collections.abc import Iterable, Iterator

from intendant.plugin import ConnectorError, Json, RecordStream
from intendant_connector_file._write import encoded as bytes_of, to_csv


def encoded(stream: RecordStream, format_: str, codec: str) -> Iterator[bytes]:
    """The records in a format, in parts.

    Args:
        stream: The records.
        format_: `json`, `jsonl` or `csv`.
        codec: The encoding.

    Raises:
        ConnectorError: The format takes no records, or a record has other fields than the first ones of a CSV.
    """
    match format_:
        case "json":
            parts = _json(stream.json_lines())
        case "jsonl":
            parts = stream.json_lines()
        case "csv":
            parts = _csv(stream)
        case _:
            raise ConnectorError(
                f"records that flow are not written as {format_}", hint="write them as json, jsonl or csv"
            )
    # A byte order mark belongs to the first part only.
    plain = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(codec, codec)
    for number, part in enumerate(parts):
        yield bytes_of(part, plain if number else codec)


def _json(parts: Iterable[str]) -> Iterator[str]:
    """One JSON list, a record a line."""
    before = "["
    for lines in parts:
        yield before + "\n" + lines.rstrip("\n").replace("\n", ",\n")
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _csv(batches: Iterable[list[Json]]) -> Iterator[str]:
    columns: list[str] | None = None
    for batch in batches:
        odd = next((record for record in batch if not isinstance(record, dict)), None)
        if odd is not None:
            raise ConnectorError("format csv takes records", hint="write them as jsonl")
        header = columns is None
        if columns is None:
            columns = list(dict.fromkeys(name for record in batch for name in record))
        more = next((name for record in batch for name in record if name not in columns), None)
        if more is not None:
            raise ConnectorError(
                f"a record has a field '{more}' that the first ones lack, and the header is written already",
                hint="write them as jsonl, or give all records the same fields with a transform",
            )
        yield to_csv(batch, columns, header=header)
