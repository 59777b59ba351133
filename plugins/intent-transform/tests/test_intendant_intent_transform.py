"""What the transform handler promises: its form, its checks, and its operations on fields and rows."""

import json

import pytest
from hypothesis import given, strategies as st

from intendant import OrchestrationService, Workflow, WorkflowError
from intendant.plugin import Step
from intendant.testing import IntentContract, ScriptedProvider, run_steps
from intendant_intent_transform import OPS, TransformHandler


class TestTransformContract(IntentContract):
    plugin = TransformHandler
    entry_point = "transform"
    steps = (
        {"input": [{"n": 1}], "with": {"op": "set", "fields": {"m": "item.n + 1"}}},
        {"input": [{"id": 1}], "with": {"op": "sort", "by": "id"}},
        {"input": [{"id": 1}], "with": {"op": "unique"}},
        {"input": [{"id": 1}], "with": {"op": "to_csv"}},
        {"input": [{"id": 1}], "with": {"op": "to_markdown_table"}},
        {"input": [{"id": 1}], "with": {"op": "expand", "field": "id"}},
        {"input": [{"id": 1}], "with": {"op": "unpivot", "keep": "id"}},
        {
            "input": [{"id": 1}],
            "with": {"op": "pivot", "rows": "id", "columns": "id", "values": "id", "combine": "list"},
        },
        {"input": [{"id": 1}], "with": {"op": "truncate_date", "field": "id", "to": "week"}},
        {"input": [{"id": 1}], "with": {"op": "convert_unit", "field": "id", "from_unit": "km", "to": "mi"}},
        {"input": [{"id": 1}], "with": {"op": "reduce", "with": "concat"}},
        {"input": "text", "with": {"op": "shorten", "length": 3}},
    )


async def outcome_of(value, *do):
    step = {"id": "t", "intent": "transform", "input": "{{ inputs.value }}", "with": {"do": list(do)}}
    result = await run_steps([step], TransformHandler(), inputs={"value": value})
    return result.steps["t"]


async def run(value, op, **parameters):
    """The output of one operation."""
    before = json.dumps(value)
    outcome = await outcome_of(value, {"op": op, **parameters})
    assert outcome.failure is None, outcome.failure
    assert json.dumps(value) == before, "the input is not changed"
    return outcome.output


async def failure(value, op, **parameters):
    outcome = await outcome_of(value, {"op": op, **parameters})
    return str(outcome.failure.message)


# --- form --------------------------------------------------------------------------------------------------


async def test_operations_follow_each_other_and_their_notes_say_which():
    outcome = await outcome_of(
        [{"n": 3}, {"n": 1}, {"n": 2}], {"op": "sort", "by": "n"}, {"op": "limit", "count": 2}
    )
    assert outcome.output == [{"n": 1}, {"n": 2}]
    assert outcome.notes == ("do[1] limit: 2 of 3 kept",)


async def test_a_single_operation_needs_no_list():
    step = {"id": "t", "intent": "transform", "input": [2, 1], "with": {"op": "sort"}}
    result = await run_steps([step], TransformHandler())
    assert result.steps["t"].output == [1, 2]


async def test_a_failure_names_the_operation():
    outcome = await outcome_of([{"n": 1}], {"op": "limit", "count": 1}, {"op": "sort", "by": "m"})
    assert outcome.failure.message == "do[1] sort: no record has the field 'm'"
    assert outcome.failure.hint == "they have: n"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "either `do`"),
        ({"do": [], "op": "sort"}, "either `do`"),
        ({"do": [], "by": "n"}, "'by' belongs into an operation"),
        ({"op": "sorted"}, "there is no operation 'sorted'; did you mean 'sort'?"),
        ({"do": [{"by": "n"}]}, "do[0]: there is no operation 'None'"),
        ({"do": [{"op": "limit"}]}, "do[0] limit: 'count' is missing"),
        (
            {"do": [{"op": "limit", "count": 1, "n": 2}]},
            "do[0] limit: 'n' is no parameter of it; it takes count, offset",
        ),
        ({"op": "set", "fields": {"a": "item."}}, "set: 'a' is wrong"),
        ({"op": "set", "fields": {"a": "item.x + {{ inputs.y }}"}}, "values.rate"),
        ({"op": "days_between", "into": "d"}, "give `from`, `to` or both"),
        ({"op": "limit", "count": "{{ inputs.n }}"}, None),
        ({"op": "select", "fields": "{{ inputs.n }}"}, None),
        ({"op": "sort", "by": ["{{ inputs.n }}"]}, None),
        ({"do": "{{ inputs.n }}"}, None),
        ({"op": "set", "fields": {"a": "{{ inputs.expression }}"}}, None),
    ],
)
async def test_mistakes_are_seen_before_the_run_and_references_wait(given, says):
    step = {"id": "t", "intent": "transform", "input": [], "with": given}
    if says is None:
        assert TransformHandler().check(Step.model_validate(step)) == []
    else:
        with pytest.raises(WorkflowError) as caught:
            await run_steps([step], TransformHandler())
        assert says in str(caught.value)


def test_a_missing_input_is_seen_before_the_run():
    step = Step.model_validate({"id": "t", "with": {"op": "sort"}})
    assert any("`input` is missing" in message for message in TransformHandler().check(step))


@pytest.mark.sampled(50)
@pytest.mark.parametrize("op", [op for op in OPS if op not in ("to_json", "parse_json", "split", "render")])
@pytest.mark.parametrize("value", [None, "text", 5, [1, "two"], {"rows": [1]}])
async def test_every_operation_answers_or_refuses_whatever_it_is_given(op, value):
    """No operation raises anything but a message for users."""
    needed = {
        "fields": {"x": "y"} if op in ("rename", "select", "set") else ["x"],
        "count": 1,
        "map": {"a": "b"},
        "path": "x",
        "other": [],
        "field": "x",
        "into": "z",
        "days": 1,
        "to": {"truncate_date": "day", "convert_unit": "m"}.get(op, "x"),
        "rows": "x",
        "columns": ["x"] if op != "pivot" else "x",
        "values": {} if op == "set" else "x",
        "keep": "first" if op == "unique" else "x",
        "where": "item == 1",
        "length": 3,
        "label": "x",
        "value": "y",
        "x": "x",
        "y": "y",
    }
    known = {name: item for name, item in needed.items() if name in OPS[op].model_fields}
    if op == "set":
        known["fields"] = {"x": "item.y"}
    if op == "reduce":
        known["with"] = "count"
    outcome = await outcome_of(value, {"op": op, **known})
    assert outcome.failure is None or outcome.failure.error == "StepError", outcome.failure


# --- fields ------------------------------------------------------------------------------------------------

PEOPLE = [{"name": "Ada", "born": 1815, "home": {"town": "London"}}, {"name": "Bo", "home": None}]


async def test_select():
    assert await run(PEOPLE, "select", fields=["born", "name"]) == [
        {"born": 1815, "name": "Ada"},
        {"born": None, "name": "Bo"},
    ]
    assert await run(PEOPLE, "select", fields={"town": "home.town"}) == [{"town": "London"}, {"town": None}]
    assert "no record has the field 'nme'" in await failure(PEOPLE, "select", fields=["nme"])


async def test_select_counts_what_it_filled():
    outcome = await outcome_of(PEOPLE, {"op": "select", "fields": ["born"]})
    assert outcome.notes == ("do[0] select: 1 absent fields became null",)


async def test_drop():
    assert await run(PEOPLE, "drop", fields=["home", "born"]) == [{"name": "Ada"}, {"name": "Bo"}]
    assert "no record has the field" in await failure(PEOPLE, "drop", fields=["hme"])


async def test_rename_keeps_the_places():
    renamed = await run(PEOPLE, "rename", fields={"year": "born"})
    assert [list(record) for record in renamed] == [["name", "year", "home"], ["name", "home"]]
    assert "a new name already" in await failure(PEOPLE, "rename", fields={"name": "born"})
    assert await run([{"a": 1, "b": 2}], "rename", fields={"b": "a", "a": "b"}) == [{"b": 1, "a": 2}]


async def test_set_computes_one_after_the_other():
    items = [{"net": 100.0, "vat": 0.19}]
    fields = {
        "tax": "item.net * item.vat",
        "gross": "item.net + item.tax",
        "label": "values.prefix + string(index)",
    }
    assert await run(items, "set", fields=fields, values={"prefix": "#"}) == [
        {"net": 100.0, "vat": 0.19, "tax": 19.0, "gross": 119.0, "label": "#0"}
    ]


async def test_set_on_a_single_record():
    assert await run({"n": 1}, "set", fields={"big": "item.n > 0 ? 'yes' : 'no'"}) == {"n": 1, "big": "yes"}


async def test_what_cannot_be_computed_is_an_error_or_null_and_counted():
    items = [{"n": 1}, {"n": None}, {}]
    assert (await failure(items, "set", fields={"m": "item.n + 1"})).startswith("do[0] set: record 1, m: ")
    outcome = await outcome_of(items, {"op": "set", "fields": {"m": "item.n + 1"}, "on_error": "null"})
    assert [item["m"] for item in outcome.output] == [2, None, None]
    assert outcome.notes[0].startswith(
        "do[0] set: 2 fields could not be computed and are null; the first: record 1"
    )


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("timestamp('2026-03-01T00:00:00Z')", "2026-03-01T00:00:00Z"),
        ("timestamp('2026-03-02T00:00:00Z') - timestamp('2026-03-01T00:00:00Z')", 86400.0),
        ("{'a': [duration('1s')]}", {"a": [1.0]}),
        ("null", None),
    ],
)
async def test_computed_values_become_json(expression, value):
    assert (await run([{}], "set", fields={"x": expression}))[0]["x"] == value


@pytest.mark.parametrize("expression", ["1.0 / 0.0", "b'abc'"])
async def test_computed_values_that_are_no_json_are_errors(expression):
    assert "cannot be written as JSON" in await failure([{}], "set", fields={"x": expression})


# --- rows --------------------------------------------------------------------------------------------------


async def test_sort_by_several_fields_keeps_ties_in_order():
    rows = [
        {"a": 1, "b": "x", "n": 0},
        {"a": 2, "b": "y", "n": 1},
        {"a": 1, "b": "y", "n": 2},
        {"a": 2, "b": "y", "n": 3},
    ]
    assert [row["n"] for row in await run(rows, "sort", by=["-a", "b"])] == [1, 3, 0, 2]
    keys = [{"by": "b", "direction": "desc"}, "a"]
    assert [row["n"] for row in await run(rows, "sort", by=keys)] == [2, 1, 3, 0]


async def test_sort_has_a_total_order_with_null_last_both_ways():
    values = ["b", 2, None, "B", True, 1.5, [1], {"a": 1}, False]
    up = [False, True, 1.5, 2, "B", "b", [1], {"a": 1}, None]
    assert await run(values, "sort") == up
    assert await run(values, "sort", direction="desc") == [*reversed(up[:-1]), None]


async def test_sort_can_ignore_case():
    assert await run(["b", "A", "a", "B"], "sort", ignore_case=True) == ["A", "a", "b", "B"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(JSON, max_size=10))
async def test_sorting_loses_nothing_and_is_stable(values):
    ordered = await run(values, "sort")
    assert sorted(map(json.dumps, ordered)) == sorted(map(json.dumps, values))
    assert await run(ordered, "sort") == ordered


async def test_limit_counts_from_the_offset():
    assert await run([1, 2, 3, 4], "limit", count=2, offset=1) == [2, 3]
    assert await run([1], "limit", count=5) == [1]


async def test_unique():
    rows = [{"id": 1, "n": 1}, {"id": 1.0, "n": 2}, {"id": "1", "n": 3}, {"n": 4}, {"n": 5}]
    assert [row["n"] for row in await run(rows, "unique", by="id")] == [1, 3, 4, 5]
    assert [row["n"] for row in await run(rows, "unique", by="id", keep="last")] == [2, 3, 4, 5]
    assert await run([1, True, 1.0, "1", [1], [1]], "unique") == [1, True, "1", [1]]


MAILS = [
    {"id": 1, "name": "mail", "files": [{"name": "a.pdf", "size": 1}, {"name": "b.pdf", "size": 2}]},
    {"id": 2, "name": "mail", "files": []},
    {"id": 3, "name": "mail"},
    {"id": 4, "name": "mail", "files": ["plain"]},
]


async def test_flatten_carries_the_parents_fields_and_the_child_wins():
    outcome = await outcome_of(MAILS, {"op": "flatten", "field": "files"})
    assert outcome.output == [
        {"id": 1, "name": "a.pdf", "size": 1},
        {"id": 1, "name": "b.pdf", "size": 2},
        {"id": 4, "name": "mail", "files": "plain"},
    ]
    assert outcome.notes == ("do[0] flatten: 2 records without files gave no row",)


async def test_flatten_can_keep_both_by_a_prefix_and_choose_what_to_carry():
    (first, *_) = await run(MAILS, "flatten", field="files", prefix="mail_", carry=["name"])
    assert first == {"mail_name": "mail", "name": "a.pdf", "size": 1}


async def test_flatten_opens_lists_within_lists():
    assert await run([1, [2, [3]], []], "flatten") == [1, 2, [3]]
    assert await run([1, [2, [3]], []], "flatten", depth=2) == [1, 2, 3]


async def test_flatten_refuses_what_is_no_list():
    assert "files is text" in await failure([{"files": "x"}], "flatten", field="files")


@pytest.mark.parametrize(
    ("value", "other", "keys", "kept"),
    [
        ([1, "1", 2], [1.0], {}, ["1", 2]),
        ([{"id": 1}, {"id": 2}], [{"id": 2}], {"by": "id"}, [{"id": 1}]),
        ([{"id": 1}, {"id": 2}], [{"key": 2}], {"by": "id", "other_by": "key"}, [{"id": 1}]),
        ([{"id": 1}, {"id": 2}], [2], {"by": "id"}, [{"id": 1}]),
        ([1], None, {}, [1]),
        ([1], [], {}, [1]),
    ],
)
async def test_set_difference(value, other, keys, kept):
    assert await run(value, "set_difference", other=other, **keys) == kept


async def test_set_difference_refuses_what_is_no_list():
    assert "its input must be a list" in await failure({"rows": [1]}, "set_difference", other=[])


async def test_a_workflow_of_three_transforms_spends_nothing():
    flow = Workflow.parse(
        """
        name: attachments
        inputs: {mails: {type: array}, known: {type: array}}
        steps:
          - {id: files, intent: transform, input: "{{ inputs.mails }}", with: {op: flatten, field: files}}
          - id: unknown
            intent: transform
            input: "{{ steps.files.output }}"
            with: {op: set_difference, other: "{{ inputs.known }}", by: name}
          - id: report
            intent: transform
            input: "{{ steps.unknown.output }}"
            with: {op: render, template: "- {name} of mail {id}", before: "# New\\n"}
        """
    )
    async with OrchestrationService(plugins=[TransformHandler()], discover=False, db="none") as service:
        result = await service.run(flow, {"mails": MAILS, "known": ["a.pdf"]})
    assert result.steps["report"].output == "# New\n- b.pdf of mail 1\n- mail of mail 4"
    assert result.metrics.tokens_used == 0


@pytest.mark.parametrize(
    ("values", "noted"),
    [
        (["10", "9", None], True),
        (["-2", "-10", "-3"], True),
        (["10", "20", "90"], False),
        (["10", 9], False),
        (["010", "9"], False),
        (["10", "9", "n/a"], False),
        ([10, 9], False),
        ([None], False),
        ([], False),
    ],
)
async def test_figures_that_are_sorted_as_texts_are_said(values, noted):
    """A CSV that is read without `types: auto` holds texts, of which `10` comes before `9`."""
    for items, by in ((values, []), ([{"a": value} for value in values], ["-a"])):
        outcome = await outcome_of(items, {"op": "sort", "by": by})
        assert any("sorted as texts" in note for note in outcome.notes) is noted


@pytest.mark.parametrize(
    ("source", "value", "noted"),
    [
        ("item.n / 2", 3, True),
        ("double(item.n) / 2.0", 3.5, False),
        ("int(item.n / 2)", 3, False),
        ("item.n * 2", 14, False),
        ("item.name + '/x'", "a/x", False),
    ],
)
async def test_a_division_of_whole_numbers_says_that_it_leaves_the_rest_out(source, value, noted):
    outcome = await outcome_of([{"n": 7, "name": "a"}], {"op": "set", "fields": {"half": source}})
    assert outcome.output[0]["half"] == value
    assert any("'half' divides whole numbers" in note for note in outcome.notes) is noted


async def test_an_empty_text_of_a_model_is_asked_for_again():
    provider = ScriptedProvider(" ", "Hallo")
    step = {"id": "t", "intent": "transform", "input": "Hello", "prompt": "Translate to German"}
    result = await run_steps([step], TransformHandler(), provider)
    assert result.steps["t"].output == "Hallo"
    assert len(provider.calls) == 2
    assert "the model wrote nothing" in provider.calls[1][1].messages[-1].content


@pytest.mark.parametrize(
    ("written", "to", "value"),
    [
        ("20 \u00b0C", "F", 68),
        ("\u22125 \u00b0C", "\u00b0F", 23),
        ("68 \u2109", "C", 20),
        ("2 m\u00b2", "ft2", 21.528),
        ("3 m\u00b3", "L", 3000),
        ("5 \u00b5m", "mm", 0.005),
        ("7\u00a0kg", "g", 7000),
        ("250 mL", "l", 0.25),
    ],
)
async def test_units_are_known_as_people_write_them(written, to, value):
    outcome = await outcome_of([{"x": written}], {"op": "convert_unit", "field": "x", "to": to, "decimals": 3})
    assert outcome.failure is None, outcome.failure
    assert outcome.output == [{"x": value}]
