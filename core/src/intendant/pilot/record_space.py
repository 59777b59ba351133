"""Where a run keeps records that are too many to be held: in compressed chunks, each once, under their digests.

They are kept with the originals of the run: they are verified, erased and pruned with it. A reference can name
nothing but what its own run keeps.
"""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeVar
from zlib import compress, decompress

from pydantic_core import from_json, to_json

from intendant.hooks.connectors import Connector
from intendant.model.errors import OutputInvalid, StepError
from intendant.model.record_access import (
    MARK,
    RecordSource,
    RecordWriter,
    Table,
    cut,
    is_reference,
    reference,
    references_in,
)
from intendant.model.workflow import Json
from intendant.pilot.schemas import Schema
from intendant.record.journal import Journal
from intendant.record.store import originals

PartT = TypeVar("PartT")
HELD = 1 << 20
"""Characters of an output as JSON up to which it stays a list."""
CHUNK = 2 << 20
"""Characters of one chunk before it is compressed."""
MOST_HELD = 256 << 20
"""Bytes of what a reference names up to which it is read into memory for a handler that needs a list."""
LEVEL = 1
"""Of zlib: four times as fast as its default, for a tenth more bytes."""
_WRITE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class RunRecords:
    """The records that one run keeps; `Records` for its handlers.

    Args:
        journal: The run's journal.
        connectors: Those that read what stays in its file.
    """

    def __init__(self, journal: Journal, connectors: Mapping[str, Connector]) -> None:
        self._journal = journal
        self._connectors = connectors

    # --- reading ---

    async def batches(self, value: Json, what: str = "the input") -> AsyncIterator[list[Json]]:
        """The elements of a list, or of what a reference names."""
        if not is_reference(value):
            for batch in cut(value, what):
                yield batch
            return
        index = await self._index(value)
        if "source" in index:
            reading = self._opened(index)
            try:
                while (found := await asyncio.to_thread(_next, reading)) is not None:
                    yield found
            finally:
                reading.close()
            return
        for handle in index["chunks"]:
            lines = await self._chunk(handle)
            yield await asyncio.to_thread(_parsed, lines)

    async def lines(self, value: Json) -> AsyncIterator[str]:
        """What a reference names as JSON, one record a line, in parts."""
        index = await self._index(value)
        if "chunks" not in index:
            async for batch in self.batches(value):
                yield await asyncio.to_thread(_lines_of, batch)
            return
        for handle in index["chunks"]:
            yield await self._chunk(handle)

    async def table(self, value: Json) -> Table | None:
        """The file that a reference stands for, if it is one plain table and has not changed since."""
        if not is_reference(value):
            return None
        index = await self._index(value)
        table = index.get("table")
        if table is None:
            return None
        # It fails where the file is another one by now.
        await asyncio.to_thread(self._connectors[index["connector"]].check_records, index["source"])
        return Table(table["path"], table["delimiter"], tuple(table["columns"]))

    async def held(self, value: Json) -> Json:
        """The value with all references in it replaced by the lists that they name.

        Raises:
            StepError: They are too many to be held.
        """
        if not any(True for _ in references_in(value)):
            return value
        return await self._held(value)

    async def given(self, value: Json, *, flows: bool) -> Json:
        """A step's input as its handler takes it: a reference only where the handler reads it itself."""
        return value if flows and is_reference(value) else await self.held(value)

    async def faults(self, schema: Schema, output: Json) -> list[str]:
        """What of an output does not match a schema; records that flow are checked as lists, batch by batch."""
        if not is_reference(output):
            return await schema.errors_async(output)
        at = 0
        async for batch in self.batches(output):
            if errors := await schema.errors_async(batch):
                return [f"in records {at} to {at + len(batch) - 1}: {errors[0]}"]
            at += len(batch)
        return []

    async def _held(self, value: Json) -> Json:
        if is_reference(value):
            if value["bytes"] > MOST_HELD:
                raise StepError(
                    f"there are {value['bytes'] >> 20} MB of records, more than the {MOST_HELD >> 20} MB that "
                    "this step can hold at once",
                    hint="filter or aggregate them first: those steps read records as they flow",
                )
            return [record async for batch in self.batches(value) for record in batch]
        if isinstance(value, dict):
            return {key: await self._held(item) for key, item in value.items()}
        if isinstance(value, list):
            return [await self._held(item) for item in value]
        return value

    def _opened(self, index: Mapping[str, Any]) -> Any:
        connector = self._connectors.get(index["connector"])
        if connector is None:
            name = index["connector"]
            raise StepError(f"the records were read by the connector '{name}', which is not installed")
        return connector.open_records(index["source"])

    async def _index(self, value: Json) -> dict[str, Any]:
        text = await self._journal.store.do(originals.find(self._journal.run_id, value[MARK]), self._journal.fence)
        if text is None:
            raise StepError(
                "the records that a reference names are not kept with this run",
                hint="they belong to another run, or were erased: run the step anew that read them",
            )
        found: dict[str, Any] = json.loads(text)
        return found

    async def _chunk(self, handle: str) -> str:
        text = await self._journal.store.do(originals.find(self._journal.run_id, handle), self._journal.fence)
        if text is None:
            raise StepError("a part of the records is not kept with this run any more")
        return await asyncio.to_thread(_unpacked, text)

    # --- writing ---

    def writer(self) -> RecordWriter:
        """Writes an output."""
        return _Writer(self)

    async def keep(self, text: str) -> str:
        """Keep a text once; returns its handle."""
        handle = sha256(text.encode()).hexdigest()
        await self._journal.commit(originals.keep(self._journal.run_id, handle, text))
        return handle

    async def keep_source(self, connector: str, source: RecordSource) -> Json:
        """A reference to records that stay where the connector reads them."""
        table = source.table
        index = {
            "connector": connector,
            "source": dict(source.about),
            "table": None
            if table is None
            else {"path": table.path, "delimiter": table.delimiter, "columns": list(table.columns)},
        }
        return reference(await self.keep(_WRITE(index)), None, source.size, source.fields)

    def stream(self, value: Json) -> "ThreadedStream":
        """What a reference names, for code that runs in a thread."""
        return ThreadedStream(self, value, asyncio.get_running_loop())


class ThreadedStream:
    """Records that are too many to be held, for a connector that writes them in a thread: iterate over batches."""

    def __init__(self, space: RunRecords, value: Json, loop: asyncio.AbstractEventLoop) -> None:
        self._space, self._loop = space, loop
        self.reference = value

    def __iter__(self) -> Iterator[list[Json]]:
        return self._waiting_for(self._space.batches(self.reference))

    def json_lines(self) -> Iterator[str]:
        """The records as JSON, one a line, in parts of many lines."""
        return self._waiting_for(self._space.lines(self.reference))

    def _waiting_for(self, parts: AsyncIterator[PartT]) -> Iterator[PartT]:
        async def following() -> PartT | None:
            return await anext(parts, None)

        while (part := asyncio.run_coroutine_threadsafe(following(), self._loop).result()) is not None:
            yield part


class _Writer:
    """Holds records while they are few; else writes them chunk by chunk."""

    def __init__(self, space: RunRecords) -> None:
        self._space = space
        self._lines: list[str] = []
        self._waiting = 0
        self._chunks: list[str] = []
        self._count = self._size = 0
        self._fields: list[str] | None = None

    async def add(self, records: Sequence[Json]) -> None:
        """Write these after those before."""
        if not records:
            return
        try:
            text = await asyncio.to_thread(_lines_of, records)
        except (TypeError, ValueError, RecursionError) as error:
            raise OutputInvalid(f"the output is not JSON: {error}") from None
        await self.add_lines(text, len(records))

    async def add_lines(self, lines: str, count: int) -> None:
        """Write records that are JSON already."""
        if not count:
            return
        if self._fields is None:
            first = from_json(lines[: lines.index("\n")])
            self._fields = list(first) if isinstance(first, dict) else []
        self._lines.append(lines)
        self._count += count
        self._waiting += len(lines)
        self._size += len(lines)
        if self._waiting >= CHUNK:
            await self._flush()

    async def _flush(self) -> None:
        text = "".join(self._lines)
        self._lines, self._waiting = [], 0
        self._chunks.append(await self._space.keep(await asyncio.to_thread(_packed, text)))

    async def finish(self) -> Json:
        """The output: a list where the records are few, else a reference to them."""
        if not self._chunks and self._size <= HELD:
            return _parsed("".join(self._lines))
        if self._lines:
            await self._flush()
        handle = await self._space.keep(_WRITE({"chunks": self._chunks}))
        return reference(handle, self._count, self._size, self._fields or [])


def copied(value: Json) -> Json:
    """A copy, so that a handler that changes its input changes nothing of other steps or of the host."""
    return from_json(to_json(value)) if isinstance(value, dict | list) and value else value


def _lines_of(records: Sequence[Json]) -> str:
    return "".join([f"{_WRITE(record)}\n" for record in records])


def _parsed(lines: str) -> list[Json]:
    body = lines.rstrip("\n")
    found: list[Json] = from_json("[" + body.replace("\n", ",") + "]") if body else []
    return found


def _next(reading: Iterator[list[Json]]) -> list[Json] | None:
    return next(reading, None)


def _packed(text: str) -> str:
    return b64encode(compress(text.encode(), LEVEL)).decode("ascii")


def _unpacked(text: str) -> str:
    return decompress(b64decode(text)).decode()
