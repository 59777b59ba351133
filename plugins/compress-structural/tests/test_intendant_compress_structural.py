import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from intendant.plugin import Compression, CompressRequest, estimate_tokens
from intendant.testing import CompressorContract
from intendant_compress_structural import StructuralCompressor, decode
from intendant_compress_structural._grids import ungridded
from intendant_compress_structural._html import to_markdown
from intendant_compress_structural._writing import encodings


class TestStructuralCompressor(CompressorContract):
    plugin = StructuralCompressor
    entry_point = "structural"


def shrink(text: str, *, count: Callable[[str], int] = estimate_tokens, **more: Any) -> Compression | None:
    request = CompressRequest(text=text, tokens=count(text), target_tokens=1, count=count, **more)
    answer = StructuralCompressor().compress(request)
    assert answer is None or isinstance(answer, Compression)
    return answer


def same(one: Any, other: Any) -> bool:
    """Equal, and 1, 1.0 and true are three different values."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


NASTY = st.sampled_from(
    [
        "",
        " ",
        "a,b",
        '"',
        '"x"',
        "null",
        "true",
        "1",
        "1.0",
        "-",
        "1e5",
        "NaN",
        "a\nb",
        "\r",
        "\x00",
        "[1]",
        "{",
        "a.b",
        "all: {}",
        "3 rows",
        "{} at rows",
        " lead",
        "trail ",
        "\\",
        "\u2028",
        "�",
        "2026-01-02",
        "é",
        "Infinity",
    ]
)
TEXTS = NASTY | st.text(max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
KEYS = st.sampled_from(["id", "state", "owner", "a.b", "", "x y"]) | TEXTS
RECORDS = st.lists(st.dictionaries(KEYS, VALUES, max_size=5), max_size=6)


@given(VALUES | RECORDS | st.fixed_dictionaries({"rows": RECORDS, "next": VALUES}))
def test_every_encoding_is_decoded_to_the_same_value(value: Any) -> None:
    for candidate in encodings(json.dumps(value)):
        assert same(decode(candidate), value)


@given(RECORDS)
def test_what_is_used_is_shorter_and_can_be_had_back(records: list[dict[str, Any]]) -> None:
    text = json.dumps(records, indent=2)
    answer = shrink(text, kind="json")
    if answer is not None:
        assert answer.lossless
        assert answer.tokens_after == estimate_tokens(answer.text) < estimate_tokens(text)
        assert same(decode(answer.text), records)


PAGE = {
    "next": None,
    "rows": [
        {"id": n, "kind": "order", "customer": {"name": f"user{n % 7}", "city": None}, "note": "late, again"}
        for n in range(60)
    ],
}


def test_a_list_of_records_becomes_header_and_rows() -> None:
    answer = shrink(json.dumps(PAGE), kind="json")
    assert answer is not None
    lines = answer.text.splitlines()
    assert lines[:4] == [
        "{next:null,rows:[]} at rows",
        "60 rows",
        'all: {kind:order,"customer.city":null,note:"late, again"}',
        "id,customer.name",
    ]
    assert lines[5] == "1,user1"
    assert answer.saved > 0.6 * answer.tokens_before
    assert (answer.strategy, answer.quality, answer.dropped) == ("structural", 1.0, ())


def test_the_real_count_decides_which_encoding_is_used() -> None:
    """A counter to which line ends are dear gets minified JSON."""

    def dear(text: str) -> int:
        return len(text) + 1000 * text.count("\n")

    text = json.dumps(PAGE)
    request = CompressRequest(text=text, tokens=dear(text), target_tokens=1, count=dear, kind="json")
    answer = StructuralCompressor().compress(request)
    assert answer is not None
    assert answer.text == json.dumps(PAGE, separators=(",", ":"))


def test_missing_null_and_empty_are_three_different_things() -> None:
    records = [{"a": 1, "b": None}, {"a": 2, "b": ""}, {"a": 3}]
    table = encodings(json.dumps(records))[-1]
    assert table.splitlines() == ["3 rows", "a,b", "1,null", '2,""', "3,"]
    assert decode(table) == records


@pytest.mark.parametrize("text", ["[1]", '{"a":1}', '"quoted"', "a\nb", "a,b", " lead", "12", "null", ""])
def test_awkward_texts_do_not_keep_a_table_from_being_written(text: str) -> None:
    """Each has a way to be written; none falls back to minified JSON because it would not be decoded."""
    records = [{"a": text, "b": n} for n in range(4)] + [{"a": "x", "b": 5}]
    assert encodings(json.dumps(records))[-1].startswith("5 rows\n")


def test_texts_that_look_like_figures_stay_texts() -> None:
    records = [{"a": "1"}, {"a": "true"}, {"a": "null"}, {"a": 1}, {"a": "1.0"}]
    assert same(decode(encodings(json.dumps(records))[-1]), records)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', '{"a": NaN}', "[" * 5000 + "]" * 5000, f"[{'9' * 5000}]"],
)
def test_json_that_would_lose_something_is_left_as_it_is(text: str) -> None:
    """Doubled keys, what is no JSON, what is nested too deep, and whole numbers that Python does not read."""
    assert encodings(text) == []
    assert shrink(text, kind="json") is None


def test_json_that_is_no_list_of_records_loses_its_quotes() -> None:
    answer = shrink('{"a":[1,2,"3"],"b c":{"d":null,"e":"some words: here"}}', kind="json")
    assert answer is not None
    assert answer.text == '{a:[1,2,"3"],"b c":{d:null,e:some words: here}}'
    assert shrink("[1,2,3,[4,5],{}]", kind="json") is None


@pytest.mark.parametrize("digits", ["1.10", "1e5", "-0", "1E+02", "0.10000000000000000001", "1e400", "9" * 400])
def test_figures_stay_as_they_were_written(digits: str) -> None:
    text = json.dumps([{"a_key": n, "figure": -1.5} for n in range(4)]).replace("-1.5", digits, 2)
    written = encodings(text)
    assert len(written) == 2
    for candidate in written:
        assert candidate.count(digits) == 2
        assert same(decode(candidate), json.loads(text))


def test_a_text_that_begins_with_a_null_is_no_figure() -> None:
    value = [{"a": "\x001.5", "b": n} for n in range(4)]
    for candidate in encodings(json.dumps(value)):
        assert same(decode(candidate), value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("12 rows\na,b\n1,2", "11 rows are missing"),
        ("1 rows\na,b\n1", "a cell is missing"),
        ('1 rows\na\n"open', "a quote is not closed"),
        ('1 rows\na\n"x"y', "text after a quote"),
        ("hello", "no JSON"),
    ],
)
def test_the_decoder_refuses_what_is_not_of_its_form(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(text)


PROSE = "One sentence.   \n\n\n\n\n\nAnother one.\t\n```\nx = 1   \n\n\n\n\ny = 2\n```\nEnd.\n"


def test_prose_loses_trailing_spaces_and_runs_of_empty_lines_only() -> None:
    answer = shrink(PROSE, count=len, kind="prose")
    assert answer is not None
    assert answer.text == "One sentence.\n\n\nAnother one.\n```\nx = 1   \n\n\n\n\ny = 2\n```\nEnd.\n"
    assert answer.lossless is False
    assert answer.dropped == ("trailing spaces and runs of empty lines",)
    assert shrink(PROSE, count=len, kind="prose", lossless_only=True) == answer, "it loses form, not content"


@pytest.mark.parametrize("kind", ["markdown", "code", "table", "log", "html"])
def test_kinds_in_which_spaces_mean_something_are_left_alone(kind: str) -> None:
    assert shrink(PROSE, count=len, kind=kind) is None


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    return 1   \n\n\n\n\nx\n",
        "diff --git a b\n@@ -1 +1 @@\n-a \n+a\n\n\n\n\n",
        "key:\n\t- a   \n\n\n\n\n",
    ],
)
def test_what_looks_like_code_is_left_alone_whatever_it_is_called(text: str) -> None:
    assert shrink(text, count=len, kind="prose") is None


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "text",
    [
        "x" * 5_000_000,
        "[" + "1," * 500_000 + "1]",
        "[" * 1_000_000,
        json.dumps([{"a": "\ud800"}] * 5000),
        '{"a":' * 2000,
        '<a "' * 100_000,
        "<script>" * 50_000,
        "<table><tr><td>" * 30_000,
        "<!--" * 100_000,
        "<" * 1_000_000,
        '<p title="' + "'" * 300_000,
        "[\n" * 100_000,
        "- " * 500_000,
        "|" * 500_000,
        "\x1b[" * 200_000,
        '[{"a": ' + "9" * 100_000 + "}]",
    ],
    ids=[
        "one word",
        "many figures",
        "brackets",
        "lone surrogates",
        "deep",
        "quotes",
        "scripts",
        "tables",
        "comments",
        "less",
        "attribute",
        "lines of brackets",
        "dashes",
        "bars",
        "escapes",
        "a huge number",
    ],
)
def test_hostile_content_is_survived(text: str) -> None:
    for kind in ("json", "prose", "html"):
        answer = shrink(text, kind=kind)
        assert answer is None or answer.tokens_after < answer.tokens_before


def rows_of(value: Any) -> list[str]:
    """The lines of what is not minified JSON."""
    text = encodings(json.dumps(value))[-1]
    assert same(decode(text), value)
    return text.split("\n")


def test_each_list_of_records_gets_rows_wherever_it_stands() -> None:
    value = {
        "nodes": [{"id": n, "x": 2 * n} for n in range(3)],
        "page": [{"links": [{"to": n} for n in range(3)]}],
    }
    assert rows_of(value) == [
        "{nodes:[],page:[{links:[]}]} at nodes",
        "3 rows",
        "id,x",
        "0,0",
        "1,2",
        "2,4",
        "at page.0.links",
        "3 rows",
        "to",
        "0",
        "1",
        "2",
    ]


def test_keys_that_records_have_in_common_are_said_once() -> None:
    def user(name: str) -> dict[str, Any]:
        return {"login": name, "account_type": "User", "profile_id": len(name)}

    value = {"owner": user("ada"), "last": {"by": user("grace, h"), "at": None}}
    assert rows_of(value) == [
        "A = {login,profile_id,account_type:User}",
        '{owner:A(ada,3),last:{by:A("grace, h",8),at:null}}',
    ]


def test_values_are_never_split_nor_said_by_reference() -> None:
    urls = [f"https://api.example.org/repos/{n}/issues" for n in range(5)]
    lines = rows_of([{"id": n, "url": url, "tags": ["one tag", url]} for n, url in enumerate(urls)])
    assert all(any(url in line for line in lines) for url in urls)
    assert lines[-1] == f"4,{urls[4]},[one tag,{urls[4]}]"


@pytest.mark.parametrize("text", ["A(1)", "A(x", "a (b)", "x)y", "1(2)", "Z = {a}"])
def test_texts_with_brackets_are_not_taken_for_shapes(text: str) -> None:
    record = {"some_long_key": text, "another_key": 1}
    value = {
        "one": record,
        "two": {**record, "another_key": 2},
        "rows": [record, record, {**record, "third": text}],
    }
    assert len(rows_of(value)) > 1


@given(st.lists(st.fixed_dictionaries({"alpha_key": VALUES, "beta_key": TEXTS}), min_size=2, max_size=2), RECORDS)
def test_shapes_and_tables_together_are_decoded_to_the_same_value(pair: list[Any], records: list[Any]) -> None:
    value = {"a": pair[0], "b": {"c": pair[1]}, "rows": records, "last": [pair[0], records]}
    for candidate in encodings(json.dumps(value)):
        assert same(decode(candidate), value)


def test_records_that_come_again_are_said_by_their_name() -> None:
    people = [
        {"login": name, "url": f"https://api.example.org/users/{name}/profile"} for name in ("ada", "bo, jr")
    ]
    lines = rows_of([{"id": n, "by": people[n // 2 % 2]} for n in range(6)])
    assert lines == [
        "A = {login,url}",
        "6 rows",
        "id,by",
        "0,A(ada,https://api.example.org/users/ada/profile)",
        "1,A(ada)",
        '2,A("bo, jr","https://api.example.org/users/bo, jr/profile")',
        '3,A("bo, jr")',
        "4,A(ada)",
        "5,A(ada)",
    ]


def test_records_of_one_name_that_differ_are_both_written_whole() -> None:
    long = "some rather long text that is the same"
    records = [{"name": "ada", "age": age, "text": long} for age in (7, 7, 8, 7, 8)]
    value = [{"id": n, "by": record} for n, record in enumerate(records)]
    assert len(rows_of(value)) > len(value)


PARTS = st.sampled_from([{"name": name, "n": n, "at": [name, None]} for name in ("a", "b,", "") for n in (0, 1)])


@given(
    st.lists(st.fixed_dictionaries({"id": SCALARS, "part": PARTS, "other": PARTS | TEXTS}), min_size=3, max_size=9)
)
def test_repeated_records_are_decoded_to_the_same_value(records: list[Any]) -> None:
    padded = json.loads(json.dumps(records).replace('"name"', '"a_name_of_some_length_that_is_worth_it"'))
    for value in (records, padded, {"rows": padded, "first": padded[0]}):
        for candidate in encodings(json.dumps(value)):
            assert same(decode(candidate), value)


def test_records_of_records_become_rows_with_their_keys() -> None:
    value = {"packages": {f"lib/{n}": {"version": f"1.{n}", "dev": True} for n in range(4)}}
    assert rows_of(value) == [
        "{packages:{}} at packages",
        "4 rows by key",
        "all: {dev:true}",
        "key,version",
        'lib/0,"1.0"',
        'lib/1,"1.1"',
        'lib/2,"1.2"',
        'lib/3,"1.3"',
    ]


@given(st.dictionaries(TEXTS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=6))
def test_records_of_records_are_decoded_to_the_same_value(records: dict[str, Any]) -> None:
    for candidate in encodings(json.dumps({"at": records})):
        assert same(decode(candidate), {"at": records})


def test_json_amid_other_text_is_written_smaller_in_its_place() -> None:
    part = json.dumps([{"id": n, "state": "open", "name": f"job {n}"} for n in range(9)], indent=2)
    text = f"The answer was\n\n{part}\n\nand nothing [else] {'{'}.\n"
    answer = shrink(text, kind="mail")
    assert answer is not None
    before, _, rest = answer.text.partition("\n\n9 rows\n")
    assert before == "The answer was"
    assert rest.endswith("8,job 8\n\nand nothing [else] {.\n")
    assert answer.lossless


def test_indented_json_may_be_code_and_is_left_alone() -> None:
    part = "    " + json.dumps([{"id": n, "state": "open"} for n in range(9)], indent=8).replace("\n", "\n    ")
    assert shrink(f"def f():\n{part}\n", kind="code") is None


PAGE_TEXT = """<!DOCTYPE html><html><head><title>A &amp; B</title><meta name="author" content="Ada">
<style>p { color: red }</style><script>var x = "<p>no</p>";</script></head>
<body><nav><ul><li><a href="/home">Home</a></li><li><a href="/news">News</a></li></ul></nav>
<h1>The <em>big</em>   title</h1><p>See <a href="https://example.org/x?a=1&amp;b=2">the report</a>, it says 42.</p>
<table><tr><th>City</th><th>People</th></tr><tr><td>Bonn</td><td>330,000</td></tr></table>
<ul><li>one</li><li>two<ul><li>deeper</li></ul></li></ul><pre>x = 1
  y = 2</pre><!-- gone --><p><img src="a.png" alt="A pump">&copy; 2026 &lt;tag&gt;</p></body></html>"""


def test_html_becomes_text_with_its_headings_links_lists_and_tables() -> None:
    answer = shrink(PAGE_TEXT)
    assert answer is not None
    assert answer.text.split("\n") == [
        "Title: A & B",
        "Author: Ada",
        "Home · News",
        "# The big title",
        "See [the report](https://example.org/x?a=1&b=2), it says 42.",
        "| City | People |",
        "| Bonn | 330,000 |",
        "- one",
        "- two",
        "  - deeper",
        "```",
        "x = 1",
        "  y = 2",
        "```",
        "![A pump] © 2026 <tag>",
    ]
    assert answer.lossless is False
    assert answer.dropped[:2] == ("markup of HTML", "targets of links outside running text")


def test_all_links_keep_their_targets_where_the_setting_says_so() -> None:
    assert "[Home](/home)" in str(to_markdown(PAGE_TEXT, all_links=True))
    request = CompressRequest(text=PAGE_TEXT, tokens=len(PAGE_TEXT), target_tokens=1, count=len)
    answer = StructuralCompressor({"links": "all"}).compress(request)
    assert answer is not None
    assert "[Home](/home)" in answer.text


@given(st.text("<>ab/ \n=\"'&;!-", max_size=80))
def test_any_text_is_read_as_html_without_a_fault(text: str) -> None:
    shown = to_markdown(f"<p>first {text}</p><p>last</p>")
    assert shown is None or "first" in shown


@given(st.lists(st.text("abc1,. ", min_size=1, max_size=8), min_size=3, max_size=8))
def test_every_word_of_html_blocks_is_kept(words: list[str]) -> None:
    page = "".join(f"<div><p>{word} end{index}</p></div>" for index, word in enumerate(words))
    shown = str(to_markdown(page))
    assert all(" ".join(f"{word} end{index}".split()) in shown for index, word in enumerate(words))


def test_empty_cells_of_padded_tables_stay_empty() -> None:
    rows = [
        ("name", "city", "size"),
        ("a", "Bonn", "1"),
        ("bb", "", "22"),
        ("ccc", "Köln", "3"),
        ("d", "Ulm", "4"),
    ]
    lines = [f"{name:6}{city:8}{size:>4}" for name, city, size in rows]
    assert str(ungridded("\n".join(lines))).split("\n") == [",".join(row) for row in rows]


GRID = ["Year  Country        Spend", "1970  Germany        252.3", "1970  Great Britain  124.0"] * 3


def test_padded_tables_lose_their_pads_and_no_cell() -> None:
    answer = shrink("\n".join(GRID), count=len, kind="text")
    assert answer is not None
    assert answer.text.split("\n")[:3] == ["Year,Country,Spend", "1970,Germany,252.3", "1970,Great Britain,124.0"]
    assert (answer.lossless, answer.dropped) == (False, ("pads and rules of tables",))


def test_markdown_tables_amid_other_text_stay_markdown() -> None:
    table = ["| name   | n  |", "|--------|----|", "| a      | 1  |", "| b      | 22 |", "|        | 3  |"]
    text = "\n".join(["# Title", "", *table, "", "Some words here.", "", "More words.", "x", "y", "z"])
    assert str(ungridded(text)).split("\n")[2:7] == ["|name|n|", "|-|-|", "|a|1|", "|b|22|", "||3|"]
    assert str(ungridded("\n".join(table))).split("\n") == ["name,n", "a,1", "b,22", ",3"]


@pytest.mark.parametrize(
    "lines",
    [
        ["a  b", "aa  b", "aaa  b", "a  bb", "a  b"],
        ["x = 1  # one", "y  = 2", "if z:", "  pass  # two", "q  = 3"],
        ["Year  Country", "1970  Germany  x", "1970  France", "1971  Japan", "at some length  1972  Spain"],
        [f"12:00:0{n}  INFO   started" for n in range(6)],
        [f"{' ' * (n % 3)}word{' ' * (9 - n)}other" for n in range(6)],
        ["| a | b |", "| c | d |", "| e | f |", "| g | h |", "| i | j |"],
        ["| a | b |", "|---|---|", "| c | d | e |", "| g | h |", "| i | j |"],
        ["| a | b |", "|---|---|", "| c \\| d | e |", "| g | h |", "| i | j |"],
    ],
    ids=[
        "ragged",
        "code",
        "text with gaps",
        "a log",
        "ragged at both ends",
        "no rule",
        "a cell too many",
        "an escaped bar",
    ],
)
def test_what_only_looks_like_a_table_is_left_alone(lines: list[str]) -> None:
    assert ungridded("\n".join(lines)) is None


OPENING = "The bridge was opened in 1887, after nine years of work, by a queen"


@pytest.mark.parametrize("end", ["", "...", " …", " [...]"])
def test_a_description_that_the_text_begins_with_is_not_said_twice(end: str) -> None:
    page = f'<html><meta name="description" content="{OPENING}{end}"><body><p>{OPENING} of that land.</p></body></html>'
    assert to_markdown(page) == f"{OPENING} of that land."
    other = to_markdown(page.replace("<p>The bridge", "<p>A bridge"))
    assert other == f"Description: {OPENING}{end}\nA{OPENING[3:]} of that land."


def test_long_paragraphs_that_come_again_are_said_once() -> None:
    page = to_markdown(f"<html><p>{OPENING}</p><p>Short.</p><p>{OPENING}</p><p>Short.</p></html>")
    assert page == f"{OPENING}\nShort.\nShort."


def test_colours_go() -> None:
    answer = shrink("\x1b[31mERROR\x1b[0m disk full on sda1", kind="shell")
    assert answer is not None
    assert (answer.text, answer.dropped) == ("ERROR disk full on sda1", ("colours",))
