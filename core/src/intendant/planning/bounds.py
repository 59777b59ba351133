"""Upper bounds of what a plan can spend, in tokens and in money.

A step may spend its share and, where overage is allowed, whatever other steps leave, up to what the run has. Every
call holds its worst case first, so no step and no run can pass these bounds, whatever is retried, repaired or
falls back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from intendant.config.settings import Settings
from intendant.hooks.providers import Provider
from intendant.model.errors import ProviderError
from intendant.model.graph_keys import Limits
from intendant.model.results import Route
from intendant.planning.curves import Curve, together
from intendant.spending.admission import MIN_OUTPUT_TOKENS
from intendant.spending.alternatives import Alternatives
from intendant.spending.pricing import PICO, Prices


@dataclass(frozen=True, slots=True)
class Bound:
    """What a step can spend at most."""

    tokens: int
    micro_usd: int | None
    """None if the price of a model that may be asked is not known."""


class Bounds:
    """Works out upper bounds with the prices and providers of one engine."""

    def __init__(self, providers: Mapping[str, Provider], prices: Prices, settings: Settings) -> None:
        self._providers = providers
        self._prices = prices
        self._settings = settings
        self._alternatives = Alternatives(providers, prices, settings.routing.providers)
        self._rates: dict[tuple[str, str, str, bool], tuple[int, int] | None] = {}

    def refresh(self) -> None:
        """Look the rates of models up again; what providers offer may have changed since the plan before."""
        self._rates.clear()

    def of_step(self, routes: Iterable[Route | None], share: int, total: int) -> Bound:
        """The bound of a step.

        Args:
            routes: The models that it may ask, fallbacks aside.
            share: Tokens that it has a right to.
            total: Tokens that the run has.
        """
        asked = [route for route in routes if route is not None and self._providers[route.provider].charges]
        if not asked:
            return Bound(0, 0)
        tokens = self._tokens(share, total)
        rates = [self._rate(route) for route in asked]
        if None in rates:
            return Bound(tokens, None)
        return Bound(tokens, _cost(tokens, max(rate or (0, 0) for rate in rates)))

    def _tokens(self, share: int, total: int) -> int:
        budget = self._settings.budget
        if not budget.overage_allowed:
            return min(share, total)
        if budget.overage_threshold is None:
            return total
        return min(total, int(share * budget.overage_threshold))

    def _rate(self, route: Route) -> tuple[int, int] | None:
        asked = (route.provider, route.model, route.tier, route.pinned)
        if asked not in self._rates:
            self._rates[asked] = self._dearest(route)
        return self._rates[asked]

    def _dearest(self, route: Route) -> tuple[int, int] | None:
        """Pico-US$ for a token and for a call of the dearest model that may be asked; None if one is not known."""
        others = self._alternatives.fallbacks(route) if self._settings.calls.fallback else ()
        # What is cheaper as a whole may be dearer by the token that is written.
        cheaper = (model for asked in (route, *others) for model in self._alternatives.cheaper(asked))
        found = []
        for candidate in (route, *others, *cheaper):
            try:
                card = self._prices.card(candidate.provider, candidate.model)
            except ProviderError:
                return None
            found += [
                (max(step.input, step.output, step.reasoning, step.cache_read, *step.writes), step.call)
                for step in card.steps
            ]
        return max(rate for rate, _ in found), max(call for _, call in found)


LEAST_CALL = 2
"""Tokens that a call takes at least: one that is read, and one that is written."""


def _cost(tokens: int, rate: tuple[int, int]) -> int:
    """Micro-US$ that so many tokens cost at most.

    What a call costs is rounded up to whole micro-US$. That is counted for calls of `MIN_OUTPUT_TOKENS`; more and
    shorter ones may cost a micro-US$ each beyond the bound, where a token costs a fraction of one.
    """
    per_token, per_call = rate
    calls = tokens // LEAST_CALL if per_call else 0
    rounding = tokens // MIN_OUTPUT_TOKENS if per_token % PICO or per_call % PICO else 0
    return -(-(tokens * per_token + calls * per_call) // PICO) + rounding


def within(bound: Bound, limits: Limits | None) -> Bound:
    """The bound of what has a budget of its own."""
    if limits is None:
        return bound
    return _bound(Curve.of(bound.tokens, bound.micro_usd).cut(limits.tokens, limits.micro_usd))


def of_run(steps: Iterable[Curve], total: int, limit_micro: int | None) -> Bound:
    """The bound of a run: its steps share its tokens, of which the dearest takes as many as it can.

    Args:
        steps: What its steps may spend.
        total: Tokens that it has.
        limit_micro: Micro-US$ that it may spend; None for no limit.
    """
    return _bound(together(steps).cut(total, limit_micro))


def _bound(curve: Curve) -> Bound:
    return Bound(curve.tokens, curve.micro_usd)
