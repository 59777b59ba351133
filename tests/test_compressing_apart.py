"""Large texts are compressed outside of the event loop, and come out the same wherever that is."""

import asyncio
import multiprocessing
import pickle
import random
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from time import perf_counter

import pytest

from intendant import OrchestrationService, Workflow
from intendant.plugin import Compression, Compressor, IntentHandler, IntentSpec, StepResult
from intendant.testing import ScriptedProvider

PRICES = {"prices": {"models": {"scripted/scripted-1": {"input": 1.0, "output": 2.0}}}}


class Fit(IntentHandler):
    """Gives its input as it was compressed."""

    spec = IntentSpec(name="fit", summary="Fit", examples=("Fit it",))

    async def handle(self, request):
        fitted = await request.model.fit(request.input, query="which order failed?")
        return StepResult(output=fitted.text)


class Pickling(Executor):
    """Executes at once what was sent to it as other processes get it; notes what it was."""

    def __init__(self, fault=None):
        self.fault, self.jobs = fault, []

    def submit(self, function, /, *arguments, **named):
        function, arguments = pickle.loads(pickle.dumps((function, arguments)))
        self.jobs.append(function.__name__)
        done = Future()
        if self.fault is not None:
            done.set_exception(self.fault)
        else:
            done.set_result(pickle.loads(pickle.dumps(function(*arguments, **named))))
        return done


def orders(count):
    """A text of so many lines that differ."""
    chance = random.Random(7)
    return "\n".join(
        f"2026-03-{n % 28 + 1:02} order {chance.randrange(10**9)} of {chance.choice(('Ada', 'Bo', 'Cy'))} "
        f"{chance.choice(('was sent', 'failed at the gateway', 'waits for stock'))} {chance.random():.6f}"
        for n in range(count)
    )


def flow_of(text):
    return {"name": "w", "budget": {"tokens": 12_000}, "steps": [{"id": "a", "intent": "fit", "input": text}]}


async def fitted(text, executor=None, plugins=(), settings=None):
    made = [Fit(), ScriptedProvider("ok"), *plugins]
    async with OrchestrationService(
        {**PRICES, **(settings or {})}, plugins=made, db="none", executor=executor
    ) as service:
        done = await service.run(Workflow.model_validate(flow_of(text)))
    assert done.status == "completed", done.failures
    return done.outputs["a"]


async def test_an_executor_of_the_host_gives_what_a_thread_gives():
    text, executor = orders(1500), Pickling()
    found = await fitted(text, executor)
    assert executor.jobs
    assert set(executor.jobs) == {"answer_of"}
    assert len(found) < len(text) / 2
    assert found == await fitted(text)


async def test_processes_give_the_same():
    text = orders(1500)
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        assert await fitted(text, executor) == await fitted(text)


async def test_processes_of_its_own_are_a_setting_and_end_with_the_service():
    text = orders(1500)
    made = [Fit(), ScriptedProvider("ok")]
    async with OrchestrationService({**PRICES, "run": {"processes": 1}}, plugins=made, db="none") as service:
        done = await service.run(Workflow.model_validate(flow_of(text)))
        (process,) = multiprocessing.active_children()
    assert done.outputs["a"] == await fitted(text)
    process.join(20)
    assert process.exitcode == 0


async def test_short_texts_are_compressed_at_once():
    executor = Pickling()
    await fitted(orders(400), executor)
    assert executor.jobs == []


@pytest.mark.parametrize(
    "fault",
    [
        BrokenExecutor("a process has died"),
        RuntimeError("cannot schedule new futures after shutdown"),
        pickle.PicklingError("not that"),
        ModuleNotFoundError("No module named 'mine'"),
    ],
)
async def test_where_the_executor_cannot_do_it_a_thread_does(fault):
    text = orders(1500)
    assert await fitted(text, Pickling(fault)) == await fitted(text)


class Half(Compressor):
    """Has a setting, and leaves the first half of a text."""

    name = "half"
    lossless = False

    def compress(self, request):
        lines = request.text.splitlines()
        text = "\n".join(lines[: len(lines) // 2])
        return Compression(
            text=text,
            tokens_before=request.tokens,
            tokens_after=request.count(text),
            strategy=self.name,
            dropped=("the second half",),
        )


async def test_a_compressor_of_ones_own_is_made_there_anew():
    policies = {"compression": {"policies": {"fit": {"strategy": "half", "floor": 0.0}}}}
    text, executor = orders(1500), Pickling()
    found = await fitted(text, executor, [Half()], policies)
    assert executor.jobs
    assert text.startswith(found)


async def test_one_that_other_processes_cannot_import_is_asked_in_a_thread():
    class Local(Half):
        """Has no place in a module."""

        name = "local"

    policies = {"compression": {"policies": {"fit": {"strategy": "local", "floor": 0.0}}}}
    text, executor = orders(1500), Pickling()
    found = await fitted(text, executor, [Local()], policies)
    assert executor.jobs == []
    assert text.startswith(found)


class Slow(Half):
    """Takes its time, and holds no lock meanwhile."""

    name = "slow"

    def compress(self, request):
        from time import sleep

        sleep(0.5)
        return super().compress(request)


async def test_the_event_loop_goes_on_meanwhile():
    """As long as the compressor works, others are not kept waiting for that long."""
    policies = {"compression": {"policies": {"fit": {"strategy": "slow", "floor": 0.0}}}}
    gaps, last = [], perf_counter()

    async def tick():
        nonlocal last
        while True:
            await asyncio.sleep(0.005)
            gaps.append(perf_counter() - last)
            last = perf_counter()

    ticking = asyncio.create_task(tick())
    await fitted(orders(1500), None, [Slow()], policies)
    ticking.cancel()
    assert sum(gap < 0.2 for gap in gaps) > 20  # the half second consists of short ones


async def test_dask_brings_it_to_its_workers():
    distributed = pytest.importorskip("distributed")
    text = orders(1500)
    with distributed.Client(processes=False, dashboard_address=None, n_workers=1) as client:
        assert await fitted(text, client.get_executor()) == await fitted(text)
