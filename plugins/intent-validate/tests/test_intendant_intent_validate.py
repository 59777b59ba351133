"""What the validate handler promises."""

import pytest
from hypothesis import given, strategies as st

from intendant import OrchestrationService, Workflow
from intendant.plugin import Step
from intendant.testing import IntentContract, run_steps
from intendant_intent_validate import ValidateHandler

SCHEMA = {
    "type": "object",
    "required": ["id", "total"],
    "properties": {"id": {"type": "string"}, "total": {"type": "number", "minimum": 0}},
}
RULES = [
    {"name": "has items", "rule": "size(item.items) >= 1"},
    {"name": "paid orders have a date", "when": "item.state == 'paid'", "rule": "has(item.date)"},
    {"name": "large", "rule": "item.total < 1000", "severity": "warning", "message": "look at it"},
]
GOOD = {"id": "a", "total": 10, "items": [1], "state": "open"}


class TestValidateContract(IntentContract):
    plugin = ValidateHandler
    entry_point = "validate"
    steps = (
        {"input": [{"n": 1}], "with": {"schema": {"type": "object"}}},
        {"input": [{"id": 1}], "with": {"unique": ["id", ["id", "n"]], "on_fail": "report"}},
        {"input": [{"id": 1}], "with": {"rules": [{"name": "r", "rule": "item.id == 1"}], "on_fail": "drop"}},
        {"input": [{"id": 1}], "with": {"repair": {"trim": True, "types": {"id": "text", "n": "number"}}}},
    )


async def run(value, **parameters):
    """The outcome of one validation."""
    step = {"id": "v", "intent": "validate", "input": "{{ inputs.value }}", "with": parameters}
    result = await run_steps([step], ValidateHandler(), inputs={"value": value})
    return result.steps["v"]


async def test_valid_records_pass():
    outcome = await run([GOOD, GOOD], schema=SCHEMA, rules=RULES)
    assert outcome.output == {
        "valid": True,
        "checked": 2,
        "failed": 0,
        "total": 0,
        "violations": [],
        "passed": [GOOD, GOOD],
    }


async def test_an_invalid_record_fails_the_step_and_says_where():
    outcome = await run([GOOD, {**GOOD, "total": -1}, {"total": 1}], schema=SCHEMA)
    assert outcome.failure.message.startswith("2 of 3 records are not valid: record 1: total: -1 is less than")
    assert 'record 2: "id" is a required property (schema)' in outcome.failure.message


async def test_report_tells_the_good_from_the_bad():
    bad = {**GOOD, "items": []}
    outcome = await run([bad, GOOD], rules=RULES, on_fail="report")
    assert outcome.output["valid"] is False
    assert outcome.output["passed"] == [GOOD]
    assert outcome.output["rejected"] == [bad]
    assert outcome.output["violations"] == [
        {
            "index": 0,
            "path": None,
            "rule": "has items",
            "message": "`size(item.items) >= 1` is not true",
            "severity": "error",
        }
    ]


async def test_drop_leaves_the_bad_ones_out_and_counts_them():
    outcome = await run([{**GOOD, "items": []}, GOOD], rules=RULES, on_fail="drop")
    assert outcome.output["passed"] == [GOOD]
    assert "rejected" not in outcome.output
    assert outcome.notes[0] == "checked 2 records, 1 are not valid, and were dropped"


async def test_a_rule_is_asked_only_where_its_condition_is_true():
    outcome = await run([GOOD, {**GOOD, "state": "paid"}], rules=RULES, on_fail="report")
    assert [(item["index"], item["rule"]) for item in outcome.output["violations"]] == [
        (1, "paid orders have a date")
    ]


@pytest.mark.parametrize(
    "rule",
    [
        {"name": "r", "rule": "item.nowhere > 1"},
        {"name": "r", "rule": "item.id > 1"},
        {"name": "r", "rule": "item.id"},
        {"name": "r", "rule": "true", "when": "item.nowhere == 1"},
        {"name": "r", "rule": "true", "when": "item.id"},
    ],
)
async def test_a_rule_that_cannot_be_evaluated_is_a_violation(rule):
    outcome = await run([GOOD], rules=[rule], on_fail="report")
    assert outcome.output["valid"] is False
    assert [item["rule"] for item in outcome.output["violations"]] == ["r"]


async def test_a_warning_does_not_make_a_record_invalid():
    outcome = await run([{**GOOD, "total": 5000}], rules=RULES)
    assert outcome.output["valid"] is True
    assert [item["message"] for item in outcome.output["violations"]] == ["look at it"]
    assert "1 warnings" in outcome.notes


async def test_violations_are_capped_and_all_are_counted():
    outcome = await run([{}] * 50, schema=SCHEMA, on_fail="report", limit=3)
    assert outcome.output["total"] == 100
    assert len(outcome.output["violations"]) == 3
    assert outcome.notes[1] == "100 violations, of which the first 3 are shown"


async def test_the_whole_input_can_be_one_record():
    outcome = await run({"rows": [1, 2]}, rules=[{"name": "two", "rule": "size(item.rows) == 2"}])
    assert outcome.output["checked"] == 1
    assert outcome.output["passed"] == [{"rows": [1, 2]}]


async def test_a_list_can_be_checked_as_a_whole():
    outcome = await run([3, 4], each=False, rules=[{"name": "two", "rule": "size(item) == 3"}], on_fail="report")
    assert outcome.output["violations"][0]["index"] is None


async def test_each_asks_for_a_list():
    outcome = await run({"a": 1}, each=True, schema=SCHEMA)
    assert outcome.failure.message.startswith("`each` asks for a list")


async def test_an_empty_list_is_valid():
    outcome = await run([], schema=SCHEMA)
    assert (outcome.output["valid"], outcome.output["checked"]) == (True, 0)


async def test_rules_use_values():
    rules = [{"name": "known", "rule": "item.id in values.ids"}]
    outcome = await run([GOOD], rules=rules, values={"ids": ["b"]}, on_fail="report")
    assert outcome.output["failed"] == 1


async def test_a_schema_reads_nothing_from_outside():
    """A `$ref` to a file is refused before the run."""
    step = Step.model_validate({"id": "v", "input": 1, "with": {"schema": {"$ref": "file:///etc/passwd"}}})
    assert "outside the schema" in ValidateHandler().check(step)[0]


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"with": {"rules": [{"name": "a", "rule": "item."}]}}, "`rules[0].rule` is wrong"),
        ({"with": {"rules": [{"name": "a", "rule": "true", "when": "1"}]}}, "neither true nor false"),
        ({"with": {"rules": [{"name": "a", "rule": "item.x == '{{ inputs.x }}'"}]}}, "values.least"),
        ({"with": {"schema": {"type": "strin"}}}, "`schema` is wrong"),
        ({"with": {"schema": {}}, "input": ...}, "`input` is missing"),
    ],
)
def test_mistakes_are_seen_before_the_run(step, says):
    given = {"id": "v", "input": [], **step}
    step = Step.model_validate({name: value for name, value in given.items() if value is not ...})
    assert any(says in message for message in ValidateHandler().check(step))


def test_nothing_to_check_against_is_a_mistake():
    step = Step.model_validate({"id": "v", "intent": "validate", "input": [], "with": {"on_fail": "drop"}})
    assert "nothing to check against" in ValidateHandler().check(step)[0]


async def test_an_invalid_order_stops_what_depends_on_it():
    flow = Workflow.parse(
        """
        name: orders
        inputs: {order: {type: object}}
        steps:
          - id: shape
            intent: validate
            input: "{{ inputs.order }}"
            with:
              schema: {required: [customer_id, items, total]}
              rules: [{name: items, rule: size(item.items) >= 1}, {name: total, rule: item.total >= 0}]
          - id: again
            intent: validate
            input: "{{ steps.shape.output.passed }}"
            with: {schema: true}
          - {id: last, intent: validate, needs: [again], input: 1, with: {schema: true}}
        """
    )
    async with OrchestrationService(plugins=[ValidateHandler()], discover=False, db="none") as service:
        good = await service.run(flow, {"order": {"customer_id": 1, "items": [1], "total": 0}})
        bad = await service.run(flow, {"order": {"customer_id": 1, "items": [], "total": -5}})
    assert [outcome.status.value for outcome in good.steps.values()] == ["completed"] * 3
    assert [outcome.status.value for outcome in bad.steps.values()] == ["failed", "skipped", "skipped"]
    assert good.metrics.tokens_used == 0


@given(st.lists(st.integers(-5, 5)))
async def test_every_record_either_passes_or_is_rejected(numbers):
    outcome = await run(numbers, rules=[{"name": "positive", "rule": "item > 0"}], on_fail="report")
    assert outcome.output["passed"] == [number for number in numbers if number > 0]
    assert outcome.output["rejected"] == [number for number in numbers if number <= 0]


# --- across records -------------------------------------------------------------------------------------------


def messages(outcome):
    return [(found["index"], found["rule"], found["message"]) for found in outcome.output["violations"]]


async def test_values_that_occur_twice_are_named_with_the_first():
    rows = [{"a": 1, "b": "x"}, {"a": 1.0, "b": "y"}, {"a": None, "b": "x"}, {"b": "x"}, {"a": 2, "b": "x"}]
    outcome = await run(rows, unique=["a", ["a", "b"]], on_fail="report")
    assert messages(outcome) == [
        (1, "unique a", "number 1.0 is that of record 0 too"),
        (3, "unique a, b", 'null, text "x" is that of record 2 too'),
    ]
    assert [entry["index"] for entry in outcome.output["report"]] == [1, 3]


async def test_references_lead_to_other_lists():
    """Of records or of values; null refers to nothing."""
    rows = [{"customer": 1}, {"customer": 9}, {"customer": None}, {"customer": "1"}]
    references = [{"field": "customer", "records": [{"id": 1}, {"id": 2}], "by": "id"}]
    outcome = await run(rows, references=references, on_fail="drop")
    assert outcome.output["passed"] == [{"customer": 1}, {"customer": None}]
    assert messages(outcome)[0] == (1, "reference customer", "number 9 is not in the other list")
    outcome = await run(rows[:1], references=[{"field": "customer", "records": [1]}])
    assert outcome.output["valid"]


async def test_data_that_is_too_old_is_not_valid():
    old = await run(
        [{"t": "2020-01-01"}, {"t": "never"}], fresh={"field": "t", "max_age": "7 days"}, on_fail="report"
    )
    assert (old.output["valid"], old.output["failed"], old.output["total"]) == (False, 0, 1)
    assert old.output["violations"][0]["message"] == "the newest is of 2020-01-01, older than 7 days"
    assert "the list is not valid: t: the newest is of 2020-01-01, older than 7 days" in old.notes
    both = await run(
        [{"t": "2020-01-01", "n": "x"}, {"t": "1.2.2019", "n": 1}],
        fresh={"field": "t", "max_age": "7 days"},
        schema={"properties": {"n": {"type": "number"}}},
        on_fail="report",
    )
    ((faulty),) = both.output["report"]
    assert len(faulty["reasons"]) == 1, "the age of the list is no fault of its first record"
    failed = await run([{"t": "2020-01-01"}], fresh={"field": "t", "max_age": "7 days"})
    assert failed.failure.message.startswith("the list of 1 records is not valid: t: the newest is of 2020-01-01")
    new = await run(
        [{"t": "2020-01-01"}, {"t": "2999-12-31T23:00:00Z"}], fresh={"field": "t", "max_age": "1 hour"}
    )
    assert new.output["valid"]
    wrong = await run([{"t": 1}], fresh={"field": "t", "max_age": "soon"})
    assert wrong.failure.message == "`max_age` is 'soon', which is no age"


async def test_records_are_put_right_before_they_are_checked():
    """What can be converted is, and counted; what cannot stays, and is a fault with its reason."""
    rows = [
        {"n": " 12 ", "x": "1.250,5", "d": "31 May 2026", "b": "Yes", "s": " "},
        {"n": "12.5", "x": 3, "d": "1/2/2026", "b": "?"},
    ]
    types = {"n": "integer", "x": "number", "d": "date", "b": "boolean"}
    repair = {"trim": True, "empty_as_null": True, "types": types, "defaults": {"country": "TR"}}
    outcome = await run(rows, repair=repair, schema={"required": ["country"]}, on_fail="report")
    assert outcome.output["passed"] == [
        {"n": 12, "x": 1250.5, "d": "2026-05-31", "b": True, "s": None, "country": "TR"}
    ]
    (bad,) = outcome.output["report"]
    assert bad["index"] == 1
    assert bad["reasons"] == [
        'n: text "12.5" cannot be read as integer',
        'd: text "1/2/2026" cannot be read as date',
        'b: text "?" cannot be read as boolean',
    ]
    assert "2 values of country filled in" in outcome.notes


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
        max_leaves=8,
    )
)
async def test_any_input_is_checked_or_refused(value):
    """Whatever comes, no check across records raises anything but a message for users."""
    outcome = await run(
        value,
        unique=["a", ["a", "b"]],
        references=[{"field": "a", "records": [value]}],
        fresh={"field": "b", "max_age": "1 day"},
        repair={"trim": True, "types": {"a": "number", "b": "date"}},
        on_fail="report",
    )
    assert outcome.failure is None or outcome.failure.error == "StepError", outcome.failure
