"""What a host application uses: the service, its twin without an event loop, runs that it drives itself."""

import asyncio
import os
import threading
from collections.abc import Mapping

import pytest

from intendant import IntendantError, RunNotFound, RunStatus, Workflow
from intendant.events import Completed, StepExecuted
from intendant.plugin import Extension, IntentHandler, IntentSpec, Options, StepRequest, StepResult, hookimpl
from intendant.testing import engine, sync_engine


class Twice(Options):
    """How often."""

    times: int = 2


class Repeat(IntentHandler[Twice]):
    """Repeats its input."""

    spec = IntentSpec(name="repeat", summary="Repeat", examples=("Repeat it",))

    def needs_model(self, step):
        return False

    async def handle(self, request: StepRequest[Twice]) -> StepResult:
        await asyncio.sleep(0.001)
        return StepResult(output=[request.input] * request.parameters.times)


def flow(**more) -> Workflow:
    steps = [
        {"id": "a", "intent": "repeat", "input": 1, **more},
        {"id": "b", "intent": "repeat", "input": "{{ steps.a.output }}"},
    ]
    return Workflow.model_validate({"name": "t", "steps": steps})


def test_parameters_come_from_the_type_argument_and_arrive_parsed() -> None:
    assert Repeat.Parameters is Twice
    with sync_engine(Repeat()) as service:
        assert service.run(flow(**{"with": {"times": 3}})).outputs["a"] == [1, 1, 1]
        assert "times" in service.run(flow(**{"with": {"times": "{{ run.id }}"}})).failures["a"].message


def test_several_threads_may_use_one_service() -> None:
    with sync_engine(Repeat()) as service:
        results: list[RunStatus] = []
        threads = [threading.Thread(target=lambda: results.append(service.run(flow()).status)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [RunStatus.completed] * 8


async def test_the_twin_refuses_inside_a_loop_and_says_what_to_use() -> None:
    service = sync_engine(Repeat())
    with pytest.raises(IntendantError, match="OrchestrationService, and await"):
        service.run(flow())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_service_that_was_used_refuses_to_work_in_a_forked_child() -> None:
    with sync_engine(Repeat()) as service:
        service.run(flow())
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                service.run(flow())
            except IntendantError as error:
                os.write(writing, error.message.encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as said:
            assert "forked" in said.read()
        os.waitpid(child, 0)


async def test_a_stream_gives_each_event_and_ends_with_the_run() -> None:
    async with engine(Repeat()) as service:
        seen = [event async for event in service.stream(flow())]
    assert isinstance(seen[-1], Completed)
    assert [event.step_id for event in seen if isinstance(event, StepExecuted)] == ["a", "b"]


async def test_leaving_a_stream_early_cancels_the_run() -> None:
    seen = []
    async with engine(Repeat()) as service:
        stream = service.stream(flow())
        async for event in stream:
            seen.append(event)
            break
        await stream.aclose()
        run = service.orchestrator()
        assert not run.is_active()


async def test_what_the_host_did_itself_is_recorded_and_can_be_referred_to() -> None:
    async with engine(Repeat()) as service:
        run = service.orchestrator()
        assert await run.initialize(flow())
        outcome = run.record("a", {"n": 17}, notes=["done by hand"])
        assert (outcome.produced_by, outcome.output) == ("host", {"n": 17})
        with pytest.raises(IntendantError, match="done already"):
            run.record("a", 1)
        with pytest.raises(IntendantError, match="not JSON"):
            run.record("b", float("nan"))
        assert (await run.execute_step("b")).output == [{"n": 17}] * 2
        result = await run.complete()
    assert (result.status, result.metrics.steps_completed) == ("completed", 2)


def test_a_step_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with sync_engine(Repeat()) as service:
        run = service.orchestrator()
        assert run.initialize(flow())
        for call in (lambda: run.should_run("x"), lambda: run.skip("x", "no"), lambda: run.record("x", 1)):
            with pytest.raises(IntendantError, match="no step 'x'; its steps: a, b"):
                call()
        run.reset()


class Watch(Extension):
    """Counts events, wraps a hook, and adds a command."""

    name = "watch"

    def __init__(self) -> None:
        super().__init__()
        self.events = 0
        self.asked: list[str] = []

    def on_event(self, event) -> None:
        self.events += 1

    @hookimpl(wrapper=True)
    def handle_intent(self, request):
        self.asked.append(request.step.id)
        return (yield)

    def commands(self) -> Mapping[str, object]:
        return {"watch": print}


def test_an_extension_sees_every_event_and_wraps_hooks_without_an_intent() -> None:
    watch = Watch()
    with sync_engine(Repeat(), watch) as service:
        events = []
        result = service.run(flow(), on_event=events.append)
    assert result.status == "completed"
    assert watch.events == len(events)
    assert watch.asked == ["a", "b"]


class Broken(Repeat):
    """Was written for a plugin interface of the future."""

    api_version = 99


def test_a_plugin_for_another_interface_is_refused_with_the_reason() -> None:
    from intendant.plugin import PluginLoadError

    with pytest.raises(PluginLoadError, match="version 99 of the plugin interface"):
        sync_engine(Broken())


def test_a_host_reads_the_runs_of_its_tenant() -> None:
    with sync_engine(Repeat()) as service:
        done = [service.run(flow()) for _ in range(3)]
        listed = service.runs(2, workflow="t")
        assert [each.id for each in listed] == [result.run_id for result in done[:0:-1]]
        assert service.runs(status="failed") == []
        row = service.get(done[0].run_id)
        assert (row.workflow, row.status) == ("t", "completed")
        told = service.events(done[0].run_id)
        assert {"initialized", "step_executed"} < {event.type for event in told}
        assert told[-1].type == "completed"
        with pytest.raises(RunNotFound):
            service.get("nosuch")
