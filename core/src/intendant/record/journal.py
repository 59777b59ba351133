"""The one append-only record of a run: audit trail, metrics and resume are all read from it."""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from intendant.config.logs import get_logger
from intendant.events import Event, read_event
from intendant.model.results import StepOutcome
from intendant.record.metrics import MetricsFold
from intendant.text.surrogates import writable

if TYPE_CHECKING:
    from intendant.record.store import Fence, Store

log = get_logger("intendant.journal")

Listener = Callable[[Event], None]
ResultT = TypeVar("ResultT")


class Journal:
    """Records the events of one run.

    Args:
        store: Where they are kept, numbered and chained.
        fence: The epoch under which this process owns the run.
        listeners: Called with each event, in the caller's task; must be quick.
        earlier: The run's earlier events, if it is resumed.
    """

    def __init__(
        self,
        store: "Store",
        fence: "Fence",
        listeners: Iterable[Listener] = (),
        earlier: Iterable[Event] = (),
    ) -> None:
        self.store = store
        self.fence = fence
        self.metrics = MetricsFold()
        self._listeners = tuple(listeners)
        for event in earlier:
            self.metrics.add(event)

    @property
    def run_id(self) -> str:
        """The run that is recorded."""
        return self.fence.run_id

    def record(self, event: Event) -> None:
        """Write an event; committed soon, without waiting.

        Raises:
            Fenced: Another process owns the run now.
            StoreError: The database cannot be written.
        """
        self.store.append_event(_row(event), self.fence)
        self._tell(event)

    async def commit(self, work: Callable[[Any], ResultT], *events: Event) -> ResultT:
        """Do *work* and write *events* in one transaction; returns after it is committed.

        What *work* raises is raised, and then no event is written.
        """
        result = await self.store.do(work, self.fence, [_row(event) for event in events])
        self._tell(*events)
        return result

    def committing(self, work: Callable[[Any], ResultT], *events: Event) -> "Awaitable[ResultT]":
        """Do *work* and write *events* in one transaction; what is returned is done when it is committed. Whoever
        is told of events is told at once, and who gives up waiting undoes nothing.

        Raises:
            Fenced: Another process owns the run now.
            StoreError: The database cannot be written.
        """
        done = self.store.begin(work, self.fence, [_row(event) for event in events])
        self._tell(*events)
        return done

    def commit_later(self, work: Callable[[Any], Any], *events: Event) -> None:
        """The same without waiting: in order, before whatever is written after it. What goes wrong shows at the
        next wait.

        Raises:
            Fenced: Another process owns the run now.
            StoreError: The database cannot be written.
        """
        self.store.do_later(work, self.fence, [_row(event) for event in events])
        self._tell(*events)

    def save_step(self, outcome: StepOutcome, output: str | None, event: Event) -> None:
        """Write how a step ended and the event that says so, in one transaction, without waiting.

        Args:
            outcome: How it ended.
            output: Its output as JSON text.
            event: What says so.
        """
        row = {
            "key": outcome.step_id,
            "status": outcome.status.value,
            "attempt": outcome.attempts,
            "output": output,
            "outcome": _json(outcome, exclude={"output"}),
            "finished_at": event.at,
        }
        self.store.save_step(self.fence, row, _row(event))
        self._tell(event)

    def _tell(self, *events: Event) -> None:
        for event in events:
            self.metrics.add(event)
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception:
                    # Who watches a run must not break it.
                    log.exception("listener_failed", listener=repr(listener), event_type=event.type)


def _json(record: BaseModel, **options: Any) -> str:
    """A record as JSON; a lone surrogate in a message must not cost the record."""
    try:
        return record.model_dump_json(**options)
    except PydanticSerializationError:
        return json.dumps(writable(record.model_dump(**options)), default=str)


def _row(event: Event) -> dict[str, Any]:
    return {
        "run_id": event.run_id,
        "type": event.type,
        "step_id": event.step_id,
        "severity": event.severity,
        "at": event.at,
        "data": _json(event),
    }


async def read_events(store: "Store", run_id: str) -> list[Event]:
    """A run's events, as stored."""
    return [read_event(row["data"]) for row in await store.events_of(run_id)]
