"""Runs become spans and metrics, with the SDK of OpenTelemetry itself behind them."""

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from intendant import Workflow
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepError, StepResult
from intendant.testing import ScriptedProvider, engine
from intendant_otel import OtelExtension

SPANS, READER = InMemorySpanExporter(), InMemoryMetricReader()
FLOW = Workflow.model_validate(
    {
        "name": "letters",
        "agent": "mailer",
        "steps": [
            {"id": "a", "intent": "ask", "prompt": "my secret prompt"},
            {"id": "b", "intent": "ask", "prompt": "fail", "needs": ["a"]},
        ],
    }
)


@pytest.fixture(scope="module", autouse=True)
def _sdk() -> None:
    """OpenTelemetry takes one SDK for a process."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(SPANS))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([READER]))


@pytest.fixture(autouse=True)
def _empty() -> None:
    SPANS.clear()


class Ask(IntentHandler):
    """Asks the model, and fails where it is told to."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=20)
        reply = await request.model.complete(ask)
        if request.prompt == "fail":
            raise StepError("not today")
        return StepResult(output=reply.text)


async def run(**settings):
    async with engine(Ask(), OtelExtension(settings), ScriptedProvider("an answer")) as service:
        result = await service.run(FLOW)
    return result, {span.name: span for span in SPANS.get_finished_spans()}


def counted() -> dict[str, list]:
    data = READER.get_metrics_data()
    return {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


async def test_a_run_its_steps_and_calls_are_spans_within_each_other() -> None:
    result, spans = await run()
    assert set(spans) == {"invoke_workflow letters", "step a", "step b", "chat scripted-1"}
    top = spans["invoke_workflow letters"]
    assert spans["step a"].parent.span_id == top.context.span_id
    call = spans["chat scripted-1"]
    assert call.parent.span_id == spans["step b"].context.span_id
    assert call.attributes["gen_ai.provider.name"] == "scripted"
    assert call.attributes["gen_ai.usage.input_tokens"] > 0
    assert top.attributes["intendant.run"] == result.run_id
    assert top.attributes["intendant.status"] == "failed"
    assert spans["step b"].attributes["error.type"] == "step_failed"
    assert spans["step b"].status.is_ok is False
    assert top.start_time <= spans["step a"].start_time <= spans["step a"].end_time <= top.end_time
    assert "secret" not in str([span.to_json() for span in spans.values()])


async def test_names_follow_the_version_of_the_conventions() -> None:
    await run()
    found = counted()
    assert sum(point.value for point in found["gen_ai.client.inference.usage.output_tokens"]) > 0
    assert found["gen_ai.client.inference.duration"][0].count >= 2
    assert "gen_ai.client.token.usage" not in found
    await run(conventions="1.41.0", steps=False, attributes={"team": "mail"})
    points = counted()["gen_ai.client.token.usage"]
    assert {point.attributes["gen_ai.token.type"] for point in points} == {"input", "output"}
    assert not [span for span in SPANS.get_finished_spans()[-3:] if span.name.startswith("step")]
    assert SPANS.get_finished_spans()[-1].attributes["team"] == "mail"


async def test_nothing_is_left_when_a_run_has_ended_or_waits() -> None:
    extension = OtelExtension()
    waiting = {"name": "x", "steps": [{"id": "a", "approve": {"ask": "Go on?"}}]}
    async with engine(Ask(), extension, ScriptedProvider("an answer")) as service:
        await service.run(FLOW)
        await service.run(Workflow.model_validate(waiting))
    assert extension._spans == {}
    assert extension._calls == {}
    assert SPANS.get_finished_spans()[-1].attributes["intendant.status"] == "waiting"
