"""Upper bounds of what a plan can spend, in tokens and in money.

A step may spend its share and, where overage is allowed, whatever other steps leave, up to what the run has. Every
call holds its worst case first, so no step and no run can pass these bounds, whatever is retried, repaired or
falls back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from intendant.config.settings import Settings
from intendant.hooks.providers import Provider
from intendant.model.errors import ProviderError
from intendant.model.graph_keys import Limits
from intendant.model.results import Route
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
        rates = [self._dearest(route) for route in asked]
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

    def _dearest(self, route: Route) -> tuple[int, int] | None:
        """Pico-US$ for a token and for a call of the dearest model that may be asked; None if one is not known."""
        fallbacks = self._alternatives.fallbacks(route) if self._settings.calls.fallback else ()
        found = []
        for candidate in (route, *fallbacks):
            try:
                card = self._prices.card(candidate.provider, candidate.model)
            except ProviderError:
                return None
            found += [
                (max(step.input, step.output, step.reasoning, step.cache_read, *step.writes), step.call)
                for step in card.steps
            ]
        return max(found)


def _cost(tokens: int, rate: tuple[int, int]) -> int:
    per_token, per_call = rate
    calls = tokens // MIN_OUTPUT_TOKENS  # a call that could not answer with so many tokens is not sent
    return -(-(tokens * per_token + calls * per_call) // PICO)


def within(bound: Bound, limits: Limits | None) -> Bound:
    """The bound of what has a budget of its own."""
    if limits is None:
        return bound
    tokens = bound.tokens if limits.tokens is None else min(bound.tokens, limits.tokens)
    if limits.micro_usd is None:
        return Bound(tokens, bound.micro_usd if tokens == bound.tokens else _scaled(bound, tokens))
    known = bound.micro_usd
    return Bound(tokens, limits.micro_usd if known is None else min(_scaled(bound, tokens) or 0, limits.micro_usd))


def _scaled(bound: Bound, tokens: int) -> int | None:
    """The cost of so many of its tokens; calls cost by the token, so that it is in proportion."""
    if bound.micro_usd is None or not bound.tokens:
        return bound.micro_usd
    return -(-bound.micro_usd * tokens // bound.tokens)


def of_run(steps: Sequence[Bound], total: int, limit_micro: int | None) -> Bound:
    """The bound of a run: its steps share its tokens, of which the dearest takes as many as it can.

    Args:
        steps: The bounds of its steps.
        total: Tokens that it has.
        limit_micro: Micro-US$ that it may spend; None for no limit.
    """
    left, micro, known = total, 0, True
    rate = [(bound.micro_usd or 0) / bound.tokens if bound.tokens else 0.0 for bound in steps]
    for index in sorted(range(len(steps)), key=lambda index: -rate[index]):
        bound = steps[index]
        known = known and bound.micro_usd is not None
        taken = min(bound.tokens, left)
        left -= taken
        micro += -(-(bound.micro_usd or 0) * taken // bound.tokens) if bound.tokens else 0
    if not known:
        return Bound(total - left, limit_micro)
    return Bound(total - left, micro if limit_micro is None else min(micro, limit_micro))
