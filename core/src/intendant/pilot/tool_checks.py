"""What can be said to be wrong with the tools of a step before it runs."""

from collections.abc import Iterator
from typing import NamedTuple

from intendant.hooks.registry import Plugins
from intendant.model.errors import StepError
from intendant.model.graph_keys import ToolUse
from intendant.model.source import Path
from intendant.model.workflow import Step
from intendant.pilot.tool_offers import OfferedTool, offer


class Fault(NamedTuple):
    """Something that is wrong, and where in the step."""

    path: Path
    message: str
    hint: str = ""


def tool_faults(step: Step, plugins: Plugins) -> Iterator[Fault]:
    """The faults of a step's tools."""
    if not step.tools:
        if step.max_turns is not None:
            yield Fault(
                ("max_turns",), "`max_turns` needs `tools`", "list what the model may call: tools: [file.read]"
            )
        return
    if step.uses is not None:
        hint = f"list it among the tools, or let a step before this one read: tools: [{step.uses}]"
        yield Fault(("tools",), "`tools` beside `uses`: who does the operation, the step or its model?", hint)
    if not (step.prompt or "").strip():
        yield Fault(("tools",), "`tools` need a `prompt`", "say what the model is to find out")
    if step.max_wait:
        yield Fault(("max_wait",), "a step with `tools` cannot wait for batches", "leave `max_wait` out")
    names: set[str] = set()
    for number, use in enumerate(step.tools):
        path: Path = ("tools", number)
        if use.title in names:
            yield Fault(path, f"two tools are called '{use.title}'", "give one of them another `name`")
        names.add(use.title)
        try:
            tool = offer(use, plugins)
        except StepError as error:
            yield Fault(path, error.message, error.hint)
            continue
        yield from _effect_faults(use, tool, path)


def _effect_faults(use: ToolUse, tool: OfferedTool, path: Path) -> Iterator[Fault]:
    """A tool that changes something outside is asked for by its class; where that depends on the call, the call is
    looked at.
    """
    operation = tool.operation
    if not operation.side_effects or operation.varies or use.approve is not None or use.effects == "any":
        return
    if use.effects == "idempotent" and operation.idempotent:
        return
    hint = "ask people before each call: `approve: …`; or permit it: `effects: any`"
    if operation.idempotent:
        hint = "permit it: `effects: idempotent`; or ask people before each call: `approve: …`"
    elif use.effects == "idempotent":
        hint = f"it is not the same when done twice; {hint}"
    yield Fault(path, f"{use.uses} changes something outside", hint)
