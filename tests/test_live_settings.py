"""Changing each live key in the database changes a decision that can be observed."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from intendant import IntendantError, MemoryContext, OrchestrationService, Settings, Workflow, events
from intendant.config import catalogue
from intendant.config.layers import Source, merge_assignments
from intendant.pilot import steering
from intendant.planning.decided import Plan
from intendant.testing import ScriptedProvider
from intendant.testing.fakes import PRICES

LONG = "\n".join(
    f"Order {n} of customer {n * 7} was paid on 2026-11-{n % 28 + 1:02} with {n}.50 EUR." for n in range(90)
)
FLOW = {
    "name": "x",
    "agent": "mailer",
    "steps": [
        {"id": "letter", "intent": "generate", "prompt": "Write a letter to the customer", "critical": True},
        {"id": "short", "intent": "summarize", "prompt": "Summarize it for the board", "input": LONG},
        {
            "id": "facts",
            "intent": "extract",
            "prompt": "Which orders?",
            "input": ["a"],
            "output": {"type": "array"},
        },
    ],
}
UNSURE = {"name": "x", "steps": [{"id": "a", "name": "do it", "prompt": "handle the thing for the other thing"}]}


class Slow(ScriptedProvider):
    """Takes a moment for each answer, and counts how many are out at once."""

    def __init__(self) -> None:
        super().__init__("an answer")
        self.out = self.most = 0

    async def complete(self, hold, request):
        self.out += 1
        self.most = max(self.most, self.out)
        try:
            await asyncio.sleep(0.05)
            return await super().complete(hold, request)
        finally:
            self.out -= 1


class Trial:
    """A service with the installed plugins and a scripted provider."""

    def __init__(self, settings: dict[str, Any], provider: ScriptedProvider | None = None) -> None:
        self.provider = provider or ScriptedProvider("an answer")
        made = Settings._of([Source("a file", {**PRICES, **settings})])  # weaker than the database
        self.service = OrchestrationService(made, plugins=[self.provider], db="none")
        self.engine = self.service._engine
        self.seen: list[events.Event] = []

    async def plan(self, flow: dict[str, Any] = FLOW, **options: Any) -> Plan:
        return await self.service.plan(Workflow.model_validate(flow), **options)

    async def run(self, flow: dict[str, Any] = FLOW, **options: Any) -> Any:
        return await self.service.run(Workflow.model_validate(flow), on_event=self.seen.append, **options)

    def kinds(self) -> list[str]:
        return sorted({event.type for event in self.seen})


Observe = Callable[[Trial], Awaitable[Any]]


class Case(NamedTuple):
    """A key, another value of it, and what is observed."""

    value: Any
    observe: Observe
    settings: dict[str, Any] = {}
    name: str = ""
    provider: type[ScriptedProvider] = ScriptedProvider


def of_steps(*fields: str) -> Observe:
    async def observed(trial: Trial) -> Any:
        plan = await trial.plan()
        return [[getattr(step, field) for field in fields] for step in plan.steps]

    return observed


def of_plan(*fields: str) -> Observe:
    async def observed(trial: Trial) -> Any:
        plan = await trial.plan()
        return [getattr(plan, field) for field in fields]

    return observed


async def began(trial: Trial) -> Any:
    return await trial.service.orchestrator().initialize(Workflow.model_validate(FLOW))


async def compressed(trial: Trial) -> Any:
    flow = {**FLOW, "budget": {"tokens": 1500}, "steps": [FLOW["steps"][1]]}
    await trial.run(flow)
    return "token_compressed" in trial.kinds()


async def with_history(trial: Trial) -> Any:
    flow = Workflow.model_validate({**FLOW, "budget": {"tokens": 6000}})
    needs = {step.key: () for step in flow.placed}
    plan = await trial.engine.planner.plan(flow, needs, dict.fromkeys(needs, 0), history={"generate": (50,) * 60})
    return {step.step_id: step.tokens for step in plan.steps}


async def models_asked(trial: Trial) -> Any:
    with suppress(IntendantError):  # what the script says is no answer
        await trial.service.orchestrator().initialize(Workflow.model_validate(UNSURE))
    return len(trial.provider.calls) > 0


async def warnings(trial: Trial) -> Any:
    flow = {"name": "x", "steps": [{"id": "a", "prompt": "Summarize the report in three sentences"}]}
    return (await trial.plan(flow)).steps[0].warnings


async def status(trial: Trial) -> Any:
    result = await trial.run({**FLOW, "budget": {"tokens": 40}, "steps": FLOW["steps"][:1]})
    return result.status.value, "limit_watched" in trial.kinds()


async def memory(trial: Trial) -> Any:
    orchestrator = trial.service.orchestrator()
    await orchestrator.initialize(Workflow.model_validate(FLOW), memory=MemoryContext(profile="Eva"))
    plan = orchestrator._run.plan
    return [step.memory_tokens for step in plan.steps]


async def drawn(trial: Trial) -> Any:
    flow = {**FLOW, "budget": {"tokens": 4000}, "steps": [{**FLOW["steps"][1], "input": LONG * 2}]}
    await trial.run(flow)
    return [event.extra for event in trial.seen if isinstance(event, events.OverageDrawn)]


async def at_once(trial: Trial) -> Any:
    steps = [{**FLOW["steps"][0], "id": f"s{n}"} for n in range(4)]
    await trial.run({**FLOW, "steps": steps})
    return trial.provider.most


async def failures(trial: Trial) -> Any:
    result = await trial.run({**FLOW, "steps": FLOW["steps"][:1]})
    return [outcome.failure.code for outcome in result.steps.values() if outcome.failure is not None]


async def mapped(trial: Trial) -> Any:
    each = {"id": "each", "intent": "generate", "prompt": "Say {{ item }}", "for_each": ["a", "b"]}
    return (await trial.run({**FLOW, "steps": [each]})).status


async def prior(trial: Trial) -> Any:
    flow = {**FLOW, "agent": "eva", "steps": FLOW["steps"][:1]}
    for _ in range(5):
        await trial.run(flow)
    return (await trial.plan(flow)).prior


UNROUTED = {"flags": {"routing_enabled": False}}
TIGHT = {"budget": {"tokens_per_workflow": 5000}}
CASES: dict[str, Case] = {
    "flags.orchestration_enabled": Case(False, began),
    "flags.compression_enabled": Case(False, compressed),
    "flags.routing_enabled": Case(False, of_steps("route")),
    "flags.adaptive_budget_enabled": Case(False, with_history, {"budget": {"strategy": "adaptive"}}),
    "flags.intents_enabled": Case(False, models_asked),
    "flags.token_governance_enabled": Case(False, of_steps("tokens"), TIGHT),
    "flags.intent_routing_enabled": Case(False, of_steps("difficulty")),
    "flags.ais_routing_enabled": Case(False, of_steps("difficulty")),
    "flags.agent_prior_enabled": Case(False, prior),
    "flags.shadow": Case(True, of_plan("shadowed")),
    "budget.strategy": Case("equal", of_steps("tokens"), TIGHT),
    "budget.tokens_per_workflow": Case(9000, of_plan("budget_tokens")),
    "budget.usd_per_workflow": Case(0.5, of_plan("budget_micro_usd")),
    "budget.run_limit": Case("watch", status),
    "budget.tokens_per_step": Case(700, of_steps("tokens")),
    "budget.memory_tokens": Case(20, memory),
    "budget.overage_allowed": Case(False, drawn, {"budget": {"tokens_per_step": 800}}),
    "budget.overage_threshold": Case(1.05, drawn, {"budget": {"tokens_per_step": 800}}),
    "budget.critical_factor": Case(3, of_steps("tokens"), TIGHT),
    "budget.baselines.{intent}": Case(9, of_steps("tokens"), TIGHT, "budget.baselines.generate"),
    "classification.threshold": Case(1.0, warnings),
    "classification.use_model": Case(False, models_asked),
    "classification.tokens": Case(0, models_asked),
    "routing.default_tier": Case("fast", of_steps("route"), UNROUTED),
    "routing.tiers.{tier}.max_difficulty": Case(0, of_steps("route"), name="routing.tiers.fast.max_difficulty"),
    "routing.tiers.{tier}.max_output_tokens": Case(
        9, of_steps("route"), UNROUTED, "routing.tiers.balanced.max_output_tokens"
    ),
    "routing.tiers.{tier}.temperature": Case(
        0.9, of_steps("route"), UNROUTED, "routing.tiers.balanced.temperature"
    ),
    "run.max_parallel": Case(1, at_once, provider=Slow),
    "run.max_items": Case(1, mapped),
    "run.step_timeout": Case(0.01, failures, provider=Slow),
}
POLICY = {
    "risk": 0.1,
    "target": 0.4,
    "protect": ["EUR"],
    "expansions": 2,
    "abstractive": True,
    "strategy": "none",
    "floor": 0.9,
}
CASES |= {
    f"compression.policies.{{intent}}.{field}": Case(
        value, of_steps("compression"), name=f"compression.policies.summarize.{field}"
    )
    for field, value in POLICY.items()
}


OPERATION = ("alerts", "rollout", "retention")
"""Their keys are tried where what they steer is."""


def test_every_live_key_is_tried() -> None:
    live = {key.name for key in catalogue.all_keys() if key.live and key.group not in OPERATION}
    assert live == set(CASES)


@pytest.mark.parametrize("key", CASES)
async def test_changing_a_live_key_changes_a_decision(key, monkeypatch) -> None:
    monkeypatch.setattr(steering, "REFRESH_SECONDS", 0.0)
    case = CASES[key]
    before = Trial(
        case.settings, case.provider("an answer") if case.provider is ScriptedProvider else case.provider()
    )
    after = Trial(
        case.settings, case.provider("an answer") if case.provider is ScriptedProvider else case.provider()
    )
    async with before.service, after.service:
        await after.service.steering.change({case.name or key: case.value}, by="eva")
        seen, changed = await case.observe(before), await case.observe(after)
        assert json.dumps(seen, default=str) != json.dumps(changed, default=str)


NESTED = {key: case for key, case in CASES.items() if not isinstance(case.value, dict)}


@pytest.mark.parametrize("key", NESTED)
async def test_a_live_key_can_be_set_in_each_layer(key, tmp_path) -> None:
    """The user's file, the environment, the database, the call: each stronger than the one before."""
    case = CASES[key]
    name, text = case.name or key, json.dumps(case.value)
    *section, last = catalogue.parts_of(name)
    file = tmp_path / "x.toml"
    file.write_text(f"[{'.'.join(section)}]\n{last} = {text}\n")
    env = {f"INTENDANT_{'__'.join([*section, last]).upper()}": text}
    call = merge_assignments([f"{name}={text}"])
    for settings in (
        Settings.load(env={}, file=file),
        Settings.load(env=env, file=None),
        Settings.load(call, env={}, file=None),
    ):
        async with OrchestrationService(settings, plugins=[ScriptedProvider()], db="none") as service:
            state, _ = await service.operations.setting(name)
            assert state.value == case.value
            assert state.source not in ("the default", "its handler", "its plugin")
    async with OrchestrationService(
        Settings.load(env={}, file=file), plugins=[ScriptedProvider()], db="none"
    ) as service:
        await service.steering.change({name: case.value}, by="eva")
        state, layers = await service.operations.setting(name)
        assert state.value == case.value
        assert [layer.source for layer in layers[:2]] == ["the database, version 1", str(file)]
