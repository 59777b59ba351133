"""What every tier inherits."""

import pytest

from intendant import SettingsError
from intendant.plugin import ModelOffer, RouteRequest, Tier


class Plain(Tier):
    """A tier."""

    name = "plain"


OFFERS = (
    ModelOffer(provider="zeroth", models={"some_other_tier": "m"}),
    ModelOffer(provider="first", models={"plain": "first-model"}),
    ModelOffer(provider="second", models={"plain": "second-model"}),
)


def route(difficulty=1.0, **settings):
    return Plain(settings).route(RouteRequest(step_id="s", intent="x", difficulty=difficulty, offers=OFFERS))


def test_prefers_the_first_provider_that_has_a_model_for_it() -> None:
    found = route()
    assert (found.provider, found.model) == ("first", "first-model")


def test_a_named_model_is_taken_from_its_provider_only() -> None:
    named = route(model="second/special")
    assert (named.provider, named.model) == ("second", "special")
    assert route(model="absent/special") is None


def test_the_border_can_be_moved_and_belongs_to_the_tier() -> None:
    assert route(0.5, max_difficulty=0.5) is not None
    assert route(0.6, max_difficulty=0.5) is None


def test_the_route_carries_the_longest_answer_and_the_temperature() -> None:
    warm = route(max_output_tokens=77, temperature=0.5)
    assert (warm.max_output_tokens, warm.temperature) == (77, 0.5)
    assert route().temperature is None


def test_a_wrong_setting_says_which() -> None:
    with pytest.raises(SettingsError, match="max_output_tokens"):
        Plain({"max_output_tokens": "many"})
