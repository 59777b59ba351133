"""References within parameters that are statements, such as SQL: what they stand for would become part of it."""

from collections.abc import Iterator, Mapping

from intendant.hooks.registry import Plugins
from intendant.model.errors import ReferenceFailed
from intendant.model.inputs import Input
from intendant.model.references import read, scan
from intendant.model.source import Path
from intendant.model.workflow import Json, Step
from intendant.pilot.tool_checks import Fault

SAFE = frozenset(("integer", "number", "boolean"))
"""Types of inputs whose values cannot change what a statement says."""


def statement_faults(step: Step, plugins: Plugins, inputs: Mapping[str, Input]) -> Iterator[Fault]:
    """The faults of a step's statements, and of those of its tools. A statement may be one whole reference; inputs
    that are numbers, or have `choices`, may stand within it.
    """
    uses: list[tuple[Path, tuple[str, str], Mapping[str, Json]]] = [
        (("tools", number, "with"), tool.connector, tool.with_) for number, tool in enumerate(step.tools)
    ]
    if step.connector is not None:
        uses.append((("with",), step.connector, step.with_))
    for path, (name, _), given in uses:
        connector = plugins.connectors.get(name)
        for parameter in connector.statements if connector is not None else ():
            text = given.get(parameter)
            if isinstance(text, str) and (found := _pasted(text, inputs)):
                yield Fault((*path, parameter), *_told(parameter, found))


def _pasted(text: str, inputs: Mapping[str, Input]) -> str:
    """The first reference within a text that could change what it says; empty if there is none."""
    for found in scan(text):
        if found.literal or (found.start == 0 and found.end == len(text.rstrip())):
            continue
        try:
            reference = read(found.text)
        except ReferenceFailed:  # told elsewhere
            continue
        given = inputs.get(reference.input or "")
        if given is None or reference.instead or (given.choices is None and given.type not in SAFE):
            return found.text
    return ""


def _told(parameter: str, reference: str) -> tuple[str, str]:
    name = reference.rpartition(".")[2].strip("[]'\") ") or "value"
    name = name if name.isidentifier() else "value"
    hint = (
        f'write :{name} in `{parameter}`, without quotes, and parameters: {{{name}: "{{{{ {reference} }}}}"}}; '
        "what is no value, such as a table's name, may be an input with `choices`"
    )
    return f"what '{{{{ {reference} }}}}' stands for would become part of the statement", hint
