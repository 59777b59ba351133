"""The pages that all runs share: overview, lists, comparison, routing, refusals, audit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import time
from typing import Any, NamedTuple

from starlette.responses import HTMLResponse, Response

from intendant import RunStatus
from intendant_dashboard._access import Refused
from intendant_dashboard._desk import MINUTE, Ask, money, page
from intendant_dashboard._draw import Column, columns
from intendant_dashboard._telling import ADVICE, REFUSALS, read

STATUSES = ("", *(status.value for status in RunStatus))
SEVERITIES = ("", "info", "warning", "critical")
AT_ONCE = 50
NEWEST = 500
"""Runs that sums are made of, at most: the newest of the period."""
KEPT_SECONDS = 10.0
DAY = 86_400
WEEK = 7
MOST_DAYS = 92
"""Days of a chart, the newest: more columns could not be told apart."""
FEW = 3


@page("/")
async def overview(ask: Ask) -> Response:
    """How things stand."""
    operations, since = ask.service.operations, time() - WEEK * DAY
    figures = await ask.desk.kept("figures", KEPT_SECONDS, lambda: operations.newest_figures(NEWEST, since=since))
    rules = await ask.desk.kept("rules", KEPT_SECONDS, operations.rules)
    statuses = Counter(one.status for one in figures)
    return ask.page(
        "overview.html",
        "Overview",
        counts=await operations.counts(),
        approvals=await operations.approvals(),
        doubts=await operations.doubts(),
        raised=[rule for rule in rules if rule.raised],
        rows=await operations.runs(12),
        figures=figures,
        full=len(figures) == NEWEST,
        statuses=statuses,
        spent=sum(one.micro_usd for one in figures),
        tokens=sum(one.tokens for one in figures),
        saved=sum(one.saved for one in figures),
        plot=plot_of(figures),
        days=days_of(figures),
    )


def plot_of(figures: Sequence[Any]) -> dict[str, Any] | None:
    """Points of a plot: what runs have cost, by the time when they ended; None for too few, or too close ones."""
    points = sorted((one.at, one.micro_usd / 1_000_000) for one in figures)
    if len(points) < FEW or points[-1][0] - points[0][0] < MINUTE:
        return None
    return {"label": "US$ of a run", "x": [round(at) for at, _ in points], "y": [usd for _, usd in points]}


def day_of(at: float) -> str:
    """The day (UTC) of a point in time."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def days_of(figures: Sequence[Any]) -> Any:
    """A chart of what was spent by day: the last seven days at least, also those on which nothing was."""
    spent: Counter[str] = Counter()
    for one in figures:
        spent[day_of(one.at)] += one.micro_usd
    first = min([*(one.at for one in figures), time() - (WEEK - 1) * DAY])
    shown = min(round((time() - first) / DAY) + 1, MOST_DAYS)
    days = [day_of(time() - back * DAY) for back in reversed(range(shown))]
    return columns("Cost by day", [Column(day[5:], spent[day], money(spent[day])) for day in days])


@page("/runs")
async def runs(ask: Ask) -> Response:
    """The newest runs."""
    wanted: dict[str, Any] = {
        "status": ask.one_of("status", *STATUSES) or None,
        "agent": ask.some("agent"),
        "workflow": ask.some("workflow"),
    }
    since, before = ask.day("since"), ask.moment("before")
    rows = await ask.service.operations.runs(AT_ONCE + 1, since=since, before=before, **wanted)
    more = f"{rows[AT_ONCE - 1].created_at:.9f}" if len(rows) > AT_ONCE else ""
    return ask.page(
        "runs.html",
        "Runs",
        rows=rows[:AT_ONCE],
        more=more,
        before=before,
        wanted=wanted,
        since=ask.text("since"),
        filtered=bool(ask.request.query_params),
        statuses=[("", "all"), *((each, each) for each in STATUSES[1:])],
    )


def status_of(step: Any, row: Any) -> str:
    """How a step of a run stands."""
    if step.status:
        return str(step.status)
    if step.begun is not None:
        return row.status if row.status in ("running", "waiting") else "cancelled"
    # Nothing is left out of a run that is completed: what did not run was done in the run that it branched from.
    return "taken_over" if row.status == "completed" else ""


@page("/compare")
async def compare(ask: Ask) -> Response:
    """Two runs beside each other, step by step."""
    operations, sides = ask.service.operations, []
    for name in ("a", "b"):
        if ask.text(name):
            row = await operations.run(ask.text(name))
            took = None if row.finished_at is None else row.finished_at - row.created_at
            sides.append((row, await operations.figures_of(row.id), took))
    lines: list[dict[str, Any]] = []
    if len(sides) == len("ab"):
        first, second = (
            {step.step: replace(step, status=status_of(step, row)) for step in figures.steps}
            for row, figures, _ in sides
        )
        lines = [
            {"step": key, "a": first.get(key), "b": second.get(key)} for key in dict.fromkeys([*first, *second])
        ]
    newest = await operations.runs(AT_ONCE, workflow=sides[0][0].workflow if sides else None)
    return ask.page(
        "compare.html", "Compare", sides=sides, lines=lines, newest=newest, a=ask.text("a"), b=ask.text("b")
    )


@page("/compare/step")
async def compare_step(ask: Ask) -> Response:
    """What a step gave in two runs."""
    operations, address = ask.service.operations, ask.text("step")
    sides = [await operations.step(ask.text(name), address) for name in ("a", "b")]
    return ask.page("compare_step.html", address, sides=sides, address=address, a=ask.text("a"), b=ask.text("b"))


@page("/routing")
async def routing(ask: Ask) -> Response:
    """Which tiers steps went to, and why."""
    operations, agent = ask.service.operations, ask.some("agent")
    figures = await operations.newest_figures(NEWEST, agent=agent, since=ask.day("since"))
    tiers: dict[tuple[str, str], list[int]] = {}
    for step in (step for one in figures for step in one.steps if step.tier):
        sums = tiers.setdefault((step.tier, step.model), [0, 0, 0, 0])
        for number, value in enumerate((1, step.calls, step.used, step.micro_usd)):
            sums[number] += value
    rows = sorted(tiers.items(), key=lambda item: -item[1][0])
    found = await operations.search(AT_ONCE, kinds=("routed",), agent=agent)
    return ask.page(
        "routing.html",
        "Routing",
        rows=rows,
        whole_steps=sum(sums[0] for _, sums in rows) or 1,
        runs=len(figures),
        decisions=[read(row) for row in found.rows],
        agent=agent,
        since=ask.text("since"),
    )


@page("/refusals")
async def refusals(ask: Ask) -> Response:
    """What was refused, failed or changed, and why."""
    return await refusals_of(ask, None)


async def refusals_of(ask: Ask, run: Any) -> Response:
    """The same of one run, or of all."""
    kinds = (kind,) if (kind := ask.one_of("type", "", *REFUSALS)) else REFUSALS
    place = place_of(ask.text("from"))
    wish: dict[str, Any] = {"kinds": kinds, "agent": ask.some("agent"), "run_id": None if run is None else run.id}
    found = await ask.service.operations.search(AT_ONCE, place=place, **wish)
    return ask.page(
        "refusals.html",
        "Why refused",
        row=run,
        events=[read(each) for each in found.rows],
        next_place=written(found.place),
        scanned=found.scanned,
        kinds=[("", "all"), *((each, each.replace("_", " ")) for each in REFUSALS)],
        kind=kind,
        agent=ask.text("agent"),
        advice=ADVICE,
    )


@page("/audit")
async def audit(ask: Ask) -> Response:
    """The audit trail, searched."""
    severity = ask.one_of("severity", *SEVERITIES)
    kind, run = ask.text("type"), ask.some("run")
    run_id = None if run is None else (await ask.service.operations.run(run)).id
    found = await ask.service.operations.search(
        AT_ONCE,
        place=place_of(ask.text("from")),
        text=ask.text("text"),
        run_id=run_id,
        agent=ask.some("agent"),
        workflow=ask.some("workflow"),
        kinds=(kind,) if kind else (),
        severities=(severity,) if severity else (),
        step=ask.some("step"),
        since=ask.day("since"),
        until=ask.day("until", end=True),
    )
    return ask.page(
        "audit.html",
        "Audit",
        events=[read(each) for each in found.rows],
        next_place=written(found.place),
        scanned=found.scanned,
        severities=[("", "all"), *((each, each) for each in SEVERITIES[1:])],
        asked={
            name: ask.text(name)
            for name in ("run", "agent", "workflow", "type", "severity", "step", "since", "until", "text")
        },
    )


class Place(NamedTuple):
    """Where a search goes on; the same fields as the service's."""

    began: float
    run_id: str
    seq: int


def place_of(text: str) -> Any:
    """A place, as an address has it.

    Raises:
        Refused: It is none.
    """
    if not text:
        return None
    began, _, rest = text.partition("~")
    seq, _, run = rest.partition("~")
    try:
        return Place(float(began), run, int(seq))
    except ValueError:
        raise Refused(400, "from: this is no place of a search") from None


def written(place: Any) -> str:
    """A place, as it stands in an address."""
    return "" if place is None else f"{place.began!r}~{place.seq}~{place.run_id}"


@page("/report")
async def report(ask: Ask) -> Response:
    """The report that a manager reads: one page that fetches nothing."""
    operations, run = ask.service.operations, ask.some("run")
    if run is not None:
        made = await operations.report(run)
    else:
        since = ask.day("since") or time() - WEEK * DAY
        made = await operations.report(agent=ask.some("agent"), since=since, period="the last 7 days")
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    return HTMLResponse(await operations.report_page(made), headers={"content-security-policy": policy})
