"""Everything that is kept of one run, as JSON."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from intendant.model.errors import IntendantError, RecordBroken
from intendant.model.results import StepOutcome

if TYPE_CHECKING:
    from intendant.record.rows import EventRow, RunRow, StepRow
    from intendant.record.store import Store
    from intendant.record.store.ratings import Rated

MOST_EVENTS = 2_000
"""Events of one step that are looked at."""


async def read_run(
    store: "Store",
    run_id: str,
    tenant: str | None = None,
    *,
    step: str | None = None,
    kinds: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything that is kept of a run of a tenant, as JSON.

    Args:
        store: Where it is kept.
        run_id: The run's id, the beginning of it, or `last`.
        tenant: Whose runs are looked at; None for all.
        step: Of its events only those of this step; the record is not verified then.
        kinds: The same for events of these types.

    Raises:
        RunNotFound: There is no such run.
        RecordBroken: It was changed so that it cannot be read.
    """
    from intendant.record.journal import moment_text
    from intendant.record.store import browsing, runs

    row = await store.do(runs.find_run(run_id, tenant))
    if step is not None or kinds:
        wanted = browsing.events_between(row.id, limit=MOST_EVENTS, kinds=kinds, step=step)
        first = browsing.events_between(row.id, limit=1, kinds=("initialized",))
        try:
            began = [moment_text(event.at) for event in await store.do(first)]
            found = await _everything(store, row, [], await store.do(wanted), whole=False)
            return found | {"began": began[0] if began else ""}
        except UNREADABLE as error:
            raise broken_record(row.id, [], error) from None
    verified = await store.verified(row.id)
    broken = [fault._asdict() for fault in verified.broken]
    try:
        return await _everything(store, row, broken, await store.do(runs.events_of(row.id)))
    except UNREADABLE as error:
        raise broken_record(row.id, broken, error) from None


UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading rows raises that something else than Intendant has changed."""


def broken_record(run_id: str, broken: list[dict[str, Any]], error: Exception) -> RecordBroken:
    """The error for a run whose rows cannot be read, with the first of its faults."""
    first = f"{broken[0]['table']} {broken[0]['key']}: {broken[0]['reason']}" if broken else str(error)
    return RecordBroken(
        f"the record of run {run_id} is broken: {first}", hint=f"see all of it: intendant verify {run_id}"
    )


async def _everything(
    store: "Store",
    row: "RunRow",
    broken: list[dict[str, Any]],
    stored: "list[EventRow]",
    *,
    whole: bool = True,
) -> dict[str, Any]:
    from intendant.record.journal import event_document, parse_events
    from intendant.record.metrics import MetricsFold
    from intendant.record.store import bookings, ratings, runs
    from intendant.record.store.chain import verify

    fold = MetricsFold()
    events = parse_events(stored)
    for event in events:
        fold.add(event)
    steps: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for step in await store.do(runs.steps_of(row.id)):
        within = any(mark in step.key for mark in "[/~")
        (inner if within else steps)[step.key] = {**_outcome(step), "output": step.value}
    totals = await store.do(bookings.totals_of_run(row.id))
    first = verify(stored, last_hash=row.last_hash) if whole else None
    return {
        "run_id": row.id,
        "workflow": row.workflow,
        "agent": row.agent,
        "status": row.status,
        "plan": row.plan,
        "inputs": json.loads(row.inputs),
        "steps": steps,
        "inner": inner,
        "metrics": fold.result().summary(),
        "ledger": totals._asdict(),
        "journal": {"events": len(stored), "first_broken": first, "broken": broken},
        "events": [event_document(event) for event in events],
        "ratings": [_rating(rated) for rated in await store.do(ratings.ratings(row.id))],
    }


def _outcome(step: "StepRow") -> dict[str, Any]:
    return StepOutcome.model_validate_json(step.outcome).model_dump(mode="json", exclude={"output"})


def _rating(rated: "Rated") -> dict[str, Any]:
    said = {"step": rated.step_key, "rating": rated.rating, "by": rated.rated_by}
    return said | {"at": rated.at, "comment": rated.comment}


async def read_original(store: "Store", run_id: str, handle: str, tenant: str | None = None) -> str:
    """The text that a run compressed.

    Raises:
        RunNotFound: There is no such run.
        IntendantError: It kept no such text.
    """
    from intendant.record.store import originals, runs

    row = await store.do(runs.find_run(run_id, tenant))
    text = await store.do(originals.find(row.id, handle))
    if text is None:
        raise IntendantError(
            f"the run {row.id} kept no original '{handle}'",
            hint="the events `token_compressed` name them: intendant show RUN --events",
        )
    return text
