"""What the transform handler promises: its operations that turn tables round, on moments and on units."""

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from intendant.testing import run_steps
from intendant_intent_transform import TransformHandler
from intendant_intent_transform._measures import UNITS, converted

SALES = [
    {"month": "Jan", "region": "north", "sum": 3},
    {"month": "Jan", "region": "south", "sum": 4},
    {"month": "Feb", "region": "north", "sum": 5},
    {"month": "Jan", "region": "north", "sum": 7},
    {"month": "Jan", "region": None, "sum": 1},
]


async def outcome(given, op, **parameters):
    step = {"id": "t", "intent": "transform", "input": "{{ inputs.value }}", "with": {"op": op, **parameters}}
    return (await run_steps([step], TransformHandler(), inputs={"value": given})).steps["t"]


async def run(given, op, **parameters):
    found = await outcome(given, op, **parameters)
    assert found.failure is None, found.failure
    return found.output


async def test_pivot_makes_columns_of_values():
    made = await outcome(SALES, "pivot", rows="month", columns="region", values="sum", combine="sum")
    assert made.output == [{"month": "Jan", "north": 10, "south": 4}, {"month": "Feb", "north": 5, "south": None}]
    assert made.notes == ("pivot: 1 records without region left out",)


async def test_pivot_refuses_to_choose_among_records():
    made = await outcome(SALES, "pivot", rows="month", columns="region", values="sum")
    assert made.failure.message == "pivot: 2 records fall into north of {'month': 'Jan'}"


async def test_a_wide_table_made_long_and_wide_again_is_the_same():
    wide = await run(SALES, "pivot", rows="month", columns="region", values="sum", combine="sum")
    long = await run(wide, "unpivot", keep="month", name="region", value="sum")
    assert len(long) == 4
    assert await run(long, "pivot", rows="month", columns="region", values="sum") == wide


async def test_expand_puts_nested_fields_beside_the_others():
    rows = [{"id": 1, "who": {"name": "Ada", "id": 7}}, {"id": 2, "who": None}]
    assert await run(rows, "expand", field="who") == [
        {"id": 1, "who.name": "Ada", "who.id": 7},
        {"id": 2, "who": None},
    ]
    assert await run([{"a": [1, 2]}], "expand", field="a", names=["x"], prefix="") == [{"x": 1, "1": 2}]
    taken = await outcome(rows, "expand", field="who", prefix="")
    assert taken.failure.message == "expand: there is a field 'id' already"


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("sum", 6.5),
        ("count", 3),
        ("min", 1),
        ("max", 3.5),
        ("first", 3.5),
        ("last", 1),
        ("list", [3.5, 2, 1]),
        ("concat", "3.521"),
    ],
)
async def test_reduce_makes_one_value(how, expected):
    rows = [{"n": 3.5}, {"n": 2}, {"n": None}, {"n": 1}]
    made = await outcome(rows, "reduce", **{"with": how, "field": "n"})
    assert made.output == expected
    assert made.notes == ("reduce: 1 null values of n left out",)


async def test_reduce_goes_on_from_what_it_has():
    """`each` computes the next value from the one before, merge puts records over each other."""
    assert await run([1, 2, 3, 4], "reduce", start=1, each="so_far * item") == 24
    assert await run([{"a": 1, "b": 1}, {"b": 2}], "reduce", **{"with": "merge"}) == {"a": 1, "b": 2}
    assert await run([], "reduce", **{"with": "max"}) is None
    wrong = await outcome([1, "x"], "reduce", **{"with": "sum"})
    assert "'\"x\"' is not" in wrong.failure.message or 'text "x" is not a number' in wrong.failure.message


async def test_partition_loses_nothing():
    made = await run([1, 5, 2], "partition", where="item > 1", names=["large", "small"])
    assert made == {"large": [5, 2], "small": [1]}


@pytest.mark.parametrize(
    ("text", "to", "expected"),
    [
        ("2026-05-31", "week", "2026-05-25"),
        ("31 May 2026", "month", "2026-05-01"),
        ("13/5/2026", "quarter", "2026-04-01"),
        ("2026-05-31T23:59:58+02:00", "year", "2026-01-01"),
        ("2026-05-31T23:59:58+02:00", "hour", "2026-05-31T23:00:00+02:00"),
        ("2026-05-31T23:59:58.5", "minute", "2026-05-31T23:59:00"),
        ("yesterday", "month", None),
    ],
)
async def test_dates_are_put_down_to_their_period(text, to, expected):
    assert (await run([{"d": text}], "truncate_date", field="d", to=to))[0]["d"] == expected


async def test_times_are_told_in_another_zone():
    """A time keeps its moment; one that says no zone is null unless it is said."""
    rows = [{"t": "2026-03-29T00:30:00Z"}, {"t": "Sun, 29 Mar 2026 02:30:00 +0100"}, {"t": "2026-07-01T12:00:00"}]
    made = await outcome(rows, "to_timezone", field="t", timezone="Europe/Paris")
    assert [row["t"] for row in made.output] == ["2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00", None]
    assert "1 values of t are no times of a known zone" in made.notes[0]
    known = await run(rows[2:], "to_timezone", field="t", timezone="UTC", from_timezone="America/New_York")
    assert known == [{"t": "2026-07-01T16:00:00+00:00"}]


async def test_half_past_three_in_the_afternoon_is_no_night():
    """Times as people write them are told in another zone too; of an unknown zone they are null, not of none."""
    texts = ["Jul 1, 2026 3:30 PM", "1.7.2026 15:30", "1 Jul 2026 15:30 IST", "2/7/2026 15:30"]
    made = await outcome(
        [{"t": text} for text in texts], "to_timezone", field="t", timezone="UTC", from_timezone="Europe/Berlin"
    )
    assert [row["t"] for row in made.output] == ["2026-07-01T13:30:00+00:00"] * 2 + [None, None]
    assert 'the first: text "1 Jul 2026 15:30 IST"' in made.notes[0]
    assert "'2/7/2026 15:30'; say `day_first`" in made.notes[1]


async def test_hours_that_come_twice_or_never_are_told():
    """Where clocks are set back, the first of two times is meant; where they are set forward, the result exists."""
    rows = [{"t": "2026-10-25 02:30"}, {"t": "2026-03-29 02:30"}, {"t": "2026-03-29 03:30"}]
    to = {"timezone": "Europe/Berlin", "from_timezone": "Europe/Berlin"}
    made = await outcome(rows, "to_timezone", field="t", **to)
    assert [row["t"] for row in made.output] == [
        "2026-10-25T02:30:00+02:00",
        "2026-03-29T03:30:00+02:00",
        "2026-03-29T03:30:00+02:00",
    ]
    assert ["occur twice" in made.notes[0], "do not occur" in made.notes[1], len(made.notes)] == [True, True, 2]


@pytest.mark.parametrize("op", ["parse_date", "days_between", "add_days", "truncate_date"])
async def test_the_ends_of_the_calendar_stop_no_operation_with_a_zone(op):
    more = {"days_between": {"from": "d", "into": "n"}, "add_days": {"days": 1}, "truncate_date": {"to": "hour"}}
    given_ = {"field": "d"} if op != "days_between" else {}
    rows = [{"d": "9999-12-31T23:59:59Z"}, {"d": "0001-01-01T00:00:00+00:00"}]
    for zone in ("Pacific/Auckland", "America/New_York"):
        assert len(await run(rows, op, timezone=zone, **given_, **more.get(op, {}))) == 2


@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        ("12.5 km", None, "mi", 7.76713990297),
        (1, "lb", "g", 453.59237),
        (100, "C", "F", 212),
        (-40, "F", "C", -40),
        ("5 kg", None, "km", None),
        ("five", "kg", "g", None),
        (72, "km/h", "m/s", 20),
    ],
)
async def test_figures_are_converted(value, unit, to, expected):
    made = await run([{"x": value}], "convert_unit", field="x", from_unit=unit, to=to)
    assert made[0]["x"] == expected


async def test_an_unknown_unit_is_refused():
    made = await outcome([{"x": 1}], "convert_unit", field="x", from_unit="KM", to="m")
    assert (made.failure.message, made.failure.hint) == (
        "convert_unit: there is no unit 'KM'",
        "did you mean 'km'?",
    )


@given(st.sampled_from(sorted(UNITS)), st.decimals(-1_000_000, 1_000_000, places=3))
def test_a_figure_converted_there_and_back_is_the_same(unit, number):
    kind, _ = UNITS[unit]
    for other in (name for name, (found, _) in UNITS.items() if found == kind):
        assert abs(converted(converted(number, unit, other), other, unit) - number) < Decimal("1e-12")


async def test_texts_are_cut_at_a_word():
    rows = [{"t": "Einen schönen guten Tag"}, {"t": "kurz"}, {"t": "x" * 30}]
    made = await outcome(rows, "shorten", field="t", length=16)
    assert [row["t"] for row in made.output] == ["Einen schönen…", "kurz", "x" * 15 + "…"]
    assert made.notes == ("shorten: 2 texts cut to 16 characters",)
