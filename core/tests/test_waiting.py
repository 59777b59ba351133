"""Steps that wait for people and for a time: a waiting run is a row, and any process goes on with it."""

import asyncio
import json
from time import time

import pytest

from intendant import IntendantError, Workflow, WorkflowError
from intendant.events import ApprovalDecided, ApprovalRequested, StepSkipped, Suspended, WaitStarted
from intendant.pilot import waiting
from intendant.plugin import IntentHandler, IntentSpec, StepResult
from intendant.record.journal import Journal
from intendant.record.store import approvals, runs
from intendant.record.store.chain import verify
from intendant.testing import engine


class Copy(IntentHandler):
    """Returns its input."""

    spec = IntentSpec(name="copy", summary="Copy", examples=("Copy",))

    def __init__(self) -> None:
        super().__init__()
        self.done = []

    def needs_model(self, step):
        return False

    async def handle(self, request):
        self.done.append(request.step.id)
        return StepResult(output=request.input)


def asking(approve: str = "ask: 'Send {{ steps.draft.output }}?'") -> Workflow:
    return Workflow.parse(f"""
name: t
steps:
  - {{id: draft, intent: copy, input: hello}}
  - {{id: send, intent: copy, approve: {{{approve}}}, input: ["{{{{ steps.draft.output }}}}"]}}
  - {{id: after, intent: copy, input: "{{{{ steps.send.output }}}}"}}
""")


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


async def decide(url, run_id, verdict="approved", by="ann", step="send", note=""):
    async with engine(Copy(), db=url) as other:
        return await other._engine.store.do(approvals.decide(run_id, step, by, verdict, note))


async def resumed(url, run_id="last"):
    copy, seen = Copy(), []
    async with engine(copy, db=url) as service:
        result = await service.resume(run_id, on_event=seen.append)
        rows = await service._engine.store.do(runs.events_of(result.run_id))
    assert verify(rows) is None
    return result, copy.done, seen


async def waits(url, flow) -> str:
    copy, seen = Copy(), []
    async with engine(copy, db=url) as service:
        first = await service.run(flow, on_event=seen.append)
        row = await service._engine.store.do(runs.find_run("last"))
    assert (first.status, row.status, list(first.waits), copy.done) == ("waiting", "waiting", ["send"], ["draft"])
    assert isinstance(seen[-1], Suspended)
    return first.run_id


async def test_a_run_waits_as_a_row_and_another_process_goes_on_when_somebody_approved(url) -> None:
    run_id = await waits(url, asking())
    assert await decide(url, run_id) == 0
    result, done, seen = await resumed(url)
    assert (result.status, done, result.outputs["after"]) == ("completed", ["send", "after"], ["hello"])
    decided = next(event for event in seen if isinstance(event, ApprovalDecided))
    assert (decided.verdict, decided.by) == ("approved", ("ann",))


async def test_who_is_asked_sees_what_would_be_sent_and_what_it_may_cost(url) -> None:
    run_id = await waits(url, asking())
    async with engine(Copy(), db=url) as service:
        (row,) = await service._engine.store.do(approvals.open_approvals(run_id))
    shown = json.loads(row.shown)
    assert (row.ask, shown["input"]) == ("Send hello?", ["hello"])
    assert shown["cost"] == {"tokens_at_most": 0, "micro_usd_at_most": 0}


async def test_a_run_that_is_resumed_before_anybody_decided_waits_on_and_does_not_ask_again(url) -> None:
    run_id = await waits(url, asking())
    result, done, seen = await resumed(url)
    assert (result.status, done) == ("waiting", [])
    assert not [event for event in seen if isinstance(event, ApprovalRequested)]
    assert await decide(url, run_id) == 0


async def test_a_denial_fails_the_step_with_its_reason(url) -> None:
    run_id = await waits(url, asking())
    await decide(url, run_id, "denied", note="too early")
    result, done, _ = await resumed(url)
    assert (result.status, done) == ("failed", [])
    assert (result.failures["send"].code, result.failures["send"].message) == (
        "approval_denied",
        "ann denied it: too early",
    )


async def test_as_many_people_as_needed_have_to_approve_and_only_those_who_may(url) -> None:
    run_id = await waits(url, asking("ask: Really?, by: [ann, bob, cid], need: 2"))
    with pytest.raises(IntendantError, match="'eve' may not decide"):
        await decide(url, run_id, by="eve")
    assert await decide(url, run_id, by="ann") == 1
    assert await decide(url, run_id, by="ann") == 1  # the same person twice is one
    assert (await resumed(url))[0].status == "waiting"
    assert await decide(url, run_id, by="bob") == 0
    assert (await resumed(url))[0].status == "completed"


@pytest.mark.parametrize(
    ("otherwise", "status", "step"),
    [("deny", "failed", "failed"), ("approve", "completed", "completed"), ("skip", "completed", "skipped")],
)
async def test_when_the_time_to_decide_is_over_the_workflow_says_what_holds(url, otherwise, status, step) -> None:
    run_id = await waits(url, asking(f"ask: Now?, within: 300ms, otherwise: {otherwise}"))
    await asyncio.sleep(0.35)
    with pytest.raises(IntendantError, match="the time to decide is over"):
        await decide(url, run_id)
    result, _, _ = await resumed(url)
    assert (result.status, result.steps["send"].status) == (status, step)


async def rewrite(service, run_id, key, status, output):
    """Another process executed a step of the run again, and it ended otherwise."""
    store = service._engine.store
    claimed = await store.do(runs.claim(run_id, "elsewhere:1"))
    row = next(row for row in claimed.steps if row.key == key)
    outcome = json.dumps(json.loads(row.outcome) | {"status": status})
    journal = Journal(store, claimed.fence)
    changed = row._replace(status=status, output=output, outcome=outcome)
    await journal.commit(
        runs.save_step(claimed.fence, changed), journal.step(key).event(StepSkipped, reason="again")
    )
    await journal.commit(runs.finish_run(claimed.fence, "failed"))


async def test_a_decision_is_about_what_was_shown_and_void_for_anything_else(url) -> None:
    run_id = await waits(url, asking())
    await decide(url, run_id)
    async with engine(Copy(), db=url) as service:
        await rewrite(service, run_id, "draft", "completed", '"another text"')
    result, done, _ = await resumed(url)
    assert (result.status, done) == ("waiting", [])
    assert "another text" in result.waits["send"]


async def test_inside_a_group_people_are_asked_for_each_item_and_beside_it_once(url) -> None:
    inner = """
name: t
steps:
  - id: each
    for_each: [1, 2]
    steps: [{id: send, intent: copy, approve: {ask: "{{ item }}?"}, input: "{{ item }}"}]
"""
    async with engine(Copy(), db=url) as service:
        first = await service.run(Workflow.parse(inner))
        asked = await service._engine.store.do(approvals.open_approvals(first.run_id))
    assert [(row.step_key, row.ask) for row in asked] == [("each[0]/send", "1?"), ("each[1]/send", "2?")]
    await decide(url, first.run_id, step="each[0]/send")
    result, done, _ = await resumed(url)
    assert (result.status, done) == ("waiting", ["send"])
    await decide(url, first.run_id, step="each[1]/send")
    result, done, _ = await resumed(url)
    assert (result.outputs["each"], done) == ([1, 2], ["send"])

    beside = "name: t\nsteps: [{id: each, for_each: [1, 2], approve: {ask: All?}, intent: copy}]"
    async with engine(Copy(), db=url) as service:
        first = await service.run(Workflow.parse(beside))
        (row,) = await service._engine.store.do(approvals.open_approvals(first.run_id))
    assert (row.step_key, json.loads(row.shown)["items"]) == ("each", [1, 2])


async def test_a_process_that_stays_goes_on_when_somebody_decides(url) -> None:
    async with engine(Copy(), db=url) as service:
        running = asyncio.create_task(service.run(asking(), wait=True))
        while not (rows := await service._engine.store.do(approvals.open_approvals())):
            await asyncio.sleep(0.02)
        await decide(url, rows[0].run_id)
        result = await running
    assert (result.status, result.outputs["after"]) == ("completed", ["hello"])


async def test_a_wait_is_over_when_its_time_has_come_whatever_process_looks(url, monkeypatch) -> None:
    monkeypatch.setattr(waiting, "IN_PROCESS_SECONDS", 0.01)
    flow = Workflow.parse(
        "name: t\nsteps: [{id: draft, intent: copy}, {id: send, wait: {for: 400ms}, needs: [draft]}]"
    )
    started = time()
    seen = []
    async with engine(Copy(), db=url) as service:
        first = await service.run(flow, on_event=seen.append)
    assert (first.status, first.steps["send"].status) == ("waiting", "waiting")
    until = next(event for event in seen if isinstance(event, WaitStarted)).until
    assert started + 0.3 < until < time() + 0.4
    again, _, _ = await resumed(url)
    assert again.status in ("waiting", "completed")  # a machine may be slow
    await asyncio.sleep(max(0.0, until - time()))
    if again.status == "waiting":
        assert again.steps["send"].due == until  # it is not begun anew
        assert (await resumed(url))[0].status == "completed"


async def test_a_short_wait_is_slept_through(url) -> None:
    async with engine(Copy(), db=url) as service:
        result = await service.run(Workflow.parse("name: t\nsteps: [{id: a, wait: {for: 50ms}}]"))
    assert result.status == "completed"


async def test_a_waiting_run_can_be_cancelled_and_does_what_is_done_whatever_happens(url) -> None:
    text = """
name: t
steps: [{id: draft, intent: copy}, {id: send, approve: {ask: Now?}, needs: [draft]}]
finally: [{id: tidy, intent: copy, input: "{{ run.status }}"}]
"""
    await waits(url, Workflow.parse(text))
    async with engine(Copy(), db=url) as service:
        result = await service.cancel("last")
        row = await service._engine.store.do(runs.find_run("last"))
        assert await service._engine.store.do(approvals.open_approvals()) == []
    assert (result.status, row.status, result.outputs["tidy"]) == ("cancelled", "cancelled", "cancelled")


VOTE = "ask: Really?, by: [ann, bob, cid, dan], need: majority"


async def test_a_majority_is_more_than_half_and_a_denial_is_a_vote(url) -> None:
    run_id = await waits(url, asking(VOTE))
    assert await decide(url, run_id, "denied", by="dan") == 3
    assert await decide(url, run_id, by="ann") == 2
    assert await decide(url, run_id, by="bob") == 1, "two of four are not more than half"
    assert (await resumed(url))[0].status == "waiting"
    assert await decide(url, run_id, by="cid") == 0
    assert (await resumed(url))[0].status == "completed"


async def test_a_majority_that_cannot_be_had_any_more_is_a_denial(url) -> None:
    run_id = await waits(url, asking(VOTE))
    await decide(url, run_id, "denied", by="ann", note="no")
    assert (await resumed(url))[0].status == "waiting"
    assert await decide(url, run_id, "denied", by="bob", note="never") == 0
    result, _, _ = await resumed(url)
    assert (result.status, result.failures["send"].message) == ("failed", "ann, bob denied it: no; never")


async def test_all_have_to_approve_where_the_workflow_says_so(url) -> None:
    run_id = await waits(url, asking("ask: x, by: [ann, bob], need: all"))
    assert await decide(url, run_id, by="ann") == 1
    assert await decide(url, run_id, by="bob") == 0


LATER = "ask: Now?, by: ann, within: 200ms, otherwise: {by: [bob, cid], need: all, within: 300ms, otherwise: skip}"


async def test_others_are_asked_when_the_time_of_the_first_is_over(url) -> None:
    run_id = await waits(url, asking(LATER.replace("300ms", "1h")))
    await asyncio.sleep(0.25)
    result, _, seen = await resumed(url)
    assert result.status == "waiting"
    assert [event.by for event in seen if isinstance(event, ApprovalRequested)] == [("bob", "cid")]
    with pytest.raises(IntendantError, match="'ann' may not decide"):
        await decide(url, run_id, by="ann")
    for by in ("bob", "cid"):
        await decide(url, run_id, by=by)
    assert (await resumed(url))[0].outputs["after"] == ["hello"]


async def test_when_the_time_of_all_of_them_is_over_the_last_one_says_what_holds(url) -> None:
    await waits(url, asking(LATER))
    for _ in range(2):
        await asyncio.sleep(0.35)
        result, _, _ = await resumed(url)
    assert (result.status, result.steps["send"].status) == ("completed", "skipped")


NOTED = """
name: t
steps:
  - {id: draft, intent: copy, input: hello}
  - {id: send, intent: copy, approve: {ask: Send?}, input: "{{ steps.draft.output }}"}
  - {id: halt, wait: {event: go}, needs: [send], join: done}
  - id: after
    intent: copy
    needs: [halt]
    when: "steps.send.approval.approved == (steps.send.status == 'completed')"
    input: ["{{ steps.send.approval.note }}", "{{ steps.send.approval.by[0] }}", "{{ steps.draft.approval }}"]
"""


@pytest.mark.parametrize("verdict", ["approved", "denied"])
async def test_later_steps_read_who_decided_and_why_whatever_process_executes_them(url, verdict) -> None:
    async with engine(Copy(), db=url) as service:
        first = await service.run(Workflow.parse(NOTED))
    await decide(url, first.run_id, verdict, note="fine by me")
    assert (await resumed(url))[0].status == "waiting"
    async with engine(Copy(), db=url) as service:
        await service.signal("last", "go")
    result, _, _ = await resumed(url)
    assert result.outputs["after"] == ["fine by me", "ann", None]


@pytest.mark.parametrize(
    ("approve", "said"),
    [
        ("need: majority", "`need: majority` needs to know of whom"),
        ("by: [ann, ann], need: 2", "2 have to approve, and fewer may: ann"),
        ("otherwise: {by: bob}", "say how long that is: within: 2d"),
        ("need: most", "need: "),
        ("otherwise: never, within: 2d", "otherwise: "),
        ("otherwise: {bye: bob}, within: 2d", "'bye' is not known here"),
    ],
)
def test_what_an_approval_cannot_say_is_refused(approve, said) -> None:
    with pytest.raises(WorkflowError) as found:
        asking(f"ask: x, {approve}")
    assert said in str(found.value)
    assert "5:" in str(found.value)
