"""Why the price of a model may be another than the one that is reckoned with."""

from collections.abc import Iterator, Mapping

from intendant.config.settings import PriceSettings
from intendant.hooks.providers import Provider
from intendant.model.results import Route
from intendant.spending.pricing import Prices

DEAREST = 2000.0
"""US$ for a million tokens: more than three times what the dearest model takes."""


def price_doubts(
    prices: Prices, settings: PriceSettings, providers: Mapping[str, Provider], route: Route | None
) -> Iterator[str]:
    """What a plan warns of about the price of its model."""
    if route is None:
        return
    price = settings.models.get(f"{route.provider}/{route.model}")
    if price is not None:
        if (dearest := max(price.input, price.output)) > DEAREST:
            named = f"the price of {route.provider}/{route.model} is set to"
            yield f"{named} {dearest:,.0f} US$ for a million tokens: is that meant?"
        return
    provider = providers[route.provider]
    if not provider.charges:
        return
    days = prices.days_old()
    if days is not None and days > settings.warn_after_days:
        yield (
            f"the newest price in the price data began {days} days ago: upgrade the package genai-prices, or set "
            f'prices.models."{route.provider}/{route.model}"'
        )
    if (why := provider.surcharge()) and route.provider not in settings.factors:
        yield f"{why}: if it costs more than usual, set prices.factors.{route.provider}, such as 1.1"
