"""The pages that all runs share: overview, lists, money, routing, refusals, audit."""

from typing import Any

from starlette.responses import Response

from intendant_dashboard._desk import Ask, page

STATUSES = ("", "running", "waiting", "completed", "partial", "failed", "cancelled")
AT_ONCE = 50


@page("/")
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
