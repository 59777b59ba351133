"""How the end of a step is written: at once, or with other items of a list."""

import asyncio
from collections.abc import Callable
from time import time
from typing import Any, Protocol

from intendant import events
from intendant.model.errors import StoreError
from intendant.model.results import Failure, StepOutcome, StepStatus
from intendant.record.journal import Journal, StepLog, row_of
from intendant.record.rows import StepRow
from intendant.text.hashing import digest_of

MAX_ITEMS = 128
"""Items of one event: more would make it long to read, and a kill would cost more work."""
GATHER_SECONDS = 0.05
"""How long the end of an item waits for that of others."""

MakeEvent = Callable[[], events.Event]


class Recorder(Protocol):
    """Writes how steps end."""

    digest: str
    """Of the item that they work on; empty where there is none."""
    batch: "ItemBatch | None"
    """What they are written with."""
    repeats: bool
    """True if a step may be executed several times within its budget: what is left is for the other times."""

    def tell(self, log: StepLog, kind: Callable[..., events.Event], **fields: Any) -> None:
        """Record something that happens within an attempt."""

    def save(self, log: StepLog, outcome: StepOutcome, text: str | None, event: MakeEvent) -> None:
        """Write how a step ended, its output as JSON text, and the event that says so."""


class StepRecorder:
    """Writes each step with events of its own.

    Args:
        digest: Of what it works on, where it is a pass of a loop.
    """

    batch: "ItemBatch | None" = None

    def __init__(self, digest: str = "") -> None:
        self.digest = digest
        self.repeats = digest != ""

    def tell(self, log: StepLog, kind: Callable[..., events.Event], **fields: Any) -> None:
        """Record it at once."""
        log.record(kind, **fields)

    def save(self, log: StepLog, outcome: StepOutcome, text: str | None, event: MakeEvent) -> None:
        """Write it at once."""
        log.save(outcome, text, event())


class Deferred:
    """Keeps how a step ended, so that its caller can add to it before it is written."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.digest = recorder.digest
        self.batch = recorder.batch
        self.repeats = recorder.repeats

    def tell(self, log: StepLog, kind: Callable[..., events.Event], **fields: Any) -> None:
        """Record it at once."""
        self._recorder.tell(log, kind, **fields)

    def save(self, log: StepLog, outcome: StepOutcome, text: str | None, event: MakeEvent) -> None:
        """Write a failure; of what was completed, and is not complete yet, that its handler is through."""
        if not outcome.is_done:
            self._recorder.save(log, outcome, text, event)
            return
        ended = event()
        if isinstance(ended, events.StepExecuted) and ended.handler_seconds is not None:
            handled = {"intent": ended.intent, "seconds": ended.handler_seconds, "attempt": ended.attempts}
            self._recorder.tell(log, events.HandlerExecuted, **handled)


class ItemBatch:
    """Writes the ends of items of a list, many in one transaction and one event.

    What is not written when the process dies is done again: then calls that were paid for are replayed, and what
    was delivered is not delivered again.

    Args:
        journal: The run's journal.
        address: The step that is executed for each item.
    """

    def __init__(self, journal: Journal, address: str) -> None:
        self._log = journal.step(address)
        self._rows: list[StepRow] = []
        self._ended: list[dict[str, Any]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._lost: StoreError | None = None

    def add(self, outcome: StepOutcome, text: str | None) -> None:
        """Write it soon.

        Raises:
            Fenced: Another process owns the run now.
            StoreError: The database cannot be written.
        """
        if self._lost is not None:
            raise self._lost
        self._rows.append(row_of(outcome, text, time()))
        ended: dict[str, Any] = {
            "step": outcome.step_id,
            "status": outcome.status,
            "seconds": outcome.seconds,
            "attempts": outcome.attempts,
        }
        if outcome.usage.calls:
            ended["tokens"] = outcome.usage.tokens
        if outcome.failure is not None:
            ended["code"] = outcome.failure.code
        self._ended.append(ended)
        if len(self._rows) >= MAX_ITEMS:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush_in_time)

    def _flush_in_time(self) -> None:
        try:
            self.flush()
        except StoreError as error:  # nothing awaits a timer: the next item, or the end of the list, raises it
            self._lost = error

    def flush(self) -> None:
        """Write what there is now.

        Raises:
            Fenced: Another process owns the run now.
            StoreError: The database cannot be written.
        """
        from intendant.record.store import runs

        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lost is not None:
            raise self._lost
        if not self._rows:
            return
        rows, ended, self._rows, self._ended = self._rows, self._ended, [], []
        journal = self._log.journal
        event = self._log.event(events.ItemsEnded, items=tuple(ended))
        journal.commit_later(runs.save_steps(journal.fence, rows), event)


class ItemRecorder:
    """Writes an item, and the steps within it, with others.

    Args:
        batch: What it is written with.
        digest: Of the item.
    """

    __slots__ = ("batch", "digest", "repeats")

    def __init__(self, batch: ItemBatch, digest: str) -> None:
        self.batch: ItemBatch | None = batch
        self.repeats = True
        self.digest = digest

    def tell(self, log: StepLog, kind: Callable[..., events.Event], **fields: Any) -> None:
        """Nothing: the end of the item says how often it was tried and how long it took."""

    def save(self, log: StepLog, outcome: StepOutcome, text: str | None, event: MakeEvent) -> None:  # noqa: ARG002
        """Write it with others."""
        if self.batch is not None:
            self.batch.add(outcome, text)


def executed_event(
    log: StepLog, outcome: StepOutcome, text: str, handler_seconds: float | None = None
) -> events.StepExecuted:
    """The event of a step that was completed.

    Args:
        log: Makes it.
        outcome: How the step ended.
        text: Its output as JSON text.
        handler_seconds: What its handler took.
    """
    return log.event(
        events.StepExecuted,
        intent=outcome.intent or "",
        seconds=outcome.seconds,
        handler_seconds=handler_seconds,
        attempts=outcome.attempts,
        usage=outcome.usage,
        tokens_saved=outcome.tokens_saved,
        produced_by=outcome.produced_by,
        output_bytes=len(text),
        output_sha256=digest_of(text),
        notes=outcome.notes,
    )


def failed_event(log: StepLog, outcome: StepOutcome) -> events.StepFailed:
    """The event of a step that failed for good."""
    return log.event(
        events.StepFailed,
        failure=outcome.failure or Failure(error="", message=""),
        seconds=outcome.seconds,
        attempts=outcome.attempts,
        usage=outcome.usage,
        cancelled=outcome.status is StepStatus.cancelled,
    )
