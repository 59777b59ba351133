"""One step of a run, as `intendant show RUN STEP` prints it: inputs, output, attempts, calls, deliveries."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from intendant.cli.shared import money
from intendant.model.workflow import Json
from intendant.pilot.step_record import step_of as step_of  # noqa: PLC0414  # shown here

SHOWN = 2000
"""Characters of a value that are printed, unless all are asked for."""
MOST = 20
"""Items that are listed."""


def lines(step: Mapping[str, Any], *, full: bool) -> Iterator[str]:
    """A step as people read it."""
    by = f", {step['produced_by']}" if step["produced_by"] else ""
    took = f" in {step['seconds']:.2f} s" if step["seconds"] else ""
    yield f"step {step['step']} ({step['intent']}{by}) of run {step['run_id']}: {step['status']}{took}"
    for name, value in step["given"].items():
        yield from block(name, value, full=full)
    if step["failure"]:
        yield f"error: {step['failure']['message']}"
        if step["failure"].get("hint"):
            yield f"    hint: {step['failure']['hint']}"
    yield from block("output", step["output"], full=full)
    yield from (f"note: {note}" for note in step["notes"])
    for one in step["attempts"]:
        why = f": {one['message']}" if one.get("message") else ""
        yield f"attempt {one['attempt']}: {one['status']} in {one['seconds']:.2f} s{why}"
    for call in step["calls"]:
        tokens = f"{call['input_tokens']} in, {call['output_tokens']} out of {call['held_tokens']} held"
        cost = money(call["micro_usd"])
        yield f"call: {call['model']} {call['outcome']}, {tokens}, {cost}, {call['seconds']:.2f} s"
    yield from (f"{one['type'].replace('_', ' ')}: {one['operation']}" for one in step["deliveries"])
    for item in step["items"][:MOST]:
        yield f"item: {item['step']} {item['status']}"
    if (more := len(step["items"]) - MOST) > 0:
        yield f"item: {more} more; --json has all"


def block(name: str, value: Json, *, full: bool) -> Iterator[str]:
    """A value under its name; of a long one the beginning."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    cut = len(text) > SHOWN and not full
    more = f" … {len(text) - SHOWN} characters more; --full prints them" if cut else ""
    shown = (text[:SHOWN] if cut else text) + more
    if "\n" not in shown:
        yield f"{name}: {shown}"
        return
    yield f"{name}:"
    yield from (f"    {line}" for line in shown.splitlines())
