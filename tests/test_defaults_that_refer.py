"""`default(a, b)`: another reference stands in for one that is null or absent."""

import pytest

from intendant import OrchestrationService, Workflow, WorkflowError

GATE = """
name: t
inputs: {big: {type: boolean, default: false}, n: {type: integer, default: 2}, m: {type: integer, default: 1}}
steps:
  - {id: a, when: inputs.big, intent: generate, input: {x: 1}, with: {template: "a {x}"}}
  - {id: b, when: "!inputs.big", intent: generate, input: {x: 2}, with: {template: "b {x}"}}
"""


async def run(steps, **inputs):
    """The run of the gate and some steps."""
    async with OrchestrationService(db="none") as service:
        return await service.run(Workflow.parse(GATE + steps), inputs)


@pytest.mark.parametrize(("big", "value"), [(True, "a 1"), (False, "b 2")])
async def test_a_join_takes_the_output_of_the_branch_that_ran(big, value):
    step = '- {id: c, join: any, intent: transform, input: ["{{ default(steps.a.output, steps.b.output) }}"], '
    result = await run(f"  {step}with: {{op: limit, count: 1}}}}\n", big=big)
    assert result.steps["c"].output == [value]


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("default(inputs.row.a, inputs.row.b)", 1),
        ("default(inputs.row.none, inputs.row.b)", 2),
        ("default(inputs.row.none, default(inputs.row.nothing, inputs.row['the c']))", 3),
        ("default(inputs.row.none, default(inputs.row.nothing, 'x'))", "x"),
        ("default(inputs.row.null, inputs.row.list[0])", 4),
        ("default(inputs.row.none, true)", True),
        ("default(inputs.row.none, 'steps.a.output')", "steps.a.output"),
    ],
)
async def test_the_first_that_is_there_counts(reference, value):
    flow = f"""
name: t
inputs: {{row: {{type: any, default: {{a: 1, b: 2, "the c": 3, "null": null, list: [4]}}}}}}
steps: [{{id: s, wait: {{for: 0}}}}]
returns: {{v: "{{{{ {reference} }}}}", t: "<{{{{ {reference} }}}}>"}}
"""
    async with OrchestrationService(db="none") as service:
        result = await service.run(Workflow.parse(flow))
    assert result.returned["v"] == value
    assert result.returned["t"] == f"<{value if not isinstance(value, bool) else 'true'}>"


async def test_where_none_is_there_the_last_one_is_told():
    step = '- {id: c, intent: transform, input: [1], with: {op: limit, count: "{{ default(inputs.no, inputs.m.x) }}"}}'
    with pytest.raises(WorkflowError) as caught:
        await run(f"  {step}\n")
    assert "there is no input 'no'" in caught.value.problems[0].message


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("default(steps.a.output, steps.nope.output)", "there is no step 'nope'"),
        ("default(steps.a.output, secrets.KEY)", "would give a secret away"),
        ("default(steps.a.output, stepz.b.output)", "'stepz'"),
        ("default(steps.a.output, nothing)", "'nothing' is no value"),
        ("default(steps.a.output, " * 30 + "1" + ")" * 30, "more than 20 defaults"),
    ],
)
async def test_what_stands_in_is_checked_like_any_reference(reference, said):
    step = f'- {{id: c, join: any, intent: transform, input: ["{{{{ {reference} }}}}"], with: {{op: limit, count: 1}}}}'
    with pytest.raises(WorkflowError) as caught:
        await run(f"  {step}\n")
    assert said in " | ".join(problem.message for problem in caught.value.problems)


async def test_what_stands_in_comes_first_too():
    """A step that only stands in is waited for."""
    async with OrchestrationService(db="none") as service:
        step = '- {id: c, join: any, intent: generate, input: {v: "{{ default(inputs.n, steps.b.output) }}"}, '
        plan = await service.plan(Workflow.parse(f"{GATE}  {step}with: {{template: '{{v}}'}}}}\n"))
    assert plan.by_id["c"].needs == ("b",)


async def test_a_parameter_with_a_type_may_be_either():
    step = '- {id: c, intent: transform, input: [1, 2, 3], with: {op: limit, count: "{{ default(inputs.n, inputs.m) }}"}}'
    assert (await run(f"  {step}\n")).steps["c"].output == [1, 2]
