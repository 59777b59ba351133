"""`intendant alerts`: the state of the rules, the alerts that are raised, and their delivery."""

from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.shared import (
    FAILED,
    DbOption,
    JsonOption,
    Session,
    SetOption,
    app,
    command,
    guarded,
    print_json,
)
from intendant.model.errors import SettingsError
from intendant.pilot.process_names import user_name

if TYPE_CHECKING:
    from intendant.record.alerts import RuleState

alerts_app = typer.Typer(help="Rules whose figure is beyond its threshold.", invoke_without_command=True)
app.add_typer(alerts_app, name="alerts")
HOUR = 3600


@alerts_app.callback()
def _default(
    context: typer.Context,
    *,
    show_all: Annotated[bool, typer.Option("--all", help="Also list rules that are not raised.")] = False,
    deliver: Annotated[bool, typer.Option("--deliver", help="Send raised alerts, each one once.")] = False,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """List the alerts that are raised. The exit code is 0 even if there are some.

    `--deliver` sends them through the connector named by `alerts.uses`; run it from a timer.
    """
    if context.invoked_subcommand is None:
        _list(show_all=show_all, deliver=deliver, as_json=as_json, db=db, settings=settings)


@guarded
def _list(*, show_all: bool, deliver: bool, as_json: bool, db: str | None, settings: list[str] | None) -> None:
    from intendant.pilot import alerting
    from intendant.record.alerts import as_json as document

    with Session(settings, db) as session:
        states = session.do(alerting.rules(session.engine))
        sent = session.do(alerting.deliver(session.engine, states)) if deliver else []
    outcomes = {one.state.key: one.outcome for one in sent}
    shown = [state for state in states if show_all or state.raised]
    if as_json:
        print_json([{**document(state), "delivery": outcomes.get(state.key)} for state in shown])
    else:
        for state in shown:
            print(_line(state, outcomes.get(state.key, "")))
        if not shown:
            print("no alert is raised")
    if any(outcome not in ("delivered", "before", "silent") for outcome in outcomes.values()):
        raise typer.Exit(FAILED)


def _line(state: "RuleState", outcome: str) -> str:
    mark = "RAISED" if state.raised else "quiet"
    until = state.silent_until
    silent = "" if until is None else f"  silent until {_time(until)}"
    since = "" if state.since is None else f"  since {_time(state.since)}"
    parts = f"{mark:<7} {state.key:<28} {state.text} [{state.samples} samples]{since}{silent}"
    return f"{parts}  {outcome}".rstrip()


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


@command(name="silence", group=alerts_app)
def silence(
    rule: Annotated[str, typer.Argument(help="A rule, such as overhead.")],
    *,
    hours: Annotated[
        float, typer.Option("--hours", help="For how many hours; 0 ends the silence.", min=0, max=8760)
    ] = 4,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Suppress delivery of a rule's alerts for a while; they are still listed."""
    from intendant.pilot.steering import RESET
    from intendant.record.alerts import NAMES

    if rule not in NAMES:
        raise SettingsError(f"there is no rule {rule}", hint=f"rules: {', '.join(NAMES)}")
    until: Any = time() + hours * HOUR if hours else RESET
    with Session(settings, db) as session:
        values = {f"alerts.silence.{rule}": until}
        session.do(session.engine.steering.change(values, by=user_name(), note="silence"))
    said = None if until is RESET else until
    print_json({"rule": rule, "silent_until": said}) if as_json else print(
        f"{rule} is silent no more" if said is None else f"{rule} is silent until {_time(said)}"
    )
