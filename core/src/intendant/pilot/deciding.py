"""What a person decides about calls in doubt. It is written under the run's fence; the run goes on waiting."""

import json
from typing import Any

from intendant import events
from intendant.model.errors import IntendantError, RunActive
from intendant.model.results import ModelReply, RunStatus, Usage
from intendant.pilot.engine import Engine
from intendant.pilot.resuming import check_record
from intendant.record.journal import Journal
from intendant.record.rows import DoubtRow, Spent
from intendant.record.store import decisions, runs
from intendant.record.store.decisions import Decision
from intendant.spending.kept_replies import write_reply


async def decide(
    engine: Engine,
    hold: str,
    decision: Decision,
    *,
    by: str,
    usage: Usage | None = None,
    answer: str | None = None,
) -> DoubtRow:
    """Decide about a call in doubt. Does not go on with its run: `resume` does.

    Args:
        engine: Whose store it is in.
        hold: Its key, or the beginning of that.
        decision: `settle`: it was charged, with *usage*; `retry`: it stays charged in full, and is asked again;
            `drop`: it never reached its provider, nothing was charged, and it is asked again.
        by: Who decides.
        usage: For `settle`: what it took. Its price is worked out where `micro_usd` is 0.
        answer: For `settle`: what was answered; None to ask again.

    Returns:
        The call as it was in doubt.

    Raises:
        IntendantError: There is no such call, or figures are missing.
        RunActive: A process may be at its run.
        RecordBroken: What is kept of the run was changed by something else than Intendant.
    """
    found = await engine.store.do(decisions.find_doubt(hold, engine.tenant))
    row = found.hold
    _check(found, decision, usage)
    await check_record(engine.store, row.run_id)
    run = await engine.store.do(runs.find_run(row.run_id, engine.tenant))
    claimed = await engine.store.do(runs.claim(row.run_id, engine.worker, seen_epoch=run.epoch))
    log = Journal(engine.store, claimed.fence).step(row.step_key)
    charged = _charged(engine, found, decision, usage)
    reply = None
    if answer is not None and charged is not None:
        data = _json_or_none(answer)
        notes = (f"a person ({by}) gave this answer",)
        made = ModelReply(
            text=answer, usage=charged, model=row.model, provider=row.provider, data=data, notes=notes
        )
        reply = write_reply(made)
    said: list[events.Event] = [
        log.event(events.DoubtDecided, call=row.key, decision=decision, by=by, answered=reply is not None)
    ]
    if charged is not None:
        settled = {"call": row.key, "provider": row.provider, "model": row.model, "usage": charged}
        outcome = "refused" if decision == "drop" else "answered"
        said.append(log.event(events.TokensSettled, **settled, outcome=outcome, price_version=row.price_version))
    spent = None if charged is None else Spent(charged.input_tokens, charged.output_tokens, charged.micro_usd)
    try:
        await log.journal.commit(decisions.decide(row.key, decision, spent, reply), *said)
    finally:
        await engine.store.do(runs.finish_run(claimed.fence, run.status, engine.store.now()), claimed.fence)
    return found


def _check(found: DoubtRow, decision: Decision, usage: Usage | None) -> None:
    if found.run_status == RunStatus.running.value:
        raise RunActive(
            f"run {found.hold.run_id} may still be worked on", hint="resume it first: it ends as waiting"
        )
    if decision == "settle" and usage is None:
        raise IntendantError("what the call took is missing", hint="give its input and output tokens")


def _charged(engine: Engine, found: DoubtRow, decision: Decision, usage: Usage | None) -> Usage | None:
    """What the call is charged with from now on; None where that does not change."""
    if decision == "drop":
        return Usage()
    if decision == "retry" or usage is None:
        return None
    row = found.hold
    if usage.micro_usd or not row.micro:
        return usage.model_copy(update={"calls": 1})
    price = engine.prices.card(row.provider, row.model).price(usage)
    return usage.model_copy(update={"micro_usd": price.micro_usd, "calls": 1})


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
