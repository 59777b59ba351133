"""`intendant audit`: the journal of all runs, filtered, to show or to export."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer  # noqa: TID253

from intendant.cli.days import end_of, start_of
from intendant.cli.shared import DbOption, JsonOption, SetOption, app, command, load_settings, print_json
from intendant.model.errors import IntendantError

if TYPE_CHECKING:
    from intendant.record.store.auditing import AuditRow, Wish

audit_app = typer.Typer(help="The audit trail: what happened, in all runs.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")

RunArgument = Annotated[str | None, typer.Argument(help="A run; by default all runs.")]
KindOption = Annotated[
    list[str] | None,
    typer.Option("--kind", help="Only events of this kind, such as step_failed. May be repeated."),
]
AgentOption = Annotated[str | None, typer.Option("--agent", help="Only those of this agent.")]
WorkflowOption = Annotated[str | None, typer.Option("--workflow", help="Only those of this workflow.")]
StepOption = Annotated[str | None, typer.Option("--step", help="Only those of this step.")]
SinceOption = Annotated[str | None, typer.Option("--since", metavar="DAY", help="On this day (UTC) or later.")]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="DAY", help="On this day (UTC) or earlier.")]
COLUMNS = ("run_id", "seq", "at", "type", "step_id", "severity", "agent", "workflow", "hash", "data")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula at the beginning of a cell."""


class Severities(StrEnum):
    """Severities of events."""

    info = "info"
    warning = "warning"
    critical = "critical"


SeverityOption = Annotated[
    list[Severities] | None, typer.Option("--severity", help="Only events of this severity. May be repeated.")
]


def _wish(
    run: str | None, kinds: list[str] | None, severities: list[Severities] | None, since: str | None, **other: Any
) -> "Wish":
    from intendant.record.store.auditing import Wish

    until = other.pop("until")
    known = known_kinds()
    for kind in kinds or ():
        if kind not in known:
            raise IntendantError(f"there is no event '{kind}'", hint=f"kinds: {', '.join(sorted(known))}")
    return Wish(
        run_id=run,
        kinds=tuple(kinds or ()),
        severities=tuple(one.value for one in severities or ()),
        since=start_of(since, "--since"),
        until=end_of(until, "--until"),
        **other,
    )


def known_kinds() -> set[str]:
    """The types of all events."""
    from intendant import events

    members = get_args(get_args(events.AnyEvent)[0])
    return {member.__pydantic_fields__["type"].default for member in members}


def _rows(wish: "Wish", db: str | None, settings: list[str] | None, use: Any) -> Any:
    """Give the rows that are wanted to *use*, while they are read."""
    from intendant.cli.runs import with_store
    from intendant.record.store import runs
    from intendant.record.store.auditing import audit_rows

    chosen = load_settings(settings)
    tenant = chosen.budget.tenant

    async def work(store: Any) -> Any:
        asked = wish._replace(tenant=tenant)
        if wish.run_id is not None:
            asked = asked._replace(run_id=(await store.do(runs.find_run(wish.run_id, tenant))).id)
        if store.url == "none":
            return await store.do(lambda connection: use(audit_rows(connection, asked)))
        from intendant.record.store.spend_report import apart

        await store.flush()  # opens it, and checks its version
        return apart(store.url, lambda connection: use(audit_rows(connection, asked)))

    return with_store(db, chosen, work)


@command(name="show", group=audit_app)
def show_events(
    run: RunArgument = None,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Maximum number to show.", min=1)] = 50,
    kind: KindOption = None,
    severity: SeverityOption = None,
    agent: AgentOption = None,
    workflow: WorkflowOption = None,
    step: StepOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Show the newest matching events, in chronological order."""
    wish = _wish(run, kind, severity, since, until=until, agent=agent, workflow=workflow, step=step)
    found = list(reversed(_rows(wish._replace(limit=limit, newest=True), db, settings, list)))
    if as_json:
        print_json([_document(row) for row in found])
        return
    for row in found:
        said = {name: value for name, value in json.loads(row.data).items() if name not in _IN_COLUMNS}
        at = datetime.fromtimestamp(row.at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        print(f"{at}  {row.run_id}  {row.type:<20} {row.step_id or '':<16} {json.dumps(said, ensure_ascii=False)}")
    if not found:
        print("no such events")


_IN_COLUMNS = frozenset({"type", "run_id", "step_id", "at", "severity"})


def _document(row: "AuditRow", *, raw: bool = False) -> dict[str, Any]:
    at = datetime.fromtimestamp(row.at, UTC).isoformat(timespec="microseconds")
    said = row._asdict() | {"at": at}
    commits = said.pop("commits")
    if raw:
        from intendant.record.rows import said_by_columns

        return said | {"commits": commits, "columns": said_by_columns(row)}
    data = {name: value for name, value in json.loads(row.data).items() if name not in _IN_COLUMNS}
    return said | {"data": data}


@command(name="export", group=audit_app)
def export_events(
    run: RunArgument = None,
    *,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV, safe to open in a spreadsheet.")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Events as they are stored, with everything that their hashes cover.")
    ] = False,
    kind: KindOption = None,
    severity: SeverityOption = None,
    agent: AgentOption = None,
    workflow: WorkflowOption = None,
    step: StepOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Export all matching events, run by run: one JSON document per line, or CSV."""
    wish = _wish(run, kind, severity, since, until=until, agent=agent, workflow=workflow, step=step)
    _rows(wish, db, settings, _write_csv if as_csv else lambda rows: _write_lines(rows, raw=raw))


def _write_lines(rows: "Iterable[AuditRow]", *, raw: bool) -> None:
    for row in rows:
        sys.stdout.write(json.dumps(_document(row, raw=raw), ensure_ascii=False) + "\n")


def _write_csv(rows: "Iterable[AuditRow]") -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(COLUMNS)
    for row in rows:
        said = _document(row) | {"data": json.dumps(_document(row)["data"], ensure_ascii=False)}
        writer.writerow(list(_cells(said)))


def _cells(said: dict[str, Any]) -> Iterator[Any]:
    for name in COLUMNS:
        value = said[name]
        yield f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
