"""`intendant plan` and `intendant schema`."""

from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.run import read_inputs
from intendant.cli.shared import JsonOption, Session, SetOption, command, load_settings, money, print_json
from intendant.cli.terminal import make_console
from intendant.model.errors import amount

if TYPE_CHECKING:
    from intendant.hooks.registry import Plugins
    from intendant.pilot.engine import Engine
    from intendant.planning.decided import Plan, StepPlan


NUMBERS = ("sure", "share", "at most", "cost at most")


@command()
def plan(
    file: Annotated[Path, typer.Argument(help="The workflow file; `-` reads it from standard input.")],
    *,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", help="key=value, as for `run`; lengths of lists may depend on it."),
    ] = None,
    as_json: JsonOption = False,
    ask_model: Annotated[
        bool, typer.Option("--ask-model", help="Let classifiers ask a model, as in a run; this costs tokens.")
    ] = False,
    settings: SetOption = None,
) -> None:
    """Show the plan: the decisions about every step. Nothing is run, sent or written."""
    with Session(settings) as session:
        flow = session.service.load(file)
        values = read_inputs(flow, inputs) if inputs else None
        decided = session.do(session.service.plan(flow, values, ask_model=ask_model))
        room = session.do(_standing_room(session.engine, flow.agent))
    if as_json:
        print_json({**_as_json(decided), "standing_room": room})
    else:
        _show(decided)
        _show_room(decided, room)


async def _standing_room(engine: "Engine", agent: str) -> dict[str, int | None] | None:
    """What the limits of the agent and its tenant still admit; None where there is no database."""
    if not engine.store_exists:
        return None
    from intendant.record.store import windows

    now, _ = await engine.store.do(windows.room_of(agent, engine.settings.budget.tenant, time()))
    return {"tokens": now.tokens, "micro_usd": now.micro}


def _show_room(plan: "Plan", room: dict[str, int | None] | None) -> None:
    """Say where the standing limits may stop the run."""
    if room is None:
        return
    for unit, most in (("tokens", plan.max_tokens), ("micro_usd", plan.max_micro_usd)):
        left = room[unit]
        if left is not None:
            short = "; the run may be refused there" if most is None or most > left else ""
            print(f"limits of {plan.workflow.agent} and its tenant: {amount(unit, left)} are left now{short}")


def _as_json(plan: "Plan") -> dict[str, Any]:
    document = plan.model_dump(mode="json", by_alias=True, exclude={"workflow"})
    return {"workflow": plan.workflow.name, **document, "estimated_micro_usd": plan.estimated_micro_usd}


def _show(plan: "Plan") -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in (
        "step",
        "intent",
        "sure",
        "because",
        "share",
        "at most",
        "compression",
        "model",
        "cost at most",
    ):
        table.add_column(column, justify="right" if column in NUMBERS else "left")
    for step in plan.steps:
        found = step.classification
        because = (
            found.signals[0].text if found.signals else "the step says so" if found.method == "explicit" else ""
        )
        route = step.route
        model = f"{route.tier}: {route.provider}/{route.model}" if route else "none needed"
        table.add_row(
            _times(step),
            step.intent,
            f"{found.confidence:.0%}",
            because,
            str(step.tokens) if step.needs_model else "-",
            str(step.max_tokens) if step.max_tokens else "-",
            step.compression.strategy if step.needs_model else "-",
            model if route or not step.needs_model else "none available",
            money(step.max_micro_usd) if step.needs_model else "-",
        )
    console = make_console()
    console.print(table)
    for step in plan.steps:
        for warning in step.warnings:
            console.print(f"warning: {step.step_id}: {warning}", markup=False, highlight=False)
    spare = f", {plan.unallocated} of them shared by need" if plan.unallocated else ""
    limit = "" if plan.budget_micro_usd is None else f", {amount('micro_usd', plan.budget_micro_usd)}"
    console.print(f"budget: {plan.budget_tokens} tokens{limit} ({plan.strategy}){spare}", highlight=False)
    cost = "an unknown amount" if plan.max_micro_usd is None else amount("micro_usd", plan.max_micro_usd)
    console.print(f"at most: {plan.max_tokens} tokens, {cost}", highlight=False)


def _times(step: "StepPlan") -> str:
    """The step, for how many items it is executed, and how many turns it may take."""
    times = "" if step.items is None else f" (x {step.items}{' assumed' if step.items_assumed else ''})"
    turns = "" if step.turns <= 1 else f" ({step.turns} turns)"
    return f"{step.step_id}{times}{turns}"


@command()
def schema() -> None:
    """Print the JSON Schema of the workflow file. It is for editors, and includes what installed plugins add."""
    from intendant.hooks.registry import Plugins

    chosen = load_settings(None).plugins
    print_json(workflow_schema(Plugins(block=chosen.block, only=chosen.only)))


def workflow_schema(plugins: "Plugins") -> dict[str, Any]:
    """The JSON Schema (2020-12) of the workflow file."""
    from intendant.model.workflow import Workflow

    document = Workflow.model_json_schema(by_alias=True)
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}
    step = document["$defs"]["Step"]
    definitions = document["$defs"]
    rules = []
    for name, handler in plugins.intents.items():
        rules.append(_with_rule({"intent": name}, handler.Parameters, definitions, "uses", ("with", "options")))
    for name, connector in plugins.connectors.items():
        for operation in connector.operations:
            model = connector.parameters_of(operation)
            rules.append(_with_rule({"uses": f"{name}.{operation}"}, model, definitions))
    step["properties"]["intent"]["examples"] = sorted(plugins.intents)
    step["allOf"] = rules
    for ignored in (step, document, definitions["Branch"], definitions["OnError"]):
        ignored["patternProperties"] = {"^x-": {}}
    return document


def _with_rule(
    where: dict[str, str],
    model: Any,
    definitions: dict[str, Any],
    without: str | None = None,
    places: tuple[str, ...] = ("with",),
) -> dict[str, Any]:
    """If a step says *where*, its `with` (or *places*) has the properties of *model*, or references instead."""
    parameters = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
    definitions.update(parameters.pop("$defs", {}))
    properties = {
        name: {"anyOf": [value, {"type": "string", "pattern": r"\{\{"}]}
        for name, value in parameters.get("properties", {}).items()
    }
    condition: dict[str, Any] = {
        "properties": {name: {"const": value} for name, value in where.items()},
        "required": list(where),
    }
    if without is not None:
        condition["not"] = {"required": [without]}
    then = {"type": "object", "properties": properties}
    then["additionalProperties"] = parameters.get("additionalProperties", False)
    return {"if": condition, "then": {"properties": dict.fromkeys(places, then)}}
