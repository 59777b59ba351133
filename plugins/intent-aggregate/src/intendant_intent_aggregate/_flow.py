"""Aggregates records that are too many to be held: what is kept of a group is what its figures need."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from decimal import Decimal
from itertools import takewhile
from typing import Any

from intendant.plugin import Json, StepError, StepRequest, StepResult, TableUnfit
from intendant.records import (
    as_records,
    composed,
    field_of,
    has_field,
    identity_of,
    in_order,
    order_of,
    require_field,
)
from intendant_intent_aggregate._fast import grouped
from intendant_intent_aggregate._join import Joiner, index_of
from intendant_intent_aggregate._measures import (
    Figures,
    Measure,
    Records,
    extreme_of,
    median,
    percentile,
    written_day,
)
from intendant_intent_aggregate._numbers import as_json, ratio, read_number, total
from intendant_intent_aggregate._parameters import AggregateParameters

Record = dict[str, Json]
COUNT = {"count": Measure(count=True)}


async def aggregated(request: StepRequest[AggregateParameters]) -> StepResult:
    """What the handler gives for a list, of records that a reference names.

    Raises:
        StepError: A record or a value does not fit what is asked of it.
    """
    options = request.parameters
    notes: list[str] = []
    table = await request.records.table(request.input) if options.keys else None
    if table is not None:
        try:
            found = await asyncio.to_thread(grouped, table, options, options.measures or COUNT, notes)
            return StepResult(output=found, notes=tuple(notes))
        except TableUnfit:
            notes.clear()
    rows = _joined(request, notes)
    if not options.keys and not options.measures:
        writer = request.records.writer()
        left = options.limit
        async for batch in rows:
            await writer.add(batch if left is None else batch[:left])
            left = None if left is None else max(0, left - len(batch))
        if options.order:
            held = as_records(await writer.finish(), "what is sorted")
            return StepResult(output=in_order(held, options.order), notes=tuple(notes))
        return StepResult(output=await writer.finish(), notes=tuple(notes))
    figures = Figures(options.on_error)
    groups = _Groups(options, figures)
    async for batch in rows:
        groups.add(batch)
    found = groups.rows(notes)
    notes += figures.notes()
    if not options.keys:
        return StepResult(output=found[0], notes=tuple(notes))
    return StepResult(output=in_order(found, options.order)[: options.limit], notes=tuple(notes))


async def _joined(request: StepRequest[AggregateParameters], notes: list[str]) -> AsyncIterator[list[Record]]:
    """The input with what is merged and joined, batch by batch."""
    options = request.parameters
    if options.join is None:
        async for batch in _merged(request):
            yield batch
        return
    right = as_records(options.join.with_, "`join.with`")
    require_field(right, options.join.keys[1], "record of `join.with`")
    joiner = Joiner(options.join, right, index_of(right, options.join.keys[1]), bounded=False)
    read = made = 0
    async for batch in _merged(request):
        rows = list(joiner.rows(batch))
        read, made = read + len(batch), made + len(rows)
        yield rows
    rest = joiner.rest() if options.join.how == "outer" else []
    yield rest
    notes.append(joiner.told(read, made + len(rest)))


async def _merged(request: StepRequest[AggregateParameters]) -> AsyncIterator[list[Record]]:
    async for batch in request.records.batches(request.input):
        yield as_records(batch)
    for index, more in enumerate(request.parameters.merge):
        yield as_records(more, f"`merge[{index}]`")


class _Groups:
    """The groups so far."""

    def __init__(self, options: AggregateParameters, figures: Figures) -> None:
        self._options, self._figures = options, figures
        self._measures = options.measures or COUNT
        self._groups: dict[Hashable, tuple[Record, list[_Running]]] = {}
        self._read = self._without = 0
        self._first: list[str] = []
        self._awaited = list(options.figured)
        """Fields that figures are made of, and that no record had so far."""
        if not options.keys:
            self._groups[()] = self._group({})

    def _group(self, row: Record) -> tuple[Record, list["_Running"]]:
        return row, [_Running(measure) for measure in self._measures.values()]

    def add(self, batch: list[Record]) -> None:
        """Take the next records in."""
        if batch and not self._first:
            self._first = list(batch[0])
        self._awaited = [field for field in self._awaited if not has_field(batch, field)]
        parts: dict[Hashable, Records] = {}
        keys, plain = self._options.keys, self._options.include_null
        for index, record in enumerate(batch, self._read):
            values = [record[key] if key in record else field_of(record, key) for key in keys]
            if not plain and any(value is None or value == "" for value in values):
                self._without += 1
                continue
            key: Hashable = tuple(map(_identity, values))
            if (part := parts.get(key)) is None:
                part = parts[key] = []
                if key not in self._groups:
                    named = [None if value == "" else value for value in values]
                    self._groups[key] = self._group(dict(zip(keys, named, strict=True)))
            part.append((index, record))
        self._read += len(batch)
        for key, part in parts.items():
            for running in self._groups[key][1]:
                running.add(self._figures, part)

    def rows(self, notes: list[str]) -> list[Record]:
        """A record a group, in the order in which the groups first occur.

        Raises:
            StepError: No record has a value for its key.
        """
        keys = self._options.keys
        if self._read and self._without == self._read:
            hint = f"the first record has: {', '.join(self._first)}"
            raise StepError(f"no record has a value for {', '.join(keys)}", hint=hint)
        if self._read and self._awaited:
            hint = f"the first one has: {', '.join(self._first)}"
            raise StepError(f"no record has the field '{self._awaited[0]}'", hint=hint)
        if keys:
            notes.append(f"{self._read - self._without} records in {len(self._groups)} groups")
        if self._without:
            notes.append(f"{self._without} records without {' or '.join(keys)} left out")
        names = list(self._measures)
        return [
            row | {name: running.value() for name, running in zip(names, found, strict=True)}
            for row, found in self._groups.values()
        ]


def _identity(value: Json) -> Hashable:
    """What tells groups apart, quickest for text: nothing else is written as text alone."""
    if isinstance(value, str):
        return composed(value) or None
    return identity_of(value)


class _Running:
    """One figure of one group, of the records so far."""

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self.count = 0
        self.sum = Decimal(0)
        self.numbers: list[Decimal] = []
        self.distinct: set[Hashable] = set()
        self.values: list[Json] = []
        self._least: list[tuple[int, Json]] = []
        """The smallest or largest value by number, by text and by day, as far as there are such, and what tells by
        which of them it is chosen."""

    def add(self, figures: Figures, records: Records) -> None:
        """Take further records in."""
        field, kind = self.measure.field, self.measure.kind
        if field is True:
            self.count += len(records)
            if kind != "count":
                self._keep(kind, [record for _, record in records])
            return
        name = str(field)
        figures.begin(self.measure)
        values = figures.values(name, records)
        match kind:
            case "count":
                self.count += len(values)
            case "sum" | "mean":
                numbers = figures.numbers(name, values)
                self.count += len(numbers)
                self.sum = total((self.sum, *numbers))
            case "median" | "percentile":
                self.numbers += figures.numbers(name, values)
            case "count_distinct":
                self.distinct.update(identity_of(value) for _, value in values)
            case "min" | "max":
                self._narrow(name, values, largest=kind == "max")
            case _:
                self._keep(kind, [value for _, value in values])

    def _keep(self, kind: str, values: list[Any]) -> None:
        if kind == "collect":
            self.values += values
        elif kind == "last":
            self.values = values[-1:] or self.values
        elif not self.values:
            self.values = values[:1]

    def _narrow(self, name: str, values: list[tuple[int, Json]], *, largest: bool) -> None:
        """Keep what may still be the extreme: one that is a number, one that is text."""
        merged = self._least + values
        numbers = [pair for pair in merged if read_number(pair[1]) is not None]
        others = [pair for pair in merged if read_number(pair[1]) is None]
        if others and not all(isinstance(value, str) for _, value in merged):
            extreme_of(name, merged, largest=largest)  # says which cannot be compared
        choose: Any = max if largest else min
        found = [choose(numbers, key=lambda pair: read_number(pair[1]))] if numbers else []
        texts = [pair for pair in merged if isinstance(pair[1], str)]
        found += [choose(texts, key=lambda pair: order_of(pair[1]))] if texts else []
        found += others[:1]  # tells that not all are numbers
        # Texts that were kept come first: where one of them is no day, the others are not looked at.
        days = list(takewhile(lambda day: day is not None, (written_day(str(text)) for _, text in texts)))
        found += texts[len(days) : len(days) + 1]  # tells that not all are days
        if days and len(days) == len(texts):
            found.append(texts[days.index(choose(filter(None, days)))])
        self._least = list(dict.fromkeys(found))

    def value(self) -> Json:
        """The figure."""
        return _ENDS[self.measure.kind](self)

    def mean(self) -> Json:
        """The sum by the count."""
        return ratio(self.sum, self.count) if self.count else None

    def percentile(self) -> Json:
        """The value so far up."""
        wanted = self.measure.percentile
        return None if wanted is None else percentile(self.numbers, wanted.p)

    def first(self) -> Json:
        """The value that was kept; null if none was."""
        return self.values[0] if self.values else None

    def extreme(self) -> Json:
        """The smallest or largest value."""
        return extreme_of(str(self.measure.field), self._least, largest=self.measure.kind == "max")


_ENDS: dict[str, Callable[["_Running"], Json]] = {
    "count": lambda running: running.count,
    "sum": lambda running: as_json(running.sum),
    "mean": _Running.mean,
    "median": lambda running: median(running.numbers),
    "percentile": _Running.percentile,
    "count_distinct": lambda running: len(running.distinct),
    "min": _Running.extreme,
    "max": _Running.extreme,
    "collect": lambda running: running.values,
    "first": _Running.first,
    "last": _Running.first,
}
