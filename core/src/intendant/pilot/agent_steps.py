"""Makes the agent of a step with tools: what its model may call, bound to what the step says."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from intendant.config.secrets import UsedSecrets
from intendant.model.errors import AsksPeople
from intendant.model.graph_keys import Approve, ToolUse
from intendant.model.workflow import Json, Step
from intendant.pilot.agent_turns import Agent
from intendant.pilot.deliveries import ConnectorUse, Permit
from intendant.pilot.record_space import RunRecords
from intendant.pilot.resolving import resolve, resolve_parameters
from intendant.pilot.tool_offers import OfferedTool, offer
from intendant.pilot.tool_use import ToolBox
from intendant.planning.decided import StepPlan
from intendant.spending.calls import CallScope
from intendant.spending.paid_uses import PaidUses

if TYPE_CHECKING:
    from intendant.pilot.execution import RunContext


async def agent_of(
    context: "RunContext",
    step: Step,
    scope: Mapping[str, Json],
    given: Mapping[str, Json],
    address: str,
    key: str,
    plan: StepPlan,
    calls: CallScope,
) -> Agent:
    """The agent of one attempt at a step.

    Args:
        context: What the steps of the run share.
        step: The step.
        scope: What references may name.
        given: Values of `input` or `prompt` that the host has resolved itself.
        address: Where the step stands in the run.
        key: The idempotency key of what the step delivers.
        plan: What was decided about the step.
        calls: The attempt, to which what tools cost is charged.

    Raises:
        ConnectorError: A connector cannot tell what its tool takes.
        StepError: A tool is not installed, or cannot be called.
    """
    prompt = str(given["prompt"] if "prompt" in given else resolve(step.prompt or "", scope))
    value = given["input"] if "input" in given else resolve(step.input, scope)
    uses = _Uses(context, step, scope, address, plan, calls)
    tools = [await uses.offered(tool) for tool in step.tools]
    box = ToolBox(tools, uses.use, key, None if context.dry else uses.ask)
    said = f"{key}\x1f{step.model_dump_json()}\x1f{prompt}\x1f{value!r}"
    digest = sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
    return Agent(box, step.turns, context.journal, address, digest, prompt)


@dataclass(frozen=True, slots=True)
class _Uses:
    """How the tools of a step are used, and who is asked about that."""

    context: "RunContext"
    step: Step
    scope: Mapping[str, Json]
    address: str
    plan: StepPlan
    calls: CallScope

    async def offered(self, use: ToolUse) -> OfferedTool:
        """A tool as the model is told of it.

        Raises:
            StepError: It cannot be called, or its connector cannot tell what it takes.
        """
        tool, secrets = offer(use, self.context.plugins), UsedSecrets(self.context.secrets)
        fixed = resolve_parameters(use.with_, {**self.scope, "secrets": secrets})
        known = await tool.connector.parameters_known(tool.operation.name, fixed)
        return offer(use, self.context.plugins, known) if known else tool

    def use(self, tool: OfferedTool, given: Mapping[str, Json], key: str, permit: Permit) -> ConnectorUse:
        """A tool's operation, bound to what is fixed and what the model gave."""
        context = self.context
        return ConnectorUse(
            tool.connector,
            tool.operation.name,
            lambda secrets: self.filled(tool, given, secrets),
            context.journal,
            self.address,
            key,
            records=RunRecords(context.journal, context.plugins.connectors),
            secrets=context.secrets,
            in_doubt=self.step.in_doubt,
            dry=context.dry,
            folder=context.folder,
            permit=permit,
            paid=PaidUses(self.calls, context.settings.prices.uses),
        )

    def filled(self, tool: OfferedTool, given: Mapping[str, Json], secrets: UsedSecrets) -> Mapping[str, Json]:
        """All parameters. What the model wrote is no reference, whatever it looks like."""
        fixed = resolve_parameters(tool.use.with_, {**self.scope, "secrets": secrets})
        return {**given, **fixed}

    async def ask(self, tool: OfferedTool, given: Mapping[str, Json], value: Json) -> str:
        """Why people do not want a call made; empty if they approved it.

        Raises:
            AsksPeople: They have not decided yet.
        """
        from intendant.pilot.waiting import Question, reason_of, verdict_about

        approve = tool.use.approve or Approve()
        ask = str(resolve(approve.ask, self.scope)) or f"May step '{self.step.title}' do {tool.use.uses}?"
        shown: dict[str, Json] = {
            "step": self.step.title,
            "uses": tool.use.uses,
            "with": dict(self.filled(tool, given, UsedSecrets(None))),
            **({} if value is None else {"input": value}),
            "cost": {"tokens_at_most": self.plan.max_tokens, "micro_usd_at_most": self.plan.max_micro_usd},
        }
        question = Question(f"{self.address}/{tool.tool.name}", approve, ask, shown, self.address)
        said = await verdict_about(self.context.journal, question)
        if said.verdict is None:
            raise AsksPeople(reason_of(said.row), said.row.expires_at, told=said.new)
        return "" if said.verdict == "approved" else said.refusal
