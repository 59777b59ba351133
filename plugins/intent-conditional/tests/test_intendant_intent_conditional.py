"""What the conditional handler promises."""

import json

import pytest

from intendant import OrchestrationService, Workflow, WorkflowError
from intendant.plugin import Step
from intendant.testing import IntentContract, ScriptedProvider, run_steps
from intendant_intent_conditional import ConditionalHandler

CASES = [
    {"when": "input.total >= 25000", "then": "board"},
    {"when": "input.total >= 5000", "then": "director"},
    {"when": "input.total >= 500", "then": "manager"},
]


class TestConditionalContract(IntentContract):
    plugin = ConditionalHandler
    entry_point = "conditional"
    steps = (
        {"input": 5, "with": {"if": "input > 3"}},
        {"input": {"id": 1}, "with": {"switch": "input.id", "routes": {"1": "a"}, "default": "b"}},
        {
            "input": {"id": 1},
            "with": {"measure": "input.id", "levels": [{"below": 3, "then": "a"}, {"then": "b"}]},
        },
    )


async def run(value, **parameters):
    """The outcome of one conditional step."""
    step = {"id": "c", "intent": "conditional", "input": "{{ inputs.value }}", "with": parameters}
    result = await run_steps([step], ConditionalHandler(), inputs={"value": value})
    return result.steps["c"]


@pytest.mark.parametrize(
    ("total", "branch", "matched"),
    [
        (499, "auto", False),
        (500, "manager", True),
        (4999.99, "manager", True),
        (5000, "director", True),
        (24_999, "director", True),
        (25_000, "board", True),
    ],
)
async def test_the_first_true_case_is_taken(total, branch, matched):
    outcome = await run({"total": total}, cases=CASES, default="auto")
    assert outcome.output == {"branch": branch, "matched": matched, "value": {"total": total}}


async def test_no_case_and_no_default_is_an_error():
    outcome = await run({"total": 1}, cases=CASES)
    assert outcome.failure.message == "no case is true and there is no `default`"


@pytest.mark.parametrize(("value", "branch", "matched"), [("now", "true", True), ("no", "false", False)])
async def test_an_if_has_two_branches(value, branch, matched):
    """The text is compared as a whole: "now" does not count as "no"."""
    outcome = await run(value, **{"if": "input != 'no'"})
    assert (outcome.output["branch"], outcome.output["matched"]) == (branch, matched)


async def test_the_branches_of_an_if_can_be_named():
    outcome = await run([], **{"if": "size(input) > 0", "then": "report", "else": "stop"})
    assert outcome.output["branch"] == "stop"
    assert outcome.notes == ("took 'stop': `size(input) > 0` is false",)


@pytest.mark.parametrize(
    ("value", "says"),
    [({}, "Key not found"), ({"total": None}, "does not apply to null"), ({"total": "100"}, "does not apply to")],
)
async def test_a_condition_that_cannot_be_evaluated_is_an_error_and_never_false(value, says):
    outcome = await run(value, cases=CASES, default="auto")
    assert outcome.failure.message.startswith("cases[0]: ")
    assert says in outcome.failure.message


async def test_values_cannot_become_part_of_the_condition():
    hostile = "x' || true || 'x' == 'x"
    outcome = await run("a", **{"if": "input == values.name", "values": {"name": hostile}})
    assert outcome.output["matched"] is False


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"if": "true", "cases": CASES}, "either `cases` or `if`"),
        ({"cases": CASES, "else": "x"}, "write `default`"),
        ({"if": "true", "default": "x"}, "write `else`"),
    ],
)
def test_the_two_forms_do_not_mix(parameters, says):
    with pytest.raises(ValueError, match=says):
        ConditionalHandler.Parameters.model_validate(parameters)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"with": {"if": "input >"}}, "`if` is wrong"),
        ({"with": {"cases": [CASES[0], {"when": "item > 1", "then": "a"}]}}, "`cases[1].when` is wrong"),
        ({"with": {"if": "'no'"}}, "neither true nor false"),
        ({"with": {"if": "input == '{{ inputs.x }}'"}}, "values.least"),
        ({"with": {"if": "true"}, "input": ...}, "nothing to decide on"),
    ],
)
def test_mistakes_are_seen_before_the_run(step, says):
    given = {"id": "c", "input": 1, **step}
    step = Step.model_validate({name: value for name, value in given.items() if value is not ...})
    assert any(says in message for message in ConditionalHandler().check(step))


@pytest.mark.parametrize(("total", "done"), [(2000, "approve"), (10, "book")])
async def test_only_the_branch_that_was_taken_runs(total, done):
    flow = Workflow.parse(
        """
        name: approvals
        inputs: {total: {type: integer}}
        steps:
          - id: gate
            intent: conditional
            input: "{{ inputs.total }}"
            with: {cases: [{when: input > 1000, then: large}], default: small}
          - {id: approve, intent: conditional, when: steps.gate.output.branch == 'large', input: 1, with: {if: "true"}}
          - {id: book, intent: conditional, when: steps.gate.output.branch == 'small', input: 1, with: {if: "true"}}
        """
    )
    async with OrchestrationService(plugins=[ConditionalHandler()], discover=False, db="none") as service:
        result = await service.run(flow, {"total": total})
    states = {name: outcome.status.value for name, outcome in result.steps.items()}
    assert states == {"gate": "completed", "approve": "skipped", "book": "skipped"} | {done: "completed"}
    assert result.metrics.tokens_used == 0


@pytest.mark.parametrize(
    ("value", "branch", "matched"),
    [
        ({"state": "open"}, "handle", True),
        ({"state": 17}, "count", True),
        ({"state": 17.0}, "count", True),
        ({"state": True}, "yes", True),
        ({"state": None}, "none", True),
        ({"state": "?"}, "rest", False),
    ],
)
async def test_a_switch_takes_the_route_of_a_value(value, branch, matched):
    routes = {"open": "handle", "17": "count", "true": "yes", "null": "none"}
    outcome = await run(value, switch="input.state", routes=routes, default="rest")
    assert outcome.output == {"branch": branch, "matched": matched, "value": value}


LEVELS = [
    {"below": 500, "then": "auto"},
    {"below": 5000, "then": "manager"},
    {"below": 25_000, "then": "director"},
    {"then": "board"},
]


@pytest.mark.parametrize(
    ("total", "branch"),
    [(-5, "auto"), (499.99, "auto"), (500, "manager"), (5000, "director"), (25_000, "board"), (1e9, "board")],
)
async def test_a_figure_escalates_level_by_level(total, branch):
    outcome = await run({"total": total}, measure="input.total", levels=LEVELS)
    assert outcome.output["branch"] == branch


async def test_what_has_no_route_and_no_level_is_an_error():
    """The message says the value, what there is, and what to do about it."""
    outcome = await run({"state": "new"}, switch="input.state", routes={"open": "a"})
    assert outcome.failure.message == '`input.state` is text "new": there is no route for it, and no `default`'
    assert outcome.failure.hint == "there are: open"
    outcome = await run({"total": "9"}, measure="input.total", levels=LEVELS)
    assert "not a number" in outcome.failure.message
    outcome = await run({"total": 9}, measure="input.total", levels=LEVELS[:1])
    assert outcome.output["branch"] == "auto"
    outcome = await run({"total": 900}, measure="input.total", levels=LEVELS[:1])
    assert "above all levels" in outcome.failure.message


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"switch": "input.state"}, "belong together"),
        ({"measure": "input", "levels": [{"then": "a"}, {"below": 3, "then": "b"}]}, "every level but the last"),
        (
            {"measure": "input", "levels": [{"below": 3, "then": "a"}, {"below": 2, "then": "b"}]},
            "begin with the lowest",
        ),
        ({"if": "true", "switch": "input", "routes": {"a": "b"}}, "give either `if` or `switch`"),
    ],
)
async def test_forms_that_do_not_fit_together_are_refused(given, says):
    with pytest.raises(WorkflowError, match=says):
        await run(1, **given)


def test_a_switch_that_does_not_parse_is_seen_before_the_run():
    step = Step.model_validate({"id": "c", "input": 1, "with": {"switch": "input.", "routes": {"a": "b"}}})
    assert any("`switch` is wrong" in message for message in ConditionalHandler().check(step))


# --- the steps of branches ---------------------------------------------------------------------------------------

NOTE = {"steps": [{"id": "note", "intent": "transform", "input": [1], "with": {"op": "limit", "count": 1}}]}


def faults(names, prompt=None, **parameters):
    """What is wrong with a step that has these branches."""
    step = {"id": "c", "intent": "conditional", "input": 1, "with": parameters, "prompt": prompt}
    return ConditionalHandler().check(Step(**step, branches=dict.fromkeys(names, NOTE)))


@pytest.mark.parametrize(
    ("branches", "parameters", "meant"),
    [
        (["huge"], {"if": "input > 1", "then": "big", "else": "small"}, "it takes big, small"),
        (["smal"], {"if": "input > 1", "then": "large", "else": "small"}, "did you mean 'small'?"),
        (["yes"], {"if": "input > 1"}, "it takes true, false"),
        (["ignor"], {"switch": "input", "routes": {"1": "act"}, "default": "ignore"}, "did you mean 'ignore'?"),
        (["boss"], {"measure": "input", "levels": [{"then": "bot"}]}, "it takes bot"),
        (["rest"], {"cases": [{"when": "input > 1", "then": "a"}]}, "it takes a"),
        (["maybe"], {"prompt": "Is it?", "then": "ja", "else": "nein"}, "it takes ja, nein, unknown"),
        (["c"], {"prompt": "Which?", "branches": ["a", "b"], "default": "b"}, "it takes a, b"),
    ],
)
def test_a_branch_that_no_decision_takes_is_a_mistake(branches, parameters, meant):
    found = faults(branches, **parameters)
    assert len(found) == 1
    assert meant in found[0]


@pytest.mark.parametrize(
    ("branches", "parameters"),
    [
        (["large"], {"if": "input > 1", "then": "large", "else": "small"}),
        (["anything"], {"if": "input > 1", "then": "{{ inputs.way }}"}),
        (["yes", "no", "nobody"], {"prompt": "Is it?", "default": "nobody"}),
        (["act", "unknown"], {"prompt": "Is it?"}),
    ],
)
def test_branches_without_steps_and_those_that_a_reference_names_are_none(branches, parameters):
    assert faults(branches, **parameters) == []


@pytest.mark.parametrize(
    ("branches", "answers", "asked"),
    [
        (["yes", "no"], ["yes", "no"], ""),
        (["then", "else", "nobody"], ["then", "else"], "'then' means yes"),
        (["false"], ["true", "false"], "'true' means yes"),
        (["refund", "repair", "refuse"], ["refund", "repair", "refuse"], ""),
        (["angry"], ["angry", "other"], ""),
    ],
)
async def test_a_model_chooses_among_the_branches_that_the_step_has(branches, answers, asked):
    provider = ScriptedProvider(json.dumps({"branch": answers[0], "reason": "so it says"}))
    step = {"id": "c", "intent": "conditional", "input": 1, "prompt": "Is it?", "with": {"default": "nobody"}}
    marks = {name: {"steps": [{"id": "g", "wait": {"for": 0}}], "returns": {"ran": name}} for name in branches}
    result = await run_steps([step | {"branches": marks}], ConditionalHandler(), provider)
    assert result.outputs["c"]["branch"] == answers[0]
    assert result.outputs["c"]["result"] == ({"ran": answers[0]} if answers[0] in branches else None)
    request = provider.calls[0][1]
    assert request.json_schema["properties"]["branch"]["enum"] == [*answers, "unknown"]
    assert asked in request.messages[0].content
