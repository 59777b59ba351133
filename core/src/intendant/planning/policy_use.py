"""Whether a policy may be used, which of its models there are, and what is odd about the tiers' models."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from intendant.config.logs import get_logger
from intendant.config.settings import RoutingSettings
from intendant.model.errors import ProviderError
from intendant.model.requests import ModelOffer
from intendant.model.results import Route
from intendant.planning.policies import Policy
from intendant.spending.alternatives import SAMPLE
from intendant.spending.pricing import Prices

log = get_logger("intendant.planning")


def usable_policy(
    settings: RoutingSettings, tiers: Sequence[str], offered: Sequence[ModelOffer], prices: Prices
) -> Policy | None:
    """The policy that the settings name; None if they name none, or it may lose more than they allow.

    What is odd about it, or about the tiers' models, is logged as a warning.

    Raises:
        IntendantError: The file cannot be read, or is no policy.
    """
    for warning in warnings_of_tiers(tiers, offered, prices):
        log.warning("tiers_in_doubt", what=warning)
    if settings.policy is None:
        return None
    policy = Policy.read(settings.policy)
    for model, better in sorted(policy.dominated.items()):
        log.warning("model_dominated", model=model, by=better, policy=str(settings.policy))
    if policy.most_lost > settings.max_loss:
        log.warning(
            "policy_not_used",
            policy=str(settings.policy),
            reason=f"it may lose {100 * policy.most_lost:.1f} points, more than `routing.max_loss` allows",
        )
        return None
    return policy


def routes_of(policy: Policy, of_tiers: Sequence[Route], offered: Sequence[ModelOffer]) -> Iterator[Route]:
    """The models of a policy that no tier has, and that can be asked: those that it names as `provider/model`."""
    known = {f"{route.provider}/{route.model}" for route in of_tiers}
    providers = {offer.provider for offer in offered if offer.charges}
    if not of_tiers:
        return
    for name in policy.models:
        provider, _, model = name.partition("/")
        if name in known or not model or provider not in providers:
            continue
        # It is asked in the shape of the strongest tier, whose answers may be longest.
        yield of_tiers[-1].model_copy(
            update={"provider": provider, "model": model, "reason": "the policy names it"}
        )


def warnings_of_tiers(tiers: Sequence[str], offered: Sequence[ModelOffer], prices: Prices) -> Iterator[str]:
    """Which tiers have dearer models than the tier above them, for a call of usual size.

    Args:
        tiers: Cheapest first.
        offered: The models of the providers.
        prices: What they cost.
    """
    for offer in offered:
        costs = {tier: _cost(prices, offer, tier) for tier in tiers if tier in offer.models}
        known = [(tier, cost) for tier, cost in costs.items() if cost is not None]
        for (lower, cost), (upper, above) in pairwise(known):
            if cost > above:
                yield (
                    f"{offer.provider}: {offer.models[lower]} of tier '{lower}' is dearer than "
                    f"{offer.models[upper]} of '{upper}' ({cost / above:.1f} times, for {SAMPLE[0]} tokens in "
                    f"and {SAMPLE[1]} out); "
                    f'set `plugins.settings."tier:{lower}".model`'
                )


def _cost(prices: Prices, offer: ModelOffer, tier: str) -> int | None:
    try:
        return prices.card(offer.provider, offer.models[tier], free=not offer.charges).worst(*SAMPLE)
    except ProviderError:
        return None
