"""`intendant report`: a report on runs, as text, as figures, or as a page with plots."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.days import end_of, start_of
from intendant.cli.shared import DbOption, JsonOption, Session, SetOption, command, print_json
from intendant.model.errors import IntendantError

if TYPE_CHECKING:
    from intendant.record.report_page import Report

DASHBOARDS = ("health", "performance", "cost")


@command()
def report(
    run: Annotated[str | None, typer.Argument(help="A run; by default all runs that ended.")] = None,
    *,
    agent: Annotated[str | None, typer.Option("--agent", help="Only those of this agent.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DAY", help="Only runs that ended on this day (UTC) or later.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="DAY", help="Only runs that ended on this day (UTC) or earlier."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a self-contained page with plots."),
    ] = None,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print all figures, budgets and alerts in Prometheus format.")
    ] = False,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Report on runs: health, performance and cost."""
    scope: dict[str, Any] = {
        "agent": agent,
        "since": start_of(since, "--since"),
        "until": end_of(until, "--until"),
    }
    period = f"{since or 'the beginning'} to {until or 'now'}"
    with Session(settings, db) as session:
        operations = session.service.operations
        if prometheus:
            print(session.do(operations.prometheus()), end="")
            return
        found = session.do(operations.report(run, **scope, period=period))
    if html is not None:
        _write(html, found)
    if as_json:
        print_json(_document(found))
    elif html is None:
        print(_words(found))
    else:
        print(f"written: {html}")


def _write(path: Path, found: "Report") -> None:
    from intendant.record.report_page import page

    try:
        path.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise IntendantError(f"{path} cannot be written: {error.strerror}", hint="name another file") from None


def _document(found: "Report") -> dict[str, Any]:
    from intendant.record.alerts import as_json
    from intendant.record.dashboards import costs, health, performance

    seen = health(found.runs)
    made = (asdict(seen), asdict(performance(found.runs, found.threshold)), asdict(costs(found.runs)))
    parts = {name: _plain(one) for name, one in zip(DASHBOARDS, made, strict=True)}
    parts["health"]["adherence"]["share"] = seen.adherence.share
    rating = sum(found.ratings) / len(found.ratings) if found.ratings else None
    return {
        "title": found.title,
        "period": found.period,
        **parts,
        "ratings": {"count": len(found.ratings), "mean": rating},
        "alerts": [as_json(state) for state in found.alerts if state.raised],
    }


def _plain(value: Any) -> Any:
    """Named tuples as objects with their names."""
    if hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _words(found: "Report") -> str:
    from intendant.record.dashboards import costs, health, performance
    from intendant.record.report_page import sentences

    seen, fast, spent = health(found.runs), performance(found.runs, found.threshold), costs(found.runs)
    lines = [f"{found.title}, {found.period}", sentences(seen, spent, found.ratings)]
    if seen.runs:
        slow = fast.overhead
        lines.append(f"overhead of a step: {slow.p50:.1f} ms median, {slow.p95:.1f} p95, {slow.p99:.1f} p99")
    lines += [
        f"  {intent:<14} {one.steps:>6,} steps {one.failed:>5,} failed {one.milliseconds.p50:>9.1f} ms median"
        for intent, one in fast.handlers.items()
    ]
    lines += [f"alert: {state.rule}: {state.text}" for state in found.alerts if state.raised]
    return "\n".join(lines)
