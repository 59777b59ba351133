"""What forms do. Each needs an operator, a form of ours, and ends on a page that shows what came of it."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.responses import Response

from intendant import Limits
from intendant.events import Event
from intendant.plugin import Usage
from intendant_dashboard._access import Refused
from intendant_dashboard._desk import Ask, action

BEGIN_SECONDS = 10.0
"""How long a page waits for a run to begin."""
MOST_TOKENS = 10**12

Listener = Callable[[Event], object]


async def begun(ask: Ask, start: Callable[[Listener], Coroutine[Any, Any, Any]]) -> str:
    """Begin a run that goes on when the request is over; returns its id when it has begun.

    Raises:
        IntendantError: It cannot begin.
    """
    first: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_event(event: Event) -> None:
        if not first.done():
            first.set_result(event.run_id)

    task = ask.desk.later(start(on_event))
    await asyncio.wait({task, first}, timeout=BEGIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        raise error
    return first.result() if first.done() else ""


@action("/run/act")
async def act(ask: Ask) -> Response:
    """Pause, cancel or resume a run."""
    run, what = ask.field("run"), ask.field("what")
    service = ask.service
    if what == "pause":
        await service.pause(run)
    elif what == "cancel":
        await service.cancel(run)
    elif what == "resume":
        await begun(ask, lambda on_event: service.resume(run, on_event=on_event))
    else:
        raise Refused(400, f"'{what}' is not known", "there is: pause, cancel, resume")
    return ask.back("/run", id=run)


@action("/run/rate")
async def rate(ask: Ask) -> Response:
    """Say how good a run was."""
    run, rating = ask.field("run"), whole_number(ask, "rating", 5)
    step = ask.field("step", required=False) or None
    comment = ask.field("comment", required=False)
    await ask.service.operations.rate(run, rating, step=step, comment=comment, by=ask.identity.name)
    return ask.back("/run", id=run)


@action("/run/fork")
async def fork(ask: Ask) -> Response:
    """Branch from a step of a run."""
    run, start = ask.field("run"), ask.field("step")
    text, tokens = ask.field("inputs", required=False).strip(), ask.field("tokens", required=False).strip()
    inputs = as_object(text) if text else None
    limits = Limits(tokens=whole_number(ask, "tokens", MOST_TOKENS)) if tokens else None
    dry = bool(ask.field("dry", required=False))
    made = await begun(
        ask,
        lambda on_event: ask.service.fork(run, start, inputs=inputs, limits=limits, dry=dry, on_event=on_event),
    )
    return ask.back("/run", id=made or run)


@action("/approve")
async def approve(ask: Ask) -> Response:
    """Decide about what a step would do; go on with the run where that is wanted."""
    run, step, verdict = ask.field("run"), ask.field("step"), ask.field("verdict")
    note = ask.field("note", required=False)
    if verdict not in ("approved", "denied"):
        raise Refused(400, f"'{verdict}' is not known", "a step is approved or denied")
    wanted = await ask.service.operations.decide(
        run, step, "approved" if verdict == "approved" else "denied", by=ask.identity.name, note=note
    )
    if wanted:
        return ask.back("/decisions", done=f"{verdict}: {step}; {wanted} more have to approve")
    if ask.field("go_on", required=False):
        await begun(ask, lambda on_event: ask.service.resume(run, on_event=on_event))
        return ask.back("/run", id=run)
    return ask.back("/decisions", done=f"{verdict}: {step}; a worker goes on with the run, or Resume on its page")


@action("/doubt")
async def doubt(ask: Ask) -> Response:
    """Decide about a call in doubt."""
    hold, decision = ask.field("hold"), ask.field("decision")
    by, operations = ask.identity.name, ask.service.operations
    if decision == "settle":
        taken = [whole_number(ask, name, MOST_TOKENS) for name in ("input_tokens", "output_tokens")]
        usage = Usage(input_tokens=taken[0], output_tokens=taken[1])
        answer = ask.field("answer", required=False) or None
        await operations.decide_doubt(hold, "settle", by=by, usage=usage, answer=answer)
    elif decision == "retry":
        await operations.decide_doubt(hold, "retry", by=by)
    elif decision == "drop":
        await operations.decide_doubt(hold, "drop", by=by)
    else:
        raise Refused(400, f"'{decision}' is not known", "there is: settle, retry, drop")
    return ask.back("/decisions", done=f"{decision}: {hold[:12]}")


@action("/setting")
async def setting(ask: Ask) -> Response:
    """Change a key in the database's layer, or take it out of it."""
    key, note = ask.field("key"), ask.field("note", required=False)
    expected = whole_number(ask, "version", MOST_TOKENS)
    state, _ = await ask.service.operations.setting(key)
    steering = ask.service.steering
    if ask.field("what", required=False) == "reset":
        value = steering.reset
    else:
        value = value_of(ask.field("value", required=False), state.schema)
    await steering.change({key: value}, by=ask.identity.name, note=note, expected=expected)
    return ask.back("/setting", key=key, done="changed")


def value_of(text: str, schema: Any) -> Any:
    """A value as it was typed: text for keys that are texts, else JSON."""
    kinds = [each.get("type") for each in schema.get("anyOf", [schema])]
    if "string" in kinds and not (text == "null" and "null" in kinds):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if "enum" in schema:
            return text
        raise Refused(
            400, f"'{text[:80]}' is no value of this key", "write JSON, such as 0.5, true or [1, 2]"
        ) from None


@action("/settings/rollback")
async def roll_back(ask: Ask) -> Response:
    """Set the database's layer to what it was."""
    version = whole_number(ask, "version", MOST_TOKENS)
    await ask.service.steering.roll_back(version, by=ask.identity.name)
    return ask.back("/settings/history")


@action("/budgets")
async def budgets(ask: Ask) -> Response:
    """Set a standing limit; an empty field is no limit."""
    kind, name, per = ask.field("kind"), ask.field("name").strip(), ask.field("per")
    texts = [ask.field(each, required=False).strip() for each in ("tokens", "usd")]
    tokens = whole_number(ask, "tokens", MOST_TOKENS) if texts[0] else None
    usd = amount_of(texts[1]) if texts[1] else None
    if per not in ("day", "month"):
        raise Refused(400, f"'{per}' is not known", "there is: day, month")
    scope, by = f"{kind}:{name}", ask.identity.name
    row = await ask.service.operations.set_limit(
        scope, "day" if per == "day" else "month", tokens=tokens, usd=usd, by=by
    )
    done = f"{scope} has no limit per {per}" if row is None else f"the limit of {scope} per {per} is set"
    return ask.back("/budgets", done=done)


def amount_of(text: str) -> float:
    """An amount in US$.

    Raises:
        Refused: It is none.
    """
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", text):
        raise Refused(400, f"usd: '{text[:40]}' is no amount", "write 5 or 0.25")
    return float(text)


@action("/flags")
async def flags(ask: Ask) -> Response:
    """Switch a flag, roll it out to a share, or begin a guarded rollout."""
    name, what, by = ask.field("flag"), ask.field("what"), ask.identity.name
    note = ask.field("note", required=False)
    if what == "guard":
        await ask.service.operations.start_rollout(name, by=by)
    elif what == "percent":
        share = {"percent": whole_number(ask, "percent", 100), "by": ask.field("by")}
        await ask.service.steering.change({f"flags.{name}": share}, by=by, note=note)
    elif what in ("on", "off"):
        await ask.service.steering.change({f"flags.{name}": what == "on"}, by=by, note=note)
    else:
        raise Refused(400, f"'{what}' is not known", "there is: on, off, percent, guard")
    return ask.back("/flags", done=f"{name}: {what}")


@action("/agent/forget")
async def forget(ask: Ask) -> Response:
    """Let an agent forget something."""
    name = ask.field("name")
    await ask.service.memory(name).forget(whole_number(ask, "memory", MOST_TOKENS))
    return ask.back("/agent", name=name)


def whole_number(ask: Ask, name: str, most: int) -> int:
    """A whole number of a form.

    Raises:
        Refused: It is none, or out of range.
    """
    text = ask.field(name).strip()
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > most:
        raise Refused(400, f"{name}: '{text[:40]}' is no number from 0 to {most:,}")
    return int(text)


def as_object(text: str) -> dict[str, Any]:
    """A JSON object of a form.

    Raises:
        Refused: It is none.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the inputs are no JSON: {str(error)[:100]}", 'write {"name": "value"}') from None
    if not isinstance(value, dict):
        raise Refused(400, "the inputs are no JSON object", 'write {"name": "value"}')
    return value
