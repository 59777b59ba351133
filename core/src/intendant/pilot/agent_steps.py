"""Makes the agent of a step with tools: what its model may call, bound to what the step says."""

from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from intendant.config.secrets import UsedSecrets
from intendant.model.workflow import Json, Step
from intendant.pilot.agent_turns import Agent
from intendant.pilot.deliveries import ConnectorUse, Permit
from intendant.pilot.references import resolve
from intendant.pilot.tool_offers import OfferedTool, offer
from intendant.pilot.tool_use import ToolBox

if TYPE_CHECKING:
    from intendant.pilot.execution import RunContext


def agent_of(
    context: "RunContext",
    step: Step,
    scope: Mapping[str, Json],
    given: Mapping[str, Json],
    address: str,
    key: str,
    *,
    attempt: int,
) -> Agent:
    """The agent of one attempt at a step.

    Args:
        context: What the steps of the run share.
        step: The step.
        scope: What references may name.
        given: Values of `input` or `prompt` that the host has resolved itself.
        address: Where the step stands in the run.
        key: The idempotency key of what the step delivers.
        attempt: Its number, from 1.

    Raises:
        StepError: A tool is not installed, or cannot be called.
    """
    prompt = str(given["prompt"] if "prompt" in given else resolve(step.prompt or "", scope))
    value = given["input"] if "input" in given else resolve(step.input, scope)
    tools = [offer(use, context.plugins) for use in step.tools]
    box = ToolBox(tools, partial(_use, context, step, scope, address), key)
    digest = sha256(f"{key}\x1f{step.model_dump_json()}\x1f{prompt}\x1f{value!r}".encode("utf-8", "surrogatepass"))
    fresh = attempt == 1 and context.journal.fence.epoch == 1
    return Agent(box, step.turns, context.journal, address, digest.hexdigest(), prompt, fresh=fresh)


def _use(
    context: "RunContext",
    step: Step,
    scope: Mapping[str, Json],
    address: str,
    tool: OfferedTool,
    given: Mapping[str, Json],
    key: str,
    permit: Permit,
) -> ConnectorUse:
    """A tool's operation, bound to what is fixed and what the model gave: its words are never references."""

    def fill(secrets: UsedSecrets) -> Mapping[str, Json]:
        fixed = resolve(tool.use.with_, {**scope, "secrets": secrets})
        return {**given, **fixed}

    return ConnectorUse(
        tool.connector,
        tool.operation.name,
        fill,
        context.journal,
        address,
        key,
        secrets=context.secrets,
        in_doubt=step.in_doubt,
        dry=context.dry,
        folder=context.folder,
        permit=permit,
    )
