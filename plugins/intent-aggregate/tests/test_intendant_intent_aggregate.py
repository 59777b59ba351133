"""What the aggregate handler promises."""

import json
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from intendant import OrchestrationService, Workflow
from intendant.plugin import Step, StepError
from intendant.testing import IntentContract, run_steps
from intendant_intent_aggregate import AggregateHandler
from intendant_intent_aggregate._flow import _Groups
from intendant_intent_aggregate._measures import Figures
from intendant_intent_aggregate._parameters import AggregateParameters

ORDERS = [
    {"region": "north", "total": 0.1, "customer": {"id": 1}},
    {"region": "south", "total": 5, "customer": {"id": 2}},
    {"region": "north", "total": 0.2, "customer": {"id": 1}},
    {"region": None, "total": 7, "customer": {"id": 3}},
    {"region": "", "total": 8, "customer": {"id": 3}},
    {"total": 9, "customer": None},
    {"region": "north", "total": None, "customer": {"id": 4}},
]


class TestAggregateContract(IntentContract):
    plugin = AggregateHandler
    entry_point = "aggregate"
    steps = (
        {"input": [{"n": 1}], "with": {"measures": {"n": {"sum": "n"}}}},
        {"input": [{"id": 1}], "with": {"group_by": "id", "include_null": True, "measures": {"m": {"list": "n"}}}},
        {"input": [{"id": 1}], "with": {"group_by": ["id", "a.b"], "include_null": True}},
        {"input": [{"id": 1}], "with": {"join": {"with": [{"id": 1, "x": 2}], "on": "id", "how": "outer"}}},
        {
            "input": [{"id": 1, "n": None}],
            "with": {"on_error": "skip", "measures": {"p": {"percentile": {"of": "n", "p": 9}}}},
        },
        {
            "input": [{"id": 1, "n": 2}],
            "with": {"on_error": "skip", "measures": {"s": {"mean": "id"}, "d": {"max": "n"}}},
        },
    )


async def run(value, **parameters):
    """The outcome of one aggregation."""
    step = {"id": "a", "intent": "aggregate", "input": "{{ inputs.value }}", "with": parameters}
    result = await run_steps([step], AggregateHandler(), inputs={"value": value})
    return result.steps["a"]


async def figure(values, **measure):
    """One measure of a list of values."""
    outcome = await run([{"x": value} for value in values], measures={"m": measure})
    assert outcome.failure is None, outcome.failure
    return outcome.output["m"]


async def test_groups_and_measures():
    measures = {
        "n": {"count": True},
        "known": {"count": "total"},
        "sum": {"sum": "total"},
        "mean": {"mean": "total"},
        "customers": {"count_distinct": "customer.id"},
    }
    outcome = await run(ORDERS, group_by="region", measures=measures)
    assert outcome.output == [
        {"region": "north", "n": 3, "known": 2, "sum": 0.3, "mean": 0.15, "customers": 2},
        {"region": "south", "n": 1, "known": 1, "sum": 5, "mean": 5, "customers": 1},
    ]


async def test_records_without_a_key_are_left_out_and_counted():
    outcome = await run(ORDERS, group_by="region")
    assert outcome.output == [{"region": "north", "count": 3}, {"region": "south", "count": 1}]
    assert outcome.notes == ("4 records in 2 groups", "3 records without region left out")


async def test_null_can_be_a_group():
    outcome = await run(ORDERS, group_by="region", include_null=True)
    assert outcome.output[2] == {"region": None, "count": 3}


async def test_zero_false_and_their_texts_are_keys():
    keys = [0, "0", False, "false", 0.0, None, ""]
    outcome = await run([{"k": key} for key in keys], group_by="k")
    assert [(row["k"], row["count"]) for row in outcome.output] == [(0, 2), ("0", 1), (False, 1), ("false", 1)]
    assert outcome.notes[1] == "2 records without k left out"


async def test_a_key_that_no_record_has_is_a_mistake():
    outcome = await run(ORDERS, group_by="regoin")
    assert outcome.failure.message == "no record has a value for regoin"
    assert "region" in outcome.failure.hint


async def test_several_keys_with_paths():
    outcome = await run(ORDERS, group_by=["region", "customer.id"], sort_by=["-count", "customer.id"])
    assert outcome.output[0] == {"region": "north", "customer.id": 1, "count": 2}


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ({"sum": "x"}, 6.6),
        ({"mean": "x"}, 2.2),
        ({"median": "x"}, 2.2),
        ({"min": "x"}, 1.1),
        ({"max": "x"}, 3.3),
        ({"first": "x"}, 2.2),
        ({"last": "x"}, 3.3),
        ({"list": "x"}, [2.2, 1.1, 3.3]),
        ({"count": "x"}, 3),
        ({"count_distinct": "x"}, 3),
    ],
)
async def test_each_measure_leaves_null_out(measure, expected):
    assert await figure([None, 2.2, 1.1, 3.3, ""], **measure) == expected


@pytest.mark.parametrize("measure", [{"mean": "x"}, {"median": "x"}, {"min": "x"}, {"max": "x"}, {"first": "x"}])
async def test_there_is_no_measure_of_nothing(measure):
    assert await figure([], **measure) is None


@pytest.mark.parametrize("measure", [{"sum": "x"}, {"count": "x"}, {"count_distinct": "x"}])
async def test_sums_and_counts_of_nothing_are_zero(measure):
    assert await figure([None], **measure) == 0


async def test_whole_records_can_be_kept():
    records = [{"x": 1}, {"x": 2}]
    measures = {"all": {"list": True}, "one": {"first": True}, "end": {"last": True}}
    assert (await run(records, measures=measures)).output == {"all": records, "one": {"x": 1}, "end": {"x": 2}}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 0.2], 0.3),
        ([0.1] * 10, 1),
        ([1e16, 1, -1e16], 1),
        ([1e308, 1e-308, -1e308], 1e-308),
        ([19.99, 5.01], 25),
        (["12.50", " 7.5 ", "1e1"], 30),
        ([2**70, 1], 2**70 + 1),
    ],
)
async def test_sums_are_exact(values, expected):
    found = await figure(values, sum="x")
    assert (found, type(found)) == (expected, type(expected))


@given(st.lists(st.decimals(-1000, 1000, places=2, allow_nan=False), min_size=1, max_size=30), st.randoms())
async def test_sums_of_money_do_not_depend_on_the_order(amounts, random):
    shuffled = list(amounts)
    random.shuffle(shuffled)
    exact = sum(map(Fraction, amounts))
    assert await figure([float(amount) for amount in shuffled], sum="x") == float(exact)
    assert await figure([float(amount) for amount in shuffled], mean="x") == float(exact / len(amounts))


@pytest.mark.parametrize("value", ["1,250", "12 EUR", "abc", True, [1], {"a": 1}, "٣"])
async def test_what_is_not_a_number_names_the_record(value):
    outcome = await run([{"x": 1}, {"x": value}], measures={"m": {"sum": "x"}})
    assert outcome.failure.message.startswith("record 1: x is ")
    assert outcome.failure.message.endswith("not a number")


async def test_what_is_not_a_number_can_be_left_out_and_is_counted():
    outcome = await run([{"x": 1}, {"x": "n/a"}, {"x": "2"}], measures={"m": {"sum": "x"}}, on_error="skip")
    assert outcome.output == {"m": 3}
    assert outcome.notes == ("x: 1 values that are no numbers left out", "1 texts read as numbers")


@pytest.mark.parametrize("measure", ["sum", "mean"])
async def test_a_result_beyond_a_double_is_an_error(measure):
    values = [{"x": "0.5"}, {"x": "9e399"}]
    outcome = await run(values, measures={"m": {measure: "x"}})
    assert "too large" in outcome.failure.message


@pytest.mark.parametrize(
    ("values", "smallest", "largest"),
    [
        ([9, 10, -5], -5, 10),
        (["9", "10", "-5"], "-5", "10"),
        (["b", "a", "10"], "10", "b"),
        (["2026-05-12", "2026-04-01"], "2026-04-01", "2026-05-12"),
        ([1, "0.5"], "0.5", 1),
    ],
)
async def test_extremes(values, smallest, largest):
    assert await figure(values, min="x") == smallest
    assert await figure(values, max="x") == largest


async def test_extremes_of_different_kinds_are_an_error():
    outcome = await run([{"x": 1}, {"x": "a"}], measures={"m": {"min": "x"}})
    assert outcome.failure.message == 'record 1: x is text "a", which cannot be compared with the other values'


async def test_sorting_is_total_and_null_comes_last():
    rows = [{"k": k, "v": v} for k, v in [("a", 1), ("b", None), ("c", 3), ("d", 1), ("e", "x")]]
    measures = {"v": {"first": "v"}}
    down = await run(rows, group_by="k", measures=measures, sort_by="-v")
    assert [row["k"] for row in down.output] == ["e", "c", "a", "d", "b"]
    up = await run(rows, group_by="k", measures=measures, sort_by=["v", "-k"], limit=3)
    assert [row["k"] for row in up.output] == ["d", "a", "c"]


async def test_lists_of_any_elements_are_appended():
    outcome = await run([1, "a"], merge=[[None, {"n": 2}], [[3]]])
    assert outcome.output == [1, "a", None, {"n": 2}, [3]]
    assert outcome.notes == ("merged 3 lists: 5 elements",)
    assert (await run([1], merge=[[2, 3]], limit=2)).output == [1, 2]
    assert "element 0 is number 2" in (await run([], merge=[[2]], measures={"n": {"count": True}})).failure.message


async def test_lists_are_merged_in_order():
    outcome = await run([{"n": 1}], merge=[[{"n": 2}], [{"n": 3}]])
    assert [row["n"] for row in outcome.output] == [1, 2, 3]
    assert outcome.notes == ("merged 3 lists: 3 records",)


LEFT = [{"id": 1, "a": "x"}, {"id": 2, "a": "y"}, {"id": None, "a": "z"}]
RIGHT = [{"key": 2, "b": "p"}, {"key": 2, "b": "q"}, {"key": 3, "b": "r"}, {"key": None, "b": "s"}]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("inner", [(2, "y", "p"), (2, "y", "q")]),
        ("left", [(1, "x", None), (2, "y", "p"), (2, "y", "q"), (None, "z", None)]),
        (
            "outer",
            [
                (1, "x", None),
                (2, "y", "p"),
                (2, "y", "q"),
                (None, "z", None),
                (3, None, "r"),
                (None, None, "s"),
            ],
        ),
    ],
)
async def test_joins(how, expected):
    """As in SQL: several matches multiply, and null matches nothing, not even null."""
    outcome = await run(LEFT, join={"with": RIGHT, "on": {"left": "id", "right": "key"}, "how": how})
    assert [(row.get("id"), row.get("a"), row.get("b")) for row in outcome.output] == expected
    assert "without a match: 2 on the left, 2 on the right" in outcome.notes[0]
    assert {tuple(row) for row in outcome.output} == {("id", "a", "b")}  # null is said, on both sides


async def test_a_join_overwrites_nothing():
    clash = {"with": [{"id": 1, "a": "other"}], "on": "id"}
    outcome = await run(LEFT, join=clash)
    assert outcome.failure.message == "record 0: both sides have a field 'a', with different values"
    outcome = await run(LEFT, join={**clash, "prefix": "r_"})
    assert outcome.output == [{"id": 1, "a": "x", "r_a": "other"}]


async def test_a_join_of_numbers_with_texts_says_why_nothing_matched():
    outcome = await run([{"id": 17}], join={"with": [{"id": "17"}], "on": "id"})
    assert outcome.output == []
    assert "different types" in outcome.notes[1]


async def test_a_join_that_explodes_is_stopped():
    many = [{"id": 1}] * 1100
    outcome = await run(many, join={"with": many, "on": "id"})
    assert "more than 1000000 rows" in outcome.failure.message


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"measures": {"m": {}}}, "write one of"),
        ({"measures": {"m": {"sum": "a", "mean": "a"}}}, "write one of"),
        ({"measures": {"m": {"count": False}}}, "count"),
        ({"group_by": "a", "measures": {"a": {"sum": "b"}}}, "both a key"),
        ({"measures": {"m": {"sum": "b"}}, "limit": 3}, "need `group_by`"),
    ],
)
def test_contradictory_parameters_are_refused(parameters, says):
    with pytest.raises(ValueError, match=says):
        AggregateHandler.Parameters.model_validate(parameters)


def test_a_missing_input_is_seen_before_the_run():
    assert "`input` is missing" in AggregateHandler().check(Step.model_validate({"id": "a"}))[0]


@pytest.mark.parametrize("value", [None, "text", {"rows": [1]}, [1, 2]])
async def test_what_is_no_list_of_records_is_named(value):
    outcome = await run(value, group_by="a")
    assert "must be a list of records" in outcome.failure.message


async def test_a_workflow_of_three_aggregations_spends_nothing():
    flow = Workflow.parse(
        """
        name: revenue
        inputs: {orders: {type: array}, names: {type: array}}
        steps:
          - id: sums
            intent: aggregate
            input: "{{ inputs.orders }}"
            with: {group_by: region, measures: {revenue: {sum: total}}}
          - id: named
            intent: aggregate
            input: "{{ steps.sums.output }}"
            with: {join: {with: "{{ inputs.names }}", on: {left: region, right: code}, how: left}}
          - id: all
            intent: aggregate
            input: "{{ steps.named.output }}"
            with: {measures: {revenue: {sum: revenue}, names: {list: name}}}
        """
    )
    names = [{"code": "north", "name": "The North"}]
    before = json.dumps(ORDERS)
    async with OrchestrationService(plugins=[AggregateHandler()], discover=False, db="none") as service:
        result = await service.run(flow, {"orders": ORDERS, "names": names})
    assert result.steps["all"].output == {"revenue": 5.3, "names": ["The North"]}
    assert result.metrics.tokens_used == 0
    assert json.dumps(ORDERS) == before


COMPOSED, DECOMPOSED = "K\u00f6ln", "Ko\u0308ln"


async def test_canonically_equal_keys_are_one_group():
    items = [{"ort": COMPOSED, "n": 1}, {"ort": DECOMPOSED, "n": 2}, {"ort": "Koln", "n": 4}]
    outcome = await run(items, group_by="ort", measures={"n": {"sum": "n"}, "d": {"count_distinct": "ort"}})
    assert outcome.output == [{"ort": COMPOSED, "n": 3, "d": 1}, {"ort": "Koln", "n": 4, "d": 1}]


async def test_canonically_equal_keys_are_joined():
    join = {"with": [{DECOMPOSED: DECOMPOSED, "m": 1}], "on": COMPOSED}
    assert (await run([{COMPOSED: COMPOSED}], join=join)).output == [{COMPOSED: COMPOSED, "m": 1}]


async def test_rows_without_a_match_have_their_limit():
    right = [{"k": row, **{f"{row}-{column}": 1 for column in range(100)}} for row in range(400)]
    left = [{"k": -1 - number} for number in range(300)]
    outcome = await run(left, join={"with": right, "on": "k", "how": "left"})
    assert "more than 10000000 null values" in outcome.failure.message
    assert (await run(left, join={"with": right, "on": "k"})).output == []


@pytest.mark.parametrize(("p", "expected"), [(0, 1), (50, 2.5), (95, 8.95), (100, 10), (33.4, 2.002)])
async def test_percentiles_lie_between_values(p, expected):
    """As spreadsheets (PERCENTILE.INC) and numpy have them, computed exactly."""
    assert await figure([1, "2", 3, 10, None], percentile={"of": "x", "p": p}) == expected


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=20), st.integers(0, 100))
async def test_a_percentile_is_within_its_values_and_the_median_at_half(values, p):
    found = await figure(values, percentile={"of": "x", "p": p})
    assert min(values) <= found <= max(values)
    assert await figure(values, percentile={"of": "x", "p": 50}) == await figure(values, median="x")


async def test_an_as_of_join_takes_what_was_known_then():
    """The latest record of the key whose time is not after the left one; none before the first."""
    rates = [
        {"currency": "EUR", "from": "2026-01-01", "rate": 1.1},
        {"currency": "EUR", "from": "2026-03-01", "rate": 1.2},
        {"currency": "CHF", "from": "2026-02-01", "rate": 1.0},
        {"currency": "EUR", "from": None, "rate": 9},
    ]
    trades = [
        {"currency": "EUR", "day": day} for day in ("2025-12-31", "2026-01-01", "2026-02-28", "2026-05-01", None)
    ]
    join = {"with": rates, "on": "currency", "how": "asof", "at": {"left": "day", "right": "from"}}
    outcome = await run(trades, join=join)
    assert [row["rate"] for row in outcome.output] == [None, 1.1, 1.1, 1.2, None]
    wrong = await run([{"currency": "EUR", "day": 5}], join=join)
    assert "different types" in wrong.failure.message


@pytest.mark.parametrize("kinds", [("sum",), ("mean", "sum"), ("count", "mean", "sum")])
async def test_notes_count_values_once_however_many_figures_are_computed_of_them(kinds):
    rows = [{"t": "1.5"}, {"t": None}, {"t": 3}, {"t": "x"}, {}]
    measures = {kind: {kind: "t"} for kind in kinds}
    step = {"id": "a", "intent": "aggregate", "input": rows, "with": {"measures": measures, "on_error": "skip"}}
    assert (await run_steps([step], AggregateHandler())).steps["a"].notes == (
        "t: 2 null values left out",
        "t: 1 values that are no numbers left out",
        "1 texts read as numbers",
    )


@pytest.mark.parametrize("kind", ["sum", "mean", "median", "min", "max", "first", "last"])
async def test_a_figure_of_a_field_that_no_record_has_is_an_error(kind):
    """A field that is written wrong would have the sum 0."""
    rows = [{"name": "a", "amt": 1}, {"name": "b", "amt": 2}]
    failure = (await run(rows, group_by="name", measures={"s": {kind: "amount"}})).failure
    assert (failure.message, failure.hint) == ("no record has the field 'amount'", "the first one has: name, amt")
    assert (
        await run(rows, measures={"p": {"percentile": {"of": "amount", "p": 9}}})
    ).failure.message == failure.message
    assert (await run([{"a": 1}, {"amount": None}], measures={"s": {kind: "amount"}})).status == "completed"
    assert (await run([], measures={"s": {kind: "amount"}})).status == "completed"


async def test_how_often_a_field_is_there_may_be_never():
    measures = {"n": {"count": "x"}, "d": {"count_distinct": "x"}, "l": {"list": "x"}}
    assert (await run([{"a": 1}], measures=measures)).output == {"n": 0, "d": 0, "l": []}


@pytest.mark.parametrize(
    ("on", "said"), [("idd", "no record has"), ({"left": "id", "right": "kei"}, "`join.with`")]
)
async def test_a_key_of_a_join_that_no_record_has_is_an_error(on, said):
    """A key that is written wrong would match nothing."""
    failure = (await run(LEFT, join={"with": RIGHT, "on": on})).failure
    assert said in failure.message
    assert (await run([], join={"with": RIGHT, "on": on if on == "idd" else "id"})).failure is not None
    assert (await run([], join={"with": [], "on": on})).output == []


def test_a_batch_without_records_shows_no_field_that_is_missing_later():
    """A join may find nothing for a whole batch."""
    groups = _Groups(AggregateParameters.model_validate({"measures": {"s": {"sum": "amount"}}}), Figures("fail"))
    groups.add([])
    groups.add([{"amt": 1}])
    with pytest.raises(StepError, match="no record has the field 'amount'"):
        groups.rows([])
