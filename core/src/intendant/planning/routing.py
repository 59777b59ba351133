"""Which tier a step goes to, by how hard it is."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from intendant.config.settings import TierLimits
from intendant.hooks.questions import Questions
from intendant.model.requests import IntentSpec, ModelOffer, RouteRequest
from intendant.model.results import Route
from intendant.model.workflow import Json, Step
from intendant.planning.difficulty import MIDDLE, difficulty
from intendant.planning.policies import Policy
from intendant.planning.policy_use import routes_of
from intendant.planning.prior import Prior

DIRECT_OUTPUT = 1024
"""The longest answer, in tokens, of a call that no tier has a say in."""


class Router:
    """Chooses a model for each step.

    Args:
        questions: The engine's hooks.
        offers: The providers that can be used, preferred first.
        default_tier: The tier of steps that no tier takes.
        tiers: The installed tiers.
        enabled: False sends every step to the default tier.
        limits: What the settings change about tiers.
        by_intent: See `difficulty`, as for `by_measures`.
        by_measures: See `difficulty`.
        prior: What is known of the agent; moves the difficulty of steps that name neither tier nor model.
        policy: What was learned from outcomes.
    """

    def __init__(
        self,
        questions: Questions,
        offers: Sequence[ModelOffer],
        default_tier: str,
        *,
        tiers: Sequence[str],
        enabled: bool = True,
        limits: Mapping[str, TierLimits] | None = None,
        by_intent: bool = True,
        by_measures: bool = True,
        prior: Prior | None = None,
        policy: Policy | None = None,
    ) -> None:
        self.by_intent, self._by_measures = by_intent, by_measures
        self._limits = limits or {}
        self._hardest = {
            name: each.max_difficulty for name, each in self._limits.items() if each.max_difficulty is not None
        }
        self._questions = questions
        self._prior, self._policy = prior, policy
        self._default_tier = default_tier
        self._enabled = enabled
        self._tiers = tuple(tiers)
        self._offers = tuple(offers)

    def difficulty(
        self,
        step: Step,
        spec: IntentSpec,
        references: int,
        prompt: str | None = None,
        data_bytes: int | None = None,
    ) -> tuple[float, dict[str, float]]:
        """How hard a step is, by what is switched on; see `difficulty`."""
        on = {"by_intent": self.by_intent, "by_measures": self._by_measures}
        return difficulty(step, spec, references=references, prompt=prompt, data_bytes=data_bytes, **on)

    def shifted(self, score: float) -> float:
        """A difficulty with the agent's part, as tiers are asked."""
        return score if self._prior is None else self._prior.difficulty(score)

    @cached_property
    def candidates(self) -> tuple[Route, ...]:
        """The models among which steps are routed when they run: what each tier answers where it has to, cheapest
        tier first, then what the policy knows besides; empty where routing is off.
        """
        if not self._enabled:
            return ()
        found = (
            self._without("", "", MIDDLE, {}, 0, tuple(name for name in self._tiers if name != tier))
            for tier in self._tiers
        )
        of_tiers = tuple(route for route in found if route is not None)
        return of_tiers if self._policy is None else (*of_tiers, *routes_of(self._policy, of_tiers, self._offers))

    def tier_of(
        self, step_id: str, intent: str, score: float, factors: Mapping[str, float], excluded: tuple[str, ...]
    ) -> Route | None:
        """What tiers answer, without those *excluded*; where each declines, the strongest of them."""
        found = self._questions.route(self._request(step_id, intent, score, factors, 0, excluded))
        if found is not None:
            return self._reasoned(self._limited(found))
        left = [name for name in self._tiers if name not in excluded]
        for tier in reversed(left):  # too hard for those that are left: the strongest of them
            others = tuple(name for name in self._tiers if name != tier)
            if (route := self._without(step_id, intent, score, factors, 0, others)) is not None:
                return self._reasoned(route)
        return None

    def route(
        self, step_id: str, intent: str, score: float, factors: Mapping[str, float], tokens: int
    ) -> Route | None:
        """The step's model; None if no provider can be used or no tier is installed."""
        request = self._request(step_id, intent, score, factors, tokens)
        if not self._enabled and self._default_tier in self._tiers:
            others = tuple(name for name in self._tiers if name != self._default_tier)
            request = request.model_copy(update={"excluded": others, "last_resort": True})
        answer = self._questions.route(request)
        if answer is None and not request.last_resort:
            answer = self._questions.route(request.model_copy(update={"last_resort": True}))
        return self._direct() if answer is None else self._reasoned(self._limited(answer))

    def _limited(self, route: Route) -> Route:
        """The route with what the settings say of its tier."""
        limits = self._limits.get(route.tier)
        if limits is None:
            return route
        said = {"max_output_tokens": limits.max_output_tokens, "temperature": limits.temperature}
        return route.model_copy(update={name: value for name, value in said.items() if value is not None})

    def _request(
        self,
        step_id: str,
        intent: str,
        score: float,
        factors: Mapping[str, float],
        tokens: int,
        excluded: tuple[str, ...] = (),
    ) -> RouteRequest:
        return RouteRequest(
            step_id=step_id,
            intent=intent,
            difficulty=self.shifted(score),
            factors=factors,
            offers=self._offers,
            tokens=tokens,
            excluded=excluded,
            max_difficulties=self._hardest,
            intensity=None if self._prior is None else self._prior.score,
        )

    def _reasoned(self, route: Route) -> Route:
        """The route, with the agent's part in the reason."""
        if self._prior is None:
            return route
        return route.model_copy(update={"reason": f"{route.reason}; {self._prior.reason}"})

    def route_step(
        self, step: Step, intent: str, score: float, factors: Mapping[str, float], tokens: int
    ) -> Route | None:
        """The model of a step: what the step itself says wins over what tiers answer."""
        route = self._of_tier(step, intent, score, factors, tokens)
        if step.model is not None:
            provider, _, model = step.model.partition("/")
            tier = step.tier or next(
                (
                    name
                    for offer in self._offers
                    if offer.provider == provider
                    for name, of_tier in offer.models.items()
                    if of_tier == model
                ),
                route.tier if route is not None else self._default_tier,
            )
            longest = route.max_output_tokens if route is not None else DIRECT_OUTPUT
            route = Route(
                tier=tier,
                provider=provider,
                model=model,
                max_output_tokens=longest,
                reason="the step names the model",
                pinned=True,
            )
        if route is None:
            return None
        said: dict[str, Json] = {}
        if step.max_output_tokens is not None:
            said["max_output_tokens"] = step.max_output_tokens
        if step.temperature is not None:
            said["temperature"] = step.temperature
        return route.model_copy(update=said) if said else route

    def _of_tier(
        self, step: Step, intent: str, score: float, factors: Mapping[str, float], tokens: int
    ) -> Route | None:
        if step.tier is None:
            return self.route(step.id, intent, score, factors, tokens)
        others = tuple(name for name in self._tiers if name != step.tier)
        answer = self._without(step.id, intent, score, factors, tokens, others)
        return None if answer is None else answer.model_copy(update={"reason": "the step names the tier"})

    def stronger(
        self, step_id: str, intent: str, score: float, factors: Mapping[str, float], tokens: int, route: Route
    ) -> Route | None:
        """The next other model of a stronger tier than that of *route*, for answers that do not fit; None if there
        is none.
        """
        if route.tier not in self._tiers or not self._enabled:
            return None
        for count in range(self._tiers.index(route.tier) + 1, len(self._tiers)):
            answer = self._without(step_id, intent, score, factors, tokens, self._tiers[:count])
            if answer is not None and (answer.provider, answer.model) != (route.provider, route.model):
                return answer
        return None

    def _without(
        self,
        step_id: str,
        intent: str,
        score: float,
        factors: Mapping[str, float],
        tokens: int,
        excluded: tuple[str, ...],
    ) -> Route | None:
        request = self._request(step_id, intent, score, factors, tokens)
        answer = self._questions.route(request.model_copy(update={"excluded": excluded, "last_resort": True}))
        return None if answer is None else self._limited(answer)

    def _direct(self) -> Route | None:
        """Where no tier answers, or each fails: the default tier's model of the first provider, else any it has.
        A step that can be done is not lost because routing is broken; its calls are metered like all others.
        """
        for offer in self._offers:
            tiers = [self._default_tier, *offer.models]
            if (tier := next((name for name in tiers if name in offer.models), None)) is not None:
                return Route(
                    tier=tier,
                    provider=offer.provider,
                    model=offer.models[tier],
                    max_output_tokens=DIRECT_OUTPUT,
                    reason="no installed tier took it: sent directly",
                )
        return None
