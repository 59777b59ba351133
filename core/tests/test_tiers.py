"""What every tier inherits."""

import pytest

from intendant import SettingsError, Workflow
from intendant.plugin import (
    IntentHandler,
    IntentSpec,
    Message,
    ModelOffer,
    ModelRequest,
    OfferedModel,
    RouteRequest,
    StepResult,
    Tier,
    cheapest,
)
from intendant.testing import ScriptedProvider, engine, run_steps


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


# --- tiers of which providers have never heard ---


class Seeing(Tier):
    """Models that see pictures."""

    name = "seeing"
    rank = 60

    def choose(self, models):
        return cheapest(models, images=True)


class Ask(IntentHandler):
    """Asks a model."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask it",))

    async def handle(self, request):
        asked = ModelRequest(messages=(Message(content="hello"),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(asked)).model)


class Catalogued(ScriptedProvider):
    """Has models that no tier is named for."""

    images = True

    def models(self):
        return {"fast": "scripted-1"}

    def catalogue(self):
        return ("scripted-1", "dear", "unpriced", "cheap")

    def context_window(self, model):
        return 1000 if model == "cheap" else 100_000


PRICES = {"dear": 9.0, "cheap": 0.5, "scripted-1": 1.0}
SETTINGS = {
    "prices": {"models": {f"scripted/{name}": {"input": usd, "output": 2 * usd} for name, usd in PRICES.items()}}
}


async def test_a_tier_of_a_third_party_gets_a_model_by_what_it_can_and_costs() -> None:
    step = {"id": "a", "intent": "ask", "tier": "seeing"}
    result = await run_steps([step], Ask(), Seeing(), Catalogued(), **SETTINGS)
    assert result.outputs == {"a": "cheap"}


async def test_what_providers_offer_says_price_window_and_abilities() -> None:
    async with engine(Ask(), Seeing(), Catalogued(), settings=SETTINGS) as service:
        flow = Workflow.model_validate({"name": "w", "steps": [{"id": "a", "intent": "ask"}]})
        assert (await service.plan(flow)).steps[0].route.model == "cheap"
    known = OfferedModel(name="cheap", input_usd=0.5, output_usd=1.0, window=1000, images=True, tools=True)
    async with engine(Ask(), Watching(), Catalogued(), settings=SETTINGS) as service:
        await service.plan(flow)
    seen = {model.name: model for model in Watching.seen}
    assert seen["cheap"] == known
    assert (seen["unpriced"].input_usd, seen["dear"].input_usd) == (None, 9.0)


class Watching(Tier):
    """Remembers what it could choose from."""

    name = "watching"
    seen = ()

    def choose(self, models):
        type(self).seen = models


MODELS = (
    OfferedModel(name="blind", input_usd=0.1, output_usd=0.1),
    OfferedModel(name="dear", input_usd=5, output_usd=9, window=10_000, images=True, tools=True),
    OfferedModel(name="cheap", input_usd=1, output_usd=2, window=1000, images=True),
    OfferedModel(name="unknown", images=True, tools=True),
)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "blind"),
        ({"images": True}, "cheap"),
        ({"images": True, "window": 5000}, "dear"),
        ({"tools": True}, "dear"),
        ({"tools": True, "window": 50_000}, "unknown"),
    ],
)
def test_the_cheapest_that_can_do_it_is_found(wanted, found) -> None:
    assert cheapest(MODELS, **wanted) == found


def test_there_may_be_none_that_can_do_it() -> None:
    assert cheapest(MODELS[:1], images=True) is None
