"""What the enrich handler promises."""

import json

import pytest
from hypothesis import given, strategies as st

from intendant import OrchestrationService, Workflow
from intendant.plugin import Step
from intendant.testing import IntentContract, run_steps
from intendant_intent_enrich import EnrichHandler

DEALS = [
    {"deal": 1, "account": "a", "owner": None},
    {"deal": 2, "account": "b", "owner": "Bo"},
    {"deal": 3, "account": "zz"},
    {"deal": 4, "account": None},
]
ACCOUNTS = [
    {"id": "a", "owner": "Ada", "geo": {"country": "UK"}},
    {"id": "b", "owner": "Eve", "geo": {"country": "FR"}},
    {"id": None, "owner": "nobody"},
]
ON = {"left": "account", "right": "id"}


class TestEnrichContract(IntentContract):
    plugin = EnrichHandler
    entry_point = "enrich"
    steps = (
        {"input": [{"n": 1}], "with": {"from": [{"n": 1, "m": 2}], "on": "n"}},
        {"input": [{"id": 1}], "with": {"from": {"1": {"m": 2}}, "on": "id", "missing": "keep"}},
    )


async def run(value, **parameters):
    """The outcome of one enrichment."""
    step = {"id": "e", "intent": "enrich", "input": "{{ inputs.value }}", "with": parameters}
    result = await run_steps([step], EnrichHandler(), inputs={"value": value})
    return result.steps["e"]


async def test_adds_what_is_found_and_counts():
    outcome = await run(DEALS, **{"from": ACCOUNTS}, on=ON, fields={"country": "geo.country"})
    assert [deal["country"] for deal in outcome.output] == ["UK", "FR", None, None]
    assert outcome.notes == ("2 of 4 records matched, 2 kept without", "1 records of `from` have no key")


@pytest.mark.parametrize(
    ("overwrite", "owners"),
    [(False, [None, "Bo", None, None]), ("null", ["Ada", "Bo", None, None]), (True, ["Ada", "Eve", None, None])],
)
async def test_fields_that_are_there_are_replaced_only_where_asked(overwrite, owners):
    outcome = await run(DEALS, **{"from": ACCOUNTS}, on=ON, fields=["owner"], overwrite=overwrite)
    assert [deal.get("owner") for deal in outcome.output] == owners


@pytest.mark.parametrize("source", [[{"id": "b", "owner": None}], [{"id": "x", "owner": "Ada"}]])
async def test_what_is_there_is_never_replaced_by_null(source):
    """Neither by a null that was found, nor where nothing was found."""
    outcome = await run(DEALS[1:2], **{"from": source}, on=ON, overwrite=True)
    assert outcome.output[0]["owner"] == "Bo"


async def test_what_was_left_as_it_was_is_counted():
    outcome = await run(DEALS, **{"from": ACCOUNTS}, on=ON, fields=["owner"])
    assert "2 fields were there already with another value and were left as they were" in outcome.notes


async def test_all_fields_but_the_key_with_a_prefix():
    outcome = await run(DEALS[:1], **{"from": ACCOUNTS}, on=ON, prefix="account_")
    assert outcome.output == [{**DEALS[0], "account_owner": "Ada", "account_geo": {"country": "UK"}}]


@pytest.mark.parametrize(("missing", "left"), [("drop", [1, 2]), ("keep", [1, 2, 3, 4])])
async def test_keys_that_are_not_found(missing, left):
    outcome = await run(DEALS, **{"from": ACCOUNTS}, on=ON, missing=missing)
    assert [deal["deal"] for deal in outcome.output] == left


@pytest.mark.parametrize(
    ("deals", "says"), [(DEALS[2:], 'has the key text "zz", which is not in'), (DEALS[3:], "record 0 has no key")]
)
async def test_a_missing_key_can_fail_the_step(deals, says):
    outcome = await run(deals, **{"from": ACCOUNTS}, on=ON, missing="fail")
    assert says in outcome.failure.message


TWICE = [{"id": "a", "x": 1}, {"id": "a", "x": 2}]


async def test_a_key_that_is_found_twice_is_an_error_unless_said_otherwise():
    outcome = await run(DEALS[:1], **{"from": TWICE}, on=ON)
    assert outcome.failure.message == 'record 0: `from` has 2 records of the key text "a"'


async def test_several_can_be_taken_as_a_list_or_the_first():
    outcome = await run(DEALS[:1], **{"from": TWICE}, on=ON, many="first")
    assert outcome.output[0]["x"] == 1
    assert outcome.notes[1] == "1 keys were found more than once (first taken)"
    outcome = await run([DEALS[0], DEALS[2]], **{"from": TWICE}, on=ON, many="list", into="all")
    assert [deal["all"] for deal in outcome.output] == [[{"x": 1}, {"x": 2}], []]


async def test_the_record_found_can_go_into_one_field():
    outcome = await run(DEALS[:1], **{"from": ACCOUNTS}, on=ON, into="owner", overwrite=True)
    assert outcome.output[0]["owner"] == {"owner": "Ada", "geo": {"country": "UK"}}
    outcome = await run(DEALS[:1], **{"from": ACCOUNTS}, on=ON, into="found", fields={"land": "geo.country"})
    assert outcome.output[0]["found"] == {"land": "UK"}


async def test_a_map_of_values_goes_into_a_field():
    outcome = await run([{"code": "DE"}, {"code": "XX"}], **{"from": {"DE": "Germany"}}, on="code", into="country")
    assert outcome.output == [{"code": "DE", "country": "Germany"}, {"code": "XX", "country": None}]


async def test_a_map_of_records_is_found_by_number_too():
    outcome = await run([{"n": 17}], **{"from": {"17": {"name": "x"}}}, on="n")
    assert outcome.output == [{"n": 17, "name": "x"}]


async def test_a_map_of_values_without_a_field_is_an_error():
    outcome = await run([{"code": "DE"}], **{"from": {"DE": "Germany"}}, on="code")
    assert "with `into`" in outcome.failure.hint


async def test_a_field_that_nothing_has_is_a_mistake():
    outcome = await run(DEALS, **{"from": ACCOUNTS}, on=ON, fields=["ownr"])
    assert outcome.failure.message == "no record of `from` has the field 'ownr'"


async def test_numbers_do_not_match_texts_and_the_notes_say_so():
    outcome = await run([{"id": 17}], **{"from": [{"id": "17", "x": 1}]}, on="id")
    assert outcome.output == [{"id": 17, "x": None}]
    assert "different types" in outcome.notes[-1]


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"many": "list"}, "needs `into`"),
        ({"into": "a", "prefix": "b"}, "no effect with `into`"),
    ],
)
def test_contradictory_parameters_are_refused(parameters, says):
    with pytest.raises(ValueError, match=says):
        EnrichHandler.Parameters.model_validate({"from": [], "on": "a", **parameters})


@pytest.mark.parametrize(
    ("step", "says"), [({}, "`input` is missing"), ({"uses": "file.read"}, "`on` is missing")]
)
def test_mistakes_are_seen_before_the_run(step, says):
    assert says in EnrichHandler().check(Step.model_validate({"id": "e", **step}))[0]


@pytest.mark.parametrize("value", [None, {"rows": [{}]}, [1]])
async def test_what_is_no_list_of_records_is_named(value):
    outcome = await run(value, **{"from": ACCOUNTS}, on=ON)
    assert outcome.failure.message.startswith("the input must be a list of records")


async def test_a_workflow_of_three_enrichments_spends_nothing():
    flow = Workflow.parse(
        """
        name: deals
        inputs: {deals: {type: array}, accounts: {type: array}}
        steps:
          - id: owners
            intent: enrich
            input: "{{ inputs.deals }}"
            with:
              from: "{{ inputs.accounts }}"
              on: {left: account, right: id}
              fields: {country: geo.country}
              missing: drop
          - id: names
            intent: enrich
            input: "{{ steps.owners.output }}"
            with: {from: {UK: Britain, FR: France}, on: country, into: country_name}
          - id: back
            intent: enrich
            input: "{{ inputs.deals }}"
            with: {from: "{{ steps.names.output }}", on: deal, fields: [country_name]}
        """
    )
    before = json.dumps([DEALS, ACCOUNTS])
    async with OrchestrationService(plugins=[EnrichHandler()], discover=False, db="none") as service:
        result = await service.run(flow, {"deals": DEALS, "accounts": ACCOUNTS})
    assert [deal["country_name"] for deal in result.steps["back"].output] == ["Britain", "France", None, None]
    assert result.metrics.tokens_used == 0
    assert json.dumps([DEALS, ACCOUNTS]) == before


@given(st.lists(st.integers(0, 5)), st.sets(st.integers(0, 5)))
async def test_only_what_is_in_the_source_is_added(keys, known):
    source = [{"k": key, "twice": 2 * key} for key in sorted(known)]
    outcome = await run(
        [{"k": key} for key in keys], **{"from": source}, on="k", fields=["twice"] if known else None
    )
    assert [record.get("twice") for record in outcome.output] == [
        2 * key if key in known else None for key in keys
    ]


async def test_keys_are_found_however_their_letters_are_composed():
    composed, decomposed = "Zo\u00eb", "Zoe\u0308"
    for source in ([{"k": decomposed, "mail": "z"}], {decomposed: {"mail": "z"}}):
        outcome = await run([{"k": composed}], **{"from": source, "on": "k"})
        assert outcome.output == [{"k": composed, "mail": "z"}]
    outcome = await run([{composed: 1}], **{"from": [{decomposed: 1, "x": 2}], "on": composed})
    assert outcome.output == [{composed: 1, "x": 2}]


async def test_two_keys_of_a_map_that_are_canonically_equal_are_one_key_twice():
    source = {"Zo\u00eb": {"n": 1}, "Zoe\u0308": {"n": 2}}
    outcome = await run([{"k": "Zo\u00eb"}], **{"from": source, "on": "k"})
    assert "has 2 records of the key" in outcome.failure.message


async def test_what_is_added_has_its_limit():
    """A source of which each record has fields of its own has as many columns as values."""
    source = [{"k": row, **{f"{row}-{column}": 1 for column in range(100)}} for row in range(400)]
    outcome = await run([{"k": 0}] * 300, **{"from": source, "on": "k"})
    assert "300 records would get 40000 fields each" in outcome.failure.message
    outcome = await run([{"k": 0}] * 300, **{"from": source, "on": "k", "fields": ["0-1"]})
    assert outcome.output[0] == {"k": 0, "0-1": 1}
