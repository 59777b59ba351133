"""`intendant agents`: the intensity of agents, what it is computed from, and what they may do."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.runs import with_store
from intendant.cli.shared import DbOption, JsonOption, SetOption, app, command, load_settings, print_json
from intendant.model.errors import IntendantError

if TYPE_CHECKING:
    from intendant.config.agent_files import Allowance
    from intendant.config.settings import Settings
    from intendant.planning.intensity import Component, Intensity
    from intendant.record.rows import AgentRow
    from intendant.record.store import Store

agents_app = typer.Typer(help="Intensity of agents, and what they may do.", no_args_is_help=True)
app.add_typer(agents_app, name="agents")

AgentArgument = Annotated[str, typer.Argument(help="The agent's name, as in a workflow's `agent: NAME`.")]


@command(name="list", group=agents_app)
def list_agents(*, as_json: JsonOption = False, db: DbOption = None, settings: SetOption = None) -> None:
    """List agents with their scores as of their newest runs."""
    from intendant.record.store import profiles

    chosen = load_settings(settings)
    rows = with_store(db, chosen, lambda store: store.do(profiles.list_agents(chosen.budget.tenant)))
    if as_json:
        print_json([_listed(row) for row in rows])
        return
    for row in rows:
        scores = json.loads(row.scores) if row.scores else {}
        figures = [f"{name} {_score(scores.get(name))}" for name in ("combined", "creation", "execution")]
        kept = f"  {row.memories} memories" if row.memories else ""
        print(f"{row.name:<24} {row.runs:>6} runs  {'  '.join(figures)}  {scores.get('band', 'no data')}{kept}")
    if not rows:
        print("no agents yet; a workflow names its agent: `agent: NAME`")


def _listed(row: "AgentRow") -> dict[str, Any]:
    scores = json.loads(row.scores) if row.scores else None
    kept = {"name": row.name, "runs": row.runs, "scores": scores, "memories": row.memories}
    return {**kept, "defined": row.definition is not None, "updated_at": row.updated_at}


@command(name="show", group=agents_app)
def show_agent(
    name: AgentArgument, *, as_json: JsonOption = False, db: DbOption = None, settings: SetOption = None
) -> None:
    """Explain an agent's scores: each component, what it was computed from and contributes; and what it may do."""
    chosen = load_settings(settings)
    row, observed = with_store(db, chosen, lambda store: _find(store, chosen, name))
    allowance, untrusted = _allowance(name, row)
    if row is None and not allowance.known and not untrusted:
        raise _unknown(name)
    from intendant.pilot.agent_rating import as_map, computed

    figures = computed([data for _, data in observed], 0 if row is None else row.runs, chosen.agents)
    if as_json:
        said = [{"from": origin, **each.model_dump(mode="json")} for origin, each in allowance.said]
        newest = [run_id for run_id, _ in observed]
        print_json({"name": name, **as_map(figures), "said": said, "untrusted": untrusted, "newest_runs": newest})
        return
    print("\n".join([*_scores(name, figures), *_what_it_may(allowance, untrusted)]))


async def _find(
    store: "Store", settings: "Settings", name: str
) -> "tuple[AgentRow | None, list[tuple[str, str]]]":
    from intendant.planning.intensity import WINDOW
    from intendant.record.store import profiles

    row = await store.do(profiles.find(settings.budget.tenant, name))
    return row, [] if row is None else await store.do(profiles.observations_of(row.id, WINDOW))


def _allowance(name: str, row: "AgentRow | None") -> "tuple[Allowance, str]":
    """What is said of the agent here, and the file that says more but is not trusted."""
    from intendant.config.agent_files import AgentDefinition, Allowance, file_of, trusted_definition

    path, said, untrusted = file_of("", name), [], ""
    if path is not None:
        try:
            said.append(("file", trusted_definition(path)))
        except IntendantError as error:
            untrusted = error.message
    if row is not None and row.definition is not None:
        said.append(("database", AgentDefinition.model_validate_json(row.definition)))
    return Allowance(said=tuple(said), file="" if path is None else str(path)), untrusted


def _unknown(name: str) -> IntendantError:
    return IntendantError(
        f"nothing is known of an agent '{name}'", hint="`intendant agents list` lists those known"
    )


def _scores(name: str, figures: "Intensity") -> list[str]:
    from intendant.planning.intensity import CREATION_SHARE, ENOUGH_RUNS

    if figures.combined is None or figures.creation is None:
        return [f"{name}: no data; no run of it has ended yet"]
    few = figures.runs < ENOUGH_RUNS
    how = (
        f"the creation score alone, below {ENOUGH_RUNS} runs"
        if few
        else f"{CREATION_SHARE:g} x creation {figures.creation:.2f} + {1 - CREATION_SHARE:g} x execution "
        f"{_score(figures.execution)}"
    )
    lines = [
        f"{name}: intensity {figures.combined:.2f} of 10 ({figures.band}), of {figures.runs} runs: {how}",
        f"  creation {figures.creation:.2f}   execution {_score(figures.execution)}",
        f"  multiplier {figures.multiplier:.2f}",
        "",
        "component      score   weight    part",
    ]
    lines += [line for component in figures.components for line in _component(component)]
    growth = figures.growth
    rate = "no data" if growth.rate is None else f"{growth.rate:+.0%} output in the newest run"
    lines += ["", f"growth: {rate}: {growth.level}, tokens + {growth.adjustment:.2f}"]
    for measure, value in figures.measures._asdict().items():
        lines.append(f"{measure.replace('_', ' ')}: {'no data' if value is None else f'{value:.1%}'}")
    return lines


def _component(component: "Component") -> list[str]:
    head = f"{component.name:<12} {_score(component.score):>7}  {component.weight:>6.0%}"
    lines = [f"{head}  {component.part:>6.2f}" if component.score is not None else f"{head}       -"]
    for factor in component.factors:
        value = "no data" if factor.value is None else f"{factor.value:,.2f}"
        where = f"of {factor.low:g} to {factor.high:g}"
        lines.append(
            f"  {factor.name:<14} {value:>12}  {where:<14} scores {_score(factor.score):>7}  x {factor.weight:.0%}"
        )
    return lines


def _what_it_may(allowance: "Allowance", untrusted: str) -> list[str]:
    lines = [""]
    if untrusted:
        lines.append(f"not in force: {untrusted}")
    for origin, said in allowance.said:
        where = allowance.file if origin == "file" else "the database"
        facts = json.dumps(said.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)
        lines.append(f"said in {where}: {facts}")
    return lines if len(lines) > 1 else []


def _score(value: float | None) -> str:
    return "no data" if value is None else f"{value:.2f}"


@command(name="define", group=agents_app)
def define_agent(
    name: AgentArgument,
    file: Annotated[
        Path | None,
        typer.Argument(help="A file like agents/NAME.toml; without one, the definition is removed."),
    ] = None,
    *,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Define in the database what an agent is for, and what its runs may do and spend, in all workflows.

    Limits and tools in a file next to a workflow apply too.
    """
    from intendant.config.agent_files import NAME, NOBODY, read_definition
    from intendant.record.store import profiles

    if name == NOBODY or not NAME.fullmatch(name):
        raise IntendantError(f"'{name}' is no name of an agent", hint="letters, digits, `_` and `-`")
    definition = None if file is None else read_definition(file)
    text = None if definition is None else definition.model_dump_json(exclude_defaults=True)
    tenant = load_settings(settings).budget.tenant
    with_store(db, settings, lambda store: store.do(profiles.define(tenant, name, text)))
    if as_json:
        print_json({"name": name, "definition": None if text is None else json.loads(text)})
    else:
        print(f"{name}: {'nothing is said of it any more' if text is None else text}")
