"""What a classifier that asks a model may take: a budget of its own, and text that fits as it is."""

from typing import Any

import pytest

from intendant import IntendantError, Workflow
from intendant.plugin import (
    Classification,
    Classifier,
    IntentHandler,
    IntentSpec,
    Message,
    ModelRequest,
    StepResult,
    TokenCounting,
)
from intendant.testing import ScriptedProvider, engine


class Letters(ScriptedProvider):
    """Takes a token for each letter."""

    def token_counting(self, model):
        return TokenCounting(len, exact=True, message=0)

    def context_window(self, model):
        return 9000


class Keep(IntentHandler):
    """Keeps."""

    spec = IntentSpec(name="keep", summary="Keep", examples=("Keep",))

    async def handle(self, request):
        return StepResult(output=1)


class Asks(Classifier):
    """Does what the test says with the model."""

    name = "asks"
    asks_model = True

    def __init__(self, does) -> None:
        super().__init__()
        self._does, self.found = does, None

    async def classify(self, request):
        if request.model is None:
            return None
        self.found = await self._does(request.model)
        return Classification(intent="keep", confidence=1.0, method="asks")


async def asked(does) -> Any:
    """What a classifier comes to that may take 1,000 tokens."""
    asks = Asks(does)
    flow = Workflow.model_validate({"name": "t", "steps": [{"id": "a", "prompt": "keep it"}]})
    async with engine(Keep(), Letters("yes"), asks, settings={"classification": {"tokens": 1000}}) as service:
        result = await service.run(flow)
    assert result.outputs == {"a": 1}
    return asks.found


async def test_a_classifier_has_tokens_of_its_own_which_its_calls_take() -> None:
    async def does(model):
        before = model.tokens_left
        await model.complete(ModelRequest(messages=(Message(content="x" * 100),), max_output_tokens=50))
        return (
            before,
            model.tokens_left,
            model.tokens_total,
            model.context_window,
            model.count("four"),
            model.stronger(),
        )

    before, after, total, window, four, stronger = await asked(does)
    assert (before, total, window, four, stronger) == (1000, 1000, 9000, 4, None)
    assert after == 950, "48 for the question and 2 for the answer, as reported"


@pytest.mark.parametrize(
    ("length", "said", "fits"),
    [
        (750, {}, True),
        (751, {}, False),
        (500, {"share": 0.5}, True),
        (501, {"share": 0.5}, False),
        (490, {"share": 0.5, "overhead": "x" * 10}, True),
        (491, {"share": 0.5, "overhead": "x" * 10}, False),
        (2000, {"room": 2000}, True),
        (2001, {"room": 2000}, False),
    ],
)
async def test_text_is_given_to_a_classifier_as_it_is_where_it_fits(length, said, fits) -> None:
    async def does(model):
        try:
            return await model.fit("x" * length, **said)
        except IntendantError as error:
            return str(error)

    found = await asked(does)
    if fits:
        assert (found.text, found.tokens_before, found.tokens_after) == ("x" * length, length, length)
        assert (found.strategy, found.lossless) == ("none", True)
    else:
        assert found == f"{length} tokens do not fit into the 1000 that are left for classifying"
