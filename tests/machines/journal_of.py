"""Executes `flow.yaml` of the working folder by a dispatcher, and prints what stands in the journal and the ledger.

    python tests/machines/journal_of.py embedded postgresql+psycopg://… '{"feeds": ["http://…"]}'

Left out is what differs between any two runs of one workflow: times, ids and hashes, and which process it was.
"""

import asyncio
import json
import re
import sys
from collections import Counter

from sqlalchemy import select

from intendant import OrchestrationService, Settings, Workflow
from intendant.pilot.worker_loop import Worker, dispatcher_of
from intendant.record.store.tables import ledger

MOVING = re.compile(r"(^|_)(at|seconds|ms|until|due|expires|time|epoch|worker|key|keys|call|receipt|salt)$")
"""Names of fields that hold times, processes, and keys made with the run's id."""
FINAL = ("completed", "failed", "refused", "cancelled")


def still(value, run_id):
    """A value without what moves."""
    if isinstance(value, dict):
        return {name: still(part, run_id) for name, part in value.items() if not MOVING.search(name)}
    if isinstance(value, list):
        return [still(part, run_id) for part in value]
    return value.replace(run_id, "RUN") if isinstance(value, str) else value


async def executed(service, flow, inputs, name):
    """The id of a run that workers have executed; between them people approve the first thing and deny the rest."""
    run_id = await service.submit(flow, inputs)
    while (await service.get(run_id)).status not in FINAL:
        worker = asyncio.ensure_future(
            Worker(service._engine, dispatcher=dispatcher_of(service._engine, name)).run()
        )
        while not (asked := await waits(service, run_id)) and (await service.get(run_id)).status not in FINAL:
            assert not worker.done(), worker.result()
            await asyncio.sleep(0.05)
        worker.cancel()
        await worker
        for number, row in enumerate(asked):
            verdict = "denied" if number else "approved"
            await service.operations.decide(run_id, row.step_key, verdict, by="ann", note="looked at")
    return run_id


async def waits(service, run_id):
    """What people are asked, once the run waits for that."""
    row = await service.get(run_id)
    waiting = row.status == "waiting" and row.due_at is None
    return sorted(await service.operations.approvals(run_id), key=lambda row: row.step_key) if waiting else []


def of_steps(events, run_id):
    """What happened in each step. Steps, items, and calls within a step that are executed side by side write in any
    order, and items that end at once share an event: what is compared is what happened, as a sorted list.
    """
    found = {}
    for event in events:
        if event["type"] in ("recorded", "overage_drawn"):
            # The one says nothing, and how many there are depends on what shares a commit; what calls that are out
            # at once draw beyond a step's share depends on which of them comes first.
            continue
        kept = still(event, run_id)
        parts = [{**kept, "items": [item]} for item in kept["items"]] if event["type"] == "items_ended" else [kept]
        found.setdefault(str(event.get("step_id")), []).extend(json.dumps(part, sort_keys=True) for part in parts)
    return {step: sorted(said) for step, said in found.items()}


async def main(name, db, given):
    flow, settings = Workflow.load("flow.yaml"), Settings.load()
    async with OrchestrationService(settings, db=db) as service:
        run_id = await executed(service, flow, json.loads(given), name)
        events = [event.model_dump(mode="json") for event in await service.events(run_id)]
        query = select(
            ledger.c.step_key, ledger.c.kind, ledger.c.input_tokens, ledger.c.output_tokens, ledger.c.micro
        )
        booked = await service._engine.store.do(
            lambda connection: [list(row) for row in connection.execute(query.where(ledger.c.run_id == run_id))]
        )
        row = await service.get(run_id)
    kept = {"status": row.status, "journal": of_steps(events, run_id)}
    kept["ledger"] = sorted(Counter(map(json.dumps, booked)).items())
    print(json.dumps(kept, sort_keys=True, indent=1))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
