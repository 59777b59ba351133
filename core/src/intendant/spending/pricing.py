"""What model calls cost, in millionths of a US dollar.

Prices come from the data of the package genai-prices, offline, or from the settings. Looking one up there takes a
fifth of a millisecond, so that each model's rates are compiled once, into whole numbers. A model whose price is
not known is refused where a limit in dollars is to be kept: an unknown price is not zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from intendant.config.settings import PriceSetting
from intendant.model.errors import ProviderError
from intendant.model.results import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

Lane = Literal["standard", "batch"]
"""Calls that are answered at once, or those that may wait for hours and cost less."""
PICO = 1_000_000
"""Rates are in millionths of a micro-US$ for each token: US$ per million tokens, times this."""
FREE = "free"
_DATA = "genai-prices"


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one call."""

    micro_usd: int
    version: str
    """Where the price came from: the data's version, or `settings`."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What tokens of one model cost, for prompts from a certain length on.

    All figures but `above` are in pico-US$ (millionths of a micro-US$) for each token. What is read from a prompt
    cache, written to it, or written by a model to think, costs what its kind costs where no price of its own is
    published.
    """

    above: int
    """These hold for prompts of more tokens than this."""
    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    reasoning: int
    call: int = 0
    """For each call, whatever its length."""

    @property
    def writes(self) -> tuple[int, int]:
        """What is written to a prompt cache, for minutes and for an hour."""
        return self.cache_write, self.cache_write_1h

    def cost(self, usage: Usage) -> int:
        """Micro-US$ of *usage*, rounded up."""
        plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens - usage.cache_write_1h_tokens
        total = (
            self.call
            + max(0, plain) * self.input
            + usage.cached_tokens * self.cache_read
            + usage.cache_write_tokens * self.cache_write
            + usage.cache_write_1h_tokens * self.cache_write_1h
            + (usage.output_tokens - usage.reasoning_tokens) * self.output
            + usage.reasoning_tokens * self.reasoning
        )
        return -(-total // PICO)

    def worst(self, input_tokens: int, output_tokens: int, ttl: Literal["", "5m", "1h"]) -> int:
        """The most micro-US$ that so many tokens can cost; see `RateCard.worst`."""
        written = {"": self.input, "5m": self.cache_write, "1h": max(self.cache_write, self.cache_write_1h)}
        given = max(self.input, self.cache_read, written[ttl])
        total = self.call + input_tokens * given + output_tokens * max(self.output, self.reasoning)
        return -(-total // PICO)


@dataclass(frozen=True, slots=True)
class RateCard:
    """All rates of one model: the steps of a staircase, lowest first, of which one holds for a whole call."""

    steps: tuple[Rates, ...]
    version: str

    def at(self, input_tokens: int) -> Rates:
        """The rates for a prompt of *input_tokens*. Crossing a threshold makes the whole call dearer."""
        return next(step for step in reversed(self.steps) if input_tokens > step.above)

    def worst(self, input_tokens: int, output_tokens: int, ttl: Literal["", "5m", "1h"] = "") -> int:
        """The most micro-US$ that a call can cost which is not longer than this.

        Args:
            input_tokens: At most.
            output_tokens: At most.
            ttl: How long all of the input may be kept in the provider's prompt cache; empty if it is not.
        """
        return max(
            step.worst(input_tokens, output_tokens, ttl) for step in self.steps if input_tokens > step.above
        )

    def price(self, usage: Usage) -> Price:
        """The price of *usage*, rounded up."""
        return Price(self.at(usage.input_tokens).cost(usage), self.version)


FREE_CARD = RateCard((Rates(-1, 0, 0, 0, 0, 0, 0),), FREE)


class Prices:
    """Looks prices up.

    Args:
        by_hand: Prices from the settings, by `provider/model`; they win.
        now: The time, for prices that begin on a day or hold for hours of it.
        factors: What the other prices of a provider are multiplied by.
    """

    def __init__(
        self,
        by_hand: Mapping[str, PriceSetting] | None = None,
        now: Callable[[], datetime] | None = None,
        factors: Mapping[str, float] | None = None,
    ) -> None:
        self._by_hand = by_hand or {}
        self._factors = factors or {}
        self._now = now or (lambda: datetime.now(UTC))
        self._cards: dict[tuple[str, str, Lane], tuple[RateCard, datetime | None]] = {}

    def of(self, provider: str, model: str, usage: Usage, *, free: bool = False, lane: Lane = "standard") -> Price:
        """The price of *usage*, rounded up.

        Args:
            provider: The provider's name.
            model: The model's name.
            usage: Tokens; its own `micro_usd` is not looked at.
            free: The provider asks no model and charges nothing.
            lane: How the call was sent.

        Raises:
            ProviderError: The price is not known.
        """
        return self.card(provider, model, lane, free=free).price(usage)

    def card(self, provider: str, model: str, lane: Lane = "standard", *, free: bool = False) -> RateCard:
        """All rates of a model.

        Raises:
            ProviderError: The price is not known.
        """
        if free:
            return FREE_CARD
        key = (provider, model, lane)
        card, until = self._cards.get(key, (None, None))
        if card is None or (until is not None and self._now() >= until):
            card, until = self._compiled(*key)
            self._cards[key] = card, until
        return card

    def _compiled(self, provider: str, model: str, lane: Lane) -> tuple[RateCard, datetime | None]:
        if (hand := self._by_hand.get(f"{provider}/{model}")) is not None:
            return RateCard((_by_hand(hand, lane),), "settings"), None
        info = _known(provider, model)
        now = self._now()
        found = info.get_prices(now, {"processing": "batch"} if lane == "batch" else None)
        if getattr(found, "input_mtok", None) is None:  # it is paid by the hour, or the page: not known either
            raise _not_known(provider, model)
        # Prices may begin on a day or hold for a part of one, such as from 16:30 on: borders are on full minutes.
        until = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        factor = self._factors.get(provider, 1.0)
        version = _data_version() if factor == 1.0 else f"{_data_version()} times {factor:g}"
        return RateCard(_steps(found, factor), version), until

    def days_old(self) -> int | None:
        """Days since the newest price in the data began; None if none in use is from the data. What the data
        announces for days to come does not count.
        """
        if not any(card.version.startswith(_DATA) for card, _ in self._cards.values()):
            return None
        today = self._now().date()
        begun = [day for day in _first_days() if day <= today]
        return (today - max(begun)).days if begun else None


def known_models(provider: str) -> tuple[str, ...]:
    """Models of *provider* that the price data names; none where it does not know the provider."""
    from genai_prices.data_snapshot import get_snapshot

    found = (item for item in get_snapshot().providers if item.id == provider)
    return tuple(model.id for item in found for model in item.models)


def _known(provider: str, model: str) -> "ModelInfo":
    from genai_prices.data_snapshot import get_snapshot

    try:
        return get_snapshot().find_provider_model(model, None, provider, None)[1]
    except LookupError:
        raise _not_known(provider, model) from None


def _not_known(provider: str, model: str) -> ProviderError:
    return ProviderError(
        f"the price of {provider}/{model} is not known",
        hint=f'set it in US$ per million tokens, in intendant.toml: [prices.models."{provider}/{model}"] '
        "input = …, output = …",
        billed=False,
    )


def _by_hand(hand: PriceSetting, lane: Lane) -> Rates:
    part = hand.batch if lane == "batch" else 1.0
    read = hand.input if hand.cache_read is None else hand.cache_read
    write = hand.input if hand.cache_write is None else hand.cache_write
    long = write if hand.cache_write_1h is None else hand.cache_write_1h
    return Rates(
        above=-1,
        input=_pico(hand.input * part),
        output=_pico(hand.output * part),
        cache_read=_pico(read * part),
        cache_write=_pico(write * part),
        cache_write_1h=_pico(long * part),
        reasoning=_pico(hand.output * part),
    )


def _steps(found: "ModelPrice", factor: float) -> tuple[Rates, ...]:
    """The staircase of a model's prices."""
    named = {name: value for name, value in vars(found).items() if value is not None}
    tiers = {tier.start for value in named.values() for tier in getattr(value, "tiers", ())}
    return tuple(_rates(named, above, Decimal(str(factor))) for above in (-1, *sorted(tiers)))


def _rates(named: Mapping[str, Any], above: int, factor: Decimal) -> Rates:
    def rate(*names: str) -> int:
        """The first of *names* that has a price."""
        found = next((named[name] for name in names if name in named), 0)
        return _pico(Decimal(str(_at(found, above))) * factor)

    return Rates(
        above=above,
        input=rate("input_mtok"),
        output=rate("output_mtok"),
        cache_read=rate("cache_read_mtok", "input_mtok"),
        cache_write=rate("cache_write_mtok", "input_mtok"),
        cache_write_1h=rate("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
        reasoning=rate("output_reasoning_mtok", "output_mtok"),
        call=rate("requests_kcount") * 1000,  # dollars for a thousand of them, where the others are for a million
    )


def _at(value: Any, above: int) -> Any:
    """A price for prompts of more than *above* tokens."""
    reached = [tier.price for tier in getattr(value, "tiers", ()) if tier.start <= above]
    return reached[-1] if reached else getattr(value, "base", value)


def _pico(dollars: Decimal | float) -> int:
    """US$ for a million tokens as whole pico-US$ for one, rounded up."""
    return ceil(Decimal(str(dollars)) * PICO)


@lru_cache(maxsize=1)
def _data_version() -> str:
    from importlib.metadata import version

    return f"{_DATA} {version('genai-prices')}"


@lru_cache(maxsize=1)
def _first_days() -> frozenset[date]:
    """The days on which prices of the data begin."""
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import StartDateConstraint

    return frozenset(
        item.constraint.start_date
        for provider in get_snapshot().providers
        for model in provider.models
        if isinstance(model.prices, list)
        for item in model.prices
        if isinstance(item.constraint, StartDateConstraint)
    )
