"""Plans a workflow with the engine of a process: its history, remembered answers, and a model where allowed."""

from collections.abc import Iterator, Mapping

from intendant import events
from intendant.config.settings import Settings
from intendant.model.errors import IntendantError
from intendant.model.graph_keys import Limits
from intendant.model.results import Usage
from intendant.model.workflow import Json, Workflow
from intendant.pilot.agent_view import AgentView, agent_of
from intendant.pilot.checking import check_classified
from intendant.pilot.classification_support import ClassificationSupport
from intendant.pilot.engine import Engine
from intendant.pilot.prepared import Grounds
from intendant.planning.decided import Plan, StepPlan
from intendant.planning.graph_bounds import items_of
from intendant.planning.prior import Prior
from intendant.record.journal import Journal, StepLog
from intendant.record.store import runs
from intendant.spending.alternatives import offers


async def plan_checked(
    engine: Engine,
    workflow: Workflow,
    *,
    ask_model: bool,
    memory: bool = False,
    inputs: Mapping[str, Json] | None = None,
    user: str | None = None,
    agent: AgentView | None = None,
) -> Plan:
    """Decide everything about a workflow that was checked.

    Args:
        engine: What the run is made with.
        workflow: The workflow.
        ask_model: Let classifiers ask a model.
        memory: Something is known before the run, and steps need tokens for it.
        inputs: Values of its inputs, as far as they are known.
        user: Whose run it is, for rollouts by user.
        agent: What is known of its agent; looked up where it is not given.

    Raises:
        WorkflowError: A step's intent cannot be told, its handler finds it wrong, or the agent may not do it.
        SettingsError: The agent's file is wrong, or not trusted.
    """
    view = await agent_of(engine, workflow.agent, workflow.folder) if agent is None else agent
    budget = engine.settings.budget
    admitted = view.admit(workflow, Limits(tokens=budget.tokens_per_workflow, usd=budget.usd_per_workflow))
    plan = await _planned(engine, admitted, view, ask_model=ask_model, memory=memory, inputs=inputs, user=user)
    return plan if admitted is workflow else plan.model_copy(update={"workflow": workflow})


async def _planned(
    engine: Engine,
    workflow: Workflow,
    view: AgentView,
    *,
    ask_model: bool,
    memory: bool,
    inputs: Mapping[str, Json] | None,
    user: str | None,
) -> Plan:
    strategy = engine.plugins.budgets.get(engine.settings.budget.strategy)
    history = {}
    flags = engine.planner.flags_of(workflow, user)
    if strategy is not None and strategy.uses_history and flags["adaptive_budget_enabled"]:
        history = await engine.store.do(runs.usage_history(workflow.agent, engine.tenant))
    prepared = engine.prepared.of(workflow)
    needs, counts = prepared.needs, prepared.references
    if all(step.intent is not None for step in workflow.work):
        grounds = _grounds(engine, workflow, inputs or {}, flags, view.prior) if not (history or memory) else None
        plan = None if grounds is None else prepared.planned(grounds)
        if plan is None:
            plan = await engine.planner.plan(
                workflow,
                needs,
                counts,
                history=history,
                memory=memory,
                inputs=inputs,
                flags=flags,
                prior=view.prior,
            )
            if grounds is not None:
                prepared.keep(grounds, plan)
        return plan
    support = ClassificationSupport(engine)
    client = support.client(workflow) if ask_model and flags["intents_enabled"] else None
    try:
        plan = await engine.planner.plan(
            workflow,
            needs,
            counts,
            history=history,
            known=await support.known(workflow.work),
            model=client,
            memory=memory,
            planning=lambda: client.usage if client is not None else Usage(),
            inputs=inputs,
            flags=flags,
            prior=view.prior,
        )
    except IntendantError:
        await support.close(client)
        raise
    await support.finish(client, plan)
    check_classified(workflow, engine.plugins, {step.step_id: step.intent for step in plan.steps})
    return plan


def _grounds(
    engine: Engine, workflow: Workflow, inputs: Mapping[str, Json], flags: Mapping[str, bool], prior: Prior | None
) -> Grounds:
    """What the plan of a workflow follows from; what providers offer may have changed since the plan before."""
    offered = offers(engine.plugins.providers, engine.settings.routing.providers)
    return Grounds(engine.planner, offered, flags, prior, items_of(workflow, inputs))


def record_plan(plan: Plan, journal: Journal, inputs: Mapping[str, Json], settings: Settings) -> None:
    """Record what was decided, and where the *settings* in force came from."""
    made: list[events.Event] = [
        journal.event(
            events.Initialized,
            workflow=plan.workflow.name,
            agent=plan.workflow.agent,
            steps=len(plan.steps),
            budget_tokens=plan.budget_tokens,
            budget_micro_usd=plan.budget_micro_usd,
            budget_strategy=plan.strategy,
            inputs=inputs,
            planning_tokens=plan.planning_tokens,
            planning_micro_usd=plan.planning_micro_usd,
            settings=dict(settings.in_force),
            forked_from=plan.forked_from,
            settings_version=settings.version,
            flags=dict(plan.flags),
        )
    ]
    made += [
        journal.step(shadowed.step_id).event(
            events.ShadowDecided,
            what=shadowed.what,
            wanted=shadowed.wanted,
            instead=shadowed.instead,
            saved_micro_usd=shadowed.saved_micro_usd,
        )
        for shadowed in plan.shadowed
    ]
    if plan.prior is not None:
        made.append(
            journal.event(
                events.IntensityApplied,
                score=plan.prior.score,
                runs=plan.prior.runs,
                preset=plan.prior.preset,
                reason=plan.prior.reason,
            )
        )
    for step in plan.steps:
        made += _decided(step, journal.step(step.step_id), plan.strategy)
    journal.append(*made)


def _decided(step: StepPlan, log: StepLog, strategy: str) -> Iterator[events.Event]:
    """What was decided about a step."""
    found = step.classification
    if found.intent is not None:
        yield log.event(
            events.IntentClassified,
            intent=found.intent,
            confidence=found.confidence,
            method=found.method,
            second=found.second,
        )
    if not step.needs_model:
        return
    yield log.event(events.TokenBudgetAllocated, tokens=step.tokens, strategy=strategy)
    if step.route is not None:
        yield log.event(
            events.Routed,
            tier=step.route.tier,
            provider=step.route.provider,
            model=step.route.model,
            reason=step.route.reason,
            difficulty=step.difficulty,
        )
