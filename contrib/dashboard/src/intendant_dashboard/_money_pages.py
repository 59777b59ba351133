"""Where money went, what was saved, and what may be spent."""

from collections.abc import Iterator, Sequence
from typing import Any

from starlette.responses import Response

from intendant_dashboard._desk import MICRO, Ask, money, page, whole
from intendant_dashboard._draw import Part, bar
from intendant_dashboard._pages import NEWEST, day_of, days_of, plot_of
from intendant_dashboard._run_pages import budget_line

MOST_ESTIMATED = 20_000
"""Events of a run; of a larger one a page does not read all to estimate what was saved."""
GROUPS = ("workflow", "agent", "intent", "tier", "model", "day")


@page("/money")
async def spent(ask: Ask) -> Response:
    """Where money went, by what is asked for."""
    by, agent = ask.one_of("by", *GROUPS), ask.some("agent")
    figures = await ask.service.operations.newest_figures(NEWEST, agent=agent, since=ask.day("since"))
    groups: dict[str, list[int]] = {}
    for name, sums in _amounts(figures, by):
        known = groups.setdefault(name or "(none)", [0, 0, 0, 0])
        for number, value in enumerate(sums):
            known[number] += value
    whole_sum = sum(sums[3] for sums in groups.values())
    order = sorted(groups.items(), key=lambda item: item[0] if by == "day" else -item[1][3])
    saved = sum(one.saved * one.micro_usd / one.tokens for one in figures if one.tokens)
    return ask.page(
        "money.html",
        "Money",
        by=by,
        agent=agent,
        since=ask.text("since"),
        groups=[("workflow", "workflow"), *((each, each) for each in GROUPS[1:])],
        rows=[_row(name, sums, whole_sum) for name, sums in order],
        days=days_of(figures),
        plot=plot_of(figures),
        runs=len(figures),
        full=len(figures) == NEWEST,
        spent=sum(one.micro_usd for one in figures),
        tokens=sum(one.tokens for one in figures),
        saved_tokens=sum(one.saved for one in figures),
        saved=saved,
        shadow=sum(one.shadow_micro_usd for one in figures),
        overhead=sum(one.planning_micro_usd for one in figures),
    )


def _amounts(figures: Sequence[Any], by: str) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Calls, tokens, saved tokens and micro-US$, by name."""
    for one in figures:
        if by in ("workflow", "agent", "day"):
            name = day_of(one.at) if by == "day" else getattr(one, by)
            yield name, (sum(step.calls for step in one.steps), one.tokens, one.saved, one.micro_usd)
            continue
        for step in one.steps:
            yield getattr(step, by), (step.calls, step.used, step.saved, step.micro_usd)
        if one.planning_tokens:
            yield "(telling intents)", (0, one.planning_tokens, 0, one.planning_micro_usd)


def _row(name: str, sums: Sequence[int], all_of_it: int) -> dict[str, Any]:
    share = sums[3] / all_of_it if all_of_it else 0.0
    said = f"{share:.0%} of {money(all_of_it)}"
    return {
        "name": name,
        "calls": sums[0],
        "tokens": sums[1],
        "saved": sums[2],
        "micro_usd": sums[3],
        "share": share,
        "bar": bar([Part("spent", 0, share, said)], said),
    }


@page("/budgets")
async def budgets(ask: Ask) -> Response:
    """Standing budgets of agents and tenants: what is held beside what is spent."""
    operations = ask.service.operations
    rows, lines = await operations.limits(), []
    for row in rows:
        name = f"{row.scope}, {row.per} {row.period}"
        to = ask.url("/budgets", scope=row.scope, per=row.per) + "#set"
        for unit, sums, said in (
            ("tokens", (row.spent_tokens, row.held_tokens, row.limit_tokens), whole),
            ("US$", (row.spent_micro, row.held_micro, row.limit_micro), money),
        ):
            if sums[2] is not None:
                lines.append({**budget_line(name, unit, sums, said), "to": to})
    scope, per = ask.text("scope"), ask.one_of("per", "day", "month")
    chosen = next((row for row in rows if (row.scope, row.per) == (scope, per)), None)
    running = []
    for run in await operations.runs(20, status="running"):
        for own in (await operations.budgets(run.id))[:1]:
            sums = (own.spent_tokens, own.held_tokens, own.limit_tokens)
            running.append(budget_line(f"{run.workflow} {run.id}", "tokens", sums, whole))
    kind, _, name = scope.partition(":")
    return ask.page(
        "budgets.html",
        "Budgets",
        lines=lines,
        running=running,
        done=ask.text("done"),
        form={
            "kind": kind if kind in ("agent", "tenant") else "agent",
            "name": name,
            "per": per,
            "tokens": "" if chosen is None or chosen.limit_tokens is None else chosen.limit_tokens,
            "usd": "" if chosen is None or chosen.limit_micro is None else f"{chosen.limit_micro / MICRO:g}",
        },
        history=await operations.limit_history(20),
    )


@page("/run/money")
async def of_run(ask: Ask) -> Response:
    """Where the money of a run went, and what it would have cost without orchestration."""
    operations = ask.service.operations
    row = await operations.run(ask.text("id"))
    small = (row.events or 0) <= MOST_ESTIMATED
    by = ask.one_of("by", "step", "model", "intent", "tier")
    found = await operations.costs(row.id, by=by, estimate=small)
    estimate = found["estimate"] or {"without_micro_usd": None}
    without, spent_micro = estimate["without_micro_usd"], found["total"]["micro_usd"]
    most = max(without or 0, spent_micro, 1)
    return ask.page(
        "run_money.html",
        row.workflow,
        row=row,
        found=found,
        estimate=found["estimate"],
        with_bar=bar([Part("spent", 0, spent_micro / most, "spent")], money(spent_micro)),
        without_bar=bar([Part("saved", 0, (without or 0) / most, "without")], money(without)),
        rows=[
            {
                **group,
                "bar": bar(
                    [Part("spent", 0, group["share"] or 0, money(group["micro_usd"]))], money(group["micro_usd"])
                ),
            }
            for group in found["groups"]
        ],
    )
