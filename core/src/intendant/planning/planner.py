"""Every decision about a workflow before any money moves. Pure: nothing is sent, written or changed."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from intendant.config.flags import Subject, decided
from intendant.config.logs import get_logger
from intendant.config.settings import Settings
from intendant.hooks.questions import Questions
from intendant.hooks.registry import Plugins
from intendant.model.errors import (
    NoHandlerError,
    PluginError,
    PluginLoadError,
    Problem,
    ProviderError,
    WorkflowError,
)
from intendant.model.requests import (
    BudgetLine,
    BudgetRequest,
    ClassifyRequest,
    CompressionPolicy,
    IntentSpec,
    ModelClient,
    ModelOffer,
    Operation,
)
from intendant.model.results import Classification, Route, Usage
from intendant.model.workflow import Json, Step, Workflow
from intendant.planning.bounds import Bound, Bounds, within
from intendant.planning.classification import connecting
from intendant.planning.decided import Plan, StepPlan, in_order
from intendant.planning.drafts import Draft, changes_outside, leaving_room
from intendant.planning.graph_bounds import Items, cap_of, is_idle, items_of, of_workflow
from intendant.planning.policies import Policy
from intendant.planning.policy_use import usable_policy
from intendant.planning.price_doubts import price_doubts
from intendant.planning.prior import Prior
from intendant.planning.routing import Router
from intendant.planning.shadowing import acting, compared, equal_shares, shares_without
from intendant.spending.alternatives import misconfigured, offers
from intendant.spending.pricing import Prices

log = get_logger("intendant.planning")
USUAL_TURNS = 4
"""Turns of a step with tools that its share of the budget is reckoned with, at most: few take all they may."""
CLOSE = 0.4
"""Two intents whose probabilities differ by less are worth a warning where the wrong one would matter."""


class Planner:
    """Makes plans with the plugins and settings of one engine."""

    def __init__(self, plugins: Plugins, settings: Settings, prices: Prices) -> None:
        self._plugins = plugins
        self._settings = settings
        self._prices = prices
        self._questions = Questions(plugins.manager)
        self._bounds = Bounds(plugins.providers, prices, settings)

    async def plan(
        self,
        workflow: Workflow,
        needs: Mapping[str, Sequence[str]],
        references: Mapping[str, int],
        *,
        history: Mapping[str, tuple[int, ...]] | None = None,
        known: Mapping[str, Classification] | None = None,
        model: ModelClient | None = None,
        memory: bool = False,
        planning: Callable[[], Usage] = Usage,
        inputs: Mapping[str, Json] | None = None,
        flags: Mapping[str, bool] | None = None,
        prior: Prior | None = None,
    ) -> Plan:
        """Decide everything about *workflow*.

        Args:
            workflow: A workflow without problems.
            needs: The steps that each step depends on.
            references: How many references each step makes.
            history: Tokens that steps of an intent took in this agent's past runs.
            known: Classifications that are remembered, by step id.
            model: The door through which classifiers may ask a model.
            memory: Something is known before the run, and the steps that are told need tokens for it.
            planning: Returns what classifying took, which the run's budget pays for.
            inputs: The values of inputs that are known; how many items a list has may follow from them.
            flags: Which flags are on for the run; by default for its agent.
            prior: What is known of the agent.

        Raises:
            WorkflowError: A step's intent cannot be told, or nobody handles it.
            PluginLoadError: The configured budget strategy is not installed.
            SettingsError: A step needs a model, and the only provider that has any is not configured.
        """
        self._bounds.refresh()
        on = self.flags_of(workflow) if flags is None else flags
        if not on["intents_enabled"]:
            known, model = None, None
        found = await self._classify(workflow, needs, known or {}, model)
        taken, total = planning(), self.total(workflow)
        items = items_of(workflow, inputs or {})
        drafts = self._drafts(workflow, found, items, references, memory=memory)
        free = max(0, total - taken.tokens - sum(draft.memory for draft in drafts.values()))
        whole: dict[str, Bound] = {}

        def decide(switched: Mapping[str, bool]) -> tuple[dict[str, StepPlan], str, int, tuple[Route, ...]]:
            shares, strategy, left = self._allocate(workflow, drafts, history or {}, free, switched, prior)
            router = self.router(workflow, switched, prior)
            work = self._work(drafts, needs, shares, router, total, prior, whole)
            return work, strategy, left, router.candidates

        shadow = decide(on)[0] if on["shadow"] else None
        # Last, so that the bounds are those of what is done.
        work, strategy, unallocated, candidates = decide(acting(on))
        shadowed = () if shadow is None else tuple(compared(work, shadow))
        facts = {"strategy": strategy, "unallocated": unallocated, "flags": dict(on), "shadowed": shadowed}
        facts["candidates"] = candidates
        return self._plan(workflow, in_order(workflow, work, needs, items), whole, taken, prior=prior, **facts)

    def _plan(
        self,
        workflow: Workflow,
        steps: tuple[StepPlan, ...],
        whole: Mapping[str, Bound],
        taken: Usage,
        **facts: Any,
    ) -> Plan:
        total, micro = self.total(workflow), self.total_micro_usd(workflow)
        bound = of_workflow(workflow, whole, total, micro, taken)
        return Plan(
            workflow=workflow,
            steps=steps,
            budget_tokens=total,
            budget_micro_usd=micro,
            folder=workflow.folder,
            planning_tokens=taken.tokens,
            planning_micro_usd=taken.micro_usd,
            max_tokens=bound.tokens,
            max_micro_usd=bound.micro_usd,
            **facts,
        )

    def flags_of(self, workflow: Workflow, user: str | None = None) -> dict[str, bool]:
        """Which flags are on for a run of *workflow*, for *user* where the host names one."""
        return decided(self._settings.flags, Subject(workflow.agent, user, self._settings.budget.tenant))

    def _work(
        self,
        drafts: Mapping[str, Draft],
        needs: Mapping[str, Sequence[str]],
        shares: Mapping[str, int],
        router: Router,
        total: int,
        prior: Prior | None,
        whole: dict[str, Bound],
    ) -> dict[str, StepPlan]:
        """The plans of the steps that handlers do; *whole* gets their bounds without budgets of their own."""
        return {
            key: self._step(draft, needs[key], shares.get(key, 0), router, total, prior, whole)
            for key, draft in drafts.items()
        }

    def _drafts(
        self,
        workflow: Workflow,
        found: Mapping[str, Classification],
        items: Mapping[str, Items],
        references: Mapping[str, int],
        *,
        memory: bool,
    ) -> dict[str, Draft]:
        """What is known of each step of work before tokens are shared.

        Raises:
            SettingsError: A step needs a model, and the only provider that has any is not configured.
        """
        handlers = self._plugins.intents
        specs = {step.id: handlers[found[step.id].intent or ""].spec for step in workflow.work}
        wants = {step.id: handlers[specs[step.id].name].needs_model(step) for step in workflow.work}
        usable = any(offer.charges for offer in self.offers)
        if any(wants.values()) and not usable and (fault := misconfigured(self._plugins.providers)) is not None:
            raise fault  # A provider without a model must not stand in for one whose settings are wrong.
        told = {step.id for step in workflow.work if memory and wants[step.id] and specs[step.id].memory}
        line = self._memory_line(workflow, len(told))
        return {
            step.id: Draft(
                step,
                specs[step.id],
                found[step.id],
                wants[step.id],
                line if step.id in told else 0,
                items[step.id],
                references[step.id],
            )
            for step in workflow.work
        }

    @cached_property
    def offers(self) -> tuple[ModelOffer, ...]:
        """The providers that can be used, preferred first; looked up once, when the first plan is made."""
        return offers(self._plugins.providers, self._settings.routing.providers, self._prices)

    @cached_property
    def policy(self) -> Policy | None:
        """What was learned from outcomes; None if the settings name none, or it may not be used."""
        return usable_policy(self._settings.routing, tuple(self._plugins.tiers), self.offers, self._prices)

    def router(
        self, workflow: Workflow, flags: Mapping[str, bool] | None = None, prior: Prior | None = None
    ) -> Router:
        """Chooses models for *workflow*, as *flags* say; *prior* is what is known of its agent."""
        on = self.flags_of(workflow) if flags is None else flags
        return Router(
            self._questions,
            self.offers,
            self._settings.routing.default_tier,
            tiers=tuple(self._plugins.tiers),
            enabled=on["routing_enabled"],
            limits=self._settings.routing.tiers,
            by_intent=on["intent_routing_enabled"],
            by_measures=on["ais_routing_enabled"],
            prior=prior,
            policy=self.policy,
        )

    def total(self, workflow: Workflow) -> int:
        """Tokens the whole run may take."""
        asked = workflow.budget.tokens
        return self._settings.budget.tokens_per_workflow if asked is None else asked

    def total_micro_usd(self, workflow: Workflow) -> int | None:
        """Micro-US$ the whole run may take; None for no limit."""
        usd = workflow.budget.usd if workflow.budget.usd is not None else self._settings.budget.usd_per_workflow
        return None if usd is None else round(usd * 1_000_000)

    # --- classification ---

    async def _classify(
        self,
        workflow: Workflow,
        needs: Mapping[str, Sequence[str]],
        known: Mapping[str, Classification],
        model: ModelClient | None,
    ) -> dict[str, Classification]:
        feeds: dict[str, list[Step]] = {placed.key: [] for placed in workflow.placed}
        for step in workflow.work:
            for need in needs[step.id]:
                feeds[need].append(step)
        # All at once, so that a classifier that asks a model can put many steps into one call.
        answers = await asyncio.gather(
            *(
                self._intent_of(self._request(step, workflow, needs, feeds, model), known.get(step.id))
                for step in workflow.work
            )
        )
        found: dict[str, Classification] = {}
        problems: list[Problem] = []
        for step, answer in zip(workflow.work, answers, strict=True):
            problem = self._refuse(answer)
            if problem is not None:
                problems.append(workflow.problem(workflow.by_key[step.id], problem[0], hint=problem[1]))
            elif answer is not None:
                found[step.id] = answer
        if problems:
            raise WorkflowError(problems)
        return found

    def _request(
        self,
        step: Step,
        workflow: Workflow,
        needs: Mapping[str, Sequence[str]],
        feeds: Mapping[str, list[Step]],
        model: ModelClient | None,
    ) -> ClassifyRequest:
        handlers = self._plugins.intents
        return ClassifyRequest(
            step=step,
            intents=tuple(
                spec
                for spec in self._plugins.specs
                if not step.tools or (not spec.side_effects and handlers[spec.name].needs_model(step))
            ),
            threshold=self._settings.classification.threshold,
            goal=workflow.description,
            feeds_from=tuple(workflow.by_key[need].step for need in needs[step.id]),
            feeds_into=tuple(feeds[step.id]),
            operation=self._operation(step),
            model=model,
        )

    async def _intent_of(self, request: ClassifyRequest, known: Classification | None) -> Classification | None:
        if request.step.intent is not None:
            return Classification(intent=request.step.intent, confidence=1.0)
        best = request.model_copy(update={"threshold": 0.0, "model": None})
        asked = best if request.operation is not None else request  # what it uses says enough to ask no model
        answer = known or await self._questions.classify(asked) or await self._questions.classify(best)
        return connecting(request, answer, self._plugins.intents)

    def _refuse(self, answer: Classification | None) -> tuple[str, str] | None:
        """Why a step cannot be planned, and what to do; None if it can."""
        known = ", ".join(self._plugins.intents) or "none is installed"
        if answer is None:
            return "the step's intent cannot be told", f"say it, `intent: …` (installed: {known})"
        if answer.intent is None:
            return "this does not look like a step of work", f"take it out, or say `intent: …` ({known})"
        if answer.intent not in self._plugins.intents:
            message = NoHandlerError(answer.intent).message
            return message, self._plugins.unavailable_hint("intent", answer.intent)
        return None

    # --- budget and routes ---

    def _memory_line(self, workflow: Workflow, steps: int) -> int:
        """Tokens that each of so many steps gets for what is known before the run; at most a third of all."""
        most = self.total(workflow) // (3 * steps) if steps else 0
        return min(self._settings.budget.memory_tokens, most)

    def _allocate(
        self,
        workflow: Workflow,
        drafts: Mapping[str, Draft],
        history: Mapping[str, tuple[int, ...]],
        total: int,
        flags: Mapping[str, bool],
        prior: Prior | None,
    ) -> tuple[Mapping[str, int], str, int]:
        settings = self._settings.budget
        lines = tuple(
            BudgetLine(
                step_id=key,
                intent=draft.spec.name,
                baseline=settings.baselines.get(draft.spec.name, draft.spec.tokens)
                * draft.items.usual
                * min(draft.step.turns, USUAL_TURNS),
                critical=draft.step.critical,
                confidence=draft.classification.confidence,
                cap=cap_of(workflow, key, settings.tokens_per_step * draft.items.times * draft.step.turns),
            )
            for key, draft in drafts.items()
            if draft.needs_model and not is_idle(workflow, key)
        )
        if not lines:
            return {}, settings.strategy, total
        if prior is not None:
            lines = prior.lines(lines, {key: draft.difficulty for key, draft in drafts.items()})
        request = BudgetRequest(
            total=total,
            lines=leaving_room(lines, total, settings.tokens_per_step) if settings.overage_allowed else lines,
            strategy=settings.strategy,
            critical_factor=settings.critical_factor,
            agent=workflow.agent,
            history=history if flags["adaptive_budget_enabled"] else {},
        )
        if not flags["token_governance_enabled"]:
            shared = equal_shares(request, "none: shared equally")
            return shared.tokens, shared.strategy, total - sum(shared.tokens.values())
        try:
            answer = self._questions.allocate_budget(request)
        except PluginError as error:
            answer = shares_without(request, error.message)
        if answer is None:
            raise PluginLoadError(
                f"the budget strategy '{settings.strategy}' is not installed",
                hint=self._plugins.unavailable_hint("budget", settings.strategy),
            )
        if (granted := sum(answer.tokens.values())) > total:
            reason = f"the strategy '{settings.strategy}' allocated {granted} of {total} tokens"
            answer = shares_without(request, reason)
            granted = sum(answer.tokens.values())
        return answer.tokens, answer.strategy, total - granted

    def _step(
        self,
        draft: Draft,
        needs: Sequence[str],
        share: int,
        router: Router,
        total: int,
        prior: Prior | None,
        whole: dict[str, Bound],
    ) -> StepPlan:
        step, spec, classification = draft.step, draft.spec, draft.classification
        score, factors = router.difficulty(step, spec, draft.references)
        tokens = share + draft.memory
        route = router.route_step(step, spec.name, score, factors, tokens) if draft.needs_model else None
        compression = self._policy(spec, prior)
        rewriting = (
            router.route(step.id, "compress", 0.0, {}, tokens) if compression.abstractive and route else None
        )
        escalation: Route | None = None
        others: tuple[Route, ...] = ()
        if route is not None and step.tier is None and step.model is None:  # what the step names is kept to
            escalation = router.stronger(step.id, spec.name, score, factors, tokens, route)
            others = router.candidates
        whole[step.id] = self._bounds.of_step((route, rewriting, escalation, *others), tokens, total)
        bound = within(whole[step.id], step.budget)
        return StepPlan(
            step_id=step.id,
            name=step.title,
            intent=spec.name,
            classification=classification,
            needs=tuple(needs),
            needs_model=draft.needs_model,
            tokens=tokens,
            memory_tokens=draft.memory,
            compression=compression,
            rewriting=rewriting,
            escalation=escalation,
            difficulty=round(score, 2),
            factors=factors,
            route=route,
            estimated_micro_usd=self._estimate(route, tokens),
            side_effects=spec.side_effects or self._effect(step) or any(map(changes_outside, step.tools)),
            max_tokens=bound.tokens,
            max_micro_usd=bound.micro_usd,
            max_output_tokens=step.max_output_tokens,
            temperature=step.temperature,
            turns=step.turns,
            items=draft.items.times if draft.items.counted else None,
            items_assumed=draft.items.assumed,
            warnings=self._warnings(step, classification, draft.needs_model, route, bound),
        )

    def _policy(self, spec: IntentSpec, prior: Prior | None) -> CompressionPolicy:
        """How far the intent's input may be compressed: as its handler declares or as suits the agent, but for
        what settings name.
        """
        own = spec.compression if prior is None else prior.policy(spec.compression)
        said = self._settings.compression.policies.get(spec.name)
        if said is None:
            return own
        return own.model_copy(update={name: getattr(said, name) for name in said.model_fields_set})

    def _estimate(self, route: Route | None, tokens: int) -> int | None:
        if route is None:
            return 0
        answer = min(tokens // 4, route.max_output_tokens)
        usage = Usage(input_tokens=tokens - answer, output_tokens=answer)
        free = not self._plugins.providers[route.provider].charges
        try:
            return self._prices.of(route.provider, route.model, usage, free=free).micro_usd
        except ProviderError:
            return None

    def _operation(self, step: Step) -> Operation | None:
        if step.connector is None:
            return None
        connector = self._plugins.connectors.get(step.connector[0])
        return connector.operations.get(step.connector[1]) if connector else None

    def _effect(self, step: Step) -> bool:
        """True if the step's operation changes something outside, or is not known."""
        operation = self._operation(step)
        return step.connector is not None and (operation is None or operation.side_effects)

    def _warnings(
        self, step: Step, found: Classification, wants: bool, route: Route | None, bound: Bound
    ) -> tuple[str, ...]:
        warnings = []
        threshold = self._settings.classification.threshold
        if found.confidence < threshold or self._side_effects_differ(found):
            second = f" or '{found.second}'" if found.second else ""
            warnings.append(
                f"the intent may be '{found.intent}'{second} ({found.confidence:.0%} sure); say it: `intent: …`"
            )
        if wants and route is None:
            warnings.append(f"no provider can be used for this step; {self._plugins.model_hint}")
        if route is not None and step.tools and not self._plugins.providers[route.provider].tools:
            warnings.append(f"{route.provider} cannot be offered tools; {self._plugins.model_hint}")
        elif route is not None and not self._plugins.providers[route.provider].charges:
            warnings.append(self._plugins.without_model(found.intent, step))
        if bound.micro_usd is None and route is not None:
            warnings.append(
                f"the price of {route.provider}/{route.model}, or of a fallback, is not known: calls are refused; "
                f'set prices.models."{route.provider}/{route.model}"'
            )
        warnings += price_doubts(self._prices, self._settings.prices, self._plugins.providers, route)
        return tuple(warnings)

    def _side_effects_differ(self, found: Classification) -> bool:
        """True if the second guess is close, and only one of the two changes something outside the run."""
        specs = {spec.name: spec for spec in self._plugins.specs}
        if found.margin >= CLOSE or found.intent not in specs or found.second not in specs:
            return False
        return specs[found.intent].side_effects != specs[found.second].side_effects
