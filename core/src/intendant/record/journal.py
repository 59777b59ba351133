"""The one append-only record of a run: audit trail, metrics and resume are all read from it."""

import json
from asyncio import CancelledError
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from intendant.config.logs import get_logger
from intendant.events import ApprovalDecided, ApprovalRequested, Event, Initialized, StepExecuted, read_event
from intendant.model.results import StepOutcome
from intendant.record.figures import FiguresFold
from intendant.record.metrics import MetricsFold
from intendant.record.packing import packed
from intendant.record.rows import EventRow, Fence, NewEvent, StepRow, whole_event
from intendant.text.surrogates import writable

if TYPE_CHECKING:
    from intendant.record.store import Store
    from intendant.record.store.statements import Work

log = get_logger("intendant.journal")

Listener = Callable[[Event], object]
ResultT = TypeVar("ResultT")
EventT = TypeVar("EventT", bound=Event)
Fields = ParamSpec("Fields")


def moment_text(at: float) -> str:
    """A point in time, in seconds since 1970, as RFC 3339 has it: UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """Records the events of one run.

    Args:
        store: Where they are kept, numbered and chained.
        fence: The epoch under which this process owns the run.
        listeners: Called with each event, in the caller's task; must be quick.
        earlier: The run's earlier events, if it is resumed.

    Attributes:
        run_id: The run that is recorded.
        metrics: Its figures so far.
        figures: The same, step by step.
        began: When it began (RFC 3339, UTC), whatever process goes on with it: that of its `Initialized`; empty
            before.
    """

    def __init__(
        self,
        store: "Store",
        fence: Fence,
        listeners: Iterable[Listener] = (),
        earlier: Iterable[Event] = (),
    ) -> None:
        self.store = store
        self.fence = fence
        self.run_id = fence.run_id
        self.metrics = MetricsFold()
        self.figures = FiguresFold()
        self.began = ""
        self._listeners: tuple[Listener, ...] = ()
        self._tell(earlier)
        self._listeners = tuple(listeners)

    def listen(self, listener: Listener) -> None:
        """Call *listener* with each event from now on."""
        self._listeners = (*self._listeners, listener)

    def step(self, step_id: str) -> "StepLog":
        """The same journal, for events of one step."""
        return StepLog(self, step_id)

    def event(self, kind: Callable[Fields, EventT], *_: Fields.args, **fields: Fields.kwargs) -> EventT:
        """An event of this run, which is not written yet.

        Args:
            kind: A class of `intendant.events`.
            fields: Its fields but `run_id`.
        """
        return _make(kind, {**fields, "run_id": self.run_id})

    def record(self, kind: Callable[Fields, Event], *_: Fields.args, **fields: Fields.kwargs) -> None:
        """Write an event of this run; committed soon, without waiting. For the arguments see `event`.

        Raises:
            Fenced: Another process owns the run now.
            StoreError: The database cannot be written.
        """
        self.append(_make(kind, {**fields, "run_id": self.run_id}))

    def append(self, *made: Event) -> None:
        """Write events that `event` has made; otherwise as `record`."""
        self.store.append_events([_row(event) for event in made], self.fence)
        self._tell(made)

    async def commit(self, work: "Work[ResultT]", *events: Event) -> ResultT:
        """Do *work* and write *events* in one transaction; returns after it is committed.

        If *work* raises, its error is raised here, and no event is written.
        """
        result = await self.store.do(work, self.fence, [_row(event) for event in events])
        self._tell(events)
        return result

    def commit_later(self, work: "Work[Any]", *events: Event) -> None:
        """Queue *work* and *events* for one transaction, in order with all other writes. Nothing waits for it: if
        it fails, the next `commit` raises.

        Raises:
            Fenced: Another process owns the run now.
            StoreError: The database cannot be written.
        """
        self.store.do_later(work, self.fence, [_row(event) for event in events])
        self._tell(events)

    def _tell(self, told: Iterable[Event]) -> None:
        for event in told:
            if isinstance(event, Initialized):
                self.began = moment_text(event.at)
            self.metrics.add(event)
            self.figures.add(event)
            for listener in self._listeners:
                try:
                    listener(event)
                except (Exception, SystemExit, CancelledError):
                    # A faulty listener must not break the run that it watches.
                    log.exception("listener_failed", listener=repr(listener), event_type=event.type)


class StepLog:
    """The journal of one step: events get the ids of the run and the step."""

    __slots__ = ("_step_id", "journal")

    def __init__(self, journal: Journal, step_id: str) -> None:
        self.journal = journal
        self._step_id = step_id

    def event(self, kind: Callable[Fields, EventT], *_: Fields.args, **fields: Fields.kwargs) -> EventT:
        """An event of this step, which is not written yet; see `Journal.event`."""
        return _make(kind, {**fields, "run_id": self.journal.run_id, "step_id": self._step_id})

    def record(self, kind: Callable[Fields, Event], *_: Fields.args, **fields: Fields.kwargs) -> None:
        """Write an event of this step; see `Journal.record`."""
        made = _make(kind, {**fields, "run_id": self.journal.run_id, "step_id": self._step_id})
        self.journal.append(made)

    def save(self, outcome: StepOutcome, output: str | None, event: Event | None) -> None:
        """Write how the step ended and the event that says so, in one transaction, without waiting.

        Args:
            outcome: How it ended.
            output: Its output as JSON text.
            event: The event; None where it was written before.
        """
        from intendant.record.store import runs

        row = row_of(outcome, output, time() if event is None else event.at)
        self.journal.commit_later(runs.save_step(self.journal.fence, row), *(() if event is None else (event,)))


def row_of(outcome: StepOutcome, output: str | None, at: float) -> StepRow:
    """How a step ended, as it is stored; its output as JSON text."""
    return StepRow(
        key=outcome.step_id,
        status=outcome.status.value,
        attempt=outcome.attempts,
        output=None if output is None else packed(output),
        outcome=_outcome_json(outcome),
        finished_at=at,
    )


def _make(kind: Callable[..., EventT], fields: dict[str, Any]) -> EventT:
    # What the class itself calls, in half the time.
    made: EventT = cast("Any", kind).__pydantic_validator__.validate_python(fields)
    return made


_SHORT = ("step_id", "name", "status", "intent", "produced_by", "seconds", "attempts", "input_sha256")
_PLAIN = frozenset((*_SHORT, "output", "notes", "tier", "usage", "tokens_saved"))
"""Fields that outcomes of handlers have; where others are set, all are written."""
_WRITE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _plain_json(outcome: StepOutcome) -> str:
    """What a step without model calls says, in a third of the time."""
    fields = outcome.__dict__
    return _WRITE({name: fields[name] for name in _SHORT})


_NOT_OUTPUT = frozenset({"output"})


def _outcome_json(outcome: StepOutcome) -> str:
    """All that is not at its default."""
    try:
        if outcome.model_fields_set <= _PLAIN and not outcome.usage.calls and not outcome.notes:
            return _plain_json(outcome)
        write = outcome.__pydantic_serializer__.to_json
        return write(outcome, exclude=set(_NOT_OUTPUT), exclude_defaults=True).decode()
    except PydanticSerializationError:
        return _writable_json(outcome, exclude={"output"}, exclude_defaults=True)


def _writable_json(record: BaseModel, **options: Any) -> str:
    """A record as JSON; a lone surrogate in a message must not cost the record."""
    return json.dumps(writable(record.model_dump(**options)), default=str)


PAYLOADS: dict[type[Event], set[str]] = {
    Initialized: {"inputs"},
    StepExecuted: {"output_sha256"},
    ApprovalRequested: {"ask"},
    ApprovalDecided: {"note"},
}
"""Fields that stand outside the journal, which cannot be changed when a payload is erased."""
_IN_COLUMNS = set(Event.model_fields)
_OUTSIDE = {kind: _IN_COLUMNS | fields for kind, fields in PAYLOADS.items()}


def _row(event: Event) -> NewEvent:
    outside = _OUTSIDE.get(type(event), _IN_COLUMNS)
    try:
        # What `model_dump_json` calls; its many arguments take as long as the work.
        data = event.__pydantic_serializer__.to_json(event, exclude=outside, exclude_defaults=True).decode()
    except PydanticSerializationError:
        data = _writable_json(event, exclude=outside, exclude_defaults=True)
    return NewEvent(event.run_id, event.type, event.step_id, event.severity, event.at, data)


def event_document(event: Event) -> dict[str, Any]:
    """An event with all its fields, those at their default as well, but for payloads."""
    return event.model_dump(mode="json", exclude=PAYLOADS.get(type(event)))


def complete_event(row: Any) -> str:
    """An event as JSON with all its fields, of its row; what cannot be read stays as it is stored."""
    whole = whole_event(row)
    try:
        return json.dumps({**json.loads(whole), **event_document(read_event(whole))}, ensure_ascii=False)
    except ValueError:  # an event of another version, or a row that something else has changed
        return whole


def parse_events(rows: Iterable[EventRow]) -> list[Event]:
    """Events from their stored rows."""
    return [read_event(whole_event(row)) for row in rows]


async def read_events(store: "Store", run_id: str) -> list[Event]:
    """The events of a run, from the store."""
    from intendant.record.store import runs

    return parse_events(await store.do(runs.events_of(run_id)))
