"""Where the parts of a diagram and of plots are: worked out by hand, in pixels."""

from xml.etree import ElementTree as ET

import pytest

from intendant.record.diagram_svg import CHARACTER, GAP, LINE, MARGIN, ROW, WIDEST, Node, svg
from intendant.record.plots import (
    HEIGHT,
    LABEL,
    LEAST,
    ROW as PLOT_ROW,
    WIDTH,
    Bar,
    Span,
    bars,
    columns,
    of_counts,
    waterfall,
)


def rects(text: str) -> list[tuple[str, float, float, float, float]]:
    found = ET.fromstring(text).findall(".//{*}rect")
    return [
        (one.get("class", ""), *(float(one.get(name, "")) for name in ("x", "y", "width", "height")))
        for one in found
    ]


def texts(text: str) -> list[tuple[str, float, float]]:
    found = ET.fromstring(text).findall(".//{*}text")
    return [(one.text or "", float(one.get("x", "")), float(one.get("y", ""))) for one in found]


def edges(text: str) -> list[str]:
    return [one.get("d", "") for one in ET.fromstring(text).findall(".//{*}path") if one.get("marker-end")]


def test_the_sizes_of_a_diagram_are_these():
    assert (WIDEST, CHARACTER, LINE, MARGIN, GAP, ROW) == (34, 7.7, 16, 12, 22, 40)


def test_a_box_is_as_wide_as_its_longest_line_and_has_a_line_for_each_fact():
    text = svg("ab", [Node("a", "abc", ("12345678",))], styled=False)
    assert rects(text) == [("planned", 12, 44, 85.6, 44)]  # 8 characters and two margins; two lines and one
    assert texts(text) == [("ab", 12, 28), ("abc", 24, 62.8), ("12345678", 24, 78.8)]
    assert ET.fromstring(text).get("viewBox") == "0 0 110 100"


def test_a_long_line_ends_after_so_many_characters():
    text = svg("t", [Node("a", "a" * 34, ("b" * 35,))], styled=False)
    assert [said for said, *_ in texts(text)] == ["t", "a" * 34, "b" * 33 + "…"]


def test_a_diagram_is_never_narrower_than_its_title_nor_without_height():
    root = ET.fromstring(svg("a title of thirty characters..", [Node("a", "a", ())], styled=False))
    assert (root.get("width"), root.get("height")) == ("255", "84")
    assert ET.fromstring(svg("none", [], styled=False)).get("viewBox") == "0 0 55 56"


def test_steps_are_in_rows_below_what_they_need_centred_and_linked_from_bottom_to_top():
    nodes = [
        Node("a", "abc", ("12345678",)),
        Node("b", "x", (), "completed", ("a",)),
        Node("c", "xyz", ("one", "two"), "failed", ("a", "of another level")),
        Node("d", "z", (), needs=("b", "c")),
    ]
    text = svg("t", nodes, styled=False)
    assert rects(text) == [
        ("planned", 19.6, 44, 85.6, 44),
        ("completed", 12, 128, 31.7, 28),
        ("failed", 65.7, 128, 47.1, 60),
        ("planned", 46.5, 228, 31.7, 28),  # below the higher one of the row before
    ]
    assert edges(text) == [
        "M62.4,88.0 C62.4,108.0 27.9,108.0 27.9,128.0",
        "M62.4,88.0 C62.4,108.0 89.2,108.0 89.2,128.0",
        "M27.9,156.0 C27.9,192.0 62.4,192.0 62.4,228.0",
        "M89.2,188.0 C89.2,208.0 62.4,208.0 62.4,228.0",
    ]


def test_a_group_holds_its_steps_below_its_own_lines():
    inner = [Node("g/d", "dddd", ()), Node("g/e", "e", ("f",), "half done", ("g/d",)), Node("g/f", "ff", ())]
    text = svg("t", [Node("g", "a group", ("one fact",), "running", (), inner)], styled=False)
    assert rects(text) == [
        ("group running", 12, 44, 140.2, 168),  # its own text is narrower than its steps
        ("planned", 24, 88, 54.8, 28),
        ("", 66.2, 156, 31.7, 44),  # below the middle of the row, and of no known state
        ("planned", 100.8, 88, 39.4, 28),
    ]
    wide = svg("t", [Node("g", "a group of a long name", (), "running", (), [Node("g/a", "a", ())])], styled=False)
    assert rects(wide) == [("group running", 12, 44, 193.4, 68), ("planned", 92.9, 72, 31.7, 28)]


def test_steps_that_need_each_other_are_drawn_all_the_same():
    nodes = [Node("a", "a", (), needs=("b",)), Node("b", "b", (), needs=("a",)), Node("c", "c", (), needs=("b",))]
    assert [y for _, _, y, _, _ in rects(svg("t", nodes, styled=False))] == [44, 112, 180]


def test_links_are_escaped_and_a_picture_with_links_is_a_group():
    text = svg("t", [Node("a", "a", ())], lambda node: f"/step?key={node.key}&x", styled=False)
    root = ET.fromstring(text)
    assert root.get("role") == "group"
    assert [one.get("href") for one in root.findall(".//{*}a")] == ["/step?key=a&x"]
    assert ET.fromstring(svg("t", [])).get("role") == "img"
    assert "<style>" in svg("t", [])
    assert "<style>" not in text


# --- plots ---


def test_the_sizes_of_plots_are_these():
    assert (WIDTH, PLOT_ROW, LABEL, HEIGHT, LEAST) == (640, 24, 200, 160, 2)


def test_bars_are_as_long_as_their_share_of_the_longest():
    text = bars(
        "B", [Bar("one", 40, "forty", second=80), Bar("t<o", 20, "x"), Bar("none", 0, "0"), Bar("l", 0.01, "i")]
    )
    assert rects(text) == [
        ("behind", 200, 3, 330, 18),
        ("bar", 200, 6, 165, 12),
        ("bar", 200, 30, 82.5, 12),
        ("bar", 200, 54, 0, 12),
        ("bar", 200, 78, 2, 12),  # what is not nothing is seen
    ]
    assert texts(text) == [
        ("one", 192, 16),
        ("forty", 538, 16),
        ("t<o", 192, 40),
        ("x", 290.5, 40),
        ("none", 192, 64),
        ("0", 208, 64),
        ("l", 192, 88),
        ("i", 210, 88),
    ]
    root = ET.fromstring(text)
    assert root.get("viewBox") == "0 0 640 100"
    assert root.findtext("{*}desc") == "one: forty; t<o: x; none: 0; l: i"


def test_columns_stand_on_one_line_and_the_highest_has_its_figure_above_it():
    text = columns("C", [Bar(f"d{n}", n * 10, f"{n}!") for n in (3, 0, 1)])
    assert rects(text) == [
        ("bar", 2, 22, 86, 116),
        ("bar", 92, 138, 86, 0),
        ("bar", 182, 99.3, 86, 38.7),
    ]
    assert texts(text) == [("d3", 45, 154), ("3!", 45, 16), ("d0", 135, 154), ("d1", 225, 154)]
    assert ET.fromstring(text).get("viewBox") == "0 0 640 160"
    assert "<title>d1: 1!</title>" in text


@pytest.mark.parametrize(
    ("number", "labels", "left", "wide"), [(12, 12, 55.3, 49.3), (24, 12, 28.7, 22.7), (640, 13, 3, 1)]
)
def test_many_columns_share_the_width_and_a_dozen_have_labels(number, labels, left, wide):
    text = columns("C", [Bar(f"d{n}", 1 if n else 2, "") for n in range(number)])
    assert len(rects(text)) == number
    assert rects(text)[1] == ("bar", left, 80, wide, 58)
    assert sum(said.startswith("d") for said, *_ in texts(text)) == labels


def test_spans_begin_and_end_where_they_did():
    text = waterfall("W", [Span("a", 0, 1, "1 s"), Span("b", 1, 3, "3 s", "bad"), Span("c", 2, 0, "0 s")])
    assert rects(text) == [("bar", 200, 6, 55, 12), ("bar bad", 255, 30, 165, 12), ("bar", 310, 54, 2, 12)]
    assert texts(text) == [
        ("a", 192, 16),
        ("1 s", 428, 16),
        ("b", 192, 40),
        ("3 s", 428, 40),
        ("c", 192, 64),
        ("0 s", 428, 64),
    ]
    assert ET.fromstring(text).get("viewBox") == "0 0 640 76"


def test_what_is_all_zero_or_nothing_is_no_error():
    zero = Bar("a", 0, "0")
    assert rects(bars("B", [zero])) == [("bar", 200, 6, 0, 12)]
    assert rects(columns("C", [zero])) == [("bar", 2, 138, 86, 0)]
    assert rects(waterfall("W", [Span("a", 0, 0, "0 s")])) == [("bar", 200, 6, 2, 12)]
    for plot in (bars, columns, waterfall):
        assert plot("<B>", []) == '<p class="none">&lt;B&gt;: nothing to show</p>'


def test_long_labels_are_cut():
    text = bars("B", [Bar("l" * 26, 1, ""), Bar("l" * 27, 1, "")])
    assert [said for said, *_ in texts(text) if said] == ["l" * 26, "l" * 25 + "…"]


def test_counts_beyond_the_first_ones_are_put_together():
    counts = {"a": 1200, "": 600, "c": 150, "d": 50}
    assert [(bar.label, bar.value, bar.shown) for bar in of_counts(counts, 2)] == [
        ("a", 1200, "1,200 (60%)"),
        ("(none)", 600, "600 (30%)"),
        ("others", 200, "200 (10%)"),
    ]
    assert [bar.label for bar in of_counts(counts)] == ["a", "(none)", "c", "d"]
    assert [bar.label for bar in of_counts({str(n): 1 for n in range(13)})][-2:] == ["11", "others"]
    assert of_counts({}) == []
    assert of_counts({"a": 0})[0].shown == "0 (0%)"
