"""How hard a step is, and which tier it goes to."""

from collections.abc import Mapping, Sequence

from intendant.config.settings import TierLimits
from intendant.hooks.questions import Questions
from intendant.model.requests import IntentSpec, ModelOffer, RouteRequest
from intendant.model.results import Route
from intendant.model.workflow import Json, Step
from intendant.planning.prior import Prior

MIDDLE = 5.0
"""What a factor counts as that is switched off."""
DIRECT_OUTPUT = 1024
"""The longest answer, in tokens, of a call that no tier has a say in."""
WEIGHTS: Mapping[str, float] = {
    "prompt_length": 0.20,
    "data_size": 0.15,
    "conditions": 0.15,
    "references": 0.15,
    "reasoning": 0.20,
    "output_complexity": 0.15,
}
"""What each factor counts for in a step's difficulty."""

_STEPS: Mapping[str, tuple[int, int, int]] = {
    "prompt_length": (200, 500, 1000),  # characters
    "data_size": (1024, 10_240, 51_200),  # bytes
    "conditions": (2, 5, 10),
    "references": (2, 5, 10),
}
_SCORES = (2.0, 5.0, 7.0, 9.0)


def difficulty(
    step: Step,
    spec: IntentSpec,
    *,
    references: int,
    data_bytes: int = 0,
    by_intent: bool = True,
    by_measures: bool = True,
) -> tuple[float, dict[str, float]]:
    """A step's difficulty from 0 to 10, and the factors it is made of.

    Args:
        step: The step.
        spec: Its intent; gives reasoning depth, output complexity and tier bias.
        references: How many references the step makes.
        data_bytes: Size of its input, as far as it is known before the run.
        by_intent: False leaves out what the intent declares: its factors count as `MIDDLE`, and it has no bias.
        by_measures: False leaves out what is measured of the step: those factors count as `MIDDLE`.
    """
    measures = {
        "prompt_length": len(step.name) + len(step.description) + len(step.prompt or ""),
        "data_size": data_bytes + _literal_bytes(step.input),
        "conditions": _conditions(step),
        "references": references,
    }
    factors = {name: _SCORES[sum(value > edge for edge in _STEPS[name])] for name, value in measures.items()}
    if not by_measures:
        factors = dict.fromkeys(factors, MIDDLE)
    factors["reasoning"] = spec.reasoning if by_intent else MIDDLE
    factors["output_complexity"] = spec.output_complexity if by_intent else MIDDLE
    bias = spec.tier_bias if by_intent else 0.0
    score = sum(WEIGHTS[name] * value for name, value in factors.items()) + bias
    return min(10.0, max(0.0, score)), factors


def _literal_bytes(value: Json) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + _literal_bytes(item) for key, item in value.items())
    return sum(_literal_bytes(item) for item in value) if isinstance(value, list) else 0


def _conditions(step: Step) -> int:
    text = f"{step.when or ''} {step.parameters.get('where', '')}"
    return sum(text.count(mark) for mark in ("&&", "||", "?", "==", "!=", "<", ">"))


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
    ) -> None:
        self._by_intent, self._by_measures = by_intent, by_measures
        self._limits = limits or {}
        self._hardest = {
            name: each.max_difficulty for name, each in self._limits.items() if each.max_difficulty is not None
        }
        self._questions = questions
        self._prior = prior
        self._default_tier = default_tier
        self._enabled = enabled
        self._tiers = tuple(tiers)
        self._offers = tuple(offers)

    def difficulty(self, step: Step, spec: IntentSpec, references: int) -> tuple[float, dict[str, float]]:
        """How hard a step is, by what is switched on; see `difficulty`."""
        return difficulty(
            step, spec, references=references, by_intent=self._by_intent, by_measures=self._by_measures
        )

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
        self, step_id: str, intent: str, score: float, factors: Mapping[str, float], tokens: int
    ) -> RouteRequest:
        return RouteRequest(
            step_id=step_id,
            intent=intent,
            difficulty=score if self._prior is None else self._prior.difficulty(score),
            factors=factors,
            offers=self._offers,
            tokens=tokens,
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
