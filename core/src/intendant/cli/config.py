"""`intendant config`: every setting, where its value came from, and the layer of the database."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.shared import DbOption, JsonOption, Session, SetOption, app, command, print_json
from intendant.model.errors import SettingsError
from intendant.pilot.process_names import user_name

if TYPE_CHECKING:
    from intendant.pilot.settings_view import KeyState

config_app = typer.Typer(help="Settings: values, origins and history.", no_args_is_help=True)
app.add_typer(config_app, name="config")

NoteOption = Annotated[str, typer.Option("--note", help="The reason, recorded in the history.")]
EXAMPLE = "write key=value, such as budget.strategy=equal"
FORMAT = "intendant settings"
LONGEST = 60
"""Characters of a value in a line."""


@command(name="list", group=config_app)
def list_settings(
    *,
    group: Annotated[str | None, typer.Option("--group", help="Only this section, such as budget.")] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only settings that differ from their defaults.")
    ] = False,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """List every setting with its value and the layer that it comes from."""
    from intendant.pilot import settings_view

    with Session(settings, db) as session:
        session.do(session.engine.steering.refresh())
        known = settings_view.states(session.engine)
        gone = settings_view.superseded_keys(session.engine)
        old = settings_view.old_spellings(session.engine)
    defaults = ("the default", settings_view.HANDLER, settings_view.PLUGIN)
    chosen = [each for each in known if group in (None, each.group)]
    chosen = [each for each in chosen if not changed or each.source not in defaults]
    if as_json:
        superseded = [{"key": key, "superseded": True, "instead": instead} for key, instead in gone.items()]
        named = [{"key": name, "superseded": False, "means": key} for name, key in old.items()]
        print_json({"keys": [each.as_json() for each in chosen], "superseded": superseded, "old_spellings": named})
        return
    for each in chosen:
        mark = "live" if each.live else ""
        print(f"{each.key:<44} {_text(each.value):<24} {mark:<5} {each.source}")
    if group is None and not changed:
        print(f"\n{len(old)} old spellings are accepted, {len(gone)} old keys are superseded: `--json` lists them")


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


@command(name="get", group=config_app)
def get_setting(
    key: Annotated[str, typer.Argument(help="A setting, such as budget.strategy.")],
    *,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Print the value of one setting."""
    state, _ = _look(key, db, settings)
    print_json(state.as_json()) if as_json else print(_text(state.value))


@command(name="explain", group=config_app)
def explain_setting(
    key: Annotated[str, typer.Argument(help="A setting, such as budget.strategy.")],
    *,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Explain a setting: its meaning, its allowed values, and its value in each layer."""
    state, layers = _look(key, db, settings)
    if as_json:
        print_json(state.as_json() | {"layers": [{"source": one.source, "value": one.value} for one in layers]})
        return
    print(f"{state.key}: {state.meaning}")
    print(f"  {state.kind}{f', {state.range}' if state.range else ''}")
    where = "live: the database may set it" if state.live else "not live: set it in a file or the environment"
    print(f"  {where}")
    if state.aliases:
        print(f"  old spellings: {', '.join(state.aliases)}")
    for number, layer in enumerate(layers):
        print(f"  {'→' if number == 0 else ' '} {_text(layer.value):<24} {layer.source}")


def _look(key: str, db: str | None, settings: list[str] | None) -> "tuple[KeyState, list[Any]]":
    from intendant.pilot import settings_view

    with Session(settings, db) as session:
        session.do(session.engine.steering.refresh())
        state = settings_view.one_state(session.engine, key)
        return state, settings_view.layers_of(session.engine, state)


@command(name="set", group=config_app)
def set_settings(
    assignments: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE…", help="Settings to change together.")
    ] = None,
    *,
    reset: Annotated[
        list[str] | None, typer.Option("--reset", metavar="KEY", help="Remove a key from the database's layer.")
    ] = None,
    note: NoteOption = "",
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Set live settings in the database, atomically, for every service that uses it.

    Running services take them over for the runs that they begin two seconds later at the latest.
    """
    from intendant.config.layers import parse_value
    from intendant.pilot.steering import RESET

    values: dict[str, Any] = {}
    for text in assignments or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise SettingsError(f"'{text}' is not a setting", hint=EXAMPLE)
        values[key] = parse_value(value, key)
    values |= dict.fromkeys(reset or [], RESET)
    with Session(settings, db) as session:
        version = session.do(session.engine.steering.change(values, by=user_name(), note=note))
        hidden = _hidden_by_call(session, values)
    if as_json:
        print_json({"version": version, "keys": list(values)})
        return
    print(f"version {version}: {', '.join(values)}")
    for key in hidden:
        print(f"note: {key} is given by this call, which is stronger", file=sys.stderr)


def _hidden_by_call(session: Session, values: dict[str, Any]) -> list[str]:
    from intendant.config.settings import CALL

    return [key for key in values if session.engine.settings.source_of(key) == CALL]


@command(name="export", group=config_app)
def export_settings(*, db: DbOption = None, settings: SetOption = None) -> None:
    """Print the database's layer as JSON, for `intendant config import`."""
    with Session(settings, db) as session:
        found = session.do(session.engine.steering.stored())
    print_json({"format": FORMAT, "version": found.version, "settings": found.values})


@command(name="import", group=config_app)
def import_settings(
    file: Annotated[Path, typer.Argument(help="The output of `config export`; `-` for standard input.")],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove keys that the file does not contain.")
    ] = False,
    note: NoteOption = "",
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Set the values in a file in the database's layer, atomically."""
    from intendant.config.layers import MAX_BYTES, read_bounded
    from intendant.pilot.steering import RESET

    content = sys.stdin.buffer.read(MAX_BYTES + 1) if str(file) == "-" else read_bounded(file)
    try:
        said = json.loads(content)
        values = dict(said["settings"]) if said["format"] == FORMAT else None
    except (ValueError, TypeError, KeyError, RecursionError):
        values = None
    if values is None:
        raise SettingsError(f"{file} is no export of settings", hint="make one: intendant config export > FILE")
    with Session(settings, db) as session:
        steering = session.engine.steering
        if replace:
            before = session.do(steering.stored())
            values = dict.fromkeys((key for key in before.values if key not in values), RESET) | values
        note = note or f"imported from {file.name}"
        version = session.do(steering.change(values, by=user_name(), note=note))
    print_json({"version": version, "keys": list(values)}) if as_json else print(
        f"version {version}: {', '.join(values)}"
    )


@command(name="history", group=config_app)
def show_history(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Maximum number to show.", min=1)] = 20,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Show the history of the database's layer: what was changed, by whom and when; newest first."""
    with Session(settings, db) as session:
        rows = session.do(session.engine.steering.history(limit))
    if as_json:
        print_json(
            [row._asdict() | {"value": None if row.value is None else json.loads(row.value)} for row in rows]
        )
        return
    for row in rows:
        at = datetime.fromtimestamp(row.at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        value = "(reset)" if row.value is None else row.value
        print(f"{row.version:>4}  {at}  {row.changed_by:<16} {row.key} = {value}  {row.note}".rstrip())
    if not rows:
        print("nothing was set in the database; `intendant config set KEY=VALUE` does")


@command(name="rollback", group=config_app)
def roll_back(
    version: Annotated[int, typer.Argument(help="A version from `config history`; 0 for an empty layer.", min=0)],
    *,
    note: NoteOption = "",
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Roll the database's layer back to a version. That is a new change, and can be undone too."""
    with Session(settings, db) as session:
        new = session.do(session.engine.steering.roll_back(version, by=user_name(), note=note))
    print_json({"version": new}) if as_json else print(f"version {new}: as it was at version {version}")
