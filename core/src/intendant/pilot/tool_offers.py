"""What a model is told of the tools of its step: a name, a description, and a JSON Schema of what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from intendant.hooks.connectors import Connector
from intendant.hooks.registry import Plugins
from intendant.model.errors import StepError
from intendant.model.graph_keys import ToolUse
from intendant.model.requests import Operation, Tool
from intendant.model.workflow import Json
from intendant.pilot.schemas import Schema

INPUT = "input"
"""What the model calls the input of an operation: what is sent or written."""
_INPUT_SCHEMA: dict[str, Json] = {"description": "What is sent or written."}


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool as the model sees it, and what stands behind it."""

    use: ToolUse
    tool: Tool
    connector: Connector
    operation: Operation
    schema: Schema
    """Of what the model gives."""
    gives_input: bool
    """True if `input` means the operation's input, and is no parameter."""

    def split(self, given: Mapping[str, Json]) -> tuple[dict[str, Json], Json]:
        """The parameters that the model gave, and the input."""
        if not self.gives_input:
            return dict(given), None
        return {name: value for name, value in given.items() if name != INPUT}, given.get(INPUT)


def offer(use: ToolUse, plugins: Plugins, known: Mapping[str, Json] | None = None) -> OfferedTool:
    """The tool that a step lists.

    Args:
        use: As the step lists it.
        plugins: What is installed.
        known: What its connector knows more closely of its parameters.

    Raises:
        StepError: It is not installed, or what the model is to give cannot be given.
    """
    name, operation_name = use.connector
    connector = plugins.connectors.get(name)
    if connector is None:
        hint = plugins.unavailable_hint("connector", name)
        raise StepError(f"no connector '{name}' can be used", hint=hint)
    operation = connector.operations.get(operation_name)
    if operation is None:
        hint = _close(operation_name, connector.operations)
        raise StepError(f"the connector '{name}' has no operation '{operation_name}'", hint=hint)
    gives_input = operation.side_effects and INPUT not in operation.parameters.get("properties", {})
    schema = _given_schema(use, operation, known or {}, gives_input=gives_input)
    text = " ".join(part.rstrip(".") + "." for part in (operation.summary, use.description) if part)
    tool = Tool(name=use.title, description=text, parameters=schema)
    return OfferedTool(use, tool, connector, operation, Schema(schema), gives_input)


def _given_schema(
    use: ToolUse, operation: Operation, known: Mapping[str, Json], *, gives_input: bool
) -> dict[str, Json]:
    """JSON Schema of what the model gives.

    Raises:
        StepError: A parameter that it is to give is not there, or is fixed; or one that is needed is neither.
    """
    own = operation.parameters
    properties: dict[str, Json] = {**own.get("properties", {}), **({INPUT: _INPUT_SCHEMA} if gives_input else {})}
    properties |= known
    needed = tuple(own.get("required", ()))
    for name in (*use.with_, *(use.give or ())):
        if name not in properties:
            raise StepError(f"'{name}' is not a parameter of {use.uses}", hint=_close(name, properties))
    if both := [name for name in use.give or () if name in use.with_]:
        raise StepError(f"'{both[0]}' is fixed in `with` and given in `give`", hint="leave it out of one of them")
    by_default = (*needed, *known, *((INPUT,) if gives_input and not known else ()))
    narrowed: Mapping[str, dict[str, Json]] = {name: {} for name in by_default} if use.give is None else use.give
    given = {name: rules for name, rules in narrowed.items() if name not in use.with_}
    if missing := [name for name in needed if name not in use.with_ and name not in given]:
        raise StepError(f"{use.uses} needs '{missing[0]}'", hint="fix it in `with`, or name it in `give`")
    schema: dict[str, Json] = {
        "type": "object",
        "properties": {name: {**_plain(properties[name]), **rules} for name, rules in given.items()},
        "required": [name for name in given if name in needed or name in known],
        "additionalProperties": False,
    }
    if "#/$defs/" in str(schema):
        schema["$defs"] = own.get("$defs", {})
    return schema


def _plain(schema: Json) -> dict[str, Json]:
    """A parameter's schema without what no model needs: its title, and a default that is null."""
    kept = {key: value for key, value in schema.items() if key != "title"}
    if kept.get("default", 0) is None:
        del kept["default"]
    return kept


def _close(name: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f"did you mean '{close[0]}'?" if close else f"it has: {', '.join(known) or 'none'}"
