"""Values never become part of a statement: a reference within one is an error of the workflow."""

import pytest

from intendant import OrchestrationService, Workflow, WorkflowError

INPUTS = """
inputs:
  code: {default: "x' or '1'='1"}
  most: {type: integer, default: 2}
  table: {default: orders, choices: [orders, refunds]}
  statement: {default: select 1}
"""


async def plan_of(sql, *, tool=False):
    """The plan of a step, or of a tool of one, with this statement."""
    given = {"url": "sqlite:///none.db", "sql": sql}
    own = f"uses: sql.query, with: {given}"
    step = f"intent: generate, prompt: x, tools: [{{{own}}}]" if tool else own
    flow = f"name: t{INPUTS}steps:\n  - {{id: first, uses: file.read, with: {{path: a.csv}}}}\n  - {{id: q, {step}}}\n"
    async with OrchestrationService(db="none") as service:
        return await service.plan(Workflow.parse(flow))


@pytest.mark.parametrize("tool", [False, True])
@pytest.mark.parametrize(
    ("reference", "name"), [("inputs.code", "code"), ("steps.first.output[0].id", "id"), ("run.id", "id")]
)
async def test_a_reference_within_a_statement_is_an_error_that_says_what_to_write(reference, name, tool):
    """A mail that says `x' or '1'='1` would be given all rows."""
    with pytest.raises(WorkflowError) as caught:
        await plan_of(f"select * from orders where code = :c and a = {{{{ {reference} }}}}", tool=tool)
    (problem,) = caught.value.problems
    assert "would become part of the statement" in problem.message
    assert f"write :{name} in `sql`" in problem.hint
    assert problem.line


@pytest.mark.parametrize(
    "sql",
    [
        "select * from orders where code = :code",
        "select * from {{ inputs.table }} limit {{ inputs.most }}",
        "{{ inputs.statement }}",
        "{{ steps.first.output }}",
    ],
)
async def test_whole_statements_numbers_and_choices_are_admitted(sql):
    assert (await plan_of(sql)).steps


async def test_a_parameter_that_stands_in_place_of_the_one_that_is_missing_is_told(tmp_path):
    flow = 'name: t\nsteps: [{id: q, uses: sql.query, with: {url: "sqlite:///a.db", query: select 1}}]'
    async with OrchestrationService(db="none") as service:
        with pytest.raises(WorkflowError) as caught:
            await service.plan(Workflow.parse(flow))
    assert "did you mean 'sql'?" in [problem.hint for problem in caught.value.problems]
