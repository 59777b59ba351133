from intendant.plugin import ModelOffer, Route, RouteRequest
from intendant.testing import TierContract
from intendant_tier_balanced import BalancedTier

OFFERS = (ModelOffer(provider="first", models={"balanced": "first-model"}),)


class TestBalancedTier(TierContract):
    plugin = BalancedTier
    entry_point = "balanced"


def route(difficulty: float) -> Route | None:
    request = RouteRequest(step_id="s", intent="x", difficulty=difficulty, offers=OFFERS)
    answer = BalancedTier().route(request)
    assert answer is None or isinstance(answer, Route)
    return answer


def test_leaves_harder_steps_to_stronger_tiers() -> None:
    """The border belongs to this tier; what lies above does not."""
    assert route(5.5) is not None
    assert route(5.5 + 0.01) is None


def test_limits_the_answer() -> None:
    plain = route(1.0)
    assert plain is not None
    assert (plain.max_output_tokens, plain.temperature) == (4096, None)
