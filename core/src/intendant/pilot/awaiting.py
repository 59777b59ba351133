"""Steps that wait until something happens outside, and the signals that say so."""

import json
from asyncio import sleep
from collections.abc import Iterator
from time import time
from typing import TYPE_CHECKING
from uuid import uuid4

from pydantic import ValidationError

from intendant import events
from intendant.model.errors import IntendantError
from intendant.model.graph_keys import Wait
from intendant.model.results import Failure, StepOutcome, StepStatus
from intendant.model.workflow import Json, Step, Workflow
from intendant.pilot.engine import Engine
from intendant.pilot.execution import output_text
from intendant.pilot.frames import Frame
from intendant.pilot.resolving import resolve
from intendant.planning.decided import Plan
from intendant.record.rows import SignalRow

if TYPE_CHECKING:
    from intendant.record.store import Store

WAIT = "~wait"
"""Stands behind the address of a step under which its wait is kept."""
LONGEST = 1_000_000
"""Characters of a payload, as JSON."""
LONGEST_NAME = 200
"""Characters of an event's name, and of a signal's id."""


async def await_event(frame: Frame, step: Step, wait: Wait) -> StepOutcome:
    """Take the signal that a step waits for; or note that it waits, or that its time is over.

    A signal that was sent before is taken at once. What a step took stays its own, also where its process dies
    before the step is done.

    Raises:
        ReferenceFailed: The event's name has a reference to something that is not there.
    """
    event = str(resolve(wait.event, frame.scope(step)))
    if (row := await _taken(frame, step, event)) is not None:
        return frame.complete(step.id, None if row.payload is None else json.loads(row.payload))
    due = await _begun(frame, step, wait, event)
    if due is None or due > frame.run.journal.store.now():
        return frame.wait(step.id, f"a signal: {event}", due)
    return _over(frame, step, wait, event)


async def _taken(frame: Frame, step: Step, event: str) -> SignalRow | None:
    """The signal that is the step's, if there is one."""
    from intendant.record.store import sent_signals

    journal, address, digest = frame.run.journal, f"{frame.address}{step.id}", frame.recorder.digest
    while True:
        found = sent_signals.find(journal.run_id, address, digest, event)
        row = await journal.store.do(found, journal.fence)
        if row is None or row.taken_by is not None:
            return row
        said = {"event": event, "signal": row.id, "by": row.sent_by, "sent_at": row.at}
        taken = journal.step(address).event(events.SignalTaken, **said)
        try:
            await journal.commit(sent_signals.take(journal.fence, row.id, address, digest), taken)
        except sent_signals.SignalGone:
            await sleep(0)  # another step was quicker: look for the next one
        else:
            return row


async def _begun(frame: Frame, step: Step, wait: Wait, event: str) -> float | None:
    """When the step gives up; None where it does not. A wait is begun once, whatever process looks."""
    from intendant.record.journal import row_of
    from intendant.record.store import runs

    key, journal, digest = f"{frame.address}{step.id}{WAIT}", frame.run.journal, frame.recorder.digest
    before = frame.run.kept.get(key)
    if before is not None and before.input_sha256 == digest and before.reason == event:
        return before.due
    due = None if wait.within is None else journal.store.now() + wait.within
    waiting = StepStatus.waiting
    kept = StepOutcome(step_id=key, name=step.title, status=waiting, due=due, reason=event, input_sha256=digest)
    said = journal.step(f"{frame.address}{step.id}").event(events.SignalWanted, event=event, until=due)
    await journal.commit(runs.save_step(journal.fence, row_of(kept, None, time())), said)
    frame.run.kept[key] = kept
    return due


def _over(frame: Frame, step: Step, wait: Wait, event: str) -> StepOutcome:
    """What becomes of a step for which no signal came in time."""
    reason = f"no signal '{event}' came in time"
    match wait.otherwise:
        case "skip":
            return frame.skip(step.id, reason)
        case "continue":
            return frame.complete(step.id, None, notes=(reason,))
    hint = "send it sooner, raise `within`, or say what then: otherwise: skip"
    return frame.fail(step.id, Failure(error="SignalMissing", message=reason, hint=hint, code="signal_missing"))


# --- sending ---


async def send_signal(
    engine: Engine, run: str, event: str, payload: Json, *, by: str, key: str | None
) -> SignalRow:
    """Store a signal for a run; see `OrchestrationService.signal`."""
    from intendant.record.store import runs

    row = await engine.store.do(runs.find_run(run, engine.tenant))
    return await store_signal(engine.store, row.id, row.plan, event, payload, by=by, key=key)


async def store_signal(
    store: "Store", run_id: str, plan: str, event: str, payload: Json, *, by: str, key: str | None
) -> SignalRow:
    """Store a signal for a run whose plan, as JSON, is known.

    Raises:
        IntendantError: No step of the run waits for it, the run is completed, or the payload is no JSON value or
            too long.
    """
    from intendant.record.store import sent_signals

    _check(run_id, plan, event)
    text = output_text(payload)
    if len(text) > LONGEST:
        raise IntendantError(
            f"the payload has {len(text)} characters, more than {LONGEST}", hint="send a reference to it"
        )
    if key is not None and not 0 < len(key) <= LONGEST_NAME:
        raise IntendantError(f"the key of a signal has 1 to {LONGEST_NAME} characters")
    row = SignalRow(run_id, key or f"s_{uuid4().hex}", event, text, by, time())
    await store.do(sent_signals.send(row))
    return row


def _check(run_id: str, plan: str, event: str) -> None:
    """Pass if a step of the run may wait for this event.

    Raises:
        IntendantError: None does; says for what they wait.
    """
    try:
        known = list(events_of(Plan.model_validate_json(plan).workflow))
    except ValidationError:
        raise IntendantError(f"the plan of run {run_id} cannot be read", hint="run its workflow anew") from None
    if event in known or any("{{" in name for name in known):
        return
    waits = ", ".join(dict.fromkeys(known)) or "nothing: it has no step with `wait: {event: …}`"
    raise IntendantError(f"no step of run {run_id} waits for '{event}'", hint=f"it waits for {waits}")


def events_of(workflow: Workflow) -> Iterator[str]:
    """The events for which steps of a workflow wait, as they are written."""
    for placed in workflow.placed:
        if placed.step.wait is not None and placed.step.wait.event is not None:
            yield placed.step.wait.event
