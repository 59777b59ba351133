"""`intendant flags`: what is switched on, for whom, and rollouts under guard."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.shared import DbOption, JsonOption, Session, SetOption, app, command, print_json
from intendant.config.flags import Rollout
from intendant.model.errors import SettingsError
from intendant.pilot.process_names import user_name

if TYPE_CHECKING:
    from intendant.config.settings import Settings

flags_app = typer.Typer(help="Feature flags: what is on, and for whom.", no_args_is_help=True)
app.add_typer(flags_app, name="flags")

ALL = 100.0
NameArgument = Annotated[str, typer.Argument(metavar="FLAG", help="A flag, such as routing_enabled.")]
ListOption = Annotated[list[str] | None, typer.Option(metavar="NAME", help="May be repeated.")]
NoteOption = Annotated[str, typer.Option("--note", help="The reason, recorded in the history.")]


class By(StrEnum):
    """Whose share a rollout is."""

    agent = "agent"
    user = "user"


class Profile(StrEnum):
    """All flags at once."""

    standard = "standard"
    rollout = "rollout"


class Act(StrEnum):
    """What is done with a guarded rollout."""

    start = "start"
    status = "status"
    stop = "stop"


def _names(settings: "Settings") -> list[str]:
    return list(type(settings.flags).__pydantic_fields__)


def _known(settings: "Settings", name: str) -> str:
    if name not in _names(settings):
        raise SettingsError(f"there is no flag {name}", hint=f"flags: {', '.join(_names(settings))}")
    return name


@command(name="list", group=flags_app)
def list_flags(*, as_json: JsonOption = False, db: DbOption = None, settings: SetOption = None) -> None:
    """List the flags, and where they were set."""
    from intendant.pilot import settings_view

    with Session(settings, db) as session:
        chosen = session.do(session.engine.steering.refresh())
        states = [settings_view.one_state(session.engine, f"flags.{name}") for name in _names(chosen)]
    if as_json:
        print_json(
            [{"flag": one.key.partition(".")[2], "value": one.value, "source": one.source} for one in states]
        )
        return
    for one in states:
        print(f"{one.key.partition('.')[2]:<26} {_words(one.value):<48} {one.source}")


def _words(value: Any) -> str:
    """A flag as people read it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    parts = [f"{value['percent']:g} % of {value['by']}s"]
    parts += [f"{tenant}: {percent:g} %" for tenant, percent in value.get("tenants", {}).items()]
    parts += [
        f"{word} {', '.join(value[key])}" for key, word in (("allow", "and"), ("deny", "not")) if value.get(key)
    ]
    return "; ".join(parts + (["under guard"] if value.get("guarded") else []))


@command(name="set", group=flags_app)
def set_flag(
    name: NameArgument,
    value: Annotated[str, typer.Argument(help="on, off, or a share such as 5% of the subjects.")],
    *,
    by: Annotated[By, typer.Option(help="Whether the share is one of agents or of users.")] = By.agent,
    allow: ListOption = None,
    deny: ListOption = None,
    tenant: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PERCENT", help="A different share for one tenant.")
    ] = None,
    salt: Annotated[str, typer.Option(help="Another salt selects other subjects.")] = "",
    note: NoteOption = "",
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Switch a flag on, off, or on for a share of the agents or users, always the same ones."""
    said: Any = {"on": True, "off": False}.get(value.lower())
    rollout = Rollout(
        percent=ALL if said is True else _percent("the value", value) if said is None else 0,
        by=by.value,
        salt=salt,
        allow=tuple(allow or ()),
        deny=tuple(deny or ()),
        tenants=dict(_tenant(text) for text in tenant or ()),
    )
    if said is None or rollout.allow or rollout.deny or rollout.tenants:
        said = rollout.model_dump(mode="json")
    with Session(settings, db) as session:
        key = f"flags.{_known(session.engine.settings, name)}"
        version = session.do(session.engine.steering.change({key: said}, by=user_name(), note=note))
    print_json({"version": version, "flag": name, "value": said}) if as_json else print(
        f"version {version}: {name} is {_words(said)}"
    )


def _percent(what: str, text: str) -> float:
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= ALL:
        raise SettingsError(f"{what}: '{text}' is no share", hint="write on, off, or a share such as 5%")
    return percent


def _tenant(text: str) -> tuple[str, float]:
    name, equals, percent = text.partition("=")
    if not equals or not name:
        raise SettingsError(f"--tenant: '{text}' names no share", hint="write --tenant NAME=PERCENT")
    return name, _percent("--tenant", percent)


@command(name="check", group=flags_app)
def check_flags(
    agent: Annotated[str, typer.Argument(help="An agent.")],
    *,
    user: Annotated[str | None, typer.Option(help="The user of the run.")] = None,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Show which flags are on for a run of an agent."""
    from intendant.config.flags import Subject, decided

    with Session(settings, db) as session:
        chosen = session.do(session.engine.steering.refresh())
        found = decided(chosen.flags, Subject(agent, user, session.engine.tenant))
    if as_json:
        print_json(found)
        return
    for name, on in found.items():
        print(f"{name:<26} {'on' if on else 'off'}")


@command(name="profile", group=flags_app)
def choose_profile(
    profile: Annotated[
        Profile, typer.Argument(help="rollout: all flags off that are not set explicitly; standard: the defaults.")
    ],
    *,
    note: NoteOption = "",
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Choose the defaults of flags that are not set explicitly."""
    with Session(settings, db) as session:
        values = {"rollout.profile": profile.value}
        version = session.do(session.engine.steering.change(values, by=user_name(), note=note))
    print_json({"version": version, "profile": profile.value}) if as_json else print(
        f"version {version}: the profile is {profile.value}"
    )


@command(name="canary", group=flags_app)
def canary(
    name: NameArgument,
    act: Annotated[
        Act, typer.Argument(help="start, status, or stop (which leaves the flag unchanged).")
    ] = Act.status,
    *,
    by: Annotated[By, typer.Option(help="Whether the share is one of agents or of users.")] = By.agent,
    salt: Annotated[str, typer.Option(help="Another salt selects other subjects.")] = "",
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Roll out a feature under guard: 5, 25, 50, 75, 100 % of the subjects; it is rolled back if it does harm.

    When a run ends, the guard advances the rollout or rolls it back, based on failures, overage, quality and
    overhead.
    """
    from intendant.pilot import rollout_guard

    with Session(settings, db) as session:
        engine, user = session.engine, user_name()
        session.do(engine.steering.refresh(now=True))
        _known(engine.settings, name)
        if act is Act.start:
            rollout = Rollout(percent=0, by=by.value, salt=salt)
            session.do(rollout_guard.start(engine, name, by=user, rollout=rollout))
        flags = session.do(rollout_guard.tallies(engine))
        if name not in flags:
            raise SettingsError(f"{name} is not under guard", hint=f"begin: intendant flags canary {name} start")
        flag, tally = flags[name]
        if act is Act.stop:
            left = flag.model_copy(update={"guarded": ""}).model_dump(mode="json")
            session.do(engine.steering.change({f"flags.{name}": left}, by=user, note="guard stopped"))
    said = {"flag": name, "percent": flag.percent, "runs_at_stage": tally.at_stage, "counts": tally.counts}
    if as_json:
        print_json(said | {"guarded": act is not Act.stop})
        return
    print(f"{name}: {flag.percent:g} % of {flag.by}s, {tally.at_stage} runs with it at this stage")
    for criterion, arms in tally.counts.items():
        shown = (f"{arm} {bad} of {samples} bad" for arm, (samples, bad) in sorted(arms.items(), reverse=True))
        print(f"  {criterion:<9} {', '.join(shown)}")
