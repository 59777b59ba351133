"""What model calls cost, in millionths of a US dollar.

Prices come from the data of the package genai-prices, offline, or from the settings. A model whose price is not
known is refused where a limit in dollars is to be kept: an unknown price is not zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from intendant.config.settings import PriceSetting
from intendant.model.errors import ProviderError
from intendant.model.results import Usage


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one call."""

    micro_usd: int
    version: str
    """Where the price came from: the data's version, or `settings`."""


class Prices:
    """Looks prices up.

    Args:
        by_hand: Prices from the settings, by `provider/model`; they win.
    """

    def __init__(self, by_hand: Mapping[str, PriceSetting] | None = None) -> None:
        self._by_hand = by_hand or {}

    def of(self, provider: str, model: str, usage: Usage, *, free: bool = False) -> Price:
        """The price of *usage*, rounded up.

        Args:
            provider: The provider's name.
            model: The model's name.
            usage: Tokens; its own `micro_usd` is not looked at.
            free: The provider asks no model and charges nothing.

        Raises:
            ProviderError: The price is not known.
        """
        if free:
            return Price(0, "free")
        if (hand := self._by_hand.get(f"{provider}/{model}")) is not None:
            return Price(ceil(usage.input_tokens * hand.input + usage.output_tokens * hand.output), "settings")
        from genai_prices import Usage as PricedUsage
        from genai_prices import calc_price

        priced = PricedUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens or None,
        )
        try:
            total = calc_price(priced, model, provider_id=provider).total_price
        except LookupError:
            raise ProviderError(
                f"the price of {provider}/{model} is not known",
                hint=f'set it, in US$ per million tokens: prices.models."{provider}/{model}" = '
                "{ input = …, output = … }",
                billed=False,
            ) from None
        return Price(ceil(total * 1_000_000), _data_version())


@lru_cache(maxsize=1)
def _data_version() -> str:
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"
