"""Filters records that are too many to be held: one batch after the other, in bounded memory."""

from collections.abc import Iterator
from hashlib import blake2b

from intendant.plugin import ExpressionFailed, Json, StepError, StepRequest, StepResult, TableUnfit
from intendant.records import field_of, identity_of, record_name
from intendant_intent_filter._conditions import Condition, contains, hint_of
from intendant_intent_filter._fast import filtered_fast
from intendant_intent_filter._parameters import FilterParameters
from intendant_intent_filter._sets import tests_of, told_by


async def filtered(request: StepRequest[FilterParameters]) -> StepResult:
    """The records that a reference names and that match, in their order; the notes count what was dropped and why.

    Raises:
        StepError: A record cannot be judged.
    """
    if (table := await request.records.table(request.input)) is not None:
        try:
            return await filtered_fast(request, table)
        except TableUnfit:
            pass  # its result could differ from ours: read record by record
    sieve = _Sieve(request.parameters)
    writer = request.records.writer()
    reading = request.records.batches(request.input)
    try:
        async for batch in reading:
            await writer.add(await sieve.kept(batch))
            if sieve.full:
                break
    finally:
        await reading.aclose()  # type: ignore[attr-defined]
    return StepResult(output=await writer.finish(), notes=tuple(sieve.notes()))


class _Sieve:
    """What a filter remembers between batches."""

    def __init__(self, options: FilterParameters) -> None:
        self._options = options
        self._condition = None if options.where is None else Condition(options.where, options.values)
        self._words = None if options.contains_any is None else options.contains_any.wanted
        self._tests = tests_of(options.between, options.only_in, options.not_in)
        self._seen: set[bytes] = set()
        self._failed: list[str] = []
        self._failures = self._duplicates = self._matched = self._kept = self._read = 0

    @property
    def full(self) -> bool:
        """True if the limit is reached."""
        limit = self._options.limit
        return limit is not None and self._kept >= limit

    async def kept(self, batch: list[Json]) -> list[Json]:
        """The records of the next batch that are kept."""
        options, first = self._options, self._read
        found = (
            batch
            if self._condition is None
            else [item for index, item in enumerate(batch) if await self._matches(item, first + index)]
        )
        if options.contains_any is not None and self._words is not None:
            fields, words = options.contains_any.fields, self._words
            found = [item for item in found if any(contains(field_of(item, name), words) for name in fields)]
        for test in self._tests:
            found = [item for item in found if test(item)]
        if options.unique_by is not None:
            found = list(self._once(found))
        start = max(0, options.offset - self._matched)
        self._matched += len(found)
        self._read += len(batch)
        found = found[start:] if options.limit is None else found[start:][: options.limit - self._kept]
        self._kept += len(found)
        return found

    async def _matches(self, item: Json, index: int) -> bool:
        assert self._condition is not None  # noqa: S101  # only asked where there is one
        try:
            return await self._condition.test(item, index)
        except ExpressionFailed as error:
            self._failures += 1
            if not self._failed or self._options.on_error == "fail":
                self._failed.append(f"{record_name(item, index)}: {error.message}")
            if self._options.on_error == "fail":
                raise StepError(self._failed[-1], hint=hint_of(error.message)) from None
            return self._options.on_error == "keep"

    def _once(self, items: list[Json]) -> Iterator[Json]:
        """The records whose fields were not seen yet; of what was seen, sixteen bytes each are remembered."""
        names = self._options.unique_names
        for item in items:
            values = [item] if names == ["*"] else [field_of(item, name) for name in names]
            if names != ["*"] and all(value is None for value in values):
                yield item
                continue
            identity = repr(tuple(identity_of(value) for value in values)).encode("utf-8", "surrogatepass")
            key = blake2b(identity, digest_size=16).digest()
            if key in self._seen:
                self._duplicates += 1
            else:
                self._seen.add(key)
                yield item

    def notes(self) -> Iterator[str]:
        """What a reader should know."""
        more = ", and did not read the others" if self.full else ""
        yield f"kept {self._kept} of {self._read} records, dropped {self._read - self._kept}{more}"
        yield from told_by(self._tests)
        if self._duplicates:
            names = ", ".join(self._options.unique_names)
            yield f"{self._duplicates} duplicates by {names}, of which the first is kept"
        if self._failed:
            deed = {"drop": "dropped", "keep": "kept"}[self._options.on_error]
            yield f"{self._failures} could not be evaluated and were {deed}; the first: {self._failed[0]}"
