"""Runs as operators look at them: pages of runs and events, figures, budgets, steps, graphs, decisions.

What is read in passing is read on a connection of its own, so that runs which are being written need not wait.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from intendant.model.errors import IntendantError
from intendant.pilot import run_record, step_record
from intendant.record.figures import FiguresFold, RunFigures
from intendant.record.journal import parse_events

if TYPE_CHECKING:
    from intendant.model.results import Usage
    from intendant.pilot.engine import Engine
    from intendant.record.diagram_svg import Node
    from intendant.record.rows import ApprovalRow, BudgetRow, DoubtRow, EventRow, RunRow
    from intendant.record.store import Store
    from intendant.record.store.browsing import Found, Place
    from intendant.record.store.runs import Listed
    from intendant.record.store.statements import Work
    from intendant.record.store.verification import Verified

ResultT = TypeVar("ResultT")
AT_ONCE = 1000
"""Events that are read at a time."""
LOOK_SECONDS = 0.5
"""How often a run that is watched is looked at."""


async def reading(engine: "Engine", work: "Work[ResultT]") -> ResultT:
    """Do *work*, which only reads, after all that was queued is committed; on a connection of its own where the
    database admits one.
    """
    from intendant.record.store import spend_report

    await engine.store.flush()
    if engine.store_url == "none" or ":memory:" in engine.store_url:
        return await engine.store.do(work)
    return await asyncio.to_thread(spend_report.apart, engine.store_url, work)


async def listed(engine: "Engine", limit: int, **wanted: Any) -> "list[Listed]":
    """The newest runs that are wanted; see `runs.Wanted`."""
    from intendant.record.store import runs

    return await reading(engine, runs.list_runs(limit, runs.Wanted(engine.tenant, **wanted)))


async def find(engine: "Engine", run: str) -> "RunRow":
    """A run.

    Raises:
        RunNotFound: There is none, or more than one.
    """
    from intendant.record.store import runs

    return await reading(engine, runs.find_run(run, engine.tenant))


async def figures_of_run(engine: "Engine", run: str) -> RunFigures:
    """The figures of one run; those that were kept where it has ended, else from its events."""
    from intendant.record.rows import Scope
    from intendant.record.store import run_figures

    row = await find(engine, run)
    if row.finished_at is not None and row.status != "waiting":
        kept = await reading(engine, run_figures.figures_within(Scope(row.id)))
        if kept:
            return kept[0]
    fold = FiguresFold()
    await _fold(engine, row.id, fold, 0)
    found = fold.run
    found.run_id = row.id
    return found


async def _fold(engine: "Engine", run_id: str, fold: FiguresFold, after: int) -> int:
    """Count the events after a number in; returns the number of the last one."""
    from intendant.record.store import browsing

    while rows := await reading(engine, browsing.events_between(run_id, after, AT_ONCE)):
        for event in parse_events(rows):
            fold.add(event)
        after = rows[-1].seq
    return after


async def watch(engine: "Engine", run: str, seconds: float = LOOK_SECONDS) -> AsyncIterator[RunFigures]:
    """The figures of a run now, and again whenever something has happened; ends with it.

    Args:
        engine: Whose store it is in.
        run: The run's id, or the beginning of it.
        seconds: How often it is looked at.
    """
    row = await find(engine, run)
    fold, after, first = FiguresFold(), 0, True
    while True:
        ended = (await find(engine, row.id)).status != "running"
        last = await _fold(engine, row.id, fold, after)
        if last != after or first or ended:
            figures = fold.run
            figures.run_id = row.id
            yield figures
        if ended:
            return
        if not first or last == after:
            await asyncio.sleep(seconds)
        after, first = last, False


async def events(
    engine: "Engine", run: str, after: int, limit: int, kinds: Sequence[str], step: str | None
) -> "list[EventRow]":
    """Events of a run in order."""
    from intendant.record.journal import complete_event
    from intendant.record.store import browsing

    row = await find(engine, run)
    found = await reading(engine, browsing.events_between(row.id, after, limit, kinds, step))
    return [event._replace(data=complete_event(event)) for event in found]


async def search(engine: "Engine", limit: int, place: "Place | None", text: str, wish: dict[str, Any]) -> "Found":
    """A page of a search through the audit trail."""
    from intendant.record.journal import complete_event
    from intendant.record.store import browsing
    from intendant.record.store.auditing import Wish

    asked = Wish(**{**wish, "tenant": engine.tenant, "limit": limit})
    found = await reading(engine, browsing.search(asked, place, text))
    return found._replace(rows=[row._replace(data=complete_event(row)) for row in found.rows])


async def budgets(engine: "Engine", run: str) -> "list[BudgetRow]":
    """The budgets of a run and of its steps."""
    from intendant.record.store import browsing

    row = await find(engine, run)
    return await reading(engine, browsing.budgets_of(row.id))


async def newest_figures(engine: "Engine", limit: int, agent: str | None, since: float | None) -> list[RunFigures]:
    """The figures of the runs that ended last."""
    from intendant.record.store import browsing

    return await reading(engine, browsing.newest_figures(engine.tenant, limit, agent, since))


async def counts(engine: "Engine") -> dict[str, int]:
    """How many runs are being executed, and how many wait."""
    from intendant.record.store import browsing

    return await reading(engine, browsing.status_counts(engine.tenant))


class _Reading:
    """A store whose work is only reading, as `run_record` wants one."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    async def do(self, work: "Work[ResultT]") -> ResultT:
        return await reading(self._engine, work)

    async def verified(self, run_id: str) -> "Verified":
        from intendant.record.store import integrity

        return await self.do(integrity.verify(run_id, self._engine.store.keys))


def _store(engine: "Engine") -> "Store":
    found: Any = _Reading(engine)
    return found  # type: ignore[no-any-return]


async def record(engine: "Engine", run: str) -> dict[str, Any]:
    """Everything that is kept of a run, whether its record is whole included."""
    return await run_record.read_run(_store(engine), run, engine.tenant)


async def step(engine: "Engine", run: str, address: str) -> dict[str, Any]:
    """Everything that is kept of one step."""
    found = await run_record.read_run(_store(engine), run, engine.tenant, step=address)
    return step_record.step_of(found, found["plan"], address)


async def graph(engine: "Engine", run: str, link: "Callable[[Node], str] | None", *, styled: bool) -> str:
    """The graph of a run, as SVG; items of one step are together."""
    from intendant.pilot.diagram_nodes import nodes_of_run
    from intendant.record.diagram_svg import svg

    waits = ("step_waiting", "approval_requested")
    found = await run_record.read_run(_store(engine), run, engine.tenant, kinds=waits)
    title = f"{found['workflow']}, {found['run_id']}: {found['status']}"
    return svg(title, nodes_of_run(found), link, styled=styled)


async def original(engine: "Engine", run: str, handle: str) -> str:
    """The text that a run compressed."""
    return await run_record.read_original(_store(engine), run, handle, engine.tenant)


async def approvals(engine: "Engine", run: str | None) -> "list[ApprovalRow]":
    """What people are asked now."""
    from intendant.record.store import approvals

    run_id = None if run is None else (await find(engine, run)).id
    return await reading(engine, approvals.open_approvals(run_id, engine.tenant))


async def decide(engine: "Engine", run: str, address: str, verdict: str, by: str, note: str) -> int:
    """Write down what a person decided about a step."""
    from intendant.record.store import approvals

    if verdict not in ("approved", "denied"):
        raise IntendantError(f"'{verdict}' is no verdict", hint="a step is approved or denied")
    row = await find(engine, run)
    return await engine.store.do(approvals.decide(row.id, address, by, verdict, note))


async def doubts(engine: "Engine", *, waiting: bool) -> "list[DoubtRow]":
    """Calls in doubt about which nothing was decided."""
    from intendant.record.store import decisions

    return await reading(engine, decisions.open_doubts(engine.tenant, waiting=waiting))


async def decide_doubt(
    engine: "Engine",
    hold: str,
    decision: Literal["settle", "retry", "drop"],
    by: str,
    usage: "Usage | None",
    answer: str | None,
) -> "DoubtRow":
    """Decide about a call in doubt."""
    from intendant.pilot import deciding

    return await deciding.decide(engine, hold, decision, by=by, usage=usage, answer=answer)
