from typing import Any

import pytest

from intendant import ModelOffer, Route, RouteRequest, SettingsError
from intendant.testing import TierContract
from intendant_tier_balanced import BalancedTier

OFFERS = (
    ModelOffer(provider="first", models={"balanced": "first-model"}),
    ModelOffer(provider="second", models={"balanced": "second-model"}),
)


class TestBalancedTier(TierContract):
    plugin = BalancedTier
    entry_point = "balanced"


def route(difficulty: float, *, settings: dict[str, Any] | None = None, **more: Any) -> Route | None:
    request = RouteRequest(step_id="s", intent="x", difficulty=difficulty, **{"offers": OFFERS, **more})
    answer = BalancedTier(settings).route(request)
    assert answer is None or isinstance(answer, Route)
    return answer


def test_leaves_harder_steps_to_stronger_tiers() -> None:
    """The border belongs to this tier; what lies above does not."""
    assert route(6.5) is not None
    assert route(6.5 + 0.01) is None


def test_limits_the_answer() -> None:
    """The route carries the tier's longest answer, and no temperature unless one is set."""
    plain, warm = route(1.0), route(1.0, settings={"max_output_tokens": 77, "temperature": 0.5})
    assert plain is not None
    assert warm is not None
    assert (plain.max_output_tokens, plain.temperature) == (4096, None)
    assert (warm.max_output_tokens, warm.temperature) == (77, 0.5)


def test_prefers_the_first_provider_that_has_a_model_for_it() -> None:
    other = ModelOffer(provider="zeroth", models={"some_other_tier": "m"})
    found = route(1.0, offers=(other, *OFFERS))
    assert found is not None
    assert (found.provider, found.model) == ("first", "first-model")


def test_a_named_model_is_taken_from_its_provider_only() -> None:
    named = route(1.0, settings={"model": "second/special"})
    assert named is not None
    assert (named.provider, named.model) == ("second", "special")
    assert route(1.0, settings={"model": "absent/special"}) is None


def test_border_can_be_moved() -> None:
    assert route(0.6, settings={"max_difficulty": 0.5}) is None


def test_a_wrong_setting_says_which() -> None:
    with pytest.raises(SettingsError, match="max_output_tokens"):
        BalancedTier({"max_output_tokens": "many"})
