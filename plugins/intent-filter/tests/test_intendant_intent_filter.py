"""What the filter handler promises."""

import json

import pytest
from hypothesis import given, strategies as st

from intendant import OrchestrationService, Workflow, WorkflowError
from intendant.plugin import Step
from intendant.records import identity_of as identity
from intendant.testing import IntentContract, ScriptedProvider, run_steps
from intendant_intent_filter import FilterHandler

ORDERS = [
    {"id": "a", "total": 120, "state": "open", "customer": {"mail": "x@example.org"}},
    {"id": "b", "total": 80, "state": "open", "customer": {"mail": "y@example.org"}},
    {"id": "c", "total": 300, "state": "paid", "customer": {"mail": "x@example.org"}},
    {"id": "d", "total": None, "state": "open", "customer": None},
]


class TestFilterContract(IntentContract):
    plugin = FilterHandler
    entry_point = "filter"
    steps = (
        {"input": [{"n": 1}, {"n": 2}], "with": {"where": "item.n > 1"}},
        {"input": [{"id": 1}], "with": {"unique_by": ["id", "a.b"], "offset": 0, "limit": 5}},
        {"input": [{"id": 1}], "with": {"contains_any": {"fields": ["id", "name"], "words": "a, é"}}},
        {"input": [{"id": 1}], "with": {"window": {"by": "id", "sort_by": ["-n", "name"]}}},
        {"input": [{"id": 1}], "with": {"not_in": {"records": [{"id": 2}, 3, None], "by": "id"}}},
        {"input": [{"id": 1}], "with": {"between": {"field": "id", "last_days": 3}}},
        {"input": [{"id": 1}], "with": {"where": "item.id == 1", "on_error": "drop"}},
    )


async def run(value, **parameters):
    """The outcome of one filter step."""
    step = {"id": "f", "intent": "filter", "input": "{{ inputs.value }}", "with": parameters}
    result = await run_steps([step], FilterHandler(), inputs={"value": value})
    return result.steps["f"]


def ids(outcome):
    assert outcome.failure is None, outcome.failure
    return "".join(item["id"] for item in outcome.output)


async def test_keeps_what_matches_and_counts_what_does_not():
    outcome = await run(ORDERS, where="item.state == 'open' && item.total != null")
    assert ids(outcome) == "ab"
    assert outcome.notes == ("kept 2 of 4 records, dropped 2",)


async def test_a_condition_that_cannot_be_evaluated_names_the_record_and_the_reason():
    outcome = await run(ORDERS, where="item.total > 100")
    assert outcome.failure.error == "StepError"
    assert outcome.failure.message.startswith("record 3 (id 'd'): `item.total > 100` cannot be evaluated")
    assert "on_error: drop" in outcome.failure.hint


async def test_a_missing_field_is_an_error_and_never_counts_as_false():
    outcome = await run([{"id": "a"}], where="item.total > 100")
    assert "Key not found" in outcome.failure.message
    assert "has(item.field)" in outcome.failure.hint


@pytest.mark.parametrize(("on_error", "kept"), [("drop", "ac"), ("keep", "acd")])
async def test_what_could_not_be_evaluated_is_counted(on_error, kept):
    outcome = await run(ORDERS, where="item.total > 100", on_error=on_error)
    assert ids(outcome) == kept
    assert outcome.notes[1].startswith("1 could not be evaluated and were")
    assert "record 3 (id 'd')" in outcome.notes[1]


async def test_a_condition_that_is_not_a_boolean_is_an_error():
    outcome = await run(ORDERS, where="item.state")
    assert "neither true nor false" in outcome.failure.message


async def test_values_are_typed_and_cannot_change_the_condition():
    hostile = "open' || 'a' == 'a"
    assert ids(await run(ORDERS, where="item.state == values.wanted", values={"wanted": hostile})) == ""
    assert ids(await run(ORDERS, where="item.state == values.wanted", values={"wanted": "paid"})) == "c"


async def test_the_index_counts_from_zero():
    assert ids(await run(ORDERS, where="index % 2 == 1")) == "bd"


@pytest.mark.parametrize(("keep", "kept"), [("first", "abd"), ("last", "bcd")])
async def test_duplicates_by_a_nested_field(keep, kept):
    outcome = await run(ORDERS, unique_by="customer.mail", keep=keep)
    assert ids(outcome) == kept
    assert outcome.notes[1] == f"1 duplicates by customer.mail, of which the {keep} is kept"


async def test_records_without_the_key_are_not_duplicates_of_each_other():
    assert len((await run([{"id": "a"}, {"id": "b"}], unique_by="mail")).output) == 2


async def test_equal_records_are_one_whatever_the_order_of_their_fields():
    value = [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1.0}, {"a": "1", "b": [2]}, {"a": True, "b": [2]}]
    assert len((await run(value, unique_by="*")).output) == 3


async def test_offset_and_limit_come_last():
    assert ids(await run(ORDERS, where="item.state == 'open'", offset=1, limit=1)) == "b"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("complaint, refund, NOT WORKING", "ac"),
        (["refund"], "c"),
        ("urgent", "b"),
        ([], ""),
        (" , ", ""),
    ],
)
async def test_contains_any(words, kept):
    mails = [
        {"id": "a", "subject": "It is not working", "body": None, "tags": []},
        {"id": "b", "subject": "Hello", "body": "all fine", "tags": ["Urgent"]},
        {"id": "c", "subject": None, "body": "I want a Refund!", "tags": ["not urgent at all"]},
    ]
    fields = ["subject", "body", "tags", "nowhere"]
    assert ids(await run(mails, contains_any={"fields": fields, "words": words})) == kept


async def test_contains_any_refuses_words_that_are_neither_text_nor_a_list():
    outcome = await run_steps(
        [{"id": "f", "intent": "filter", "input": [], "with": {"contains_any": "{{ inputs.c }}"}}],
        FilterHandler(),
        inputs={"c": {"fields": ["a"], "words": 5}},
    )
    assert "`with` is wrong" in outcome.steps["f"].failure.message


@pytest.mark.parametrize("value", [None, "text", 5, {"rows": [1]}])
async def test_what_is_no_list_is_named(value):
    outcome = await run(value, limit=1)
    assert outcome.failure.message.startswith("the input must be a list, not ")


async def test_a_record_that_holds_a_list_gets_a_hint():
    outcome = await run({"rows": [1], "next": None}, limit=1)
    assert outcome.failure.hint == "it has a list under 'rows': refer to that"


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"with": {"where": "item.x > "}}, "`where` is wrong"),
        ({"with": {"where": "itm.x > 1"}}, "undeclared reference"),
        ({"with": {"where": "'text'"}}, "neither true nor false"),
        ({"with": {"where": "item.x > {{ inputs.least }}"}}, "values.least"),
        ({"with": {}}, "nothing to filter by"),
        ({"with": {"limit": 1}, "input": ...}, "`input` is missing"),
    ],
)
def test_mistakes_are_seen_before_the_run(step, says):
    given = {"id": "f", "intent": "filter", "input": [], **step}
    step = Step.model_validate({name: value for name, value in given.items() if value is not ...})
    assert any(says in message for message in FilterHandler().check(step))


def test_a_whole_reference_as_condition_waits_for_the_run():
    step = Step.model_validate({"id": "f", "input": [], "with": {"where": "{{ inputs.condition }}"}})
    assert FilterHandler().check(step) == []


async def test_a_workflow_of_three_filters_spends_nothing():
    flow = Workflow.parse(
        """
        name: open orders
        inputs: {orders: {type: array}, least: {type: integer}}
        steps:
          - {id: open, intent: filter, input: "{{ inputs.orders }}", with: {where: "item.state == 'open'"}}
          - id: large
            intent: filter
            input: "{{ steps.open.output }}"
            with: {where: "item.total >= values.least", values: {least: "{{ inputs.least }}"}, on_error: drop}
          - {id: first, intent: filter, input: "{{ steps.large.output }}", with: {limit: 1}}
        """
    )
    async with OrchestrationService(plugins=[FilterHandler()], discover=False, db="none") as service:
        result = await service.run(flow, {"orders": ORDERS, "least": 100})
    assert [item["id"] for item in result.steps["first"].output] == ["a"]
    assert result.metrics.tokens_used == 0


async def test_mistakes_in_a_file_stop_it_before_it_runs():
    with pytest.raises(WorkflowError, match="`where` is wrong"):
        await run([], where="item.x >")


async def test_the_input_is_not_changed():
    before = json.dumps(ORDERS)
    await run(ORDERS, where="index > 0", unique_by="state", on_error="drop")
    assert json.dumps(ORDERS) == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(JSON, max_size=12))
async def test_unique_keeps_one_of_each(values):
    """Nothing kept is alike, and everything dropped is like something kept."""
    outcome = await run(values, unique_by="*")
    kept = [identity(value) for value in outcome.output]
    assert len(set(kept)) == len(kept)
    assert {identity(value) for value in values} == set(kept)


# --- composed and decomposed text ------------------------------------------------------------------------------

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize("word", [COMPOSED, DECOMPOSED, "CAF\u00c9", "CAFE\u0301"])
async def test_words_are_found_however_their_letters_are_composed(word):
    items = [{"id": "a", "t": f"le {DECOMPOSED} noir"}, {"id": "b", "t": [COMPOSED]}, {"id": "c", "t": "cafe"}]
    outcome = await run(items, contains_any={"fields": ["t"], "words": [word]})
    assert ids(outcome) == "ab"


async def test_a_letter_without_its_accent_is_another_one():
    items = [{"id": "a", "t": DECOMPOSED}, {"id": "b", "t": "cafe"}]
    assert ids(await run(items, contains_any={"fields": ["t"], "words": ["cafe"]})) == "b"


async def test_canonically_equal_records_are_duplicates():
    assert (await run([COMPOSED, DECOMPOSED], unique_by="*")).output == [COMPOSED]
    items = [{"id": "a", COMPOSED: DECOMPOSED}, {"id": "b", DECOMPOSED: COMPOSED}]
    assert ids(await run(items, unique_by=COMPOSED)) == "a"
    assert ids(await run(items, unique_by=[DECOMPOSED], keep="last")) == "b"


async def test_canonically_equal_values_meet_a_condition():
    items = [{"id": "a", "t": DECOMPOSED}, {"id": "b", "t": "x"}]
    assert ids(await run(items, where=f"item.t == '{COMPOSED}'")) == "a"
    assert ids(await run(items, where="item.t == values.t", values={"t": COMPOSED})) == "a"


# --- bounds ----------------------------------------------------------------------------------------------------


async def test_a_condition_that_multiplies_text_is_stopped_and_no_record_is_dropped_for_it():
    step = {
        "where": "item.replace('a', item).replace('a', item).replace('a', item).size() > 0",
        "on_error": "drop",
    }
    outcome = await run(["a" * 2000], **step)
    assert "to compute and was stopped" in outcome.failure.message
    assert "run.compute_" in outcome.failure.hint


async def test_a_condition_ends_with_its_step():
    where = "item.l.all(x, item.s.replace('a', item.s).size() > 0)"
    step = {"id": "f", "intent": "filter", "input": "{{ inputs.value }}", "with": {"where": where}, "timeout": 1.5}
    value = [{"l": list(range(5000)), "s": "a" * 15_000}]
    run = {"compute_seconds": 3600}
    result = await run_steps([step], FilterHandler(), inputs={"value": value}, run=run)
    assert result.steps["f"].failure.error == "StepTimeout"


# --- sets, dates, likeness, windows ---------------------------------------------------------------------------

PAYMENTS = [
    {"id": 1, "who": "Ada Lovelace", "day": "2026-05-01", "sum": 5},
    {"id": 2, "who": "lovelace ada", "day": "31 May 2026", "sum": 9},
    {"id": 3, "who": "Ada Lovelce", "day": "2026-06-01T00:00:00Z", "sum": 7},
    {"id": 4, "who": "Bo", "day": "soon", "sum": 1},
    {"id": 5, "who": None, "day": None, "sum": 2},
]


async def kept_ids(**parameters):
    step = {"id": "f", "intent": "filter", "input": PAYMENTS, "with": parameters}
    result = await run_steps([step], FilterHandler())
    outcome = result.steps["f"]
    assert outcome.failure is None, outcome.failure
    return [record["id"] for record in outcome.output]


async def test_dates_lie_within_a_time_with_both_its_ends():
    assert await kept_ids(between={"field": "day", "from": "2026-05-01", "to": "2026-05-31"}) == [1, 2]
    assert await kept_ids(between={"field": "day", "from": "1 June 2026"}) == [3]
    assert await kept_ids(between={"field": "day", "last_days": 1}) == []


async def test_days_of_times_are_those_of_the_time_zone_that_is_said():
    days = ["2026-04-30T22:30:00Z", "2026-05-31T21:59:00Z", "2026-05-31T22:30:00Z", "31 May 2026"]
    period = {"field": "day", "from": "2026-05-01", "to": "2026-05-31"}
    step = {"id": "f", "intent": "filter", "input": [{"day": day} for day in days]}
    expected = {None: days[1:], "Europe/Berlin": [*days[:2], days[3]], "Pacific/Auckland": [days[0], days[3]]}
    for zone, kept in expected.items():
        between = period if zone is None else {**period, "timezone": zone}
        result = await run_steps([{**step, "with": {"between": between}}], FilterHandler())
        assert [record["day"] for record in result.steps["f"].output] == kept


async def test_what_another_list_has_or_has_not():
    """By fields under either name, by plain values, or by the whole record; null is in no list."""
    others = [{"key": 1}, {"key": 4.0}, {"key": "2"}]
    assert await kept_ids(not_in={"records": others, "by": "id", "other_by": "key"}) == [2, 3, 5]
    assert await kept_ids(only_in={"records": ["Bo", None], "by": "who"}) == [4]
    assert await kept_ids(not_in={"records": PAYMENTS[:2]}) == [3, 4, 5]
    assert await kept_ids(not_in={"records": []}) == [1, 2, 3, 4, 5]


async def test_what_is_nearly_the_same_is_dropped():
    """Whatever the order of the words, case and typing errors; records without a text are like none."""
    pytest.importorskip("rapidfuzz")
    assert await kept_ids(similar_by={"fields": "who", "threshold": 0.85}) == [1, 4, 5]
    assert await kept_ids(similar_by={"fields": "who", "threshold": 1}) == [1, 3, 4, 5]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ann Smith", "Smith, Ann", True),
        ("Desk lamp white", "desk lamp (white)", True),
        ("„Zur Post“", "zur Post", True),
        ("C++ course", "C course", False),
        ("12.50", "1250", False),
        ("...", "!!", False),
    ],
)
async def test_punctuation_around_words_does_not_tell_records_apart(one, other, same):
    pytest.importorskip("rapidfuzz")
    rows = [{"id": 1, "who": one}, {"id": 2, "who": other}]
    step = {
        "id": "f",
        "intent": "filter",
        "input": rows,
        "with": {"similar_by": {"fields": "who", "threshold": 1}},
    }
    result = await run_steps([step], FilterHandler())
    assert [row["id"] for row in result.outputs["f"]] == ([1] if same else [1, 2])


async def test_the_first_of_each_group():
    assert await kept_ids(window={"sort_by": "-sum", "count": 2}) == [2, 3]
    rows = [{"g": "a", "n": 1}, {"g": "b", "n": 2}, {"g": "a", "n": 3}, {"g": "b", "n": None}]
    step = {"id": "f", "intent": "filter", "input": rows, "with": {"window": {"by": "g", "sort_by": "-n"}}}
    result = await run_steps([step], FilterHandler())
    assert result.steps["f"].output == [{"g": "b", "n": 2}, {"g": "a", "n": 3}]


async def test_a_model_says_why():
    """The reasons of the records stand in the notes, where they are asked for."""
    answers = [
        {"n": 0, "keep": True, "reason": "it asks for money"},
        {"n": 1, "keep": False, "reason": "a greeting"},
    ]
    provider = ScriptedProvider(json.dumps({"answers": answers}))
    rows = [{"id": "a", "text": "Refund!"}, {"id": "b", "text": "Hello"}]
    step = {"id": "f", "intent": "filter", "input": rows, "prompt": "Keep complaints", "with": {"reasons": True}}
    result = await run_steps([step], FilterHandler(), provider)
    outcome = result.steps["f"]
    assert outcome.output == rows[:1], outcome.failure
    assert "record 1 (id 'b'): a greeting" in outcome.notes


# --- what is left out is said ------------------------------------------------------------------------------------


async def notes_of(items, **parameters):
    step = {"id": "f", "intent": "filter", "input": items, "with": parameters}
    outcome = (await run_steps([step], FilterHandler())).steps["f"]
    assert outcome.failure is None, outcome.failure
    return outcome.notes[1:]


async def test_records_whose_date_is_none_or_not_clear_are_counted():
    days = ["2026-05-02", "5/4/2026", "soon", 20260502, None, "", "2026-09-01"]
    items = [{"day": day} for day in days] + [{}]
    assert await notes_of(items, between={"field": "day", "from": "2026-05-01", "to": "2026-05-31"}) == (
        "3 records without a day left out",
        '2 records left out whose day is no date; the first: text "soon"',
        "1 records left out whose day can be read in two ways; the first: '5/4/2026'; say `day_first`",
    )
    assert await notes_of([{"day": "2026-05-02"}], between={"field": "day", "from": "2026-05-01"}) == ()


@pytest.mark.parametrize(
    ("parameters", "note"),
    [
        ({"between": {"field": "dya", "from": "2026-05-01"}}, "no record has a dya, by which `between` goes"),
        (
            {"contains_any": {"fields": ["titel", "txt"], "words": "a"}},
            "no record has a titel or txt, by which `contains_any` goes",
        ),
        ({"window": {"by": "idd"}}, "no record has a idd, by which `window` goes"),
        ({"unique_by": ["idd"]}, "no record has a idd, by which `unique_by` goes"),
        ({"not_in": {"records": [1], "by": "idd"}}, "no record has a idd, by which `not_in` goes"),
        ({"only_in": {"records": [1], "by": "idd"}}, "no record has a idd, by which `only_in` goes"),
    ],
)
async def test_a_field_that_no_record_has_is_said(parameters, note):
    """It is mostly written wrong, and would keep or drop all records without a word."""
    assert note in await notes_of([{"id": 1, "title": "a"}], **parameters)
    assert await notes_of([], **parameters) == ()


async def test_fields_of_which_some_record_has_one_are_right():
    items = [{"id": 1, "title": "a"}, {"id": 2}]
    assert await notes_of(items, contains_any={"fields": ["title", "text"], "words": "a"}) == ()
    assert await notes_of(items, unique_by=["id", "x"]) == ()
    assert await notes_of([1, 1], unique_by="*") == ("1 duplicates by *, of which the first is kept",)
