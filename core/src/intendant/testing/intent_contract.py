"""What intent handlers promise, as tests."""

import asyncio
import copy
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from intendant.hooks.bases import IntentHandler, Plugin
from intendant.hooks.providers import Hold
from intendant.model.errors import IntendantError
from intendant.model.requests import ModelRequest, StepRequest
from intendant.model.results import ModelReply, RunResult, StepResult
from intendant.model.workflow import Json, Workflow
from intendant.testing.contract_base import PluginContract
from intendant.testing.fakes import ScriptedProvider, engine, run_steps
from intendant.testing.hostile import BAD_ANSWERS, HOSTILE, NoProvider
from intendant.testing.samples import sample_of
from intendant.testing.watching import cancelled_within, watched

EXAMPLES = 5
AT_ONCE = 20
"""So many times a step is done at the same time."""

INPUTS: tuple[Json, ...] = (
    None,
    "",
    "Order 17 of 2026-03-04 for Ada Lovelace is NOT paid: 1,250.00 EUR are open. See https://example.org/17.",
    [
        {"id": 1, "name": "Ada", "total": 12.5},
        {"id": 2, "name": "Bo", "total": None},
        {"id": 2, "name": "Çağ"},
    ],
    [1, "two", None, {"three": [3]}],
    {"rows": [{"a": 1}], "next": None},
    17,
)
"""Inputs that any handler may meet; it answers, or refuses with a `StepError`."""


class _Fitting(ScriptedProvider):
    """Answers with the smallest JSON that fits the schema it is asked for, or with a word."""

    def __init__(self) -> None:
        super().__init__(self._fitting)

    @staticmethod
    def _fitting(request: ModelRequest) -> str:
        import json

        return json.dumps(sample_of(request.json_schema)) if request.json_schema else "fine"


class _Silent(ScriptedProvider):
    """Never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        """Waits until it is cancelled."""
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError((hold, request))


class IntentContract(PluginContract):
    """What intent handlers promise."""

    plugin: ClassVar[type[IntentHandler]]
    steps: ClassVar[tuple[dict[str, Json], ...]] = ()
    """Steps that it can do, besides those the contract makes up of its parameters. The contract sets their ids and
    intents; a scripted provider answers with what fits the schema that it is asked for.
    """

    beside: ClassVar[tuple[type[Plugin], ...]] = ()
    """Plugins that its steps need, such as a connector."""

    def test_declares_its_intent(self) -> None:
        """It has five different example steps or more, and a one-line summary."""
        spec = self.make().spec
        assert len(set(spec.examples)) >= EXAMPLES, "five different examples teach the classifier"
        assert spec.summary
        assert "\n" not in spec.summary

    @pytest.mark.parametrize("value", INPUTS, ids=lambda value: type(value).__name__)
    @watched
    async def test_answers_or_refuses_any_input(self, value: Json) -> None:
        """Whatever comes in, it answers with JSON or refuses with a user's error, and changes nothing."""
        extras: tuple[dict[str, Json], ...] = ({}, {"prompt": "Do what you are for"}, {"with": {}})
        for extra in extras:
            step = {"id": "a", "intent": self.make().name, "input": "{{ inputs.value }}", **extra}
            made, changed = _guarded(self.make())
            try:
                result = await run_steps([step], made, ScriptedProvider("{}"), inputs={"value": value})
            except IntendantError:
                continue  # refused before the run
            failure = result.steps["a"].failure
            refused = failure is None or "raised" not in failure.message
            assert refused, f"on {value!r} with {extra}: {failure}"
            assert not changed, f"it changed its {changed[0]}: another step may have the same"

    @pytest.mark.parametrize("name", HOSTILE)
    @watched
    async def test_its_own_steps_stand_hostile_data(self, name: str) -> None:
        """The steps given as `steps` answer with JSON, or refuse with a user's error, whatever they work on."""
        for given in self.steps:
            step = {**given, "id": "a", "intent": self.make().name, "input": "{{ inputs.value }}"}
            beside = (plugin() for plugin in self.beside)
            try:
                result = await run_steps([step], self.make(), *beside, inputs={"value": HOSTILE[name]})
            except IntendantError:
                continue  # refused before the run
            failure = result.steps["a"].failure
            assert failure is None or failure.code != "plugin_raised", f"on {name}: {failure}"

    @pytest.mark.parametrize("name", BAD_ANSWERS)
    @watched
    async def test_stands_a_model_that_answers_badly(self, name: str) -> None:
        """Data that does not fit is not given out; every call that was made is accounted for."""
        shape: Json = {"type": "object", "required": ["wanted"], "properties": {"wanted": {"type": "string"}}}
        for value in ([{"id": 1, "text": "one"}, {"id": 2, "text": "two"}], "A text."):
            for extra in ({}, {"output": shape}):
                asked = {"input": "{{ inputs.value }}", "prompt": "Do it", **extra}
                step = {"id": "a", "intent": self.make().name, **asked}
                provider = ScriptedProvider(BAD_ANSWERS[name])
                try:
                    result = await run_steps([step], self.make(), provider, inputs={"value": value})
                except IntendantError:
                    continue  # it asks no model, or none about this
                outcome = result.steps["a"]
                failure = outcome.failure
                assert failure is None or failure.code != "plugin_raised", f"{name}: {failure}"
                assert outcome.usage.calls == len(provider.calls), "a call is not accounted for"
                if "output" in extra and failure is None and provider.calls:
                    assert isinstance(outcome.output, dict), f"{name} was given out as {outcome.output!r}"

    @watched
    async def test_without_a_provider_it_says_so(self) -> None:
        """Where no model can be asked, a step that needs one is refused or fails with a user's error."""
        step = {"id": "a", "intent": self.make().name, "input": [{"id": 1}], "prompt": "Do it"}
        try:
            result = await run_steps([step], self.make(), NoProvider())
        except IntendantError:
            return
        outcome = result.steps["a"]
        assert outcome.usage.calls == 0
        assert outcome.failure is None or outcome.failure.code != "plugin_raised", outcome.failure

    @watched
    async def test_does_its_own_steps(self) -> None:
        """It can do the steps given as `steps`, many at once; without any, one of those that the contract makes of
        its parameters.
        """
        if self.steps:
            for step in self.steps:
                result = await self._done(step, AT_ONCE)
                assert not result.failures, result.failures
            return
        for step in self._derived():
            try:
                result = await self._done(step, AT_ONCE)
            except IntendantError:
                continue
            if not result.failures:
                return
        self.unsaid("name `steps` that the handler can do: it did none of those that the contract made up")

    @watched
    async def test_ends_when_it_is_cancelled(self) -> None:
        """A step that waits for a model ends at once when its run is cancelled: the handler lets `CancelledError`
        through.
        """
        waited = 0
        for step in (*self.steps, *self._derived()):
            made, provider = self.make(), _Silent()
            flow = Workflow.model_validate({"name": "t", "steps": [{**step, "id": "a", "intent": made.name}]})
            async with engine(made, provider, *(plugin() for plugin in self.beside)) as service:
                run = asyncio.create_task(service.run(flow))
                asked = asyncio.create_task(provider.asked.wait())
                await asyncio.wait({run, asked}, return_when=asyncio.FIRST_COMPLETED)
                asked.cancel()
                if run.done():
                    run.exception()  # it asked no model
                    continue
                assert await cancelled_within(run), "it does not end when it is cancelled"
                waited += 1
        if not waited:
            pytest.skip(f"{self.plugin.__name__} asks no model in any of the steps")

    async def _done(self, step: dict[str, Json], times: int = 1) -> RunResult:
        made = self.make()
        many = [{**step, "id": f"s{number}", "intent": made.name} for number in range(times)]
        return await run_steps(many, made, _Fitting(), *(plugin() for plugin in self.beside))

    def _derived(self) -> Iterator[dict[str, Json]]:
        """Steps with the smallest parameters that the handler takes."""
        least = sample_of(self.make().Parameters.model_json_schema())
        for value in INPUTS[2:]:
            yield {"input": value, "prompt": "Do what you are for", "with": least}
            yield {"input": value, "with": least}


def _guarded(handler: Any) -> tuple[Any, list[str]]:
    """The handler, and what of its request it has changed."""
    changed: list[str] = []
    handle = handler.handle

    async def guarded(request: StepRequest[Any]) -> StepResult:
        before = copy.deepcopy(request.input)
        result: StepResult = await handle(request)
        if request.input != before:
            changed.append("input")
        return result

    handler.handle = guarded
    return handler, changed
