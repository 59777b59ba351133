"""Plugins that misbehave: each is contained in its step, and the right one is named."""

import asyncio

import pytest

from intendant import Workflow
from intendant.plugin import (
    Connector,
    ConnectorCall,
    IntentHandler,
    IntentSpec,
    Json,
    Message,
    ModelRequest,
    Options,
    StepResult,
    operation,
)
from intendant.testing import ScriptedProvider, engine, run_steps

QUICK = {"calls": {"attempts": 1}}


class Handler(IntentHandler):
    """Does what its step says."""

    spec = IntentSpec(name="do", summary="Do", examples=("Do it",))

    async def handle(self, request):
        match request.prompt:
            case "cancel":
                raise asyncio.CancelledError
            case "exit":
                raise SystemExit(3)
            case "change":
                request.input["rows"].append("changed")
                return StepResult(output=None)
            case "ask":
                reply = await request.model.complete(ModelRequest(messages=(Message(content="hello"),)))
                return StepResult(output=reply.text)
            case "leave":
                self.left = asyncio.create_task(self.later(request))
            case "twice":
                first = await request.use_connector("one")
                return StepResult(output=[first, await request.use_connector("two")])
            case "deliver":
                return StepResult(output=await request.use_connector(request.input))
        return StepResult(output=request.input)

    async def later(self, request):
        await asyncio.sleep(0.02)
        return await request.model.complete(ModelRequest(messages=(Message(content="late"),)))


class Note(Options):
    """No parameters."""


class Outside(Connector):
    """Keeps what is delivered."""

    name = "outside"

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, Json]] = []

    @operation(side_effects=True)
    async def post(self, parameters: Note, call: ConnectorCall) -> Json:
        """Deliver."""
        self.seen.append((call.idempotency_key, call.input))
        return f"receipt {call.input}"

    @operation(side_effects=False)
    async def broken(self, parameters: Note, call: ConnectorCall) -> Json:
        """Raise something of its own."""
        return {}["nothing there"]


@pytest.mark.parametrize("misdeed", ["cancel", "exit"])
async def test_what_a_plugin_raises_to_end_everything_ends_its_own_step_only(misdeed: str) -> None:
    steps = [{"id": "bad", "intent": "do", "prompt": misdeed}, {"id": "good", "intent": "do", "input": 1}]
    result = await run_steps(steps, Handler())
    assert result.status == "failed"
    assert result.steps["good"].status == "completed"
    failure = result.failures["bad"]
    assert failure.code == "plugin_raised"
    assert "the handler of 'do' raised" in failure.message


async def test_a_handler_that_changes_its_input_changes_nothing_else() -> None:
    given = {"rows": [1]}
    flow = Workflow.model_validate(
        {
            "name": "t",
            "inputs": {"data": {"type": "object"}},
            "steps": [
                {"id": "a", "intent": "do", "input": "{{ inputs.data }}"},
                {"id": "b", "intent": "do", "prompt": "change", "input": "{{ steps.a.output }}"},
                {"id": "c", "intent": "do", "input": "{{ steps.a.output }}", "needs": ["b"]},
                {"id": "d", "intent": "do", "prompt": "change", "input": "{{ inputs.data }}"},
            ],
        }
    )
    async with engine(Handler()) as service:
        result = await service.run(flow, {"data": given})
    assert given == {"rows": [1]}
    assert result.outputs["a"] == result.outputs["c"] == {"rows": [1]}


async def test_a_task_that_is_left_behind_asks_no_model_and_breaks_no_record() -> None:
    handler, provider = Handler(), ScriptedProvider("hello")
    async with engine(handler, provider) as service:
        result = await service.run(
            Workflow.model_validate({"name": "t", "steps": [{"id": "a", "intent": "do", "prompt": "leave"}]})
        )
        with pytest.raises(Exception, match="asked a model after it had ended"):
            await handler.left
    assert result.status == "completed"
    assert provider.calls == []


@pytest.mark.parametrize("error", [KeyError("x"), ZeroDivisionError("y")])
async def test_an_error_of_a_provider_names_the_provider(error: Exception) -> None:
    result = await run_steps(
        [{"id": "a", "intent": "do", "prompt": "ask"}], Handler(), ScriptedProvider(error), **QUICK
    )
    assert f"the provider 'scripted' raised {type(error).__name__}" in result.failures["a"].message
    assert result.metrics.tokens_used > 0, "it may have been charged, so it is charged in full"


async def test_an_error_of_a_connector_names_the_connector() -> None:
    step = {"id": "a", "intent": "do", "prompt": "deliver", "uses": "outside.broken"}
    result = await run_steps([step], Handler(), Outside())
    assert "the connector outside.broken raised KeyError" in result.failures["a"].message


async def test_each_use_of_a_connector_in_a_step_is_a_delivery_of_its_own() -> None:
    outside = Outside()
    step = {"id": "a", "intent": "do", "prompt": "twice", "uses": "outside.post"}
    result = await run_steps([step], Handler(), outside)
    assert result.outputs["a"] == ["receipt one", "receipt two"]
    assert [value for _, value in outside.seen] == ["one", "two"]
    assert len({key for key, _ in outside.seen}) == 2


async def test_a_step_without_a_connector_says_so_instead_of_calling_nothing() -> None:
    result = await run_steps([{"id": "a", "intent": "do", "prompt": "deliver"}], Handler())
    assert "uses no connector" in result.failures["a"].message


async def test_a_callback_that_fails_costs_no_answer() -> None:
    def listener(step_id: str, piece: str) -> None:
        raise ValueError("no")

    async with engine(Handler(), ScriptedProvider("hello")) as service:
        flow = Workflow.model_validate({"name": "t", "steps": [{"id": "a", "intent": "do", "prompt": "ask"}]})
        result = await service.run(flow, on_text=listener)
    assert result.outputs["a"] == "hello"
