"""Lists of records that are too long to be held: references to them, and how handlers read and write them.

A reference stands where the list would stand. It travels through the workflow as a small map; what it names is
kept once, compressed, with the run, or stays in the file that it was read from.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from intendant.model.errors import StepError
from intendant.model.workflow import Json

MARK = "$records"
_KEYS = frozenset((MARK, "count", "bytes", "fields"))
BATCH = 2000
"""Records that are read at once."""


def is_reference(value: Json) -> bool:
    """True for a reference to records, `{"$records": …, "count": …, "bytes": …, "fields": […]}`."""
    return isinstance(value, dict) and value.keys() == _KEYS and isinstance(value[MARK], str)


def reference(handle: str, count: int | None, size: int, fields: Sequence[str]) -> dict[str, Json]:
    """A reference to records.

    Args:
        handle: What the run keeps them under.
        count: How many they are; None where they were not counted.
        size: Bytes, uncompressed.
        fields: The names of the first record's fields.
    """
    return {MARK: handle, "count": count, "bytes": size, "fields": list(fields)}


@dataclass(frozen=True, slots=True)
class Table:
    """A file of delimited text (CSV) whose first line has the names and all of whose values are text."""

    path: str
    delimiter: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordSource:
    """Records that a connector can read as often as they are needed, in place of a list that is too long to hold.

    A connector's operation returns it; what steps get is a reference. The connector's `open_records` reads them.
    """

    about: Mapping[str, Json]
    """What the connector needs to read them again, as JSON; it is kept with the run."""
    size: int
    """Bytes of what is read."""
    fields: tuple[str, ...] = ()
    """The names of the first record's fields."""
    table: Table | None = None
    """Where they are one plain table in one file, which an engine may read by itself."""


@runtime_checkable
class RecordStream(Protocol):
    """Records that are too many to be held, for a connector; read it in a thread, not in the event loop."""

    def __iter__(self) -> Iterator[list[Json]]:
        """The records, in batches."""

    def json_lines(self) -> Iterator[str]:
        """The records as JSON, one a line, in parts of many lines."""


class RecordWriter(Protocol):
    """Writes the records of one output, one batch after the other."""

    async def add(self, records: Sequence[Json]) -> None:
        """Write these after those before."""

    async def add_lines(self, lines: str, count: int) -> None:
        """Write records that are JSON already: one a line, each line ended."""

    async def finish(self) -> Json:
        """The output: a list where the records are few, else a reference to them."""


class Records(Protocol):
    """How a handler that `flows` reads its input and writes its output, batch by batch, in bounded memory."""

    def batches(self, value: Json, what: str = "the input") -> AsyncIterator[list[Json]]:
        """The elements of a list, or of what a reference names.

        Raises:
            StepError: It is neither, or what it names cannot be read any more.
        """

    def writer(self) -> RecordWriter:
        """Writes an output."""

    async def table(self, value: Json) -> Table | None:
        """The file that a reference stands for, if it is one plain table and has not changed since; else None."""


@dataclass(slots=True)
class ListWriter:
    """Writes an output as a list, whatever its length."""

    _records: list[Json] = field(default_factory=list)

    async def add(self, records: Sequence[Json]) -> None:
        """Write these after those before."""
        self._records += records

    async def add_lines(self, lines: str, count: int) -> None:  # noqa: ARG002  # part of the protocol
        """Write records that are JSON already."""
        from pydantic_core import from_json

        self._records += map(from_json, lines.splitlines())

    async def finish(self) -> Json:
        """The list."""
        return self._records


class ListRecords:
    """What handlers get where there is no run: lists only."""

    async def batches(self, value: Json, what: str = "the input") -> AsyncIterator[list[Json]]:
        """The elements of a list."""
        for batch in cut(value, what):
            yield batch

    def writer(self) -> RecordWriter:
        """Writes a list."""
        return ListWriter()

    async def table(self, value: Json) -> Table | None:  # noqa: ARG002  # part of the protocol
        """None."""
        return None


def cut(value: Json, what: str) -> Iterator[list[Json]]:
    """A list in batches.

    Raises:
        StepError: It is no list.
    """
    if not isinstance(value, list):
        raise StepError(f"{what} must be a list of records, not {type(value).__name__}")
    for at in range(0, len(value), BATCH):
        yield value[at : at + BATCH]


def references_in(value: Json) -> Iterable[Json]:
    """References that stand in a value or in its maps; lists are looked through only where they are short."""
    pending: list[Any] = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            if is_reference(part):
                yield part
            else:
                pending += part.values()
        elif isinstance(part, list) and len(part) <= SHORT:
            pending += part


SHORT = 64
"""Elements of a list that is looked through for references."""
