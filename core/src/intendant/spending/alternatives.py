"""The models that providers offer, and the alternatives to a model: fallbacks and cheaper ones."""

from collections.abc import Iterator, Mapping, Sequence

from intendant.config.logs import get_logger
from intendant.hooks.providers import Provider
from intendant.model.errors import ProviderError, SettingsError
from intendant.model.requests import ModelOffer, OfferedModel
from intendant.model.results import Route
from intendant.spending.pricing import PICO, Prices

log = get_logger("intendant.plugins")
SAMPLE = (1000, 300)
"""Input and output tokens of the call by which prices are compared."""


def offers(
    providers: Mapping[str, Provider], preferred: Sequence[str] = (), prices: Prices | None = None
) -> tuple[ModelOffer, ...]:
    """The offers of the providers that are available now.

    Args:
        providers: The providers, by name, in order.
        preferred: Names of the providers that come first.
        prices: The prices of models; without them, offers have no catalogue.
    """
    names = [name for name in preferred if name in providers]
    names += [name for name in providers if name not in names]
    found = (_offer(name, providers[name], prices) for name in names)
    return tuple(offer for offer in found if offer is not None)


def _offer(name: str, provider: Provider, prices: Prices | None) -> ModelOffer | None:
    """The offer of a provider; None if it is unavailable or its code fails."""
    try:
        if not provider.available():
            return None
        known = () if prices is None else tuple(_described(name, provider, prices))
        models = dict(provider.models())
        return ModelOffer(provider=name, models=models, catalogue=known, charges=provider.charges)
    except SettingsError as error:
        log.warning("provider_not_offered", provider=name, reason=str(error))
        return None
    except Exception:
        log.exception("plugin_raised", plugin=f"provider:{name}")
        return None


def _described(name: str, provider: Provider, prices: Prices) -> Iterator[OfferedModel]:
    """All models of a provider, with their prices and capabilities."""
    for model in provider.catalogue():
        try:
            card = prices.card(name, model, free=not provider.charges)
            usd: tuple[float | None, float | None] = (card.steps[0].input / PICO, card.steps[0].output / PICO)
        except ProviderError:
            usd = (None, None)
        yield OfferedModel(
            name=model,
            input_usd=usd[0],
            output_usd=usd[1],
            window=provider.context_window(model),
            images=provider.images,
            tools=provider.tools,
        )


def misconfigured(providers: Mapping[str, Provider]) -> SettingsError | None:
    """The settings error of the first available provider that cannot name its models; None if there is none."""
    for provider in providers.values():
        try:
            if provider.available():
                provider.models()
        except SettingsError as error:
            return error
        except Exception:  # noqa: BLE001, S112  # logged where it is offered
            continue
    return None


class Alternatives:
    """Finds other models for a route.

    Args:
        providers: The providers, by name, in order.
        prices: The prices of their models.
        preferred: Names of the providers that come first.
    """

    def __init__(self, providers: Mapping[str, Provider], prices: Prices, preferred: Sequence[str] = ()) -> None:
        self._providers = providers
        self._prices = prices
        self._preferred = preferred

    def fallbacks(self, route: Route) -> tuple[Route, ...]:
        """The models of other providers for the same tier, preferred providers first.

        Providers without a model are left out: extracted sentences replace the answer of a model only if a person
        configures that.
        """
        if route.pinned or not self._providers[route.provider].charges:
            return ()
        return tuple(
            route.model_copy(
                update={
                    "provider": offer.provider,
                    "model": offer.models[route.tier],
                    "reason": f"{route.provider} did not answer",
                }
            )
            for offer in offers(self._providers, self._preferred)
            if offer.provider != route.provider and offer.charges and route.tier in offer.models
        )

    def cheaper(self, route: Route) -> tuple[Route, ...]:
        """The cheaper models of the same provider for other tiers, most expensive first."""
        found = next((offer for offer in offers(self._providers) if offer.provider == route.provider), None)
        own = self._cost(route.provider, route.model)
        if route.pinned or found is None or own is None:
            return ()
        costs = {tier: self._cost(route.provider, model) for tier, model in found.models.items()}
        less = {tier: cost for tier, cost in costs.items() if cost is not None and cost < own}
        reason = f"the money left does not pay for {route.model}"
        return tuple(
            route.model_copy(update={"tier": tier, "model": found.models[tier], "reason": reason})
            for tier in sorted(less, key=lambda tier: -less[tier])
        )

    def _cost(self, provider: str, model: str) -> int | None:
        try:
            return self._prices.card(provider, model).worst(*SAMPLE)
        except ProviderError:
            return None
