"""Joins, branches, ways for errors, steps that run whatever happened, and what a run gives back."""

import pytest

from intendant import Workflow, WorkflowError
from intendant.plugin import IntentHandler, IntentSpec, StepError, StepResult
from intendant.testing import ScriptedProvider, engine


class Copy(IntentHandler):
    """Returns its input; fails where that is `fail`."""

    spec = IntentSpec(name="copy", summary="Copy", examples=("Copy",))

    def __init__(self) -> None:
        super().__init__()
        self.done = []
        self.broken = True

    def needs_model(self, step):
        return False

    async def handle(self, request):
        self.done.append(request.step.id)
        if request.input == "fail" and self.broken:
            raise StepError("it broke")
        return StepResult(output=request.input)


async def run(text, inputs=None, *plugins, **settings):
    async with engine(*(plugins or (Copy(),)), **settings) as service:
        return await service.run(Workflow.parse(f"name: t\n{text}"), inputs)


BRANCHES = """
inputs: {{way: {{}}}}
steps:
  - {{id: big, intent: copy, when: "inputs.way == 'big'", input: B}}
  - {{id: small, intent: copy, when: "inputs.way == 'small'", input: S}}
  - id: after
    intent: copy
    needs: [big, small]
    {join}
    input: ["{{{{ default(steps.big.output, '-') }}}}", "{{{{ steps.small.output }}}}"]
"""


@pytest.mark.parametrize(("way", "output"), [("big", ["B", None]), ("small", ["-", "S"])])
@pytest.mark.parametrize("join", ["any", "done"])
async def test_a_join_runs_after_whichever_branch_was_taken(way, output, join) -> None:
    result = await run(BRANCHES.format(join=f"join: {join}"), {"way": way})
    assert result.outputs["after"] == output


async def test_a_join_of_any_is_skipped_where_none_ran_and_one_of_done_is_not() -> None:
    assert (await run(BRANCHES.format(join="join: any"), {"way": "no"})).steps["after"].status == "skipped"
    assert (await run(BRANCHES.format(join="join: done"), {"way": "no"})).outputs["after"] == ["-", None]


async def test_without_join_a_step_is_skipped_with_what_it_needs() -> None:
    result = await run(BRANCHES.format(join=""), {"way": "big"})
    assert result.steps["after"].reason == "step 'small', which it needs, was skipped"


TAKEN = """
inputs: {way: {}}
steps:
  - id: gate
    intent: copy
    input: {branch: "{{ inputs.way }}", matched: true, value: 7}
    branches:
      left:
        steps:
          - {id: a, intent: copy, input: "{{ steps.gate.output.value }}"}
          - {id: b, intent: copy, input: ["{{ steps.a.output }}"]}
      right: {steps: [{id: a, intent: copy, input: fail}]}
  - {id: after, intent: copy, input: "{{ steps.gate.output.result }}"}
"""


async def test_the_branch_that_was_taken_is_executed_and_its_output_is_the_result() -> None:
    copy = Copy()
    result = await run(TAKEN, {"way": "left"}, copy)
    assert result.outputs["gate"] == {"branch": "left", "matched": True, "value": 7, "result": [7]}
    assert (result.outputs["after"], copy.done) == ([7], ["gate", "a", "b", "after"])


async def test_a_branch_that_fails_fails_the_step_that_it_belongs_to() -> None:
    result = await run(TAKEN, {"way": "right"})
    assert result.failures["gate"].message == "branch 'right', step 'a': it broke"
    assert result.steps["after"].status == "skipped"


async def test_a_branch_without_steps_is_no_failure() -> None:
    result = await run(TAKEN, {"way": "middle"})
    assert result.outputs["gate"]["result"] is None
    assert "there are no steps for the branch 'middle'" in result.steps["gate"].notes


HANDLED = """
steps:
  - {id: x, intent: copy, input: fail, %s}
  - {id: y, intent: copy, input: ["{{ steps.x.output }}", "{{ steps.x.status }}", "{{ steps.x.error.code }}"]}
"""


@pytest.mark.parametrize(
    ("on_error", "output"),
    [
        ("on_error: continue", None),
        ("on_error: {output: [1]}", [1]),
        ('on_error: {output: {why: "{{ steps.x.error.message }}"}}', {"why": "it broke"}),
        ('on_error: {output: "{{ steps.x.status }}"}', "failed"),
        ('on_error: {steps: [{id: note, intent: copy, input: "{{ steps.x.error.message }}"}]}', "it broke"),
    ],
)
async def test_a_failure_that_is_handled_lets_the_run_complete_and_is_listed(on_error, output) -> None:
    result = await run(HANDLED % on_error)
    assert result.status == "completed"
    assert result.outputs["y"] == [output, "failed", "step_failed"]
    assert result.failures == {}
    assert result.handled["x"].message == "it broke"


async def test_a_step_that_refers_to_itself_elsewhere_waits_for_itself() -> None:
    with pytest.raises(WorkflowError, match="these steps wait for each other: x → x"):
        await run('steps: [{id: x, intent: copy, input: "{{ steps.x.output }}", on_error: continue}]')


async def test_a_way_for_errors_that_fails_fails_the_run() -> None:
    result = await run(HANDLED % "on_error: {steps: [{id: note, intent: copy, input: fail}]}")
    assert result.status == "failed"
    assert result.failures["x"].message == "it broke; then on_error, step 'note': it broke"


async def test_how_a_step_ended_can_be_tested_whatever_became_of_it() -> None:
    result = await run("""
steps:
  - {id: x, intent: copy, input: fail}
  - {id: off, intent: copy, when: "false"}
  - {id: told, intent: copy, when: "steps.x.status == 'failed'", input: "{{ steps.x.error.message }}"}
  - {id: fine, intent: copy, when: "steps.x.status == 'completed'"}
  - {id: skipped, intent: copy, when: "steps.off.status == 'skipped'", input: yes}
""")
    assert result.outputs == {"told": "it broke", "skipped": "yes"}
    assert (result.status, result.steps["fine"].status) == ("failed", "skipped")


LAST = """
steps:
  - {id: x, intent: copy, input: %s}
finally:
  - {id: tidy, intent: copy, input: ["{{ run.status }}", "{{ run.failures }}", "{{ steps.x.output }}"]}
"""


async def test_steps_of_finally_run_whatever_happened() -> None:
    assert (await run(LAST % "fine")).outputs["tidy"] == ["completed", {}, "fine"]
    failed = await run(LAST % "fail")
    assert failed.status == "failed"
    assert failed.outputs["tidy"] == ["failed", {"x": {"code": "step_failed", "message": "it broke"}}, None]


async def test_a_step_of_finally_that_fails_fails_the_run() -> None:
    result = await run("steps: [{id: x, intent: copy}]\nfinally: [{id: tidy, intent: copy, input: fail}]")
    assert (result.status, list(result.failures)) == ("failed", ["tidy"])


async def test_a_run_gives_back_what_returns_says() -> None:
    result = await run('returns: {a: "{{ steps.x.output }}", b: 2}\nsteps: [{id: x, intent: copy, input: 1}]')
    assert result.returned == {"a": 1, "b": 2}


async def test_a_run_whose_returns_are_not_there_fails_and_says_why() -> None:
    result = await run('returns: {a: "{{ steps.x.output.no }}"}\nsteps: [{id: x, intent: copy, input: {y: 1}}]')
    assert result.status == "failed"
    assert result.failure.message.startswith("returns: ")


async def test_a_failure_that_was_handled_is_not_done_again_when_the_run_is_resumed(tmp_path) -> None:
    copy = Copy()
    text = """name: t
steps:
  - {id: x, intent: copy, input: fail, on_error: {output: other}}
  - {id: bad, intent: copy, needs: [x], input: fail}
"""
    async with engine(copy, db=f"sqlite:///{tmp_path}/x.db") as service:
        first = await service.run(Workflow.parse(text))
        copy.broken, copy.done = False, []
        second = await service.resume(first.run_id)
    assert (second.status, copy.done, second.outputs["x"]) == ("completed", ["bad"], "other")


async def test_a_group_that_is_resumed_keeps_the_steps_that_are_done(tmp_path) -> None:
    copy = Copy()
    text = """name: t
steps:
  - id: g
    steps:
      - {id: a, intent: copy, input: 1}
      - {id: b, intent: copy, needs: [a], input: fail}
      - {id: c, intent: copy, input: ["{{ steps.a.output }}", "{{ steps.b.output }}"]}
"""
    async with engine(copy, db=f"sqlite:///{tmp_path}/x.db") as service:
        first = await service.run(Workflow.parse(text))
        assert first.failures["g"].message == "step 'b': it broke"
        copy.broken, copy.done = False, []
        second = await service.resume(first.run_id)
    assert (second.outputs["g"], copy.done) == ([1, "fail"], ["b", "c"])


async def test_defaults_hold_for_all_steps_and_anchors_and_x_keys_are_for_people() -> None:
    flow = Workflow.parse("""
name: t
x-about: {anything: 1}
x-copy: &copy {intent: copy, x-note: no, retry: {attempts: 2}}
defaults: {timeout: 7, on_item_error: skip, retry: {attempts: 5}}
steps:
  - {<<: *copy, id: a}
  - {id: b, intent: copy, timeout: 9, for_each: [1]}
  - {id: g, steps: [{id: c, intent: copy}]}
""")
    a, b, g = flow.steps
    assert (a.retry.attempts, a.timeout, a.on_item_error) == (2, 7, None)
    assert (b.timeout, b.on_item_error, b.retry.attempts) == (9, "skip", 5)
    assert (g.timeout, g.steps[0].timeout) == (None, 7)


def test_a_default_that_no_step_has_is_refused_with_its_place() -> None:
    with pytest.raises(WorkflowError, match="'tmeout' is not known here"):
        Workflow.parse("name: t\ndefaults: {tmeout: 7}\nsteps: [{id: a, intent: copy}]")


async def test_a_step_says_its_model_and_how_long_and_how_warm_its_answer_is() -> None:
    provider = ScriptedProvider("an answer")

    class Ask(Copy):
        spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

        def needs_model(self, step):
            return True

        async def handle(self, request):
            from intendant.plugin import Message, ModelRequest

            ask = ModelRequest(messages=(Message(content="x"),), max_output_tokens=900, temperature=0.0)
            return StepResult(output=(await request.model.complete(ask)).text)

    text = "steps: [{id: a, intent: ask, model: scripted/scripted-2, max_output_tokens: 77, temperature: 0.9}]"
    prices = {"prices": {"models": {"scripted/scripted-2": {"input": 1.0, "output": 2.0}}}}
    result = await run(text, None, Ask(), provider, settings=prices)
    assert result.status == "completed", result.failures
    hold, request = provider.calls[0]
    assert (hold.model, hold.max_output_tokens, request.temperature) == ("scripted-2", 77, 0.9)
    assert result.metrics.micro_usd > 0


async def test_a_tier_or_a_model_that_nobody_has_is_refused_before_the_run() -> None:
    for key, said in (("tier: strong", "no tier 'strong'"), ("model: nobody/x", "no provider 'nobody'")):
        with pytest.raises(WorkflowError, match=said):
            await run(f"steps: [{{id: a, intent: copy, {key}}}]")


# --- plans ---


class Thinks(Copy):
    """Needs a model."""

    spec = IntentSpec(name="think", summary="Think", examples=("Think",), tokens=400)

    def needs_model(self, step):
        return True


async def planned(text, inputs=None, **settings):
    async with engine(Copy(), Thinks(), settings=settings) as service:
        return await service.plan(Workflow.parse(f"name: t\n{text}"), inputs)


MAP = """
inputs: {rows: {type: array}}
steps:
  - {id: given, for_each: [1, 2, 3], intent: think}
  - {id: asked, for_each: "{{ inputs.rows }}", steps: [{id: a, intent: think}]}
  - {id: computed, for_each: "{{ steps.given.output }}", intent: think}
"""


async def test_a_plan_says_for_how_many_items_and_whether_that_is_assumed() -> None:
    plan = await planned(MAP, {"rows": [1, 2, 3, 4]})
    said = {step.step_id: (step.items, step.items_assumed) for step in plan.steps}
    assert said == {
        "given": (3, False),
        "asked": (4, False),
        "asked/a": (4, False),
        "computed": (10, True),
    }


BRANCHED = """
budget: {tokens: 100000}
steps:
  - id: gate
    intent: copy
    input: {branch: a}
    branches:
      a: {steps: [{id: x, intent: think}, {id: y, intent: think}]}
      b: {steps: [{id: x, intent: think}]}
"""


async def test_of_branches_the_dearest_is_counted_in_the_bound() -> None:
    settings = {"budget": {"overage_allowed": False, "tokens_per_step": 1000}}
    both = (await planned(BRANCHED, **settings)).max_tokens
    steps = "steps: [{id: x, intent: think}, {id: y, intent: think}, {id: z, intent: think}]"
    apart = await planned(f"budget: {{tokens: 100000}}\n{steps}", **settings)
    assert (both, apart.max_tokens) == (2000, 3000)


async def test_the_budget_of_a_step_bounds_its_plan_and_that_of_a_group_the_run() -> None:
    plan = await planned("steps: [{id: x, intent: think, budget: {tokens: 70, usd: 0.00001}}]")
    assert (plan.steps[0].max_tokens, plan.steps[0].max_micro_usd, plan.max_tokens) == (70, 10, 70)
    group = "steps: [{id: g, budget: {tokens: 90}, steps: [{id: x, intent: think}, {id: y, intent: think}]}]"
    assert (await planned(group)).max_tokens == 90


async def test_a_plan_warns_of_a_step_that_needs_both_branches() -> None:
    plan = await planned(BRANCHES.format(join=""))
    assert "write `join: any`" in plan.by_id["after"].warnings[0]
    assert (await planned(BRANCHES.format(join="join: any"))).by_id["after"].warnings == ()
