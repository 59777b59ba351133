"""Executes a step, or a group of steps, once for each item of a list."""

import asyncio
from asyncio import sleep
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from time import monotonic
from typing import Any
from urllib.parse import unquote

from pydantic_core import PydanticSerializationError, to_json

from intendant import events
from intendant.model.errors import ExpressionFailed, Fenced, IntendantError, StepError
from intendant.model.fault_words import shown
from intendant.model.references import ROOTS
from intendant.model.results import PAUSED, Failure, StepOutcome, StepStatus
from intendant.model.workflow import Json, Step
from intendant.pilot.conditions import Expression
from intendant.pilot.execution import failure_of, output_text
from intendant.pilot.frames import Frame, counts_of, totals
from intendant.pilot.graph import CONDITION_NAMES
from intendant.pilot.record_space import RunRecords
from intendant.pilot.recording import ItemBatch, ItemRecorder
from intendant.pilot.resolving import resolve
from intendant.pilot.steps import Place, composite, work
from intendant.text.hashing import digest_of

LONGEST_KEY = 80
"""Characters of an item's key in addresses; a longer one ends with a part of its digest."""
BREATH_SECONDS = 0.02
"""How long items that never wait are executed before the event loop may do something else."""
SHOWN = 3
"""Failed items that a note names."""


async def run_items(frame: Frame, step: Step) -> StepOutcome:
    """Execute a step for each item of its list.

    Items that were done before are kept, where both their key and what they are agree.

    Raises:
        StepError: It has no list or one that is too long, two items have the same key, or the outputs cannot be
            gathered.
    """
    scope = frame.scope(step)
    context = frame.run.context
    items = await RunRecords(context.journal, context.plugins.connectors).held(resolve(step.for_each, scope))
    if not isinstance(items, list):
        raise StepError(f"`for_each` is {_kind(items)}, not a list", hint="name a list, such as steps.read.output")
    most = frame.run.context.settings.run.max_items
    if len(items) > most:
        raise StepError(
            f"`for_each` has {len(items):,} items, more than the {most:,} that one list may have",
            hint="shorten the list, or raise run.max_items",
        )
    return await _Map(frame, step, items, keys_of(step, items, scope)).run()


def keys_of(step: Step, items: Sequence[Json], scope: Mapping[str, Json]) -> list[str]:
    """The keys of items, as they stand in addresses.

    Raises:
        StepError: Two items have the same key, or an item has none.
    """
    if step.key is None:
        return [str(index) for index in range(len(items))]
    keys: dict[str, int] = {}
    for index, (item, value) in enumerate(zip(items, _key_values(step, items, scope), strict=True)):
        if value is None or value == "" or isinstance(value, dict | list):
            raise StepError(
                f"`key` of item {index} is {_kind(value)}: {shown(item)}",
                hint="name a field that each item has, leave those without it out in a filter, or say no `key`",
            )
        key = address_key(value if isinstance(value, str) else output_text(value))
        if key in keys:
            raise StepError(
                f"the items {keys[key]} and {index} have the same key '{key}'",
                hint="use a key that tells them apart, drop copies in a filter with `unique_by`, or say no `key`",
            )
        keys[key] = index
    return list(keys)


def _key_values(step: Step, items: Sequence[Json], scope: Mapping[str, Json]) -> Iterator[Json]:
    name, source = step.item_name, step.key or ""
    if "{{" in source:
        yield from (resolve(source, {**scope, name: item}) for item in items)
        return
    expression = Expression(
        source, (*(variable for variable in scope if variable not in ROOTS), *CONDITION_NAMES, name)
    )
    known = {**scope, "steps": {}}
    for index, item in enumerate(items):
        try:
            yield expression.evaluate(**{**known, name: item})
        except ExpressionFailed as error:
            raise StepError(f"`key` of item {index}: {error.message}", hint=error.hint) from None


def address_key(text: str) -> str:
    """A key as it stands in addresses: without what these are made of, and not too long."""
    for mark in "%[]/":
        text = text.replace(mark, f"%{ord(mark):02X}")
    text = "".join(letter if letter.isprintable() else "%20" for letter in text)
    if len(text) <= LONGEST_KEY:
        return text
    return f"{text[: LONGEST_KEY - 9]}~{digest_of(text)[:8]}"


def _kind(value: Json) -> str:
    names = {dict: "a map", str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


@dataclass(slots=True)
class _Map:
    """One list, while its items are executed."""

    frame: Frame
    step: Step
    items: Sequence[Json]
    keys: Sequence[str]
    outputs: list[Json] = field(default_factory=list)
    statuses: list[StepStatus] = field(default_factory=list)
    failures: dict[int, Failure] = field(default_factory=dict)
    waits: list[StepOutcome] = field(default_factory=list)
    took: list[StepOutcome] = field(default_factory=list)
    """What items took together: of some of them, then of all."""
    overwritten: dict[str, str] = field(default_factory=dict)
    """Keys that a merge was given different values for, and the item whose value was taken."""
    stopped: bool = False
    paused: bool = False
    """True if items are left because the run is to pause."""
    scope: Mapping[str, Json] = field(init=False)
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.scope = self.frame.scope(self.step)
        self.address = f"{self.frame.address}{self.step.id}"

    async def run(self) -> StepOutcome:
        started, frame = monotonic(), self.frame
        total = len(self.items)
        self.outputs = [None] * total
        self.statuses = [StepStatus.pending] * total
        batch = frame.recorder.batch or ItemBatch(frame.run.journal, self.address)
        if frame.recorder.batch is None:
            frame.run.journal.step(self.address).record(events.ItemsStarted, total=total, kept=self._kept())
        try:
            await self._all(batch)
        finally:
            if frame.recorder.batch is None:
                batch.flush()
        return self._ended(monotonic() - started)

    def _kept(self) -> int:
        """Items that were done before, as far as their keys say."""
        known = self.frame.run.kept
        if not known:
            return 0
        found = (known.get(f"{self.address}[{key}]") for key in self.keys)
        return sum(outcome is not None and outcome.is_done for outcome in found)

    async def _all(self, batch: ItemBatch) -> None:
        positions = iter(range(len(self.items)))
        width = min(self.step.concurrency or self.frame.run.max_parallel, len(self.items))
        if width <= 1:
            await self._several(batch, positions)
            return
        workers = [asyncio.create_task(self._several(batch, positions)) for _ in range(width)]
        try:
            await asyncio.gather(*workers)
        except BaseException:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            raise

    async def _several(self, batch: ItemBatch, positions: Iterator[int]) -> None:
        """Execute items, one after the other, until none is left."""
        breath = monotonic() + BREATH_SECONDS
        for index in positions:
            if self.frame.run.paused:
                self.paused = True
                return
            self._note(index, await self._item(index, batch))
            if self.stopped:
                return
            if monotonic() > breath:
                await sleep(0)
                breath = monotonic() + BREATH_SECONDS

    async def _item(self, index: int, batch: ItemBatch) -> StepOutcome:
        frame, step, item = self.frame, self.step, self.items[index]
        address = f"{self.address}[{self.keys[index]}]"
        # Of this run and its forks alone: the same item in another run has another digest.
        outer = f"{frame.run.origin}\n{frame.recorder.digest}\n".encode()
        try:  # items are JSON already; this is many times as fast as writing them strictly
            digest = sha256(outer + to_json(item, inf_nan_mode="strings")).hexdigest()
        except PydanticSerializationError:
            digest = digest_of(output_text(item))
        before = frame.run.kept.get(address) if frame.run.kept else None
        if before is not None and before.is_done and before.input_sha256 == digest:
            return before
        place = Place(address, ItemRecorder(batch, digest), {step.item_name: item})
        try:
            if step.is_composite:
                return await composite(frame, step, place)
            return await work(frame, step, place, self.scope)
        except Fenced:
            raise
        except IntendantError as error:
            return self._failed(place, failure_of(error))

    def _failed(self, place: Place, failure: Failure) -> StepOutcome:
        """An item that failed outside of its handler."""
        outcome = StepOutcome(
            step_id=place.address,
            name=self.step.title,
            status=StepStatus.failed,
            intent=self.frame.plan_of(self.step.id).intent,
            failure=failure,
            input_sha256=place.recorder.digest,
        )
        if place.recorder.batch is not None:
            place.recorder.batch.add(outcome, None)
        return outcome

    def _note(self, index: int, outcome: StepOutcome) -> None:
        self.statuses[index] = outcome.status
        self.outputs[index] = outcome.output
        if outcome.status is StepStatus.waiting:
            self.waits.append(outcome)
        elif outcome.failure is not None:
            self.failures[index] = outcome.failure
            self.stopped = self.stopped or self.step.on_item_error in (None, "stop")
        if outcome.usage.calls or outcome.tokens_saved or outcome.produced_by != "deterministic":
            self.took.append(outcome.model_copy(update={"output": None}))
            if len(self.took) > 1:
                self.took = [self.took[0].model_copy(update=totals(self.took))]

    # --- what it comes to ---

    def _ended(self, seconds: float) -> StepOutcome:
        frame, step = self.frame, self.step
        facts: dict[str, Any] = {
            "seconds": seconds,
            "attempts": 1,
            "items": counts_of(self.statuses, len(self.items)),
            **totals(self.took),
        }
        every = bool(self.items) and len(self.failures) == len(self.items)
        if self.stopped or every:
            index = min(self.failures)
            failure = self.failures[index]
            message = f"item '{self.keys[index]}': {failure.message}"
            return frame.fail(step.id, failure.model_copy(update={"message": message}), **facts)
        if self.paused:
            left = self.statuses.count(StepStatus.pending)
            return frame.wait(step.id, f"{left} of {len(self.items)} items are left; {PAUSED}")
        if self.waits:
            due = [outcome.due for outcome in self.waits if outcome.due is not None]
            reason = f"{len(self.waits)} of {len(self.items)} items wait; {self.waits[0].reason}"
            return frame.wait(step.id, reason, min(due) if due else None)
        return frame.complete(step.id, self._gathered(), notes=self._notes(), **facts)

    def _notes(self) -> tuple[str, ...]:
        notes = [f"{len(self.items)} items"]
        if self.failures:
            what = "left out" if self.step.on_item_error == "skip" else "kept as errors"
            named = ", ".join(
                f"'{self.keys[index]}': {self.failures[index].message}" for index in sorted(self.failures)[:SHOWN]
            )
            more = ", …" if len(self.failures) > SHOWN else ""
            notes.append(f"{len(self.failures)} failed and were {what}: {named}{more}")
        if self.overwritten:
            key, last = next(iter(self.overwritten.items()))
            notes.append(
                f"merge: {len(self.overwritten)} keys have different values in several items; the last was "
                f"taken; the first: '{key}', of item '{last}'"
            )
        return tuple(notes)

    def _gathered(self) -> Json:
        """The outputs as `gather` says.

        Raises:
            StepError: One of them has not the form for that.
        """
        found = [(index, self._output(index)) for index in range(len(self.items)) if not self._left_out(index)]
        match self.step.gather:
            case "flatten":
                return [element for index, output in found for element in self._as(list, index, output)]
            case "merge":
                return self._merged(found)
        return [output for _, output in found]

    def _merged(self, found: Iterable[tuple[int, Json]]) -> dict[str, Json]:
        """One map of the items' maps; of different values for one key the last is taken, which is noted.

        An error that is kept stands under the key of its item.
        """
        merged: dict[str, Json] = {}
        for index, output in found:
            own = unquote(self.keys[index])
            given = {own: output} if index in self.failures else self._as(dict, index, output)
            lost = [key for key, value in given.items() if key in merged and merged[key] != value]
            self.overwritten.update(dict.fromkeys(lost, own))
            merged.update(given)
        return merged

    def _left_out(self, index: int) -> bool:
        return index in self.failures and self.step.on_item_error == "skip"

    def _output(self, index: int) -> Json:
        if (failure := self.failures.get(index)) is not None:
            return {"error": {"code": failure.code, "message": failure.message}, "key": unquote(self.keys[index])}
        return self.outputs[index]

    def _as(self, kind: type, index: int, output: Json) -> Any:
        if index in self.failures and kind is list:
            return [output]
        if not isinstance(output, kind):
            wanted = "lists" if kind is list else "maps"
            raise StepError(
                f"`gather: {self.step.gather}` needs {wanted}, and the output of item '{self.keys[index]}' is "
                f"{_kind(output)}",
                hint="leave `gather` out for a list of the outputs",
            )
        return output
