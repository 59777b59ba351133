"""Workers go on with what is due, take over what was abandoned, and start what triggers say, each once."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from time import time

import pytest
from sqlalchemy import event, text

from intendant import IntendantError, RunExists, Workflow
from intendant.events import Suspended
from intendant.model.results import RunStatus
from intendant.pilot import heartbeats, resuming, worker_loop as worker_module
from intendant.pilot.run_triggers import Trigger, due_times, inputs_of, load_triggers
from intendant.pilot.worker_loop import Worker
from intendant.plugin import IntentHandler, IntentSpec, StepResult
from intendant.record.store import approvals, integrity, liveness, runs
from intendant.testing import engine


class Copy(IntentHandler):
    """Returns its input, after a time where the input says so."""

    spec = IntentSpec(name="copy", summary="Copy", examples=("Copy",))

    def __init__(self, seconds: float = 0) -> None:
        super().__init__()
        self.done = []
        self.seconds = seconds
        self.began = asyncio.Event()

    def needs_model(self, step):
        return False

    async def handle(self, request):
        self.began.set()
        await asyncio.sleep(self.seconds)
        self.done.append(request.step.id)
        return StepResult(output=request.input)


CHAIN = """
name: chain
steps:
  - {id: one, intent: copy, input: 1}
  - {id: two, intent: copy, input: "{{ steps.one.output }}"}
"""
ASKING = """
name: asking
steps:
  - {id: ask, approve: {ask: Really?}}
  - {id: after, intent: copy, needs: [ask], input: yes}
"""
SOON = """
name: soon
steps:
  - {id: pause, wait: {for: 10.5s}}
  - {id: after, intent: copy, needs: [pause], input: yes}
"""


needs_cron = pytest.mark.skipif(find_spec("cronsim") is None, reason="needs cronsim: intendant[worker]")


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(heartbeats, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(worker_module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(worker_module, "ABANDONED_SECONDS", 0.0)


@pytest.fixture
def verified(monkeypatch) -> list[str]:
    """The runs whose record is verified, as often as it is."""
    found: list[str] = []
    check_record = resuming.check_record

    async def counted(store, run_id):
        found.append(run_id)
        await check_record(store, run_id)

    monkeypatch.setattr(resuming, "check_record", counted)
    return found


async def work(service, triggers=None):
    """What a worker does until nothing is due."""
    done = []
    await Worker(service._engine, triggers, on_done=done.append).run(until_idle=True)
    return done


async def row_of(service, run_id):
    return await service._engine.store.do(runs.find_run(run_id))


# --- pause ---


async def test_a_run_that_is_paused_ends_what_it_is_at_and_starts_no_other_step(url) -> None:
    copy, seen = Copy(seconds=0.2), []
    async with engine(copy, db=url) as service:
        running = asyncio.create_task(service.run(Workflow.parse(CHAIN), on_event=seen.append))
        await copy.began.wait()
        await service.pause("last")
        result = await running
        assert (result.status, copy.done, result.waits) == ("waiting", ["one"], {"two": "paused"})
        assert [event.paused for event in seen if isinstance(event, Suspended)] == [True]
        assert await work(service) == []  # nobody but a person goes on with it
        result = await service.resume("last")
        assert (result.status, copy.done) == ("completed", ["one", "two"])


async def test_a_list_that_is_paused_keeps_the_items_that_are_done(url) -> None:
    flow = Workflow.parse("""
name: list
steps:
  - {id: each, intent: copy, for_each: [1, 2, 3, 4], as: item, concurrency: 1, input: "{{ item }}"}
""")
    copy = Copy(seconds=0.1)
    async with engine(copy, db=url) as service:
        running = asyncio.create_task(service.run(flow))
        await copy.began.wait()
        await service.pause("last")
        result = await running
        assert (result.status, len(copy.done) < 4) == ("waiting", True)
        assert "items are left; paused" in result.waits["each"]
        result = await service.resume("last")
        assert (result.outputs["each"], len(copy.done)) == ([1, 2, 3, 4], 4)


async def test_a_run_that_has_ended_cannot_be_paused(url) -> None:
    async with engine(Copy(), db=url) as service:
        result = await service.run(Workflow.parse(CHAIN))
        with pytest.raises(IntendantError, match="is completed: there is nothing to pause"):
            await service.pause(result.run_id)


# --- what is due ---


async def test_a_worker_goes_on_once_people_have_decided_and_not_before(url) -> None:
    copy = Copy()
    async with engine(copy, db=url) as service:
        run_id = (await service.run(Workflow.parse(ASKING))).run_id
        assert await work(service) == []
        await service._engine.store.do(approvals.decide(run_id, "ask", "ann", "approved"))
        done = await work(service)
        assert [(item.why, item.result.status) for item in done] == [("due", "completed")]
        assert copy.done == ["after"]


async def test_a_decision_made_while_the_run_is_still_at_other_steps_is_not_forgotten(url) -> None:
    flow = Workflow.parse(ASKING + "  - {id: other, intent: copy, input: 1}\n")
    copy = Copy(seconds=0.1)
    async with engine(copy, db=url) as service:
        running = asyncio.create_task(service.run(flow))
        await copy.began.wait()
        await service._engine.store.do(
            approvals.decide((await row_of(service, "last")).id, "ask", "a", "approved")
        )
        assert (await running).status == "waiting"
        assert [item.result.status for item in await work(service)] == ["completed"]


async def test_a_run_that_waits_for_a_time_is_due_then(url, monkeypatch) -> None:
    async with engine(Copy(), db=url) as service:
        result = await service.run(Workflow.parse(SOON))
        row = await row_of(service, result.run_id)
        assert row.status == "waiting"
        assert row.due_at == pytest.approx(result.steps["pause"].due)
        assert await work(service) == []
        monkeypatch.setattr("intendant.record.store.clock.time", lambda: time() + 11)
        assert [item.result.status for item in await work(service)] == ["completed"]


async def test_several_workers_go_on_with_each_run_once(url) -> None:
    copies = [Copy(), Copy(), Copy()]
    async with (
        engine(copies[0], db=url) as one,
        engine(copies[1], db=url) as two,
        engine(copies[2], db=url) as three,
    ):
        for _ in range(20):
            run_id = (await one.run(Workflow.parse(ASKING))).run_id
            await one._engine.store.do(approvals.decide(run_id, "ask", "ann", "approved"))
        done = await asyncio.gather(work(one), work(two), work(three))
        ended = [item.result.run_id for part in done for item in part if item.result]
        assert (len(ended), len(set(ended))) == (20, 20)
        assert not [item.error for part in done for item in part if item.error], "to be too late is no failure"
        assert sum(len(copy.done) for copy in copies) == 20


async def test_a_due_run_that_one_worker_took_is_left_alone_by_the_others_for_a_time(
    url, verified, monkeypatch
) -> None:
    copy = Copy()
    async with engine(copy, db=url) as service:
        store = service._engine.store
        run_id = (await service.run(Workflow.parse(ASKING))).run_id
        await store.do(approvals.decide(run_id, "ask", "ann", "approved"))
        now, before = time() + 1, await row_of(service, run_id)
        assert await store.do(liveness.take_due(run_id, now, now + 10)) is None
        assert (await store.do(liveness.take_due(run_id, now, now + 10))).due_at == now + 10, "it is taken"
        assert await Worker(service._engine).run_segment(run_id) == "elsewhere"
        assert (await row_of(service, run_id)).epoch == before.epoch
        assert await store.do(liveness.due_runs(service._engine.tenant, now + 9.9, 10)) == []
        assert [due.id for due in await store.do(liveness.due_runs(service._engine.tenant, now + 10, 10))] == [
            run_id
        ]
        assert verified == [], "a worker that comes too late reads no record"
        # The worker that took it died before it claimed the run.
        monkeypatch.setattr("intendant.record.store.clock.time", lambda: now + 10)
        assert [item.result.status for item in await work(service)] == ["completed"]
        assert (copy.done, verified) == (["after"], [run_id])


async def test_a_worker_verifies_what_all_runs_share_before_it_looks_for_runs(url) -> None:
    async with engine(Copy(), db=url) as service:
        for _ in range(3):
            await service.run(Workflow.parse(CHAIN))
    async with engine(Copy(), db=url) as service:
        assert await work(service) == []
        shared = await service._engine.store.do(
            lambda c: c.execute(text("SELECT max(seq) FROM event WHERE run_id = '*'")).scalar()
        )
        assert service._engine.store._known.last == shared > 3


async def test_a_run_is_taken_only_while_it_waits_and_is_due(url) -> None:
    async with engine(Copy(), db=url) as service:
        store = service._engine.store
        run_id = (await service.run(Workflow.parse(SOON))).run_id
        due = (await row_of(service, run_id)).due_at
        assert (await store.do(liveness.take_due(run_id, due - 1, due + 9))).due_at == due, "it is not due"
        ended = (await service.run(Workflow.parse(CHAIN))).run_id
        assert (await store.do(liveness.take_due(ended, due, due + 9))).due_at is None
        assert await store.do(liveness.take_due("none", due, due + 9)) is None


async def test_a_run_that_another_worker_is_at_or_has_completed_is_not_verified(url, verified) -> None:
    copy = Copy(seconds=0.2)
    async with engine(copy, db=url) as service:
        run_id = await service.submit(Workflow.parse(CHAIN))
        first = asyncio.ensure_future(Worker(service._engine).run_segment(run_id))
        await copy.began.wait()
        other = Worker(service._engine)
        assert await other.run_segment(run_id) == "elsewhere"
        assert await first == "completed"
        assert await other.run_segment(run_id) == "elsewhere"
        assert verified == [run_id]


async def test_a_run_that_is_taken_over_meanwhile_is_elsewhere_and_no_failure(url) -> None:
    copy, done = Copy(seconds=0.3), []
    async with engine(copy, db=url) as service:
        run_id = await service.submit(Workflow.parse(CHAIN))
        worker = Worker(service._engine, on_done=done.append)
        segment = asyncio.ensure_future(worker.run_segment(run_id))
        await copy.began.wait()
        await service._engine.store.do(runs.claim(run_id, "another"))
        assert await segment == "elsewhere"
        assert done == []


async def test_a_run_that_cannot_be_gone_on_with_is_named_and_tried_again_later(url) -> None:
    async with engine(Copy(), db=url) as service:
        run_id = (await service.run(Workflow.parse(ASKING))).run_id
        await service._engine.store.do(approvals.decide(run_id, "ask", "ann", "approved"))
    async with engine(db=url) as without:
        done = await work(without)
        assert [(item.what, item.error.code) for item in done] == [(run_id, "workflow_wrong")]


# --- what was abandoned ---

DIES = """
import asyncio, os, sys
sys.path.insert(0, {tests!r})
from test_worker import CHAIN, Copy
from intendant import Workflow
from intendant.testing import engine

service = None

class Dies(Copy):
    async def handle(self, request):
        if request.step.id == "two":
            await service._engine.store.flush()  # the end of the first step is committed
            os._exit(9)
        return await super().handle(request)

async def main():
    global service
    async with engine(Dies(), db={url!r}) as service:
        await service.run(Workflow.parse(CHAIN))

asyncio.run(main())
"""
DIES_AT_ONCE = """
import asyncio, os, sys
sys.path.insert(0, {tests!r})
from test_worker import CHAIN, Copy
from intendant import Workflow
from intendant.pilot import orchestrator
from intendant.testing import engine

orchestrator.record_plan = lambda *_: os._exit(9)

async def main():
    async with engine(Copy(), db={url!r}) as service:
        await service.run(Workflow.parse(CHAIN))

asyncio.run(main())
"""


async def test_a_run_whose_process_died_when_it_had_opened_it_is_executed(url) -> None:
    """Nothing of its journal was committed; all of it is there at the end."""
    text = DIES_AT_ONCE.format(tests=str(Path(__file__).parent), url=url)
    assert subprocess.run([sys.executable, "-c", text], check=False, timeout=60).returncode == 9
    copy = Copy()
    async with engine(copy, db=url) as service:
        done = await work(service)
        assert [(item.why, item.result.status) for item in done] == [("abandoned", "completed")]
        assert copy.done == ["one", "two"]
        told = [event.type for event in await service.events("last")]
        assert "initialized" in told
        assert not (await service._engine.store.do(integrity.verify())).broken


async def test_a_worker_takes_over_the_runs_of_a_process_that_died(url) -> None:
    text = DIES.format(tests=str(Path(__file__).parent), url=url)
    assert subprocess.run([sys.executable, "-c", text], check=False, timeout=60).returncode == 9
    copy = Copy()
    async with engine(copy, db=url) as service:
        done = await work(service)
        assert [(item.why, item.result.status) for item in done] == [("abandoned", "completed")]
        assert copy.done == ["two"]  # what was done is not done again


async def test_a_run_of_another_machine_is_taken_over_when_its_heartbeats_stop(url, monkeypatch) -> None:
    copy = Copy(seconds=0.3)
    async with engine(copy, db=url) as there, engine(Copy(), db=url) as here:
        monkeypatch.setattr(type(there._engine), "worker", "elsewhere:1")
        monkeypatch.setattr(heartbeats, "LEASE_SECONDS", 0.1)
        running = asyncio.create_task(there.run(Workflow.parse(CHAIN)))
        await copy.began.wait()
        await asyncio.sleep(0.2)
        assert await work(here) == []  # it says that it lives
        monkeypatch.setattr(heartbeats, "BEAT_SECONDS", 60)
        await asyncio.sleep(0.2)
        done = await work(here)
        assert [(item.why, item.result.status) for item in done] == [("abandoned", "completed")]
        with pytest.raises(IntendantError):  # the former owner is refused
            await running


async def test_a_worker_that_is_stopped_hands_its_runs_to_others(url) -> None:
    slow, quick = Copy(seconds=0.2), Copy()
    async with engine(slow, db=url) as one, engine(quick, db=url) as two:
        run_id = (await one.run(Workflow.parse(ASKING + CHAIN.partition("steps:\n")[2]))).run_id
        assert slow.done == ["one", "two"]
        await one._engine.store.do(approvals.decide(run_id, "ask", "ann", "approved"))
        slow.began.clear()
        done = []
        task = asyncio.create_task(Worker(one._engine, on_done=done.append).run())
        await slow.began.wait()
        task.cancel()
        await task  # what it was at has ended
        assert [item.result.status for item in done] == ["completed"]

        slow.done.clear()
        slow.began.clear()
        task = asyncio.create_task(one.run(Workflow.parse(CHAIN)))
        await slow.began.wait()
        one.hand_over()
        assert (await task).status == "waiting"
        assert [item.result.status for item in await work(two)] == ["completed"]
        assert (slow.done, quick.done) == (["one"], ["two"])


# --- triggers ---


async def test_of_runs_asked_for_with_the_same_key_one_is_executed(url) -> None:
    copy = Copy()
    async with engine(copy, db=url) as service, engine(copy, db=url) as other:
        asked = [each.run(Workflow.parse(CHAIN), key="orders/17") for each in (service, other) * 5]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(result, RunExists) for result in results) == 9
        assert copy.done == ["one", "two"]
        with pytest.raises(RunExists, match="there is a run of this key already"):
            await service.run(Workflow.parse(CHAIN), key="orders/17")
        assert (await service.run(Workflow.parse(CHAIN), key="orders/18")).status == "completed"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@needs_cron
@pytest.mark.parametrize(
    ("missed", "seen", "due"),
    [
        ("once", "2026-11-20T00:00", ["2026-11-23T07:00", "2026-11-24T07:00"]),  # one for all that were missed
        ("skip", "2026-11-20T00:00", ["2026-11-24T07:00"]),
        ("once", "2026-11-23T08:00", ["2026-11-24T07:00"]),
        ("once", None, ["2026-11-24T07:00"]),  # nothing was missed: no worker was ever there
        ("skip", "2026-11-24T07:00", []),
    ],
)
def test_times_that_were_missed_count_once_or_not_at_all(missed, seen, due) -> None:
    trigger = Trigger(flow="f.yaml", cron="0 7 * * *", missed=missed, inputs={})
    found = due_times(
        "t", trigger, None if seen is None else at(seen), at("2026-11-24T09:00"), at("2026-11-23T12:00")
    )
    assert [datetime.fromtimestamp(item.at, UTC).strftime("%Y-%m-%dT%H:%M") for item in found] == due


@needs_cron
def test_times_are_those_of_the_time_zone_also_when_clocks_are_changed() -> None:
    trigger = Trigger(
        flow="f.yaml", cron="30 7 * * *", timezone="Europe/Berlin", inputs={"d": "{{ trigger.day }}"}
    )
    found = due_times("t", trigger, at("2026-03-28T00:00"), at("2026-03-30T00:00"), at("2026-03-28T00:00"))
    assert [datetime.fromtimestamp(item.at, UTC).strftime("%dT%H:%M") for item in found] == [
        "28T06:30",
        "29T05:30",
    ]
    assert inputs_of(trigger, found[1]) == {"d": "2026-03-29"}


FLOW = "name: t\ninputs: {{file: {{type: string}}}}\nsteps:\n  - {{id: a, intent: {intent}, input: '{{{{ inputs.file }}}}'}}\n"


async def test_each_file_of_a_folder_starts_one_run_also_for_a_worker_that_is_started_again(url, tmp_path) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW.format(intent="copy"))
    (tmp_path / "inbox").mkdir()
    (tmp_path / "t.toml").write_text(
        '[inbox]\nflow = "flow.yaml"\nfolder = "inbox"\npattern = "*.eml"\nmissed = "once"\n'
        'inputs = {file = "{{ trigger.path }}"}\n'
    )
    old = time() - 60
    for name in ("a.eml", "b.eml", "c.txt"):
        (tmp_path / "inbox" / name).write_text(name)
        os.utime(tmp_path / "inbox" / name, (old, old))
    copy, triggers = Copy(), load_triggers(tmp_path / "t.toml")
    async with engine(copy, db=url) as service:
        done = await work(service, triggers)
        assert sorted(Path(item.result.outputs["a"]).name for item in done) == ["a.eml", "b.eml"]
        assert await work(service, triggers) == []
        (tmp_path / "inbox/a.eml").write_text("changed")
        os.utime(tmp_path / "inbox/a.eml", (old, old + 1))
        assert len(await work(service, triggers)) == 1
        skipping = {"inbox": triggers["inbox"].model_copy(update={"missed": "skip"})}
        (tmp_path / "inbox/b.eml").write_text("changed")
        os.utime(tmp_path / "inbox/b.eml", (old, old + 1))
        assert await work(service, skipping) == []


async def test_a_file_whose_run_cannot_be_started_is_tried_again(url, tmp_path, monkeypatch) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/a").write_text("x")
    os.utime(tmp_path / "inbox/a", (1, 1))
    triggers = {
        "t": Trigger(flow=str(tmp_path / "flow.yaml"), folder=str(tmp_path / "inbox"), missed="once", inputs={})
    }
    monkeypatch.setattr(worker_module, "FIRST_PAUSE_SECONDS", 0.05)
    done = []
    async with engine(Copy(), db=url) as service:
        worker = Worker(service._engine, triggers, on_done=done.append)
        await worker.run(until_idle=True)
        assert [item.error.code for item in done] == ["workflow_wrong"]  # there is no such file yet
        (tmp_path / "flow.yaml").write_text("name: t\nsteps: [{id: a, intent: copy, input: 1}]")
        await asyncio.sleep(0.1)
        await worker.run(until_idle=True)
        assert [item.result.status for item in done[1:]] == ["completed"]


@needs_cron
async def test_a_time_that_is_due_starts_one_run_whichever_worker_sees_it(url, tmp_path, monkeypatch) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW.format(intent="copy"))
    (tmp_path / "t.toml").write_text(
        '[often]\nflow = "flow.yaml"\ncron = "* * * * *"\nmissed = "once"\ninputs = {file = "{{ trigger.time }}"}\n'
    )
    triggers = load_triggers(tmp_path / "t.toml")
    async with engine(Copy(), db=url) as one, engine(Copy(), db=url) as two:
        assert await work(one, triggers) == []
        later = time() + 120
        monkeypatch.setattr(worker_module, "time", lambda: later)
        done = await asyncio.gather(work(one, triggers), work(two, triggers))
        started = [item for part in done for item in part]
        assert [item.result.status for item in started] == ["completed"]


@needs_cron
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nflow = 'f'\n", "write one of `cron`, `folder` and `webhook`"),
        ("[a]\nflow = 'f'\ncron = '99 * * * *'\n", "'99 * * * *' is not understood"),
        ("[a]\nflow = 'f'\ncron = '* * * * *'\ntimezone = 'Mars'\n", "'Mars' is no time zone"),
        ("[a]\ncron = '* * * * *'\n", "a.flow"),
        ("a = 1\n", "a:"),
        ("[a\n", "t.toml"),
    ],
)
def test_a_wrong_file_of_triggers_is_refused_with_what_is_wrong(tmp_path, text, message) -> None:
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(IntendantError) as caught:
        load_triggers(tmp_path / "t.toml")
    assert message in str(caught.value)


def test_the_command_goes_on_with_what_is_due_and_prints_it(tmp_path) -> None:
    (tmp_path / "flow.yaml").write_text("name: t\nsteps: [{id: ask, approve: {ask: Really?}}]\n")
    base = [sys.executable, "-m", "intendant"]

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*base, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    db = ("--db", "sqlite:///x.db")
    assert command("run", "flow.yaml", *db).returncode == 4
    assert command("approve", "last", "ask", *db).returncode == 0
    done = command("worker", "--once", "--json", *db)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["status"] == RunStatus.completed.value


async def test_a_look_at_what_is_due_goes_by_an_index(url) -> None:
    def plans(connection) -> list[str]:
        found = []

        def explain(_connection, _cursor, statement, parameters, _context, _many) -> None:
            rows = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            found.append(" ".join(str(row) for row in rows))

        event.listen(connection.engine, "after_cursor_execute", explain)
        try:
            liveness.due_runs("t", 1.0, 10)(connection)
        finally:
            event.remove(connection.engine, "after_cursor_execute", explain)
        return found

    async with engine(Copy(), db=url) as service:
        (due,) = await service._engine.store.do(plans)
        assert "ix_run_due" in due


async def test_a_run_that_ends_says_that_it_lives_and_is_not_paused_any_more(url, monkeypatch) -> None:
    """What runs whatever happened may take long: nobody else takes the run over, and all of it is executed."""
    monkeypatch.setattr(heartbeats, "LEASE_SECONDS", 0.15)
    last = (
        "finally:\n  - {id: last, intent: copy, input: 1}\n  - {id: end, intent: copy, needs: [last], input: 2}\n"
    )
    copy = Copy()

    def slower(event) -> None:
        if event.step_id == "last":
            copy.seconds = 0.4

    async with engine(copy, db=url) as there, engine(Copy(), db=url) as here:
        monkeypatch.setattr(type(there._engine), "worker", "elsewhere:1")
        running = asyncio.create_task(there.run(Workflow.parse(CHAIN + last), on_event=slower))
        while "two" not in copy.done:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        await here.pause("last")
        await asyncio.sleep(0.25)
        assert copy.done == ["one", "two"]
        assert await work(here) == []
        assert (await running).status == "completed"
        assert copy.done == ["one", "two", "last", "end"]
