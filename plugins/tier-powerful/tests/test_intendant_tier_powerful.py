from intendant.plugin import ModelOffer, Route, RouteRequest
from intendant.testing import TierContract
from intendant_tier_powerful import PowerfulTier

OFFERS = (ModelOffer(provider="first", models={"powerful": "first-model"}),)


class TestPowerfulTier(TierContract):
    plugin = PowerfulTier
    entry_point = "powerful"


def route(difficulty: float) -> Route | None:
    request = RouteRequest(step_id="s", intent="x", difficulty=difficulty, offers=OFFERS)
    answer = PowerfulTier().route(request)
    assert answer is None or isinstance(answer, Route)
    return answer


def test_declines_no_step_for_its_difficulty() -> None:
    """Whatever the cheaper tiers decline ends here, so that no step is without a tier."""
    assert all(route(score) is not None for score in (0.0, 6.51, 9.9, 10.0))


def test_limits_the_answer() -> None:
    plain = route(1.0)
    assert plain is not None
    assert (plain.max_output_tokens, plain.temperature) == (8192, None)
