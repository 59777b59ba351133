"""What a plan warns of because it cannot succeed as things are: secrets that are not set, budgets that no call
fits into, what connectors do not admit, and files that are not there. Looked up where somebody asks for a plan,
not before each run.
"""

from collections.abc import Iterable, Iterator, Mapping

from intendant.hooks.registry import Plugins
from intendant.model.errors import ReferenceFailed, SecretMissing, SettingsError
from intendant.model.references import Reference, find
from intendant.model.workflow import Json, Placed, Workflow
from intendant.pilot.engine import Engine
from intendant.pilot.missing_files import MissingFiles, Use
from intendant.pilot.resolving import resolve_parameters
from intendant.planning.decided import Plan, StepPlan
from intendant.planning.least_calls import LeastCalls


def doubted(engine: Engine, plan: Plan, inputs: Mapping[str, Json] | None) -> Plan:
    """The plan, with a warning for each thing that keeps a step from succeeding.

    Args:
        engine: What the run would be made with.
        plan: The plan.
        inputs: Values of its inputs, as far as they are known.
    """
    workflow, handlers = plan.workflow, engine.plugins.intents
    least = LeastCalls(engine.plugins.providers, engine.prices, engine.settings)
    secrets: dict[str, str] = {}
    uses = {
        key: _uses(at, engine.plugins, _known(at, workflow, inputs or {})) for key, at in workflow.by_key.items()
    }
    files = MissingFiles(plan, uses, engine.plugins)

    def found(step: StepPlan) -> Iterator[str]:
        placed = workflow.by_key[step.step_id]
        for name in dict.fromkeys(_secrets_of(placed)):
            if name not in secrets:
                secrets[name] = _missing(engine, name)
            if secrets[name]:
                yield secrets[name]
        yield from _doubts_of_connectors(uses[step.step_id], engine.plugins)
        yield from files.doubts(step.step_id)
        if (handler := handlers.get(step.intent)) is not None:
            said, budgets = handler.instructions, (plan.budget_tokens, plan.budget_micro_usd)
            yield from least.doubts(step, workflow, said, *budgets, plan.candidates)

    doubts = [tuple(dict.fromkeys(found(step))) for step in plan.steps]
    if not any(doubts):
        return plan
    steps = [
        step.model_copy(update={"warnings": (*step.warnings, *more)}) if more else step
        for step, more in zip(plan.steps, doubts, strict=True)
    ]
    return plan.model_copy(update={"steps": tuple(steps)})


def _secrets_of(placed: Placed) -> Iterator[str]:
    """The names of the secrets that a step refers to."""
    for reference in placed.step.references:
        if isinstance(reference, Reference) and reference.root == "secrets" and reference.parts:
            yield str(reference.parts[0])


def _missing(engine: Engine, name: str) -> str:
    """Why a secret cannot be had; empty if it can."""
    try:
        engine.secrets.get(name)
    except (SecretMissing, SettingsError) as error:
        return f"{error.message}; {error.hint}" if error.hint else error.message
    return ""


def _known(placed: Placed, workflow: Workflow, inputs: Mapping[str, Json]) -> dict[str, Json]:
    """Values of the inputs that a step refers to; those of a sub-workflow are known when it runs."""
    if placed.inside is not None:
        return {}
    known = {name: given.default for name, given in workflow.inputs.items() if not given.required}
    return {**known, **inputs}


def _uses(placed: Placed, plugins: Plugins, inputs: Mapping[str, Json]) -> list[Use]:
    """What a step and its tools use, with values of inputs in place of references to them."""
    step = placed.step
    own = [(step.connector, step.with_)] if step.connector is not None else []
    found: list[Use] = []
    for (name, operation), given in (*own, *((tool.connector, tool.with_) for tool in step.tools)):
        connector = plugins.connectors.get(name)
        if connector is not None and operation in connector.operation_names():
            found.append(Use(name, operation, _filled(given, inputs)))
    return found


def _doubts_of_connectors(uses: Iterable[Use], plugins: Plugins) -> Iterator[str]:
    """What the connectors say of what they are given."""
    for use in uses:
        yield from plugins.connectors[use.connector].doubts(use.operation, use.given)


def _filled(given: Mapping[str, Json], inputs: Mapping[str, Json]) -> dict[str, Json]:
    """Parameters with the values of inputs in place of references to them."""
    found: dict[str, Json] = {}
    for key, value in given.items():
        found[key] = value
        if all(isinstance(item, Reference) and item.input in inputs for item in find(value)):
            try:
                found |= resolve_parameters({key: value}, {"inputs": inputs})
            except ReferenceFailed:
                continue
    return found
