"""The pages of one run."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from time import time
from typing import Any

from markupsafe import Markup
from starlette.responses import Response, StreamingResponse

from intendant import IntendantError, compress_async
from intendant.plugin import Compression
from intendant_dashboard._access import Refused
from intendant_dashboard._desk import NONE, Ask, money, page, whole
from intendant_dashboard._draw import Part, bar
from intendant_dashboard._pages import refusals_of, status_of
from intendant_dashboard._telling import read

MOST_STREAMS = 100
"""Pages that are kept up to date at a time; others are as they were loaded."""
EVENTS = 200
"""Events of a page."""
MOST_TEXT = 200_000
"""Characters of a text that a page shows."""
MOST_AGAIN = 60_000
"""Characters of a text that is compressed again to be shown."""
MOST_LINES = 5000
MOST_STEPS = 500
"""Steps that a page shows."""


@page("/run")
async def run(ask: Ask) -> Response:
    """The steps of a run as a waterfall; kept up to date while it runs."""
    operations = ask.service.operations
    row = await operations.run(ask.text("id", "last"))
    figures = await operations.figures_of(row.id)
    rating = await operations.ratings(row.id)
    context = await live_context(ask, row, figures)
    return ask.page("run.html", row.workflow, row=row, live=row.status == "running", rating=rating, **context)


async def live_context(ask: Ask, row: Any, figures: Any) -> dict[str, Any]:
    """What the part of the page needs that changes while a run runs."""
    now = time()
    rows = [step_row(step, row, now) for step in figures.steps[:MOST_STEPS]]
    begun = [step.begun for step in figures.steps if step.begun is not None]
    start = min(begun, default=row.created_at)
    end = max((each["end"] for each in rows if each["end"]), default=start)
    for each in rows:
        each["bar"] = time_bar(each, start, max(end - start, 0.001))
    operations = ask.service.operations
    asked = await operations.approvals(row.id) if row.status in ("running", "waiting") else []
    found = await operations.budgets(row.id)
    return {
        "run_id": row.id,
        "figures": figures,
        "rows": rows,
        "status": row.status,
        "took": (row.finished_at or now) - row.created_at,
        "span": max(end - start, 0.0),
        "done": sum(bool(step.status) for step in figures.steps),
        "allocated": sum(step.allocated for step in figures.steps),
        "asked": asked,
        "budgets": [line for each in found for line in budget_lines(each)],
    }


def step_row(step: Any, row: Any, now: float) -> dict[str, Any]:
    """A step's line."""
    over = step.begun is not None and not step.status and row.status == "running"
    taken = now - step.begun if over else step.seconds
    end = None if step.begun is None else step.begun + taken
    return {
        **asdict(step),
        "is_over": step.is_over,
        "status": status_of(step, row),
        "seconds": taken if step.begun else None,
        "end": end,
    }


def time_bar(step: dict[str, Any], start: float, span: float) -> Any:
    """When a step ran, within its run."""
    if step["begun"] is None:
        return bar([], "not begun")
    at, share = (step["begun"] - start) / span, (step["end"] - step["begun"]) / span
    kinds = {"running": "running", "failed": "failed", "waiting": "waiting", "skipped": "skipped"}
    said = f"from {step['begun'] - start:.2f} s on, {step['seconds']:.2f} s"
    return bar([Part(kinds.get(step["status"], "spent"), at, share, said)], said)


def budget_lines(row: Any) -> list[dict[str, Any]]:
    """The lines of a budget: tokens, and money where that is limited."""
    name = row.id.partition(":")[2] if row.id.startswith("step:") else "the whole run"
    name = name.partition("/")[2] if row.id.startswith("step:") else name
    lines = [budget_line(name, "tokens", (row.spent_tokens, row.held_tokens, row.limit_tokens), whole)]
    if row.limit_micro is not None or row.id.startswith("run:"):
        lines.append(budget_line(name, "US$", (row.spent_micro, row.held_micro, row.limit_micro), money))
    return lines


def budget_line(name: str, unit: str, sums: tuple[int, int, int | None], said: Any) -> dict[str, Any]:
    """A line of a table of budgets.

    Args:
        name: Whose budget it is.
        unit: What it counts.
        sums: What is spent and held, and the limit.
        said: Writes an amount.
    """
    spent, held, limit = sums
    most = limit or (spent + held) or 1
    parts = [
        Part("spent", 0, spent / most, f"spent {said(spent)}"),
        Part("held", spent / most, held / most, f"held {said(held)}"),
    ]
    words = f"spent {said(spent)}, held {said(held)}" + (f" of {said(limit)}" if limit else ", no limit")
    return {
        "name": name,
        "to": "",
        "unit": unit,
        "bar": bar(parts, words),
        "spent": said(spent),
        "held": said(held) if held else NONE,
        "limit": said(limit) if limit is not None else "none",
        "left": said(limit - spent - held) if limit is not None else NONE,
    }


@page("/run/live")
async def live(ask: Ask) -> Response:
    """The changing part of a run's page, whenever something has happened (server-sent events)."""
    row = await ask.service.operations.run(ask.text("id"))
    if ask.desk.streams >= MOST_STREAMS:
        raise Refused(503, "too many pages are kept up to date", "close some, or load the page again")
    return StreamingResponse(_told(ask, row.id), media_type="text/event-stream")


async def _told(ask: Ask, run_id: str) -> AsyncIterator[str]:
    operations = ask.service.operations
    ask.desk.streams += 1
    try:
        async for figures in operations.watch(run_id):
            row = await operations.run(run_id)
            context = await live_context(ask, row, figures)
            text = ask.desk.text(ask.request, "_run_live.html", identity=ask.identity, **context)
            yield sent(text.splitlines())
        yield sent(["the run has ended, or waits"], "ended")
    finally:
        ask.desk.streams -= 1


def sent(lines: Sequence[str], event: str = "") -> str:
    """A server-sent event."""
    name = f"event: {event}\n" if event else ""
    return name + "".join(f"data: {line}\n" for line in lines) + "\n"


@page("/run/graph")
async def graph(ask: Ask) -> Response:
    """The graph of a run; items of one step are together."""
    row = await ask.service.operations.run(ask.text("id"))
    drawn = await ask.service.operations.graph(
        row.id, lambda node: ask.url("/step", run=row.id, step=node.key), styled=False
    )
    # The core escapes what it draws.
    return ask.page("run_graph.html", row.workflow, row=row, drawn=Markup(drawn))  # noqa: S704


@page("/run/refusals")
async def refusals(ask: Ask) -> Response:
    """Why something of a run was refused."""
    return await refusals_of(ask, await ask.service.operations.run(ask.text("id")))


@page("/run/events")
async def events(ask: Ask) -> Response:
    """The journal of a run, in order."""
    operations, after = ask.service.operations, ask.number("after", 0, 0, 10**9)
    row = await operations.run(ask.text("id"))
    kind, step = ask.some("type"), ask.some("step")
    found = await operations.events(
        row.id, after=after, limit=EVENTS + 1, kinds=(kind,) if kind else (), step=step
    )
    more = found[EVENTS - 1].seq if len(found) > EVENTS else None
    return ask.page(
        "run_events.html",
        row.workflow,
        row=row,
        events=[read(each) for each in found[:EVENTS]],
        more=more,
        after=after,
        kind=kind,
        step=step,
    )


@page("/run/compression")
async def compression(ask: Ask) -> Response:
    """What was compressed in a run, and what was dropped."""
    operations = ask.service.operations
    row = await operations.run(ask.text("id"))
    found = await operations.events(row.id, limit=EVENTS, kinds=("token_compressed", "content_expanded"))
    told = [read(each) for each in found]
    most = max((one["data"].get("tokens_before", 0) for one in told), default=1) or 1
    for one in told:
        before, left = one["data"].get("tokens_before", 0), one["data"].get("tokens_after", 0)
        parts = [
            Part("spent", 0, left / most, f"{left} left"),
            Part("saved", left / most, (before - left) / most, "saved"),
        ]
        one["bar"] = bar(parts, f"{before} tokens before, {left} after")
    return ask.page("run_compression.html", row.workflow, row=row, events=told)


@page("/original")
async def original(ask: Ask) -> Response:
    """A text as it was before compression, beside what was kept of it."""
    operations, handle = ask.service.operations, ask.text("handle")
    row = await operations.run(ask.text("run"))
    text = await operations.original(row.id, handle)
    found = await operations.events(row.id, limit=EVENTS, kinds=("token_compressed",))
    event = next((one for one in map(read, found) if one["data"].get("original") == handle), None)
    made = await _again(text, event["data"]) if event is not None else None
    return ask.page(
        "original.html",
        row.workflow,
        row=row,
        handle=handle,
        text=text[:MOST_TEXT],
        cut=len(text) > MOST_TEXT,
        event=event,
        made=None if made is None else made.text,
        # A text in another form keeps its lines in another form: nothing could be marked.
        lines=None if made is None or made.lossless else marked(text, made.text),
    )


async def _again(text: str, event: Mapping[str, Any]) -> Compression | None:
    """The text as the compressors of now make it from the original: what was sent is not kept. None where they
    cannot, or where it would take long.
    """
    if len(text) > MOST_AGAIN:
        return None
    with suppress(IntendantError):
        strategy, tokens = str(event.get("strategy", "")), int(event.get("tokens_after", 0))
        return await compress_async(text, tokens=tokens, strategy=strategy)
    return None


def marked(before: str, after: str) -> list[tuple[bool, str]]:
    """The lines of a text, and whether each is kept in another one."""
    kept = Counter(line.strip() for line in after.splitlines())
    found = []
    for line in before.splitlines()[:MOST_LINES]:
        there = kept[line.strip()] > 0 or not line.strip()
        kept[line.strip()] -= there
        found.append((there, line))
    return found


@page("/step")
async def step(ask: Ask) -> Response:
    """One step: what it was given and gave, its attempts, calls and deliveries."""
    operations = ask.service.operations
    row = await operations.run(ask.text("run"))
    told = await operations.step(row.id, ask.text("step"))
    found = await operations.events(row.id, limit=EVENTS, step=told["step"])
    return ask.page(
        "step.html", told["step"], row=row, told=told, events=[read(each) for each in found], most=MOST_TEXT
    )


@page("/run/fork")
async def fork(ask: Ask) -> Response:
    """Branch from a step: a new run that takes over what this one has done before it."""
    operations = ask.service.operations
    row = await operations.run(ask.text("id"))
    figures = await operations.figures_of(row.id)
    return ask.page(
        "run_fork.html",
        row.workflow,
        row=row,
        steps=[(one.step, one.step) for one in figures.steps],
        chosen=ask.text("step"),
        inputs=json.loads(row.inputs),
    )
