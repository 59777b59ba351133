"""What is kept of one step of a run, as JSON: inputs, output, attempts, calls, deliveries."""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import unquote

from intendant.model.errors import IntendantError, ReferenceFailed
from intendant.model.placing import STATE, is_item
from intendant.model.workflow import Json, Step, Workflow
from intendant.pilot.items import keys_of
from intendant.pilot.resolving import resolve, resolve_parameters
from intendant.planning.decided import Plan
from intendant.spending.step_budgets import budget_key

MOST = 20
"""Addresses that an error names."""
OF_DELIVERIES = ("delivery_begun", "delivery_refused", "delivery_withheld", "delivery_finished")


def step_of(found: Mapping[str, Any], plan: str, address: str) -> dict[str, Any]:
    """What is kept of one step of a run, as JSON.

    Args:
        found: Everything that is kept of the run.
        plan: Its plan, as it is stored.
        address: Where the step stands, such as `label[17]/draft`.

    Raises:
        IntendantError: The run has no such step.
    """
    outcomes = {**found["steps"], **found["inner"]}
    decided = Plan.model_validate_json(plan)
    if address not in outcomes:  # a key may be typed as it is read
        address = next((key for key in outcomes if unquote(key) == unquote(address)), address)
    placed = decided.workflow.by_key.get(budget_key(address))
    if address not in outcomes and (placed is None or "[" in address):
        known = list(dict.fromkeys((*outcomes, *decided.workflow.by_key)))
        close = get_close_matches(address, known, 3) or known[:MOST]
        raise IntendantError(f"the run has no step '{address}'", hint=f"there is: {', '.join(close)}")
    told = [event for event in found["events"] if event["step_id"] == address]
    outcome = outcomes.get(address, {"status": "pending"})
    items = [key for key in found["inner"] if key.startswith(f"{address}[") and is_item(key, address)]
    return {
        "run_id": found["run_id"],
        "step": address,
        "status": outcome["status"],
        "intent": outcome.get("intent", ""),
        "seconds": outcome.get("seconds", 0.0),
        "produced_by": outcome.get("produced_by", ""),
        "given": {} if placed is None else _given(decided.workflow, address, found),
        "output": outcome.get("output"),
        "failure": outcome.get("failure"),
        "notes": outcome.get("notes", []),
        "usage": outcome.get("usage", {}),
        "attempts": list(_attempts(told)),
        "calls": list(_calls(told)),
        "deliveries": [
            {name: event.get(name) for name in ("type", "operation", "key", "at")}
            for event in told
            if event["type"] in OF_DELIVERIES
        ],
        "items": [{"step": key, "status": found["inner"][key]["status"]} for key in items],
    }


def _given(workflow: Workflow, address: str, found: Mapping[str, Any]) -> dict[str, Json]:
    """What the step was given: its references resolved where what they name is kept, else as they are written."""
    step = workflow.by_key[budget_key(address)].step
    scope = _scope(workflow, address, found)
    item = address.endswith("]") and step.is_map
    written = {
        "for_each": step.for_each if step.is_map and not item else None,
        "state": f"{{{{ {STATE} }}}}" if step.loop is not None and address.endswith("]") else None,
        "item": f"{{{{ {step.item_name} }}}}" if item else None,
        "input": step.input,
        "prompt": step.prompt,
        "uses": step.uses,
        "with": step.with_,
        "options": step.options,
    }
    given = {key: _resolved(value, scope) for key, value in written.items() if value not in (None, {})}
    if step.uses is not None and step.with_:
        given["with"] = _parameters(step, scope)
    return given


def _scope(workflow: Workflow, address: str, found: Mapping[str, Any]) -> dict[str, Json]:
    """What references of a step could name: steps beside it and around it, inputs, the run, and its items."""
    about = {"id": found["run_id"], "workflow": found["workflow"], "status": found["status"]}
    about["started"] = found.get("began", "")
    scope: dict[str, Json] = {"steps": _seen("", found), "inputs": found["inputs"], "run": about}
    parts = address.split("/")
    for length in range(1, len(parts) + 1):
        prefix = "/".join(parts[:length])
        placed = workflow.by_key.get(budget_key(prefix))
        if placed is not None and prefix.endswith("]"):
            scope |= _variables(placed.step, prefix, scope, found)
        if placed is not None and placed.step.flow is not None and length < len(parts):
            # A sub-workflow sees nothing of what is around it.
            part = {**about, "workflow": placed.step.flow.workflow.name}
            scope = {"steps": {}, "inputs": _inputs_of(placed.step, scope), "run": part}
        scope = {**scope, "steps": {**scope["steps"], **_seen(f"{prefix}/", found)}}
    return scope


def _seen(prefix: str, found: Mapping[str, Any]) -> dict[str, Json]:
    """The steps whose addresses are *prefix* and an id, as references see them."""
    outcomes = {**found["steps"], **found["inner"]}
    names = {key: key[len(prefix) :] for key in outcomes if key.startswith(prefix)}
    return {
        name: {
            "output": outcomes[key].get("output"),
            "status": outcomes[key]["status"],
            "notes": outcomes[key].get("notes", []),
            "error": outcomes[key].get("failure"),
        }
        for key, name in names.items()
        if not set(name) & set("/[")
    }


def _variables(step: Step, address: str, scope: Mapping[str, Json], found: Mapping[str, Any]) -> dict[str, Json]:
    """The item and the state that a step with that address sees, by their names, where they can be had again."""
    marks = _MARK.findall(address.rpartition("/")[2])
    seen: dict[str, Json] = {}
    if step.is_map:
        seen |= _item(step, marks[0], scope)
    if step.loop is not None and len(marks) > step.is_map:
        number = int(marks[-1])
        before = found["inner"].get(f"{address.removesuffix(f'[{number}]')}[{number - 1}]", {}).get("output")
        state = step.loop.state if number == 1 else (before or {}).get("state")
        seen[STATE] = _resolved(state, {**scope, **seen})
    return seen


def _inputs_of(step: Step, scope: Mapping[str, Json]) -> dict[str, Json]:
    """The inputs of a sub-workflow, as far as they can be had again."""
    declared = {} if step.flow is None else step.flow.workflow.inputs
    values = {name: item.default for name, item in declared.items() if not item.required}
    return {**values, **_resolved(step.with_, scope)}


_MARK = re.compile(r"\[([^\]]*)\]")


def _item(step: Step, wanted: str, scope: Mapping[str, Json]) -> dict[str, Json]:
    """The item with that key, by its name; nothing where the list cannot be had again."""
    try:
        items = resolve(step.for_each, scope)
        keys = keys_of(step, items, scope) if isinstance(items, list) else []
    except IntendantError:
        return {}
    return {step.item_name: items[keys.index(wanted)]} if wanted in keys else {}


def _parameters(step: Step, scope: Mapping[str, Json]) -> dict[str, Json]:
    """The parameters of a step's operation, each as far as it can be had again."""
    made: dict[str, Json] = {}
    for name, value in step.with_.items():
        try:
            made |= resolve_parameters({name: value}, scope)
        except (ReferenceFailed, KeyError, TypeError):
            made[name] = _resolved(value, scope)
    return made


def _resolved(value: Json, scope: Mapping[str, Json]) -> Json:
    if isinstance(value, dict):
        return {key: _resolved(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, scope) for item in value]
    try:
        return resolve(value, scope)
    except (ReferenceFailed, KeyError, TypeError):
        return value


def _attempts(told: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each attempt, and how it ended."""
    number, at = 0, 0.0
    for event in told:
        match event["type"]:
            case "step_started":
                number, at = event.get("attempt", 1), event["at"]
            case "step_retried" | "step_failed":
                failure = event.get("failure", {})
                ended = {"attempt": number, "status": "failed", "seconds": event["at"] - at if at else 0.0}
                yield {**ended, "message": failure.get("message", "")}
            case "step_executed":
                yield {"attempt": number or 1, "status": "completed", "seconds": event.get("seconds", 0.0)}


def _calls(told: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each try at a model call, in the order in which they ended."""
    held: dict[str, Mapping[str, Any]] = {}
    for event in told:
        if event["type"] == "tokens_reserved":
            held[event["call"]] = event
        elif event["type"] == "tokens_settled":
            usage, begun = event.get("usage", {}), held.get(event["call"], {})
            yield {
                "call": event["call"],
                "model": f"{event['provider']}/{event['model']}",
                "outcome": event["outcome"],
                "input_tokens": usage.get("input_tokens", 0),
                "output_tokens": usage.get("output_tokens", 0),
                "micro_usd": usage.get("micro_usd", 0),
                "held_tokens": begun.get("tokens", 0),
                "seconds": event["at"] - begun["at"] if begun else 0.0,
            }
