"""What the transform handler promises about tables, texts and dates."""

import csv
import io
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, strategies as st

from intendant import WorkflowError
from intendant.testing import run_steps
from intendant_intent_transform import TransformHandler


async def outcome_of(value, op, /, **parameters):
    step = {"id": "t", "intent": "transform", "input": "{{ inputs.value }}", "with": {"op": op, **parameters}}
    result = await run_steps([step], TransformHandler(), inputs={"value": value})
    return result.steps["t"]


async def run(value, op, /, **parameters):
    outcome = await outcome_of(value, op, **parameters)
    assert outcome.failure is None, outcome.failure
    return outcome.output


async def failure(value, op, /, **parameters):
    return (await outcome_of(value, op, **parameters)).failure.message


# --- tables ------------------------------------------------------------------------------------------------


async def test_rows_to_objects():
    rows = [[" Name ", "AGE", None], ["Ada", 36, "x"], ["Bo"]]
    assert await run(rows, "rows_to_objects") == [
        {"name": "Ada", "age": 36, "column_3": "x"},
        {"name": "Bo", "age": None, "column_3": None},
    ]
    assert list((await run(rows, "rows_to_objects", preserve_case=True))[0]) == ["Name", "AGE", "column_3"]
    assert await run([["a"]], "rows_to_objects") == []
    assert await run([], "rows_to_objects") == []


async def test_rows_to_objects_counts_short_rows_and_loses_no_cell():
    outcome = await outcome_of([["a", "b"], [1], [1, 2, ""]], "rows_to_objects")
    assert outcome.notes == ("rows_to_objects: 1 rows were shorter than the header and were filled up with null",)
    assert "row 1 has 3 cells" in await failure([["a", "b"], [1, 2, 3]], "rows_to_objects")
    assert "the header has 'a' twice" in await failure([["a", "A"]], "rows_to_objects")
    assert "its input must be a list" in await failure({"values": []}, "rows_to_objects")
    assert "element 0 is a record" in await failure([{"a": 1}], "rows_to_objects")


async def test_map_headers():
    assert await run([{"E-Mail ": 1, "b": 2}], "map_headers", map={"e-mail": "mail"}) == [{"mail": 1, "b": 2}]
    assert await run([["E-Mail", "b"], [1, 2]], "map_headers", map={"e-mail": "mail"}) == [["mail", "b"], [1, 2]]
    assert "no column is called 'x'" in await failure([{"a": 1}], "map_headers", map={"x": "y"})
    assert "the same name" in await failure([{"a": 1, "b": 2}], "map_headers", map={"a": "b"})


async def test_to_rows():
    records = [{"a": 1, "b": {"c": 2}}, {"d": 3}]
    assert await run(records, "to_rows") == [["a", "b", "d"], [1, {"c": 2}, None], [None, None, 3]]
    assert await run(records, "to_rows", columns=["d", "b.c"], header=False) == [[None, 2], [3, None]]


async def test_project():
    assert await run([{"a": {"b": [7]}}, {"a": None}], "project", path="a.b.0") == [7, None]
    assert await run([["x", "y"], ["z"]], "project", path=1) == ["y", None]
    assert await run([["x", "y"], ["z"]], "project", path=1, missing="drop") == ["y"]
    assert await run([["x", "y"], ["z"]], "project", path=-1) == ["y", "z"]
    assert "element 1 has nothing at 1" in await failure([["x", "y"], ["z"]], "project", path=1, missing="fail")
    assert (await outcome_of([{}], "project", path="a")).notes == ("project: 1 of 1 have nothing at a",)


# --- texts -------------------------------------------------------------------------------------------------


async def test_split():
    assert await run("a, b,,c ", "split", by=",") == ["a", "b", "c"]
    assert await run("a, b,", "split", by=",", trim=False, keep_empty=True) == ["a", " b", ""]
    assert await run([{"tags": "x;y"}, {"tags": None}], "split", field="tags", by=";") == [
        {"tags": ["x", "y"]},
        {"tags": None},
    ]
    assert "it takes text" in await failure([{"tags": 5}], "split", field="tags")


async def test_parse_json():
    assert await run('{"a": [1]}', "parse_json") == {"a": [1]}
    assert await run([{"d": "[1]"}, {"d": None}], "parse_json", field="d") == [{"d": [1]}, {"d": None}]
    assert "the text is not JSON" in await failure('Here: {"a": 1}', "parse_json")
    assert "record 1 is not JSON" in await failure([{"d": "1"}, {"d": "{"}], "parse_json", field="d")
    assert "not JSON" in await failure("[NaN]", "parse_json")
    assert "not JSON" in await failure("[" * 100_000, "parse_json")
    outcome = await outcome_of("{", "parse_json", on_error="null")
    assert outcome.output is None
    assert "it is null" in outcome.notes[0]


async def test_to_json():
    assert await run({"ä": [1]}, "to_json") == '{"ä": [1]}'
    assert await run({"a": [1, 2]}, "to_json", compact=True) == '{"a":[1,2]}'
    assert await run([{"a": [1, "x"]}, {"b": 2}], "to_json", field="a", compact=True) == [
        {"a": '[1,"x"]'},
        {"b": 2},
    ]
    assert "no record has the field 'c'" in await failure([{"a": 1}], "to_json", field="c")
    assert await run({"a": 1}, "to_json", indent=2) == '{\n  "a": 1\n}'


async def test_to_csv():
    records = [{"a": 'say "x"', "b": None}, {"b": {"c": 1}, "a": "1\n2"}]
    assert await run(records, "to_csv") == 'a,b\n"say ""x""",\n"1\n2","{""c"": 1}"\n'
    assert await run(records, "to_csv", columns=["b"], header=False, delimiter=";") == '""\n"{""c"": 1}"\n'
    with pytest.raises(WorkflowError, match="delimiter"):
        await run(records, "to_csv", delimiter="\n")


@given(st.lists(st.fixed_dictionaries({"a": st.text(max_size=5), "b": st.text(max_size=5)}), max_size=5))
async def test_a_csv_is_read_again_as_it_was(records):
    text = await run(records, "to_csv", columns=["a", "b"] if records else [])
    assert list(csv.DictReader(io.StringIO(text, newline=""))) == records


async def test_bars_are_as_long_as_their_values():
    records = [{"region": "North", "sum": 100}, {"region": "Överseas", "sum": "12.5"}, {"region": "X", "sum": 0}]
    assert await run(records, "to_bar_chart", label="region", value="sum", width=8) == (
        "```\nNorth    ████████ 100\nÖverseas █ 12.5\nX         0\n```\n"
    )
    assert await run([], "to_bar_chart", label="region", value="sum") == ""
    assert "█" not in await run([{"a": "b", "n": 0}], "to_bar_chart", label="a", value="n")


async def test_bars_of_negative_numbers_are_shaded_and_null_has_none():
    records = [
        {"a": "in", "n": "10"},
        {"a": "out", "n": -5.0},
        {"a": "tiny", "n": -0.001},
        {"a": "none", "n": None},
    ]
    assert await run(records, "to_bar_chart", label="a", value="n", width=4) == (
        "```\nin   ████ 10\nout  ▒▒ -5.0\ntiny ▒ -0.001\nnone  \n```\n"
    )
    assert (
        await run([{"a": "b", "n": -2}], "to_bar_chart", label="a", value="n", width=4) == "```\nb ▒▒▒▒ -2\n```\n"
    )


@pytest.mark.parametrize("value", [True, "many", "", "1e999999999", "nan", 10**400, [1]])
async def test_a_bar_needs_a_number(value):
    told = await failure([{"a": "b", "n": value}], "to_bar_chart", label="a", value="n")
    assert "n of record 0 is" in told


async def test_to_markdown_table():
    records = [{"a|b": "x|y\\", "n": 1}, {"n": None, "a|b": "1\n2"}]
    assert await run(records, "to_markdown_table") == (
        "| a\\|b | n |\n| --- | --- |\n| x\\|y\\\\ | 1 |\n| 1<br>2 |  |\n"
    )
    assert await run([], "to_markdown_table") == ""


async def test_render():
    records = [
        {"name": "Ada", "home": {"town": "London"}, "n": 1.5, "x": None},
        {"name": "{n}", "home": {}, "n": [1]},
    ]
    assert await run(records[:1], "render", template="{name} of {home.town}: {n}{x}") == "Ada of London: 1.5"
    assert await run(records, "render", template="{name} {n}", join=", ") == "Ada 1.5, {n} [1]"
    assert await run(records[0], "render", template='{ not } {} {"a": 1} {name}') == '{ not } {} {"a": 1} Ada'
    assert await run([], "render", template="{a}", before="<", after=">") == "<>"
    assert await run([], "render", template="{a}", before="<", empty="none found") == "none found"


NAMES = {
    "First Name": "Ann",
    "Überschrift": "T",
    "1st": "x",
    "a.b": {"c.d": "dots"},
    "Amount (EUR)": 5,
    "E-Mail/Web": "m",
    "Größe": 3,
    "lines": [{"n": 1}, {"n": 2}],
    "color: red": "odd",
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{First Name}|{Überschrift}|{1st}|{Größe}", "Ann|T|x|3"),
        ("{U\u0308berschrift}", "T"),
        ("{a.b.c.d}", "dots"),
        ("{Amount (EUR)} {E-Mail/Web}", "5 m"),
        ("{lines[1].n} {lines.0.n}", "2 1"),
        ("{color: red}", "odd"),
        ("b { color: red } {} {3} {2,3} {'a': 1}", "b { color: red } {} {3} {2,3} {'a': 1}"),
    ],
)
async def test_names_of_fields_may_have_blanks_dots_and_any_letters(template, text):
    assert await run([NAMES], "render", template=template) == text


@pytest.mark.parametrize("name", ["Frist Name", "Überschrfit", "2nd", "a.b.x", "Amuont (EUR)", "lines[7].n"])
async def test_what_looks_like_a_name_and_is_none_is_an_error(name):
    assert f"has no field '{name}'" in await failure([NAMES], "render", template=f"{{{name}}}")


async def test_a_rendered_text_has_its_limit():
    records = [{"a": "x" * 1000}] * 60_000
    assert "longer than 50000000" in await failure(records, "render", template="{a}")


async def test_a_table_has_its_limit():
    """Each record has fields of its own: the table would be their product."""
    records = [{f"{row}-{column}": 1 for column in range(40)} for row in range(1000)]
    for op in ("to_rows", "to_csv", "to_markdown_table"):
        assert "more than 10000000 cells" in await failure(records, op)
        assert await run(records, op, columns=["0-0"])
    wide = [[f"c{number}" for number in range(3000)], *([[1]] * 4000)]
    assert "cells" in await failure(wide, "rows_to_objects")


async def test_render_misses_no_field_silently():
    assert await failure([{"a": 1}], "render", template="{b}") == "render: record 0 has no field 'b'"
    assert await run([{"a": 1}], "render", template="[{b}]", missing="empty") == "[]"


# --- dates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "day_first", "date"),
    [
        ("13/5/2026", True, "2026-05-13"),
        ("5/13/2026", True, "2026-05-13"),
        ("12/5/2026", True, "2026-05-12"),
        ("12/5/2026", False, "2026-12-05"),
        ("13/5/2026", False, "2026-05-13"),
        ("12-5-2026", True, "2026-05-12"),
        ("12.5.26", True, "2026-05-12"),
        ("30/2/2026", True, None),
        ("2026-05-12", True, "2026-05-12"),
        ("2026-05-12T23:30:00+02:00", True, "2026-05-12"),
        (" 2026-05-12T23:30:00Z ", True, "2026-05-12"),
        ("95", True, None),
        ("soon", True, None),
        ("", True, None),
        (None, True, None),
        (20260512, True, None),
    ],
)
async def test_dates(text, day_first, date):
    assert (await run([{"d": text}], "parse_date", field="d", day_first=day_first))[0]["d"] == date


async def test_what_is_no_date_is_counted_or_an_error():
    rows = [{"d": "30/2/2026"}, {"d": None}, {"d": "2026-01-01"}]
    outcome = await outcome_of(rows, "parse_date", field="d", into="day")
    assert outcome.notes[0].startswith("parse_date: 1 values of d are no dates and became null; the first: text")
    assert [row["day"] for row in outcome.output] == [None, None, "2026-01-01"]
    assert [row["d"] for row in outcome.output] == [row["d"] for row in rows]
    assert "which is no date" in await failure(rows, "parse_date", field="d", on_error="fail")


async def test_day_and_month_that_can_be_exchanged_are_null_unless_told():
    rows = [{"d": "12/5/2026"}, {"d": "13/5/2026"}, {"d": "12.5.2026"}, {"d": "12. Mai 2026"}]
    outcome = await outcome_of(rows, "parse_date", field="d")
    assert [row["d"] for row in outcome.output] == [None, "2026-05-13", "2026-05-12", "2026-05-12"]
    (note,) = outcome.notes
    assert note.startswith("parse_date: 1 dates can be read in two ways and became null; the first: '12/5/2026'")
    assert "which can be read in two ways" in await failure(rows, "parse_date", field="d", on_error="fail")
    outcome = await outcome_of([{"d": "1/2/2026"}], "add_days", field="d", days=1)
    assert "can be read in two ways" in "".join(outcome.notes)


async def test_the_day_of_a_mails_date_is_taken_where_asked():
    rows = [{"d": "Tue, 12 May 2026 23:30:00 +0000"}]
    assert (await run(rows, "parse_date", field="d", timezone="Asia/Tokyo"))[0]["d"] == "2026-05-13"
    assert (await run(rows, "parse_date", field="d"))[0]["d"] == "2026-05-12"


async def test_the_day_of_a_time_is_taken_where_asked():
    rows = [{"d": "2026-05-12T23:30:00Z"}]
    assert (await run(rows, "parse_date", field="d", timezone="Asia/Tokyo"))[0]["d"] == "2026-05-13"
    assert "there is no time zone" in await failure(rows, "parse_date", field="d", timezone="Mars/Base")


@pytest.mark.parametrize(
    ("numbers", "value", "more", "day"),
    [
        ("excel", 46100, {}, "2026-03-19"),
        ("excel", "46100", {}, "2026-03-19"),
        ("excel", 46100.99, {}, "2026-03-19"),
        ("excel", 61, {}, "1900-03-01"),
        ("excel", 60, {}, None),
        ("excel", -3, {}, None),
        ("excel", 1e9, {}, None),
        ("excel", "2026-03-20", {}, "2026-03-20"),
        ("excel", True, {}, None),
        ("seconds", 1767225599, {}, "2025-12-31"),
        ("seconds", 1767225599, {"timezone": "Europe/Paris"}, "2026-01-01"),
        ("seconds", -1, {}, "1969-12-31"),
        ("milliseconds", "1767225600000", {}, "2026-01-01"),
        ("milliseconds", 1e300, {}, None),
    ],
)
async def test_numbers_are_dates_where_it_is_said_what_they_count(numbers, value, more, day):
    assert (await run([{"d": value}], "parse_date", field="d", numbers=numbers, **more))[0]["d"] == day


async def test_numbers_that_nobody_explained_are_no_dates_and_the_note_says_how():
    outcome = await outcome_of([{"d": 46100}], "parse_date", field="d")
    assert outcome.output == [{"d": None}]
    assert "say `numbers`: excel, seconds or milliseconds" in outcome.notes[1]


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2026-03-01T23:59:00", "2026-03-02T00:01:00", 1),
        ("2026-03-02", "2026-03-01", -1),
        ("2026-02-28", "1.3.2026", 1),
        ("2026-02-28", "13/3/2026", 13),
        ("2026-02-28", "1/3/2026", None),
        (None, "2026-03-01", None),
        ("2026-03-01", "soon", None),
    ],
)
async def test_days_are_counted_by_the_calendar(start, end, days):
    row = {"a": start, "b": end}
    assert await run([row], "days_between", **{"from": "a"}, to="b", into="n") == [{**row, "n": days}]


async def test_days_are_counted_to_a_day_that_is_written():
    """A field of that name wins, as a pivot makes them."""
    row = {"due": "2026-03-30", "2026-04-01": "2026-05-01"}
    (found,) = await run([row], "days_between", **{"from": "due"}, to="2026-04-02", into="n")
    assert found["n"] == 3
    (found,) = await run([row], "days_between", **{"from": "2026-04-01"}, to="2026-05-03", into="n")
    assert found["n"] == 2
    told = await failure([row], "days_between", **{"from": "due"}, to="2026-13-01", into="n")
    assert "no record has the field '2026-13-01'" in told


async def test_days_from_today():
    tomorrow = (datetime.now(UTC).date() + timedelta(days=1)).isoformat()
    (row,) = await run([{"due": tomorrow}], "days_between", to="due", into="left")
    assert row["left"] in (0, 1), "0 only if midnight passed meanwhile"


async def test_add_days():
    rows = [{"d": "28/2/2028"}, {"d": None}, {"d": "9999-12-31"}]
    outcome = await outcome_of(rows, "add_days", field="d", days=2, into="e")
    assert [row["e"] for row in outcome.output] == ["2028-03-01", None, None]
    assert outcome.notes == ("add_days: 2 records lack a date",)


@given(st.dates(), st.integers(-10_000, 10_000))
async def test_adding_days_and_counting_them_agree(day, count):
    try:
        expected = (day + timedelta(days=count)).isoformat()
    except OverflowError:
        return
    (row,) = await run([{"d": day.isoformat()}], "add_days", field="d", days=count, into="e")
    assert row["e"] == expected
    (row,) = await run([row], "days_between", **{"from": "d"}, to="e", into="n")
    assert row["n"] == count


# --- line charts ---

SVG = "{http://www.w3.org/2000/svg}"


async def drawn(records, **options) -> ET.Element:
    return ET.fromstring(await run(records, "to_line_chart", **options))


def points(chart: ET.Element) -> list[list[tuple[float, float]]]:
    found = [line.get("points", "").split() for line in chart.iter(f"{SVG}polyline")]
    return [[tuple(map(float, pair.split(","))) for pair in line] for line in found]


def texts(chart: ET.Element) -> list[str]:
    return [text.text or "" for text in chart.iter(f"{SVG}text")]


DAYS = [{"day": f"2026-11-{day:02}", "sold": sold, "back": 1} for day, sold in enumerate([10, 30, 20], 1)]


async def test_a_line_goes_through_its_values_from_left_to_right():
    chart = await drawn(DAYS, x="day", y="sold", width=640, height=320)
    ((first, second, third),) = points(chart)
    assert first[0] < second[0] < third[0]
    assert second[0] - first[0] == pytest.approx(third[0] - second[0])
    assert first[1] > third[1] > second[1], "what is more stands higher"
    assert first[1] - third[1] == pytest.approx(third[1] - second[1], abs=0.2), "as far as its value"
    assert texts(chart) == ["10", "15", "20", "25", "30", "2026-11-01", "2026-11-02", "2026-11-03"]
    assert chart.get("aria-label") == "sold by day"


async def test_several_lines_have_colours_and_say_which_is_which():
    chart = await drawn(DAYS, x="day", y=["sold", "back", "sold"], title="Sold & <returned>")
    lines = [group.get("stroke") for group in chart.iter(f"{SVG}g")]
    assert len(lines) == len(set(lines)) == 2
    assert texts(chart)[:3] == ["Sold & <returned>", "sold", "back"]
    assert len(points(chart)) == 2


async def test_null_leaves_a_gap_and_what_stands_alone_is_a_dot():
    records = [{"n": at, "v": value} for at, value in enumerate([1, 2, None, 3, None, "4.5", 5])]
    chart = await drawn(records, x="n", y="v")
    assert [len(line) for line in points(chart)] == [2, 2]
    assert len(list(chart.iter(f"{SVG}circle"))) == 1


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ([0, 100], ["0", "20", "40", "60", "80", "100"]),
        ([-1.5, 1.5], ["-2", "-1", "0", "1", "2"]),
        ([0.001, 0.0034], ["0.0010", "0.0015", "0.0020", "0.0025", "0.0030", "0.0035"]),
        ([7, 7, 7], ["2", "4", "6", "8", "10", "12"]),
        ([0], ["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
        ([1e12, 3e12], ["1e+12", "1.5e+12", "2e+12", "2.5e+12", "3e+12"]),
        ([None], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    ],
)
async def test_the_axis_has_round_numbers_around_all_values(values, marks):
    chart = await drawn([{"n": "x", "v": value} for value in values], x="n", y="v")
    assert [text for text in texts(chart) if text != "x"] == marks


async def test_names_stand_where_there_is_room_the_first_and_last_always():
    records = [{"n": f"week {at}", "v": at} for at in range(200)]
    named = texts(await drawn(records, x="n", y="v"))
    weeks = [int(text.split()[1]) for text in named if text.startswith("week")]
    assert (weeks[0], weeks[-1]) == (0, 199)
    assert len(weeks) < 12
    steps = {later - earlier for earlier, later in pairwise(weeks)}
    assert max(steps) - min(steps) <= 1, "equally far apart"


async def test_control_characters_in_names_leave_a_drawing_that_can_be_read():
    chart = await drawn([{"n": "a\x00\x1b[31m<script>", "v": 1}], x="n", y="v")
    assert texts(chart)[-1] == "a\ufffd\ufffd[31m<script>"


async def test_a_line_needs_numbers_and_a_chart_is_bounded():
    told = await failure([{"a": "b", "n": "many"}], "to_line_chart", x="a", y="n")
    assert "n of record 0 is" in told
    assert "9 lines cannot be told apart" in await failure([{"a": 1}], "to_line_chart", x="a", y=list("abcdefghi"))
    assert await run([], "to_line_chart", x="a", y="n") == ""
