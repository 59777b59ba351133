"""What routing can be learned from a user's own runs, and whether recorded choices are made again the same."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from intendant import events
from intendant.model.errors import IntendantError
from intendant.model.workflow import Json, Step
from intendant.pilot.engine import Engine
from intendant.pilot.opening import router_of
from intendant.pilot.resolving import resolve
from intendant.planning.compression import to_text
from intendant.planning.decided import Plan
from intendant.record.journal import parse_events
from intendant.record.rows import RunRow, StepRow
from intendant.record.store import Store, ratings, runs
from intendant.record.store.ratings import Rated

ENDED = ("completed", "failed")
MOST_PROMPT = 20_000
"""Characters of a prompt that are written, at most: its two ends."""
MICRO = 1_000_000


async def outcome_rows(store: Store, tenant: str, limit: int) -> list[dict[str, Any]]:
    """A row of outcomes for each step of recent runs that asked a model, oldest run first.

    The score of the model that gave a step's answer is the step's rating, else that of its run, from 0 (useless)
    to 1 (as wanted); without any it is 1 where the step was completed and 0 where it failed. A model whose answer
    was refused or not accepted, so that another one was asked, has 0.

    Args:
        store: The database.
        tenant: Whose runs.
        limit: The newest so many runs.
    """
    listed = await store.do(runs.list_runs(limit, runs.Wanted(tenant=tenant)))
    found: list[dict[str, Any]] = []
    for each in reversed(listed):
        if each.status not in ENDED:
            continue
        row = await store.do(runs.find_run(each.id, tenant))
        steps = await store.do(runs.steps_of(row.id))
        seen = parse_events(await store.do(runs.events_of(row.id)))
        rated = await store.do(ratings.ratings(row.id))
        found += _rows(row, steps, seen, rated)
    return found


def _rows(
    row: RunRow, steps: Sequence[StepRow], seen: Sequence[events.Event], rated: Sequence[Rated]
) -> Iterator[dict[str, Any]]:
    """Steps at the top of the workflow; what happens within items and groups is theirs."""
    plan = Plan.model_validate_json(row.plan)
    outputs = {step.key: step.value for step in steps if step.output is not None}
    scope: dict[str, Json] = {
        "inputs": json.loads(row.inputs),
        "steps": {key: {"output": value} for key, value in outputs.items() if key.isidentifier() or "-" in key},
    }
    status = {step.key: step.status for step in steps}
    for step in plan.workflow.steps:
        calls = [
            event
            for event in seen
            if isinstance(event, events.TokensSettled)
            and event.step_id == step.id
            and event.outcome == "answered"
            and event.produced_by == "model"
        ]
        if not calls or status.get(step.id) not in ENDED:
            continue
        score = _rating(step.id, rated)
        done = float(status[step.id] == "completed")
        outcomes = _outcomes(calls, done if score is None else score)
        answer = outputs.get(step.id)
        outcomes[f"{calls[-1].provider}/{calls[-1].model}"]["answer"] = "" if answer is None else to_text(answer)
        intent = plan.by_id[step.id].intent
        yield {
            "id": f"{row.id}/{step.id}",
            "intent": intent,
            "prompt": _prompt(step, scope),
            "outcomes": outcomes,
        }


def _outcomes(calls: Sequence[events.TokensSettled], score: float) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for call in calls:
        said = found.setdefault(f"{call.provider}/{call.model}", {"score": 0.0, "cost": 0.0})
        said["cost"] += call.usage.micro_usd / MICRO
    found[f"{calls[-1].provider}/{calls[-1].model}"]["score"] = score
    return found


def _rating(step_id: str, rated: Sequence[Rated]) -> float | None:
    own = [row.rating for row in rated if row.step_key == step_id]
    of_run = [row.rating for row in rated if not row.step_key]
    given = own or of_run
    return (sum(given) / len(given) - 1) / 4 if given else None


def _prompt(step: Step, scope: Mapping[str, Json]) -> str:
    """What was asked, its references resolved; as it is written where they cannot be any more."""
    try:
        said, data = str(resolve(step.prompt or "", scope)), resolve(step.input, scope)
    except IntendantError:
        said, data = step.prompt or "", None
    text = "\n\n".join(part for part in (said, "" if data is None else to_text(data)) if part)
    half = MOST_PROMPT // 2
    return text if len(text) <= MOST_PROMPT else f"{text[:half]}\n…\n{text[-half:]}"


async def made_again(engine: Engine, run: str) -> list[tuple[events.RouteDecided, str]]:
    """Each choice that a run has recorded, made again with the plugins, settings and policy of now.

    Beside it stands what differs: the models that would be asked; empty where it is the same.
    """
    row = await engine.store.do(runs.find_run(run, engine.tenant))
    plan = Plan.model_validate_json(row.plan)
    seen = parse_events(await engine.store.do(runs.events_of(row.id)))
    router = router_of(engine, plan)
    found = []
    for event in seen:
        if isinstance(event, events.RouteDecided):
            again = None if router is None else router.again(event, engine.plugins.intents[event.intent].spec)
            same = again is not None and (again.ask, again.last, again.agree) == (
                event.ask,
                event.last,
                event.agree,
            )
            now = "nothing would be chosen" if again is None else f"now {again}"
            found.append((event, "" if same else now))
    return found
