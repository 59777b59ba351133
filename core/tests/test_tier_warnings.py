"""A plan warns where a tier's model is dearer than that of the tier above it."""

import pytest

from intendant.config.settings import PriceSetting
from intendant.planning.policy_use import warnings_of_tiers
from intendant.plugin import ModelOffer
from intendant.spending.pricing import Prices

TIERS = ("low", "middle", "high")


def warned(*usd: float | None, charges: bool = True, tiers: tuple[str, ...] = TIERS) -> list[str]:
    """The warnings for models that cost so much for a million tokens, of each tier; None: nobody knows."""
    models = {tier: f"m{place}" for place, tier in enumerate(TIERS)}
    hand = {
        f"p/m{place}": PriceSetting(input=price, output=2 * price)
        for place, price in enumerate(usd)
        if price is not None
    }
    offer = ModelOffer(provider="p", models=models, charges=charges)
    return list(warnings_of_tiers(tiers, [offer], Prices(hand)))


@pytest.mark.parametrize("usd", [(1, 2, 3), (1, 1, 1), (None, 2, 3), (1, None, None), (None, None, None)])
def test_tiers_that_become_dearer_give_no_warning(usd) -> None:
    assert warned(*usd) == []


def test_a_dearer_lower_tier_is_named_with_the_one_above_it() -> None:
    (found,) = warned(3, 1, 2)
    assert found.startswith("p: m0 of tier 'low' is dearer than m1 of 'middle' (3.0 times, for ")
    assert found.endswith('set `plugins.settings."tier:low".model`')
    (found,) = warned(3, None, 2)
    assert found.startswith("p: m0 of tier 'low' is dearer than m2 of 'high' (1.5 times, for ")
    assert len(warned(3, 2, 1)) == 2
    assert warned(3, 1, 2, charges=False) == [], "what costs nothing is not dearer"
    assert warned(3, 1, 2, tiers=("low", "high"))[0].startswith("p: m0 of tier 'low' is dearer than m2 of 'high'")
