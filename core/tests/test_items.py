"""Steps and groups that are executed for each item of a list: each item by itself, resumed, and within the budget."""

import asyncio
import json
import signal
import subprocess
import sys
import textwrap

import pytest

from intendant import Workflow, WorkflowError
from intendant.events import ItemsEnded, ItemsStarted, StepSkipped
from intendant.pilot.items import address_key
from intendant.plugin import (
    Connector,
    ConnectorCall,
    IntentHandler,
    IntentSpec,
    Message,
    ModelRequest,
    Options,
    StepError,
    StepResult,
    operation,
)
from intendant.record.journal import Journal
from intendant.record.store import bookings, runs
from intendant.record.store.chain import verify
from intendant.testing import ScriptedProvider, engine


class Copy(IntentHandler):
    """Returns its input; fails where that is among what it is told to fail on."""

    spec = IntentSpec(name="copy", summary="Copy", examples=("Copy",))

    def __init__(self, *failing) -> None:
        super().__init__()
        self.failing = list(failing)
        self.done = []
        self.active = self.most = 0

    def needs_model(self, step):
        return False

    async def handle(self, request):
        self.active += 1
        self.most = max(self.most, self.active)
        await asyncio.sleep(0)
        self.active -= 1
        if request.input in self.failing:
            raise StepError(f"not {request.input}")
        self.done.append(request.input)
        return StepResult(output=request.input)


class Ask(IntentHandler):
    """Asks the model once."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        ask = ModelRequest(messages=(Message(content=f"{request.prompt}"),), max_output_tokens=20)
        return StepResult(output=(await request.model.complete(ask)).text)


class Nothing(Options):
    """No parameters."""


class Post(Connector):
    """Takes letters."""

    name = "post"

    def __init__(self) -> None:
        super().__init__()
        self.sent = []

    @operation(side_effects=True)
    async def send(self, parameters: Nothing, call: ConnectorCall):
        """Send a letter."""
        self.sent.append(call.input)
        return {"sent": call.input}


class Deliver(IntentHandler):
    """Sends its input."""

    spec = IntentSpec(name="deliver", summary="Deliver", examples=("Deliver",), side_effects=True)

    def needs_model(self, step):
        return False

    async def handle(self, request):
        return StepResult(output=await request.use_connector(request.input))


def flow(*steps, **more) -> Workflow:
    return Workflow.model_validate(
        {"name": "t", "inputs": {"rows": {"type": "array", "default": []}}, "steps": list(steps), **more}
    )


EACH = {"id": "each", "intent": "copy", "for_each": "{{ inputs.rows }}", "as": "row"}


async def run(workflow, rows, *plugins, **settings):
    async with engine(*plugins, **settings) as service:
        return await service.run(workflow, {"rows": rows})


async def test_outputs_are_gathered_in_the_order_of_the_items() -> None:
    result = await run(flow(EACH), [3, 1, 2], Copy())
    assert result.outputs == {"each": [3, 1, 2]}
    assert result.steps["each"].items.model_dump() == {"total": 3, "completed": 3, "failed": 0, "skipped": 0}


async def test_no_items_are_an_empty_list() -> None:
    assert (await run(flow(EACH), [], Copy())).outputs == {"each": []}


@pytest.mark.parametrize(
    ("gather", "rows", "output"),
    [
        ("list", [[1], [2, 3]], [[1], [2, 3]]),
        ("flatten", [[1], [2, 3]], [1, 2, 3]),
        ("merge", [{"a": 1}, {"b": 2}], {"a": 1, "b": 2}),
    ],
)
async def test_gather_says_what_the_outputs_become(gather, rows, output) -> None:
    assert (await run(flow({**EACH, "gather": gather}), rows, Copy())).outputs["each"] == output


async def test_a_merge_notes_values_that_it_did_not_take() -> None:
    step = {**EACH, "gather": "merge", "key": "string(row.id)"}
    rows = [{"id": 1, "fee": 5}, {"id": 2, "fee": 5}, {"id": 3, "fee": 7}]
    each = (await run(flow(step), rows, Copy())).steps["each"]
    assert each.output == {"id": 3, "fee": 7}
    assert "2 keys have different values in several items" in " ".join(each.notes)
    assert "'id', of item '3'" in " ".join(each.notes)
    each = (await run(flow(step), [{"id": 1}], Copy())).steps["each"]
    assert each.notes == ("1 items",)


async def test_a_merge_keeps_the_error_of_each_item_under_its_key() -> None:
    step = {**EACH, "gather": "merge", "key": "row.sku", "on_item_error": "keep", "input": "{{ row.stock.count }}"}
    rows = [{"sku": "a", "stock": {"count": {"x": 1}}}, {"sku": "b", "stock": 1}, {"sku": "c", "stock": 2}]
    output = (await run(flow(step), rows, Copy())).outputs["each"]
    assert output["x"] == 1
    assert [output[key]["key"] for key in ("b", "c")] == ["b", "c"]


async def test_keys_of_maps_may_be_references() -> None:
    inner = {"id": "copy", "intent": "copy", "input": "{{ row.count }}"}
    step = {"id": "each", "for_each": "{{ inputs.rows }}", "as": "row", "gather": "merge", "steps": [inner]}
    step["returns"] = {"{{ row.ward }}-{{ row.bed }}": "{{ steps.copy.output }}"}
    rows = [{"ward": "north", "bed": 1, "count": 4}, {"ward": "south", "bed": 2, "count": None}]
    assert (await run(flow(step), rows, Copy())).outputs["each"] == {"north-1": 4, "south-2": None}


async def test_gather_of_another_form_names_the_item() -> None:
    result = await run(flow({**EACH, "gather": "merge", "key": "row[0]"}), [["x"]], Copy())
    assert "the output of item 'x' is a list" in result.failures["each"].message


@pytest.mark.parametrize(
    ("on_item_error", "output"),
    [("skip", [1, 3]), ("keep", [1, {"error": {"code": "step_failed", "message": "not 2"}, "key": "1"}, 3])],
)
async def test_an_item_that_fails_does_not_stop_the_rest(on_item_error, output) -> None:
    result = await run(flow({**EACH, "on_item_error": on_item_error}), [1, 2, 3], Copy(2))
    assert (result.status, result.outputs["each"]) == ("completed", output)
    assert "1 failed" in result.steps["each"].notes[1]


async def test_by_default_an_item_that_fails_fails_the_step_and_no_other_is_started() -> None:
    copy = Copy(2)
    result = await run(flow({**EACH, "concurrency": 1}), [1, 2, 3], copy)
    assert (result.status, result.failures["each"].message, copy.done) == ("failed", "item '1': not 2", [1])


async def test_no_more_items_run_at_the_same_time_than_concurrency_says() -> None:
    copy = Copy()
    await run(flow({**EACH, "concurrency": 3}), list(range(20)), copy)
    assert copy.most == 3


async def test_a_group_is_executed_for_each_item_and_its_steps_see_the_item_and_what_is_outside() -> None:
    group = {
        "id": "each",
        "for_each": "{{ inputs.rows }}",
        "as": "row",
        "key": "row.id",
        "steps": [
            {"id": "a", "intent": "copy", "input": "{{ row.id }}"},
            {
                "id": "b",
                "intent": "copy",
                "when": "row.id != 2",
                "input": "{{ steps.a.output }}-{{ steps.first.output }}",
            },
        ],
        "returns": {"a": "{{ steps.a.output }}", "b": "{{ default(steps.b.output, 'none') }}"},
    }
    steps = ({"id": "first", "intent": "copy", "input": "x"}, group)
    result = await run(flow(*steps), [{"id": 1}, {"id": 2}], Copy())
    assert result.outputs["each"] == [{"a": 1, "b": "1-x"}, {"a": 2, "b": "none"}]


async def test_maps_nest() -> None:
    inner = {
        "id": "inner",
        "for_each": "{{ row }}",
        "as": "cell",
        "intent": "copy",
        "input": ["{{ cell }}", "{{ row }}"],
    }
    group = {"id": "each", "for_each": "{{ inputs.rows }}", "as": "row", "steps": [inner]}
    result = await run(flow(group), [[1, 2], [3]], Copy())
    assert result.outputs["each"] == [[[1, [1, 2]], [2, [1, 2]]], [[3, [3]]]]


async def test_two_items_of_one_key_are_refused_before_any_is_executed() -> None:
    copy = Copy()
    result = await run(flow({**EACH, "key": "row.id"}), [{"id": 1}, {"id": 1}], copy)
    failure = result.failures["each"]
    assert "the items 0 and 1 have the same key '1'" in failure.message
    assert "`unique_by`" in failure.hint
    assert copy.done == []


@pytest.mark.parametrize("value", [None, "", [1], {"a": 1}])
async def test_an_item_without_a_key_is_shown_as_it_is_written_in_files(value: object) -> None:
    copy = Copy()
    result = await run(flow({**EACH, "key": "row.id"}), [{"id": 1}, {"id": value, "of": None}], copy)
    failure = result.failures["each"]
    assert failure.message.startswith("`key` of item 1 is ")
    assert '"of": null' in failure.message
    assert "filter" in failure.hint
    assert copy.done == []


@pytest.mark.parametrize(
    ("step", "said", "line"),
    [
        ("{id: a, intent: copy, concurrency: 2}", "`concurrency` needs a `for_each`", 3),
        ("{id: a, intent: copy, for_each: rows}", "`for_each` is a list, not 'rows'", 3),
        ("{id: a, intent: copy, for_each: [1], as: steps}", "an item cannot be called 'steps' here", 3),
        ("{id: a, intent: copy, for_each: [1], key: rwo.id}", "undeclared reference to 'rwo", 3),
        (
            "{id: a, intent: copy, for_each: [1], as: r, input: '{{ item }}'}",
            "'item' in '{{ item }}' is not known",
            3,
        ),
        ("{id: a, intent: copy, steps: [{id: b, intent: copy}]}", "a group has no `intent`", 3),
        ("{id: a, returns: 1, intent: copy}", "only a group has `returns`", 3),
        ("{id: a, steps: [{id: b, intent: copy, input: '{{ steps.c.output }}'}]}", "there is no step 'c'", 3),
        ("{id: a, steps: [{id: b, intent: copy, need: []}]}", "'need' is not known here", 3),
        ("{id: a, steps: []}", "`steps` has no step", 3),
        ("{id: a, intent: copy, on_error: {}}", "give either `output` or `steps`", 3),
        ("{id: a, intent: copy, on_error: stop}", "on_error", 3),
        ("{id: a, intent: copy, model: gpt}", "write provider/model", 3),
        ("{id: a, approve: {within: soon}}", "a duration is a number of seconds", 3),
        ("{id: a, wait: {}}", "give one of `for`, `until` and `event`", 3),
    ],
)
async def test_what_is_wrong_is_said_with_its_line_before_the_run(step, said, line) -> None:
    text = f"name: t\nsteps:\n  - {step}\n"
    async with engine(Copy()) as service:
        with pytest.raises(WorkflowError) as caught:
            await service.plan(Workflow.parse(text, file="f.yaml"))
    problems = [problem for problem in caught.value.problems if said in problem.message]
    assert problems, caught.value
    assert problems[0].line == line


async def test_items_are_in_the_chain_and_their_events_say_what_they_were(tmp_path) -> None:
    seen = []
    async with engine(Copy(2), db=f"sqlite:///{tmp_path}/x.db") as service:
        result = await service.run(flow({**EACH, "on_item_error": "skip"}), {"rows": [1, 2]}, on_event=seen.append)
        rows = await service._engine.store.do(runs.events_of(result.run_id))
    assert verify(rows) is None
    started = next(event for event in seen if isinstance(event, ItemsStarted))
    ended = [item for event in seen if isinstance(event, ItemsEnded) for item in event.items]
    assert (started.total, started.kept) == (2, 0)
    assert [(item.step, item.status.value, item.code) for item in ended] == [
        ("each[0]", "completed", ""),
        ("each[1]", "failed", "step_failed"),
    ]


async def test_the_same_workflow_gives_the_same_journal(tmp_path) -> None:
    def told(events):
        left = {"at", "run_id", "seconds", "inputs"}
        return [json.dumps(_without(event.model_dump(mode="json"), left)) for event in events]

    journals = []
    for number in range(2):
        seen = []
        async with engine(Copy(), db=f"sqlite:///{tmp_path}/{number}.db") as service:
            await service.run(flow(EACH), {"rows": list(range(300))}, on_event=seen.append)
        ended = [item for event in seen if isinstance(event, ItemsEnded) for item in event.items]
        assert sorted(item.step for item in ended) == sorted(f"each[{index}]" for index in range(300))
        journals.append(sorted({event.type for event in seen}))
    assert journals[0] == journals[1]


def _without(value, names):
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


async def test_items_share_the_budget_of_their_step_and_never_pass_it(tmp_path) -> None:
    step = {"id": "each", "intent": "ask", "for_each": "{{ inputs.rows }}", "prompt": "say {{ item }}"}
    step |= {"budget": {"tokens": 120}, "on_item_error": "skip", "concurrency": 5}
    provider = ScriptedProvider("a word or two")
    async with engine(Ask(), provider, db=f"sqlite:///{tmp_path}/x.db") as service:
        result = await service.run(flow(step, budget={"tokens": 10_000}), {"rows": list(range(40))})
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
    assert 0 < totals.tokens <= 120
    assert result.steps["each"].items.failed > 0
    assert totals.open_holds == 0


async def test_the_budget_of_a_group_holds_for_all_steps_in_it(tmp_path) -> None:
    inner = [{"id": name, "intent": "ask", "prompt": "say {{ item }}"} for name in ("a", "b")]
    group = {"id": "each", "for_each": "{{ inputs.rows }}", "steps": inner, "budget": {"tokens": 150}}
    group["on_item_error"] = "skip"
    async with engine(Ask(), ScriptedProvider("a word or two"), db=f"sqlite:///{tmp_path}/x.db") as service:
        result = await service.run(flow(group, budget={"tokens": 10_000}), {"rows": list(range(20))})
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
    assert 0 < totals.tokens <= 150
    assert result.steps["each"].items.failed > 0


async def test_money_of_a_step_is_bounded_as_well(tmp_path) -> None:
    step = {"id": "each", "intent": "ask", "for_each": "{{ inputs.rows }}", "prompt": "say {{ item }}"}
    step |= {"budget": {"usd": 0.0001}, "on_item_error": "skip"}
    async with engine(Ask(), ScriptedProvider("a word or two"), db=f"sqlite:///{tmp_path}/x.db") as service:
        result = await service.run(flow(step), {"rows": list(range(30))})
        totals = await service._engine.store.do(bookings.totals_of_run(result.run_id))
    assert 0 < totals.micro_usd <= 100
    assert result.steps["each"].items.failed > 0


async def test_items_that_are_done_are_kept_and_only_those_that_failed_are_done_again(tmp_path) -> None:
    copy, url = Copy(2), f"sqlite:///{tmp_path}/x.db"
    async with engine(copy, db=url) as service:
        first = await service.run(flow({**EACH, "concurrency": 1}), {"rows": [1, 2, 3]})
    assert first.status == "failed"
    copy.failing, copy.done = [], []
    async with engine(copy, db=url) as service:
        second = await service.resume(first.run_id)
    assert (second.outputs["each"], copy.done) == ([1, 2, 3], [2, 3])


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


async def test_an_item_that_has_changed_is_done_again(tmp_path) -> None:
    """Its key is the same, but what it is comes from a step that failed and gave something else the second time."""
    copy, url = Copy(20), f"sqlite:///{tmp_path}/x.db"
    given = [[10, 20], [11, 20]]

    class Give(Copy):
        spec = IntentSpec(name="give", summary="Give", examples=("Give",))

        async def handle(self, request):
            return StepResult(output=given.pop(0))

    steps = [{"id": "rows", "intent": "give"}, {**EACH, "for_each": "{{ steps.rows.output }}", "concurrency": 1}]
    group = {"id": "all", "steps": [*steps, {"id": "end", "intent": "copy", "input": "{{ steps.each.output }}"}]}
    async with engine(copy, Give(), db=url) as service:
        first = await service.run(flow(group), {})
        assert first.status == "failed"
        await rewrite(service, first.run_id, "all/rows", "failed", None)
    copy.failing, copy.done = [], []
    async with engine(copy, Give(), db=url) as service:
        second = await service.resume(first.run_id)
    assert (second.status, copy.done[:2]) == ("completed", [11, 20])


KILLED = """
    import asyncio, os, sys
    sys.path.insert(0, {tests!r})
    from test_items import Ask, Copy, Deliver, EACH, Post, flow
    from intendant.plugin import operation
    from intendant.testing import ScriptedProvider, engine

    def said(request):
        with open({log!r}, "a") as log:
            log.write("asked " + request.messages[0].content + chr(10))
        return "word"

    class Logged(Post):
        @operation(side_effects=True, idempotent=True)
        async def send(self, parameters: __import__("test_items").Nothing, call):
            "Send a letter."
            await asyncio.sleep(0.002)
            with open({log!r}, "a") as log:
                log.write("sent " + call.idempotency_key + " " + str(call.input) + chr(10))
            return call.input

    GROUP = {{"id": "each", "for_each": "{{{{ inputs.rows }}}}", "as": "row", "concurrency": 3, "steps": [
        {{"id": "a", "intent": "ask", "prompt": "about {{{{ row }}}}"}},
        {{"id": "b", "intent": "deliver", "uses": "post.send", "input": "{{{{ row }}}}"}},
    ]}}

    async def main():
        async with engine(Ask(), Deliver(), Logged(), ScriptedProvider(said), db={url!r}) as service:
            if len(sys.argv) > 1:
                result = await service.resume("last", take_over=True)
            else:
                result = await service.run(flow(GROUP, budget={{"tokens": 100_000}}), {{"rows": list(range(40))}})
            print(result.status.value, len(result.outputs.get("each", [])))

    asyncio.run(main())
"""


@pytest.mark.parametrize("after", [3, pytest.param(40, marks=pytest.mark.slow), 75])
async def test_after_kill_9_nothing_that_was_committed_is_repeated_and_nothing_is_lost(tmp_path, after) -> None:
    log, url = tmp_path / "log", f"sqlite:///{tmp_path}/x.db"
    script = tmp_path / "main.py"
    script.write_text(
        textwrap.dedent(KILLED).format(
            tests=str(__import__("pathlib").Path(__file__).parent), log=str(log), url=url
        )
    )
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.DEVNULL)
    lines = 0
    for _ in range(3000):
        lines = len(log.read_text().splitlines()) if log.exists() else 0
        if lines >= after or process.poll() is not None:
            break
        await asyncio.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    async with engine(Copy(), db=url) as service:
        run_id = (await service._engine.store.do(runs.find_run("last"))).id
        kept = {
            row.key for row in await service._engine.store.do(runs.steps_of(run_id)) if row.status == "completed"
        }
    before = log.read_text().splitlines()
    done = subprocess.run([sys.executable, str(script), "resume"], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["completed", "40"], done.stderr
    after_kill = log.read_text().splitlines()[len(before) :]
    asked = [line for line in log.read_text().splitlines() if line.startswith("asked")]
    assert {f"asked about {index}" for index in range(40)} == set(asked)
    assert len(asked) <= 40 + 3  # those that were out when it died, at most
    for key in kept:
        index = key.partition("[")[2].partition("]")[0]
        if key.endswith("/a"):
            assert f"asked about {index}" not in after_kill
        elif key.endswith(("]", "/b")):
            assert not any(line.startswith("sent") and line.endswith(f" {index}") for line in after_kill)
    keys = {line.split()[2]: line.split()[1] for line in after_kill if line.startswith("sent")}
    for line in before:
        if line.startswith("sent"):
            _, key, index = line.split()
            assert keys.get(index, key) == key  # a letter that is sent again has the same key


async def test_a_list_that_is_longer_than_may_be_asks_nothing() -> None:
    provider = ScriptedProvider("an answer")
    rows = {"id": "rows", "intent": "copy", "input": list(range(6))}
    each = {"id": "each", "intent": "ask", "for_each": "{{ steps.rows.output }}", "input": "x"}
    flow = Workflow.model_validate({"name": "w", "steps": [rows, each]})
    async with engine(Copy(), Ask(), provider, settings={"run": {"max_items": 5}}) as service:
        result = await service.run(flow)
    failure = result.failures["each"]
    assert "6 items, more than the 5" in failure.message
    assert "run.max_items" in failure.hint
    assert not provider.calls


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("plain key", "plain key"),
        ("a/b[c]%d", "a%2Fb%5Bc%5D%25d"),
        ("line\nbreak\ttab", "line%20break%20tab"),
        ("k" * 80, "k" * 80),
    ],
)
def test_a_key_stands_in_addresses_without_what_these_are_made_of(key, address) -> None:
    assert address_key(key) == address


def test_a_long_key_is_cut_in_addresses_and_stays_its_own() -> None:
    one, two = address_key("k" * 81), address_key("k" * 82)
    assert one != two
    assert {len(each) for each in (one, two)} == {80}
    assert all(each.startswith("k" * 71 + "~") for each in (one, two))
