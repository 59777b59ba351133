"""Times that are told are times: none is negative, and none is longer than the test."""

import json
from collections.abc import Iterator
from time import time
from typing import Any

from intendant import Workflow
from intendant.plugin import Compression, Compressor, IntentHandler, IntentSpec, Message, ModelRequest, StepResult
from intendant.testing import ScriptedProvider, engine

FLOW = {
    "name": "timed",
    "budget": {"tokens": 20_000},
    "steps": [
        {"id": "a", "intent": "ask", "prompt": "one"},
        {
            "id": "each",
            "for_each": [1, 2],
            "as": "n",
            "steps": [{"id": "b", "intent": "ask", "prompt": "{{ n }}"}],
        },
        {
            "id": "fails",
            "intent": "fail",
            "retry": {"attempts": 2, "delay": 0, "jitter": 0},
            "on_error": "continue",
        },
    ],
}


class Ask(IntentHandler):
    """Compresses, and asks the model."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask it",))

    async def handle(self, request):
        asked = ModelRequest(messages=(Message(content=f"say {request.prompt}"),), max_output_tokens=20)
        fitted = await request.model.fit("word " * 500, 50)
        return StepResult(output=[(await request.model.complete(asked)).text, len(fitted.text)])


class Fail(IntentHandler):
    """Fails."""

    spec = IntentSpec(name="fail", summary="Fail", examples=("Fail",))

    async def handle(self, request):
        raise ValueError("no")


class Half(Compressor):
    """Keeps a part of a text."""

    name = "half"

    def compress(self, request):
        text = request.text[:100]
        return Compression(text=text, tokens_before=500, tokens_after=20, strategy="half", lossless=False)


def figures(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number in a value, with the name under which it stands."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from figures(each, str(key))
    elif isinstance(value, list):
        for each in value:
            yield from figures(each, name)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, value


async def test_every_time_that_is_told_of_a_run_is_one() -> None:
    began = time()
    async with engine(Ask(), Fail(), Half(), ScriptedProvider()) as service:
        result = await service.run(Workflow.model_validate(FLOW))
        events = [event.model_dump(mode="json") for event in await service.events(result.run_id)]
        record = await service.get(result.run_id)
    told = [json.loads(result.model_dump_json()), events, record._asdict()]
    seconds = [(name, value) for name, value in figures(told) if "seconds" in name]
    moments = [(name, value) for name, value in figures(told) if name == "at" or name.endswith("_at")]
    assert len({name for name, _ in seconds}) >= 3
    assert [pair for pair in seconds if not 0 <= pair[1] < 1000] == []
    assert moments
    assert [pair for pair in moments if not began - 1 <= pair[1] <= time() + 1] == []
