"""Signals: what happens outside while a run waits for it, or before; whatever process looks."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intendant import IntendantError, Workflow, WorkflowError
from intendant.cli.app import app_for
from intendant.events import SignalTaken, SignalWanted
from intendant.plugin import IntentHandler, IntentSpec, StepResult
from intendant.record.store import integrity
from intendant.record.store.spend_report import apart
from intendant.testing import engine, sync_engine


class Copy(IntentHandler):
    """Returns its input."""

    spec = IntentSpec(name="copy", summary="Copy", examples=("Copy",))

    def needs_model(self, step):
        return False

    async def handle(self, request):
        return StepResult(output=request.input)


PAID = """
name: t
steps:
  - {id: paid, wait: {event: paid}}
  - {id: after, intent: copy, input: "{{ steps.paid.output.amount }}"}
"""


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


async def run(url, text=PAID, **options):
    seen = []
    async with engine(Copy(), db=url) as service:
        return await service.run(Workflow.parse(text), on_event=seen.append, **options), seen


async def signal(url, payload=None, event="paid", run="last", **options):
    async with engine(Copy(), db=url) as other:
        return await other.signal(run, event, payload, by="shop", **options)


async def resumed(url):
    seen = []
    async with engine(Copy(), db=url) as service:
        result = await service.resume("last", on_event=seen.append)
    assert apart(url, integrity.verify()).broken == []
    return result, seen


async def test_a_run_waits_as_a_row_until_a_signal_comes_whose_payload_is_the_output(url) -> None:
    first, seen = await run(url)
    assert (first.status, first.waits) == ("waiting", {"paid": "a signal: paid"})
    assert [event.event for event in seen if isinstance(event, SignalWanted)] == ["paid"]
    await signal(url, {"amount": 12})
    result, seen = await resumed(url)
    assert (result.status, result.outputs) == ("completed", {"paid": {"amount": 12}, "after": 12})
    taken = next(event for event in seen if isinstance(event, SignalTaken))
    assert (taken.event, taken.by) == ("paid", "shop")


EARLY = """
name: t
steps:
  - {id: go, approve: {ask: Go?}}
  - {id: one, wait: {event: paid}, needs: [go]}
  - {id: two, wait: {event: paid}, needs: [one]}
"""


async def test_a_signal_that_comes_before_its_wait_is_stored_and_taken_once(url) -> None:
    from intendant.record.store import approvals

    await run(url, EARLY)
    await signal(url, "first")
    async with engine(Copy(), db=url) as other:
        run_id = (await resumed(url))[0].run_id
        await other._engine.store.do(approvals.decide(run_id, "go", "ann", "approved"))
    result, _ = await resumed(url)
    assert (result.status, result.outputs["one"], list(result.waits)) == ("waiting", "first", ["two"])
    await signal(url, "second")
    result, _ = await resumed(url)
    assert (result.status, result.outputs["two"]) == ("completed", "second")


async def test_signals_are_taken_in_the_order_in_which_they_came_each_by_one_item(url) -> None:
    text = """
name: t
steps:
  - id: each
    for_each: [1, 2, 3]
    concurrency: 1
    steps: [{id: wait, wait: {event: go}}]
"""
    await run(url, text)
    for number in range(2):
        await signal(url, number, "go")
    first, _ = await resumed(url)
    assert first.status == "waiting"
    await signal(url, 2, "go")
    result, _ = await resumed(url)
    assert result.outputs["each"] == [0, 1, 2]


async def test_a_signal_that_is_sent_twice_under_one_key_is_stored_once(url) -> None:
    await run(url, EARLY.replace("approve: {ask: Go?}", "intent: copy"))
    ids = [await signal(url, number, key="order 7") for number in (1, 2)]
    assert ids == ["order 7", "order 7"]
    result, _ = await resumed(url)
    assert (result.outputs["one"], list(result.waits)) == (1, ["two"])


async def test_a_name_may_have_references(url) -> None:
    text = 'name: t\ninputs: {order: {}}\nsteps: [{id: a, wait: {event: "paid-{{ inputs.order }}"}}]'
    async with engine(db=url) as service:
        await service.run(Workflow.parse(text), {"order": "7"})
    await signal(url, 1, "paid-8")
    assert (await resumed(url))[0].status == "waiting"
    await signal(url, 2, "paid-7")
    assert (await resumed(url))[0].outputs == {"a": 2}


@pytest.mark.parametrize(
    ("otherwise", "status", "step"),
    [("fail", "failed", "failed"), ("skip", "completed", "skipped"), ("continue", "completed", "completed")],
)
async def test_when_no_signal_comes_in_time_the_workflow_says_what_becomes_of_the_step(
    url, otherwise, status, step
) -> None:
    text = f"name: t\nsteps: [{{id: a, wait: {{event: paid, within: 200ms, otherwise: {otherwise}}}}}]"
    first, _ = await run(url, text)
    assert first.status == "waiting"
    await asyncio.sleep(0.25)
    result, _ = await resumed(url)
    assert (result.status, result.steps["a"].status) == (status, step)
    if step == "failed":
        assert (result.failures["a"].code, result.failures["a"].message) == (
            "signal_missing",
            "no signal 'paid' came in time",
        )


async def test_a_process_that_stays_goes_on_when_a_signal_comes(url) -> None:
    running = asyncio.create_task(run(url, wait=True))
    for _ in range(500):
        try:
            await signal(url, {"amount": 5})
            break
        except IntendantError:
            await asyncio.sleep(0.02)  # the run is not there yet
    result, _ = await running
    assert (result.status, result.outputs["after"]) == ("completed", 5)


async def test_what_cannot_be_sent_is_refused_with_a_reason(url) -> None:
    first, _ = await run(url)
    for event, payload, message in (
        ("payed", None, "no step of run .* waits for 'payed'"),
        ("paid", float("nan"), "not JSON"),
        ("paid", "x" * 1_000_001, "1000003 characters"),
    ):
        with pytest.raises(IntendantError, match=message):
            await signal(url, payload, event)
    await signal(url, {"amount": 1})
    await resumed(url)
    with pytest.raises(IntendantError, match=f"run {first.run_id} is completed"):
        await signal(url, {"amount": 1})


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE signal SET payload = '{\"amount\":13}'",
        "UPDATE signal SET taken_by = NULL",
        "UPDATE signal SET sent_by = 'eve'",
        "DELETE FROM signal",
        "INSERT INTO signal SELECT run_id, 'more', event, payload, sent_by, at, salt, NULL, NULL FROM signal",
    ],
)
async def test_a_signal_that_is_changed_is_found(url, tmp_path, change) -> None:
    await run(url)
    await signal(url, {"amount": 12})
    await resumed(url)
    with sqlite3.connect(tmp_path / "x.db") as connection:
        assert connection.execute(change).rowcount == 1
    connection.close()
    assert [fault.table for fault in apart(url, integrity.verify()).broken] == ["signal"]


async def test_a_payload_is_erased_with_what_else_a_run_has_read(url) -> None:
    from intendant.record.store import erasure

    first, _ = await run(url)
    await signal(url, {"amount": 12})
    await resumed(url)
    async with engine(db=url) as service:
        await service._engine.store.do(erasure.erase(first.run_id, "ann"))
    assert apart(url, integrity.verify()).broken == []
    assert b"amount" not in Path(url.removeprefix("sqlite:///")).read_bytes().replace(b"output.amount", b"")


def test_what_is_written_beside_an_event_is_refused() -> None:
    message = "beside `wait: {event: …}` there is no `intent`"
    with sync_engine(Copy()) as service, pytest.raises(WorkflowError, match=message):
        service.run(Workflow.parse("name: t\nsteps: [{id: a, intent: copy, wait: {event: x}}]"))
    for wait in ("event: a, for: 2h", "for: 2h, within: 3d", ""):
        with pytest.raises(WorkflowError, match="wait: "):
            Workflow.parse(f"name: t\nsteps: [{{id: a, wait: {{{wait}}}}}]")


def test_the_command_sends_a_signal_and_the_run_says_how(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("flow.yaml").write_text("name: t\nsteps: [{id: a, wait: {event: order paid}}]")

    def intendant(*words: str):
        done = CliRunner().invoke(app_for(list(words)), [*words, "--db", "sqlite:///x.db"])
        return done.exit_code, done.output

    code, output = intendant("run", "flow.yaml")
    assert (code, "intendant signal r_" in output, "'order paid'; then" in output) == (4, True, True)
    code, output = intendant("signal", "last", "paid")
    assert (code, "it waits for order paid" in output) == (2, True)
    assert intendant("signal", "last", "order paid", "-i", "n", "--json")[0] == 2
    assert intendant("signal", "last", "order paid", "--payload", "{")[0] == 2
    code, output = intendant("signal", "last", "order paid", "-i", "n=3", "-i", "who=ann")
    assert (code, "to go on: intendant resume" in output) == (0, True)
    code, output = intendant("resume", "last", "--json")
    assert (code, json.loads(output)["outputs"]) == (0, {"a": {"n": 3, "who": "ann"}})
