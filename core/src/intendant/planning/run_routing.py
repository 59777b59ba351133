"""Which model an attempt at a step asks, decided when its references are resolved.

A policy that was learned from outcomes chooses where it knows the intent and has seen prompts like this one; else
the tiers do, by the difficulty of the resolved step. What the step names itself is never asked here. Only models
that the plan's bound counts can be chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from intendant.hooks.providers import Provider
from intendant.model.errors import ProviderError
from intendant.model.requests import IntentSpec
from intendant.model.results import Route
from intendant.model.routing_events import RouteDecided
from intendant.model.workflow import Json, Step
from intendant.planning.decided import StepPlan
from intendant.planning.difficulty import size_of, weighed
from intendant.planning.policies import Choice, Policy
from intendant.planning.routing import Router
from intendant.spending.pricing import Prices

BYTES_PER_TOKEN = 4
ANSWER_SHARE = 4
"""An answer is expected to take a token for so many that are read, or `SHORT`."""
SHORT = 64
USEFUL = 256
"""Tokens of an answer that a budget has to pay for, so that a model is worth asking."""
MOST_BYTES = 8_000_000
"""Bytes of an input that are counted, at most; no model reads more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is decided about: a step whose references are resolved.

    Attributes:
        step: The step.
        plan: What was decided about it before the run.
        spec: Its intent.
        prompt: What is asked.
        data: Its input.
        micro_left: Micro-US$ that it may still spend; None for no limit.
    """

    step: Step
    plan: StepPlan
    spec: IntentSpec
    prompt: str
    data: Json
    micro_left: int | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """Which models are asked.

    Attributes:
        route: The first of them.
        choice: All of them, as `provider/model`.
        routes: Their routes.
        facts: The fields of the event `route_decided`.
    """

    route: Route
    choice: Choice
    routes: Mapping[str, Route]
    facts: Mapping[str, Any]


class _Candidate(NamedTuple):
    """A model that could be asked; see the event's `RouteCandidate`."""

    name: str
    route: Route
    micro_usd: int | None
    score: float | None
    refused: str

    def facts(self) -> dict[str, Any]:
        """As the event has it."""
        route = self.route
        return {
            "tier": route.tier,
            "provider": route.provider,
            "model": route.model,
            "micro_usd": self.micro_usd,
            "score": self.score,
            "refused": self.refused,
        }


class RunRouter:
    """Chooses models for the steps of one run.

    Args:
        router: Asks the tiers, as the run's flags say.
        candidates: What the plan's bound counts: the models of the tiers, cheapest first, and those of the policy.
        prices: What they cost.
        providers: By name.
        policy: What was learned from outcomes; None for nothing.
    """

    def __init__(
        self,
        router: Router,
        candidates: Sequence[Route],
        prices: Prices,
        providers: Mapping[str, Provider],
        policy: Policy | None = None,
    ) -> None:
        self._router = router
        self._candidates = {name_of(route): route for route in reversed(candidates)}
        self._in_order = tuple(dict.fromkeys(map(name_of, candidates)))
        self._prices = prices
        self._providers = providers
        self._policy = policy

    @cached_property
    def _of_policy(self) -> dict[str, str]:
        """The candidates' names by those that the policy has for them."""
        return {} if self._policy is None else matched(self._policy.models, self._in_order)

    def decides(self, plan: StepPlan, step: Step) -> bool:
        """True if there is something to choose for a step."""
        if step.tier is not None or step.model is not None or len(self._candidates) < 2:  # noqa: PLR2004
            return False
        return plan.route is not None and self._providers[plan.route.provider].charges

    def decide(self, asked: Asked, excluded: tuple[str, ...] = (), why: str = "") -> Decided | None:
        """The models to ask; None if nothing can be chosen.

        Args:
            asked: The step.
            excluded: Tiers whose answers failed.
            why: How they failed.
        """
        data_bytes = size_of(asked.data, MOST_BYTES)
        on = self._router.difficulty(asked.step, asked.spec, 0, asked.prompt, data_bytes)
        factors = {**on[1], "references": asked.plan.factors.get("references", on[1]["references"])}
        own = weighed(factors, asked.spec.tier_bias if self._router.by_intent else 0.0)
        read = (len(asked.prompt) + data_bytes) // BYTES_PER_TOKEN + SHORT
        listed = [self._candidate(self._candidates[name], read, asked, excluded) for name in self._in_order]
        blocked = {each.route.tier for each in listed if each.refused} | set(excluded)
        if not any(not each.refused for each in listed):
            blocked = set(excluded)
        by_tiers = self._router.tier_of(asked.step.id, asked.spec.name, own, factors, tuple(sorted(blocked)))
        if by_tiers is None or name_of(by_tiers) not in self._candidates or by_tiers.tier in excluded:
            return None
        facts = {
            "intent": asked.spec.name,
            "difficulty": round(self._router.shifted(own), 3),
            "factors": factors,
            "by_tiers": by_tiers.tier,
            "excluded": excluded,
        }
        free = {each.name for each in listed if not each.refused} or {name_of(by_tiers)}
        return self._chosen(asked, by_tiers, listed, free, facts, why)

    def _chosen(
        self,
        asked: Asked,
        by_tiers: Route,
        listed: list[_Candidate],
        free: set[str],
        facts: dict[str, Any],
        why: str,
    ) -> Decided:
        """What the policy says, where it says something; else what the tiers answered."""
        choice, reason = Choice((name_of(by_tiers),)), by_tiers.reason
        if self._policy is not None:
            known = {theirs: ours for theirs, ours in self._of_policy.items() if ours in free}
            said = self._policy.decide(asked.spec.name, asked.prompt, known)
            facts |= {"policy": self._policy.digest, "novel": said.novel}
            ours = {known[name]: value for name, value in said.scores.items() if name in known}
            listed = [each._replace(score=ours.get(each.name)) for each in listed]
            if said.choice is not None:
                choice, reason = said.choice.renamed(known), said.reason
            else:
                reason = f"{said.reason}; {reason}"
        facts["candidates"] = tuple(each.facts() for each in listed)
        facts |= {"ask": choice.ask, "last": choice.last, "agree": choice.agree}
        facts["reason"] = f"{why}; {reason}" if why else reason
        routes = {name: self._route(name, by_tiers, facts["reason"]) for name in choice.models}
        return Decided(routes[choice.ask[0]], choice, routes, facts)

    def _route(self, name: str, by_tiers: Route, reason: str) -> Route:
        if name == name_of(by_tiers):
            return by_tiers if by_tiers.reason == reason else by_tiers.model_copy(update={"reason": reason})
        return self._candidates[name].model_copy(update={"reason": reason})

    def _candidate(self, route: Route, read: int, asked: Asked, excluded: tuple[str, ...]) -> "_Candidate":
        longest = route.max_output_tokens
        cost, least = self._costs(
            route, read, min(longest, max(SHORT, read // ANSWER_SHARE)), min(longest, USEFUL)
        )
        window = self._providers[route.provider].context_window(route.model)
        refused = ""
        if route.tier in excluded:
            refused = "excluded"
        elif window is not None and read + SHORT > window:
            refused = "window"
        elif least is not None and asked.micro_left is not None and least > asked.micro_left:
            refused = "budget"
        return _Candidate(name_of(route), route, cost, None, refused)

    def _costs(self, route: Route, read: int, *written: int) -> tuple[int | None, ...]:
        """Micro-US$ of calls that write so many tokens; None where the price is not known."""
        free = not self._providers[route.provider].charges
        try:
            card = self._prices.card(route.provider, route.model, free=free)
        except ProviderError:
            return (None,) * len(written)
        return tuple(card.worst(read, tokens) for tokens in written)

    def again(self, event: RouteDecided, spec: IntentSpec) -> Choice | None:
        """The choice that a recorded decision comes to now; None if none. Of the prompt, whose text is not in the
        record, it goes by what the event says: whether it was novel, and what the policy expected of the models.
        """
        own = weighed(event.factors, spec.tier_bias if self._router.by_intent else 0.0)
        blocked = {each.tier for each in event.candidates if each.refused} | set(event.excluded)
        free = {each.name for each in event.candidates if not each.refused}
        blocked = blocked if free else set(event.excluded)
        by_tiers = self._router.tier_of("", spec.name, own, event.factors, tuple(sorted(blocked)))
        if by_tiers is None or name_of(by_tiers) not in self._candidates:
            return None
        usual = Choice((name_of(by_tiers),))
        if self._policy is None or event.novel:
            return usual
        known = {theirs: ours for theirs, ours in self._of_policy.items() if ours in (free or {usual.ask[0]})}
        scores = {each.name: each.score for each in event.candidates if each.score is not None}
        said = self._policy.again(spec.name, {name: scores.get(ours) for name, ours in known.items()})
        return usual if said is None else said.renamed(known)

    def stronger(self, route: Route) -> Route | None:
        """The model of the next tier above that of *route* which has another one."""
        of_tiers = {each.tier: each for each in reversed([self._candidates[name] for name in self._in_order])}
        tiers = list(reversed(of_tiers))
        tier = self._candidates.get(
            name_of(route), route
        ).tier  # tiers may share a model: the cheapest has it here
        if tier not in tiers:
            return None
        above = (of_tiers[each] for each in tiers[tiers.index(tier) + 1 :])
        found = next((each for each in above if name_of(each) != name_of(route)), None)
        return None if found is None else found.model_copy(update={"reason": "answers did not fit"})


def name_of(route: Route) -> str:
    """`provider/model`."""
    return f"{route.provider}/{route.model}"


def matched(wanted: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Of *names* (`provider/model`), those that *wanted* name, in full or by the model alone."""
    short: dict[str, list[str]] = {}
    for name in names:
        short.setdefault(name.partition("/")[2], []).append(name)
    found = {name: name for name in wanted if name in names}
    return found | {name: short[name][0] for name in wanted if name not in found and len(short.get(name, ())) == 1}
