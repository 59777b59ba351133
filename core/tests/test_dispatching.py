"""Runs are submitted by one process and executed by another; the embedded dispatcher keeps its promises."""

from time import time

import pytest

from intendant import RunExists, Workflow
from intendant.model.errors import PluginLoadError
from intendant.pilot import worker_loop
from intendant.pilot.embedded_dispatch import EmbeddedDispatcher
from intendant.pilot.worker_loop import Worker, dispatcher_of
from intendant.plugin import Dispatcher, DispatcherHealth, IntentHandler, IntentSpec, StepResult
from intendant.record.store import integrity, liveness, runs
from intendant.testing import DispatcherContract, engine


class TestEmbedded(DispatcherContract):
    plugin = EmbeddedDispatcher


class Note(IntentHandler):
    """Notes which run it works for."""

    spec = IntentSpec(name="note", summary="Note", examples=("Note it",))

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.look = None

    def needs_model(self, step):
        return False

    async def handle(self, request):
        if self.look is not None:
            await self.look()
        self.done.append(request.input)
        return StepResult(output=request.input)


def flow(name: str, agent: str = "default") -> Workflow:
    step = {"id": "a", "intent": "note", "input": name}
    return Workflow.model_validate({"name": name, "agent": agent, "steps": [step]})


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


async def work(service, **options):
    done = []
    await Worker(service._engine, on_done=done.append, **options).run(until_idle=True)
    return done


async def test_a_run_that_is_submitted_is_executed_by_a_worker_of_another_process(url) -> None:
    note = Note()
    async with engine(note, db=url) as here, engine(note, db=url) as there:
        run_id = await here.submit(flow("one"))
        assert note.done == []
        done = await work(there)
        assert [(item.what, str(item.result.status)) for item in done] == [(run_id, "completed")]
        assert note.done == ["one"]
        assert not (await there._engine.store.do(integrity.verify())).broken


async def test_of_submissions_with_one_key_one_is_executed(url) -> None:
    note = Note()
    async with engine(note, db=url) as service:
        await service.submit(flow("one"), key="orders/17")
        with pytest.raises(RunExists):
            await service.submit(flow("one"), key="orders/17")
        await work(service)
    assert note.done == ["one"]


async def test_higher_priorities_come_first(url) -> None:
    note = Note()
    async with engine(note, db=url) as service:
        for name, priority in (("low", 0), ("high", 9), ("middle", 5)):
            await service.submit(flow(name), priority=priority)
        await work(service, concurrency=1)
    assert note.done == ["high", "middle", "low"]


async def test_agents_take_turns(url, monkeypatch) -> None:
    monkeypatch.setattr(worker_loop, "LOOKED_AT", 100)
    note = Note()
    async with engine(note, db=url) as service:
        for number in range(10):
            await service.submit(flow(f"many-{number}", "busy"))
        await service.submit(flow("alone", "quiet"))
        await work(service, concurrency=1)
    assert note.done.index("alone") <= 1


async def test_no_run_is_executed_before_its_time(url) -> None:
    note = Note()
    async with engine(note, db=url) as service:
        run_id = await service.submit(flow("later"), not_before=time() + 3600)
        await service.submit(flow("now"))
        await work(service)
        row = await service._engine.store.do(runs.find_run(run_id))
    assert note.done == ["now"]
    assert (row.status, row.due_at > time() + 3000) == ("waiting", True)


async def test_one_can_see_who_is_at_what(url) -> None:
    note, seen = Note(), []
    async with engine(note, db=url) as service:
        store = service._engine.store

        async def look():
            seen.extend(await store.do(liveness.at_work("default")))

        note.look = look
        run_id = await service.submit(flow("one"))
        await service.submit(flow("later"), not_before=time() + 3600)
        assert await store.do(liveness.queue_of("default", time())) == (1, 1)
        await work(service)
        assert await store.do(liveness.queue_of("default", time())) == (0, 1)
    (at,) = seen
    assert (at.run_id, at.workflow, at.worker) == (run_id, "one", service._engine.worker)
    assert time() - at.since < 60


class Elsewhere(Dispatcher):
    """Brings runs to nobody, and notes them."""

    name = "elsewhere"

    def __init__(self, settings=None) -> None:
        super().__init__(settings)
        self.submitted, self.reaped = [], []

    async def start(self, runner, *, worker, concurrency):
        """Nothing."""

    async def stop(self, drain):
        """Nothing."""

    async def submit(self, run_id, *, queue="default", priority=0, not_before=None):
        self.submitted.append((run_id, queue, priority))

    async def cancel_hint(self, run_id):
        """Nothing."""

    async def reap(self, worker):
        self.reaped.append(worker)
        return 0

    async def health(self):
        return DispatcherHealth(True, 0, 0)


async def test_an_installed_dispatcher_gets_ids_and_nothing_else(url) -> None:
    note, other = Note(), Elsewhere()
    async with engine(note, other, db=url) as service:
        run_id = await service.submit(flow("one", "mailer"), priority=3)
        assert dispatcher_of(service._engine, "elsewhere") is other
        assert isinstance(dispatcher_of(service._engine), EmbeddedDispatcher)
        await work(service, dispatcher=other)
        with pytest.raises(PluginLoadError, match="'nosuch' is not installed"):
            dispatcher_of(service._engine, "nosuch")
    assert other.submitted == [(run_id, "mailer", 3)]
    assert note.done == []
