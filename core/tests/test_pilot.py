"""Runs: parallel steps, conditions, failures, timeouts, retries, cancellation; and hosts that drive them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from intendant import IntendantError, Workflow, WorkflowError
from intendant.plugin import (
    Connector,
    ConnectorCall,
    ConnectorError,
    IntentHandler,
    IntentSpec,
    Options,
    StepError,
    StepResult,
    operation,
)
from intendant.record.journal import read_events
from intendant.record.metrics import MetricsFold
from intendant.record.store import runs
from intendant.record.store.chain import verify
from intendant.testing import engine, run_steps, sync_engine


class Do(IntentHandler):
    """Does what its input says: returns it, waits, fails, or counts how many run at once."""

    spec = IntentSpec(name="do", summary="Do", examples=("Do it",))

    def __init__(self):
        super().__init__()
        self.order: list[str] = []
        self.now = self.most = 0
        self.tries: dict[str, int] = {}
        self.cancelled: list[str] = []

    def needs_model(self, step):
        return False

    async def handle(self, request):
        step = request.step.id
        self.order.append(step)
        self.tries[step] = self.tries.get(step, 0) + 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await self.act(request, step)
        except asyncio.CancelledError:
            self.cancelled.append(step)
            raise
        finally:
            self.now -= 1

    async def act(self, request, step):
        what = request.input
        if isinstance(what, dict) and "sleep" in what:
            await asyncio.sleep(what["sleep"])
        if isinstance(what, dict) and "fail_until" in what and self.tries[step] < what["fail_until"]:
            raise ConnectorError("passing fault", retryable=True)
        if what == "fail":
            raise StepError("it cannot be done", hint="do something else")
        if what == "crash":
            raise ZeroDivisionError("a fault of the plugin")
        if what == "not json":
            return StepResult(output={1, 2})
        if what == "nan":
            return StepResult(output=float("nan"))
        if what == "nothing":
            return None
        return StepResult(output=what)


def steps(**given) -> list[dict]:
    return [
        {"id": name, "intent": "do", **(value if isinstance(value, dict) else {"input": value})}
        for name, value in given.items()
    ]


async def test_independent_steps_run_at_the_same_time_and_dependants_after() -> None:
    do = Do()
    wait = {"input": {"sleep": 0.05}}
    result = await run_steps(
        steps(a=wait, b=wait, c=wait, d={"needs": ["a", "b"], "input": "{{ steps.c.output }}"}), do
    )
    assert result.status == "completed"
    assert do.most == 3
    assert do.order[-1] == "d"


async def test_no_more_than_max_parallel_and_the_highest_priority_first() -> None:
    do = Do()
    many = steps(**{f"s{n}": {"input": {"sleep": 0.001}, "priority": n} for n in range(6)})
    await run_steps(many, do, run={"max_parallel": 2})
    assert do.most == 2
    assert do.order == [f"s{n}" for n in (5, 4, 3, 2, 1, 0)]


async def test_a_failing_step_stops_its_dependants_and_nothing_else() -> None:
    do = Do()
    result = await run_steps(
        steps(
            bad="fail",
            crash="crash",
            after={"needs": ["bad"]},
            later={"needs": ["after"]},
            fine="x",
            ok={"needs": ["fine"]},
        ),
        do,
    )
    assert result.status == "failed"
    assert {name: step.status.value for name, step in result.steps.items()} == {
        "bad": "failed",
        "crash": "failed",
        "after": "skipped",
        "later": "skipped",
        "fine": "completed",
        "ok": "completed",
    }
    assert result.failures["bad"].hint == "do something else"
    assert "ZeroDivisionError: a fault of the plugin" in result.failures["crash"].message
    assert "'bad'" in result.steps["after"].reason
    assert "after" not in do.tries
    assert (result.metrics.steps_completed, result.metrics.steps_failed, result.metrics.steps_skipped) == (2, 2, 2)


async def test_a_false_condition_skips_the_step_and_what_depends_on_it() -> None:
    result = await run_steps(
        steps(
            a=[1, 2],
            yes={"when": "steps.a.output.size() == 2 && inputs.mode == 'full'", "input": 1},
            no={"when": "steps.a.output.size() > 2", "input": 1},
            under={"needs": ["no", "yes"]},
        ),
        Do(),
        inputs={"mode": "full"},
    )
    assert [step.status.value for step in result.steps.values()] == [
        "completed",
        "completed",
        "skipped",
        "skipped",
    ]
    assert result.status == "completed"


async def test_a_condition_that_cannot_be_evaluated_fails_the_step() -> None:
    result = await run_steps(
        steps(a={"input": {"x": "text"}}, b={"when": "steps.a.output.x > 3"}, c={"needs": ["b"]}), Do()
    )
    assert result.failures["b"].error == "ExpressionFailed"
    assert result.steps["c"].status == "skipped"


async def test_a_timeout_cancels_the_work() -> None:
    do = Do()
    result = await run_steps(steps(slow={"input": {"sleep": 30}, "timeout": 0.05}, other="x"), do)
    assert result.failures["slow"].error == "StepTimeout"
    assert do.cancelled == ["slow"]
    assert result.outputs == {"other": "x"}


async def test_retries_happen_as_often_as_asked_and_only_for_what_may_pass() -> None:
    do = Do()
    retry = {"attempts": 3, "delay": 0, "jitter": 0}
    seen = []
    flow = Workflow.model_validate(
        {
            "name": "t",
            "steps": steps(
                passes={"input": {"fail_until": 3}, "retry": retry},
                never={"input": {"fail_until": 9}, "retry": retry},
                final={"input": "fail", "retry": retry},
                anyway={"input": "crash", "retry": {**retry, "on": "any"}},
                slow={"input": {"sleep": 5}, "timeout": 0.02, "retry": retry},
            ),
        }
    )
    async with engine(do) as service:
        result = await service.run(flow, on_event=seen.append)
    assert do.tries == {"passes": 3, "never": 3, "final": 1, "anyway": 3, "slow": 3}
    assert result.steps["passes"].attempts == 3
    assert set(result.failures) == {"never", "final", "anyway", "slow"}
    assert sum(event.type == "step_retried" for event in seen) == 2 + 2 + 0 + 2 + 2


@pytest.mark.parametrize("what", ["not json", "nan", "nothing"])
async def test_what_is_no_json_result_fails_the_step(what) -> None:
    result = await run_steps(steps(a=what), Do())
    assert result.failures["a"].error in ("OutputInvalid", "StepError")


async def test_the_output_schema_is_kept() -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    result = await run_steps(
        steps(good={"input": {"n": 1}, "output": schema}, bad={"input": {"n": "x"}, "output": schema}), Do()
    )
    assert result.outputs == {"good": {"n": 1}}
    assert "n: " in result.failures["bad"].message


async def test_a_schema_reads_no_files_and_is_checked_before_the_run(tmp_path) -> None:
    (tmp_path / "s.json").write_text("{}")
    do = Do()
    for schema, says in (
        ({"$ref": f"file://{tmp_path}/s.json"}, "outside the schema"),
        ({"type": "strin"}, "not a usable JSON Schema"),
    ):
        with pytest.raises(WorkflowError, match=says):
            await run_steps(steps(a={"input": 1, "output": schema}), do)
    assert do.order == []


async def test_metrics_are_what_the_journal_says() -> None:
    do = Do()
    async with engine(do) as service:
        flow = Workflow.model_validate(
            {"name": "t", "steps": steps(a={"input": {"sleep": 0.05}}, b={"input": {"sleep": 0.05}}, c="fail")}
        )
        result = await service.run(flow)
        fold = MetricsFold()
        for event in await read_events(service._engine.store, result.run_id):
            fold.add(event)
        rows = await service._engine.store.do(runs.events_of(result.run_id))
        kept = await service._engine.store.do(runs.steps_of(result.run_id))
    assert fold.result() == result.metrics
    assert verify(rows) is None
    assert {step.key: json.loads(step.output) for step in kept if step.output} == result.outputs
    assert result.metrics.mean_step_seconds == pytest.approx(sum(s.seconds for s in result.steps.values()) / 3)
    # Two steps slept at the same time: their latencies sum to more than the run took.
    assert result.metrics.step_seconds > result.metrics.seconds * 0.9


async def test_each_event_has_a_severity() -> None:
    seen = []
    async with engine(Do()) as service:
        await service.run(
            Workflow.model_validate({"name": "t", "steps": steps(a="x", b="fail")}), on_event=seen.append
        )
    assert {event.type: event.severity for event in seen}["step_failed"] == "critical"
    assert {event.type: event.severity for event in seen}["step_executed"] == "info"


# --- hosts with an engine of their own ---


async def test_a_host_drives_a_run_step_by_step() -> None:
    flow = Workflow.model_validate({"name": "t", "steps": steps(a=1, b="{{ steps.a.output }}")})
    async with engine(Do()) as service:
        flight = service.orchestrator()
        assert not flight.is_active()
        assert await flight.initialize(flow)
        assert flight.is_active()
        assert (await flight.execute_step("a", input="given")).output == "given"
        assert flight.metadata().steps_completed == 1
        assert (await flight.execute_step("b")).output == "given"
        with pytest.raises(IntendantError, match="done already"):
            await flight.execute_step("a")
        with pytest.raises(IntendantError, match="no step 'zz'"):
            await flight.execute_step("zz")
        with pytest.raises(IntendantError, match="active already"):
            await flight.initialize(flow)
        result = await flight.complete()
        assert not flight.is_active()
        assert result.status == "completed"
        assert await flight.initialize(flow)
        await flight.reset()
        assert not flight.is_active()
        assert sorted(run.status for run in await service._engine.store.do(runs.list_runs())) == [
            "cancelled",
            "completed",
        ]


async def test_switched_off_nothing_happens() -> None:
    flow = Workflow.model_validate({"name": "t", "steps": steps(a=1)})
    async with engine(Do(), settings={"flags": {"orchestration_enabled": False}}) as service:
        flight = service.orchestrator()
        assert await flight.initialize(flow) is False
        assert await flight.execute_step("a") is None
        assert not flight.is_active()
        assert service._engine._store is None, "not even a database was opened"


def test_scripts_need_no_event_loop() -> None:
    flow = Workflow.model_validate({"name": "t", "steps": steps(a=1)})
    with sync_engine(Do()) as service:
        assert service.plan(flow).steps[0].intent == "do"
        assert service.run(flow).outputs == {"a": 1}
        flight = service.orchestrator()
        assert flight.initialize(flow)
        assert flight.run_id.startswith("r_")
        assert [step.step_id for step in flight.plan.steps] == ["a"]
        assert flight.should_run("a")
        assert flight.execute_step("a").output == 1
        assert flight.outcomes["a"].output == 1
        assert flight.complete().status == "completed"


async def test_the_sync_face_refuses_inside_a_loop() -> None:
    service = sync_engine(Do())
    with pytest.raises(IntendantError, match="an event loop is running"):
        service.run(Workflow.model_validate({"name": "t", "steps": steps(a=1)}))


async def test_planning_changes_nothing() -> None:
    do = Do()
    async with engine(do) as service:
        plan = await service.plan(Workflow.model_validate({"name": "t", "steps": steps(a=1)}))
        assert plan.steps[0].tokens == 0
        assert do.order == []
        assert "store" not in service.__dict__


# --- deliveries ---


class Target(Options):
    fail: int = 0


class Post(Connector):
    """Remembers what was posted."""

    name = "post"

    def __init__(self):
        super().__init__()
        self.posted: list[tuple[object, str]] = []
        self.tries = 0

    async def _post(self, parameters: Target, call: ConnectorCall) -> dict:
        self.tries += 1
        self.posted.append((call.input, call.idempotency_key))
        if self.tries <= parameters.fail:
            raise ConnectorError("cut off", retryable=True)
        return {"id": self.tries}

    @operation(side_effects=True)
    async def once(self, parameters: Target, call: ConnectorCall) -> dict:
        """Not safe to repeat."""
        return await self._post(parameters, call)

    @operation(side_effects=True, idempotent=True)
    async def again(self, parameters: Target, call: ConnectorCall) -> dict:
        """Safe to repeat."""
        return await self._post(parameters, call)


class Deliver(IntentHandler):
    """Delivers its input, then fails if its prompt says so."""

    spec = IntentSpec(name="deliver", summary="Deliver", examples=("Deliver",), side_effects=True)
    tries = 0

    def needs_model(self, step):
        return False

    async def handle(self, request):
        receipt = await request.use_connector(request.input)
        Deliver.tries += 1
        if request.prompt == "fail once after" and Deliver.tries == 1:
            raise ConnectorError("after the delivery", retryable=True)
        return StepResult(output=receipt)


async def test_a_delivery_that_was_made_is_not_made_again() -> None:
    post, Deliver.tries = Post(), 0
    retry = {"attempts": 3, "delay": 0, "jitter": 0}
    step = {
        "id": "a",
        "intent": "deliver",
        "uses": "post.once",
        "input": "x",
        "prompt": "fail once after",
        "retry": retry,
    }
    result = await run_steps([step], Deliver(), post)
    assert result.outputs == {"a": {"id": 1}}
    assert len(post.posted) == 1
    assert Deliver.tries == 2


async def test_a_delivery_in_doubt_is_not_repeated_unless_that_is_safe() -> None:
    retry = {"attempts": 3, "delay": 0, "jitter": 0}
    step = {"id": "a", "intent": "deliver", "input": "x", "with": {"fail": 1}, "retry": retry}
    post = Post()
    result = await run_steps([{**step, "uses": "post.once"}], Deliver(), post)
    assert "may have been delivered" in result.failures["a"].message
    assert len(post.posted) == 1
    post = Post()
    result = await run_steps([{**step, "uses": "post.again"}], Deliver(), post)
    assert result.outputs == {"a": {"id": 2}}
    assert len({key for _, key in post.posted}) == 1, "the target can tell a repetition by its key"


# --- what is wrong is said before anything runs ---


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"input": "{{ steps.zz.output }}"}, "no step 'zz'"),
        ({"input": "{{ steps.a }}"}, "names no field"),
        ({"input": "{{ step.a.output }}"}, "'step'"),
        ({"input": "{{ inputs.nme }}"}, "did you mean 'name'"),
        ({"needs": ["b"]}, "wait for each other"),
        ({"needs": ["zz"]}, "no step 'zz'"),
        ({"when": "steps.zz.output"}, "no step 'zz'"),
        ({"when": "inputs.zz == 1"}, "no input 'zz'"),
        ({"when": "1 +"}, "something is missing at its end"),
        ({"when": "'text'"}, "neither true nor false"),
        ({"intent": "doo"}, "did you mean 'do'"),
        ({"intent": "send"}, "no handler for intent 'send'"),
        ({"uses": "pst.once"}, "did you mean 'post'"),
        ({"uses": "post.one"}, "did you mean 'once'"),
        ({"uses": "post.once", "with": {"fial": 1}}, "did you mean 'fail'"),
        ({"uses": "post.once", "with": {"fail": "x"}}, "must be a whole number"),
        ({"with": {"anything": 1}}, "not a parameter here"),
    ],
)
async def test_mistakes(more, says) -> None:
    do = Do()
    broken = [*steps(a={"input": "{{ steps.b.output }}"}), {"id": "b", "intent": "do", **more}]
    if "wait" not in says:
        broken[0]["input"] = 1
    flow = Workflow.model_validate({"name": "t", "inputs": {"name": {"default": "x"}}, "steps": broken})
    async with engine(do, Post()) as service:
        with pytest.raises(WorkflowError) as caught:
            await service.run(flow)
    assert says in str(caught.value)
    assert do.order == []


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "'n' is missing"),
        ({"n": "x"}, "type integer"),
        ({"n": True}, "type integer"),
        ({"n": 1, "m": 1}, "no input 'm'"),
        ({"n": 9}, "one of [1, 2]"),
    ],
)
async def test_inputs_are_checked(inputs, says) -> None:
    flow = Workflow.model_validate(
        {"name": "t", "inputs": {"n": {"type": "integer", "choices": [1, 2]}}, "steps": steps(a=1)}
    )
    async with engine(Do()) as service:
        with pytest.raises(WorkflowError) as caught:
            await service.run(flow, inputs)
    assert says in str(caught.value)


async def test_references_in_parameters_are_not_mistakes() -> None:
    post = Post()
    step = {"id": "a", "intent": "deliver", "uses": "post.again", "with": {"fail": "{{ inputs.n }}"}}
    result = await run_steps([step], Deliver(), post, inputs={"n": 0})
    assert result.status == "completed"


# --- Ctrl-C ---


def test_ctrl_c_stops_cleanly(tmp_path) -> None:
    """The step is cancelled, the run is recorded as cancelled, the process ends by itself."""
    code = """
        import asyncio, signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell starts in the background
        from intendant import Workflow
        from intendant.plugin import IntentHandler, IntentSpec, StepResult
        from intendant.testing import engine, sync_engine
        class Wait(IntentHandler):
            "Waits."
            spec = IntentSpec(name="wait", summary="Wait", examples=("Wait",))
            def needs_model(self, step): return False
            async def handle(self, request):
                print("started", flush=True)
                try:
                    await asyncio.sleep(60)
                finally:
                    print("cleaned up", flush=True)
        flow = Workflow.parse("name: t\\nsteps: [{id: a, intent: wait}]")
        with sync_engine(Wait(), db=sys.argv[1]) as service:
            try:
                service.run(flow)
            except KeyboardInterrupt:
                print("interrupted", flush=True)
    """
    url = f"sqlite:///{tmp_path}/runs.db"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=50)
    assert out == "cleaned up\ninterrupted\n"
    from intendant.record.store import Store

    store = Store(url)
    (run,) = asyncio.run(store.do(runs.list_runs()))
    store.close()
    assert run.status == "cancelled"


async def test_ten_thousand_steps_take_no_more_than_linear_time() -> None:
    """Not a wall time: the work per step is counted in interpreter calls, at two sizes."""

    def calls_for(count: int) -> float:
        seen = 0

        def count_calls(_frame, event, _arg):
            nonlocal seen
            seen += event == "call"

        flow = Workflow.model_validate(
            {
                "name": "t",
                "steps": [
                    {"id": f"s{n}", "intent": "do", "needs": [f"s{n - 1}"] if n % 7 else []} for n in range(count)
                ],
            }
        )
        with sync_engine(Do()) as service:
            sys.setprofile(count_calls)
            try:
                service.run(flow)
            finally:
                sys.setprofile(None)
        return seen / count

    small, large = await asyncio.to_thread(calls_for, 200), await asyncio.to_thread(calls_for, 1000)
    assert large < small * 1.3


# --- what must not break a run, and what a run must not leave behind ---


async def test_steps_cancelled_while_they_write_leave_the_store_working() -> None:
    post = Post()
    retry = {"attempts": 1}
    many = [
        {
            "id": f"s{n}",
            "intent": "deliver",
            "uses": "post.again",
            "input": n,
            "timeout": 0.0005 * (n + 1),
            "retry": retry,
        }
        for n in range(40)
    ]
    async with asyncio.timeout(30):
        result = await run_steps(many, Deliver(), post)
    assert len(result.steps) == 40
    assert {step.status.value for step in result.steps.values()} <= {"completed", "failed"}


async def test_a_listener_that_raises_changes_nothing() -> None:
    def broken(_event):
        raise RuntimeError("a fault of the host")

    async with engine(Do()) as service:
        result = await service.run(Workflow.model_validate({"name": "t", "steps": steps(a=1)}), on_event=broken)
        assert result.status == "completed"


async def test_parameters_are_checked_before_the_run_also_where_the_intent_is_classified() -> None:
    from intendant.plugin import Classification, Classifier

    class Sure(Classifier):
        """Knows."""

        name = "sure"

        def classify(self, request):
            return Classification(intent="do", confidence=1.0, method="sure")

    do = Do()
    flow = Workflow.model_validate(
        {"name": "t", "steps": [{"id": "a", "intent": "do"}, {"id": "b", "with": {"x": 1}}]}
    )
    async with engine(do, Sure()) as service:
        with pytest.raises(WorkflowError, match="not a parameter here"):
            await service.run(flow)
    assert do.order == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, "\ud800", object()])
async def test_inputs_that_are_no_json_are_refused(value) -> None:
    flow = Workflow.model_validate({"name": "t", "inputs": {"x": {"type": "any"}}, "steps": steps(a=1)})
    async with engine(Do()) as service:
        with pytest.raises(WorkflowError, match="no JSON value"):
            await service.run(flow, {"x": value})


async def test_text_that_cannot_be_written_fails_its_step_and_is_told() -> None:
    class Broken(Do):
        """Returns, or complains with, half a surrogate pair."""

        async def act(self, request, step):
            if step == "says":
                raise StepError("bad \ud800 text")
            return StepResult(output="\ud800")

    async with engine(Broken()) as service:
        result = await service.run(Workflow.model_validate({"name": "t", "steps": steps(returns=1, says=1)}))
        rows = await service._engine.store.do(runs.events_of(result.run_id))
        stored = await read_events(service._engine.store, result.run_id)
    assert "surrogate" in result.failures["returns"].message
    assert verify(rows) is None
    assert [event.failure.message for event in stored if event.type == "step_failed"][-1] == "bad ? text"


async def test_a_host_cannot_slip_on_what_failed_or_runs(tmp_path) -> None:
    flow = Workflow.model_validate(
        {"name": "t", "steps": steps(bad="fail", b="{{ steps.bad.output }}", slow={"input": {"sleep": 0.2}})}
    )
    async with engine(Do()) as service:
        flight = service.orchestrator()
        await flight.initialize(flow)
        await flight.execute_step("bad")
        outcome = await flight.execute_step("b")
        assert "was failed and has no output" in outcome.failure.message + outcome.failure.hint
        with pytest.raises(TypeError):
            await flight.execute_step("b", nonsense=5)
        first = asyncio.create_task(flight.execute_step("slow"))
        await asyncio.sleep(0.05)
        with pytest.raises(IntendantError, match="is being done"):
            await flight.execute_step("slow")
        await first
        await flight.complete()
        assert flight.metadata().steps_completed == 1


async def test_conditions_may_look_at_all_steps_or_at_a_computed_one() -> None:
    result = await run_steps(
        steps(
            a=1,
            every={"needs": ["a"], "when": "steps.all(k, steps[k].status == 'completed')", "input": 1},
            named={"needs": ["a"], "when": "steps[inputs.which].output == 1", "input": 1},
        ),
        Do(),
        inputs={"which": "a"},
    )
    assert result.status == "completed", result.failures
    assert set(result.outputs) == {"a", "every", "named"}


async def test_retries_print_nothing_into_the_hosts_output(capsys) -> None:
    retry = {"attempts": 3, "delay": 0, "jitter": 0}
    await run_steps(steps(a={"input": {"fail_until": 3}, "retry": retry}), Do())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        ("integer", "{{ inputs.n }}", True),
        ("string", "{{ inputs.n }}", False),
        ("array", "{{inputs.n}}", False),
        ("any", "{{ inputs.n }}", True),
        ("integer", "x{{ inputs.n }}", False),
        ("string", "{{ steps.a.output }}", True),
        ("object", "{{ inputs.n.deeper }}", True),
    ],
)
async def test_the_type_of_an_input_must_fit_the_parameter(kind: str, value: str, fits: bool) -> None:
    defaults = {"integer": 0, "string": "x", "array": [], "object": {"deeper": 0}, "any": 0}
    flow = Workflow.model_validate(
        {
            "name": "t",
            "inputs": {"n": {"type": kind, "default": defaults[kind]}},
            "steps": [
                *steps(a=0),
                {"id": "b", "intent": "deliver", "uses": "post.again", "with": {"fail": value}},
            ],
        }
    )
    async with engine(Do(), Deliver(), Post()) as service:
        if fits:
            await service.plan(flow)
        else:
            with pytest.raises(WorkflowError, match="fail: "):
                await service.plan(flow)


@pytest.mark.parametrize("db", ["none", "file"])
async def test_a_run_that_is_cancelled_at_any_moment_is_not_left_running(tmp_path, db) -> None:
    """Also while it is opened: each turn of the loop is tried."""
    from intendant.record.store import integrity

    class Naps(IntentHandler):
        spec = IntentSpec(name="nap", summary="Nap", examples=("Nap",))

        def needs_model(self, step) -> bool:
            return False

        async def handle(self, request):
            await asyncio.sleep(5)
            return StepResult(output=1)

    flow = Workflow.model_validate({"name": "t", "steps": [{"id": "a", "intent": "nap"}]})
    url = "none" if db == "none" else f"sqlite:///{tmp_path}/x.db"
    async with engine(Naps(), db=url) as service:
        for turns in range(60):
            running = asyncio.create_task(service.run(flow))
            for _ in range(turns):
                await asyncio.sleep(0.0002 if turns % 2 else 0)
            running.cancel()
            await asyncio.wait([running])
        store = service._engine.store
        found = await store.do(runs.list_runs(1000))
        assert found
        assert {run.status for run in found} == {"cancelled"}
        assert (await store.do(integrity.verify())).broken == []
